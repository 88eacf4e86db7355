"""One seed of a benchmark, described so that another process can run it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from augment.config import merged
from recognizers.arms import Plan, SeedRun
from recognizers.comparators import offer_readers
from recognizers.draws import Draw
from recognizers.scenarios import Scenario
from recognizers.text_arms import TextPlan, TextRun
from recognizers.text_scenarios import TextDraw, TextScenario
from recognizers.text_tuning import text_tuning_draws
from recognizers.tuning import tuning_draws

__all__ = ["SeedTask", "Task", "TextTask", "say"]

DrawT = TypeVar("DrawT")
RunT = TypeVar("RunT")


def say(text: str) -> None:
    """Print a progress line at once; processes share the terminal."""
    print(text, flush=True)


class Task(ABC, Generic[DrawT, RunT]):
    """One seed, of images or of text.

    Attributes:
        seed: of everything random.
        out: folder of the benchmark; what is finished is kept in its ``seeds``.
    """

    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        """Where the seed's finished pieces are kept."""
        return self.out / "seeds" / str(self.seed)

    def open(self) -> RunT:
        """Draw the seed's images and continue its folder.

        Raises:
            ConfigError, DataError, ResumeError: see ``draw`` of the scenario, and the run.
        """
        return self._open(self._draw(), self.folder)

    def open_for_tuning(self) -> list[RunT]:
        """Runs that try recipes on training images: one on dev images, or one a fold."""
        draws = self._tuning_draws(self._draw())
        return [self._open(draw, self.folder / f"part-{i}") for i, draw in enumerate(draws)]

    @abstractmethod
    def _draw(self) -> DrawT: ...

    @abstractmethod
    def _tuning_draws(self, draw: DrawT) -> list[DrawT]: ...

    @abstractmethod
    def _open(self, draw: DrawT, folder: Path) -> RunT: ...


@dataclass(frozen=True)
class SeedTask(Task[Draw, SeedRun]):
    """One seed of a scenario of classes.

    Attributes:
        scenario: which images are drawn.
        seed: of everything random.
        plan: budgets and recipes.
        out: see ``Task``.
        recognizer: ``module:Class`` of the user's own; None = the plan's.
        device: where everything is trained.
    """

    scenario: Scenario
    seed: int
    plan: Plan
    out: Path
    recognizer: str | None = None
    device: str = "cpu"

    def with_shots(self, factor: int) -> "SeedTask":
        """The same seed with a multiple of the scenario's real images a class."""
        if factor == 1:
            return self
        scenario = self.scenario.with_shots(factor * self.scenario.shots)
        out = self.out / "sweep" / f"{scenario.shots}-shots"
        return replace(self, scenario=scenario, out=out)

    def own_plan(self) -> Plan:
        """The plan with this seed's number for ``{seed}`` in the name of a comparator."""
        perceptual = getattr(self.plan.generator.model, "perceptual", None)
        if perceptual is None:
            return self.plan
        name = perceptual.comparator.replace("{seed}", str(self.seed))
        return merged(self.plan, {"generator": {"model": {"perceptual": {"comparator": name}}}})

    def _draw(self) -> Draw:
        return self.scenario.draw(self.seed)

    def _tuning_draws(self, draw: Draw) -> list[Draw]:
        return tuning_draws(draw, self.seed)

    def _open(self, draw: Draw, folder: Path) -> SeedRun:
        offer_readers()  # a perceptual term may compare by one; this may be another process
        return SeedRun(
            draw,
            self.seed,
            self.own_plan(),
            folder,
            recognizer=self.recognizer,
            say=say,
            device=self.device,
        )


@dataclass(frozen=True)
class TextTask(Task[TextDraw, TextRun]):
    """One seed of a text scenario.

    Attributes:
        scenario: which lines are drawn.
        seed: of everything random.
        plan: budgets and recipes.
        out: see ``Task``.
        device: where everything is trained.
    """

    scenario: TextScenario
    seed: int
    plan: TextPlan
    out: Path
    device: str = "cpu"

    def _draw(self) -> TextDraw:
        return self.scenario.draw(self.seed)

    def _tuning_draws(self, draw: TextDraw) -> list[TextDraw]:
        return text_tuning_draws(draw, self.seed)

    def _open(self, draw: TextDraw, folder: Path) -> TextRun:
        return TextRun(
            self.scenario, draw, self.seed, self.plan, folder, say=say, device=self.device
        )
