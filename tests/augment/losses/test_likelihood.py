import math

import pytest
import torch

from augment.losses.likelihood import gaussian_nll


def test_is_the_normal_density_without_its_constant():
    values, targets = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    density = torch.distributions.Normal(values, 1).log_prob(targets).flatten(1).sum(dim=1)
    constant = 0.5 * 2 * 4 * 4 * math.log(2 * math.pi)
    torch.testing.assert_close(gaussian_nll(values, targets), -density - constant)


def test_is_summed_not_averaged():
    assert gaussian_nll(torch.zeros(1, 10), torch.ones(1, 10)).tolist() == [5.0]


def test_gradient_is_the_difference():
    values = torch.tensor([[1.0, 4.0]], requires_grad=True)
    gaussian_nll(values, torch.tensor([[0.0, 5.0]])).sum().backward()
    assert values.grad.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("scale", [1e-20, 1e15])
def test_extreme_values_stay_finite(scale):
    assert torch.isfinite(gaussian_nll(torch.full((1, 4), scale), torch.zeros(1, 4))).all()
