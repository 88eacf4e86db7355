"""Labelled images behind a data URI, decoded on demand.

``open_data("folder:plates")`` returns a LabelledImages: names, labels and splits in memory,
pixels read when they are asked for, so that a set larger than memory trains.

| URI | what lies there |
|---|---|
| ``digits:`` | scikit-learn's real handwritten digits, embedded |
| ``folder:DIR`` | the one ``labels.csv``, else ``CLASS/FILE`` or ``SPLIT/CLASS/FILE`` |
| ``zip:FILE`` | the same in a zip |
| ``csv:FILE`` | columns file and label or text [, split][, group]; paths relative to the csv |
| ``idx:DIR`` | MNIST's four files, gzipped or not |
| ``parquet:PATH`` | images and labels in Parquet, as Hugging Face's datasets have them |
| ``charboxes:FILE`` | a zip of plates or words, labels.csv and char_boxes.json: its characters |
| ``lfw:PATH`` | Labeled Faces in the Wild; a lfw_attributes.txt there gives attributes |
| ``celeba:PATH`` | CelebA or CelebAMask-HQ with their 40 attributes |
| ``facescrub:PATH`` | FaceScrub's pictures, a folder a person |
| ``oxford102:PATH`` | 102 kinds of flowers; segmentations beside them cut them out |
| ``cub200:PATH`` | 200 kinds of birds, whole; ``cub200boxes:PATH`` cuts them out |
| ``olivetti:[DIR]`` | scikit-learn's Olivetti faces, kept in DIR or its default data_home |
| ``lfwpeople:[DIR]`` | scikit-learn's crop of LFW, likewise |

PATH is a folder or a zip in the layout its publishers gave it; the readers in
``augment.data.published`` and ``augment.data.published_objects`` describe them. Paths may be
fsspec URLs (s3://, gs://). Splits given there are used; otherwise items are split 75/10/15 by a
hash of their group, so that the split never changes and no group crosses it.
"""

import hashlib
import logging
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augment.data.formats import READERS
from augment.data.listing import SPLITS, Listing, some, split_by_hash
from augment.data.provenance import refuse_generated
from augment.data.sources import ArrayImages, Source
from augment.errors import DataError
from augment.images import Pixels, resize_image, to_tensor

__all__ = ["LabelledImages", "open_data"]

_LOG = logging.getLogger("labelmint.data")
_PROBE = 64  # images looked at to choose size and channels
_SIDE_RANGE = (8, 64)  # pixels; for a size chosen from the data


class LabelledImages(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Images with labels, splits and groups; a view on a source that decodes on demand.

    Attributes:
        uri: where the data came from.
        classes: class names; a label is an index into them.
        image_size: (H, W), pixels; every image is resized to it.
        channels: 1 (gray) or 3 (RGB).
        labels: (N,) int64.
        splits: (N,) "train", "val" or "test".
        names: (N,) file or item names, unique.
        attributes: (N, A) int8, -1 or 1; None where the images have none.
        attribute_names: (A,) names of the attributes' columns.
    """

    def __init__(
        self,
        source: Source,
        items: NDArray[np.int64],
        *,
        uri: str,
        classes: tuple[str, ...],
        image_size: tuple[int, int],
        channels: int,
        labels: NDArray[np.int64],
        splits: NDArray[np.str_],
        groups: NDArray[np.str_] | None,
        names: tuple[str, ...],
        split_origin: str,
        attributes: NDArray[np.int8] | None = None,
        attribute_names: tuple[str, ...] = (),
    ) -> None:
        """Bind items of a source to what is known of them; see ``open_data``, ``from_arrays``."""
        self.uri = uri
        self.classes = classes
        self.image_size = image_size
        self.channels = channels
        self.labels = labels
        self.splits = splits
        self.names = names
        self.attributes = attributes
        self.attribute_names = attribute_names
        self._groups = groups
        self._source = source
        self._items = items
        self._split_origin = split_origin

    @classmethod
    def from_arrays(
        cls,
        images: Pixels,
        labels: NDArray[np.int64],
        classes: Sequence[str],
        *,
        splits: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        attributes: NDArray[np.int8] | None = None,
        attribute_names: Sequence[str] = (),
        uri: str = "memory:",
    ) -> "LabelledImages":
        """Wrap images already in memory.

        Args:
            images: (N, H, W, 1 or 3) uint8.
            labels: (N,), indices into ``classes``.
            classes: class names.
            splits: (N,) train, val or test; by hash where None.
            groups: (N,) what must not cross a split; each image its own where None.
            attributes: (N, A), -1 or 1, if the images have any.
            attribute_names: (A,) unique names of the attributes' columns.
            uri: what to call the data.

        Raises:
            DataError: counts differ, a label lies outside the classes, or an attribute is
                neither -1 nor 1.
        """
        if len(images) != len(labels):
            raise DataError(f"expected a label an image, got {len(images)} and {len(labels)}.")
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
            raise DataError(
                f"labels must be in [0, {len(classes) - 1}], got {labels.min()} to {labels.max()}."
            )
        _check_attributes(attributes, attribute_names, len(images))
        names = tuple(f"image{index:06d}" for index in range(len(images)))
        keys = np.array(groups if groups is not None else names, np.str_)
        return cls(
            ArrayImages(images),
            np.arange(len(images)),
            uri=uri,
            classes=tuple(classes),
            image_size=(images.shape[1], images.shape[2]),
            channels=images.shape[3],
            labels=np.asarray(labels, np.int64),
            splits=split_by_hash(keys) if splits is None else np.array(splits, np.str_),
            groups=None if groups is None else keys,
            names=names,
            split_origin="by hash of the group" if splits is None else "as given",
            attributes=None if attributes is None else np.asarray(attributes, np.int8),
            attribute_names=tuple(attribute_names),
        )

    @classmethod
    def joined(cls, parts: Mapping[str, "LabelledImages"], uri: str) -> "LabelledImages":
        """Put images of one source together, each part as the split that it is named.

        Args:
            parts: split to images, opened once and then chosen from, with the same classes.
            uri: what to call them.

        Raises:
            DataError: parts of different sources or classes.
        """
        first = next(iter(parts.values()))
        for part in parts.values():
            if part._source is not first._source or part.classes != first.classes:
                raise DataError(f"expected parts of one source and one set of classes for {uri}.")
        attributes = [part.attributes for part in parts.values() if part.attributes is not None]
        return cls(
            first._source,
            np.concatenate([part._items for part in parts.values()]),
            uri=uri,
            classes=first.classes,
            image_size=first.image_size,
            channels=first.channels,
            labels=np.concatenate([part.labels for part in parts.values()]),
            splits=np.repeat(list(parts), [len(part) for part in parts.values()]),
            groups=np.concatenate([part.groups for part in parts.values()]),
            names=tuple(name for part in parts.values() for name in part.names),
            split_origin="as given",
            attributes=np.concatenate(attributes) if attributes else None,
            attribute_names=first.attribute_names,
        )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return image ``index`` as (C, H, W) float32 in [-1, 1], and its label."""
        return to_tensor(self.images([index]))[0], int(self.labels[index])

    @property
    def groups(self) -> NDArray[np.str_]:
        """(N,) what must not cross a split: plate, source picture, person; else the name."""
        return np.array(self.names, np.str_) if self._groups is None else self._groups

    def images(self, indices: Sequence[int] | NDArray[np.int64] | None = None) -> Pixels:
        """Decode images ``indices`` (all where None) to (n, H, W, C) uint8.

        Raises:
            ImageError: a file is corrupt, truncated or of an unusable size; it is named.
        """
        chosen = range(len(self)) if indices is None else indices
        images = np.empty((len(chosen), *self.image_size, self.channels), np.uint8)
        for row, index in enumerate(chosen):
            images[row] = self._decode(int(index))
        return images

    def split(self, name: str) -> "LabelledImages":
        """Return the images of one split.

        Raises:
            DataError: unknown split, or one without images.
        """
        found = np.flatnonzero(self.splits == name)
        if not len(found):
            sizes = self._split_sizes()
            raise DataError(f"expected images in split {name!r} of {self.uri}, got none: {sizes}.")
        return self.subset(found)

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> "LabelledImages":
        """Return the images ``indices``, in that order, with the same classes."""
        chosen = np.asarray(indices, np.int64)
        return self._view(chosen, self.labels[chosen], self.classes)

    def relabel(self, mapping: Mapping[str, str]) -> "LabelledImages":
        """Rename or merge classes; images of classes that ``mapping`` lacks are left out.

        The new classes are the values of ``mapping`` in order of first appearance.
        """
        classes = tuple(dict.fromkeys(mapping.values()))
        new_label = np.array(
            [classes.index(mapping[name]) if name in mapping else -1 for name in self.classes]
        )
        chosen = np.flatnonzero(new_label[self.labels] >= 0)
        return self._view(chosen, new_label[self.labels[chosen]], classes)

    def by_attribute(self, name: str) -> "LabelledImages":
        """The same images in two classes, ``no NAME`` and ``NAME``, by one of their attributes.

        Raises:
            DataError: an attribute that they do not have; lists those they have.
        """
        if self.attributes is None or name not in self.attribute_names:
            known = ", ".join(self.attribute_names) or "none"
            raise DataError(f"{self.uri}: expected one of the attributes {known}; got {name!r}.")
        has = self.attributes[:, self.attribute_names.index(name)] > 0
        return self._view(np.arange(len(self)), has.astype(np.int64), (f"no {name}", name))

    def digest(self) -> str:
        """SHA-256, in hexadecimal, over names, class names, attributes and bytes of all images."""
        total = hashlib.sha256()
        for item, name, label in zip(self._items, self.names, self.labels, strict=True):
            picture = hashlib.sha256(self._source.fingerprint(int(item))).hexdigest()
            total.update(f"{name}\0{self.classes[label]}\0{picture}\n".encode())
        if self.attributes is not None:
            total.update("\0".join(self.attribute_names).encode())
            total.update(np.ascontiguousarray(self.attributes).tobytes())
        return total.hexdigest()

    def describe(self) -> str:
        """One line: where from, how many, how large, how split."""
        height, width = self.image_size
        return (
            f"{self.uri.removesuffix(':')}: {len(self):,} images of {len(self.classes)} classes, "
            f"{height}×{width}×{self.channels}; {self._split_sizes()} (split {self._split_origin})"
        )

    def _decode(self, index: int) -> Pixels:
        return resize_image(
            self._source.pixels(int(self._items[index]), self.channels), self.image_size
        )

    def _split_sizes(self) -> str:
        return ", ".join(f"{name} {np.sum(self.splits == name):,}" for name in SPLITS)

    def _view(
        self, chosen: NDArray[np.int64], labels: NDArray[np.int64], classes: tuple[str, ...]
    ) -> "LabelledImages":
        return LabelledImages(
            self._source,
            self._items[chosen],
            uri=self.uri,
            classes=classes,
            image_size=self.image_size,
            channels=self.channels,
            labels=labels,
            splits=self.splits[chosen],
            groups=None if self._groups is None else self._groups[chosen],
            names=tuple(self.names[index] for index in chosen),
            split_origin=self._split_origin,
            attributes=None if self.attributes is None else self.attributes[chosen],
            attribute_names=self.attribute_names,
        )


def open_data(
    uri: str,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    real_only: bool = False,
) -> LabelledImages:
    """Open a data URI; the table in the module docstring lists the schemes.

    Args:
        uri: ``scheme:path``.
        image_size: (H, W), pixels; None takes the median of 64 images spread over the data,
            each side clipped to [8, 64].
        channels: 1 or 3; None takes 1 if those images are all gray.
        real_only: refuse data of which a manifest of ours says that some are generated.

    Raises:
        DataError: unknown scheme, no such path, no images, fewer than two classes and no
            attributes, classes that look alike, labels without images or images without labels, a
            damaged archive or table; generated images, if ``real_only``.
        ImageError: one of the images looked at cannot be decoded.
    """
    scheme, colon, path = uri.partition(":")
    if not colon or scheme not in READERS:
        schemes = ", ".join(f"{name}:" for name in sorted(READERS))
        raise DataError(f"expected a data URI starting with {schemes}; got {uri!r}.")
    if real_only:
        refuse_generated(uri)
    listing = READERS[scheme](path)
    classes = tuple(sorted(set(listing.labels)))
    if len(classes) < 2 and listing.attributes is None:
        raise DataError(
            f"expected at least two classes in {uri}, got {len(classes)} "
            f"({', '.join(classes) or 'no images'}); there is nothing to tell apart."
        )
    _check_distinct(classes, uri)
    if image_size is None or channels is None:
        size_seen, channels_seen = _probe(listing)
        image_size = image_size or listing.image_size or size_seen
        channels = channels or channels_seen
    number = {name: index for index, name in enumerate(classes)}
    groups = None if listing.groups is None else np.array(listing.groups, np.str_)
    if listing.splits is not None:
        splits = np.array(listing.splits, np.str_)
    else:
        splits = split_by_hash(listing.names if groups is None else groups)
    data = LabelledImages(
        listing.source,
        np.arange(len(listing.names)),
        uri=uri,
        classes=classes,
        image_size=image_size,
        channels=channels,
        labels=np.array([number[label] for label in listing.labels], np.int64),
        splits=splits,
        groups=groups,
        names=listing.names,
        split_origin="as given" if listing.splits is not None else "by hash of the group",
        attributes=listing.attributes,
        attribute_names=listing.attribute_names,
    )
    _LOG.info(data.describe())
    return data


def _probe(listing: Listing) -> tuple[tuple[int, int], int]:
    """Choose image size and channels from images spread evenly over the data."""
    count = len(listing.names)
    chosen = np.unique(np.linspace(0, count - 1, min(_PROBE, count)).astype(int))
    images = [listing.source.pixels(int(item), 3) for item in chosen]
    height, width = np.median([image.shape[:2] for image in images], axis=0)
    low, high = _SIDE_RANGE
    gray = all(np.ptp(image, axis=2).max() == 0 for image in images)
    return (int(np.clip(height, low, high)), int(np.clip(width, low, high))), 1 if gray else 3


def _check_attributes(
    attributes: NDArray[np.int8] | None, names: Sequence[str], count: int
) -> None:
    shape = (0, 0) if attributes is None else attributes.shape
    expected = (0 if attributes is None else count, len(names))
    if shape != expected or len(set(names)) != len(names):
        raise DataError(
            f"expected attributes of shape {expected}, a row an image and a column for each of "
            f"the unique names {', '.join(names) or '(none)'}; got {shape}."
        )
    if attributes is not None and not np.isin(attributes, (-1, 1)).all():
        odd = np.unique(attributes[~np.isin(attributes, (-1, 1))])
        raise DataError(f"attributes must be -1 or 1, got {some([str(value) for value in odd])}.")


def _check_distinct(classes: Sequence[str], uri: str) -> None:
    """Refuse classes that look the same to a reader, and would be trained apart."""
    known: dict[str, str] = {}
    for name in classes:
        same = known.setdefault(unicodedata.normalize("NFC", name.strip()), name)
        if same is not name:
            raise DataError(
                f"expected classes that differ in more than white space around them or the "
                f"encoding of accents, got {same!a} and {name!a} in {uri}; write them alike."
            )
