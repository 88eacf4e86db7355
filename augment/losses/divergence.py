"""Divergences between a posterior and the prior; every function returns per-sample values (N,)."""

import torch
from torch import Tensor

__all__ = ["kl_to_standard_normal", "sample_posterior"]


def kl_to_standard_normal(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(μ, diag σ²) ‖ N(0, I)) in nats (Kingma & Welling, 2014, appendix B).

    Args:
        mu: (N, D).
        log_var: (N, D), log σ².

    Returns:
        (N,) ½ Σ_d (μ² + σ² − log σ² − 1), summed over D.
    """
    mu, log_var = mu.float(), log_var.float()
    return 0.5 * (mu.square() + log_var.exp() - log_var - 1).sum(dim=1)


def sample_posterior(mu: Tensor, log_var: Tensor, draws: torch.Generator) -> Tensor:
    """Draw z = μ + σ ε with ε ~ N(0, I) and σ = exp(½ log σ²): the reparameterization trick.

    Args:
        mu: (N, D).
        log_var: (N, D), log σ².
        draws: source of ε, on the CPU.
    """
    epsilon = torch.randn(mu.shape, generator=draws).to(mu)
    return mu + (0.5 * log_var).exp() * epsilon
