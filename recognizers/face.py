"""A small residual network that tells people apart by the angle between unit vectors."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.errors import ConfigError
from augment.layers import ResidualBlock
from augment.losses.margin import angular_margin
from recognizers.base import Recognizer

__all__ = ["FaceConfig", "FaceRecognizer"]


@dataclass(frozen=True)
class FaceConfig:
    """Size of the network, and of the margin it is trained with."""

    width: int = 24  # channels after the first convolution
    embedding_dim: int = 128
    dropout: float = 0.3  # before the embedding
    scale: float = 16.0  # s of ArcFace
    margin: float = 0.2  # m of ArcFace, radians

    def __post_init__(self) -> None:
        """Check ranges."""
        if min(self.width, self.embedding_dim) < 1:
            raise ConfigError(
                f"width and embedding_dim must be at least 1; got {self.width} and "
                f"{self.embedding_dim}."
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1); got {self.dropout}.")
        if self.scale <= 0 or not 0 <= self.margin <= 1.5:
            raise ConfigError(
                f"scale must be above 0 and margin in [0, 1.5]; got {self.scale} and {self.margin}."
            )


class FaceRecognizer(Recognizer):
    """Strided convolution, three residual blocks of halving size, one linear layer to a vector.

    Trained by ArcFace (Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face
    Recognition", 2019): the embedding of a face and the centre of a person are unit vectors,
    and the right person's angle must win by a margin. Faces of people it was not trained on are
    compared by the angle between their embeddings.

    Args:
        num_classes: k people.
        image_size: (H, W); each side at least 16 pixels.
        channels: 1 or 3.
        config: sizes and margin.
    """

    def __init__(
        self,
        num_classes: int,
        image_size: tuple[int, int],
        channels: int,
        config: FaceConfig | None = None,
    ) -> None:
        super().__init__(num_classes, image_size, channels)
        config = FaceConfig() if config is None else config
        if min(image_size) < 16:
            raise ConfigError(f"expected images of at least 16×16 pixels, got {image_size}.")
        self.config = config
        width = config.width
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 4 * width, stride=2),
            ResidualBlock(4 * width, 8 * width, stride=2),
        )
        cells = [-(-side // 16) for side in image_size]  # aligned faces: places have meaning
        self.to_embedding = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(8 * width * cells[0] * cells[1], config.embedding_dim, bias=False),
            nn.BatchNorm1d(config.embedding_dim),
        )
        self.centres = nn.Parameter(torch.randn(num_classes, config.embedding_dim))

    def embed(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to unit vectors (N, embedding_dim)."""
        return F.normalize(self.to_embedding(self.body(images)).float(), dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to logits (N, k): scaled cosines, without a margin."""
        return self.config.scale * self._cosines(images)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """ArcFace (N,)."""
        return self._margin(self._cosines(images), labels)

    def mixed_loss(self, images: Tensor, labels: Tensor, others: Tensor, shares: Tensor) -> Tensor:
        """See ``Recognizer.mixed_loss``; the network runs once."""
        cosines = self._cosines(images)
        own, other = self._margin(cosines, labels), self._margin(cosines, others)
        return shares * own + (1 - shares) * other

    def decode(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest person, and (1 + cos θ) / 2 of the angle to them."""
        cosines, labels = (outputs.float() / self.config.scale).max(dim=1)
        return labels, ((1 + cosines) / 2).clamp(0, 1)

    def _cosines(self, images: Tensor) -> Tensor:
        """(N, k) in float32: half precision is too coarse near ±1."""
        embeddings = self.embed(images)
        with torch.autocast(images.device.type, enabled=False):
            return F.linear(embeddings, F.normalize(self.centres, dim=1))

    def _margin(self, cosines: Tensor, labels: Tensor) -> Tensor:
        scale, margin = self.config.scale, self.config.margin
        return angular_margin(cosines, labels, scale=scale, margin=margin)
