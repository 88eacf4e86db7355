"""A small residual network that recognizes one character."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from augment.errors import ConfigError
from augment.layers import ResidualBlock
from recognizers.base import ClassRecognizer

__all__ = ["CharacterConfig", "CharacterRecognizer"]


@dataclass(frozen=True)
class CharacterConfig:
    """Size of the network."""

    width: int = 32  # channels after the first convolution
    dropout: float = 0.2  # before the last layer
    label_smoothing: float = 0.05

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.width < 1:
            raise ConfigError(f"width must be at least 1; got {self.width}.")
        if not (0 <= self.dropout < 1 and 0 <= self.label_smoothing < 1):
            raise ConfigError("dropout and label_smoothing must be in [0, 1).")


class CharacterRecognizer(ClassRecognizer):
    """3×3 convolution, three residual blocks of halving size, average pooling, linear layer.

    Args:
        num_classes: k.
        image_size: (H, W); each side at least 8 pixels.
        channels: 1 or 3.
        config: size of the network.
    """

    def __init__(
        self,
        num_classes: int,
        image_size: tuple[int, int],
        channels: int,
        config: CharacterConfig | None = None,
    ) -> None:
        super().__init__(num_classes, image_size, channels)
        config = CharacterConfig() if config is None else config
        if min(image_size) < 8:
            raise ConfigError(f"expected images of at least 8×8 pixels, got {image_size}.")
        self.label_smoothing = config.label_smoothing
        width = config.width
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ResidualBlock(width, width, stride=2),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 4 * width, stride=2),
        )
        cells = 2 if min(image_size) >= 16 else 1  # a coarse layout tells 6 from 9
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(cells),
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(4 * width * cells**2, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to logits (N, k)."""
        logits: Tensor = self.head(self.body(images))
        return logits

    def embed(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to unit vectors (N, 4 * width): the last block, pooled."""
        return F.normalize(self.body(images).float().mean(dim=(2, 3)), dim=1)
