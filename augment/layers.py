"""Blocks used by more than one network."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = [
    "WARP_GRID",
    "AdaptiveInstanceNorm",
    "AffineTransform",
    "ConvBlock",
    "ResidualBlock",
    "maybe_spectral",
    "warp_smoothly",
]

MAX_TRANSFORM = 0.5
"""Largest change of an entry of an affine map; 1 is half a side for a shift."""
WARP_GRID = 4
"""Control points a side of a smooth displacement."""


def maybe_spectral(layer: nn.Module, enabled: bool) -> nn.Module:
    """Hold the layer's largest singular value at 1 (Miyato et al., 2018), if enabled."""
    return spectral_norm(layer) if enabled else layer


class ConvBlock(nn.Sequential):
    """3×3 convolution, optional batch norm, leaky ReLU.

    Shapes: (N, in_channels, H, W) to (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        batch_norm: bool = True,
        spectral: bool = False,
    ) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=not batch_norm)
        layers = [maybe_spectral(convolution, spectral)]
        if batch_norm:
            layers.append(nn.BatchNorm2d(out_channels))
        super().__init__(*layers, nn.LeakyReLU(0.2))


class AdaptiveInstanceNorm(nn.Module):
    """Instance norm whose scale and shift come from a style vector (Huang & Belongie, 2017).

    Shapes: (N, channels, H, W) and (N, style_dim) to (N, channels, H, W).
    """

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style_dim, 2 * channels)

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        """Normalize each map over its pixels, then scale and shift it by the style."""
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        styled: Tensor = F.instance_norm(maps) * (1 + scale) + shift
        return styled


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut; ``norm`` is called as ``norm(channels)``.

    Shapes: (N, in_channels, H, W) to (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            norm(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            norm(out_channels),
        )
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels and stride == 1
            else nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), norm(out_channels)
            )
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Apply the block."""
        return torch.relu(self.body(maps) + self.shortcut(maps))


class AffineTransform(nn.Module):
    """A spatial transformer (Jaderberg et al., 2015): a vector tilts, scales and shifts a map.

    At first it is the identity.
    """

    def __init__(self, vector_dim: int) -> None:
        super().__init__()
        self.to_offsets = nn.Linear(vector_dim, 6)
        nn.init.zeros_(self.to_offsets.weight)
        nn.init.zeros_(self.to_offsets.bias)

    def forward(self, maps: Tensor, vectors: Tensor) -> Tensor:
        """(N, C, H, W), (N, vector_dim) to (N, C, H, W)."""
        offsets = self.to_offsets(vectors).float().tanh().view(-1, 2, 3) * MAX_TRANSFORM
        matrices = torch.eye(2, 3, device=offsets.device) + offsets
        grid = F.affine_grid(matrices, list(maps.shape), align_corners=False)
        return F.grid_sample(maps.float(), grid, padding_mode="border", align_corners=False)


def warp_smoothly(maps: Tensor, uniforms: Tensor, strength: float) -> Tensor:
    """Displace pixels smoothly: (N, C, H, W), (N, 2·WARP_GRID²) in [0, 1) to (N, C, H, W).

    ``strength`` is the largest displacement of a control point, as a share of the side.
    """
    count, _, height, width = maps.shape
    offsets = (uniforms * 2 - 1).view(count, 2, WARP_GRID, WARP_GRID) * (2 * strength)
    smooth = F.interpolate(offsets, (height, width), mode="bicubic", align_corners=True)
    identity = F.affine_grid(
        torch.eye(2, 3, device=maps.device).expand(count, 2, 3),
        [count, 1, height, width],
        align_corners=False,
    )
    grid = identity + smooth.permute(0, 2, 3, 1)
    return F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
