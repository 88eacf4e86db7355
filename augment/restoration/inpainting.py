"""Inpainting by an autoencoder: encode, decode, put the known pixels back, until it settles.

Bao et al., "CVAE-GAN: Fine-Grained Image Generation through Asymmetric Training", 2017,
arXiv:1703.10155, image inpainting: z = E(x̂, c), x' = G(z, c), x̂ = M ⊙ x' + (1 − M) ⊙ x.

Departures from the paper: it starts from the damaged image, we from Telea's fill of the hole, from
where fewer passes are needed; and the last pass may be blended in without a seam.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from augment.errors import RequestError
from augment.images import to_tensor, to_uint8
from augment.restoration.autoencoder import Autoencoder, check_passes, rebuild
from augment.restoration.blending import blend_poisson

__all__ = ["Blend", "Inpainted", "check_holes", "fill_by_telea", "inpaint"]

Blend = Literal["none", "poisson"]

TELEA_RADIUS = 3
"""Neighbourhood, in pixels, of the fill that the iteration starts from."""


class Inpainted(NamedTuple):
    """Repaired images and how the iteration ended for each."""

    images: Tensor  # (N, C, H, W) in [-1, 1]; known pixels bit for bit as they came
    steps: Tensor  # (N,) int64: passes made
    settled: Tensor  # (N,) bool: the last pass changed the hole by less than the tolerance


@torch.no_grad()
def inpaint(
    model: Autoencoder,
    images: Tensor,
    holes: Tensor,
    labels: Tensor | None = None,
    *,
    iterations: int = 20,
    tolerance: float = 0.004,
    blend: Blend = "poisson",
) -> Inpainted:
    """Fill holes with what the model expects there.

    Samples do not depend on each other: one that has settled stays as it is.

    Args:
        model: in eval mode.
        images: (N, C, H, W) in [-1, 1]; what lies in a hole is not looked at.
        holes: (N, 1, H, W), 1 where to be filled, 0 elsewhere.
        labels: as the model's ``encode`` takes them.
        iterations: passes at most.
        tolerance: a sample has settled when a pass changes no pixel of its hole by this much,
            where an image spans [-1, 1].
        blend: how the last pass is put into the hole.

    Raises:
        RequestError: see ``check_holes`` and ``check_passes``.
    """
    check_holes(images, holes)
    check_passes(iterations, tolerance)
    inside = holes.bool()
    x_hat = decoded = fill_by_telea(images, holes)
    settled = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    steps = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    for _ in range(iterations):
        x_prime = rebuild(model, x_hat, labels)
        change = torch.where(inside, (x_prime - x_hat).abs(), 0).amax(dim=(1, 2, 3))
        moves = ~settled[:, None, None, None]
        decoded = torch.where(moves, x_prime, decoded)
        x_hat = torch.where(moves & inside, x_prime, x_hat)
        steps += ~settled
        settled = settled | (change < tolerance)
        if settled.all():
            break
    if blend == "poisson":
        x_hat = blend_poisson(decoded, images, holes)
    return Inpainted(x_hat, steps, settled)


def check_holes(images: Tensor, holes: Tensor) -> None:
    """Check holes (N, 1, H, W) against the images (N, C, H, W) they are in.

    Raises:
        RequestError: sizes differ, or a hole is empty or the whole image.
    """
    count, _, height, width = images.shape
    if tuple(holes.shape) != (count, 1, height, width):
        raise RequestError(
            f"a hole must have the size of its image: expected {count} of {width}×{height}, got "
            f"{len(holes)} of {holes.shape[-1]}×{holes.shape[-2]}; resize one to the other."
        )
    shares = holes.bool().float().mean(dim=(1, 2, 3))
    for index in torch.nonzero((shares == 0) | (shares == 1)).flatten().tolist():
        what = "empty" if shares[index] == 0 else "the whole image"
        raise RequestError(
            f"expected a hole that leaves some pixels known, hole {index} is {what}; "
            "mark what is to be filled, and only that."
        )


def fill_by_telea(images: Tensor, holes: Tensor) -> Tensor:
    """Fill holes (N, 1, H, W) from their rims, as cv2.inpaint does: (N, C, H, W) in [-1, 1].

    Known pixels come back bit for bit; what lies in a hole is not looked at.
    """
    inside = holes.bool()
    hole_pixels = inside[:, 0].cpu().numpy().astype(np.uint8)
    damaged = to_uint8(torch.where(inside, 0, images))  # cv2.inpaint would look
    filled = [
        cv2.inpaint(image, hole, TELEA_RADIUS, cv2.INPAINT_TELEA).reshape(image.shape)
        for image, hole in zip(damaged, hole_pixels, strict=True)
    ]
    return torch.where(inside, to_tensor(np.stack(filled)).to(images), images)
