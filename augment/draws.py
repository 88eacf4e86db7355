"""Random choices that depend only on what is drawn, never on what is drawn beside it."""

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["ContentIndex", "Uniforms", "to_normal"]


class ContentIndex:
    """Which rows of the content bank belong to which class, glyphs and examples apart.

    Args:
        labels: (M,) class of each row.
        folds: (M,) -1 for a glyph.
        num_classes: k; each has a row.
    """

    def __init__(
        self, labels: NDArray[np.int64], folds: NDArray[np.int64], num_classes: int
    ) -> None:
        self.folds = folds
        kinds = np.where(folds < 0, 0, 1)
        keys = kinds * num_classes + labels
        self.rows = np.argsort(keys, kind="stable")  # glyphs by class, then examples by class
        self.counts = np.bincount(keys, minlength=2 * num_classes).reshape(2, num_classes)
        self.starts = (np.cumsum(self.counts) - self.counts.ravel()).reshape(2, num_classes)

    def choose(
        self,
        labels: NDArray[np.int64],
        wants_glyph: NDArray[np.bool_],
        uniforms: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        """A bank row for each label: a glyph or an example as wanted, if the class has both."""
        glyphs, examples = self.counts[:, labels]
        kinds = np.where((wants_glyph & (glyphs > 0)) | (examples == 0), 0, 1)
        places = (uniforms * self.counts[kinds, labels]).astype(np.int64)
        rows: NDArray[np.int64] = self.rows[self.starts[kinds, labels] + places]
        return rows


class Uniforms:
    """Random numbers in [0, 1) that depend only on (seed, label, index, stream)."""

    def __init__(
        self,
        seed: int | NDArray[np.int64],
        labels: NDArray[np.int64],
        indices: NDArray[np.int64],
    ) -> None:
        seeds = np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64) if isinstance(seed, int) else seed
        state = _splitmix(seeds.astype(np.uint64))
        state = _splitmix(state ^ labels.astype(np.uint64))
        self.keys = _splitmix(state ^ indices.astype(np.uint64))

    def __call__(self, stream: int) -> NDArray[np.float64]:
        """(N,) numbers of one stream."""
        return _to_unit(_splitmix(self.keys ^ np.uint64(stream << 32)))

    def table(self, stream: int, columns: int) -> NDArray[np.float64]:
        """(N, columns) numbers."""
        streams = np.uint64(stream << 32) + np.arange(1, columns + 1, dtype=np.uint64)
        return _to_unit(_splitmix(self.keys[:, None] ^ streams))


def to_normal(uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers in [0, 1) to draws from N(0, 1), by the inverse of its distribution function."""
    inner = torch.from_numpy(uniforms).clamp(2.0**-53, 1 - 2.0**-53)
    normal: NDArray[np.float64] = torch.special.ndtri(inner).numpy()
    return normal


def _to_unit(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The upper 53 bits as a number in [0, 1)."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _splitmix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The SplitMix64 finalizer (Steele et al., 2014): a bijective mix of 64 bits."""
    with np.errstate(over="ignore"):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))
