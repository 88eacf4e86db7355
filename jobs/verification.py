"""The benchmark faces-verify: its seeds, its report and its table; run by ``jobs.benchmark``."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jobs.seeds import SeedTask, run_tasks
from recognizers.report import build_report, format_table, write_report
from recognizers.verification_arms import (
    CANDIDATES,
    Verification,
    VerificationRun,
    compare_arms,
    format_scores,
    score_table,
)

__all__ = ["verify"]

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
    generated: Counter[str] = Counter()
    for run in runs:
        generated.update(run.generated)
    report = build_report(
        gains[LEADING],
        scenario=tasks[0].scenario.name,
        describe=tasks[0].scenario.describe,
        n_train=len(runs[0].run.real),
        steps=dict.fromkeys(scores, tasks[0].plan.budget.steps),
        generated=generated,
        bundle=runs[0].run.bundle().digest,
        seconds=sum(cell.seconds for run in runs for cell in run.cells()),
        device=device,
        command=command,
    )
    report["scores"] = scores
    report["gains"] = {
        arm: {**gain.to_mapping()["gain"], "verdict": gain.verdict} for arm, gain in gains.items()
    }
    page = write_report(out, report)
    return f"{format_table(report)}\n\n{format_scores(scores)}\n\n{page}"


def finish(task: SeedTask) -> None:
    """Train and measure every arm that a seed has not finished yet."""
    open_run(task).cells()


def open_run(task: SeedTask) -> VerificationRun:
    """One seed, continued."""
    assert isinstance(task.scenario, Verification)
    return VerificationRun(task.open(), task.scenario)
