"""The margin softmax against hand-worked angles, torch's cross-entropy and its extremes."""

import math

import pytest
import torch
import torch.nn.functional as F

from augment.losses.margin import angular_margin


def test_without_a_margin_it_is_the_cross_entropy_of_scaled_cosines() -> None:
    cosines = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.tensor([0, 1, 2, 3, 0])
    loss = angular_margin(cosines, labels, scale=8.0, margin=0.0)
    torch.testing.assert_close(loss, F.cross_entropy(8 * cosines, labels, reduction="none"))


def test_the_right_angle_is_worked_out_by_hand() -> None:
    # θ_y = 60°, m = 30°: cos 90° = 0 stands against cos 90° = 0 and cos 0° = 1.
    cosines = torch.tensor([[0.5, 0.0, 1.0]])
    loss = angular_margin(cosines, torch.tensor([0]), scale=2.0, margin=math.pi / 6)
    assert loss.item() == pytest.approx(math.log(1 + 1 + math.e**2), abs=1e-5)


def test_a_margin_makes_every_loss_larger() -> None:
    cosines = torch.rand(50, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    labels = torch.arange(50) % 3
    losses = [angular_margin(cosines, labels, scale=8.0, margin=m) for m in (0.0, 0.2, 0.5)]
    assert (losses[0] < losses[1]).all()
    assert (losses[1] < losses[2]).all()


def test_the_loss_grows_with_the_angle_up_to_the_opposite_direction() -> None:
    angles = torch.linspace(0, math.pi, 500, dtype=torch.double)
    cosines = torch.stack([angles.cos(), torch.zeros_like(angles)], dim=1)
    loss = angular_margin(cosines, torch.zeros(500, dtype=torch.long), scale=8.0, margin=0.5)
    assert (loss.diff() > 0).all()


def test_the_gradient_is_that_of_the_loss() -> None:
    cosines = torch.tensor([[0.3, -0.6], [-0.97, 0.2]], dtype=torch.double, requires_grad=True)
    labels = torch.tensor([0, 0])  # the second is past π with its margin
    assert torch.autograd.gradcheck(
        lambda values: angular_margin(values, labels, scale=4.0, margin=0.5), cosines
    )


@pytest.mark.parametrize("margin", [0.0, 0.5])
@pytest.mark.parametrize("cosine", [-1.0, 1.0, 1.0000001])
def test_loss_and_gradient_are_finite_where_vectors_are_parallel(
    cosine: float, margin: float
) -> None:
    cosines = torch.tensor([[cosine, 0.1]], requires_grad=True)
    loss = angular_margin(cosines, torch.tensor([0]), scale=64.0, margin=margin)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert cosines.grad is not None
    assert torch.isfinite(cosines.grad).all()
