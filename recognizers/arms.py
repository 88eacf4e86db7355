"""One seed of a benchmark: the generator, its reader, and a recognizer in every arm.

All arms share the draw's real images, the recognizer's weights at the start, its budget and
its augmentation; they differ in what else a batch holds. Generator and reader see the draw's
training images and nothing else.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.bundle import READER_FOLDER, BundleInfo, load_bundle
from augment.config import config_digest
from augment.data.pairs import folds_of
from augment.data.rendering import CharacterRenderer
from augment.data.transforms import ClassicalAugmentation
from augment.errors import ConfigError, DataError
from augment.generate import Tally, draw_counts
from augment.generators import GENERATORS, load_sampler
from augment.generators.base import GeneratorConfig, train_generator, write_bundle
from augment.images import Pixels
from augment.training import PlainContext, derive_seed
from recognizers.arm_runs import (
    ARMS,
    CURVE_POINTS,
    ArmRun,
    Say,
    check_plan,
    curve_of,
    default_recipes,
)
from recognizers.arrays import load_arrays, save_arrays
from recognizers.base import Recognizer, find_recognizer
from recognizers.draws import Draw
from recognizers.fit import Budget, fit, predict
from recognizers.gain import ArmResult
from recognizers.metrics import score
from recognizers.mixing import LabelledPixels, Recipe, mixed_stream
from recognizers.privacy import NearCopies
from recognizers.reader import KINDS, CrossFittedReader, load_reader, save_reader, train_reader

__all__ = ["Cell", "Plan", "SeedRun"]


@dataclass(frozen=True)
class Plan:
    """Everything that a scenario's arms share or choose; frozen before a benchmark starts."""

    generator: GeneratorConfig = field(default_factory=lambda: GENERATORS["saae"]["labelmint"])
    recognizer: str = "character"  # one of recognizers.reader.KINDS; also reads generated images
    budget: Budget = field(default_factory=Budget)
    read_back: bool = True  # whether generated images must read as their label to be kept
    reader_steps: int = 600
    reader_band: tuple[float, float] = (0.0, 1.0)  # confidences of generated images that are kept
    drop_copies: bool = False  # whether near-copies of the draw's own real images are dropped
    recipes: dict[str, Recipe] = field(default_factory=lambda: default_recipes(Recipe))
    generated_per_class: int = 300
    rendered_per_class: int = 300
    rendered: bool = True

    def __post_init__(self) -> None:
        """Check that every arm has a recipe, and the numbers."""
        counts = ("reader_steps", "generated_per_class", "rendered_per_class")
        check_plan(self.recipes, self.reader_band, {name: getattr(self, name) for name in counts})
        if self.recognizer not in KINDS:
            raise ConfigError(
                f"recognizer must be one of {', '.join(KINDS)}; got {self.recognizer!r}."
            )


@dataclass(frozen=True)
class Cell(ArmResult):
    """One arm of one seed, finished.

    Attributes:
        confirmed: predicted class of every image of ``Draw.confirm``, where there are any.
        seconds: what training and measuring took; making the images to train on is left out.
    """

    confirmed: NDArray[np.int64] | None = None
    seconds: float = 0.0


Build = Callable[[int, tuple[int, int], int], Recognizer]


class SeedRun(ArmRun[Recipe, LabelledPixels, Cell]):
    """One seed of one scenario.

    Args:
        draw: the seed's images.
        seed: of everything random.
        plan: budgets and recipes.
        folder: where finished pieces are kept; an existing one is continued.
        recognizer: ``module:Class`` of the user's own; the plan's where None. The reader is of
            the plan's kind in any case.
        say: receives progress lines.
        device: where everything is trained.

    Raises:
        ConfigError: see ``find_recognizer``.
        ResumeError: the folder holds pieces of another plan, draw or recognizer.
    """

    def __init__(
        self,
        draw: Draw,
        seed: int,
        plan: Plan,
        folder: Path,
        *,
        recognizer: str | None = None,
        say: Say = print,
        device: str = "cpu",
    ) -> None:
        claim = {
            "plan": config_digest(plan),
            "train": draw.train.digest(),
            "test": draw.test.digest(),
            "seed": seed,
        }
        if draw.confirm is not None:
            claim["confirm"] = draw.confirm.digest()
        if recognizer is not None:
            claim["recognizer"] = recognizer
        real = LabelledPixels(draw.train.images(), draw.train.labels)
        super().__init__(real, seed, folder, claim, say=say, device=device)
        self.draw, self.plan, self.real = draw, plan, draw.train
        self.reader_build: Build = KINDS[plan.recognizer]
        self.build = find_recognizer(recognizer) if recognizer else self.reader_build
        self.size, self.channels = self.real.image_size, self.real.channels

    def recipes(self) -> dict[str, Recipe]:
        """Recipe of each arm that the plan has."""
        names = [name for name in ARMS if self.plan.rendered or name != "rendered"]
        return {name: self.plan.recipes[name] for name in names}

    def bundle(self) -> BundleInfo:
        """The seed's generator, trained if there is none yet; with its reader if the plan reads."""
        folder = self.bundle_folder
        if not (folder / "config.json").exists():
            reader_folder = folder / READER_FOLDER
            if self.plan.read_back and not (reader_folder / "config.json").exists():
                self.say(f"seed {self.seed}: training the reader")
                save_reader(reader_folder, self.train_reader())
            self.say(f"seed {self.seed}: training the generator")
            context = PlainContext(self.folder / "generator", device=self.device, resume=True)
            model = train_generator(
                self.real, self.plan.generator, context, scratch=self.folder / "scratch"
            )
            write_bundle(folder, model, self.real, self.plan.generator)
        return load_bundle(folder)

    def generated(self) -> LabelledPixels:
        """Images of the seed's generator; if the plan reads back, those read as their labels.

        Raises:
            DataError: none was.
        """
        if not self.generated_path.exists():
            self._generate()
        arrays = load_arrays(self.generated_path)
        return LabelledPixels(arrays["images"], arrays["labels"])

    @property
    def is_copy(self) -> NearCopies | None:
        """Finds near-copies of the real images; None where the plan keeps them."""
        return NearCopies(self._sources["real"].images) if self.plan.drop_copies else None

    def _generate(self) -> None:
        started = time.monotonic()
        self.bundle()
        self.say(f"seed {self.seed}: generating")
        reads = self.plan.read_back
        drawn = draw_counts(
            load_sampler(self.bundle_folder, device=self.device),
            dict.fromkeys(range(len(self.real.classes)), self.plan.generated_per_class),
            self.seed,
            reader=load_reader(self.bundle_folder / READER_FOLDER, self.device) if reads else None,
            is_copy=self.is_copy,
            tally=(tally := Tally()),
        )
        kept = [image for chunk in drawn for image in chunk]
        if not kept:
            raise DataError(
                f"seed {self.seed}: expected generated images that are read as their label, got "
                f"none of {tally.made}; train the generator or the reader longer."
            )
        save_arrays(
            self.generated_path,
            images=np.stack([image.image for image in kept]),
            labels=np.array([image.label for image in kept]),
            tally=np.array([tally.asked, tally.made, tally.kept, tally.dropped, tally.copies]),
            seconds=np.array(time.monotonic() - started),
        )

    def rendered(self) -> LabelledPixels:
        """Images of the font renderer, in the colours and backgrounds of the real images."""
        render = CharacterRenderer(
            self.real.classes,
            self.size,
            self.channels,
            self._sources["real"].images,
            fonts=self.plan.generator.fonts(),
        )
        labels = np.repeat(np.arange(len(self.real.classes)), self.plan.rendered_per_class)
        return LabelledPixels(render(labels, derive_seed(self.seed, 2) % 2**31), labels)

    def train(
        self,
        recipe: Recipe,
        *,
        seed: int,
        steps: int | None = None,
        rows: NDArray[np.int64] | None = None,
        build: Build | None = None,
        generated: LabelledPixels | None = None,
        on_checkpoint: Callable[[int, Recognizer], None] | None = None,
    ) -> Recognizer:
        """Train a recognizer by a recipe on the real images, or on some rows of them.

        Args:
            recipe: composition of the batches.
            seed: tells this training from others of the same run.
            steps: the plan's budget where None.
            rows: which real images.
            build: the run's where None.
            generated: instead of the run's own; labels beyond the classes are further classes.
            on_checkpoint: see ``recognizers.fit.fit``.
        """
        sources = self._sources_of(recipe if generated is None else replace(recipe, generated=0.0))
        if generated is not None:
            sources["generated"] = generated
        if rows is not None:
            real = sources["real"]
            sources["real"] = LabelledPixels(real.images[rows], real.labels[rows])
        budget = self.plan.budget if steps is None else replace(self.plan.budget, steps=steps)
        stream = mixed_stream(
            recipe,
            sources,
            steps=budget.steps,
            batch_size=budget.batch_size,
            augment=ClassicalAugmentation(recipe.augmentation, self.size, self.channels),
            seed=derive_seed(self.seed, seed),
        )
        make = build or self.build
        beyond = 0 if generated is None else 1 + int(generated.labels.max())
        num_classes = max(len(self.real.classes), beyond)
        return fit(
            lambda: make(num_classes, self.size, self.channels),
            stream,
            budget,
            seed=derive_seed(self.seed, seed) % 2**31,
            device=self.device,
            checkpoints=CURVE_POINTS if on_checkpoint else 0,
            on_checkpoint=on_checkpoint,
        )

    def _cell(self, name: str, kept: Mapping[str, NDArray[Any]]) -> Cell:
        return Cell(
            name,
            self.seed,
            kept["predictions"],
            curve_of(kept),
            kept.get("confirmed"),
            float(kept["seconds"]),
        )

    def _finish(self, path: Path, name: str, recipe: Recipe) -> None:
        """Train an arm, measure it on the test images and keep the result."""
        started = time.monotonic()
        curve: list[tuple[int, float]] = []
        read: dict[str, NDArray[np.int64]] = {}

        def measure(step: int, model: Recognizer) -> None:
            read["predictions"] = predict(model, self._test_images)[0]
            labels, focus = self.draw.test.labels, self.draw.focus
            curve.append((step, score(self.draw.metric, read["predictions"], labels, focus)))

        model = self.train(recipe, seed=1, on_checkpoint=measure)
        if self.draw.confirm is not None:
            read["confirmed"] = predict(model, self.draw.confirm.images())[0]
        seconds = time.monotonic() - started
        self.say(f"seed {self.seed}: arm {name}: {curve[-1][1]:.4f} in {seconds:.0f} s")
        save_arrays(path, **read, curve=np.array(curve), seconds=np.array(seconds))

    @cached_property
    def _test_images(self) -> Pixels:
        return self.draw.test.images()

    def train_reader(self) -> CrossFittedReader:
        """Train the recognizers that read generated images back, on the real images."""
        recipe = self.plan.recipes["reader"]
        return train_reader(
            self.real,
            folds_of(self.real.labels),
            lambda rows, fold: self.train(
                recipe,
                seed=100 + fold,
                steps=self.plan.reader_steps,
                rows=rows,
                build=self.reader_build,
            ),
            self.plan.reader_band,
        )
