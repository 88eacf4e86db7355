"""Which of many images, or of many points, lies nearest to another one."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from augment.images import Pixels

__all__ = ["NearestImages", "NearestPoints", "nearest_distances", "nearest_images"]

Points = NDArray[np.float32]

CANDIDATES = 4
"""Points that are compared exactly."""
CHUNK = 256
"""Points looked for at a time; bounds the memory at CHUNK × M distances."""
BLOCK = 4096
"""Points searched at a time; of these alone there are copies in float32."""


def nearest_images(
    images: Pixels, among: Pixels, *, besides: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each image the nearest of others; see ``NearestImages``."""
    return NearestImages(among)(images, besides=besides)


def nearest_distances(one: Pixels | Points, among: Pixels | Points) -> NDArray[np.float64]:
    """Distance of each to the nearest of others.

    Args:
        one: (N, H, W, C) levels, or (N, D) points in float32.
        among: (M, H, W, C) or (M, D), the same.

    Returns:
        (N,) root mean square differences of the pixels, in [0, 1], or Euclidean distances.
    """
    flat = one.reshape(len(one), -1)
    squares = NearestPoints(among.reshape(len(among), -1))(flat)[1]
    distances: NDArray[np.float64] = np.sqrt(squares)
    return _of_pixels(squares, flat.shape[1]) if one.dtype == np.uint8 else distances


class NearestPoints:
    """Finds the nearest of many points.

    The search runs in float32, whose best CANDIDATES are then compared exactly.

    Args:
        among: (M, D) uint8 or float32, to be searched.
    """

    def __init__(self, among: Pixels | Points) -> None:
        self._centre = among.mean(axis=0, dtype=np.float32)  # small numbers lose little
        self._among = among
        self._squares = np.concatenate(
            [np.einsum("md,md->m", block, block) for _, block in self._blocks()]
        )

    def _blocks(self) -> Iterator[tuple[slice, Points]]:
        """The points to be searched, centred, some at a time with their places."""
        for start in range(0, len(self._among), BLOCK):
            places = slice(start, start + BLOCK)
            yield places, self._among[places] - self._centre

    def __call__(
        self, points: Pixels | Points, *, besides: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Look for each point's nearest.

        Args:
            points: (N, D) as those searched.
            besides: (N,) index that is no answer for each point: itself, say.

        Returns:
            indices: (N,) in [0, M).
            squares: (N,) squared Euclidean distances; equal points have 0.
        """
        found = []
        for start in range(0, len(points), CHUNK):
            rows = slice(start, start + CHUNK)
            found.append(self._search(points[rows], None if besides is None else besides[rows]))
        indices, squares = (np.concatenate(part) for part in zip(*found, strict=True))
        return indices, squares

    def _search(
        self, points: Pixels | Points, besides: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The same for a few points."""
        rows = np.arange(len(points))
        centred = 2 * (points - self._centre)
        squared = np.empty((len(points), len(self._among)), np.float32)
        for places, block in self._blocks():
            np.subtract(self._squares[places], centred @ block.T, out=squared[:, places])
        if besides is not None:
            squared[rows, besides] = np.inf
        most = min(CANDIDATES, squared.shape[1])
        candidates = np.sort(squared.argpartition(most - 1, axis=1)[:, :most], axis=1)
        exact = np.stack(
            [_squared_distances(points, self._among[column]) for column in candidates.T], axis=1
        )
        if besides is not None:
            exact[candidates == besides[:, None]] = np.inf
        best = exact.argmin(axis=1)
        return candidates[rows, best], exact[rows, best]


class NearestImages:
    """Finds the nearest of many images, by root mean square difference of the pixels.

    Args:
        among: (M, H, W, C), to be searched.
    """

    def __init__(self, among: Pixels) -> None:
        self._nearest = NearestPoints(among.reshape(len(among), -1))

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
        flat = images.reshape(len(images), -1)
        indices, squares = self._nearest(flat, besides=besides)
        return indices, _of_pixels(squares, flat.shape[1])


def _of_pixels(squares: NDArray[np.float64], dimension: int) -> NDArray[np.float64]:
    """(N,) root mean squares in [0, 1] of squared distances between D levels."""
    distances: NDArray[np.float64] = np.sqrt(squares / dimension) / 255
    return distances


def _squared_distances(first: Pixels | Points, second: Pixels | Points) -> NDArray[np.float64]:
    """(N,) squared Euclidean distances of (N, D) points."""
    difference = first.astype(np.float64) - second
    squares: NDArray[np.float64] = np.einsum("nd,nd->n", difference, difference)
    return squares
