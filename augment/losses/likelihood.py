"""Negative log-likelihoods; every function returns per-sample values (N,)."""

from torch import Tensor

from augment.losses.features import feature_distance

__all__ = ["gaussian_nll"]


def gaussian_nll(values: Tensor, targets: Tensor) -> Tensor:
    """-log N(targets | values, I) without its constant (VAE/GAN; Larsen et al., 2016).

    Args:
        values: (N, ...), of pixels or features.
        targets: (N, ...), the same shape.

    Returns:
        (N,) ½ Σ (values − targets)², summed over everything but N.
    """
    return feature_distance(values, targets)  # the same, by another name
