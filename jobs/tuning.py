"""Trying recipes for every arm alike: ``jobs.benchmark SCENARIO --tune``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.seeds import run_tasks
from jobs.tasks import SeedTask, TextTask, say
from jobs.verification import open_run
from recognizers.plans import VERIFICATION_CANDIDATES
from recognizers.text_tuning import (
    run_text_trials,
    summarize_texts,
    text_measured_on,
    text_trials,
)
from recognizers.tuning import measured_on, run_trials, summarize, trials_of, write_trials
from recognizers.verification_tuning import run_verification_trials, summarize_verification

__all__ = ["tune", "tune_texts", "tune_verification"]


def tune(tasks: Sequence[SeedTask], out: Path, *, processes: int = 1) -> str:
    """Try recipes for every arm alike; writes tune.json and, for ``--config``, recipes.json.

    Args:
        tasks: one a draw.
        out: folder of both files.
        processes: draws at a time.

    Returns:
        What was found, for a console.
    """
    scenario = tasks[0].scenario
    basis = measured_on(scenario.draw(tasks[0].seed))
    about = _announced(tasks, trials_of(tasks[0].plan), metric=scenario.metric, basis=basis)
    run_tasks(finish_trials, tasks, processes=processes)
    trials = summarize({task.seed: task.open_for_tuning() for task in tasks})
    return write_trials(out, trials, about)


def tune_verification(tasks: Sequence[SeedTask], out: Path, *, processes: int = 1) -> str:
    """The same for a ``Verification``, on pairs of the people that a seed holds back."""
    metric, basis = "area under the ROC curve", "pairs of the people held back"
    about = _announced(tasks, VERIFICATION_CANDIDATES, metric=metric, basis=basis)
    run_tasks(finish_verification_trials, tasks, processes=processes)
    trials = summarize_verification({task.seed: open_run(task) for task in tasks})
    return write_trials(out, trials, about)


def tune_texts(tasks: Sequence[TextTask], out: Path, *, processes: int = 1) -> str:
    """The same for a scenario of text."""
    basis = text_measured_on(tasks[0].scenario.draw(tasks[0].seed))
    about = _announced(tasks, text_trials(), metric="texts read right", basis=basis)
    run_tasks(finish_text_trials, tasks, processes=processes)
    trials = summarize_texts({task.seed: task.open_for_tuning() for task in tasks})
    return write_trials(out, trials, about)


def finish_trials(task: SeedTask) -> None:
    """Try every recipe that a seed has not tried yet."""
    run_trials(task.open_for_tuning())


def finish_verification_trials(task: SeedTask) -> None:
    """The same, of a ``Verification``."""
    run_verification_trials(open_run(task))


def finish_text_trials(task: TextTask) -> None:
    """The same, of a scenario of text."""
    run_text_trials(task.open_for_tuning())


def _announced(
    tasks: Sequence[SeedTask] | Sequence[TextTask],
    trials: Mapping[str, Sequence[object]],
    *,
    metric: str,
    basis: str,
) -> dict[str, Any]:
    """Say what will be tried on what, and return what tune.json tells about it."""
    name, each = tasks[0].scenario.name, max(len(recipes) for recipes in trials.values())
    say(f"{name}: {each} recipes for each of {', '.join(trials)}")
    say(f"measured on {basis}; test images are not read")
    return {
        "scenario": name,
        "metric": metric,
        "measured_on": basis,
        "seeds": [task.seed for task in tasks],
        "steps": tasks[0].plan.budget.steps,
    }
