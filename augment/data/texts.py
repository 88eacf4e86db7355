"""Images of text behind a data URI, decoded on demand: plates, words, whole lines.

``open_texts("zip:plates.zip")`` returns a TextImages; ``augment.data.text_formats`` lists the
schemes. Splits given there are used; otherwise images are split 75/10/15 by a hash of their
group, so that no group crosses a split.

A recognizer sees lines of one height. Where a line's width is free, it is rounded to a multiple
of 8, so that a network that halves it three times loses nothing; lines of a batch are padded on
the right by their last column, and their true widths are told.
"""

import hashlib
import logging
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augment.data.listing import SPLITS, split_by_hash
from augment.data.provenance import refuse_generated
from augment.data.text_formats import TEXT_FORMATS, TextListing
from augment.errors import ConfigError, DataError
from augment.images import Pixels, decode_image, encode_png, resize_image

__all__ = [
    "WIDTH_STEP",
    "GroupBy",
    "LineShape",
    "Lines",
    "TextImages",
    "find_size_fault",
    "open_texts",
]

_LOG = logging.getLogger("labelmint.data")

WIDTH_STEP = 8
"""Widths of lines are multiples of it, in pixels."""
LEAST_SIDE = 8
"""Pixels a side that the image of a line needs, to lend its style or be trained on."""
MOST_RATIO = 16
"""Widths a height, or heights a width, that such an image may have."""

GroupBy = Literal["text", "picture", "image"]
"""What must not cross a split: images of one text (a plate), of one source picture, which is a
file's name up to its last underscore, or nothing but the image itself."""


class Lines(NamedTuple):
    """Lines of text, padded to one width."""

    pixels: Pixels  # (N, H, W, C)
    widths: NDArray[np.int64]  # (N,) pixels of each that are its own, at most W


@dataclass(frozen=True)
class LineShape:
    """The shape that lines are brought to.

    Attributes:
        height: pixels.
        least_width: narrower lines are stretched to it, so that there is room for their text.
        most_width: wider lines are squeezed to it. Equal widths: every line is resized to them.
        channels: 1 (gray) or 3 (RGB).
    """

    height: int = 32
    least_width: int = 48
    most_width: int = 160
    channels: int = 3

    def __post_init__(self) -> None:
        """Check ranges."""
        widths = (self.least_width, self.most_width)
        if not 0 < self.least_width <= self.most_width or any(w % WIDTH_STEP for w in widths):
            raise ConfigError(
                f"widths must rise and be multiples of {WIDTH_STEP} pixels, got "
                f"{self.least_width} to {self.most_width}."
            )
        if self.height < WIDTH_STEP or self.channels not in (1, 3):
            raise ConfigError(
                f"expected a height of at least {WIDTH_STEP} pixels and 1 or 3 channels, got "
                f"{self.height} and {self.channels}."
            )

    def width_of(self, height: int, width: int) -> int:
        """The width, in pixels, that an image of ``height`` × ``width`` is brought to."""
        steps = round(self.height * width / height / WIDTH_STEP)
        return min(max(steps * WIDTH_STEP, self.least_width), self.most_width)

    def fit(self, image: Pixels) -> Pixels:
        """Resize (h, w, C) to (height, its width, C)."""
        return resize_image(image, (self.height, self.width_of(*image.shape[:2])))

    def stack(self, images: Sequence[Pixels]) -> Lines:
        """Resize images of any size and pad them by their last column to ``most_width``."""
        size = (len(images), self.height, self.most_width, self.channels)
        lines = Lines(np.empty(size, np.uint8), np.empty(len(images), np.int64))
        for row, image in enumerate(images):
            line = self.fit(image)
            width = line.shape[1]
            lines.pixels[row, :, :width] = line
            lines.pixels[row, :, width:] = line[:, -1:]
            lines.widths[row] = width
        return lines


@dataclass(frozen=True)
class TextImages:
    """Images with texts, splits, groups and sources; a view on files read on demand.

    Attributes:
        uri: where the data came from.
        names: (N,) file names, unique.
        texts: (N,) what each image says.
        splits: (N,) "train", "val" or "test".
        groups: (N,) what must not cross a split: the plate, or the source picture.
        sources: (N,) where each image comes from; "" where nothing is said.
        items: (N,) which image of the listing each one is.
        read: item to the bytes of its image file.
        split_origin: what parted them, in words.
    """

    uri: str
    names: tuple[str, ...]
    texts: tuple[str, ...]
    splits: NDArray[np.str_]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    items: NDArray[np.int64]
    read: Callable[[int], bytes]
    split_origin: str = "as given"

    @classmethod
    def from_images(
        cls,
        images: Sequence[Pixels],
        texts: Sequence[str],
        *,
        splits: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        uri: str = "memory:",
    ) -> "TextImages":
        """Wrap images in memory.

        Args:
            images: (h, w, 1 or 3) uint8 each, of any size.
            texts: what each says.
            splits: train, val or test; by hash of the group where None.
            groups: what must not cross a split; the texts where None.
            sources: where each comes from.
            uri: what to call the data.

        Raises:
            DataError: counts differ.
        """
        given = (texts, splits, groups, sources)
        counts = [len(images), *(len(values) for values in given if values is not None)]
        if len(set(counts)) != 1:
            raise DataError(f"expected a text, split, group and source an image, got {counts}.")
        files = [encode_png(image) for image in images]
        keys = np.array(texts if groups is None else groups, np.str_)
        return cls(
            uri=uri,
            names=tuple(f"line{index:06d}.png" for index in range(len(files))),
            texts=tuple(texts),
            splits=split_by_hash(keys) if splits is None else np.array(splits, np.str_),
            groups=keys,
            sources=np.array(sources or [""] * len(files), np.str_),
            items=np.arange(len(files)),
            read=files.__getitem__,
            split_origin=f"by hash of the {'text' if groups is None else 'group'}"
            if splits is None
            else "as given",
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)

    def images(
        self, indices: Sequence[int] | NDArray[np.int64] | None = None, *, channels: int = 3
    ) -> list[Pixels]:
        """Decode images ``indices`` (all where None), each (h, w, channels) at its own size.

        Raises:
            ImageError: a file is missing, corrupt or of an unusable size; it is named.
        """
        chosen = range(len(self)) if indices is None else indices
        return [
            decode_image(self.read(int(self.items[i])), channels=channels, name=self.names[i])
            for i in chosen
        ]

    def lines(
        self,
        indices: Sequence[int] | NDArray[np.int64] | None = None,
        size: tuple[int, int] = (32, 96),
        *,
        channels: int = 3,
    ) -> Pixels:
        """Images ``indices`` (all where None), each resized to ``size``: (N, H, W, channels)."""
        images = self.images(indices, channels=channels)
        lines = np.empty((len(images), *size, channels), np.uint8)
        for row, image in enumerate(images):
            lines[row] = resize_image(image, size)
        return lines

    def shaped(
        self, shape: LineShape, indices: Sequence[int] | NDArray[np.int64] | None = None
    ) -> Lines:
        """Images ``indices`` (all where None), brought to ``shape`` and padded."""
        return shape.stack(self.images(indices, channels=shape.channels))

    def split(self, name: str) -> "TextImages":
        """The images of one split.

        Raises:
            DataError: unknown split, or one without images.
        """
        found = np.flatnonzero(self.splits == name)
        if not len(found):
            raise DataError(
                f"expected images in split {name!r} of {self.uri}, got none: {self._split_sizes()}."
            )
        return self.subset(found)

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> "TextImages":
        """The images ``indices``, in that order."""
        chosen = np.asarray(indices, np.int64)
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            texts=tuple(self.texts[i] for i in chosen),
            splits=self.splits[chosen],
            groups=self.groups[chosen],
            sources=self.sources[chosen],
            items=self.items[chosen],
        )

    def digest(self) -> str:
        """SHA-256, in hexadecimal, over names, texts and bytes of all images."""
        total = hashlib.sha256()
        for item, name, text in zip(self.items, self.names, self.texts, strict=True):
            picture = hashlib.sha256(self.read(int(item))).hexdigest()
            total.update(f"{name}\0{text}\0{picture}\n".encode())
        return total.hexdigest()

    def describe(self) -> str:
        """One line: where from, how many, how split."""
        characters = len(set("".join(self.texts)))
        return (
            f"{self.uri.removesuffix(':')}: {len(self):,} images of text in {characters} "
            f"characters; {self._split_sizes()}"
        )

    def _split_sizes(self) -> str:
        return ", ".join(f"{name} {np.sum(self.splits == name):,}" for name in SPLITS)


def find_size_fault(height: int, width: int) -> str | None:
    """What an image must have that one of these sides, in pixels, has not; None if it is fit.

    The image is to be of one line: what is thinner would be squeezed beyond recognition.
    """
    short, long = sorted((height, width))
    if short >= LEAST_SIDE and long <= MOST_RATIO * short:
        return None
    return (
        f"sides of at least {LEAST_SIDE} pixels, the longer one at most {MOST_RATIO} times the "
        f"shorter; got {width}×{height}: cut out one line"
    )


def open_texts(uri: str, *, group_by: GroupBy = "text", real_only: bool = False) -> TextImages:
    """Open a data URI whose images say texts.

    Args:
        uri: ``scheme:path``; ``augment.data.text_formats.TEXT_FORMATS`` has the schemes.
        group_by: what must not cross a split.
        real_only: refuse data of which a manifest of ours says that some are generated.

    Raises:
        DataError: unknown scheme, no such path, no images, or what the scheme's reader refuses;
            generated images, if ``real_only``.
    """
    scheme, colon, path = uri.partition(":")
    if not colon or scheme not in TEXT_FORMATS:
        schemes = ", ".join(f"{name}:" for name in sorted(TEXT_FORMATS))
        raise DataError(f"expected a data URI of texts starting with {schemes}; got {uri!r}.")
    if real_only:
        refuse_generated(uri)
    listing = TEXT_FORMATS[scheme](path)
    if not listing.names:
        raise DataError(f"expected images of text in {uri}, got none; check the path.")
    keys = np.array(_groups(listing, group_by), np.str_)
    count = len(listing.names)
    data = TextImages(
        uri=uri,
        names=listing.names,
        texts=listing.texts,
        splits=split_by_hash(keys) if listing.splits is None else np.array(listing.splits, np.str_),
        groups=keys,
        sources=np.array(listing.sources or [""] * count, np.str_),
        items=np.arange(count),
        read=listing.read,
        split_origin=f"by hash of the {group_by}" if listing.splits is None else "as given",
    )
    _LOG.info(f"{data.describe()} (split {data.split_origin})")
    return data


def _groups(listing: TextListing, group_by: GroupBy) -> tuple[str, ...]:
    if group_by == "text":
        return listing.texts
    return listing.names if group_by == "image" else tuple(map(_picture_of, listing.names))


def _picture_of(name: str) -> str:
    """``train/1009_2.jpg`` shows a word of the picture ``1009``; other names stand for themselves.

    The folder is left out: one picture may have words in several splits.
    """
    stem = posixpath.splitext(posixpath.basename(name))[0]
    picture, underscore, _ = stem.rpartition("_")
    return picture if underscore else name
