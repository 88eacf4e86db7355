"""Tables that list images: parsing them, and the checks that all lists of files share."""

import codecs
import csv
import io
import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from augment.data.listing import SPLITS, decode_text, is_image, some
from augment.errors import DataError

__all__ = [
    "LABELS",
    "MANIFEST",
    "check_all_listed",
    "check_files",
    "find_table",
    "parse_csv",
    "parse_splits",
    "parse_words",
    "split_named",
]

LABELS = "labels.csv"
"""What a table is called where it is looked for."""
MANIFEST = "manifest.jsonl"
"""What our own exports tell of each image."""
_SPLIT_ALIASES = {
    **{name: name for name in SPLITS},
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}
"""What a split may be called -> its name."""


_WORDS = ["filename", "words"]


def parse_csv(data: bytes, where: str) -> tuple[list[str], list[dict[str, str]]]:
    """Parse a csv with a header.

    Args:
        data: the file.
        where: what to call it in an error.

    Returns:
        The columns, and the rows: each has a cell a column.

    Raises:
        DataError: not UTF-8 or no csv, a quote that is not closed or stands amid a cell, columns
            separated otherwise, no rows, a column named twice, or a row of another width than
            the header.
    """
    text = decode_text(data, where)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows, ends = [], []  # the lines at which rows end: a cell may hold several
    try:
        columns = list(reader.fieldnames or ())
        for row in reader:
            rows.append(row)
            ends.append(reader.line_num)
    except csv.Error as error:
        begin = 1 + (ends[-1] if ends else reader.line_num)
        raise DataError(
            f"expected a csv in {where}, got {error} in the row at line {begin}; a cell with a "
            'quote is written in quotes, the quote twice: "5"" wide".'
        ) from error
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise DataError(f"expected each column once in {where}, got {some(twice)} repeated.")
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        raise DataError(
            f"expected columns separated by commas in {where}, got {columns[0]!r}; save it anew "
            "with commas."
        )
    if not rows:
        raise DataError(f"expected rows in {where}, got the header only.")
    for end, row in zip(ends, rows, strict=True):
        if None in row or None in row.values():
            found = sum(cell is not None for name, cell in row.items() if name is not None)
            found += len(row.get(None) or ())
            raise DataError(
                f"expected {len(columns)} cells in the row at line {end} of {where}, got {found}; "
                'a cell with a comma is written in quotes: "5, wide".'
            )
    return columns, rows


def parse_words(data: bytes, where: str) -> tuple[list[str], list[dict[str, str]]]:
    """Parse a csv as ``parse_csv``, but one of filename and words alone as EasyOCR's trainer does.

    Nothing is quoted there: words are all that follows the first comma of a row.

    Raises:
        DataError: as ``parse_csv``, or a row without a comma or a name.
    """
    head, _, body = data.removeprefix(codecs.BOM_UTF8).partition(b"\n")
    if head.strip() != ",".join(_WORDS).encode():
        return parse_csv(data, where)
    lines = io.StringIO(decode_text(body, where), newline=None).readlines()
    rows = []
    for number, line in enumerate(map(str.strip, lines), start=2):
        if line:
            name, comma, words = line.partition(",")
            if not name or not comma:
                raise DataError(f"expected a name, a comma and words in line {number} of {where}.")
            rows.append(dict(zip(_WORDS, (name, words), strict=True)))
    if not rows:
        raise DataError(f"expected rows in {where}, got the header only.")
    return _WORDS, rows


def check_files(files: Sequence[str], exists: Callable[[str], bool], where: str) -> None:
    """Check that a list names every file once, however spelled, and only files that exist.

    Raises:
        DataError: a repeat, as ``a.png`` and ``./a.png``, or a missing file; ``where`` says what
            the list is.
    """
    counts = Counter(map(posixpath.normpath, files))
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise DataError(f"expected one row a file in {where}, got repeats of {some(repeated)}.")
    missing = [name for name in files if not exists(name)]
    if missing:
        slash = " Paths have / between folders." if any("\\" in name for name in missing) else ""
        raise DataError(
            f"expected an image for every row of {where}, got none for {some(missing)}; "
            f"remove the rows or add the files.{slash}"
        )


def find_table(members: Collection[str], where: str) -> str | None:
    """The labels.csv that tells what images show: at the root, or the only one further down.

    None where there is none, or a manifest.jsonl of ours tells instead.

    Args:
        members: all files of a folder or zip.
        where: what holds them, for the error.

    Raises:
        DataError: several, none of them at the root.
    """
    if LABELS in members:
        return LABELS
    if MANIFEST in members:
        return None
    tables = sorted(member for member in members if posixpath.basename(member) == LABELS)
    if len(tables) > 1:
        raise DataError(
            f"expected one {LABELS} in {where}, got {some(tables)}; name one as csv:FILE, or join "
            "them at the root."
        )
    return tables[0] if tables else None


def check_all_listed(members: Iterable[str], listed: Iterable[str], table: str, where: str) -> None:
    """Check that a table has a row for every image that lies beside it.

    Args:
        members: all files, images and others.
        listed: those that have a row.
        table: the table's name.
        where: what holds the files, for the error.

    Raises:
        DataError: images without a row.
    """
    unlisted = sorted(set(filter(is_image, members)) - set(listed))
    if unlisted:
        raise DataError(
            f"expected a row in {table} for every image of {where}, got none for "
            f"{some(unlisted)}; add rows or remove the images."
        )


def parse_splits(splits: Iterable[str], where: str) -> list[str]:
    """Return the names of splits as train, val or test; see ``split_named``.

    Raises:
        DataError: another name; ``where`` says what the list is.
    """
    splits = list(splits)
    known = [split_named(name) for name in splits]
    if not all(known):
        unknown = sorted({repr(n) for n, found in zip(splits, known, strict=True) if not found})
        raise DataError(
            f"expected the splits {', '.join(SPLITS)} in {where}, got {some(unknown)}; write one "
            "of them in every row."
        )
    return [name for name in known if name]


def split_named(name: str) -> str | None:
    """The split that a name in either case stands for: train, val or test; None: no split's."""
    return _SPLIT_ALIASES.get(name.strip().lower())
