"""Tables in Markdown."""

from collections.abc import Iterable, Sequence

__all__ = ["markdown_table"]


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay rows out under the names of their columns; ends in a line break.

    Bars and line breaks in a cell, as in the name of a class, do not end it.
    """
    body = "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows)
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n{body}"


def _cell(value: object) -> str:
    return " ".join(str(value).splitlines()).replace("|", "\\|")
