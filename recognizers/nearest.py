"""Which of many images looks most like another one."""

import numpy as np
from numpy.typing import NDArray

from augment.images import Pixels

__all__ = ["NearestImages", "nearest_images"]

CANDIDATES = 4
"""Images that are compared exactly."""
CHUNK = 256
"""Images looked for at a time; bounds the memory at CHUNK × M distances."""


def nearest_images(
    images: Pixels, among: Pixels, *, besides: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each image the nearest of others; see ``NearestImages``."""
    return NearestImages(among)(images, besides=besides)


class NearestImages:
    """Finds the nearest of many images, by root mean square difference of the pixels.

    The search runs in float32, whose best CANDIDATES are then compared exactly.

    Args:
        among: (M, H, W, C), to be searched.
    """

    def __init__(self, among: Pixels) -> None:
        flat = among.reshape(len(among), -1)
        self._centre = flat.mean(axis=0, dtype=np.float32)  # small numbers lose little
        self._among, self._points = flat, flat - self._centre
        self._squares = np.einsum("md,md->m", self._points, self._points)

    def __call__(
        self, images: Pixels, *, besides: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Look for each image's nearest.

        Args:
            images: (N, H, W, C).
            besides: (N,) index that is no answer for each image: itself, say.

        Returns:
            indices: (N,) in [0, M).
            distances: (N,) in [0, 1]: 0 = the same picture, 1 = black against white.
        """
        flat, found = images.reshape(len(images), -1), []
        for start in range(0, len(flat), CHUNK):
            rows = slice(start, start + CHUNK)
            found.append(self._search(flat[rows], None if besides is None else besides[rows]))
        indices, squares = (np.concatenate(part) for part in zip(*found, strict=True))
        return indices, np.sqrt(squares)

    def _search(
        self, flat: Pixels, besides: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(N,) index and mean squared difference of the nearest to each of (N, D) levels."""
        rows = np.arange(len(flat))
        squared = self._squares - 2 * (flat - self._centre) @ self._points.T
        if besides is not None:
            squared[rows, besides] = np.inf
        most = min(CANDIDATES, squared.shape[1])
        candidates = np.sort(squared.argpartition(most - 1, axis=1)[:, :most], axis=1)
        exact = np.stack(
            [_mean_square(flat, self._among[column]) for column in candidates.T], axis=1
        )
        if besides is not None:
            exact[candidates == besides[:, None]] = np.inf
        best = exact.argmin(axis=1)
        return candidates[rows, best], exact[rows, best]


def _mean_square(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """(N,) mean squared difference of (N, D) levels, in [0, 1]."""
    difference = (first.astype(np.float64) - second) / 255.0
    square: NDArray[np.float64] = (difference**2).mean(axis=1)
    return square
