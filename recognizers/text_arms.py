"""One seed of a benchmark of text: the generator, its reader, and a recognizer in every arm.

What ``recognizers.arms`` is to classes: all arms share the draw's real lines, the weights at the
start, budget and augmentation. Generator, renderer and reader see the draw's training lines and
nothing else.
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
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.pairs import FOLDS
from augment.data.texts import Lines, LineShape, TextImages
from augment.errors import ConfigError, DataError
from augment.generate import Tally
from augment.generators.base import train_generator, write_bundle
from augment.generators.line_reading import draw_lines
from augment.generators.line_saae import (
    CONFIGS,
    LineSAAEGenerator,
    folds_of_groups,
    load_line_sampler,
)
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
from recognizers.fit import Budget
from recognizers.gain import ArmResult
from recognizers.listening import Listener, listener_size, listens, numbers_of
from recognizers.scene_text import SIZES, TextConfig, TextRecognizer
from recognizers.text_fit import read_lines
from recognizers.text_metrics import right_texts
from recognizers.text_mixing import LabelledLines, TextRecipe
from recognizers.text_reader import (
    CrossFittedTextReader,
    load_text_reader,
    save_text_reader,
    train_text_reader,
)
from recognizers.text_scenarios import TextDraw, TextScenario
from recognizers.text_sources import line_shape, render_lines, sample_texts
from recognizers.text_training import train_on_lines

__all__ = ["TEST", "TextCell", "TextPlan", "TextRun"]

TEST = "test"
"""Name of the test set among all that are read."""
_ARM, _LISTENER, _MEMBERS = 1, 99, 100  # what seeds of trainings are derived for


@dataclass(frozen=True)
class TextPlan:
    """Everything that a text scenario's arms share or choose; frozen before a benchmark starts."""

    generator: LineSAAEGenerator = field(default_factory=lambda: CONFIGS["labelmint"])
    recognizer: TextConfig = SIZES["small"]  # also reads generated lines
    budget: Budget = field(default_factory=lambda: Budget(steps=3000, batch_size=24))
    beam: int = 0  # prefixes kept in reading test lines; 0: the most probable path is read
    read_back: bool = True  # whether generated lines must read as their text to be kept
    reader_steps: int = 3000  # characters that are many and rare are learned last
    reader_folds: int = FOLDS  # those that a bundle knows; or 1: the reader sees all real lines
    reader_band: tuple[float, float] = (0.0, 1.0)  # confidences of generated lines that are kept
    recipes: dict[str, TextRecipe] = field(default_factory=lambda: default_recipes(TextRecipe))
    generated_lines: int = 10_000
    rendered_lines: int = 10_000

    def __post_init__(self) -> None:
        """Check that every arm has a recipe, and the numbers."""
        counts = ("reader_steps", "reader_folds", "generated_lines", "rendered_lines")
        check_plan(self.recipes, self.reader_band, {name: getattr(self, name) for name in counts})
        if self.beam < 0:
            raise ConfigError(f"beam must be at least 0; got {self.beam}.")
        if self.reader_folds > FOLDS:
            raise ConfigError(f"reader_folds must be 1 or {FOLDS}; got {self.reader_folds}.")
        if self.generator.sampling.max_width is not None:
            raise ConfigError(
                "a benchmark draws the texts of real lines and their like, of any width; leave "
                f"generator.sampling.max_width out, got {self.generator.sampling.max_width}."
            )
        if self.recipes["reader"].generated:
            raise ConfigError("the reader must be independent of what it reads: no generated share")


@dataclass(frozen=True)
class TextCell(ArmResult):
    """One arm of one seed, finished: ``predictions`` are 1 for test lines that were misread.

    Attributes:
        read: what was read on each test set, by its name; ``TEST`` is the test itself.
        seconds: what training and measuring took; making the lines to train on is left out.
    """

    read: Mapping[str, list[str]] = field(kw_only=True)
    seconds: float = 0.0


class TextRun(ArmRun[TextRecipe, LabelledLines, TextCell]):
    """One seed of one text scenario.

    Args:
        scenario: says what is read, and in which shape.
        draw: the seed's lines.
        seed: of everything random.
        plan: budgets and recipes.
        folder: where finished pieces are kept; an existing one is continued.
        say: receives progress lines.
        device: where everything is trained.

    Raises:
        ResumeError: the folder holds pieces of another plan, draw, layout or shape.
    """

    def __init__(
        self,
        scenario: TextScenario,
        draw: TextDraw,
        seed: int,
        plan: TextPlan,
        folder: Path,
        *,
        say: Say = print,
        device: str = "cpu",
    ) -> None:
        self.scenario, self.draw, self.plan = scenario, draw, plan
        self.charset, self.shape = scenario.charset, scenario.shape
        self.layout = load_layout(scenario.layout)
        claim = {"plan": config_digest(plan), "train": draw.train.digest(), "seed": seed}
        lines = {"layout": self.layout, "charset": self.charset, "shape": self.shape}
        claim |= {what: config_digest(settings) for what, settings in lines.items()}
        claim |= {which: data.digest() for which, data in self.test_sets().items()}
        real = LabelledLines.of(draw.train, self.shape)
        super().__init__(real, seed, folder, claim, say=say, device=device)

    def recipes(self) -> dict[str, TextRecipe]:
        """Recipe of each arm."""
        return {name: self.plan.recipes[name] for name in ARMS}

    @cached_property
    def trainable(self) -> LineData:
        """The real lines that a generator can be trained on."""
        return LineData.select(self.draw.train, self.layout, self.shape)

    def bundle(self) -> BundleInfo:
        """The seed's generator, trained if there is none yet; with its reader if the plan reads.

        A generator with ``recognizer_weight`` listens to a recognizer of its own; see
        ``recognizers.listening``.
        """
        if not (self.bundle_folder / "config.json").exists():
            reader_folder = self.bundle_folder / READER_FOLDER
            if self.plan.read_back and not (reader_folder / "config.json").exists():
                self.say(f"seed {self.seed}: training the reader")
                save_text_reader(reader_folder, self.train_reader())
            data = self.trainable
            hears = listens(self.plan.generator.model)
            prepare = self._listener(data).prepare if hears else None
            self.say(f"seed {self.seed}: training the generator")
            context = PlainContext(self.folder / "generator", device=self.device, resume=True)
            model = train_generator(
                data,
                self.plan.generator,
                context,
                scratch=self.folder / "scratch",
                prepare=prepare,
            )
            write_bundle(self.bundle_folder, model, data, self.plan.generator)
        return load_bundle(self.bundle_folder)

    def texts(self, count: int) -> list[str]:
        """Texts of rendered and generated lines."""
        seed = derive_seed(self.seed, 2) % 2**31
        return sample_texts(self.trainable.texts, self.layout, self.charset, count, seed)

    def rendered(self) -> LabelledLines:
        """Lines of the renderer, in the looks of the real ones."""
        return self._rendered(self.shape)

    def _rendered(self, shape: LineShape) -> LabelledLines:
        texts = self.texts(self.plan.rendered_lines)
        seed = derive_seed(self.seed, 3) % 2**31
        return render_lines(self.draw.train, self.layout, shape, texts, seed)

    def generated(self) -> LabelledLines:
        """Lines of the seed's generator; if the plan reads back, those that read as their text.

        Raises:
            DataError: none did.
        """
        if not self.generated_path.exists():
            self._generate()
        arrays = load_arrays(self.generated_path)
        lines = Lines(arrays["pixels"], arrays["widths"])
        return LabelledLines(lines, tuple(arrays["texts"].tolist()))

    def train(
        self,
        recipe: TextRecipe,
        *,
        seed: int,
        steps: int | None = None,
        rows: NDArray[np.int64] | None = None,
        on_checkpoint: Callable[[int, TextRecognizer], None] | None = None,
        size: TextConfig | None = None,
        shape: LineShape | None = None,
    ) -> TextRecognizer:
        """Train a recognizer by a recipe on the real lines, or on some rows of them.

        Args:
            recipe: composition of the batches.
            seed: tells this training from others of the same run.
            steps: the plan's budget where None.
            rows: which real lines.
            on_checkpoint: see ``recognizers.fit.optimize``.
            size: of the recognizer; the plan's where None.
            shape: of the lines; the scenario's where None. In another one no line is generated.

        Raises:
            DataError: no line of a source is wide enough for its text.
        """
        shape = shape or self.shape
        sources = self._sources_of(recipe) if shape == self.shape else self._shaped(recipe, shape)
        if rows is not None:
            sources["real"] = sources["real"].subset(rows)
        budget = self.plan.budget if steps is None else replace(self.plan.budget, steps=steps)
        return train_on_lines(
            recipe,
            sources,
            self.charset,
            shape,
            budget,
            seed=derive_seed(self.seed, seed),
            size=size or self.plan.recognizer,
            device=self.device,
            checkpoints=CURVE_POINTS if on_checkpoint else 0,
            on_checkpoint=on_checkpoint,
        )

    def train_reader(self) -> CrossFittedTextReader:
        """Train the recognizers that read generated lines back, on the real lines.

        Its folds are those of the bundle, whose styles name the member that has not seen them. It
        reads lines as wide as the generator writes, where the arms squeeze long ones.
        """
        recipe, shape = self.plan.recipes["reader"], line_shape(self.trainable)
        return train_text_reader(
            folds_of_groups(self.draw.train.groups) % self.plan.reader_folds,
            lambda rows, fold: self.train(
                recipe,
                seed=_MEMBERS + fold,
                steps=self.plan.reader_steps,
                rows=rows,
                shape=shape,
            ),
            shape,
            self.plan.reader_band,
        )

    def _shaped(self, recipe: TextRecipe, shape: LineShape) -> dict[str, LabelledLines]:
        """What a recipe without generated lines draws from, in another shape than the arms'."""
        sources = {"real": LabelledLines.of(self.draw.train, shape)}
        return sources | ({"rendered": self._rendered(shape)} if recipe.rendered else {})

    def test_sets(self) -> dict[str, TextImages]:
        """The test and the draw's other test sets, by name."""
        return {TEST: self.draw.test, **self.draw.others}

    def _listener(self, data: LineData) -> Listener:
        self.say(f"seed {self.seed}: training the recognizer that the generator listens to")
        recognizer = self.train(
            self.plan.recipes["reader"],
            seed=_LISTENER,
            steps=self.plan.reader_steps,
            size=listener_size(self.plan.recognizer),
        )
        return Listener(recognizer, numbers_of(data.classes, self.charset))

    def _generate(self) -> None:
        started = time.monotonic()
        info, reader = self.bundle(), None
        if self.plan.read_back:
            folder = self.bundle_folder / READER_FOLDER
            reader = load_text_reader(folder, self.device, info=info)
        self.say(f"seed {self.seed}: generating")
        sampler = load_line_sampler(self.bundle_folder, device=self.device)
        texts, tally = self.texts(self.plan.generated_lines), Tally()
        kept = [
            LabelledLines.stacked(samples.images, samples.texts, self.shape)
            for samples in draw_lines(
                sampler, texts.__getitem__, len(texts), self.seed, reader=reader, tally=tally
            )
        ]
        if not tally.kept:
            raise DataError(
                f"seed {self.seed}: expected generated lines that are read as their text, got "
                f"none of {tally.made}; train longer: --set reader_steps=… the reader, "
                "--set generator.model.steps.alternate=… the generator."
            )
        save_arrays(
            self.generated_path,
            pixels=np.concatenate([lines.lines.pixels for lines in kept]),
            widths=np.concatenate([lines.lines.widths for lines in kept]),
            texts=np.array([text for lines in kept for text in lines.texts], np.str_),
            tally=np.array([tally.asked, tally.made, tally.kept, tally.dropped]),
            seconds=np.array(time.monotonic() - started),
        )

    def _cell(self, name: str, kept: Mapping[str, NDArray[Any]]) -> TextCell:
        read = {which: kept[f"read {which}"].tolist() for which in self.test_sets()}
        return TextCell(
            name,
            self.seed,
            (~right_texts(read[TEST], self.draw.test.texts, self.charset)).astype(np.int64),
            curve_of(kept),
            read=read,
            seconds=float(kept["seconds"]),
        )

    def _finish(self, path: Path, name: str, recipe: TextRecipe) -> None:
        """Train an arm, read the test sets and keep the result."""
        started = time.monotonic()
        curve: list[tuple[int, float]] = []

        def measure(step: int, model: TextRecognizer) -> None:
            read = read_lines(model, self._tested[TEST], beam=self.plan.beam).texts
            right = right_texts(read, self.draw.test.texts, self.charset)
            curve.append((step, float(right.mean())))

        model = self.train(recipe, seed=_ARM, on_checkpoint=measure)
        read = {
            f"read {which}": np.array(read_lines(model, lines, beam=self.plan.beam).texts, np.str_)
            for which, lines in self._tested.items()
        }
        seconds = time.monotonic() - started
        self.say(f"seed {self.seed}: arm {name}: {curve[-1][1]:.4f} in {seconds:.0f} s")
        save_arrays(path, **read, curve=np.array(curve), seconds=np.array(seconds))

    @cached_property
    def _tested(self) -> dict[str, Lines]:
        return {which: data.shaped(self.shape) for which, data in self.test_sets().items()}
