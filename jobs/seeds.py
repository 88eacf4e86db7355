"""The seeds of a benchmark: one after another, or several at a time in processes of their own.

Whatever a seed finishes is kept in its folder, so work done in another process is read from
there, and a seed that fails, or whose process is killed, takes nothing from the others.
"""

import json
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from augment.config import merged
from augment.errors import AugmentError, ConfigError
from recognizers.arms import Plan, SeedRun
from recognizers.comparators import offer_readers
from recognizers.draws import Draw
from recognizers.scenarios import Scenario
from recognizers.tuning import tuning_draws

__all__ = ["SEEDS", "TUNE_SEEDS", "HasSeed", "SeedTask", "check_report", "run_tasks", "say"]

SEEDS, TUNE_SEEDS = 5, 1  # unless the command line says otherwise


class HasSeed(Protocol):
    """A task that can be sent to another process."""

    @property
    def seed(self) -> int:
        """Which of the benchmark's seeds it is."""


Task = TypeVar("Task", bound=HasSeed)


@dataclass(frozen=True)
class SeedTask:
    """One seed of a scenario, described so that another process can run it.

    Attributes:
        scenario: which images are drawn.
        seed: of everything random.
        plan: budgets and recipes.
        out: folder of the benchmark; what is finished is kept in its ``seeds``.
        recognizer: ``module:Class`` of the user's own; None = the plan's.
        device: where everything is trained.
    """

    scenario: Scenario
    seed: int
    plan: Plan
    out: Path
    recognizer: str | None = None
    device: str = "cpu"

    def open(self) -> SeedRun:
        """Draw the seed's images and continue its folder.

        Raises:
            ConfigError, DataError: see ``find_recognizer``, ``Scenario.draw``, ``SeedRun``.
        """
        return self._open(self.scenario.draw(self.seed), self.folder)

    def open_for_tuning(self) -> list[SeedRun]:
        """Runs that try recipes on training images: one on dev images, or one a fold."""
        draws = tuning_draws(self.scenario.draw(self.seed), self.seed)
        return [self._open(draw, self.folder / f"part-{i}") for i, draw in enumerate(draws)]

    def with_shots(self, factor: int) -> "SeedTask":
        """The same seed with a multiple of the scenario's real images a class."""
        if factor == 1:
            return self
        scenario = self.scenario.with_shots(factor * self.scenario.shots)
        out = self.out / "sweep" / f"{scenario.shots}-shots"
        return replace(self, scenario=scenario, out=out)

    @property
    def folder(self) -> Path:
        """Where the seed's finished pieces are kept."""
        return self.out / "seeds" / str(self.seed)

    def own_plan(self) -> Plan:
        """The plan with this seed's number for ``{seed}`` in the name of a comparator."""
        perceptual = getattr(self.plan.generator.model, "perceptual", None)
        if perceptual is None:
            return self.plan
        name = perceptual.comparator.replace("{seed}", str(self.seed))
        return merged(self.plan, {"generator": {"model": {"perceptual": {"comparator": name}}}})

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


def say(text: str) -> None:
    """Print a progress line at once; processes share the terminal."""
    print(text, flush=True)


def run_tasks(work: Callable[[Task], object], tasks: Sequence[Task], *, processes: int = 1) -> None:
    """Do the work of every task, up to ``processes`` of them at a time.

    Args:
        work: a function of a module; what it returns is dropped.
        tasks: one a seed.
        processes: 1 works in this process; more start processes of one thread each.

    Raises:
        AugmentError: tasks failed; the others were finished first if there were processes.
    """
    if processes == 1:
        for task in tasks:
            work(task)
        return
    failed: dict[int, BaseException] = {}
    threads = ThreadPoolExecutor(min(processes, len(tasks)))
    seeds = {threads.submit(_in_own_process, work, task): task.seed for task in tasks}
    try:
        for future in as_completed(seeds):
            if (error := future.exception()) is not None:
                failed[seeds[future]] = error
                say(f"seed {seeds[future]}: failed: {_in_words(error)}")
    except KeyboardInterrupt:
        threads.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        threads.shutdown(cancel_futures=True)
    if failed:
        told = "; ".join(f"seed {seed}: {failed[seed]}" for seed in sorted(failed))
        raise AugmentError(
            f"{len(failed)} of {len(tasks)} seeds failed: {told} "
            "What is finished stays; mend this and go on with --resume."
        ) from failed[min(failed)]


def check_report(out: Path, seeds: Sequence[int]) -> None:
    """Refuse to replace the report of a benchmark by one that leaves out some of its seeds.

    Raises:
        ConfigError: there is one in ``out``.
    """
    path = out / "report.json"
    if not path.is_file():
        return
    known = json.loads(path.read_text(encoding="utf-8")).get("seeds", [])
    if set(known) - set(seeds):
        raise ConfigError(
            f"{path} tells of the seeds {', '.join(map(str, known))}, and would be replaced by one "
            f"of {', '.join(map(str, seeds))}; ask for all of them, or give another --out."
        )


def _in_own_process(work: Callable[[Task], object], task: Task) -> object:
    """Do the work in a process that takes its memory along, and no other task if it is killed."""
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=_be_one_of_many
    ) as pool:
        try:
            return pool.submit(work, task).result()
        except BrokenProcessPool as error:
            raise AugmentError(
                "its process was killed, perhaps for want of memory; take fewer --parallel."
            ) from error


def _be_one_of_many() -> None:
    """Prepare a process: one thread, and Ctrl-C is left to the process that started it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_words(error: BaseException) -> str:
    """An error of ours as its message, any other with its traceback."""
    if isinstance(error, AugmentError):
        return str(error)
    return "".join(traceback.format_exception(error))
