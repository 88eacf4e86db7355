"""The curves of a gain report, drawn as self-contained SVG."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

__all__ = ["ARM_COLOURS", "Line", "arm_colour", "line_chart", "shaded"]

# Okabe and Ito's palette, told apart by colour-blind readers too.
ARM_COLOURS = {
    "real": "#5f6b76",
    "classical": "#0072b2",
    "rendered": "#00795a",
    "synthetic": "#c04a00",
    "synthetic_only": "#a8578a",
}
OTHER_COLOUR = "#333333"
MARKERS = {"real": "s", "classical": "o", "rendered": "^", "synthetic": "D", "synthetic_only": "v"}
INK, RULE = "#3a4550", "#d9dee3"


@dataclass(frozen=True)
class Line:
    """One arm's curve.

    Attributes:
        x: where it was measured, ascending.
        mean: the metric there, in [0, 1].
        per_seed: the metric of each seed at each x; empty where only the mean is known.
        colour: None: the arm's.
    """

    x: Sequence[float]
    mean: Sequence[float]
    per_seed: Sequence[Sequence[float]] = ()
    colour: str | None = None


def arm_colour(arm: str) -> str:
    """The colour that stands for an arm in every picture of a report."""
    return ARM_COLOURS.get(arm, OTHER_COLOUR)


def shaded(lines: Mapping[str, Line]) -> dict[str, Line]:
    """The lines in shades of one colour, the first the lightest: for amounts in order."""
    shades = colormaps["YlOrBr"](np.linspace(0.4, 0.95, len(lines)))
    return {
        name: replace(line, colour=to_hex(shade))
        for (name, line), shade in zip(lines.items(), shades, strict=True)
    }


def line_chart(lines: Mapping[str, Line], x_label: str, *, few_ticks: bool = False) -> str:
    """Draw one line for each arm, named at its end; dots are single seeds.

    Args:
        lines: arm to curve.
        x_label: what lies on the horizontal axis.
        few_ticks: mark exactly the measured places, evenly spaced, as for a sweep.

    Returns:
        An SVG document.
    """
    places = sorted({x for line in lines.values() for x in line.x})
    position = {x: float(index) if few_ticks else float(x) for index, x in enumerate(places)}
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "labelmint", "font.size": 11}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for arm, line in lines.items():
            _draw(axes, arm, line, [position[x] for x in line.x], with_marks=few_ticks)
        if few_ticks:
            axes.xaxis.set_major_locator(FixedLocator([position[x] for x in places]))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticklabels([f"{x:g}" for x in places])
        axes.set_xlabel(x_label, color=INK)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        axes.grid(axis="y", color=RULE, linewidth=0.8)
        axes.tick_params(colors=INK, length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(RULE)
        _name_line_ends(axes, lines, position)
        document = io.StringIO()
        figure.savefig(document, format="svg", transparent=True, metadata={"Date": None})
    return document.getvalue()


def _draw(axes: Any, arm: str, line: Line, x: Sequence[float], *, with_marks: bool) -> None:
    """Draw one curve and the seeds around it."""
    colour = line.colour or arm_colour(arm)
    marker = MARKERS.get(arm, "o") if with_marks else ""
    axes.plot(x, line.mean, color=colour, linewidth=2.2, marker=marker, markersize=6)
    for place, seeds in zip(x, line.per_seed or [()] * len(x), strict=True):
        axes.plot([place] * len(seeds), seeds, ".", color=colour, alpha=0.35, markersize=5)


def _name_line_ends(axes: Any, lines: Mapping[str, Line], position: Mapping[float, float]) -> None:
    """Write each arm's name beside the end of its line, moved apart where they would touch."""
    low, high = axes.get_ylim()
    least_gap = 0.085 * (high - low)
    ends = sorted((line.mean[-1], arm, line.x[-1]) for arm, line in lines.items())
    last = float("-inf")
    for value, arm, x in ends:
        last = max(value, last + least_gap)
        axes.annotate(
            arm.replace("_", " "),
            (position[x], value),
            xytext=(9, (last - value) / (high - low) * 215),
            textcoords="offset points",
            color=lines[arm].colour or arm_colour(arm),
            verticalalignment="center",
            fontweight="bold",
            annotation_clip=False,
        )
