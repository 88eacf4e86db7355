"""What every benchmark's seed does, of images or of text: arms, and a folder that keeps them.

Everything finished is kept in the seed's folder: a cell (one arm) is never run twice, and a
folder begun with other settings or other images is refused.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from augment.errors import ConfigError, ResumeError
from augment.files import write_whole
from augment.generate import Tally
from recognizers.arrays import load_array, load_arrays
from recognizers.gain import ArmResult
from recognizers.mixing import Mixture, MixtureT

__all__ = [
    "ARMS",
    "CURVE_POINTS",
    "ArmRun",
    "Say",
    "check_plan",
    "curve_of",
    "default_recipes",
    "swept_cell",
]

ARMS = ("real", "classical", "rendered", "synthetic", "synthetic_only")
CURVE_POINTS = 5
"""How often an arm is measured while it trains."""

SourceT = TypeVar("SourceT")
CellT = TypeVar("CellT", bound=ArmResult)
Say = Callable[[str], None]


def default_recipes(recipe: type[MixtureT]) -> dict[str, MixtureT]:
    """What each arm's batches are made of unless a scenario has its own, chosen beforehand."""
    return {
        "real": recipe(augmentation="none"),
        "classical": recipe(),
        "rendered": recipe(rendered=0.67),
        "synthetic": recipe(rendered=0.5, generated=0.25),
        "synthetic_only": recipe(generated=1.0),
        "reader": recipe(rendered=0.5),
    }


def check_plan(
    recipes: Mapping[str, Mixture], reader_band: tuple[float, float], counts: Mapping[str, int]
) -> None:
    """Check what every plan says.

    Args:
        recipes: by arm; the reader's too.
        reader_band: confidences of generated images that are kept.
        counts: numbers that must be at least 1, by the names of their settings.

    Raises:
        ConfigError: an arm without a recipe, a band that does not rise in [0, 1], a count below 1.
    """
    if missing := [name for name in (*ARMS, "reader") if name not in recipes]:
        raise ConfigError(
            f"expected a recipe for each of {', '.join(ARMS)} and the reader, "
            f"got none for {', '.join(missing)}."
        )
    low, high = reader_band
    if not 0 <= low < high <= 1:
        raise ConfigError(f"reader_band must rise within [0, 1]; got {low} to {high}.")
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name} must be at least 1; got {count}.")


class ArmRun(ABC, Generic[MixtureT, SourceT, CellT]):
    """One seed of one scenario: makes what its arms train on, trains them and keeps the results.

    Args:
        real: the draw's real images.
        seed: of everything random.
        folder: where finished pieces are kept; an existing one is continued.
        claim: what the folder's pieces depend on, as plain values.
        say: receives progress lines.
        device: where everything is trained.

    Raises:
        ResumeError: the folder holds pieces of another claim.
    """

    def __init__(
        self,
        real: SourceT,
        seed: int,
        folder: Path,
        claim: dict[str, Any],
        *,
        say: Say = print,
        device: str = "cpu",
    ) -> None:
        self.seed, self.folder, self.say, self.device = seed, folder, say, device
        self.bundle_folder = folder / "bundle"
        self.generated_path = folder / "generated.npz"
        self._sources = {"real": real}
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder, claim)

    @abstractmethod
    def recipes(self) -> dict[str, MixtureT]:
        """Recipe of each arm that is run unless others are asked for."""

    @abstractmethod
    def rendered(self) -> SourceT:
        """Images of the renderer, in the looks of the real ones."""

    @abstractmethod
    def generated(self) -> SourceT:
        """Images of the seed's generator, kept at ``generated_path``.

        Raises:
            DataError: none was read as its label.
        """

    @property
    def seconds(self) -> float:
        """Time that the finished pieces took, in earlier sessions too."""
        pieces = [*self.folder.glob("cells/*.npz"), *self.folder.glob("*.npz")]
        return sum(float(load_array(piece, "seconds")) for piece in pieces)

    @property
    def tally(self) -> Tally:
        """How many images were generated and kept; zeros before any was."""
        path = self.generated_path
        return Tally(*load_array(path, "tally").tolist()) if path.exists() else Tally()

    def run(self, arms: Mapping[str, MixtureT] | None = None) -> list[CellT]:
        """Train and measure every arm that is not finished yet.

        Args:
            arms: names and recipes; the plan's where None. A name stands for one recipe.
        """
        arms = self.recipes() if arms is None else arms
        return [self._arm(name, recipe) for name, recipe in arms.items()]

    @abstractmethod
    def _finish(self, path: Path, name: str, recipe: MixtureT) -> None:
        """Train an arm, measure it and keep the result at ``path``."""

    @abstractmethod
    def _cell(self, name: str, kept: Mapping[str, NDArray[Any]]) -> CellT:
        """A finished arm, from what was kept of it."""

    def _arm(self, name: str, recipe: MixtureT) -> CellT:
        path = self.folder / "cells" / f"{name}.npz"
        if not path.exists():
            self.say(f"seed {self.seed}: arm {name}")
            self._sources_of(recipe)  # made before the clock starts
            self._finish(path, name, recipe)
        return self._cell(name, load_arrays(path))

    def _sources_of(self, recipe: MixtureT) -> dict[str, SourceT]:
        """What the recipe draws from, made at first use and shared by all arms."""
        sources = {"real": self._sources["real"]}
        for name, make in (("rendered", self.rendered), ("generated", self.generated)):
            if getattr(recipe, name):
                if name not in self._sources:
                    self._sources[name] = make()
                sources[name] = self._sources[name]
        return sources


def swept_cell(recipe: Mixture, own: Mixture) -> str:
    """Name of the cell of one point of a sweep of the synthetic arm, whose own recipe is ``own``.

    The arm itself is such a point, and is trained once.
    """
    return "synthetic" if recipe == own else f"synthetic,{recipe}"


def curve_of(kept: Mapping[str, NDArray[Any]]) -> list[tuple[int, float]]:
    """The (training step, metric) pairs of an arm, from what was kept of it."""
    return [(int(step), float(value)) for step, value in np.asarray(kept["curve"])]


def _claim(folder: Path, claim: dict[str, Any]) -> None:
    """Refuse a folder that was begun with another claim."""
    path = folder / "plan.json"
    if not path.exists():
        write_whole(path, json.dumps(claim))
        return
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ResumeError(
            f"{path}: expected what the folder was begun with, got: {error}; give another --out."
        ) from error
    if found != claim:
        changed = sorted(k for k in claim | found if found.get(k) != claim.get(k))
        raise ResumeError(
            f"{folder} was begun with another {' and another '.join(changed)}; "
            "restore the settings or give another --out."
        )
