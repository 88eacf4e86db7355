import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from augment.errors import RequestError
from augment.images import to_tensor, to_uint8
from augment.restoration.super_resolution import add_detail, agree, down, super_resolve, up

MANY = {"iterations": 2000, "tolerance": 1e-7}


def matrix_of(function, size: tuple[int, int, int]) -> torch.Tensor:
    """The matrix of a linear function of images of ``size``, in float64."""
    columns = torch.eye(int(np.prod(size)), dtype=torch.float64).view(-1, *size)
    return function(columns).flatten(1).T


@pytest.mark.parametrize("scale", [2, 4])
def test_shrinking_is_what_opencv_calls_area(scale):
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    theirs = cv2.resize(
        image.astype(np.float64), (24 // scale, 16 // scale), interpolation=cv2.INTER_AREA
    )
    ours = down(to_tensor(image[None]), scale)[0].permute(1, 2, 0)
    np.testing.assert_allclose(ours.numpy(), theirs / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 4])
def test_enlarging_is_undone_by_shrinking_and_is_smoother_than_blocks(scale):
    images = torch.rand(3, 2, 5, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(down(up(images, scale), scale), images)
    blocks = F.interpolate(images, scale_factor=scale)
    jumps = [(e[..., 1:] - e[..., :-1]).abs().amax() for e in (up(images, scale), blocks)]
    assert jumps[0] < jumps[1]


@pytest.mark.parametrize("scale", [2, 4])
def test_agreement_is_exact_and_in_range_even_where_blocks_saturate(scale):
    draws = torch.Generator().manual_seed(0)
    small = torch.rand(4, 1, 3, 3, generator=draws) * 2 - 1
    small[0, 0, 0], small[1, 0, 0] = 1.0, -1.0
    enlarged = 3 * torch.randn(4, 1, 3 * scale, 3 * scale, generator=draws)
    agreed = agree(enlarged, small, scale)
    torch.testing.assert_close(down(agreed, scale), small)
    assert agreed.abs().max() <= 1
    assert torch.equal(agree(agreed[:1] * 0 + 1, small[:1] * 0 + 1, scale), agreed[:1] * 0 + 1)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("drawn_side", [6, 24, 80])
def test_detail_of_any_size_leaves_alone_what_the_image_tells(scale, drawn_side):
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 10, 12, generator=draws) - 0.5
    drawn = torch.rand(2, 3, drawn_side, drawn_side, generator=draws) - 0.5
    detailed = add_detail(images, drawn, scale)
    torch.testing.assert_close(down(detailed, scale), images, atol=1e-5, rtol=0)
    assert not torch.allclose(detailed, up(images, scale), atol=0.01)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_drawing_of_the_results_size_that_agrees_is_the_result(scale):
    drawn = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0)) - 0.5
    detailed = add_detail(down(drawn, scale), drawn, scale)
    torch.testing.assert_close(detailed, drawn, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_linear_model_settles_where_its_closed_form_says(linear, faces, scale):
    channels, height, width = linear.size
    small = down(faces, scale)
    resolved = super_resolve(linear, small, scale, **MANY)
    assert resolved.settled.all()
    shrinks = matrix_of(lambda images: down(images, scale), linear.size)
    enlarges = matrix_of(
        lambda images: up(images, scale), (channels, height // scale, width // scale)
    )
    basis, mean = linear.basis.double(), linear.mean.double()
    targets = small.flatten(1).double() - mean @ shrinks.T
    # z = Bᵀ(x̂ − m) with x̂ = x' + U (y − D x') and x' = m + B z  ⇒  BᵀU D B z = BᵀU (y − D m)
    left, right = basis.T @ enlarges @ shrinks @ basis, basis.T @ enlarges @ targets.T
    z = torch.linalg.solve(left, right)
    x_prime = (z.T @ basis.T + mean).float().view_as(faces)
    expected = agree(x_prime + up(small - down(x_prime, scale), scale), small, scale)
    torch.testing.assert_close(resolved.images, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_result_shrinks_to_the_input_within_rounding(linear, scale):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 16 // scale, 16 // scale, linear.size[0]), dtype=np.uint8)
    resolved = super_resolve(linear, to_tensor(pixels), scale).images
    assert resolved.shape == (6, *linear.size)
    torch.testing.assert_close(down(resolved, scale), to_tensor(pixels), atol=1e-5, rtol=0)
    written = down(to_tensor(to_uint8(resolved)), scale)
    assert (written - to_tensor(pixels)).abs().max() <= 0.5 / 127.5 + 1e-6  # half a level


def test_the_model_adds_what_enlarging_alone_cannot_know(linear):
    images = linear.decode(torch.randn(6, 5, generator=torch.Generator().manual_seed(2)) / 4)
    small = down(images, 2)
    resolved = super_resolve(linear, small, 2, **MANY).images
    assert (resolved - images).square().mean() < (up(small, 2) - images).square().mean() / 2


def test_a_sample_does_not_depend_on_its_neighbours(linear, faces):
    small = down(faces, 2)
    together = super_resolve(linear, small, 2, tolerance=0.02)
    for row in range(len(faces)):
        alone = super_resolve(linear, small[row : row + 1], 2, tolerance=0.02)
        assert alone.steps == together.steps[row]
        torch.testing.assert_close(alone.images[0], together.images[row], atol=1e-6, rtol=0)


def test_passes_end_at_the_limit(linear, faces):
    resolved = super_resolve(linear, down(faces, 2), 2, iterations=3, tolerance=0.0)
    assert linear.calls == 3
    assert resolved.steps.tolist() == [3] * 6
    assert not resolved.settled.any()


def test_labels_reach_the_model(linear, faces):
    small, labels = down(faces, 4), torch.full((6,), 0.2)
    plain = super_resolve(linear, small, 4).images
    assert not torch.allclose(super_resolve(linear, small, 4, labels).images, plain)


@pytest.mark.parametrize("scale", [3, 1, 0, 8])
def test_other_scales_are_refused(linear, faces, scale):
    with pytest.raises(RequestError, match=f"scale must be 2 or 4; got {scale}"):
        super_resolve(linear, faces[..., :2, :2], scale)
