"""Seams: fill a hole so that it meets the known pixels without an edge.

Pérez, Gangnet and Blake, "Poisson Image Editing", 2003, Eq. 2 and Sec. 2.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

__all__ = ["blend_poisson"]


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
