"""What SAAE trains on where images are whole lines: a line, its text rendered, another text.

The rendered text is put in the pose of its photograph, so strokes meet strokes; another text,
drawn towards rare characters, is put in the same pose. Lines of a batch have one width, which
is the width their own proportions ask for; so nothing is padded.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augment.config import config_digest
from augment.data.content import Font, advance_width
from augment.data.drawable import check_alphabets
from augment.data.layouts import Layout
from augment.data.line_poses import LineFits, compose, fit_lines
from augment.data.lines import PLATE_FONTS, draw_contents, line_fonts
from augment.data.texts import LineShape, TextImages, find_size_fault
from augment.errors import AugmentError, ConfigError, DataError
from augment.images import Pixels, to_tensor
from augment.layers import affine_field, sample_field

__all__ = [
    "MIN_CORRELATION",
    "NO_CHARACTER",
    "LineBatch",
    "LineData",
    "LinePairs",
    "LinePairsConfig",
    "character_boxes",
    "fit_to_images",
    "look_count",
    "other_text",
    "place_contents",
]

_LOG = logging.getLogger("labelmint.data")

_WIDTH = 2**31  # key of the seed that a batch's width is drawn by; those of its lines are ranks
NO_CHARACTER = -1
"""Fills up the labels of lines shorter than the longest one of a batch."""
BOX_MARGIN = 1.2
"""Width of a character as D sees it, over its own."""
REPLACED = 0.5
"""Share of the characters that another text of free text has in place of a line's own."""
ATTEMPTS = 4
"""Other texts tried until one fits the width of a line."""
MIN_CORRELATION = 0.4
"""Lines whose text cannot be found in the image better than so are left out of training."""
NAMED = 3
"""Lines told of those that are left out."""


class LineBatch(NamedTuple):
    """What one training step sees; L characters at most."""

    images: Tensor  # x, (N, C, H, W) in [-1, 1]
    contents: Tensor  # c, (N, 2, H, W) in [-1, 1]; see ``place_contents``
    labels: Tensor  # (N, L) classes of the characters, NO_CHARACTER beyond the end
    boxes: Tensor  # (N, L, 2, 3), from a box's [-1, 1]² to the image's
    new_contents: Tensor  # the same of another text, in the pose of x
    new_labels: Tensor
    new_boxes: Tensor


@dataclass(frozen=True)
class LinePairsConfig:
    """Which lines and texts are drawn."""

    balance: float = 0.5  # lines are drawn ∝ the mean of (occurrences of its characters)^-balance
    align: bool = True  # put texts in the pose of the image

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.balance <= 2:
            raise ConfigError(f"balance must be in [0, 2]; got {self.balance}.")


@dataclass(frozen=True)
class LineData:
    """Photographed lines, the layout of their texts and the shape they are brought to.

    Attributes:
        texts: the lines; ``select`` leaves only those of a fit size that the layout can write.
        layout: of a plate, or free text.
        shape: height, widths and channels.
        left_out: the lines that ``select`` was given besides.
    """

    texts: TextImages
    layout: Layout
    shape: LineShape
    left_out: TextImages

    @classmethod
    def select(cls, texts: TextImages, layout: Layout, shape: LineShape) -> "LineData":
        """Keep the lines whose text can be rendered, and warn of the others.

        Left out are also images that are no line but would be squeezed into one: see
        ``augment.data.texts.find_size_fault``.

        Raises:
            DataError: none is left.
            GlyphError: the layout has characters that cannot be drawn.
        """
        check_alphabets(layout)
        faults: dict[int, str] = {}  # row to what is wrong with its image's size
        unwritten: dict[int, str] = {}  # row to what is wrong with its text
        for row, text in enumerate(texts.texts):
            height, width = texts.images([row], channels=shape.channels)[0].shape[:2]
            if (fault := find_size_fault(height, width)) is not None:
                faults[row] = f"the image {texts.names[row]} must have {fault}"
            else:
                size = shape.height, shape.width_of(height, width)
                if (fault := _find_text_fault(text, layout, size)) is not None:
                    unwritten[row] = fault
        left_out = sorted([*faults, *unwritten])
        if len(left_out) == len(texts):
            first = next(iter((faults | unwritten).values()), "there is no line")
            raise DataError(
                f"expected lines that layout {layout.name} can write, got none among {len(texts)} "
                f"of {texts.uri}: {first.rstrip('.')}."
            )
        _warn(texts, list(faults.values()), "they are too small or too thin")
        said = [repr(texts.texts[row]) for row in unwritten]
        why = f"layout {layout.name} cannot write their texts in their images"
        _warn(texts, said, f"{why} ({next(iter(unwritten.values()), '').rstrip('.')})")
        kept = np.delete(np.arange(len(texts)), left_out)
        return cls(texts.subset(kept), layout, shape, texts.subset(left_out))

    def __len__(self) -> int:
        """Number of lines."""
        return len(self.texts)

    @property
    def uri(self) -> str:
        """Where the lines came from."""
        return self.texts.uri

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, widest W)."""
        return self.shape.height, self.shape.most_width

    @property
    def channels(self) -> int:
        """1 (gray) or 3 (RGB)."""
        return self.shape.channels

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Characters of the layout and of the lines, sorted."""
        return tuple(sorted(set(self.layout.alphabet).union(*self.texts.texts)))

    def digest(self) -> str:
        """SHA-256 of the lines, their layout and the shape they are brought to."""
        parts = [self.texts.digest(), config_digest(self.layout), config_digest(self.shape)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    @cached_property
    def images(self) -> list[Pixels]:
        """Every line as (H, its width, C) uint8."""
        return [self.shape.fit(image) for image in self.texts.images(channels=self.channels)]

    @cached_property
    def fits(self) -> LineFits:
        """How each text stands in its image."""
        return fit_to_images(self.images, self.texts.texts, self.layout)

    @cached_property
    def found(self) -> NDArray[np.int64]:
        """Rows of the lines whose text was found in their image; of none, all."""
        rows = np.flatnonzero((self.fits.correlations >= MIN_CORRELATION).numpy())
        return rows if len(rows) else np.arange(len(self))


class LinePairs:
    """Batches for SAAE on lines as a pure function of the step.

    Args:
        data: training lines.
        config: which lines and texts are drawn.
        batch_size: lines a step over all workers.
        seed: of all draws.
    """

    def __init__(
        self, data: LineData, config: LinePairsConfig, *, batch_size: int, seed: int
    ) -> None:
        self.data, self.config, self.batch_size, self.seed = data, config, batch_size, seed
        self.number = {character: index for index, character in enumerate(data.classes)}
        texts = data.texts.texts
        self.looks, self.polarities = data.fits.looks.numpy(), data.fits.polarities
        self.poses = data.fits.poses if config.align else torch.eye(2, 3).repeat(len(data), 1, 1)
        usable = np.isin(np.arange(len(data)), data.found) if config.align else np.True_
        counts = Counter("".join(texts))
        rarity = [np.mean([counts[c] ** -config.balance for c in text]) for text in texts]
        self.weights = np.where(usable, rarity, 0.0)
        self.widths = np.array([image.shape[1] for image in data.images])
        self.rows = {
            width: np.flatnonzero(self.widths == width) for width in np.unique(self.widths)
        }
        self.shares = np.array([self.weights[rows].sum() for rows in self.rows.values()])

    def __call__(self, step: int, rank: int = 0, world_size: int = 1) -> LineBatch:
        """The batch of one worker at one step.

        Returns:
            ``batch_size`` // ``world_size`` lines of one width, the same for all workers.
        """
        count = self.batch_size // world_size
        pick = np.random.default_rng((self.seed, step, _WIDTH))
        width = int(pick.choice(list(self.rows), p=self.shares / self.shares.sum()))
        rng = np.random.default_rng((self.seed, step, rank))
        weights = self.weights[self.rows[width]]
        chosen = rng.choice(self.rows[width], size=count, p=weights / weights.sum())
        images = np.stack([self.data.images[row] for row in chosen])
        stands = self.poses[chosen], self.polarities[chosen]
        texts = [self.data.texts.texts[row] for row in chosen]
        size = (self.data.shape.height, width)
        others = [other_text(text, self.data.layout, size, rng) for text in texts]
        length = max(map(len, texts + others))
        own = self._written(texts, self.looks[chosen], stands, width, length)
        new = self._written(others, self.looks[chosen], stands, width, length)
        return LineBatch(to_tensor(images), *own, *new)

    def _written(
        self,
        texts: Sequence[str],
        looks: NDArray[np.int64],
        stands: tuple[Tensor, Tensor],
        width: int,
        length: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Contents, labels and boxes of texts, in the poses and polarities of their images."""
        size, layout = (self.data.shape.height, width), self.data.layout
        inks = draw_contents(texts, layout, size=size, looks=looks)
        labels = torch.full((len(texts), length), NO_CHARACTER)
        boxes = torch.eye(2, 3).repeat(len(texts), length, 1, 1)
        for row, text in enumerate(texts):
            labels[row, : len(text)] = torch.tensor([self.number[c] for c in text])
            boxes[row, : len(text)] = character_boxes(text, layout, inks[row], int(looks[row]))
        return place_contents(inks, *stands), labels, compose(_inverse(stands[0])[:, None], boxes)


def other_text(text: str, layout: Layout, size: tuple[int, ...], rng: np.random.Generator) -> str:
    """Another text for a line: random by the layout, or the line's own with other letters.

    Args:
        text: of the line.
        layout: what may be written.
        size: (H, W) that free text has to fit.
        rng: of all draws.
    """
    if not layout.is_free:
        return layout.random_text(rng)
    letters = list(layout.alphabet)
    for _ in range(ATTEMPTS):
        replaced = rng.random(len(text)) < REPLACED
        drawn = rng.choice(letters, size=len(text))
        other = "".join(np.where(replaced, drawn, list(text)))
        if _find_text_fault(other, layout, (size[0], size[1])) is None:
            return other
    return text


def fit_to_images(images: Sequence[Pixels], texts: Sequence[str], layout: Layout) -> LineFits:
    """Find each text in its image.

    Args:
        images: (H, w, C) uint8 each.
        texts: what they say.
        layout: of the texts.

    Returns:
        Poses, looks and correlations, one a line.
    """
    looks = look_count(layout)
    count, widths = len(images), np.array([image.shape[1] for image in images])
    fits = LineFits(
        poses=torch.eye(2, 3).repeat(count, 1, 1),
        looks=torch.zeros(count, dtype=torch.long),
        polarities=torch.ones(count),
        correlations=torch.zeros(count),
    )
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width).tolist()
        stack = np.stack([images[row] for row in rows])
        size, written = (stack.shape[1], int(width)), [texts[row] for row in rows]
        drawn = [
            draw_contents(written, layout, size=size, looks=[look] * len(rows))
            for look in range(looks)
        ]
        contents = torch.from_numpy(np.stack(drawn, axis=1)[..., 0]).float().div(255)
        found = fit_lines(to_tensor(stack), contents)
        for values, of_width in zip(fits, found, strict=True):
            values[rows] = of_width
    return fits


def place_contents(inks: Pixels, poses: Tensor, polarities: Tensor) -> Tensor:
    """Put rendered lines in poses.

    Args:
        inks: (N, H, W, 1) uint8 coverage.
        poses: (N, 2, 3).
        polarities: (N,) 1 where the ink is to be brighter than its ground, -1 where darker.

    Returns:
        (N, 2, H, W): coverage times polarity; and 1 where the rendered picture lies, -1 beside it.
    """
    ink = torch.from_numpy(inks.transpose(0, 3, 1, 2).copy()).float().div_(255)
    maps = torch.cat([ink, torch.ones_like(ink)], dim=1)
    placed = sample_field(maps, affine_field(poses, (ink.shape[2], ink.shape[3])))
    return torch.cat([placed[:, :1] * polarities.view(-1, 1, 1, 1), placed[:, 1:] * 2 - 1], dim=1)


def character_boxes(text: str, layout: Layout, ink: Pixels, look: int) -> Tensor:
    """Where the characters of a rendered line stand.

    Args:
        text: of the line.
        layout: its boxes; of free text the ink is shared out by the letters' advance.
        ink: (H, W, 1) uint8, the line rendered.
        look: which of its fonts.

    Returns:
        (L, 2, 3) affine maps from a box's [-1, 1]² to the picture's.
    """
    if layout.is_free:
        font = _fonts(layout)[look]
        advances = np.array([advance_width(character, font, 64) for character in text], float)
        columns = np.flatnonzero(ink.max(axis=(0, 2)))
        first, last = (columns[0], columns[-1] + 1) if len(columns) else (0, ink.shape[1])
        ends = first + (last - first) * np.cumsum(advances) / max(advances.sum(), 1)
        starts = np.concatenate([[first], ends[:-1]])
        zeros = np.zeros(len(text))
        edges = np.stack([starts / ink.shape[1], zeros, ends / ink.shape[1], zeros + 1], axis=1)
    else:
        edges = layout.boxes()
    left, top, right, bottom = torch.from_numpy(edges.astype(np.float32)).unbind(dim=1)
    boxes = torch.zeros(len(edges), 2, 3)
    boxes[:, 0, 0], boxes[:, 0, 2] = (right - left) * BOX_MARGIN, right + left - 1
    boxes[:, 1, 1], boxes[:, 1, 2] = bottom - top, bottom + top - 1
    return boxes


def look_count(layout: Layout) -> int:
    """Number of looks that ``draw_contents`` has for a layout."""
    return len(_fonts(layout))


def _warn(texts: TextImages, left_out: Sequence[str], why: str) -> None:
    """Tell of lines that are left out, if there are any; ``left_out`` names each."""
    if left_out:
        _LOG.warning(
            "%s: %s of %s lines are left out, because %s: %s",
            texts.uri,
            f"{len(left_out):,}",
            f"{len(texts):,}",
            why,
            ", ".join(left_out[:NAMED]) + ", …" * (len(left_out) > NAMED),
        )


def _inverse(poses: Tensor) -> Tensor:
    matrix = torch.linalg.inv(poses[:, :, :2])
    return torch.cat([matrix, -matrix @ poses[:, :, 2:]], dim=2)


def _fonts(layout: Layout) -> tuple[Font, ...]:
    """The fonts that ``draw_contents`` counts looks in."""
    return line_fonts() if layout.is_free else PLATE_FONTS


def _find_text_fault(text: str, layout: Layout, size: tuple[int, int]) -> str | None:
    try:
        draw_contents([text], layout, size=size, looks=[0])
    except AugmentError as error:
        return str(error)
    return None
