"""What each batch of a text recognizer's training is made of.

A recipe says which share of each batch is real, rendered and generated, how strongly lines are
augmented, and from when on only real ones come. Two schedules are its ends: *joint mixing*,
shares below one for all steps; and *synthetic first*, shares that leave no real lines and
``real_only_after`` the share of the steps at which they give way to nothing but real ones. Every
lever is open to every arm. No line is ever mirrored.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from augment.data.texts import Lines, LineShape, TextImages
from augment.data.transforms import ClassicalAugmentation
from augment.errors import ConfigError
from augment.images import Pixels
from recognizers.charset import Charset
from recognizers.mixing import Mixture
from recognizers.text_fit import TextBatch, TextStream

__all__ = ["LabelledLines", "LineStrength", "TextRecipe", "augment_lines", "mixed_lines"]

LineStrength = Literal["none", "light", "strong"]

POOLED = 8
"""Batches that are drawn together where lines differ in width."""


@dataclass(frozen=True)
class LabelledLines:
    """Lines in memory with their texts."""

    lines: Lines
    texts: tuple[str, ...]  # N

    @classmethod
    def of(cls, data: TextImages, shape: LineShape) -> "LabelledLines":
        """Decode all images, brought to ``shape``."""
        return cls(data.shaped(shape), data.texts)

    @classmethod
    def stacked(
        cls, images: Sequence[Pixels], texts: Sequence[str], shape: LineShape
    ) -> "LabelledLines":
        """Images of any size, brought to ``shape``."""
        return cls(shape.stack(images), tuple(texts))

    def __len__(self) -> int:
        """Number of lines."""
        return len(self.texts)

    def subset(self, rows: NDArray[np.int64]) -> "LabelledLines":
        """Some of the lines, in the order of ``rows``."""
        lines = Lines(self.lines.pixels[rows], self.lines.widths[rows])
        return LabelledLines(lines, tuple(self.texts[row] for row in rows))


@dataclass(frozen=True)
class TextRecipe(Mixture):
    """Composition of the batches of lines."""

    augmentation: LineStrength = "strong"
    towards_rare: float = 0.0  # real lines: probability ~ (lines with its rarest character)^-this
    most_generated: int = 0  # generated lines that are used, the first of them; 0: all

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        if self.towards_rare < 0:
            raise ConfigError(f"towards_rare must be >= 0; got {self.towards_rare}.")
        if self.most_generated < 0:
            raise ConfigError(f"most_generated must be >= 0; got {self.most_generated}.")


def mixed_lines(
    recipe: TextRecipe,
    sources: dict[str, LabelledLines],
    charset: Charset,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    pooled: int = POOLED,
) -> TextStream:
    """Batches by step, mixed as the recipe says.

    Where lines differ in width, ``pooled`` batches are drawn together and parted by width: a
    batch is as wide as its widest line, and of 24 random words half would be padding. What the
    recipe says then holds for those batches together.

    Args:
        recipe: the composition.
        sources: "real", and "rendered", "generated" where the recipe has a share for them; all
            padded to one width.
        charset: encodes the texts.
        steps: length of the training, for ``real_only_after``.
        batch_size: lines a batch.
        seed: of all draws.
        pooled: batches drawn together where lines differ in width.

    Raises:
        ConfigError: a share without its source.
        LabelError: a text that the charset does not know.
    """
    recipe.check(sources)
    if recipe.most_generated and "generated" in sources:
        generated = sources["generated"]
        first = np.arange(min(recipe.most_generated, len(generated)))
        sources = sources | {"generated": generated.subset(first)}
    targets = {name: charset.encode(source.texts)[0] for name, source in sources.items()}
    weights = {"real": _rarity(sources["real"].texts, recipe.towards_rare)}
    widths = {name: source.lines.widths for name, source in sources.items()}
    together = pooled if len(np.unique(np.concatenate([*widths.values()]))) > 1 else 1

    def stream(step: int) -> TextBatch:
        pool, place = divmod(step, together)
        rng = np.random.default_rng((seed, pool))
        sizes = recipe.sizes(batch_size * together, pool * together / steps)
        rows = {
            name: rng.choice(len(sources[name]), size, p=weights.get(name))
            for name, size in sizes.items()
        }
        if together > 1:
            batches = _parted_by_width(rows, widths, together)
            rows = batches[rng.permutation(together)[place]]
            rng = np.random.default_rng((seed, pool, 1 + place))  # 0 would draw as above
        lines = Lines(
            np.concatenate([sources[name].lines.pixels[some] for name, some in rows.items()]),
            np.concatenate([sources[name].lines.widths[some] for name, some in rows.items()]),
        )
        augmented = augment_lines(lines, recipe.augmentation, int(rng.integers(2**31)))
        return TextBatch(augmented, _joined([targets[name][some] for name, some in rows.items()]))

    return stream


def _parted_by_width(
    rows: Mapping[str, NDArray[np.int64]], widths: Mapping[str, NDArray[np.int64]], count: int
) -> list[dict[str, NDArray[np.int64]]]:
    """Part each source's rows among ``count`` batches of one size, the narrowest lines first."""
    names = np.repeat(np.arange(len(rows)), [len(some) for some in rows.values()])
    together = np.concatenate([*rows.values()])
    order = np.argsort(
        np.concatenate([widths[name][some] for name, some in rows.items()]), kind="stable"
    )
    return [
        {name: together[own][names[own] == number] for number, name in enumerate(rows)}
        for own in np.split(order, count)
    ]


def augment_lines(lines: Lines, strength: LineStrength, seed: int) -> Lines:
    """Augment each line within its own width, and pad it anew.

    Args:
        lines: not changed.
        strength: see ``augment.data.transforms.ClassicalAugmentation``.
        seed: equal lines and seed give equal results.
    """
    pixels = lines.pixels.copy()
    height, channels = pixels.shape[1], pixels.shape[3]
    for width in np.unique(lines.widths).tolist():
        rows = np.flatnonzero(lines.widths == width)
        augment = _augmentation(strength, (height, width), channels)
        pixels[rows, :, :width] = augment(pixels[rows, :, :width], (seed + width) % 2**31)
        pixels[rows, :, width:] = pixels[rows, :, width - 1 : width]
    return Lines(pixels, lines.widths)


@lru_cache(maxsize=64)
def _augmentation(
    strength: LineStrength, size: tuple[int, int], channels: int
) -> ClassicalAugmentation:
    return ClassicalAugmentation(strength, size, channels)


def _rarity(texts: Sequence[str], power: float) -> NDArray[np.float64]:
    """(N,) probability of each text: the more, the fewer texts share its rarest character."""
    texts_with = Counter(character for text in texts for character in set(text))
    rarest = np.array([min(texts_with[character] for character in text) for text in texts])
    weights = rarest.astype(np.float64) ** -power
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _joined(targets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows of classes padded by blanks to a common length."""
    longest = max(rows.shape[1] for rows in targets)
    return np.concatenate(
        [np.pad(rows, ((0, 0), (0, longest - rows.shape[1]))) for rows in targets]
    )
