"""The report of an evaluation: bundles side by side, in report.json, report.html and tables.

The page leads with what each bundle is worth in words, then shows the measures as tables, real
images always in the first row, and the pictures a person wants to see.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augment.files import write_whole
from recognizers.evaluation_pictures import BundlePictures
from recognizers.evaluation_words import in_words, printed
from recognizers.pages import page_environment
from recognizers.tables import markdown_table

__all__ = [
    "TABLES",
    "Column",
    "Table",
    "format_measures",
    "left_out_of",
    "summarize",
    "write_pages",
]

Report = Mapping[str, Any]
Section = Mapping[str, Any]

REAL = "real, held out"
"""Name of the first row: real images that nobody was trained on."""
NONE = "–"
NO_LABELS = "no labels"


@dataclass(frozen=True)
class Column:
    """One figure of a section.

    Attributes:
        title: of the column; an arrow says which way is better.
        path: keys that lead to the figure.
        form: format of the figure.
        interval: key, beside the figure's, of its interval.
    """

    title: str
    path: tuple[str, ...]
    form: str
    interval: str | None = None

    def cell(self, section: Section | None) -> str:
        """The figure as text: mean, ± deviation over seeds, and interval."""
        if section is not None and "no_labels" in section:
            return NO_LABELS
        found: Any = section
        for key in self.path[:-1]:
            found = None if found is None else found.get(key)
        figure = None if found is None else found.get(self.path[-1])
        if figure is None or figure["mean"] is None:
            return NONE
        text = self.form.format(figure["mean"])
        if len(figure["per_seed"]) > 1:
            text += f" ± {self.form.format(float(np.std(figure['per_seed'], ddof=1)))}"
        if self.interval is not None:
            low, high = (self.form.format(end) for end in found[self.interval]["mean"])
            text += f" ({low} to {high})"
        return printed(text)


@dataclass(frozen=True)
class Table:
    """How a measure's sections are shown.

    Attributes:
        measure: whose sections.
        title: heading.
        says: how to read it.
        columns: its figures.
    """

    measure: str
    title: str
    says: str
    columns: tuple[Column, ...]

    def rows(self, report: Report) -> list[tuple[str, ...]]:
        """Name and cells of the real images and of each bundle that was measured."""
        named = {REAL: report["real"], **{n: b["measures"] for n, b in report["bundles"].items()}}
        sections = {name: found.get(self.measure) for name, found in named.items()}
        rows = [
            (name, *(column.cell(section) for column in self.columns))
            for name, section in sections.items()
            if section is not None
        ]
        return [row for row in rows if set(row[1:]) != {NONE}]

    def notes(self, report: Report) -> list[str]:
        """Why figures are missing, where the real images' section says so."""
        section = report["real"].get(self.measure, {})
        spaces = dict.fromkeys(column.path[0] for column in self.columns)
        found = [section[space] for space in spaces if isinstance(section.get(space), Mapping)]
        return [space["note"] for space in found if isinstance(space.get("note"), str)]


def _set_columns(space: str) -> tuple[Column, ...]:
    return (
        Column("FID ↓", (space, "fid"), "{:.2f}"),
        Column("KID × 1,000 ↓", (space, "kid_thousandfold"), "{:.1f}"),
        Column("its noise", (space, "kid_noise_thousandfold"), "{:.1f}"),
        Column("precision ↑", (space, "precision"), "{:.1%}"),
        Column("recall ↑", (space, "recall"), "{:.1%}"),
        Column("density ↑", (space, "density"), "{:.2f}"),
        Column("coverage ↑", (space, "coverage"), "{:.1%}"),
    )


TABLES: tuple[Table, ...] = (
    Table(
        "labels",
        "Do the images show what was asked for?",
        "Share of images that a recognizer trained on the real training images reads as their "
        "label; and the share that the bundle's own reader keeps, if it has one.",
        (
            Column("read as asked ↑", ("top1",), "{:.1%}"),
            Column("kept by the bundle's reader", ("read_back",), "{:.1%}"),
        ),
    ),
    Table(
        "utility",
        "What does a recognizer learn from them?",
        "GAN-train: accuracy on held-out real images after training on generated ones alone; the "
        "first row trained on as many real training images of each class, or all there are. "
        "GAN-test: accuracy on the images of the row after training on all real training images; "
        "above the first row's, they are too easy or copies.",
        (
            Column("GAN-train ↑", ("train_on_generated",), "{:.1%}"),
            Column("trained on", ("learned",), "{:,.0f}"),
            Column("GAN-test", ("test_on_generated",), "{:.1%}"),
        ),
    ),
    Table(
        "fidelity",
        "Are they like real images?",
        "Distances between as many generated and held-out real images, in the features of a "
        "recognizer trained on the real training images; precision and density ask for "
        "faithfulness, recall and coverage for variety. The first row is what another set of "
        "real images scores: nobody should expect better. KID's noise: its deviation over halves.",
        _set_columns("domain"),
    ),
    Table(
        "fidelity",
        "The same in Inception's features",
        "torchvision's weights: compare the rows, not these figures with published ones.",
        _set_columns("inception"),
    ),
    Table(
        "diversity",
        "Do two images of one class differ?",
        "Mean 1 − cosine between the recognizer's features of two images of a class, or of any "
        "two; below 100 % of real, a class looks more alike than it does in life; far above, "
        "labels are not obeyed. Images without labels are compared by any two.",
        (
            Column("within a class", ("intra_class",), "{:.3f}"),
            Column("of any two", ("any_two",), "{:.3f}"),
            Column("of real", ("of_real",), "{:.0%}"),
        ),
    ),
    Table(
        "privacy",
        "Are training images repeated?",
        "Median distance to the nearest training image, beside that of real images nobody was "
        "trained on. A near-copy is nearer than all but 1 % of those. Features are those of a "
        "recognizer of other real images, none of which is measured; they are left out where "
        "these are too few.",
        (
            Column("in pixels", ("memorisation", "pixels", "generated"), "{:.4f}"),
            Column("real", ("memorisation", "pixels", "held_out"), "{:.4f}"),
            Column("near-copies ↓", ("memorisation", "pixels", "near_copies"), "{:.1%}"),
            Column("in features", ("memorisation", "features", "generated"), "{:.4f}"),
            Column("real", ("memorisation", "features", "held_out"), "{:.4f}"),
            Column("near-copies ↓", ("memorisation", "features", "near_copies"), "{:.1%}"),
        ),
    ),
    Table(
        "privacy",
        "Can it be told who was trained on?",
        "Area under the ROC curve, with its 95 % interval, of attacks that tell training images "
        "from as many other real ones of each class by the nearest generated image; calibrated: "
        "by comparison with the nearest of other real images. 0.5: they cannot be told. Where the "
        "first row, which gives nothing away, is not 0.5, training and held-out images differ by "
        "themselves; over real: by how much the attack on the same images is above that row. "
        "Intervals are over groups of images: people, plates, source pictures. An attack that "
        "fails proves no privacy, and differential privacy is not claimed.",
        (
            Column("attacked, and as many others", ("attacks", "pixels", "members"), "{:,.0f}"),
            *(
                Column(title, ("attacks", key, "auc"), "{:.3f}", "ci95")
                for title, key in (
                    ("pixels ↓", "pixels"),
                    ("pixels, calibrated ↓", "pixels_calibrated"),
                    ("features ↓", "features"),
                    ("features, calibrated ↓", "features_calibrated"),
                )
            ),
            *(
                Column(f"{key}, over real ↓", ("attacks", key, over), "{:+.3f}", f"{over}_ci95")
                for key, over in (("pixels", "over_real"), ("features", "over_real"))
            ),
        ),
    ),
)


def summarize(sections: Sequence[Any]) -> Any:
    """One section of several seeds': each figure becomes its mean and its value in each seed.

    Ends of intervals are averaged one by one; what is no figure is the first seed's.
    """
    first = sections[0]
    if isinstance(first, Mapping):
        shared = [key for key in first if all(key in section for section in sections)]
        return {key: summarize([section[key] for section in sections]) for key in shared}
    if isinstance(first, list):
        return {"mean": np.mean(sections, axis=0).tolist(), "per_seed": list(sections)}
    if isinstance(first, str | bool):
        return first
    known = all(value is not None for value in sections)
    return {"mean": float(np.mean(sections)) if known else None, "per_seed": list(sections)}


def format_measures(report: Report) -> str:
    """The tables in Markdown, each with its notes, and what was not measured."""
    text = ""
    for table in TABLES:
        rows = table.rows(report)
        if rows:
            columns = ("images", *(column.title for column in table.columns))
            text += f"{table.title}\n\n{markdown_table(columns, rows)}\n"
            text += "".join(f"{note}\n\n" for note in table.notes(report))
    return text + "".join(f"{told}\n" for told in left_out_of(report))


def left_out_of(report: Report) -> list[str]:
    """What was not measured, in all and of each bundle, and why."""
    lacking = _left_out(report)
    for name, bundle in report["bundles"].items():
        lacking += [f"{name}: {told}" for told in _left_out(bundle)]
    return lacking


def write_pages(
    out: Path, report: Report, pictures: Mapping[str, BundlePictures] | None = None
) -> Path:
    """Write report.json and report.html; each appears only when it is complete.

    Args:
        out: folder, made where missing.
        report: "data", "real": measure to section, "bundles": name to "measures", "left_out" and
            what is known of the bundle, all sections summarized.
        pictures: of each bundle by name.

    Returns:
        Path of report.html.
    """
    out.mkdir(parents=True, exist_ok=True)
    page = (
        page_environment()
        .get_template("evaluation.html.jinja")
        .render(
            report=report,
            pictures=pictures or {},
            tables=[(table, rows) for table in TABLES if (rows := table.rows(report))],
            said={n: in_words(b["measures"], report["real"]) for n, b in report["bundles"].items()},
            notes=_notes(report),
        )
    )
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(out / "report.json", text + "\n")
    return write_whole(out / "report.html", page)


def _notes(report: Report) -> list[str]:
    """What a reader has to know of the figures."""
    notes = []
    if report.get("told_apart"):
        notes.append(f"The recognizers tell {' from '.join(report['told_apart'])}.")
    if report["left_out_classes"]:
        names = ", ".join(report["left_out_classes"][:20])
        notes.append(
            f"Not compared for want of held-out images: {len(report['left_out_classes'])} "
            f"classes ({names})."
        )
    notes += _left_out(report)
    for space, found in report["real"].get("fidelity", {}).items():
        if isinstance(found["note"], str):
            notes.append(f"{space.capitalize()} features: {found['note']}")
    return notes


def _left_out(found: Mapping[str, Any]) -> list[str]:
    """What was not measured, in all or of a bundle, and why."""
    return [
        f"{measure.capitalize()} was not measured: {why}"
        for measure, why in found.get("left_out", {}).items()
    ]
