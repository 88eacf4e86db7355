"""What SAAE trains on: an image, a content picture of its label and a style picture.

The content of a label is a clean, bright-on-dark picture of it. It comes from a font, or from
a real image of the same class reduced to its ink; so a class that no font draws faithfully
still has its own strokes. Classes that nobody can draw or write, such as faces with glasses,
take a photograph of the class in gray. The style picture is the image itself or, where images
share a group (characters of one plate or sign), another member of it, which tells colour, light
and blur but cannot tell the strokes.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augment.data.datasets import LabelledImages
from augment.data.poses import FIT_CHUNK, fit_poses, identity_poses, relative_poses, warp_to_poses
from augment.errors import ConfigError, DataError
from augment.images import Pixels, to_tensor

__all__ = ["FOLDS", "Batch", "ContentStylePairs", "PairsConfig", "folds_of", "gray_of", "ink_of"]

FOLDS = 2
"""Folds of the real images; see ``recognizers.reader``."""
CACHE_BYTES = 16 * 2**20
"""Decoded images are kept in memory up to this size; larger sets are decoded batch by batch."""

FIT_AT_ONCE = 4096
"""Up to so many images, poses are fitted beforehand; of larger sets, when they are needed."""
FIT_BATCH = 64
"""Images whose poses are fitted together when they are needed."""


class Batch(NamedTuple):
    """What one training step sees."""

    images: Tensor  # x, (N, C, H, W) in [-1, 1]
    labels: Tensor  # (N,) class of x and of its content
    contents: Tensor  # c, (N, 1, H, W) in [-1, 1], ink bright
    styles: Tensor  # s, (N, C, Hs, Ws) in [-1, 1]


@dataclass(frozen=True)
class PairsConfig:
    """Where contents and styles come from; shares are relative."""

    glyph_share: float = 1.0  # contents drawn with fonts (the paper's only source)
    example_share: float = 0.0  # ink of another real image of the class
    self_share: float = 0.0  # ink of the image itself
    examples: Literal["ink", "photograph"] = "ink"  # what real images are reduced to as contents
    style_from: Literal["self", "group"] = "self"
    align: bool = False  # put each content in the pose of the image to be rebuilt
    balance_classes: bool = False  # draw classes, not images, uniformly

    def __post_init__(self) -> None:
        """Check ranges."""
        shares = (self.glyph_share, self.example_share, self.self_share)
        if min(shares) < 0 or sum(shares) == 0:
            raise ConfigError(f"content shares must be >= 0 and not all 0; got {shares}.")
        if self.examples == "photograph" and (self.glyph_share or self.align):
            raise ConfigError(
                "expected glyph_share 0 and align false where contents are photographs, for no "
                f"font draws these; got {self.glyph_share} and {str(self.align).lower()}."
            )

    def reduce(self, images: Pixels) -> Pixels:
        """Contents (N, H, W, 1) uint8 of real images (N, H, W, C) uint8."""
        return ink_of(images) if self.examples == "ink" else gray_of(images)


def folds_of(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Deal the images of each class into FOLDS folds by turns: (N,) labels to (N,) folds."""
    folds = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds


def ink_of(images: Pixels) -> Pixels:
    """Reduce images to their ink: bright strokes on black, contrast stretched to [0, 255].

    The threshold is Otsu's; whichever side of it covers less of the border is taken for ink.

    Args:
        images: (N, H, W, C) uint8.

    Returns:
        (N, H, W, 1) uint8.
    """
    inks = np.empty((*images.shape[:3], 1), np.uint8)
    for ink, image in zip(inks, images, strict=True):
        gray = image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        _, bright = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]])
        if border.mean() > 0.5:
            gray, bright = 255 - gray, 1 - bright
        if bright.all() or not bright.any():
            ink[:, :, 0] = gray
            continue
        low, high = np.median(gray[bright == 0]), np.median(gray[bright == 1])
        stretched = (gray.astype(np.float32) - low) * (255.0 / max(high - low, 1.0))
        ink[:, :, 0] = np.clip(stretched, 0, 255)
    return inks


def gray_of(images: Pixels) -> Pixels:
    """Luma of images: (N, H, W, 1 or 3) uint8 to (N, H, W, 1) uint8."""
    if images.shape[3] == 1:
        return images
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])[..., None]


class ContentStylePairs:
    """Batches for SAAE as a pure function of the step.

    Args:
        data: training images.
        glyphs: (k, F, H, W, 1) uint8, every class in F fonts; F may be 0 where glyph_share is.
        config: where contents and styles come from.
        batch_size: images a step over all workers.
        seed: of all draws.

    Raises:
        DataError: fewer images than classes need, or a batch too small to share out.
    """

    def __init__(
        self,
        data: LabelledImages,
        glyphs: Pixels,
        config: PairsConfig,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self.data, self.glyphs, self.config = data, glyphs, config
        self.batch_size, self.seed = batch_size, seed
        self.labels = data.labels
        self.by_class = _Members(data.labels)
        if len(glyphs) != len(data.classes):
            raise DataError(
                f"expected glyphs of {len(data.classes)} classes, got {len(glyphs)}; "
                "draw them from the data set's own classes."
            )
        self.by_group = _Members(data.groups) if config.style_from == "group" else None
        height, width = data.image_size
        fits = len(data) * height * width * data.channels <= CACHE_BYTES
        self.cached: Pixels | None = data.images() if fits else None
        self.poses = torch.empty(len(data), 2, 3)  # those that are fitted
        self.fitted = np.zeros(len(data), np.bool_)
        if config.align and len(data) <= FIT_AT_ONCE:
            everything = np.arange(len(data))
            for start in range(0, len(data), FIT_CHUNK):
                rows = everything[start : start + FIT_CHUNK]
                self._fit_poses(rows, rows)

    def __call__(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """The batch of one worker at one step.

        Returns:
            ``batch_size`` // ``world_size`` samples.
        """
        count = self.batch_size // world_size
        rng = np.random.default_rng((self.seed, step, rank))
        chosen = self._choose(count, rng)
        labels = self.labels[chosen]
        images = self._images(chosen)
        styles = images
        if self.by_group is not None:
            styles = self._images(self.by_group.others(chosen, rng))
        contents, poses = self._contents(chosen, labels, images, rng)
        inks = to_tensor(contents)
        if self.config.align:
            inks = warp_to_poses(inks, relative_poses(poses, self.poses[chosen]))
        return Batch(to_tensor(images), torch.from_numpy(labels), inks, to_tensor(styles))

    def _choose(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        if not self.config.balance_classes:
            return rng.integers(len(self.labels), size=count)
        drawn = rng.integers(len(self.by_class), size=count)
        return np.array([rng.choice(self.by_class[c]) for c in drawn])

    def _contents(
        self,
        chosen: NDArray[np.int64],
        labels: NDArray[np.int64],
        images: Pixels,
        rng: np.random.Generator,
    ) -> tuple[Pixels, Tensor]:
        """Contents (N, H, W, 1) and the poses they stand in (N, 2, 3)."""
        config = self.config
        shares = np.array([config.glyph_share, config.example_share, config.self_share])
        source = rng.choice(3, size=len(chosen), p=shares / shares.sum())
        fonts = rng.integers(max(1, self.glyphs.shape[1]), size=len(chosen))
        contents = np.empty((*images.shape[:3], 1), np.uint8)
        contents[source == 0] = self.glyphs[labels[source == 0], fonts[source == 0]]
        others = self.by_class.others(chosen, rng)
        poses = identity_poses(len(chosen))
        if config.align:
            self._fit_missing(np.concatenate([chosen, others[source == 1]]))
        if (source == 1).any():
            contents[source == 1] = config.reduce(self._images(others[source == 1]))
            poses[source == 1] = self.poses[others[source == 1]]
        if (source == 2).any():
            contents[source == 2] = config.reduce(images[source == 2])
            poses[source == 2] = self.poses[chosen[source == 2]]
        return contents, poses

    def _fit_missing(self, rows: NDArray[np.int64]) -> None:
        """Fit the poses that are asked for the first time.

        In batches of one shape, so that a pose does not depend on the company it is fitted in.
        """
        missing = np.unique(rows[~self.fitted[rows]])
        for start in range(0, len(missing), FIT_BATCH):
            fresh = missing[start : start + FIT_BATCH]
            self._fit_poses(fresh, np.resize(fresh, FIT_BATCH))  # repeated until full

    def _fit_poses(self, rows: NDArray[np.int64], batch: NDArray[np.int64]) -> None:
        """Fit a batch that starts with ``rows``, and keep the poses of these."""
        fitted = fit_poses(ink_of(self._images(batch)), self.labels[batch], self.glyphs)
        self.poses[rows] = fitted[: len(rows)]
        self.fitted[rows] = True

    def _images(self, indices: NDArray[np.int64]) -> Pixels:
        return self.data.images(indices) if self.cached is None else self.cached[indices]


class _Members:
    """The images of each key, keys numbered as they first appear.

    Args:
        keys: (N,), one an image.
    """

    def __init__(self, keys: NDArray[np.generic]) -> None:
        _, first, ids = np.unique(keys, return_index=True, return_inverse=True)
        self.ids = np.argsort(np.argsort(first))[ids]
        self.rows = np.argsort(self.ids, kind="stable")
        self.ends = np.cumsum(np.bincount(self.ids))

    def __len__(self) -> int:
        """Number of keys."""
        return len(self.ends)

    def __getitem__(self, number: int) -> NDArray[np.int64]:
        """The images of one key, ascending."""
        start = self.ends[number - 1] if number else 0
        return self.rows[start : self.ends[number]]

    def others(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """For each image another one with the same key; itself where there is none."""
        others = chosen.copy()
        for position, index in enumerate(chosen):
            pool = self[self.ids[index]]
            if len(pool) > 1:
                drawn = pool[rng.integers(len(pool) - 1)]
                others[position] = pool[-1] if drawn == index else drawn
        return others
