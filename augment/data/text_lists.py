"""Lists of labelled lines beside their images: tables, and PaddleOCR's rec_gt_SPLIT.txt."""

import posixpath
from collections.abc import Callable
from functools import partial

from augment.data.sources import Store
from augment.data.tables import check_files, parse_splits, parse_words
from augment.data.text_listing import TextListing, checked_texts, read_named
from augment.data.tree import Tree
from augment.errors import DataError

__all__ = ["LABELS", "PADDLE_PREFIX", "list_paddleocr", "list_table"]

LABELS = "labels.csv"
"""What a table is called where it is looked for."""
PADDLE_PREFIX = "rec_gt_"
"""How the lists of PaddleOCR begin; the split and .txt follow."""

_COLUMNS = (("file", "text"), ("filename", "words"))


def list_table(
    data: bytes, store: Store, exists: Callable[[str], bool], where: str, *, folder: str = ""
) -> TextListing:
    """List the rows of a csv.

    Args:
        data: the csv.
        store: what holds the images.
        exists: whether there is such a file.
        where: what to call the csv in an error.
        folder: of the store that the paths in the csv are relative to.

    Raises:
        DataError: no csv in UTF-8, unknown columns, a repeated or missing file, an empty text, or
            an unknown split.
    """
    columns, rows = parse_words(data, where)
    known = [pair for pair in _COLUMNS if set(pair) <= set(columns)]
    if not known:
        wanted = " or ".join(" and ".join(pair) for pair in _COLUMNS)
        raise DataError(f"expected the columns {wanted} in {where}, got {', '.join(columns)}.")
    file, text = known[0]
    files = tuple(posixpath.normpath(posixpath.join(folder, row[file])) for row in rows)
    check_files(files, exists, where)
    splits = parse_splits([row["split"] for row in rows], where) if "split" in columns else None
    return TextListing(
        names=files,
        texts=checked_texts(files, [row[text] for row in rows], where),
        splits=None if splits is None else tuple(splits),
        sources=tuple(row["source"] for row in rows) if "source" in columns else None,
        read=partial(read_named, store.read, files),
    )


def list_paddleocr(path: str) -> TextListing:
    """Read PaddleOCR's recognition layout: every rec_gt_SPLIT.txt, and what it names.

    Paths are relative to the lists. A split that is not train, val or test is an error, but
    where there is one list alone, it says nothing of a split.

    Raises:
        DataError: no list, a line without exactly one tab, a repeated or missing file, or an
            empty text.
    """
    tree = Tree(path)
    lists = [
        file
        for file in tree.files
        if posixpath.basename(file).startswith(PADDLE_PREFIX) and file.endswith(".txt")
    ]
    if not lists:
        raise DataError(f"expected rec_gt_train.txt or its like in {path}, got none.")
    present = set(tree.files)
    files: list[str] = []
    texts: list[str] = []
    splits: list[str] = []
    for file in lists:
        where = f"{path}/{file}"
        for number, line in enumerate(tree.text(file).split("\n"), start=1):
            if not line.rstrip("\r"):
                continue
            cells = line.rstrip("\r").split("\t")
            if len(cells) != 2:
                raise DataError(
                    f"expected a path, a tab and a text in line {number} of {where}, got "
                    f"{len(cells) - 1} tabs."
                )
            files.append(posixpath.normpath(posixpath.join(posixpath.dirname(file), cells[0])))
            texts.append(cells[1])
            splits.append(posixpath.basename(file)[len(PADDLE_PREFIX) : -len(".txt")])
    check_files(files, present.__contains__, path)
    names = tuple(files)
    return TextListing(
        names,
        checked_texts(names, texts, path),
        tuple(parse_splits(splits, path)) if len(lists) > 1 else None,
        None,
        partial(read_named, tree.store.read, names),
    )
