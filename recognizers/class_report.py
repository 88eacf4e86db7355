"""What report.json holds of a benchmark of classes; of text see ``recognizers.text_report``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from recognizers.arms import Cell, SeedRun
from recognizers.gain import ArmResult, GainReport, measure_gain
from recognizers.recommend import recommend
from recognizers.report import build_report, confusion_section
from recognizers.scenarios import Scenario

__all__ = ["build_class_report"]


def build_class_report(
    runs: Sequence[SeedRun],
    scenario: Scenario,
    *,
    device: str,
    command: str,
    out: Path,
    sweeps: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> dict[str, Any]:
    """What report.json holds; arms not finished yet are run.

    Args:
        runs: one a seed.
        scenario: what was drawn from.
        device: what they ran on, in words.
        command: measures it again.
        out: where the recommended training set would go.
        sweeps: curves to show.
    """
    cells = [cell for run in runs for cell in run.run()]
    draw, plan = runs[0].draw, runs[0].plan
    focus = {run.seed: run.draw.focus for run in runs}
    gain = measure_gain(
        cells, draw.test.labels, draw.clusters, metric=draw.metric, focus_by_seed=focus
    )
    made: Counter[str] = Counter()
    for run in runs:
        made.update(made=run.tally.made, kept=run.tally.kept, dropped=run.tally.dropped)
        if plan.drop_copies:
            made.update(copies=run.tally.copies)
    return build_report(
        gain,
        scenario=scenario.name,
        describe=scenario.describe,
        n_train=len(draw.train),
        steps=dict.fromkeys(gain.arms, plan.budget.steps),
        generated=made,
        bundle=runs[0].bundle().digest,
        seconds=sum(run.seconds for run in runs),
        device=device,
        command=command,
        confusion=confusion_section(
            cells, draw.test.labels, draw.test.classes, before=gain.baseline, focus_by_seed=focus
        ),
        sweeps=sweeps,
        recommended=recommend(
            gain,
            plan,
            bundle=runs[0].bundle_folder,
            data=draw.train.uri,
            classes=len(draw.train.classes),
            image_size=draw.train.image_size,
            out=out / "training-set",
        ),
        confirmation=_confirm(runs, cells),
    )


def _confirm(runs: Sequence[SeedRun], cells: Sequence[Cell]) -> tuple[str, GainReport] | None:
    """The gain on the draw's second test set, and its name; None where there is none."""
    other = runs[0].draw.confirm
    if other is None:
        return None
    results = [
        ArmResult(cell.arm, cell.seed, cell.confirmed)
        for cell in cells
        if cell.confirmed is not None
    ]
    focus = {run.seed: run.draw.focus for run in runs}
    gain = measure_gain(
        results, other.labels, other.groups, metric=runs[0].draw.metric, focus_by_seed=focus
    )
    return PurePath(other.uri.partition(":")[2]).name or other.uri, gain
