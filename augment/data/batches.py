"""Batches of images as a pure function of the step, for generators that need no content picture."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from augment.data.datasets import LabelledImages
from augment.data.published import PUBLISHED
from augment.errors import ConfigError
from augment.images import Pixels, to_tensor

__all__ = ["Choice", "ImageBatches", "ImagesConfig", "looks_alike_mirrored", "mirror"]

CACHE_BYTES = 256 * 2**20
"""Decoded images are kept in memory up to this size; larger sets are decoded batch by batch."""


@dataclass(frozen=True)
class ImagesConfig:
    """How images are drawn for a batch."""

    mirror: bool | None = None  # half of the images mirrored; None: see ``looks_alike_mirrored``
    towards_rare: float = 0.5  # class probability ~ images^(1 - this): 0 draws images, 1 classes

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.towards_rare <= 1:
            raise ConfigError(f"towards_rare must be in [0, 1]; got {self.towards_rare}.")


class Choice(NamedTuple):
    """Images of one batch."""

    rows: NDArray[np.int64]  # (N,) indices into the data
    mirrored: NDArray[np.bool_]  # (N,)


class ImageBatches:
    """Chooses and decodes training images.

    Args:
        data: training images.
        config: how they are drawn.
        batch_size: images a step over all workers.
        seed: of all draws.
    """

    def __init__(
        self, data: LabelledImages, config: ImagesConfig, *, batch_size: int, seed: int
    ) -> None:
        self.data, self.config = data, config
        self.batch_size, self.seed = batch_size, seed
        self.mirrors = looks_alike_mirrored(data.uri) if config.mirror is None else config.mirror
        weights = np.bincount(data.labels).astype(np.float64)[data.labels] ** -config.towards_rare
        self.ends = np.cumsum(weights / weights.sum())
        height, width = data.image_size
        fits = len(data) * height * width * data.channels <= CACHE_BYTES
        self.cached: Pixels | None = data.images() if fits else None

    def choose(self, step: int, rank: int = 0, world_size: int = 1) -> Choice:
        """The ``batch_size`` // ``world_size`` images of one worker at one step."""
        count = self.batch_size // world_size
        rng = np.random.default_rng((self.seed, step, rank))
        rows = np.searchsorted(self.ends, rng.random(count), side="right")
        mirrored = (rng.random(count) < 0.5) & self.mirrors
        return Choice(rows.clip(max=len(self.data) - 1), mirrored)

    def images(self, choice: Choice) -> Tensor:
        """(N, C, H, W) in [-1, 1]."""
        pixels = self.data.images(choice.rows) if self.cached is None else self.cached[choice.rows]
        return to_tensor(mirror(pixels, choice.mirrored))


def looks_alike_mirrored(uri: str) -> bool:
    """Whether a mirrored image shows the same class: known of published faces, flowers and birds.

    Of a folder of your own it is not known, and mirrored letters would be taught as letters.
    """
    return uri.partition(":")[0] in PUBLISHED


def mirror(maps: Pixels, mirrored: NDArray[np.bool_]) -> Pixels:
    """Flip some of (N, H, W, …) maps left to right."""
    flipped = maps.copy()
    flipped[mirrored] = flipped[mirrored, :, ::-1]
    return flipped
