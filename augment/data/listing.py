"""What a reader of a data URI returns, and the small checks that readers share."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.data.sources import FolderStore, Source, Store, ZipStore, open_file_system
from augment.errors import DataError

__all__ = ["SPLITS", "Listing", "files_of", "is_image", "open_store", "read_text", "some"]

SPLITS = ("train", "val", "test")
_IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Listing:
    """Items found at a data URI, in a fixed order; every sequence has one entry an item."""

    source: Source
    names: tuple[str, ...]
    labels: Sequence[str]
    splits: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    image_size: tuple[int, int] | None = None  # (H, W) if the scheme prefers one
    attributes: NDArray[np.int8] | None = None  # (N, A), -1 or 1
    attribute_names: tuple[str, ...] = ()


def open_store(path: str) -> Store:
    """Open a folder or a zip archive, on any fsspec file system.

    Raises:
        DataError: no such path, or a file that is not a whole zip.
    """
    file_system, root = open_file_system(path)
    if file_system.isdir(root):
        return FolderStore(file_system, root)
    return ZipStore(file_system, root)


def files_of(store: Store) -> list[str]:
    """Return the names of a store's files, sorted, without folders and a Mac's shadow files."""
    return [
        name
        for name in store.names()
        if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]


def read_text(store: Store, name: str) -> str:
    """Read a text file of a store.

    Raises:
        DataError: the file cannot be read or is not UTF-8.
    """
    try:
        return store.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8 text in {store.path}/{name}, got {error}.") from error


def is_image(name: str) -> bool:
    """Whether a file's name is an image's; hidden files are not."""
    return name.lower().endswith(_IMAGE_SUFFIXES) and not posixpath.basename(name).startswith(".")


def some(names: Sequence[str], limit: int = 3) -> str:
    """Return the first few names and how many there are, for a message."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
