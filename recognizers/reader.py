"""Read-back: recognizers trained on a generator's own real images judge what it generates.

A generated image may have been drawn from the ink of a real image. A reader that was trained on
that very image would recognize it however badly it was drawn, so readers are cross-fitted: the
real images are dealt into folds, one member is trained without each fold, and an image made
from fold f is read by the member that never saw fold f.

A generated face is read by the person whose centre is nearest to its embedding. An image may be
too far from everybody to show anyone, or so near that it teaches nothing: a band of confidences
keeps those between.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages
from augment.errors import ConfigError
from augment.images import Pixels
from recognizers.base import Recognizer
from recognizers.character import CharacterRecognizer
from recognizers.cross_fitting import EVERYTHING, choose_judges, fit_members
from recognizers.face import FaceRecognizer
from recognizers.fit import predict
from recognizers.reader_files import opened_reader, write_reader

__all__ = ["KINDS", "CrossFittedReader", "load_reader", "save_reader", "train_reader"]

KINDS: dict[str, type[CharacterRecognizer] | type[FaceRecognizer]] = {
    "character": CharacterRecognizer,
    "face": FaceRecognizer,
}
"""Readers a bundle may hold; a bundle names one, and never code to import."""
NOBODY = -1
"""What an image outside the band is read as."""


class CrossFittedReader:
    """Reads generated images (see ``augment.generate.Reader``).

    Args:
        members: member f was trained without fold f of the real images.
        classes: class names, in the order of the labels.
        band: least and greatest confidence of an image that is read as a class.
    """

    def __init__(
        self,
        members: list[Recognizer],
        classes: tuple[str, ...],
        band: tuple[float, float] = EVERYTHING,
    ) -> None:
        self.members, self.classes, self.band = members, classes, band

    def read(
        self,
        images: Pixels,
        folds: NDArray[np.int64] | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Read images.

        Args:
            images: (N, H, W, C) uint8.
            folds: (N,) fold of the real image each was drawn from; see ``choose_judges``.
            bands: (N, 2) the band of each image; the reader's where None.

        Returns:
            labels (N,), -1 outside the band, and confidences (N,) in [0, 1].
        """
        readings = [predict(member, images) for member in self.members]
        labels = np.stack([read for read, _ in readings])  # (members, N)
        confidences = np.stack([confidence for _, confidence in readings])
        judge = choose_judges(confidences, folds)
        rows = np.arange(len(images))
        confidence = confidences[judge, rows]
        low, high = np.array(self.band, np.float32) if bands is None else bands.T
        inside = (confidence >= low) & (confidence <= high)
        return np.where(inside, labels[judge, rows], NOBODY), confidence


def train_reader(
    data: LabelledImages,
    folds: NDArray[np.int64],
    fit_without: Callable[[NDArray[np.int64], int], Recognizer],
    band: tuple[float, float] = EVERYTHING,
) -> CrossFittedReader:
    """Train one member without each fold; a single fold trains one member on everything.

    Args:
        data: the generator's real training images.
        folds: (N,) fold of each, 0 to F - 1.
        fit_without: see ``fit_members``.
        band: see ``CrossFittedReader``.

    Returns:
        The reader.
    """
    return CrossFittedReader(fit_members(folds, fit_without), data.classes, band)


def save_reader(folder: Path, reader: CrossFittedReader) -> None:
    """Write weights and description of a reader's members to ``folder``.

    Raises:
        ConfigError: the members are of no kind that a bundle may hold.
    """
    first = reader.members[0]
    kind = next((name for name, one in KINDS.items() if type(first) is one), None)
    if kind is None:
        raise ConfigError(
            f"expected a reader of the kind {' or '.join(KINDS)}, got {type(first).__name__}; "
            "a bundle names its reader, and never code to import."
        )
    description = {
        "classes": list(reader.classes),
        "image_size": list(first.image_size),
        "channels": first.channels,
        "band": list(reader.band),
    }
    write_reader(folder, kind, reader.members, description)


def load_reader(folder: str | Path, device: str | torch.device = "cpu") -> CrossFittedReader:
    """Load the reader of a bundle (its folder ``reader/``).

    Raises:
        BundleError: it cannot be read, is no reader of classes, or its weights do not fit its
            description.
    """
    with opened_reader(folder, KINDS) as stored:
        described = stored.description
        kind, classes = KINDS[described["kind"]], tuple(described["classes"])
        size = (int(described["image_size"][0]), int(described["image_size"][1]))
        low, high = described.get("band", EVERYTHING)  # readers of old have none
        channels = described["channels"]
        members = stored.members(lambda: kind(len(classes), size, channels), device)
        return CrossFittedReader(list(members), classes, (float(low), float(high)))
