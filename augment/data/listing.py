"""What a reader of a data URI returns, and the small checks that readers share."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.data.sources import Source

__all__ = ["SPLITS", "Listing", "is_image", "some"]

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


def is_image(name: str) -> bool:
    """Whether a file's name is an image's; hidden files are not."""
    return name.lower().endswith(_IMAGE_SUFFIXES) and not posixpath.basename(name).startswith(".")


def some(names: Sequence[str], limit: int = 3) -> str:
    """Return the first few names and how many there are, for a message."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
