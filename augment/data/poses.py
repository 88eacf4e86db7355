"""How a photographed character stands: the affine map from its label's glyph to its ink.

Characters on a tilted plate lean, are sheared, shifted and scaled. A pose says how, for one
image: ink(p) ≈ glyph(pose · p), with p in [-1, 1]² as in ``torch.nn.functional.affine_grid``.
Contents can then be put in the pose of the image to be rebuilt, so that strokes meet strokes
while training; and the poses of common classes can be lent to rare ones while sampling.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from augment.images import Pixels
from augment.layers import affine_field, sample_field

__all__ = ["FIT_CHUNK", "fit_poses", "identity_poses", "relative_poses", "warp_to_poses"]

FIT_CHUNK = 256
"""Images fitted at a time; each needs memory for its label in every font."""
STEPS = 60
LEARNING_RATE = 0.04
STIFFNESS = 0.1
"""Price of leaving the identity, against a correlation in [-1, 1]."""


def fit_poses(inks: Pixels, labels: NDArray[np.int64], glyphs: Pixels) -> Tensor:
    """Register the glyph of each label to each ink by gradient ascent on their correlation.

    Of a label's fonts the one that correlates best before the fit is used.

    Args:
        inks: (N, H, W, 1) uint8.
        labels: (N,) in [0, k).
        glyphs: (k, F, H, W, 1) uint8.

    Returns:
        (N, 2, 3) float32.
    """
    poses = [identity_poses(0)]
    for start in range(0, len(inks), FIT_CHUNK):
        rows = slice(start, start + FIT_CHUNK)
        poses.append(_fit(_maps(inks[rows]), _maps(glyphs[labels[rows]][..., 0])))
    return torch.cat(poses)


def identity_poses(count: int) -> Tensor:
    """Poses that change nothing, (count, 2, 3)."""
    return torch.eye(2, 3).repeat(count, 1, 1)


def relative_poses(source: Tensor, target: Tensor) -> Tensor:
    """Poses that turn contents standing as ``source`` into contents standing as ``target``.

    From content(p) ≈ glyph(source · p) follows glyph(target · p) ≈ content(source⁻¹ · target · p).

    Args:
        source: (N, 2, 3).
        target: (N, 2, 3).

    Returns:
        (N, 2, 3).
    """
    inverse = torch.linalg.inv(source[:, :, :2])
    matrix = inverse @ target[:, :, :2]
    shift = inverse @ (target[:, :, 2:] - source[:, :, 2:])
    return torch.cat([matrix, shift], dim=2)


def warp_to_poses(contents: Tensor, poses: Tensor) -> Tensor:
    """Resample contents: (N, 1, H, W) in [-1, 1], (N, 2, 3) to (N, 1, H, W); outside is no ink."""
    field = affine_field(poses, (contents.shape[2], contents.shape[3]))
    return sample_field(contents + 1, field) - 1


def _maps(pixels: Pixels) -> Tensor:
    """(N, H, W, 1) or (N, F, H, W) uint8 to float maps (N, 1 or F, H, W), blurred."""
    values = torch.from_numpy(pixels).float().div_(255)
    values = values if values.shape[-1] != 1 else values.permute(0, 3, 1, 2)
    return F.avg_pool2d(values, 3, 1, 1)


def _fit(inks: Tensor, candidates: Tensor) -> Tensor:
    best = _correlation(candidates, inks).argmax(dim=1)
    glyphs = candidates[torch.arange(len(candidates)), best][:, None]
    identity, size = identity_poses(len(inks)), (inks.shape[2], inks.shape[3])
    offsets = torch.zeros_like(identity, requires_grad=True)
    optimizer = torch.optim.Adam([offsets], lr=LEARNING_RATE)
    for _ in range(STEPS):
        warped = sample_field(glyphs, affine_field(identity + offsets, size))
        cost = STIFFNESS * offsets.square().sum(dim=(1, 2)) - _correlation(warped, inks)[:, 0]
        optimizer.zero_grad()
        cost.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    poses = identity + offsets.detach()
    determinants = torch.linalg.det(poses[:, :, :2])
    sound = (determinants > 0.3) & (determinants < 3)
    return torch.where(sound[:, None, None], poses, identity)


def _correlation(maps: Tensor, inks: Tensor) -> Tensor:
    """Pearson correlation over pixels: (N, F, H, W), (N, 1, H, W) to (N, F)."""
    first = maps - maps.mean(dim=(2, 3), keepdim=True)
    second = inks - inks.mean(dim=(2, 3), keepdim=True)
    product = (first * second).sum(dim=(2, 3))
    norms = first.square().sum(dim=(2, 3)) * second.square().sum(dim=(2, 3))
    return product / norms.clamp_min(1e-8).sqrt()
