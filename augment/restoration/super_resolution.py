"""Enlarging by an autoencoder: encode, decode, and make it agree with the small image again.

The abstract of CVAE-GAN (see ``inpainting``) names super-resolution without a procedure. Ours is
the iterate of its inpainting with another constraint: instead of the known pixels, the small
image y must come back when the result is shrunk (back-projection; Irani and Peleg, 1991):

    z = E(x̂, c)        x' = G(z, c)        x̂ = x' + up(y − down(x'))

``down`` is the mean over blocks of scale × scale pixels, what cv2.INTER_AREA computes, and ``up``
a right inverse of it: bicubic, plus over each block the constant that its mean still lacks. So
down(x̂) = y after every pass, without the blocks that a constant alone would show.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from augment.errors import RequestError
from augment.images import MAX_SIDE
from augment.restoration.autoencoder import Autoencoder, check_passes, rebuild

__all__ = [
    "SCALES",
    "SuperResolved",
    "add_detail",
    "agree",
    "check_enlargement",
    "check_scale",
    "down",
    "super_resolve",
    "up",
]

SCALES = (2, 4)
"""By how much the sides can be enlarged."""


class SuperResolved(NamedTuple):
    """Enlarged images and how the iteration ended for each."""

    images: Tensor  # (N, C, scale·h, scale·w) in [-1, 1]
    steps: Tensor  # (N,) int64: passes made
    settled: Tensor  # (N,) bool: the last pass changed the image by less than the tolerance


@torch.no_grad()
def super_resolve(
    model: Autoencoder,
    images: Tensor,
    scale: int,
    labels: Tensor | None = None,
    *,
    iterations: int = 20,
    tolerance: float = 0.004,
) -> SuperResolved:
    """Enlarge images with what the model expects of them.

    Samples do not depend on each other: one that has settled stays as it is.

    Args:
        model: in eval mode, for images of ``scale`` times the size.
        images: (N, C, h, w) in [-1, 1].
        scale: 2 or 4.
        labels: as the model's ``encode`` takes them.
        iterations: passes at most.
        tolerance: a sample has settled when a pass changes no pixel of it by this much, where
            an image spans [-1, 1].

    Returns:
        Images whose ``down`` is ``images`` up to rounding.

    Raises:
        RequestError: another scale, or no pass is allowed.
    """
    check_scale(scale)
    check_passes(iterations, tolerance)
    x_hat = up(images, scale)
    settled = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    steps = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    for _ in range(iterations):
        x_prime = rebuild(model, x_hat, labels)
        projected = x_prime + up(images - down(x_prime, scale), scale)
        change = (projected - x_hat).abs().amax(dim=(1, 2, 3))
        x_hat = torch.where(settled[:, None, None, None], x_hat, projected)
        steps += ~settled
        settled = settled | (change < tolerance)
        if settled.all():
            break
    return SuperResolved(agree(x_hat, images, scale), steps, settled)


def check_scale(scale: int) -> None:
    """Check a scale.

    Raises:
        RequestError: not one of ``SCALES``.
    """
    if scale not in SCALES:
        raise RequestError(f"scale must be {' or '.join(map(str, SCALES))}; got {scale}.")


def check_enlargement(scale: int, size: tuple[int, int], longest: int) -> None:
    """Check that images can be enlarged by a model.

    Args:
        scale: by how much.
        size: (height, width) of the model's images.
        longest: side of the images to enlarge, in pixels.

    Raises:
        RequestError: another scale, one that the model's size cannot be divided by, or a result
            with a side above MAX_SIDE.
    """
    check_scale(scale)
    height, width = size
    if height % scale or width % scale:
        raise RequestError(
            f"this bundle draws {width}×{height} images, which scale {scale} does not divide; "
            "ask for another scale."
        )
    if scale * longest > MAX_SIDE:
        raise RequestError(
            f"expected a result of at most {MAX_SIDE} pixels a side, got {scale * longest}; "
            "enlarge less, or a part of the image."
        )


def down(images: Tensor, scale: int) -> Tensor:
    """Mean over blocks: (N, C, H, W) to (N, C, H / scale, W / scale)."""
    return F.avg_pool2d(images, scale)


def up(images: Tensor, scale: int) -> Tensor:
    """Enlarge linearly so that ``down`` gives ``images`` back: (N, C, h, w) to scale times it."""
    size = (images.shape[2] * scale, images.shape[3] * scale)
    smooth = F.interpolate(images, size, mode="bicubic")
    return smooth + _over_blocks(images - down(smooth, scale), scale)


def agree(enlarged: Tensor, images: Tensor, scale: int) -> Tensor:
    """Bring images into [-1, 1] and make their ``down`` equal ``images`` there.

    In a block that is too dark each pixel goes the same share of its way to white, in one that
    is too bright, to black. A constant added to all could leave the range, and clipping it
    would undo the agreement.

    Args:
        enlarged: (N, C, scale·h, scale·w).
        images: (N, C, h, w) in [-1, 1].
        scale: of the blocks.
    """
    enlarged = enlarged.clamp(-1, 1)
    means = down(enlarged, scale)
    ends = torch.where(images < means, -1.0, 1.0)
    share = torch.where(images == means, 0, (images - means) / (ends - means))
    return torch.lerp(enlarged, _over_blocks(ends, scale), _over_blocks(share, scale))


def add_detail(images: Tensor, drawn: Tensor, scale: int) -> Tensor:
    """Enlarge images of any size with the detail of pictures of them at a size of their own.

    Of x', what was drawn, only the change d against the plain enlargement is taken over, and of d
    only what y, the image, leaves open:

        d = x' − up(y)        x̂ = up(y) + d − up(down(d))

    A drawing smaller than the result lacks detail that y may have; this way none of it is lost,
    and the larger y is, the closer x̂ comes to ``up(y)``.

    Args:
        images: (N, C, h, w) in [-1, 1].
        drawn: (N, C, H', W') in [-1, 1], the same pictures; d is taken at this size and resized.
        scale: 2 or 4.

    Returns:
        (N, C, scale·h, scale·w) in [-1, 1], whose ``down`` is ``images``.
    """
    plain = up(images, scale)
    change = _resized(drawn - _resized(plain, drawn.shape[2:]), plain.shape[2:])
    return agree(plain + change - up(down(change, scale), scale), images, scale)


def _resized(images: Tensor, size: Sequence[int]) -> Tensor:
    """Resize bicubically, without aliases where that shrinks."""
    return F.interpolate(images, tuple(size), mode="bicubic", antialias=True)


def _over_blocks(images: Tensor, scale: int) -> Tensor:
    """Repeat each pixel over a block: (N, C, h, w) to (N, C, scale·h, scale·w)."""
    return images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
