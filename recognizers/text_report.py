"""What a benchmark of text reports: the gain by texts read whole, and what became of characters.

A test line counts as one mistake unless every character that counts is right, so the machinery of
``recognizers.gain`` applies as it is: paired over seeds and arms, resampled by plate or picture.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augment.data.texts import Lines
from augment.images import Pixels
from recognizers.gain import ArmResult, GainReport, measure_gain
from recognizers.mixing import LabelledPixels
from recognizers.nearest import nearest_images
from recognizers.report import ClassPictures, Neighbour, Pictures, build_report
from recognizers.text_arms import TEST, TextCell, TextRun
from recognizers.text_metrics import (
    MISSING,
    ErrorReport,
    report_errors,
    right_texts,
    score_texts,
    share_interval,
)
from recognizers.text_recommend import recommend_lines

__all__ = ["build_text_report", "format_text_scores", "take_text_pictures"]

NOTHING = "∅"
"""How a report shows a character that was not read, or one that is not there."""
SHOWN = 16
"""Real and generated lines shown beside each other."""
NEIGHBOURS = 24
"""Generated lines shown beside the training line most like them."""


def build_text_report(
    runs: Sequence[TextRun], *, device: str, command: str, out: Path
) -> dict[str, Any]:
    """What report.json holds; arms not finished yet are run.

    Args:
        runs: one a seed.
        device: what they ran on, in words.
        command: measures it again.
        out: see ``recommend_lines``.
    """
    cells = [cell for run in runs for cell in run.run()]
    first = runs[0]
    gains = {which: _gain(first, cells, which) for which in first.test_sets()}
    gain, confirm = gains[TEST], first.scenario.confirm
    made = {
        name: sum(getattr(run.tally, name) for run in runs) for name in ("made", "kept", "dropped")
    }
    report = build_report(
        gain,
        scenario=first.scenario.name,
        describe=first.scenario.describe,
        n_train=len(first.draw.train),
        steps=dict.fromkeys(gain.arms, first.plan.budget.steps),
        generated=made,
        bundle=first.bundle().digest,
        seconds=sum(run.seconds for run in runs),
        device=device,
        command=command,
        confusion=_confusion(first, cells, gain.baseline),
        recommended=recommend_lines(first, gain, out),
        confirmation=(confirm, gains[confirm]) if confirm in gains else None,
    )
    report["same_images"] = first.draw.dev is None
    report["scores"] = _scores(first, cells)
    report["others"] = {
        which: _other(first, cells, gains[which], which) for which in first.draw.others
    }
    report["errors"] = {
        arm: _errors(first, cells, arm).to_mapping() for arm in (gain.baseline, "synthetic")
    }
    return report


def format_text_scores(report: Mapping[str, Any]) -> str:
    """Character scores and the other test sets for a console, in percent."""
    lines = [f"  {'arm':<16}{'characters':>12}{'1 - NED':>10}"]
    for arm, score in report["scores"].items():
        characters, ned = 100 * score["character_accuracy"], 100 * score["one_minus_ned"]
        lines.append(f"  {arm:<16}{characters:12.2f}{ned:10.2f}")
    for which, other in report["others"].items():
        lines += ["", f"  {which}, {other['n_test']:,} lines"]
        for arm, share in other["arms"].items():
            interval = ""
            if share["ci95"]:
                low, high = (100 * end for end in share["ci95"])
                interval = f"  (95 % interval {low:.1f} to {high:.1f})"
            lines.append(f"  {arm:<16}{100 * share['mean']:10.2f} %{interval}")
    return "\n".join(lines)


def take_text_pictures(run: TextRun) -> Pictures:
    """Real and generated lines of a finished seed; the choice is random, made without looking."""
    real = run.draw.train.shaped(run.shape)
    generated = run.generated()
    rng = np.random.default_rng(run.seed)
    pixels = LabelledPixels(generated.lines.pixels, np.arange(len(generated)))
    some_real = np.sort(rng.permutation(len(real.pixels))[:SHOWN])
    some = np.sort(rng.permutation(len(pixels))[:SHOWN])
    shown = np.sort(rng.permutation(len(pixels))[:NEIGHBOURS])
    nearest, distances = nearest_images(pixels.images[shown], real.pixels)
    made = generated.lines
    return Pictures(
        [
            ClassPictures(
                f"{run.draw.train.texts[known]} | {generated.texts[row]}",
                _own(real, known)[None],
                _own(made, row)[None],
            )
            for known, row in zip(some_real.tolist(), some.tolist(), strict=False)
        ],
        [
            Neighbour(generated.texts[row], _own(made, row), _own(real, index), float(distance))
            for row, index, distance in zip(shown, nearest, distances, strict=True)
        ],
    )


def _own(lines: Lines, row: int) -> Pixels:
    """One line without its padding."""
    return lines.pixels[row, :, : lines.widths[row]]


def _gain(run: TextRun, cells: Sequence[TextCell], which: str) -> GainReport:
    """The gain on one test set, a mistake a line that was misread."""
    data = run.test_sets()[which]
    results = []
    for cell in cells:
        wrong = ~right_texts(cell.read[which], data.texts, run.charset)
        curve = cell.curve if which == TEST else ()
        results.append(ArmResult(cell.arm, cell.seed, wrong.astype(np.int64), curve))
    return measure_gain(results, np.zeros(len(data), np.int64), data.groups, metric="accuracy")


def _other(run: TextRun, cells: Sequence[TextCell], gain: GainReport, which: str) -> dict[str, Any]:
    """One further test set: shares, with intervals over groups of its lines if these are known.

    Without groups words of one photograph would count as independent, and any interval be too
    narrow; so there is none, and no verdict.
    """
    found, data = gain.to_mapping(), run.draw.others[which]
    grouped = which not in run.scenario.ungrouped

    def interval(arm: str) -> list[float] | None:
        if not grouped:
            return None
        read = [cell.read[which] for cell in cells if cell.arm == arm]
        right = np.mean([right_texts(one, data.texts, run.charset) for one in read], axis=0)
        return list(share_interval(right, data.groups))

    arms = {
        arm: {"mean": summary.mean, "per_seed": summary.per_seed, "ci95": interval(arm)}
        for arm, summary in gain.arms.items()
    }
    about = {"n_test": len(data), "arms": arms, "baseline": found["baseline"]}
    if grouped:
        about |= {name: found[name] for name in ("gain", "gain_over_classical", "verdict")}
    return about


def _scores(run: TextRun, cells: Sequence[TextCell]) -> dict[str, dict[str, float]]:
    """Scores of each arm on the test, averaged over the seeds."""
    texts = run.draw.test.texts
    arms: dict[str, list[dict[str, float]]] = {}
    for cell in cells:
        score = score_texts(cell.read[TEST], texts, run.charset)
        arms.setdefault(cell.arm, []).append(score.to_mapping())
    return {
        arm: {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}
        for arm, scores in arms.items()
    }


def _errors(run: TextRun, cells: Sequence[TextCell], arm: str) -> ErrorReport:
    """What became of the test's characters in one arm, all seeds together."""
    of_arm = [cell for cell in cells if cell.arm == arm]
    read = [text for cell in of_arm for text in cell.read[TEST]]
    return report_errors(read, list(run.draw.test.texts) * len(of_arm), run.charset)


def _confusion(run: TextRun, cells: Sequence[TextCell], baseline: str) -> dict[str, Any]:
    """Which character was read as which before and after; ``NOTHING`` for none."""
    reports = {arm: _errors(run, cells, arm) for arm in (baseline, "synthetic")}
    seen = {c for report in reports.values() for pair in report.confusions for c in pair}
    seen |= {c for report in reports.values() for c in report.by_class}
    classes = [*sorted(seen - {MISSING}), MISSING]

    def counted(arm: str) -> dict[str, Any]:
        return {"arm": arm, "counts": reports[arm].matrix(classes).tolist()}

    return {
        "classes": [*classes[:-1], NOTHING],
        "before": counted(baseline),
        "after": counted("synthetic"),
    }
