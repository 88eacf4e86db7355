"""Terms over a region of the image: structural similarity, distances, and the region itself.

Images are in [0, 1] here. ``where`` (N, 1, H, W) weighs pixels, 1 counting fully and 0 not at
all; averages over it are taken an image at a time, so that a small face weighs as much as a
large one. An image without any such pixel scores 0. Every other function returns per-sample
values (N,).
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "dice_distance",
    "l1_within",
    "l2_within",
    "region_cross_entropy",
    "similarity_map",
    "ssim_within",
]

C1, C2 = 0.01**2, 0.03**2
"""Constants of SSIM for values in [0, 1] (Wang et al., 2004, Sec. III-B)."""
SIGMA = 1.5
"""Standard deviation of SSIM's window, pixels."""


def l1_within(images: Tensor, targets: Tensor, where: Tensor) -> Tensor:
    """Mean absolute difference over channels and the pixels of ``where``."""
    return _mean_within((images.float() - targets.float()).abs(), where)


def l2_within(images: Tensor, targets: Tensor, where: Tensor) -> Tensor:
    """Mean squared difference over channels and the pixels of ``where``."""
    return _mean_within((images.float() - targets.float()).square(), where)


def ssim_within(images: Tensor, targets: Tensor, where: Tensor, *, window: int = 9) -> Tensor:
    """Mean of ``similarity_map`` over channels and the pixels of ``where`` that it covers."""
    border = window // 2
    inner = where[:, :, border : where.shape[2] - border, border : where.shape[3] - border]
    return _mean_within(similarity_map(images, targets, window=window), inner)


def similarity_map(images: Tensor, targets: Tensor, *, window: int = 9) -> Tensor:
    """SSIM around each pixel at which a whole window fits (Wang et al., 2004, Eq. 13).

    torchmetrics has it too, but derives the window's size from σ; the size is free here.

    Args:
        images: (N, C, H, W) in [0, 1].
        targets: the same.
        window: side of the Gaussian window, odd, at most min(H, W).

    Returns:
        (N, C, H - window + 1, W - window + 1) in [-1, 1].
    """
    with torch.autocast(images.device.type, enabled=False):  # differences of squares
        x, y = images.float(), targets.float()
        rows, columns = (_window_means(side, window, x.device) for side in x.shape[2:])
        moments = torch.stack([x, y, x * x, y * y, x * y])
        mu_x, mu_y, xx, yy, xy = rows @ moments @ columns.mT
        luminance = (2 * mu_x * mu_y + C1) / (mu_x**2 + mu_y**2 + C1)
        structure = (2 * (xy - mu_x * mu_y) + C2) / (xx - mu_x**2 + yy - mu_y**2 + C2)
        similarity: Tensor = luminance * structure
        return similarity


def region_cross_entropy(logits: Tensor, where: Tensor) -> Tensor:
    """Binary cross-entropy of a predicted region, mean over pixels.

    Args:
        logits: (N, 1, H, W).
        where: (N, 1, H, W) wanted, in [0, 1].
    """
    entropy = F.binary_cross_entropy_with_logits(logits.float(), where.float(), reduction="none")
    return entropy.mean(dim=(1, 2, 3))


def dice_distance(region: Tensor, where: Tensor) -> Tensor:
    """1 − (2 Σ p·m + 1) / (Σ p² + Σ m² + 1), sums over pixels (Milletari et al., 2016, smoothed).

    Args:
        region: (N, 1, H, W) predicted probabilities p.
        where: (N, 1, H, W) wanted region m, in [0, 1].
    """
    p, m = region.float(), where.float()
    pixels = (1, 2, 3)
    both = (p * m).sum(dim=pixels)
    return 1 - (2 * both + 1) / (p.square().sum(dim=pixels) + m.square().sum(dim=pixels) + 1)


def _mean_within(values: Tensor, where: Tensor) -> Tensor:
    """(N, C, H, W), (N, 1, H, W) to (N,): the mean over channels and ``where``."""
    weights = where.float()
    total = (values.mean(dim=1, keepdim=True) * weights).sum(dim=(1, 2, 3))
    return total / weights.sum(dim=(1, 2, 3)).clamp_min(1)


@cache
def _window_means(side: int, window: int, device: torch.device) -> Tensor:
    """(side - window + 1, side): Gaussian means along one side, a window a row."""
    offsets = torch.arange(window, device=device) - (window - 1) / 2
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2))
    places = side - window + 1
    shifts = torch.arange(places, device=device)[:, None] + torch.arange(window, device=device)
    means = torch.zeros(places, side, device=device)
    return means.scatter_(1, shifts, (weights / weights.sum()).expand(places, window))
