"""Trying recipes for every arm alike: ``jobs.benchmark SCENARIO --tune``."""

from collections.abc import Sequence
from pathlib import Path

from jobs.seeds import SeedTask, run_tasks
from jobs.verification import open_run
from recognizers.tuning import measured_on, run_trials, summarize, trials_of, write_trials
from recognizers.verification_tuning import run_verification_trials, summarize_verification

__all__ = ["tune", "tune_verification"]


def finish_trials(task: SeedTask) -> None:
    """Try every recipe that a seed has not tried yet."""
    run_trials(task.open_for_tuning())


def tune(tasks: Sequence[SeedTask], out: Path, *, processes: int = 1) -> str:
    """Try recipes for every arm alike; writes tune.json and, for ``--config``, recipes.json.

    Args:
        tasks: one a draw.
        out: folder of both files.
        processes: draws at a time.

    Returns:
        What was found, for a console.
    """
    scenario, plan = tasks[0].scenario, tasks[0].plan
    each = {arm: len(recipes) for arm, recipes in trials_of(plan).items()}
    told = measured_on(scenario.draw(tasks[0].seed))
    print(
        f"{scenario.name}: {max(each.values())} recipes for each of {', '.join(each)}", flush=True
    )
    print(f"measured on {told}; test images are not read", flush=True)
    run_tasks(finish_trials, tasks, processes=processes)
    trials = summarize({task.seed: task.open_for_tuning() for task in tasks})
    about = {
        "scenario": scenario.name,
        "metric": scenario.metric,
        "measured_on": told,
        "seeds": [task.seed for task in tasks],
        "steps": plan.budget.steps,
    }
    return write_trials(out, trials, about)


def tune_verification(tasks: Sequence[SeedTask], out: Path, *, processes: int = 1) -> str:
    """The same for a ``Verification``, on pairs of the people that a seed holds back."""
    run_tasks(finish_verification_trials, tasks, processes=processes)
    trials = summarize_verification({task.seed: open_run(task) for task in tasks})
    about = {
        "scenario": tasks[0].scenario.name,
        "metric": "area under the ROC curve",
        "measured_on": "pairs of the people held back",
        "seeds": [task.seed for task in tasks],
        "steps": tasks[0].plan.budget.steps,
    }
    return write_trials(out, trials, about)


def finish_verification_trials(task: SeedTask) -> None:
    """The same as ``finish_trials``, of a ``Verification``."""
    run_verification_trials(open_run(task))
