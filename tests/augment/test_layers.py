import pytest
import torch
import torch.nn.functional as F
from torch import nn

from augment.layers import (
    WARP_GRID,
    PointwiseConv,
    affine_field,
    convolve_to_blocks,
    sample_field,
    unblock,
    warp_smoothly,
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_an_affine_field_is_torchs_affine_grid():
    matrices = torch.randn(3, 2, 3)
    grid = F.affine_grid(matrices, [3, 1, 6, 9], align_corners=False)
    torch.testing.assert_close(affine_field(matrices, (6, 9)).permute(0, 2, 3, 1), grid)


def test_the_identity_field_changes_nothing():
    maps = torch.randn(2, 3, 7, 5)
    field = affine_field(torch.eye(2, 3).repeat(2, 1, 1), (7, 5))
    torch.testing.assert_close(sample_field(maps, field), maps, atol=1e-5, rtol=0)


def test_a_smooth_warp_moves_pixels_as_far_as_its_control_points_say():
    ramp = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    right = torch.full((1, 2, WARP_GRID**2), 0.5)
    right[:, 0] = 1  # every point looks to the right by the full strength, none up or down
    moved = warp_smoothly(ramp, right.view(1, -1), 0.1)
    inner = (moved - ramp)[..., 8:-8]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.2), atol=0.01, rtol=0)


@pytest.mark.parametrize("bias", [True, False])
def test_blocks_make_the_convolution_of_enlarged_maps(bias):
    convolution = nn.Conv2d(9, 3, 3, 1, 1, bias=bias)
    maps, beside = torch.randn(2, 4, 6, 5), [torch.randn(2, n, 12, 10) for n in (3, 2)]
    blocks = convolve_to_blocks(convolution, maps, beside)
    ours = unblock(blocks.permute(0, 2, 3, 1).contiguous())
    enlarged = F.interpolate(maps, scale_factor=2, mode="nearest")
    theirs = convolution(torch.cat([enlarged, *beside], dim=1)).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 2)])
def test_a_pointwise_convolution_is_a_strided_one(stride: tuple[int, int]) -> None:
    strided = nn.Conv2d(4, 6, 1, stride, bias=False)
    ours = PointwiseConv(4, 6, stride)
    ours.load_state_dict(strided.state_dict())
    maps = torch.randn(2, 4, 7, 9)
    with torch.no_grad():
        torch.testing.assert_close(ours(maps), strided(maps))


def test_few_channels_train_with_a_stride_wherever_they_lie_last() -> None:
    # oneDNN's own kernel for it corrupted memory on AVX2: the process ended within a few steps.
    layer = PointwiseConv(4, 8, (2, 2)).to(memory_format=torch.channels_last)
    maps = torch.randn(8, 4, 16, 48).to(memory_format=torch.channels_last)
    expected = torch.einsum("nihw,nohw->oi", maps[:, :, ::2, ::2], torch.ones(8, 8, 8, 24))
    for _ in range(50):
        layer.zero_grad()
        layer(maps).sum().backward()
        torch.testing.assert_close(layer.weight.grad[:, :, 0, 0], expected, atol=1e-3, rtol=1e-4)
