"""What a reader of a data URI returns, and the small checks that readers share."""

import hashlib
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.data.sources import Source
from augment.errors import DataError

__all__ = ["SPLITS", "Listing", "decode_text", "is_image", "some", "split_by_hash"]

SPLITS = ("train", "val", "test")
_VAL_FROM, _TEST_FROM = 0.75, 0.85  # of the hash range
_IMAGE_SUFFIXES = (
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)


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


def is_image(name: str) -> bool:
    """Whether a file's name is an image's; hidden files are not."""
    return name.lower().endswith(_IMAGE_SUFFIXES) and not posixpath.basename(name).startswith(".")


def some(names: Sequence[str], limit: int = 3) -> str:
    """Return the first few names and how many there are, for a message."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def split_by_hash(groups: Sequence[str] | NDArray[np.str_]) -> NDArray[np.str_]:
    """Split 75/10/15 by SHA-1 of the group: the same on every machine and in every run."""
    shares = [
        int(hashlib.sha1(str(group).encode()).hexdigest()[:8], 16) / 2**32 for group in groups
    ]
    names = [
        "train" if share < _VAL_FROM else "val" if share < _TEST_FROM else "test"
        for share in shares
    ]
    return np.array(names, np.str_)


def decode_text(data: bytes, where: str) -> str:
    """Decode UTF-8, with or without a byte order mark.

    Raises:
        DataError: another encoding; ``where`` says what the file is.
    """
    if data.startswith(b"PK\x03\x04"):
        raise DataError(f"expected text in {where}, got a zip archive; try zip:.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8 in {where}, got {error}; save it as UTF-8.") from error
