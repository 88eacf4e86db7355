"""The report of a benchmark: report.json for machines, report.html for people, a table for both.

The page leads with the verdict and ends with the training set to make. It is one file without
any outside resource. A section whose data are missing is left out.
"""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from augment.images import Pixels, encode_png, tile
from recognizers.charts import Line, arm_colour, line_chart
from recognizers.gain import LEAST_SEEDS, ArmResult, GainReport
from recognizers.metrics import confusion, worst_pairs

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
SWEEPS = {
    "real_per_class": "real images a class",
    "ratio": "synthetic images for each real one",
}
MOST_PAIRS = 12  # rows in the table of confusions
MOST_CLASSES_IN_MATRIX = 70


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
    confusion: Mapping[str, Any] | None = None,
    sweeps: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    recommended: Mapping[str, Any] | None = None,
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
        confusion: from ``confusion_section``.
        sweeps: "real_per_class" or "ratio" to a list of {"x": …, "arms": {arm: [per seed]}}.
        recommended: {"mix": {arm: share of a batch}, "why": …, "command": …}: the training
            set to make.
    """
    optional = {
        "command": command,
        "confusion": confusion,
        "sweeps": sweeps,
        "recommended": recommended,
    }
    return {
        "scenario": scenario,
        "describe": describe,
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
    _write_whole(out_dir / "report.json", text + "\n")
    return _write_whole(out_dir / "report.html", page)


def format_table(report: Report) -> str:
    """The result as lines for a console, some 80 columns wide."""
    seeds = len(report["seeds"])
    lines = [
        f"{report['scenario']}: {_words(report['metric'])} on {report['n_test']:,} test images, "
        f"{report['n_train']:,} real training images, {seeds} seed{'s' * (seeds != 1)}",
        "",
        f"  {'arm':<16}{'mean':>8}   each seed",
    ]
    for arm, summary in report["arms"].items():
        each = " ".join(f"{100 * value:5.1f}" for value in summary["per_seed"])
        note = "   baseline" if arm == report["baseline"] else ""
        lines.append(f"  {arm:<16}{100 * summary['mean']:6.2f} %   {each}{note}")
    lines += ["", f"  {_headline(report)}: {_sentence(report['gain'])}"]
    if report["gain_over_classical"] and report["baseline"] != "classical":
        lines.append(
            f"  generated and rendered together: {_sentence(report['gain_over_classical'])}"
        )
    if report["all_classes"] != report["arms"]:
        lines.append(f"  over all classes: {_sentence(report['gain_all_classes'])}")
    if report["generated"]:
        lines.append(
            "  generated images: "
            + ", ".join(f"{count:,} {what}" for what, count in report["generated"].items())
        )
    return "\n".join(lines)


def _render(report: Report, pictures: Pictures) -> str:
    """Fill the template beside this file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "words": _words,
        "png": _png_uri,
        "strip": _strip_uri,
        "svg": _svg_uri,
        "arm_colour": arm_colour,
    }
    return environment.get_template("report.html.jinja").render(
        report=report,
        pictures=pictures,
        headline=_headline(report),
        tone={"helps": "good", "hurts": "bad"}.get(report["verdict"], "open"),
        least_seeds=LEAST_SEEDS,
        sentence=_sentence,
        arm_meanings=ARM_MEANINGS,
        intervals=_intervals(report),
        scale=_score_scale(report),
        charts=_charts(report),
        pairs=_pairs(report),
        matrices=_matrices(report),
    )


def _headline(report: Report) -> str:
    """The verdict in words."""
    verdict = report["verdict"]
    if verdict is None:
        return f"no verdict, {LEAST_SEEDS} seeds are needed"
    return {
        "helps": "generated images help",
        "hurts": "generated images hurt",
        "no evidence": "no evidence that generated images help",
    }[str(verdict)]


def _sentence(gain: Mapping[str, Any]) -> str:
    """One comparison in words: how many errors fewer or more, and how sure that is."""
    text = f"{_fewer_or_more(gain['error_reduction'])} errors than {gain['over']}"
    if gain["ci95"]:
        low, high = gain["ci95"]
        start = _percent(abs(low)) if low * high > 0 else _fewer_or_more(low)
        text += f" (95 % interval: {start} to {_fewer_or_more(high)})"
    return f"{text}, {gain['points']:+.2f} points".replace("-", "−")


def _fewer_or_more(share: float) -> str:
    """A share of errors that went away, without a sign that must be guessed."""
    return f"{_percent(abs(share))} {'fewer' if share >= 0 else 'more'}"


def _intervals(report: Report) -> dict[str, Any]:
    """Rows of the interval picture and the ends of its axis, as shares of errors gone."""
    rows = [("against " + report["baseline"], report["gain"])]
    if report["gain_over_classical"] and report["baseline"] != "classical":
        rows.append(("against classical alone", report["gain_over_classical"]))
    if report["all_classes"] != report["arms"]:
        rows.append(("over all classes", report["gain_all_classes"]))
    ends = [end for _, gain in rows for end in (gain["ci95"] or [gain["error_reduction"]])]
    low = max(-1.0, np.floor(10 * min(*ends, 0.0) - 0.5) / 10)
    high = min(1.0, np.ceil(10 * max(*ends, 0.0) + 0.5) / 10)
    step = 0.1 if high - low <= 0.8 else 0.25
    ticks = [k * step for k in range(int(np.ceil(low / step)), int(high / step) + 1)]
    return {"rows": rows, "low": float(low), "high": float(max(high, low + 0.1)), "ticks": ticks}


def _score_scale(report: Report) -> tuple[float, float]:
    """Ends of the axis on which the seeds of all arms are marked."""
    values = [value for arm in report["arms"].values() for value in arm["per_seed"]]
    low, high = np.floor(20 * min(values)) / 20, np.ceil(20 * max(values)) / 20
    return float(low), float(max(high, low + 0.05))


def _charts(report: Report) -> list[dict[str, str]]:
    """Titles and SVG documents of the curves that the report has data for."""
    charts = []
    for name, x_label in SWEEPS.items():
        points = (report.get("sweeps") or {}).get(name)
        if points:
            svg = line_chart(_sweep_lines(points), x_label, few_ticks=True)
            charts.append({"title": f"Against {x_label}", "svg": svg})
    curves = {
        arm: Line([step for step, _ in curve], [value for _, value in curve])
        for arm, curve in report["curves"].items()
        if len(curve) > 1
    }
    if curves:
        svg = line_chart(curves, "training steps")
        charts.append({"title": "Against training steps", "svg": svg})
    return charts


def _sweep_lines(points: Sequence[Mapping[str, Any]]) -> dict[str, Line]:
    """One line for each arm of a sweep, through the points where it was measured."""
    arms = dict.fromkeys(arm for point in points for arm in point["arms"])
    lines = {}
    for arm in arms:
        measured = [(point["x"], point["arms"][arm]) for point in points if arm in point["arms"]]
        x, per_seed = zip(*sorted(measured), strict=True)
        lines[arm] = Line(x, [float(np.mean(values)) for values in per_seed], per_seed)
    return lines


def _pairs(report: Report) -> list[dict[str, Any]]:
    """The confusions that were worst before, with their number before and after."""
    section = report.get("confusion")
    if not section:
        return []
    before, after = (np.array(section[when]["counts"]) for when in ("before", "after"))
    classes = section["classes"]
    return [
        {
            "true": classes[true],
            "read": classes[read],
            "before": int(before[true, read]),
            "after": int(after[true, read]),
        }
        for true, read in worst_pairs(before + after, MOST_PAIRS)
    ]


def _matrices(report: Report) -> dict[str, Any] | None:
    """Confusions of both arms, as cells off the diagonal on a common scale."""
    section = report.get("confusion")
    if not section or len(section["classes"]) > MOST_CLASSES_IN_MATRIX:
        return None
    counts = {when: np.array(section[when]["counts"]) for when in ("before", "after")}
    for matrix in counts.values():
        np.fill_diagonal(matrix, 0)
    most = max(1, *(int(matrix.max()) for matrix in counts.values()))
    return {
        "classes": section["classes"],
        "most": most,
        "arms": [
            {
                "arm": section[when]["arm"],
                "total": int(matrix.sum()),
                "cells": [
                    {"true": int(t), "read": int(r), "count": int(matrix[t, r])}
                    for t, r in np.argwhere(matrix)
                ],
            }
            for when, matrix in counts.items()
        ],
    }


def _percent(share: float, digits: int = 1) -> str:
    """A share as a percentage, with a true minus sign."""
    return f"{100 * share:.{digits}f} %".replace("-", "−")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _png_uri(image: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()


def _strip_uri(images: Pixels) -> str:
    """(n, H, W, C) images side by side, as one picture."""
    return _png_uri(tile(images, len(images), gap=1))


def _svg_uri(document: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(document.encode()).decode()


def _write_whole(path: Path, text: str) -> Path:
    """Write a file under another name first, so that what has its name is complete."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path
