"""Objects cut out of pictures: the square around a box, and around a segmented foreground."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.data.sources import EncodedImages
from augment.errors import ImageError
from augment.images import Pixels

__all__ = ["SegmentedImages", "square_around"]

_GROUND = (0, 0, 254)  # the blue that Oxford's segmentations paint over the background
_GROUND_TOLERANCE = 60  # levels; the segmentations are JPEG files


def square_around(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Widen boxes (N, 4) = (left, top, right, bottom), pixels, to squares of the same centre."""
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([center - half, center + half], axis=1)


@dataclass(frozen=True)
class SegmentedImages:
    """Pictures cut to the square around what a second file, its segmentation, leaves unpainted.

    The square is clipped to the picture; where the segmentation is all ground, the picture
    stays whole.
    """

    pictures: EncodedImages
    segmentations: EncodedImages

    def pixels(self, item: int, channels: int) -> Pixels:
        """Decode picture and segmentation and cut; ImageError if their sizes differ."""
        picture = self.pictures.pixels(item, channels)
        segmentation = self.segmentations.pixels(item, 3)
        if picture.shape[:2] != segmentation.shape[:2]:
            raise ImageError(
                f"{self.segmentations.files[item]}: expected the size of "
                f"{self.pictures.files[item]}, {picture.shape[:2]}, got "
                f"{segmentation.shape[:2]}; copy both again."
            )
        distance = np.abs(segmentation.astype(np.int16) - _GROUND).max(axis=2)
        rows, columns = np.nonzero(distance > _GROUND_TOLERANCE)
        if not len(rows):
            return picture
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        left, top, right, bottom = square_around(box)[0].round().astype(int)
        return picture[max(top, 0) : bottom, max(left, 0) : right]

    def fingerprint(self, item: int) -> bytes:
        """Return the bytes of both files."""
        return self.pictures.fingerprint(item) + self.segmentations.fingerprint(item)
