"""Readers of labelled lines of text: words, plates, whole lines, one image each.

``TEXT_FORMATS["csv"]("words/labels.csv")`` returns a TextListing: names and texts in memory,
images read when they are asked for.

| URI | what lies there |
|---|---|
| ``csv:FILE`` | columns file and text (or filename and words) [, split][, source] |
| ``zip:FILE`` | the same as labels.csv at the root of a zip |

Paths in a csv are relative to it; its other columns are left alone. A path may be an fsspec URL
(s3://, gs://).
"""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from augment.data.listing import is_image, some
from augment.data.sources import FolderStore, Store, ZipStore, open_file_system, read_all
from augment.data.tables import check_files, parse_csv, parse_splits
from augment.errors import DataError

__all__ = ["TEXT_FORMATS", "TextListing", "read_csv", "read_zip"]

_COLUMNS = (("file", "text"), ("filename", "words"))


@dataclass(frozen=True)
class TextListing:
    """Images of text found somewhere, in a fixed order.

    Attributes:
        names: (N,) unique names.
        texts: (N,) what each image says; never empty.
        splits: (N,) train, val or test; None where none are given.
        sources: (N,) where each image comes from; None where nothing is said.
        read: item number -> the bytes of its image file. It can be pickled; ImageError if the
            file is missing or damaged.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    splits: tuple[str, ...] | None
    sources: tuple[str, ...] | None
    read: Callable[[int], bytes]


def read_csv(path: str) -> TextListing:
    """Read a csv beside its images.

    Raises:
        DataError: no such file, no csv in UTF-8, unknown columns, a repeated or missing file, an
            empty text, or an unknown split.
    """
    file_system, absolute = open_file_system(path)
    store = FolderStore(file_system, posixpath.dirname(absolute))
    present = set(store.names())
    return _list_table(
        read_all(file_system, absolute),
        store,
        lambda name: name in present or store.has(name),
        path,
    )


def read_zip(path: str) -> TextListing:
    """Read a zip with a labels.csv at its root and a row there for every image.

    Raises:
        DataError: as ``read_csv``, a damaged archive, or an image without a row.
    """
    store = ZipStore(*open_file_system(path))
    members = set(store.names())
    if "labels.csv" not in members:
        raise DataError(
            f"expected labels.csv at the root of {path}, got {some(sorted(members)) or 'nothing'}; "
            "add one with the columns file and text."
        )
    where = f"{path}/labels.csv"
    listing = _list_table(store.read("labels.csv"), store, members.__contains__, where)
    unlabelled = sorted(set(filter(is_image, members)) - set(listing.names))
    if unlabelled:
        raise DataError(
            f"expected a row in labels.csv for every image of {path}, got none for "
            f"{some(unlabelled)}; add rows or remove the images."
        )
    return listing


TEXT_FORMATS: dict[str, Callable[[str], TextListing]] = {"csv": read_csv, "zip": read_zip}
"""Data URI scheme -> reader of what follows the colon."""


def _list_table(
    data: bytes, store: Store, exists: Callable[[str], bool], where: str
) -> TextListing:
    """List the rows of a csv whose images lie in ``store``."""
    columns, rows = parse_csv(data, where)
    known = [pair for pair in _COLUMNS if set(pair) <= set(columns)]
    if not known:
        wanted = " or ".join(" and ".join(pair) for pair in _COLUMNS)
        raise DataError(f"expected the columns {wanted} in {where}, got {', '.join(columns)}.")
    file, text = known[0]
    files = tuple(row[file] for row in rows)
    check_files(files, exists, where)
    splits = parse_splits([row["split"] for row in rows], where) if "split" in columns else None
    return TextListing(
        names=files,
        texts=_checked_texts(files, [row[text] for row in rows], where),
        splits=None if splits is None else tuple(splits),
        sources=tuple(row["source"] for row in rows) if "source" in columns else None,
        read=partial(_read_file, store, files),
    )


def _checked_texts(names: Sequence[str], texts: Sequence[str], where: str) -> tuple[str, ...]:
    empty = [name for name, text in zip(names, texts, strict=True) if not text.strip()]
    if empty:
        raise DataError(
            f"expected a text for every image of {where}, got none for {some(empty)}; "
            "write one or leave the image out."
        )
    return tuple(texts)


def _read_file(store: Store, files: tuple[str, ...], item: int) -> bytes:
    return store.read(files[item])
