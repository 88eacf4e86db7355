"""Divergences against torch's own and against moments of what is sampled."""

import torch
from torch.distributions import Normal, kl_divergence

from augment.losses.divergence import kl_to_standard_normal, sample_posterior


def test_kl_is_zero_for_the_prior_itself() -> None:
    assert kl_to_standard_normal(torch.zeros(3, 5), torch.zeros(3, 5)).tolist() == [0, 0, 0]


def test_kl_is_the_sum_over_dimensions_of_torchs_own() -> None:
    draws = torch.Generator().manual_seed(0)
    mu, log_var = torch.randn(2, 4, 6, generator=draws)
    expected = kl_divergence(Normal(mu, (0.5 * log_var).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_to_standard_normal(mu, log_var), expected)


def test_kl_has_the_right_gradient() -> None:
    draws = torch.Generator().manual_seed(1)
    mu, log_var = torch.randn(2, 3, 4, generator=draws, requires_grad=True)
    (gradient,) = torch.autograd.grad(kl_to_standard_normal(mu, log_var).sum(), mu)
    torch.testing.assert_close(gradient, mu)


def test_samples_have_the_variance_whose_logarithm_is_given() -> None:
    log_var = torch.tensor([-4.0, 0.0, 2.0]).expand(100_000, 3)
    mu = torch.tensor([1.0, 0.0, -3.0]).expand(100_000, 3)
    samples = sample_posterior(mu, log_var, torch.Generator().manual_seed(2))
    torch.testing.assert_close(samples.mean(dim=0), mu[0], atol=0.03, rtol=0)
    torch.testing.assert_close(samples.var(dim=0), log_var[0].exp(), atol=0, rtol=0.02)


def test_the_same_draws_give_the_same_samples() -> None:
    mu, log_var = torch.zeros(2, 3), torch.zeros(2, 3)
    first, second = (
        sample_posterior(mu, log_var, torch.Generator().manual_seed(4)) for _ in range(2)
    )
    assert torch.equal(first, second)
