"""Seams: fill a hole so that it meets the known pixels without an edge.

Pérez, Gangnet and Blake, "Poisson Image Editing", 2003, Eq. 2 and Sec. 2.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from augment.images import Pixels

__all__ = ["MAX_UNKNOWNS", "blend_pixels", "blend_poisson"]

MAX_UNKNOWNS = 2**17
"""Most pixels of a hole in a large image that are solved for: a second, and 150 MiB."""


def blend_poisson(sources: Tensor, images: Tensor, holes: Tensor) -> Tensor:
    """Fill holes with the gradients of ``sources`` and the known pixels of ``images`` around them.

    Inside a hole the result is the source plus a membrane (a harmonic function) that equals
    ``images`` − ``sources`` at the known pixels next to the hole; the border of the image is
    free. The membrane is solved for exactly, so known pixels are never touched, unlike in
    cv2.seamlessClone, which shrinks the hole, works in 8 bits and wants it off the border.

    Args:
        sources: (N, C, H, W) in [-1, 1], for the inside.
        images: (N, C, H, W) in [-1, 1], for the outside.
        holes: (N, 1, H, W), 1 where to be filled; none of them the whole image.

    Returns:
        (N, C, H, W) in [-1, 1]; ``images``, bit for bit, outside the holes.
    """
    inside = holes[:, 0].bool().cpu().numpy()
    differences = (images - sources).double().cpu().numpy()  # (N, C, H, W)
    membranes = np.zeros_like(differences)
    for row, hole in enumerate(inside):
        if hole.any():
            membranes[row][:, hole] = _membrane(differences[row], hole)
    blended = (sources + torch.from_numpy(membranes).to(sources)).clamp(-1, 1)
    return torch.where(holes.bool(), blended, images)


def blend_pixels(source: Pixels, image: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """Do what ``blend_poisson`` does, in an image of any size.

    A hole of more than MAX_UNKNOWNS pixels is shrunk to that many, by the mean difference of the
    known pixels, and its membrane enlarged: smooth as it is, little is lost.

    Args:
        source: (H, W, C), for the inside.
        image: (H, W, C), for the outside.
        hole: (H, W), True where to be filled; not all of it.

    Returns:
        (H, W, C); ``image``, bit for bit, outside the hole.
    """
    left, top, width, height = cv2.boundingRect(hole.astype(np.uint8))
    part = np.s_[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
    inside = hole[part]
    known = (~inside).astype(np.float32)
    differences = (image[part].astype(np.float32) - source[part]) * known[:, :, None]
    shrink = min(1.0, (MAX_UNKNOWNS / max(int(inside.sum()), 1)) ** 0.5)
    height, width = (max(round(side * shrink), 1) for side in inside.shape)
    shares = cv2.resize(known, (width, height), interpolation=cv2.INTER_AREA)[:, :, None]
    membrane = cv2.resize(differences, (width, height), interpolation=cv2.INTER_AREA)
    membrane = membrane.reshape(height, width, -1) / np.where(shares == 0, 1, shares)
    unknown = shares[:, :, 0] == 0
    if unknown.any():
        around = membrane.transpose(2, 0, 1).astype(np.float64)
        membrane[unknown] = _membrane(around, unknown).T
    membrane = cv2.resize(membrane, inside.shape[::-1]).reshape(differences.shape)
    blended = image.copy()
    filled = np.clip(np.rint(source[part] + membrane), 0, 255).astype(np.uint8)
    blended[part][inside] = filled[inside]
    return blended


def _membrane(differences: NDArray[np.float64], hole: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values (C, n) at the n pixels of a hole, harmonic there, given (C, H, W) around it."""
    image = np.pad(np.ones(hole.shape), 1)  # 0 beyond the border, where there is no neighbour
    known = np.pad(np.where(hole, 0.0, differences), ((0, 0), (1, 1), (1, 1)))
    hole = np.pad(hole, 1)
    y, x = np.nonzero(hole)
    number = np.zeros(hole.shape, np.int64)
    number[y, x] = np.arange(len(y))
    degrees = np.zeros(len(y))
    boundary = np.zeros((len(y), len(differences)))
    pairs = []
    for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
        degrees += image[ny, nx]
        boundary += known[:, ny, nx].T
        inside = np.flatnonzero(hole[ny, nx])
        pairs.append((inside, number[ny, nx][inside]))
    rows, columns = np.concatenate(pairs, axis=1)
    adjacent = sparse.csc_matrix((np.ones(len(rows)), (rows, columns)), (len(y), len(y)))
    laplacian = sparse.diags(degrees, format="csc") - adjacent
    membrane: NDArray[np.float64] = splu(laplacian).solve(boundary)
    return membrane.T
