"""The networks of SAAE on whole lines; see ``augment.models.line_saae``."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment.layers import AdaptiveInstanceNorm, ConvBlock
from augment.models.line_saae_config import LineSAAEConfig

__all__ = [
    "CONTENT_CHANNELS",
    "CharacterDiscriminator",
    "Decoder",
    "LineDiscriminator",
    "StyleEncoder",
]

CONTENT_CHANNELS = 2
"""Ink by polarity, and where the line's own picture lies."""


class StyleEncoder(nn.Module):
    """Enc_s: three convolutions; their mean and deviation make z_s, their coarse map its grid."""

    def __init__(self, config: LineSAAEConfig, channels: int) -> None:
        super().__init__()
        width = config.width
        self.blocks = nn.Sequential(
            ConvBlock(channels, width),
            ConvBlock(width, width, stride=2),
            ConvBlock(width, width, stride=2),
        )
        self.to_vector = nn.Linear(2 * width, config.style_dim)
        self.grid = config.style_grid
        if self.grid is not None:
            self.to_grid = nn.Conv2d(width, self.grid[0], 1)

    def forward(self, styles: Tensor) -> Tensor:
        """(N, C, H, W) of any width to (N, style_length)."""
        maps = self.blocks(styles)
        deviation, mean = torch.std_mean(maps.float(), dim=(2, 3), correction=0)
        z_s: Tensor = self.to_vector(torch.cat([mean, deviation], dim=1))
        if self.grid is None:
            return z_s
        grid = F.adaptive_avg_pool2d(self.to_grid(maps).float(), self.grid[1:])
        return torch.cat([z_s.float(), grid.flatten(1)], dim=1)


class Decoder(nn.Module):
    """Dec: three convolutions from (z_c, z_s) to an image in [-1, 1]."""

    def __init__(self, config: LineSAAEConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        width = config.width
        wide = width * 2 if config.halvings else width
        adain, skip = config.style_injection == "adain", config.content_skip
        grid = config.style_grid[0] if config.style_grid else 0
        half = wide if adain else wide * 2  # content and style half/half in channels
        if not adain:
            self.to_map = nn.Linear(config.style_dim, wide)
        norm = partial(AdaptiveInstanceNorm, style_dim=config.style_dim)
        self.residual = nn.ModuleList(
            nn.Conv2d(wide, wide, 3, 1, 1) for _ in range(config.residual_blocks)
        )
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(half + grid, wide, 3, 1, 1),
                nn.Conv2d(wide + (wide if skip else 0), width, 3, 1, 1),
                nn.Conv2d(width + (width + CONTENT_CHANNELS if skip else 0), channels, 3, 1, 1),
            ]
        )
        norms = [wide] * (1 + config.residual_blocks) + [width]
        self.norms = nn.ModuleList(norm(n) if adain else nn.BatchNorm2d(n) for n in norms)

    def forward(self, contents: Tensor, maps: list[Tensor], style: Tensor) -> Tensor:
        """Decode.

        Args:
            contents: (N, 2, H, W), used by the content skip.
            maps: what Enc_c returned for them.
            style: (N, style_length).

        Returns:
            (N, C, H, W) in [-1, 1].
        """
        z_s, norms = style[:, : self.config.style_dim], iter(self.norms)
        adain, skip = self.config.style_injection == "adain", self.config.content_skip

        def normalize(values: Tensor) -> Tensor:
            norm = next(norms)
            return F.leaky_relu(norm(values, z_s) if adain else norm(values), 0.2)

        hidden = normalize(self.convolutions[0](self._joined(maps[2], style)))
        for convolution in self.residual:
            hidden = hidden + normalize(convolution(hidden))
        hidden = _enlarged(hidden, maps[1])
        beside = [maps[1]] if skip else []
        hidden = normalize(self.convolutions[1](torch.cat([hidden, *beside], dim=1)))
        hidden = _enlarged(hidden, maps[0])
        beside = [maps[0], contents.to(hidden.dtype)] if skip else []
        image = self.convolutions[2](torch.cat([hidden, *beside], dim=1))
        return 2 * torch.sigmoid(image.float()) - 1  # the paper's sigmoid, at the model's edge

    def _joined(self, z_c: Tensor, style: Tensor) -> Tensor:
        """z_c beside the style as a map: the vector everywhere, the grid where it belongs."""
        parts, size = [z_c], (z_c.shape[2], z_c.shape[3])
        dim = self.config.style_dim
        if self.config.style_injection == "map":
            parts.append(self.to_map(style[:, :dim])[:, :, None, None].expand(-1, -1, *size))
        if self.config.style_grid is not None:
            grid = style[:, dim:].view(-1, *self.config.style_grid)
            parts.append(F.interpolate(grid, size, mode="bilinear").to(z_c.dtype))
        return torch.cat(parts, dim=1)


class CharacterDiscriminator(nn.Module):
    """D: three convolutions, max pooling after the first, two fully connected layers."""

    def __init__(self, config: LineSAAEConfig, num_classes: int, channels: int) -> None:
        super().__init__()
        width = config.discriminator_width
        stride = 2 if config.halvings else 1
        self.convolutions = nn.Sequential(
            ConvBlock(channels, width),
            nn.MaxPool2d(2, ceil_mode=True),
            ConvBlock(width, 2 * width, stride=stride),
            ConvBlock(2 * width, 2 * width, stride=stride),
        )
        with torch.no_grad():
            features = self.convolutions.eval()(torch.zeros(1, channels, *config.box_size)).numel()
        self.convolutions.train()
        self.head = nn.Sequential(
            nn.Linear(features, 4 * width), nn.LeakyReLU(0.2), nn.Linear(4 * width, num_classes + 1)
        )

    def forward(self, crops: Tensor) -> Tensor:
        """(B, C, h, w) to (B, k+1) logits, the last one for "generated"."""
        logits: Tensor = self.head(self.convolutions(crops).flatten(1))
        return logits


class LineDiscriminator(nn.Module):
    """Real or generated, patch by patch."""

    def __init__(self, config: LineSAAEConfig, channels: int) -> None:
        super().__init__()
        width = config.discriminator_width
        self.layers = nn.Sequential(
            ConvBlock(channels, width, stride=2),
            ConvBlock(width, 2 * width, stride=2),
            ConvBlock(2 * width, 2 * width),
            nn.Conv2d(2 * width, 1, 3, 1, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, P) logits, one a patch."""
        logits: Tensor = self.layers(images).flatten(1)
        return logits


def _enlarged(maps: Tensor, like: Tensor) -> Tensor:
    if maps.shape[2:] == like.shape[2:]:
        return maps
    return F.interpolate(maps, size=(like.shape[2], like.shape[3]), mode="nearest")
