"""The report of an evaluation of lines: report.json, and report.html with table and pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from augment.files import write_whole
from augment.images import Pixels
from recognizers.line_fidelity import FIGURES, LineRow, line_notes
from recognizers.pages import page_environment

__all__ = ["LinePictures", "write_line_pages"]

MEANINGS = {
    "n": "lines read and compared: of a generator as many, of the same texts, as of the real row",
    "read": "lines whose every character a recognizer of real training lines reads as asked, with "
    "the 95 % interval; more is better, and the real row is what a perfect generator scores",
    "characters": "1 − edits / characters",
    "FID": "distance from real held-out lines in the recognizer's features; less is better",
    "KID × 1,000": "another such distance, around 0 for lines alike",
    "precision": "lines that lie among real ones; more is more faithful",
    "recall": "real lines that lie among these; more is more varied",
    "density": "real neighbourhoods a line lies in; around 1 for lines alike",
    "coverage": "real lines that one of these comes near to",
    "drawn": "lines that copies and members were looked for with",
    "near-copies": "lines nearer to a training line than all but 1 % of held-out ones are",
    "attack, AUC": "training lines told from others by the nearest of these; 0.5: they cannot be "
    "told, which proves no privacy",
    "pupil's n": "lines of the training texts that a pupil learns from",
    "teaches": "held-out lines of other texts that the pupil reads, with the 95 % interval",
}
"""How to read each figure of the table."""


@dataclass(frozen=True)
class LinePictures:
    """What the page shows of one bundle, each (H, W, C); nothing is measured on it.

    Attributes:
        styles: see ``recognizers.line_fidelity.style_grid``.
        nearest: see ``recognizers.line_fidelity.nearest_grid``.
    """

    styles: Pixels
    nearest: Pixels


def write_line_pages(
    out: Path,
    rows: Sequence[LineRow],
    about: Mapping[str, Any],
    pictures: Mapping[str, LinePictures],
) -> Path:
    """Write report.json and report.html; each appears only when it is complete.

    Args:
        out: an existing folder.
        rows: the real lines, then one a bundle.
        about: "data", "seed", "settings" and the "command" that measures it again.
        pictures: of each bundle by name.

    Returns:
        Path of report.html.
    """
    report = {"rows": [asdict(row) for row in rows], **about}
    figures = [
        (title, [show(row) for row in rows], MEANINGS[title]) for title, show in FIGURES.items()
    ]
    page = (
        page_environment()
        .get_template("lines.html.jinja")
        .render(
            real=rows[0],
            bundles=rows[1:],
            figures=figures,
            notes=line_notes(rows),
            about=about,
            pictures=pictures,
        )
    )
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(out / "report.json", text + "\n")
    return write_whole(out / "report.html", page)
