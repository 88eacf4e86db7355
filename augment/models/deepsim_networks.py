"""DeePSiM's networks, sized by the image: Sec. 3 of the paper, whose tables of widths we lack.

An up-convolution of the paper is "bed of nails" upsampling, pixels set apart by zeros, and a
convolution: a transposed convolution of stride 2 is exactly that.
"""

from math import gcd, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.models.deepsim_config import DeePSiMConfig

__all__ = ["HALVINGS", "Discriminator", "Encoder", "Generator", "PosteriorEncoder"]

HALVINGS = 3
"""The autoencoder's code is 8 times smaller than the image."""
LEAST_CELLS = 4
"""Least side of the first map that a vector becomes."""
SLOPE = 0.2
"""Of the leaky rectifiers."""
DROPOUT = 0.5
"""In the discriminator, of averaged features and of the hidden layer."""


class Encoder(nn.Module):
    """Convolution, three strided ones, and one to the code: (N, C, H, W) to (N, code, H/8, W/8)."""

    def __init__(self, config: DeePSiMConfig, channels: int) -> None:
        super().__init__()
        width = config.width
        layers = [*_activated(nn.Conv2d(channels, width, 5, 1, 2), config)]
        for _ in range(HALVINGS):
            layers += _activated(nn.Conv2d(width, 2 * width, 4, 2, 1), config)
            width *= 2
        self.body = nn.Sequential(*layers)
        self.to_code = nn.Conv2d(width, config.code_channels, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Encode."""
        code: Tensor = self.to_code(self.body(images))
        return code.float()


class PosteriorEncoder(nn.Module):
    """The encoder's convolutions, and linear layers to two vectors, μ and log σ²."""

    def __init__(self, config: DeePSiMConfig, channels: int, cells: tuple[int, int]) -> None:
        super().__init__()
        self.body = Encoder(config, channels).body
        inputs = config.width * 2**HALVINGS * prod(cells)
        self.to_mu = nn.Linear(inputs, config.latent_dim)
        self.to_log_var = nn.Linear(inputs, config.latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to μ and log σ², each (N, latent_dim)."""
        hidden = self.body(images).flatten(1)
        return self.to_mu(hidden).float(), self.to_log_var(hidden).float()


class Generator(nn.Module):
    """From a code, a vector or a map, to an image: convolutions first, then up-convolutions.

    Args:
        config: width and norm.
        shape: of the code, (D,) or (C, h, w).
        image_size: (H, W).
        channels: 1 or 3.
    """

    def __init__(
        self,
        config: DeePSiMConfig,
        shape: tuple[int, ...],
        image_size: tuple[int, int],
        channels: int,
    ) -> None:
        super().__init__()
        self.shape = shape
        doublings = _doublings(shape, image_size)
        sizes = [(image_size[0] >> d, image_size[1] >> d) for d in range(doublings + 1)]
        self.first_size = sizes[-1]
        width = config.width * 2 ** min(doublings, HALVINGS)
        if len(shape) == 1:
            self.to_map: nn.Module = nn.Sequential(
                nn.Linear(shape[0], width * prod(self.first_size)),
                nn.Unflatten(1, (width, *self.first_size)),
            )
        else:
            self.to_map = nn.Conv2d(shape[0], width, 3, 1, 1)
        layers = [*_norm(width, config), *_activated(nn.Conv2d(width, width, 3, 1, 1), config)]
        for level in range(doublings, 0, -1):
            fine, coarse = sizes[level - 1], sizes[level]
            narrow = config.width * 2 ** min(level - 1, HALVINGS)
            odd = (fine[0] - 2 * coarse[0], fine[1] - 2 * coarse[1])  # each 0 or 1
            up = nn.ConvTranspose2d(width, narrow, 4, 2, 1, output_padding=odd)
            layers += _activated(up, config)
            width = narrow
        self.body = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, 1, 1))

    def forward(self, code: Tensor) -> Tensor:
        """Codes (N, D) or (N, C, h, w), flat or not, to (N, channels, H, W) in [-1, 1]."""
        maps = code.reshape(-1, *self.shape)
        if maps.ndim == 4 and maps.shape[2:] != self.first_size:
            maps = F.interpolate(maps, self.first_size, mode="bilinear", align_corners=False)
        return torch.tanh(self.body(self.to_map(maps)).float())


class Discriminator(nn.Module):
    """Strided convolutions, global average pooling, two linear layers with dropout before each.

    Its job is to see to the local statistics of images, hence the average. When a network is
    inverted it is told the features too, through two linear layers of their own.

    Args:
        config: width.
        channels: 1 or 3.
        told: number of features it is told; 0: none.
    """

    def __init__(self, config: DeePSiMConfig, channels: int, told: int) -> None:
        super().__init__()
        width = config.width
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, width, 5, 2, 2),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 2 * width, 5, 2, 2),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * width, 4 * width, 3, 1, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(4 * width, 8 * width, 3, 2, 1),
            nn.LeakyReLU(SLOPE),
        )
        hidden = 8 * width
        self.read_features = (
            nn.Sequential(
                nn.Linear(told, hidden),
                nn.LeakyReLU(SLOPE),
                nn.Linear(hidden, hidden // 2),
                nn.LeakyReLU(SLOPE),
            )
            if told
            else None
        )
        self.hidden = nn.Linear(hidden + (hidden // 2 if told else 0), hidden)
        self.to_logit = nn.Linear(hidden, 1)

    def forward(
        self, images: Tensor, features: Tensor | None = None, draws: torch.Generator | None = None
    ) -> Tensor:
        """Judge images.

        Args:
            images: (N, C, H, W) in [-1, 1].
            features: (N, told), where it is told any.
            draws: of the dropout, on the CPU; None: no dropout.

        Returns:
            (N, 1) logits of "real".
        """
        pooled = self.convolutions(images).mean(dim=(2, 3))
        if self.read_features is not None and features is not None:
            pooled = torch.cat([pooled, self.read_features(features)], dim=1)
        hidden = F.leaky_relu(self.hidden(_drop(pooled, draws)), SLOPE)
        logits: Tensor = self.to_logit(_drop(hidden, draws))
        return logits


def _doublings(shape: tuple[int, ...], image_size: tuple[int, int]) -> int:
    """How often the first map, at least as large as the code, is doubled to give the image."""
    least = (LEAST_CELLS, LEAST_CELLS) if len(shape) == 1 else (max(shape[1], 1), max(shape[2], 1))
    doublings = 0
    while all(side >> (doublings + 1) >= low for side, low in zip(image_size, least, strict=True)):
        doublings += 1
    return min(doublings, HALVINGS + 1)


def _activated(convolution: nn.Module, config: DeePSiMConfig) -> list[nn.Module]:
    """A convolution, the norm if there is one, and a leaky rectifier."""
    width: int = convolution.out_channels  # type: ignore[assignment]
    return [convolution, *_norm(width, config), nn.LeakyReLU(SLOPE)]


def _norm(width: int, config: DeePSiMConfig) -> list[nn.Module]:
    return [nn.GroupNorm(gcd(width, 8), width)] if config.norm == "group" else []


def _drop(values: Tensor, draws: torch.Generator | None) -> Tensor:
    """Dropout with draws of our own, so that a resumed run repeats them."""
    if draws is None:
        return values
    kept = torch.rand(values.shape, generator=draws) >= DROPOUT
    return values * kept.to(values.device) / (1 - DROPOUT)
