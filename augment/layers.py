"""Blocks used by more than one network."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = [
    "WARP_GRID",
    "AdaptiveInstanceNorm",
    "AffineTransform",
    "ConvBlock",
    "PointwiseConv",
    "ResidualBlock",
    "affine_field",
    "convolve_to_blocks",
    "maybe_spectral",
    "sample_field",
    "unblock",
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
                PointwiseConv(in_channels, out_channels, (stride, stride)), norm(out_channels)
            )
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Apply the block."""
        return torch.relu(self.body(maps) + self.shortcut(maps))


class PointwiseConv(nn.Conv2d):
    """A 1×1 convolution without bias, of every ``stride``-th row and column.

    The others are left out beforehand: where fewer than 8 channels enter, the kernel that oneDNN
    3.13 has for strides on CPUs with AVX2 alone writes past the gradient of the weights.

    Shapes: (N, in_channels, H, W) to (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: tuple[int, int]) -> None:
        super().__init__(in_channels, out_channels, 1, bias=False)
        self._rows, self._columns = (slice(None, None, step) for step in stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Apply the convolution."""
        return super().forward(maps[:, :, self._rows, self._columns])


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
        field = affine_field(matrices, (maps.shape[2], maps.shape[3]))
        return sample_field(maps.float(), field, padding="border")


def affine_field(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Where each pixel is taken from: (N, 2, 3) affine maps to (N, 2, H, W), x before y.

    ``F.affine_grid(matrices, …, align_corners=False)`` with its last axis in front, and several
    times as fast on a CPU.
    """
    y, x = (_pixel_centres(side, matrices.device) for side in size)
    to_x, to_y, shift = matrices[:, :, :, None, None].unbind(dim=2)
    return to_x * x + (to_y * y[:, None] + shift)


def sample_field(
    maps: Tensor, field: Tensor, *, padding: Literal["zeros", "border"] = "zeros"
) -> Tensor:
    """Resample bilinearly: (N, C, H, W) at (N, 2, H, W), x before y in [-1, 1]."""
    grid = field.permute(0, 2, 3, 1)
    return F.grid_sample(maps, grid, padding_mode=padding, align_corners=False)


def warp_smoothly(maps: Tensor, uniforms: Tensor, strength: float) -> Tensor:
    """Displace pixels smoothly: (N, C, H, W), (N, 2·WARP_GRID²) in [0, 1) to (N, C, H, W).

    ``strength`` is the largest displacement of a control point, as a share of the side.
    """
    size = (maps.shape[2], maps.shape[3])
    offsets = (uniforms * 2 - 1) * (2 * strength)
    smooth = offsets.view(len(maps), 2, -1) @ _bicubic_basis(size).to(maps.device)
    identity = affine_field(torch.eye(2, 3, device=maps.device)[None], size)
    return sample_field(maps, identity + smooth.view(-1, 2, *size), padding="border")


def _pixel_centres(side: int, device: torch.device) -> Tensor:
    """(side,) coordinates of pixel centres, where the image spans [-1, 1]."""
    return (torch.arange(side, device=device) * 2 + 1) / side - 1


@cache
def _bicubic_basis(size: tuple[int, int]) -> Tensor:
    """(WARP_GRID², H·W): how much each control point moves each pixel."""
    points = torch.eye(WARP_GRID**2).view(-1, 1, WARP_GRID, WARP_GRID)
    return F.interpolate(points, size, mode="bicubic", align_corners=True).flatten(1)


def convolve_to_blocks(convolution: nn.Conv2d, maps: Tensor, beside: Sequence[Tensor]) -> Tensor:
    """A 3×3 convolution of ``maps`` enlarged twice (nearest) with ``beside`` next to them.

    ``unblock`` makes the convolution's result of these blocks, up to rounding. Where it has few
    outputs this is less work: the four pixels of a block fill a processor's vectors better
    than one; and as enlarged pixels are alike, weights that meet the same pixel of ``maps``
    are added up beforehand.

    Args:
        convolution: 3×3, stride 1, padding 1, with a bias.
        maps: (N, A, H, W).
        beside: each (N, B, 2H, 2W).

    Returns:
        (N, 4·out_channels, H, W): blocks of 2×2 pixels, row by row, the channels of each together.
    """
    sizes = [part.shape[1] for part in (maps, *beside)]
    weights = torch.split(convolution.weight, sizes, dim=1)
    # [row of the block, row of the input, row of the kernel]: 1 where they meet.
    coarse = [[[1, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]]
    fine = [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]],
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
    ]

    def spread(weight: Tensor, rows: list[list[list[int]]]) -> Tensor:
        meets = weight.new_tensor(rows)
        return torch.einsum("ayr,bxc,oirc->aboiyx", meets, meets, weight).flatten(0, 2)

    bias = None if convolution.bias is None else convolution.bias.repeat(4)
    blocks = F.conv2d(maps, spread(weights[0], coarse), bias, padding=1)
    for part, weight in zip(beside, weights[1:], strict=True):
        blocks = blocks + F.conv2d(part, spread(weight, fine), stride=2, padding=1)
    return blocks


def unblock(blocks: Tensor) -> Tensor:
    """Lay blocks of 2×2 pixels out as an image: (N, H, W, 4·C) to (N, 2H, 2W, C)."""
    count, height, width, values = blocks.shape
    pixels = blocks.view(count, height, width, 2, 2, values // 4).transpose(2, 3)
    return pixels.reshape(count, 2 * height, 2 * width, values // 4)
