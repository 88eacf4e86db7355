"""The report of a benchmark: report.json for machines, report.html for people, a table for both.

The page leads with the verdict and ends with the training set to make. It is one file without
any outside resource. A section whose data are missing is left out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.files import write_whole
from augment.images import Pixels
from recognizers.charts import arm_colour
from recognizers.gain import LEAST_SEEDS, ArmResult, GainReport
from recognizers.metrics import confusion
from recognizers.pages import page_environment
from recognizers.report_parts import (
    charts,
    fewer_or_more,
    headline,
    interval_in_words,
    intervals,
    matrices,
    misread_characters,
    pairs,
    score_scale,
    sentence,
    words,
)

__all__ = [
    "ClassPictures",
    "Neighbour",
    "Pictures",
    "build_report",
    "confusion_section",
    "format_table",
    "write_report",
]

Report = Mapping[str, Any]

ARM_MEANINGS = {
    "real": "real images only",
    "classical": "real + classical augmentation",
    "rendered": "classical + font-rendered images",
    "synthetic": "classical and rendered + generated images",
    "synthetic_only": "generated images only",
}
WITHOUT_RENDERER = {"synthetic": "classical + generated images"}


@dataclass(frozen=True)
class ClassPictures:
    """Real beside generated images of one class, each (n, H, W, C)."""

    name: str
    real: Pixels
    generated: Pixels


@dataclass(frozen=True)
class Neighbour:
    """A generated image and the training image most like it, each (H, W, C).

    Attributes:
        label: the class of the generated image.
        generated: the image.
        nearest: the nearest training image of any class.
        distance: root mean square difference of their pixels, in [0, 1].
    """

    label: str
    generated: Pixels
    nearest: Pixels
    distance: float


@dataclass(frozen=True)
class Pictures:
    """What a report shows; nothing is measured on it.

    Attributes:
        by_class: a row for each class.
        neighbours: generated images beside their nearest training image.
        usual_distance: median distance of a real training image to its nearest other one,
            to compare the neighbours with.
    """

    by_class: Sequence[ClassPictures] = ()
    neighbours: Sequence[Neighbour] = ()
    usual_distance: float | None = None


def build_report(
    gain: GainReport,
    *,
    scenario: str,
    describe: str,
    n_train: int,
    steps: Mapping[str, int],
    generated: Mapping[str, int],
    bundle: str | None,
    seconds: float,
    device: str,
    command: str | None = None,
    tested: str = "test images",
    confusion: Mapping[str, Any] | None = None,
    sweeps: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    recommended: Mapping[str, Any] | None = None,
    confirmation: tuple[str, GainReport] | None = None,
) -> dict[str, Any]:
    """Put together what report.json holds.

    Args:
        gain: from ``measure_gain``.
        scenario: its name.
        describe: its sentence.
        n_train: real training images of one draw.
        steps: training steps of each arm.
        generated: "made", "kept" and "dropped" images.
        bundle: the generator, as the registry names it.
        seconds: what the benchmark took.
        device: what it ran on.
        command: reproduces the benchmark.
        tested: what was tested on, in words.
        confusion: from ``confusion_section``.
        sweeps: "real_per_class" or "ratio" to a list of {"x": …, "arms": {arm: [per seed]}}.
        recommended: {"mix": {arm: share of a batch}, "why": …, "command": …}: the training
            set to make.
        confirmation: the same recognizers on test images of another source, and its name.
    """
    confirmed = confirmation and {"on": confirmation[0], **confirmation[1].to_mapping()}
    optional = {
        "command": command,
        "confusion": confusion,
        "sweeps": sweeps,
        "recommended": recommended,
        "confirmation": confirmed,
    }
    return {
        "scenario": scenario,
        "describe": describe,
        "tested": tested,
        "n_train": n_train,
        **gain.to_mapping(),
        "steps": dict(steps),
        "generated": dict(generated),
        "bundle": bundle,
        "seconds": round(seconds, 1),
        "device": device,
    } | {key: value for key, value in optional.items() if value is not None}


def confusion_section(
    results: Sequence[ArmResult],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    before: str,
    after: str = "synthetic",
    focus_by_seed: Mapping[int, Sequence[int] | None] | None = None,
) -> dict[str, Any]:
    """Count confusions of two arms over all seeds, in each seed for its classes in focus.

    Returns:
        {"classes": names, "before": {"arm": …, "counts": matrix}, "after": {…}}; rows of a
        matrix are true classes.
    """

    def counted(arm: str) -> dict[str, Any]:
        total = np.zeros((len(classes), len(classes)), np.int64)
        for result in results:
            if result.arm == arm:
                focus = (focus_by_seed or {}).get(result.seed)
                rows = np.isin(labels, list(focus)) if focus is not None else slice(None)
                total += confusion(result.predictions[rows], labels[rows], len(classes))
        return {"arm": arm, "counts": total.tolist()}

    return {"classes": list(classes), "before": counted(before), "after": counted(after)}


def write_report(out_dir: Path, report: Report, pictures: Pictures | None = None) -> Path:
    """Write report.json and report.html; each appears only when it is complete.

    Args:
        out_dir: folder, made where missing.
        report: from ``build_report``.
        pictures: what to show; None = no pictures.

    Returns:
        Path of report.html.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    page = _render(report, pictures or Pictures())
    write_whole(out_dir / "report.json", text + "\n")
    return write_whole(out_dir / "report.html", page)


def format_table(report: Report) -> str:
    """The result as lines for a console, some 80 columns wide."""
    seeds = len(report["seeds"])
    lines = [
        f"{report['scenario']}: {words(report['metric'])} on {report['n_test']:,} "
        f"{report['tested']}, {report['n_train']:,} real training images, "
        f"{seeds} seed{'s' * (seeds != 1)}",
        "",
        f"  {'arm':<16}{'mean':>8}   each seed",
    ]
    for arm, summary in report["arms"].items():
        each = " ".join(f"{100 * value:5.1f}" for value in summary["per_seed"])
        note = "   baseline" if arm == report["baseline"] else ""
        lines.append(f"  {arm:<16}{100 * summary['mean']:6.2f} %   {each}{note}")
    lines += ["", f"  {headline(report)}: {sentence(report['gain'])}"]
    if report["gain_over_classical"] and report["baseline"] != "classical":
        lines.append(
            f"  generated and rendered together: {sentence(report['gain_over_classical'])}"
        )
    if report["all_classes"] != report["arms"]:
        lines.append(f"  over all classes: {sentence(report['gain_all_classes'])}")
    if "confirmation" in report:
        confirmed = report["confirmation"]
        lines.append(f"  confirmed on {confirmed['on']}? {sentence(confirmed['gain'])}")
    if report["generated"]:
        lines.append(
            "  generated images: "
            + ", ".join(f"{count:,} {what}" for what, count in report["generated"].items())
        )
    return "\n".join(lines)


def _render(report: Report, pictures: Pictures) -> str:
    """Fill the template beside this file."""
    environment = page_environment()
    environment.filters["arm_colour"] = arm_colour
    return environment.get_template("report.html.jinja").render(
        report=report,
        pictures=pictures,
        headline=headline(report),
        tone={"helps": "good", "hurts": "bad"}.get(report["verdict"], "open"),
        least_seeds=LEAST_SEEDS,
        sentence=sentence,
        fewer_or_more=fewer_or_more,
        interval_in_words=interval_in_words,
        arm_meanings=ARM_MEANINGS | ({} if "rendered" in report["arms"] else WITHOUT_RENDERER),
        intervals=intervals(report),
        scale=score_scale(report),
        charts=charts(report),
        pairs=pairs(report),
        matrices=matrices(report),
        misread=misread_characters(report),
    )
