"""Differentiable augmentation for discriminators on little data.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020,
arXiv:2006.10738. The same kind of random change is applied to real and generated images
before the discriminator, with gradients passing through. Departure: no cutout, and
translations stay within an eighth of a side, since both can cut strokes off a character.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["diff_augment"]


def diff_augment(images: Tensor, draws: torch.Generator) -> Tensor:
    """Change brightness, saturation, contrast and position of each image at random.

    Args:
        images: (N, C, H, W) in [-1, 1].
        draws: source of randomness, on the CPU.

    Returns:
        (N, C, H, W); values may leave [-1, 1] as in the paper.
    """
    count, channels, height, width = images.shape
    amounts = torch.rand(3, count, 1, 1, 1, generator=draws).to(images)
    images = images + (amounts[0] - 0.5)
    if channels == 3:
        gray = images.mean(dim=1, keepdim=True)
        images = gray + (images - gray) * (2 * amounts[1])
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (0.5 + amounts[2])
    return _translate(images, height // 8, width // 8, draws)


def _translate(images: Tensor, max_dy: int, max_dx: int, draws: torch.Generator) -> Tensor:
    """Shift each image by whole pixels, repeating its border."""
    count, _, height, width = images.shape
    dy = torch.randint(0, 2 * max_dy + 1, (count, 1), generator=draws).to(images.device)
    dx = torch.randint(0, 2 * max_dx + 1, (count, 1), generator=draws).to(images.device)
    padded = F.pad(images, (max_dx, max_dx, max_dy, max_dy), mode="replicate")
    rows = dy + torch.arange(height, device=images.device)  # (N, H)
    columns = dx + torch.arange(width, device=images.device)  # (N, W)
    samples = torch.arange(count, device=images.device)
    shifted = padded[samples[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
