"""How a photographed line stands: the affine map from its rendered text to its image.

As for single characters (``augment.data.poses``) a pose says ink(p) ≈ content(pose · p), with p in
[-1, 1]² over the image. A line repeats itself, one character's width on it nearly fits again, so
the search starts from a grid of scales and tilts on blurred pictures, and then climbs. Neither
colours nor polarity are known, so pictures are compared by local contrast and up to sign.
"""

from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from augment.layers import affine_field, sample_field

__all__ = ["LineFits", "compose", "fit_lines", "guess_polarity", "keep_inside", "sample_boxes"]

SCALES_X = (1.0, 1.12, 1.3)
SCALES_Y = (1.0, 1.3, 1.6)
SHIFTS_X = (-0.1, 0.0, 0.1)
TILTS = (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6)
"""Where the search starts: image sides over content sides, half-widths to the right, and
half-heights climbed by a half-width."""
TRIED = 6
"""Starts that are climbed from, at half the size; the best of them is climbed on at full size."""
COARSE_STEPS, FINE_STEPS = 15, 40
LEARNING_RATE = 0.02
STIFFNESS = 0.02
"""Price of leaving the start, against a correlation in [0, 1]."""
FIT_CHUNK = 128
"""Lines fitted at a time."""
INSIDE = 0.98
"""How far from the middle of an image lent poses may carry ink, in half-sides."""


class LineFits(NamedTuple):
    """How lines stand in their images."""

    poses: Tensor  # (N, 2, 3)
    looks: Tensor  # (N,) which of the candidate pictures fits best
    polarities: Tensor  # (N,) 1 where ink is brighter than its ground, -1 where it is darker
    correlations: Tensor  # (N,) in [0, 1]


def fit_lines(images: Tensor, contents: Tensor) -> LineFits:
    """Register each line's rendered text to its image.

    Args:
        images: (N, C, H, W) in [-1, 1].
        contents: (N, L, h, w) in [0, 1], the line's text in L looks; of the image's proportions.

    Returns:
        Poses that hold for any size of the same pictures.
    """
    fits = [
        _fit(images[start : start + FIT_CHUNK], contents[start : start + FIT_CHUNK])
        for start in range(0, len(images), FIT_CHUNK)
    ]
    return LineFits(*(torch.cat(parts) for parts in zip(*fits, strict=True)))


def guess_polarity(images: Tensor) -> Tensor:
    """Whether ink is brighter (1) or darker (-1) than its ground: (N, C, H, W) to (N,).

    Ink covers less than half of a line, so what stands out stands out on its side.
    """
    gray = _local_contrast(images.float().mean(dim=1, keepdim=True)).flatten(1)
    spread = gray - gray.median(dim=1, keepdim=True).values
    return torch.where(spread.pow(3).mean(dim=1) < 0, -1.0, 1.0)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The affine map outer · inner: (..., 2, 3) twice to (..., 2, 3)."""
    matrix = outer[..., :2] @ inner[..., :2]
    shift = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]
    return torch.cat([matrix, shift], dim=-1)


def keep_inside(poses: Tensor, edges: Tensor) -> Tensor:
    """Shift, and where need be shrink, what a pose would push over the border of the image.

    Args:
        poses: (N, 2, 3).
        edges: (N, 4) left, top, right and bottom of the ink in the content's [-1, 1]².

    Returns:
        (N, 2, 3) poses under which the ink's box lies within ``INSIDE``; the same where it did.
    """
    left, top, right, bottom = edges.unbind(dim=1)
    x, y = torch.stack([left, right, left, right]), torch.stack([top, top, bottom, bottom])
    corners = torch.stack([x, y]).permute(2, 0, 1)  # (N, 2, 4)
    matrix, shift = poses[:, :, :2], poses[:, :, 2:]
    placed = torch.linalg.solve(matrix, corners - shift)
    least, most = placed.amin(dim=2), placed.amax(dim=2)  # (N, 2)
    scale = (2 * INSIDE / (most - least)).clamp(max=1)
    centre, half = (least + most) / 2, scale * (most - least) / 2
    moved = torch.minimum(torch.maximum(centre, half - INSIDE), INSIDE - half)
    back = torch.cat([torch.diag_embed(1 / scale), (centre - moved / scale)[:, :, None]], dim=2)
    return compose(poses, back)


def sample_boxes(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut boxes out of images, one affine map a box.

    Args:
        images: (N, C, H, W).
        boxes: (N, B, 2, 3), from a box's [-1, 1]² to the image's.
        size: (h, w) of what is cut out.

    Returns:
        (N, B, C, h, w); beyond the border the image is repeated.
    """
    count, number = boxes.shape[:2]
    field = affine_field(boxes.flatten(0, 1), size).view(count, number, 2, *size)
    stacked = field.transpose(1, 2).flatten(2, 3)  # (N, 2, B·h, w)
    crops = sample_field(images.float(), stacked, padding="border")
    return crops.view(count, -1, number, *size).transpose(1, 2)


def _fit(images: Tensor, contents: Tensor) -> LineFits:
    gray = _local_contrast(images.float().mean(dim=1, keepdim=True))
    pictures = _local_contrast(contents.float())
    starts, signs = _starts(gray, pictures[:, :1])  # (N, K, 2, 3), (N, K)
    count, tried = starts.shape[:2]
    inks = (gray[:, None] * signs[:, :, None, None, None]).clamp_min(0).flatten(0, 1)
    first = pictures[:, :1].repeat_interleave(tried, dim=0)
    coarse = _climb(starts.flatten(0, 1), _halved(first), _halved(inks), COARSE_STEPS)
    best = _correlation_at(coarse, _halved(first), _halved(inks)).view(count, tried).argmax(dim=1)
    rows = torch.arange(count) * tried + best
    poses, ink = coarse[rows], F.avg_pool2d(inks[rows], 3, 1, 1)
    smooth = F.avg_pool2d(pictures, 3, 1, 1)
    fits = [_correlation_at(poses, smooth[:, [look]], ink) for look in range(smooth.shape[1])]
    looks = torch.stack(fits, dim=1).argmax(dim=1)
    chosen = smooth[torch.arange(count), looks][:, None]
    poses = _climb(poses, chosen, ink, FINE_STEPS)
    correlations = _correlation_at(poses, chosen, ink).clamp(0, 1)
    return LineFits(poses, looks, signs[torch.arange(count), best], correlations)


@torch.no_grad()
def _starts(gray: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The starts under which each blurred picture fits best, with polarities (1 or -1)."""
    blurred, smooth = (F.avg_pool2d(_halved(maps), 3, 1, 1) for maps in (gray, pictures))
    grid = product(SCALES_X, SCALES_Y, SHIFTS_X, TILTS)
    starts = torch.tensor([[[x, 0.0, -x * dx], [tilt, y, 0.0]] for x, y, dx, tilt in grid])
    found = [_correlation_at(start.expand(len(gray), 2, 3), smooth, blurred) for start in starts]
    table = torch.stack(found, dim=1)  # (N, starts)
    best = table.abs().topk(TRIED, dim=1).indices
    return starts[best], torch.where(table.gather(1, best) < 0, -1.0, 1.0)


def _climb(starts: Tensor, pictures: Tensor, targets: Tensor, steps: int) -> Tensor:
    """Gradient ascent on the correlation; a pose that collapses falls back to its start."""
    offsets = torch.zeros_like(starts, requires_grad=True)
    optimizer = torch.optim.Adam([offsets], lr=LEARNING_RATE)
    for _ in range(steps):
        fit = _correlation_at(starts + offsets, pictures, targets)
        cost = STIFFNESS * offsets.square().sum(dim=(1, 2)) - fit
        optimizer.zero_grad()
        cost.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    poses = starts + offsets.detach()
    determinants = torch.linalg.det(poses[:, :, :2])
    sound = (determinants > 0.3) & (determinants < 4)
    return torch.where(sound[:, None, None], poses, starts)


def _correlation_at(poses: Tensor, pictures: Tensor, targets: Tensor) -> Tensor:
    """How pictures in poses correlate with targets: (N,)."""
    field = affine_field(poses, (targets.shape[2], targets.shape[3]))
    return _correlation(sample_field(pictures, field), targets)


def _halved(maps: Tensor) -> Tensor:
    return F.avg_pool2d(maps, 2)


def _local_contrast(maps: Tensor) -> Tensor:
    """What stands out from its surroundings: (N, C, H, W) minus its own wide blur."""
    reach = maps.shape[2] // 4
    padded = F.pad(maps, (reach,) * 4, mode="replicate")
    return maps - F.avg_pool2d(padded, 2 * reach + 1, 1)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation of pixels: (N, 1, H, W) twice to (N,)."""
    first = first - first.mean(dim=(1, 2, 3), keepdim=True)
    second = second - second.mean(dim=(1, 2, 3), keepdim=True)
    norms = first.square().sum(dim=(1, 2, 3)) * second.square().sum(dim=(1, 2, 3))
    return (first * second).sum(dim=(1, 2, 3)) / norms.clamp_min(1e-8).sqrt()
