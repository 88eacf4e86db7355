"""What each batch of a recognizer's training is made of.

A recipe says which share of each batch is real, rendered and generated, how strongly images
are augmented and blended, and from when on only real images come. Every lever of it is open to
every arm.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from augment.data.transforms import ClassicalAugmentation, Strength
from augment.errors import ConfigError
from augment.images import Pixels
from recognizers.fit import Batch, Blend, Stream

__all__ = ["LabelledPixels", "Mixture", "MixtureT", "Recipe", "mixed_stream"]


@dataclass(frozen=True)
class LabelledPixels:
    """Images in memory with their labels."""

    images: Pixels  # (N, H, W, C)
    labels: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class Mixture:
    """What every recipe says; what is neither rendered nor generated is real."""

    rendered: float = 0.0  # share of each batch
    generated: float = 0.0  # share of each batch
    augmentation: Strength = "strong"
    real_only_after: float = 1.0  # share of the steps after which only real images come

    def __post_init__(self) -> None:
        """Check ranges."""
        if min(self.rendered, self.generated) < 0 or self.rendered + self.generated > 1:
            raise ConfigError(
                f"shares must be >= 0 and sum to at most 1; got rendered {self.rendered}, "
                f"generated {self.generated}."
            )
        if not 0 <= self.real_only_after <= 1:
            raise ConfigError(f"real_only_after must be in [0, 1]; got {self.real_only_after}.")

    def __str__(self) -> str:
        """Return the settings that are not the default, as ``name=value,name=value``."""
        changed = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return ",".join(changed) or "default"

    @property
    def real(self) -> float:
        """Share of each batch that is real, while others come too."""
        return 1 - self.rendered - self.generated

    def check(self, sources: Collection[str]) -> None:
        """Refuse sources that do not have what the recipe mixes.

        Raises:
            ConfigError: a share without its source.
        """
        for name, share in self._shares.items():
            if share and name not in sources:
                raise ConfigError(f"the recipe wants a share of {share} {name} images, got none.")

    def sizes(self, batch_size: int, done: float) -> dict[str, int]:
        """Images of each source in a batch, none of them 0; ``done`` is the share of the steps."""
        if done >= self.real_only_after:
            return {"real": batch_size}
        rendered = round(self.rendered * batch_size)
        rest = batch_size - rendered
        has_real = not math.isclose(self.rendered + self.generated, 1)
        generated = min(round(self.generated * batch_size), rest) if has_real else rest
        sizes = {"rendered": rendered, "generated": generated, "real": rest - generated}
        return {name: size for name, size in sizes.items() if size}

    @property
    def _shares(self) -> dict[str, float]:
        return {"rendered": self.rendered, "generated": self.generated}


MixtureT = TypeVar("MixtureT", bound=Mixture)


@dataclass(frozen=True)
class Recipe(Mixture):
    """Composition of the batches of images."""

    balance_classes: bool = True  # classes, not images, are drawn uniformly
    towards_rare: float = 0.0  # rendered, generated: class probability ~ (real images)^-this
    mixup: float = 0.0  # α: two images of a batch are blended by shares from Beta(α, α); 0 = none

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        if self.mixup < 0:
            raise ConfigError(f"mixup must be >= 0; got {self.mixup}.")


def mixed_stream(
    recipe: Recipe,
    sources: dict[str, LabelledPixels],
    *,
    steps: int,
    batch_size: int,
    augment: ClassicalAugmentation,
    seed: int,
) -> Stream:
    """Batches by step, mixed as the recipe says.

    Args:
        recipe: the composition.
        sources: "real", and "rendered", "generated" where the recipe has a share for them.
        steps: length of the training, for ``real_only_after``.
        batch_size: images a batch.
        augment: classical augmentation, applied to every image whatever its source.
        seed: of all draws.

    Raises:
        ConfigError: a share without its source.
    """
    recipe.check(sources)
    num_classes = 1 + max(int(source.labels.max()) for source in sources.values())
    counts = np.bincount(sources["real"].labels, minlength=num_classes)
    rarity = np.maximum(counts, 1.0) ** -recipe.towards_rare  # new identities count as one image
    pools = {
        name: _Pool(source, recipe.balance_classes, None if name == "real" else rarity)
        for name, source in sources.items()
    }

    def stream(step: int) -> Batch:
        rng = np.random.default_rng((seed, step))
        sizes = recipe.sizes(batch_size, step / steps)
        drawn = [pools[name].draw(size, rng) for name, size in sizes.items()]
        images = np.concatenate([images for images, _ in drawn])
        labels = np.concatenate([labels for _, labels in drawn])
        batch = Batch(augment(images, int(rng.integers(2**31))), labels)
        return _blended(batch, recipe.mixup, rng) if recipe.mixup else batch

    return stream


def _blended(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """Blend each image with another of the batch (mixup; Zhang et al., 2018)."""
    others = rng.permutation(len(batch.labels))
    shares = rng.beta(alpha, alpha, len(others)).astype(np.float32)
    share = shares[:, None, None, None]
    images = np.rint(share * batch.images + (1 - share) * batch.images[others]).astype(np.uint8)
    return Batch(images, batch.labels, Blend(batch.labels[others], shares))


class _Pool:
    """One source, drawn from with replacement."""

    def __init__(
        self, source: LabelledPixels, balance_classes: bool, rarity: NDArray[np.float64] | None
    ) -> None:
        self.source = source
        present = np.unique(source.labels)
        self.members = [np.flatnonzero(source.labels == c) for c in present]
        weights = np.ones(len(present)) if rarity is None else rarity[present]
        self.shares = weights / weights.sum()
        self.balance_classes = balance_classes

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Pixels, NDArray[np.int64]]:
        if self.balance_classes:
            classes = rng.choice(len(self.members), size=count, p=self.shares)
            rows = np.array([self.members[c][rng.integers(len(self.members[c]))] for c in classes])
        else:
            rows = rng.integers(len(self.source), size=count)
        return self.source.images[rows], self.source.labels[rows]
