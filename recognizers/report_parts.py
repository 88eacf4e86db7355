"""What the page and the table of a gain report show, computed from report.json's content."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recognizers.charts import Line, line_chart, shaded
from recognizers.gain import LEAST_SEEDS
from recognizers.metrics import worst_pairs

__all__ = [
    "charts",
    "fewer_or_more",
    "headline",
    "interval_in_words",
    "intervals",
    "matrices",
    "misread_characters",
    "pairs",
    "percent",
    "score_scale",
    "sentence",
    "words",
]

Report = Mapping[str, Any]

SWEEPS = {
    "real_per_class": "real images a class",
    "ratio": "synthetic images for each real one",
}
WHEN = ("before", "after")
MOST_PAIRS = 12  # rows in the table of confusions
MOST_CLASSES_IN_MATRIX = 70
MOST_PLACES = 12  # places in a text with a row of their own; all further ones share one
MOST_CHARACTERS = 12  # rows in the table of misread characters


def headline(report: Report) -> str:
    """The verdict in words."""
    verdict = report["verdict"]
    if verdict is None:
        return f"no verdict, {LEAST_SEEDS} seeds are needed"
    return {
        "helps": "generated images help",
        "hurts": "generated images hurt",
        "no evidence": "no evidence that generated images help",
    }[str(verdict)]


def sentence(gain: Mapping[str, Any]) -> str:
    """One comparison in words: how many errors fewer or more, and how sure that is."""
    text = f"{fewer_or_more(gain['error_reduction'])} errors than {gain['over']}"
    if gain["ci95"]:
        text += f" (95 % interval: {interval_in_words(gain['ci95'])})"
    return f"{text}, {gain['points']:+.2f} points".replace("-", "−")


def interval_in_words(ci95: tuple[float, float]) -> str:
    """An interval of the share of errors that went away, such as 3.0 % more to 12.0 % fewer."""
    low, high = ci95
    start = percent(abs(low)) if low * high > 0 else fewer_or_more(low)
    return f"{start} to {fewer_or_more(high)}"


def fewer_or_more(share: float) -> str:
    """A share of errors that went away, without a sign that must be guessed."""
    return f"{percent(abs(share))} {'fewer' if share >= 0 else 'more'}"


def intervals(report: Report) -> dict[str, Any]:
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


def score_scale(report: Report) -> tuple[float, float]:
    """Ends of the axis on which the seeds of all arms are marked."""
    values = [value for arm in report["arms"].values() for value in arm["per_seed"]]
    low, high = np.floor(20 * min(values)) / 20, np.ceil(20 * max(values)) / 20
    return float(low), float(max(high, low + 0.05))


def charts(report: Report) -> list[dict[str, str]]:
    """Titles and SVG documents of the curves that the report has data for."""
    drawn = []
    for name, x_label in SWEEPS.items():
        points = (report.get("sweeps") or {}).get(name)
        if points:
            svg = line_chart(_sweep_lines(points), x_label, few_ticks=True)
            drawn.append({"title": f"Against {x_label}", "svg": svg})
    curves = {arm: _line(curve) for arm, curve in report["curves"].items() if len(curve) > 1}
    if curves:
        svg = line_chart(curves, "training steps")
        drawn.append({"title": "Against training steps", "svg": svg})
    amounts = {
        f"{int(amount):,}": _line(curve) for amount, curve in (report.get("amounts") or {}).items()
    }
    if amounts:
        svg = line_chart(shaded(amounts), "training steps")
        drawn.append({"title": "Against training steps, by lines generated", "svg": svg})
    return drawn


def _line(curve: Sequence[tuple[int, float]]) -> Line:
    """A curve of (training step, metric) pairs."""
    return Line([step for step, _ in curve], [value for _, value in curve])


def _sweep_lines(points: Sequence[Mapping[str, Any]]) -> dict[str, Line]:
    """One line for each arm of a sweep, through the points where it was measured."""
    arms = dict.fromkeys(arm for point in points for arm in point["arms"])
    lines = {}
    for arm in arms:
        measured = [(point["x"], point["arms"][arm]) for point in points if arm in point["arms"]]
        x, per_seed = zip(*sorted(measured), strict=True)
        lines[arm] = Line(x, [float(np.mean(values)) for values in per_seed], per_seed)
    return lines


def pairs(report: Report) -> list[dict[str, Any]]:
    """The confusions that were worst before, with their number before and after."""
    section = report.get("confusion")
    if not section:
        return []
    before, after = (np.array(section[when]["counts"]) for when in WHEN)
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


def matrices(report: Report) -> dict[str, Any] | None:
    """Confusions of both arms, as cells off the diagonal on a common scale."""
    section = report.get("confusion")
    if not section or len(section["classes"]) > MOST_CLASSES_IN_MATRIX:
        return None
    counts = {when: np.array(section[when]["counts"]) for when in WHEN}
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


def misread_characters(report: Report) -> dict[str, Any] | None:
    """How many characters two arms misread, by place in the text and by character.

    Returns:
        "arms": their names; "places" and "characters": rows of "name", times "written" and the
        shares misread "before" and "after"; "most": the largest of these shares; "added": how
        many characters each arm read where none is written. None without ``errors``.
    """
    section = report.get("errors")
    if not section:
        return None
    before, after = section.values()

    def counted(kind: str) -> dict[str, tuple[int, int, int]]:
        """Name to times written, misread before and misread after."""
        return {
            name: (written, wrong, after[kind][name][1])
            for name, (written, wrong) in before[kind].items()
        }

    each = [*counted("by_position").values()]
    places = {str(1 + place): counts for place, counts in enumerate(each[:MOST_PLACES])}
    if further := each[MOST_PLACES:]:
        written, wrong, still = (sum(column) for column in zip(*further, strict=True))
        places[f"{MOST_PLACES + 1}+"] = written, wrong, still
    characters = {name: counts for name, counts in counted("by_class").items() if any(counts[1:])}
    worst = sorted(characters, key=lambda name: -sum(characters[name][1:]))[:MOST_CHARACTERS]
    tables = {
        "places": _misread_rows(places),
        "characters": sorted(
            _misread_rows({name: characters[name] for name in worst}),
            key=lambda row: -row["before"] - row["after"],
        ),
    }
    shares = [row[when] for table in tables.values() for row in table for when in WHEN]
    return {
        "arms": list(section),
        "most": max(shares, default=0.0) or 1.0,
        "added": [
            sum(times for written, _, times in arm["confusions"] if not written)
            for arm in section.values()
        ],
        **tables,
    }


def _misread_rows(counts: Mapping[str, tuple[int, int, int]]) -> list[dict[str, Any]]:
    """Rows of a table of misread characters."""
    return [
        {"name": name, "written": written, "before": wrong / written, "after": still / written}
        for name, (written, wrong, still) in counts.items()
    ]


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage, with a true minus sign."""
    return f"{100 * share:.{digits}f} %".replace("-", "−")


def words(name: str) -> str:
    """A name as it is read: blanks for underscores."""
    return name.replace("_", " ")
