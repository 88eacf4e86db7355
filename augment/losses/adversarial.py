"""Discriminator and generator terms; every function returns per-sample values (N,)."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["class_or_fake", "gradient_penalty_r1", "real_or_fake"]


def class_or_fake(logits: Tensor, labels: Tensor | None) -> Tensor:
    """Cross-entropy of a (k+1)-class discriminator (SAAE, Sec. 2.2; Salimans et al., 2016).

    Args:
        logits: (N, k+1); the last column stands for "generated".
        labels: (N,) in [0, k): the real class wanted; None: the class "generated" is wanted.

    Returns:
        (N,) -log p(wanted class).
    """
    if labels is None:
        labels = torch.full((len(logits),), logits.shape[1] - 1, device=logits.device)
    return F.cross_entropy(logits.float(), labels, reduction="none")


def real_or_fake(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of a discriminator with one output (Goodfellow et al., 2014).

    Args:
        logits: (N, 1).
        real: whether "real" is the answer wanted. For the generator this is the
            non-saturating form, -log D(G(z)).

    Returns:
        (N,) -log D(x) if real, else -log(1 - D(x)).
    """
    return F.softplus(logits[:, 0].float() * (-1 if real else 1))


def gradient_penalty_r1(logits: Tensor, images: Tensor) -> Tensor:
    """R1 penalty ||∂D/∂x||² on real images (Mescheder et al., 2018, Eq. 9, without γ/2).

    Args:
        logits: (N, K) computed from ``images``; summed over K.
        images: (N, C, H, W) with ``requires_grad``.

    Returns:
        (N,) squared gradient norms, differentiable with respect to the discriminator.
    """
    (gradient,) = torch.autograd.grad(logits.float().sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3))
