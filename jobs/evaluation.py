"""What an evaluation measures and where its results go; ``jobs.evaluate`` runs one."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from augment.bundle import CARD_FILE, load_bundle
from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, LabelError
from augment.files import write_whole
from augment.generate import Sampler
from augment.generators import load_sampler
from augment.images import Pixels, encode_png
from jobs.cli import annotate_bundle
from recognizers.cards import card_files
from recognizers.fit import Budget

__all__ = [
    "EvaluateSettings",
    "Evaluation",
    "parse_draw",
    "write_card",
    "write_picture",
    "write_table",
]

DRAW = "draw:"
"""How ``--data`` begins that names a seed of a benchmark instead of data."""


def parse_draw(uri: str) -> tuple[str, int] | None:
    """Scenario and seed of ``draw:SCENARIO/SEED``; None for other URIs.

    Raises:
        ConfigError: the seed is no number.
    """
    if not uri.startswith(DRAW):
        return None
    name, _, seed = uri.removeprefix(DRAW).partition("/")
    if not seed.isdecimal():
        raise ConfigError(f"expected {DRAW}SCENARIO/SEED with a number as seed, got {uri!r}.")
    return name, int(seed)


@dataclass(frozen=True)
class EvaluateSettings:
    """What the measures take; parzen follows Goodfellow et al. 2014."""

    generated: int = 2_000  # fidelity to privacy: images of a bundle, evenly over its classes
    recognizer: Literal["character", "face"] | None = None  # that judges; None: as bundles' readers
    inception: str | None = None  # fidelity: file of torchvision's inception_v3 weights
    samples: int = 10_000  # parzen: generated images, at most as many as there are to train on
    validation_images: int = 5_000  # parzen: of the validation split, at most; they choose sigma
    pairs: int = 40  # parzen: samples shown beside their nearest training image
    per_class: int = 20  # faces: generated images of each class
    judge_steps: int = 1500  # of the recognizers that judge, in all but parzen and masked
    test_images: int = 1000  # attributes, masked, restoration: of the test split, at most
    code_images: int = 50  # deepsim: of each class that an SVM learns, at most half of them
    code_folds: int = 10  # deepsim: SVMs, each trained on its own images; as the paper
    inverted_images: int = 64  # deepsim: of the test split, at most
    inversion_steps: int = 300  # deepsim: of the optimisation
    face_masks: str = "grabcut:"  # masked: of the test images; or celebamaskhq:PATH
    identity_data: str | None = None  # attributes: faces to learn identities from; None: --data
    strangers: str | None = None  # restoration: faces, of whom those not in --data are unseen
    device: str = "auto"  # a GPU where there is one

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, value in vars(self).items():
            if isinstance(value, int) and value < 1:
                raise ConfigError(f"{name} must be at least 1; got {value}.")

    @property
    def judge_budget(self) -> Budget:
        """Of a recognizer that judges."""
        return Budget(steps=self.judge_steps)


@dataclass(frozen=True)
class Evaluation:
    """What is measured, on what, and where the result goes.

    Attributes:
        bundles: reference to local folder.
        locations: reference to where the bundle was asked for.
        data: real images in the bundles' size.
        settings: see there.
        seed: of everything random.
        out: an existing folder.
    """

    bundles: Mapping[str, Path]
    locations: Mapping[str, str]
    data: LabelledImages
    settings: EvaluateSettings
    seed: int
    out: Path

    def samplers(self) -> dict[str, Sampler]:
        """Samplers of all bundles.

        Raises:
            RequestError: a bundle that draws no labelled images.
            LabelError: a bundle of other classes than the data's.
        """
        return {name: self.sampler(name) for name in self.bundles}

    def sampler(self, name: str) -> Sampler:
        """The sampler of one bundle; errors as of ``samplers``."""
        sampler = load_sampler(self.bundles[name], device=self.settings.device)
        if sampler.classes != self.data.classes:
            raise LabelError(
                f"expected the classes of {name}, {_some(sampler.classes)}; the data have "
                f"{_some(self.data.classes)}: evaluate on data of the same classes."
            )
        return sampler

    def only(self, names: Collection[str]) -> "Evaluation":
        """The same evaluation of some of the bundles."""
        return replace(self, bundles={n: f for n, f in self.bundles.items() if n in names})

    def held_out(self) -> LabelledImages:
        """The images of the validation and test splits."""
        return self.data.subset(np.flatnonzero(self.data.splits != "train"))

    def some_of(self, data: LabelledImages) -> LabelledImages:
        """At most ``test_images`` of ``data``, at random but the same for every bundle."""
        order = np.random.default_rng(self.seed).permutation(len(data))
        return data.subset(np.sort(order[: self.settings.test_images]))

    def keep(self, name: str, report: Mapping[str, Any], table: str) -> None:
        """Write NAME.json and NAME.md, and print the table."""
        about = {"data": self.data.uri, "seed": self.seed, "settings": asdict(self.settings)}
        write_table(self.out, name, {**report, **about}, table)

    def note(self, measure: str, command: str) -> None:
        """Add the kept table of a measure to the bundles' cards, with the command that made it."""
        new = {
            measure: {
                "table": (self.out / f"{measure}.md").read_text(encoding="utf-8"),
                "data": self.data.uri,
                "seeds": [self.seed],
                "command": command,
            }
        }
        for name, folder in self.bundles.items():
            write_card(name, folder, self.locations[name], new)

    def show(self, name: str, picture: Pixels) -> None:
        """Write NAME.png; see ``write_picture``."""
        write_picture(self.out, name, picture)


def write_table(out: Path, name: str, report: Mapping[str, Any], table: str) -> None:
    """Write OUT/NAME.json and OUT/NAME.md, and print the table."""
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    write_whole(out / f"{name}.md", table)
    write_whole(out / f"{name}.json", text)  # says that the measure is done
    print(table, end="")


def write_picture(out: Path, name: str, picture: Pixels) -> None:
    """Write OUT/NAME.png; slashes of a bundle's reference become dashes."""
    (out / f"{name.replace('/', '-')}.png").write_bytes(encode_png(picture))


def write_card(name: str, folder: Path, location: str, new: Mapping[str, Any]) -> str:
    """Add measures to a bundle's card, and return it; a registry that cannot be written to is told.

    Args:
        name: of the bundle.
        folder: where it, or the copy of it that earlier measures are read from, is.
        location: where it was asked for.
        new: as of ``card_files``.
    """
    files = card_files(name, load_bundle(folder), folder, new)
    try:
        annotate_bundle(location, files)
        for file, text in files.items():
            write_whole(folder / file, text)
    except OSError as error:
        print(f"{name}: its model card could not be written into the registry ({error})")
    return files[CARD_FILE]


def _some(names: tuple[str, ...]) -> str:
    """The first names of many."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
