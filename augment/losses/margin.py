"""Margin softmax over unit vectors: classes are told apart by angles."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["angular_margin"]

LEAST_SQUARE = 1e-6
"""Of a sine: keeps its gradient finite where the cosine is ±1."""


def angular_margin(cosines: Tensor, labels: Tensor, *, scale: float, margin: float) -> Tensor:
    """Cross-entropy with an angle added to the right class (ArcFace, Deng et al., 2019, Eq. 3).

    −log e^{s cos(θ_y + m)} / (e^{s cos(θ_y + m)} + Σ_{j≠y} e^{s cos θ_j}). Where θ_y + m would pass
    π, cos θ_y − m sin m stands in for cos(θ_y + m), so that the loss keeps growing with the angle.

    Args:
        cosines: (N, k) of the angles between embeddings and class centres, in [-1, 1]; float32
            or finer.
        labels: (N,) in [0, k).
        scale: s > 0.
        margin: m in radians, in [0, π/2]; 0 = softmax of scaled cosines.

    Returns:
        (N,).
    """
    right = cosines.gather(1, labels[:, None])  # cos θ_y, (N, 1)
    sine = (1 - right.square()).clamp(min=LEAST_SQUARE).sqrt()
    added = right * math.cos(margin) - sine * math.sin(margin)  # cos(θ_y + m)
    past = right - margin * math.sin(margin)
    with_margin = torch.where(right > -math.cos(margin), added, past) if margin else right
    logits = scale * cosines.scatter(1, labels[:, None], with_margin)
    return F.cross_entropy(logits, labels, reduction="none")
