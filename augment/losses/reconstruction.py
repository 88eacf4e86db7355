"""Pixel reconstruction terms; every function returns per-sample values (N,)."""

from torch import Tensor

__all__ = ["l1_distance", "l2_distance"]


def l1_distance(images: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute difference over channels and pixels: (N, C, H, W) twice to (N,)."""
    return (images.float() - targets.float()).abs().mean(dim=(1, 2, 3))


def l2_distance(images: Tensor, targets: Tensor) -> Tensor:
    """Mean squared difference over channels and pixels: (N, C, H, W) twice to (N,)."""
    return (images.float() - targets.float()).square().mean(dim=(1, 2, 3))
