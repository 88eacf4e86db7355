"""The benchmark faces-verify: its seeds, its report and its table; run by ``jobs.benchmark``."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from augment.files import write_whole
from jobs.seeds import run_tasks
from jobs.tasks import SeedTask
from recognizers.pictures import take_pictures
from recognizers.recommend import recommend
from recognizers.report import build_report, format_table, write_report
from recognizers.verification_arms import (
    CANDIDATES,
    Verification,
    VerificationRun,
    compare_arms,
    format_scores,
    format_view2,
    score_table,
    view2_table,
)

__all__ = ["verify", "verify_sets"]

LEADING = CANDIDATES[-1]
"""The arm that the verdict is about, chosen beforehand: what the paper found best."""


def verify(
    tasks: Sequence[SeedTask], *, command: str, out: Path, device: str, processes: int = 1
) -> str:
    """Train and measure all arms of all seeds; writes report.json and report.html.

    Args:
        tasks: one a seed, of a ``Verification``.
        command: measures it again.
        out: folder of the report.
        device: what it runs on, in words.
        processes: seeds at a time.

    Returns:
        The result as lines for a console.
    """
    run_tasks(finish, tasks, processes=processes)
    runs = [open_run(task) for task in tasks]
    gains, scores = compare_arms(runs), score_table(runs)
    report = build_report(
        gains[LEADING],
        scenario=tasks[0].scenario.name,
        describe=tasks[0].scenario.describe,
        n_train=len(runs[0].run.real),
        steps=dict.fromkeys(scores, tasks[0].plan.budget.steps),
        generated=_generated(runs),
        bundle=runs[0].run.bundle().digest,
        seconds=sum(run.run.seconds for run in runs),
        device=device,
        command=command,
        tested="test pairs",
        recommended=recommend(
            gains[LEADING],
            tasks[0].plan,
            bundle=runs[0].run.bundle_folder,
            data=runs[0].run.real.uri,
            classes=len(runs[0].run.real.classes),
            image_size=runs[0].run.real.image_size,
            out=out / "training-set",
            candidate=LEADING,
        ),
    )
    report["scores"] = scores
    report["gains"] = {
        arm: {**gain.to_mapping()["gain"], "verdict": gain.verdict} for arm, gain in gains.items()
    }
    page = write_report(out, report, take_pictures(runs[0].run, runs[0].new_people()))
    return f"{format_table(report)}\n\n{format_scores(scores)}\n\n{page}"


def verify_sets(
    tasks: Sequence[SeedTask], *, command: str, out: Path, device: str, processes: int = 1
) -> str:
    """View 2: train and measure all arms once a set; writes view2.json.

    The sets' training people overlap, so their scores are given as published results are, as a
    mean and its standard error, without a verdict.

    Args:
        tasks: one a set, of a ``ReportingView``.
        command: measures it again.
        out: folder of view2.json.
        device: what it runs on, in words.
        processes: sets at a time.

    Returns:
        The result as lines for a console.
    """
    run_tasks(finish, tasks, processes=processes)
    runs = [open_run(task) for task in tasks]
    table = view2_table(runs)
    report = {
        "scenario": tasks[0].scenario.name,
        "describe": tasks[0].scenario.describe,
        "arms": {arm: asdict(scores) for arm, scores in table.items()},
        "steps": tasks[0].plan.budget.steps,
        "generated": _generated(runs),
        "seconds": sum(run.run.seconds for run in runs),
        "device": device,
        "command": command,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / "view2.json"
    write_whole(path, json.dumps(report, indent=1) + "\n")
    return f"{format_view2(table)}\n\n{path}"


def _generated(runs: Sequence[VerificationRun]) -> Counter[str]:
    """Images made, kept and dropped in all runs."""
    generated: Counter[str] = Counter()
    for run in runs:
        generated.update(run.generated)
    return generated


def finish(task: SeedTask) -> None:
    """Train and measure every arm that a seed has not finished yet."""
    open_run(task).cells()


def open_run(task: SeedTask) -> VerificationRun:
    """One seed, continued."""
    assert isinstance(task.scenario, Verification)
    return VerificationRun(task.open(), task.scenario)
