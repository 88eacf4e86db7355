"""Exemplar-CNN: features learned without labels, by telling images apart under strong changes.

Dosovitskiy et al., "Discriminative Unsupervised Feature Learning with Exemplar Convolutional
Neural Networks", 2015, arXiv:1406.6909. Each exemplar, an image of the training set, is a
surrogate class of its own; the class is what all its random transformations have in common.

Departures from the paper:
    exemplars   whole images, where the paper cuts 32×32 patches of high gradient out of larger
                ones: our images are as small as its patches.
    colours     brightness, contrast, saturation and shift come from ``diff_augment``; no PCA of
                colours, no powers in HSV.
    mirroring   of half of the images, where a mirrored one shows the same.
    batch norm  which the paper's network lacks, and average pooling before the head; no dropout.
"""

from dataclasses import dataclass
from math import log, pi
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.diffaugment import diff_augment
from augment.errors import ConfigError
from augment.layers import ConvBlock, affine_field, sample_field
from augment.phases import Losses, Phase, Stage

__all__ = [
    "LAST_CONVOLUTION",
    "ExemplarBatch",
    "ExemplarCNN",
    "ExemplarConfig",
    "ExemplarSampling",
    "transform",
]

LAST_CONVOLUTION = "convolutions"
"""Layer of the features that images are compared by."""
LEAST_SIDE = 8
"""Pixels; three halvings."""


@dataclass(frozen=True)
class ExemplarConfig:
    """Size of the network, and how strongly exemplars are changed."""

    exemplars: int = 1000  # surrogate classes, at most; evenly spread over the training images
    width: int = 32  # maps of the first convolution
    rotation: float = 20.0  # degrees, at most, either way; as the paper
    scale: float = 1.4  # times, at most, larger or smaller; as the paper
    shift: float = 0.2  # of a side, at most; as the paper
    mirror: bool | None = None  # half of the images; None: as ``looks_alike_mirrored`` says
    steps: int = 3000

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.exemplars < 2:
            raise ConfigError(f"exemplars must be at least 2; got {self.exemplars}.")
        for name in ("width", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not (0 <= self.rotation <= 180 and 1 <= self.scale <= 4 and 0 <= self.shift <= 1):
            raise ConfigError(
                "rotation must be in [0, 180] degrees, scale in [1, 4] and shift in [0, 1]; got "
                f"{self.rotation}, {self.scale} and {self.shift}."
            )


@dataclass(frozen=True)
class ExemplarSampling:
    """No settings: an Exemplar-CNN draws no images."""


class ExemplarBatch(NamedTuple):
    """Exemplars, unchanged, and which they are."""

    images: Tensor  # (N, C, H, W) in [-1, 1]
    exemplars: Tensor  # (N,) int64


class ExemplarCNN(nn.Module):
    """Four convolutions, three of them followed by a halving, and a linear layer.

    Args:
        config: size and changes.
        num_classes: of the data; labels play no part here.
        image_size: (H, W), each side at least 8 pixels.
        channels: 1 or 3.

    Raises:
        ConfigError: smaller images.
    """

    def __init__(
        self,
        config: ExemplarConfig,
        *,
        num_classes: int,
        image_size: tuple[int, int],
        channels: int,
    ) -> None:
        super().__init__()
        if min(image_size) < LEAST_SIDE:
            raise ConfigError(
                f"expected images of at least {LEAST_SIDE}×{LEAST_SIDE} pixels, got "
                f"{image_size[0]}×{image_size[1]}; enlarge them."
            )
        self.config = config
        width = config.width
        self.convolutions = nn.Sequential(
            ConvBlock(channels, width),
            ConvBlock(width, 2 * width, stride=2),
            ConvBlock(2 * width, 4 * width, stride=2),
            ConvBlock(4 * width, 8 * width, stride=2),
        )
        self.head = nn.Linear(8 * width, config.exemplars)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to logits (N, exemplars)."""
        logits: Tensor = self.head(self.convolutions(images).mean(dim=(2, 3)))
        return logits

    def players(self) -> dict[str, list[nn.Module]]:
        """One player moves everything."""
        return {"classifier": [self.convolutions, self.head]}

    def stages(self) -> list[Stage]:
        """One stage of one phase."""
        phase = Phase(
            "classifier",
            "classifier",
            "cross-entropy of changed exemplars to the exemplars they were",
            self._classify,
        )
        return [Stage("classify", self.config.steps, (phase,))]

    def _classify(self, batch: ExemplarBatch, draws: torch.Generator) -> Losses:
        logits = self(transform(batch.images, self.config, draws))
        classes = F.cross_entropy(logits.float(), batch.exemplars, reduction="none")
        return Losses(classes.mean(), {"exemplars": classes})


def transform(images: Tensor, config: ExemplarConfig, draws: torch.Generator) -> Tensor:
    """Turn, scale, shift, mirror and recolour each image at random.

    Args:
        images: (N, C, H, W) in [-1, 1].
        config: how strongly; a ``mirror`` of None mirrors nothing.
        draws: source of randomness, on the CPU.

    Returns:
        (N, C, H, W); values may leave [-1, 1].
    """
    uniforms = torch.rand(5, len(images), generator=draws) * 2 - 1
    angles = uniforms[0] * (config.rotation * pi / 180)
    scales = torch.exp(uniforms[1] * log(config.scale))
    signs = torch.where((uniforms[4] < 0) & bool(config.mirror), -1.0, 1.0)
    cos, sin = scales * angles.cos(), scales * angles.sin()
    shifts = uniforms[2:4] * (2 * config.shift)  # the image spans [-1, 1]
    rows = [torch.stack([cos * signs, -sin, shifts[0]]), torch.stack([sin * signs, cos, shifts[1]])]
    matrices = torch.stack(rows).permute(2, 0, 1).to(images.device)  # (N, 2, 3)
    field = affine_field(matrices, (images.shape[2], images.shape[3]))
    return diff_augment(sample_field(images, field, padding="border"), draws)
