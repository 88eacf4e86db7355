"""DeePSiM's distances and image priors against hand-computed cases."""

import pytest
import torch

from augment.losses.perceptual import (
    absolute_error,
    alpha_norm,
    perceptual_share,
    share_of,
    squared_error,
    total_variation,
)


def test_errors_are_summed_over_everything_but_the_batch() -> None:
    values = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]])
    targets = torch.tensor([[[1.0, 0.0]], [[3.0, -4.0]]])
    assert squared_error(values, targets).tolist() == [4.0, 25.0]
    assert absolute_error(values, targets).tolist() == [2.0, 7.0]


@pytest.mark.parametrize("distance", [squared_error, absolute_error])
def test_a_share_is_1_for_zeros_and_does_not_depend_on_the_scale(distance) -> None:
    draws = torch.Generator().manual_seed(0)
    targets = torch.randn(5, 3, 4, generator=draws)
    values = torch.randn(5, 3, 4, generator=draws)
    zeros = share_of(distance, torch.zeros_like(targets), targets)
    torch.testing.assert_close(zeros.mean(), torch.tensor(1.0))
    torch.testing.assert_close(
        share_of(distance, 7 * values, 7 * targets), share_of(distance, values, targets)
    )
    assert torch.equal(share_of(distance, targets, targets), torch.zeros(5))


def test_a_share_of_nothing_stays_finite() -> None:
    nothing = torch.zeros(2, 3)
    assert torch.isfinite(share_of(squared_error, nothing + 1, nothing)).all()


def test_perceptual_share_moves_images_and_never_their_targets() -> None:
    images = torch.zeros(2, 1, 2, 2, requires_grad=True)
    targets = torch.ones(2, 1, 2, 2, requires_grad=True)
    share = perceptual_share(lambda x: 3 * x, images, targets)
    torch.testing.assert_close(share, torch.ones(2))
    share.sum().backward()
    assert targets.grad is None
    assert (images.grad < 0).all()  # descending brightens them


def test_total_variation_of_a_step_counts_the_pixels_along_it() -> None:
    image = torch.zeros(1, 1, 4, 5)
    image[..., 3:] = 2.0  # a step of 2 across, seen from three rows
    assert total_variation(image).tolist() == [12.0]
    assert total_variation(image, beta=4).tolist() == [48.0]
    assert total_variation(torch.ones(2, 3, 4, 4)).tolist() == [0.0, 0.0]


def test_flat_images_have_no_gradient_of_total_variation_whatever_its_power() -> None:
    image = torch.zeros(1, 1, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(total_variation(image, beta=1.0).sum(), image)
    assert torch.equal(gradient, torch.zeros_like(image))


def test_alpha_norm_punishes_values_beyond_1() -> None:
    image = torch.tensor([[[[1.0, -2.0], [0.0, 0.5]]]])
    torch.testing.assert_close(alpha_norm(image), torch.tensor([1 + 64 + 1 / 64]))


def test_gradients_of_the_priors_are_those_of_their_formulas() -> None:
    image = torch.tensor([[[[0.5, -0.2], [0.1, 0.9]]]], requires_grad=True)
    (smoothing,) = torch.autograd.grad(total_variation(image).sum(), image)
    torch.testing.assert_close(smoothing[0, 0], 2 * torch.tensor([[1.1, -0.7], [-0.4, 0.0]]))
    (shrinking,) = torch.autograd.grad(alpha_norm(image).sum(), image)
    torch.testing.assert_close(shrinking, 6 * image.detach().pow(5))
