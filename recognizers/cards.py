"""Model cards: what a bundle is, what it is for, what was measured of it and what is not known.

Two files lie beside a bundle and are no part of it, so that its digest never changes:
``measures.json`` keeps the newest section of each measure with the command that made it, and
``MODEL_CARD.md`` says the same for people.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augment.bundle import CARD_FILE, MEASURES_FILE, BundleInfo
from augment.errors import BundleError
from recognizers.evaluation_report import TABLES
from recognizers.evaluation_words import in_words
from recognizers.tables import markdown_table

__all__ = ["card_files", "format_card", "read_measures"]

Measured = Mapping[str, Mapping[str, Any]]
"""Measure to {"section", "real", "data", "seeds", "command"}.

A measure with a table of its own has "table", in Markdown, and may lack "section" and "real".
"""

CLASSES_NAMED = 100
LIMITS = """\
- It draws the classes above and no others, in the variety of its training images at best.
- Whoever shows on the training images may show on generated ones: treat them alike.
- It is not differentially private, and an attack that fails is no proof of privacy.
- The figures hold for the data they were measured on.
"""


def card_files(name: str, info: BundleInfo, folder: Path, new: Measured) -> dict[str, str]:
    """The texts of both files, with new measures in the place of old ones.

    Args:
        name: of the bundle.
        info: its description.
        folder: the bundle's, where earlier measures are.
        new: what was measured now.
    """
    measured = {**read_measures(folder), **new}
    kept = json.dumps(measured, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return {CARD_FILE: format_card(name, info, measured), MEASURES_FILE: kept}


def read_measures(folder: Path) -> dict[str, dict[str, Any]]:
    """What was measured of a bundle so far; nothing where nothing was.

    Raises:
        BundleError: the file was changed into something else.
    """
    path = folder / MEASURES_FILE
    if not path.exists():
        return {}
    try:
        measured: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{path}: expected JSON, got something else ({error}); delete it.") from (
            error
        )
    return measured


def format_card(name: str, info: BundleInfo, measured: Measured) -> str:
    """The card in Markdown.

    Args:
        name: of the bundle.
        info: its description.
        measured: all that was measured so far.
    """
    height, width = info.image_size
    data = info.data
    classes = ", ".join(info.classes[:CLASSES_NAMED])
    if len(info.classes) > CLASSES_NAMED:
        classes += f" and {len(info.classes) - CLASSES_NAMED} more"
    colours = "gray" if info.channels == 1 else "RGB"
    text = f"# {name}\n\n"
    what = (
        "labelled images" if info.classes else "images without labels, and edits those it is given,"
    )
    text += f"Draws {what} of {height}×{width} pixels, {colours}.\n\n"
    facts = {
        "architecture": info.architecture,
        "digest": info.digest,
        "training data": data.get("uri", "not recorded"),
        "digest of the training data": data.get("digest", "not recorded"),
        "training images": data.get("images", "not recorded"),
        "licence of the training images": info.licence or "not stated",
        "classes": f"{len(info.classes)}: {classes}" if info.classes else "none",
        "attributes": ", ".join(info.attributes) or "none",
    }
    text += markdown_table(("", ""), facts.items())
    use = (
        "Training images for recognizers of these classes, beside real ones. Measure what they are "
        "worth for yours before relying on them: `python -m jobs.benchmark`."
        if info.classes
        else "Repairing and editing images like its training images."
    )
    text += f"\n## Intended use\n\n{use}\n\n## Measures\n\n"
    text += _measures(measured) or "None yet: `python -m jobs.evaluate`.\n"
    return text + f"\n## Limits\n\n{LIMITS}"


def _measures(measured: Measured) -> str:
    sections, real = (
        {measure: found[key] for measure, found in measured.items() if key in found}
        for key in ("section", "real")
    )
    text = "".join(f"- {sentence}\n" for sentence in in_words(sections, real))
    report = {"real": real, "bundles": {"this bundle": {"measures": sections}}}
    for table in TABLES:
        rows = table.rows(report)
        if rows:
            columns = ("images", *(column.title for column in table.columns))
            text += f"\n### {table.title}\n\n{table.says}\n\n{markdown_table(columns, rows)}"
            text += "".join(f"\n{note}\n" for note in table.notes(report))
            text += _source(measured[table.measure])
    for measure, found in measured.items():
        if "table" in found:
            text += f"\n### {measure.capitalize()}\n\n{found['table']}{_source(found)}"
    return text


def _source(found: Mapping[str, Any]) -> str:
    """On what data and with what seeds something was measured, and how to measure it again."""
    seeds = ", ".join(map(str, found["seeds"]))
    return f"\nOn {found['data']}, seeds {seeds}:\n\n    {found['command']}\n"
