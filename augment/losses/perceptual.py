"""Distances of DeePSiM, and the hand-made image priors it is compared with.

Dosovitskiy and Brox, "Generating Images with Perceptual Similarity Metrics based on Deep
Networks", 2016, arXiv:1602.02644; Mahendran and Vedaldi, "Understanding Deep Image
Representations by Inverting Them", 2015, arXiv:1412.0035. Every function returns per-sample
values (N,); a feature network arrives as an argument.
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    "Distance",
    "absolute_error",
    "alpha_norm",
    "perceptual_share",
    "share_of",
    "squared_error",
    "total_variation",
]

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two tensors (N, …) to (N,)."""

LEAST_NORM = 1e-6
"""Of a batch's targets: a share of nothing stays finite."""


def squared_error(values: Tensor, targets: Tensor) -> Tensor:
    """‖a − b‖² of pairs, summed over everything but N (DeePSiM, its feature and image losses)."""
    return (values.float() - targets.float()).square().flatten(1).sum(dim=1)


def absolute_error(values: Tensor, targets: Tensor) -> Tensor:
    """‖a − b‖₁ of pairs, summed over everything but N."""
    return (values.float() - targets.float()).abs().flatten(1).sum(dim=1)


def share_of(distance: Distance, values: Tensor, targets: Tensor) -> Tensor:
    """A distance as a share of what there is: d(a, b) / mean over the batch of d(0, b).

    All zeros score 1 on average, whatever the number and size of the elements.

    Args:
        distance: of two tensors (N, …), as (N,).
        values: (N, …).
        targets: of the same shape; constants.
    """
    targets = targets.detach()
    norm = distance(torch.zeros_like(targets), targets).mean()
    return distance(values, targets) / norm.clamp(min=LEAST_NORM)


def perceptual_share(
    comparator: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor
) -> Tensor:
    """‖C(x̃) − C(x)‖² as a share of the mean ‖C(x)‖² of the batch.

    Args:
        comparator: C, images to features (N, …).
        images: (N, C, H, W) in [-1, 1].
        targets: the same; constants.
    """
    with torch.no_grad():
        wanted = comparator(targets)
    return share_of(squared_error, comparator(images), wanted)


def total_variation(images: Tensor, beta: float = 2.0) -> Tensor:
    """Σ ((x_{i,j+1} − x_ij)² + (x_{i+1,j} − x_ij)²)^{β/2} (Mahendran & Vedaldi, Eq. 4).

    Args:
        images: (N, C, H, W); differences that leave the image are left out.
        beta: β ≥ 1; above 1 sparse spikes cost more than slopes.
    """
    x = images.float()
    across = (x[:, :, :-1, 1:] - x[:, :, :-1, :-1]).square()
    down = (x[:, :, 1:, :-1] - x[:, :, :-1, :-1]).square()
    squares = across + down
    rises = squares > 0  # elsewhere a power below 1 has no finite gradient
    slopes = torch.where(rises, torch.where(rises, squares, 1.0).pow(beta / 2), 0.0)
    return slopes.sum(dim=(1, 2, 3))


def alpha_norm(images: Tensor, alpha: float = 6.0) -> Tensor:
    """Σ |x|^α of (N, C, H, W): keeps values in range (Mahendran & Vedaldi, Sec. 3.1)."""
    return images.float().abs().pow(alpha).sum(dim=(1, 2, 3))
