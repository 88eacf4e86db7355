"""Distances between features; every function returns per-sample values (N,).

Features are flattened; squared norms are sums over their elements, as in the papers. Dividing by
``features[0].numel()`` makes means of them.
"""

import torch
from torch import Tensor

__all__ = ["class_mean_matching", "feature_distance", "mean_matching"]


def feature_distance(features: Tensor, targets: Tensor) -> Tensor:
    """½‖f(x) − f(x')‖² of pairs (CVAE-GAN, Eq. 7; VAE/GAN, Eq. 7 up to a constant).

    Args:
        features: (N, …); pixels too may serve as features.
        targets: of the same shape.

    Returns:
        (N,).
    """
    return 0.5 * (features.float() - targets.float()).square().flatten(1).sum(dim=1)


def mean_matching(real: Tensor, generated: Tensor) -> Tensor:
    """½‖E f(x) − E f(x')‖² over the batch (CVAE-GAN, Eq. 5; Salimans et al., 2016).

    Args:
        real: (N, …) features of real images; a constant.
        generated: (M, …) features of generated ones.

    Returns:
        (M,), the one distance of the two means repeated.
    """
    difference = real.detach().float().flatten(1).mean(0) - generated.float().flatten(1).mean(0)
    return (0.5 * difference.square().sum()).expand(len(generated))


def class_mean_matching(
    centres: Tensor, generated_centres: Tensor, labels: Tensor, step_labels: Tensor
) -> Tensor:
    """½‖E_c f(x) − E_c f(G(z, c))‖² of each class in the batch (CVAE-GAN, Eq. 6).

    Args:
        centres: (k, F) mean features of each class's real images; constants.
        generated_centres: (k, F) of its generated images, with gradients to those of this batch.
        labels: (N,) classes of the batch.
        step_labels: (M,) classes of the batches of all workers; ``labels`` if there is one.

    Returns:
        (N,): a class's distance is shared out among its samples on all workers, so that the sum
        over all of these is the sum over the step's classes, each counted once.
    """
    difference = centres.detach().float() - generated_centres.float()
    distances = 0.5 * difference.square().sum(dim=1)
    counts = torch.bincount(step_labels, minlength=len(centres))
    return (distances / counts.clamp(min=1))[labels]
