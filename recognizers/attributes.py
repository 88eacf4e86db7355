"""Reading attributes from faces, and what a reader of its own says of generated and edited ones.

The attribute similarity is that of VAE/GAN (Larsen et al., 2016): a regressor that no
generator has seen reads images made for given attributes, and its readings are compared with
what was asked for. The row of real test images is the best that the regressor can show.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.data.batches import mirror
from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, DataError
from augment.images import Pixels, to_tensor
from augment.layers import ResidualBlock
from augment.training import is_faster_in_bf16
from recognizers.base import Recognizer
from recognizers.fit import Batch, Budget, fit

__all__ = [
    "AttributeRegressor",
    "AttributeSimilarity",
    "EditSuccess",
    "RegressorConfig",
    "attribute_similarity",
    "balanced_accuracies",
    "edit_success",
    "read_attributes",
    "train_regressor",
]

_CROP_SHARE = 16
"""A crop is shifted by at most 1/16 of a side; what it uncovers repeats the border."""

Readings = NDArray[np.float32]


@dataclass(frozen=True)
class RegressorConfig:
    """Size of the network."""

    width: int = 32  # channels after the first convolution
    dropout: float = 0.2  # before the last layer

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.width < 1:
            raise ConfigError(f"width must be at least 1; got {self.width}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1); got {self.dropout}.")


class AttributeRegressor(Recognizer):
    """Strided 3×3 convolution, three residual blocks of halving size, pooling, linear layer.

    Its labels are attribute vectors (N, A) of -1 and 1, and ``decode`` returns such vectors with
    the probability of each entry.

    Args:
        num_classes: A.
        image_size: (H, W); each side at least 16 pixels.
        channels: 1 or 3.
        config: size of the network.
        on_shares: (A,) share of training images with each attribute, in (0, 1); images with and
            without it weigh the same in the loss. None: one half.
    """

    def __init__(
        self,
        num_classes: int,
        image_size: tuple[int, int],
        channels: int,
        config: RegressorConfig | None = None,
        on_shares: Tensor | None = None,
    ) -> None:
        super().__init__(num_classes, image_size, channels)
        config = RegressorConfig() if config is None else config
        if min(image_size) < 16:
            raise ConfigError(f"expected images of at least 16×16 pixels, got {image_size}.")
        width = config.width
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ResidualBlock(width, width, stride=2),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 4 * width, stride=2),
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(2),  # glasses are above beards
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(4 * width * 4, num_classes),
        )
        self.on_shares: Tensor
        shares = torch.full((num_classes,), 0.5) if on_shares is None else on_shares.float()
        self.register_buffer("on_shares", shares)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to logits (N, A)."""
        logits: Tensor = self.head(self.body(images))
        return logits

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy (N,), a mean over the attributes (N, A), balanced."""
        on = (labels > 0).float()
        weights = 0.5 * (on / self.on_shares + (1 - on) / (1 - self.on_shares))
        each = F.binary_cross_entropy_with_logits(
            self(images).float(), on, weight=weights, reduction="none"
        )
        return each.mean(dim=1)

    def decode(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Attributes (N, A) int64, -1 or 1, and the probability of each, in [0.5, 1]."""
        on = torch.sigmoid(outputs.float())
        return torch.where(on >= 0.5, 1, -1), torch.maximum(on, 1 - on)


def train_regressor(
    data: LabelledImages,
    budget: Budget,
    *,
    config: RegressorConfig | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> AttributeRegressor:
    """Train a regressor on images, mirrored and shifted at random.

    Args:
        data: training images with attributes.
        budget: steps, batch size, learning rate.
        config: size of the network.
        seed: of weights, dropout and batches.
        device: where to train.

    Raises:
        DataError: no attributes, or one that all images have or none has.
    """
    if data.attributes is None:
        raise DataError(f"expected images with attributes, {data.uri} has none; use celeba: data.")
    attributes = data.attributes.astype(np.int64)
    shares = (attributes > 0).mean(axis=0)
    if not ((shares > 0) & (shares < 1)).all():
        same = np.flatnonzero((shares == 0) | (shares == 1))
        raise DataError(
            "expected images with and without each attribute, all or none have "
            f"{', '.join(data.attribute_names[i] for i in same)}: leave these attributes out."
        )

    def stream(step: int) -> Batch:
        rng = np.random.default_rng((seed, step))
        rows = rng.integers(len(data), size=budget.batch_size)
        images = mirror(data.images(rows), rng.random(len(rows)) < 0.5)
        return Batch(_shift(images, rng), attributes[rows])

    def build() -> AttributeRegressor:
        return AttributeRegressor(
            attributes.shape[1], data.image_size, data.channels, config, torch.from_numpy(shares)
        )

    trained = fit(build, stream, budget, seed=seed, device=device)
    assert isinstance(trained, AttributeRegressor)
    return trained


@torch.no_grad()
def read_attributes(
    regressor: AttributeRegressor, images: Pixels, *, batch_size: int = 256
) -> Readings:
    """Read (N, H, W, C) uint8 images: (N, A) in [-1, 1], 2p − 1 of each attribute's probability."""
    device = next(regressor.parameters()).device
    half = is_faster_in_bf16(device)
    readings = np.empty((len(images), regressor.num_classes), np.float32)
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = regressor(to_tensor(images[rows]).to(device))
        readings[rows] = torch.tanh(logits.float() / 2).cpu().numpy()
    return readings


def balanced_accuracies(readings: Readings, attributes: NDArray[np.int8]) -> NDArray[np.float64]:
    """Mean of the shares read right among images with and without each attribute.

    Args:
        readings: (N, A); an attribute is read as there from 0 on.
        attributes: (N, A), -1 or 1.

    Returns:
        (A,) in [0, 1], 0.5 for a guess; NaN for an attribute that all or none have.
    """
    on, right = attributes > 0, (readings >= 0) == (attributes > 0)
    count_on, count_off = on.sum(axis=0), (~on).sum(axis=0)
    with np.errstate(invalid="ignore"):
        share_on, share_off = (right & on).sum(axis=0) / count_on, (right & ~on).sum(0) / count_off
    mean: NDArray[np.float64] = (share_on + share_off) / 2
    return mean


@dataclass(frozen=True)
class AttributeSimilarity:
    """How well images show the attributes they were made for; means over the images."""

    cosine: float  # between the vector asked for and the one read
    squared_error: float  # summed over the attributes
    images: int


def attribute_similarity(
    regressor: AttributeRegressor, images: Pixels, wanted: NDArray[np.int8] | Readings
) -> AttributeSimilarity:
    """Compare the attributes read in images with those they were made for, or have.

    Args:
        regressor: trained on images the generators' test images are not among.
        images: (N, H, W, C) uint8; generated ones, or real test images for the row to compare.
        wanted: (N, A) in [-1, 1].

    Raises:
        DataError: shapes that do not fit.
    """
    if wanted.shape != (len(images), regressor.num_classes) or not len(images):
        raise DataError(
            f"expected attributes of shape ({len(images)}, {regressor.num_classes}) for at least "
            f"one image, got {wanted.shape}."
        )
    read, asked = read_attributes(regressor, images).astype(float), wanted.astype(float)
    lengths = np.linalg.norm(read, axis=1) * np.linalg.norm(asked, axis=1)
    cosines = (read * asked).sum(axis=1) / np.maximum(lengths, 1e-12)
    errors = np.square(read - asked).sum(axis=1)
    return AttributeSimilarity(float(cosines.mean()), float(errors.mean()), len(images))


@dataclass(frozen=True)
class EditSuccess:
    """What an edit of one attribute changed."""

    edits: int  # images that did not show what was asked for before
    seen: float  # share of them that the regressor reads as asked for afterwards
    identity: float | None  # mean cosine of the embeddings before and after, if there are any
    strangers: float | None  # mean cosine of the embeddings of different images, for comparison


def edit_success(
    regressor: AttributeRegressor,
    embed: Callable[[Pixels], NDArray[np.float32]] | None,
    before: Pixels,
    after: Pixels,
    attribute: int,
    *,
    on: bool,
    seed: int = 0,
) -> EditSuccess:
    """Ask the regressor whether an edit shows, and an embedding whether it is the same person.

    Args:
        regressor: reads attributes.
        embed: (N, H, W, C) uint8 to (N, D) vectors of a face recognizer; None: identity is not
            asked for.
        before: (N, H, W, C) uint8 images.
        after: the same images edited.
        attribute: index of the one that was changed.
        on: whether it was added (or else taken away).
        seed: of the pairs of strangers.

    Raises:
        DataError: shapes that differ, or fewer than two images that lacked what was asked for.
    """
    if before.shape != after.shape:
        raise DataError(f"expected edited images of shape {before.shape}, got {after.shape}.")
    changed = np.flatnonzero((read_attributes(regressor, before)[:, attribute] >= 0) != on)
    if len(changed) < 2:
        raise DataError(
            f"expected at least 2 images that an edit can change, got {len(changed)} of "
            f"{len(before)}; edit images {'without' if on else 'with'} the attribute."
        )
    seen = float(((read_attributes(regressor, after[changed])[:, attribute] >= 0) == on).mean())
    if embed is None:
        return EditSuccess(len(changed), seen, identity=None, strangers=None)
    old, new = _unit(embed(before[changed])), _unit(embed(after[changed]))
    order = np.random.default_rng(seed).permutation(len(changed))
    return EditSuccess(
        edits=len(changed),
        seen=seen,
        identity=float((old * new).sum(axis=1).mean()),
        strangers=float((old[order] * old[np.roll(order, 1)]).sum(axis=1).mean()),
    )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows scaled to length 1."""
    wide = vectors.astype(np.float64)
    scaled: NDArray[np.float64] = wide / np.maximum(
        np.linalg.norm(wide, axis=1, keepdims=True), 1e-12
    )
    return scaled


def _shift(images: Pixels, rng: np.random.Generator) -> Pixels:
    """Shift each of (N, H, W, C) by whole pixels at random, repeating its border."""
    count, height, width = images.shape[:3]
    dy, dx = (
        rng.integers(-(side // _CROP_SHARE), side // _CROP_SHARE + 1, size=(count, 1))
        for side in (height, width)
    )
    rows = (np.arange(height) + dy).clip(0, height - 1)  # (N, H)
    columns = (np.arange(width) + dx).clip(0, width - 1)  # (N, W)
    samples = np.arange(count)[:, None, None]
    shifted: Pixels = images[samples, rows[:, :, None], columns[:, None, :]]
    return shifted
