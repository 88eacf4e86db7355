"""Face masks: which pixels of an image are face and hair, 1 where they are.

From the user's own annotation, or for aligned faces from OpenCV's GrabCut. Faces are aligned
as LFW's and CelebA's crops are: eyes at 0.39 and mouth at 0.69 of the height.
"""

import logging
import os
import posixpath
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages
from augment.data.listing import some
from augment.data.tree import Tree
from augment.errors import DataError
from augment.images import Pixels, decode_image, resize_image

__all__ = ["CelebAMaskHQ", "FaceMasks", "GrabCutMasks", "open_face_masks"]

_LOG = logging.getLogger("labelmint.data")

_PART = re.compile(r"(?:.*/)?CelebAMask-HQ-mask-anno/\d+/(?P<number>\d{5})_(?P<part>\w+)\.png")
_PICTURE = re.compile(r"(?:.*/)?(?P<number>\d{1,5})\.\w+")  # CelebA's own have six digits
_NOT_FACE = {"cloth", "ear_r", "l_ear", "neck", "neck_l", "r_ear"}  # hair and hat stay

_CUT_SIDE = 64  # pixels; the size at which GrabCut works
_CUT_ITERATIONS = 2
_CHUNK = 256  # images read at a time
# Ellipses (center x, center y, half width, half height) in fractions of an aligned crop.
_SURE_FACE = (0.51, 0.56, 0.22, 0.30)  # brows to chin
_SURE_HAIR = (0.51, 0.12, 0.18, 0.09)  # or a bald forehead
_MAYBE_FACE = (0.51, 0.50, 0.40, 0.48)  # with hair, ears and chin
_SURE_GROUND = (0.51, 0.41, 0.54, 0.58)  # all outside of it
_PRIOR = (0.51, 0.50, 0.34, 0.43)  # the mask where GrabCut fails
_AREA_RANGE = (0.28, 0.80)  # of the image: a face and hair in such a crop


class FaceMasks(Protocol):
    """Face masks of the images of a data set.

    Attributes:
        source: where they come from, for bundles and reports.
    """

    source: str

    def find(self, data: LabelledImages, indices: Sequence[int] | None = None) -> Pixels:
        """Return the face masks of images ``indices``, all where None: (n, H, W), 1 = face."""
        ...


def open_face_masks(uri: str) -> FaceMasks:
    """Open ``grabcut:`` or ``celebamaskhq:PATH``.

    Raises:
        DataError: another scheme, or the path is unusable.
    """
    scheme, _, path = uri.partition(":")
    if scheme == "celebamaskhq":
        return CelebAMaskHQ(path)
    if uri == "grabcut:":
        return GrabCutMasks()
    raise DataError(f"expected grabcut: or celebamaskhq:PATH as face masks, got {uri!r}.")


class CelebAMaskHQ:
    """The annotation of CelebAMask-HQ (Lee et al., 2020), in its published layout.

    CelebAMask-HQ-mask-anno/0/00000_skin.png and on, one file a part of a face. All parts but
    ears and what hangs there, neck, necklace and cloth make the face mask, as in Toledo &
    Antonelo, 2021: hair is kept. Image N.jpg, N from 0, has the parts numbered N; ``celeba:``
    opens the images.
    """

    def __init__(self, path: str) -> None:
        """List the parts in the folder or zip ``path``; DataError if there are none."""
        self.source = "CelebAMask-HQ annotation"
        self._tree = Tree(path)
        self._parts: dict[int, list[str]] = {}
        for file in self._tree.files:
            match = _PART.fullmatch(file)
            if match is not None and match["part"] not in _NOT_FACE:
                self._parts.setdefault(int(match["number"]), []).append(file)
        if not self._parts:
            raise DataError(
                f"expected CelebAMask-HQ-mask-anno/0/00000_skin.png and its like in {path}, got "
                "none; name the unpacked CelebAMask-HQ folder."
            )

    def find(self, data: LabelledImages, indices: Sequence[int] | None = None) -> Pixels:
        """Return the face masks of images ``indices``, all where None: (n, H, W), 1 = face.

        Raises:
            DataError: an image's name is no number of CelebAMask-HQ, it has no parts, or parts
                that are not square and of one size.
        """
        chosen = range(len(data)) if indices is None else indices
        face_masks = np.empty((len(chosen), *data.image_size), np.uint8)
        for row, index in enumerate(chosen):
            whole = self._unite(data.names[int(index)]) * np.uint8(255)
            face_masks[row] = resize_image(whole[:, :, None], data.image_size)[:, :, 0] > 127
        return face_masks

    def _unite(self, name: str) -> NDArray[np.bool_]:
        match = _PICTURE.fullmatch(name)
        parts = [] if match is None else self._parts.get(int(match["number"]), [])
        if not parts:
            raise DataError(
                f"expected parts of {name} in {self._tree.path}, got none; face masks are those "
                "of CelebA-HQ's images 0.jpg to 29999.jpg, which celeba: opens."
            )
        layers = [
            decode_image(self._tree.store.read(file), channels=1, name=file) for file in parts
        ]
        sizes = {layer.shape[:2] for layer in layers}
        if len(sizes) > 1 or any(height != width for height, width in sizes):
            raise DataError(
                f"expected parts of {name} to be square and of one size, got "
                f"{some([f'{height}×{width}' for height, width in sorted(sizes)])} in "
                f"{posixpath.dirname(parts[0])}; copy them again."
            )
        united: NDArray[np.bool_] = np.stack(layers).max(axis=(0, 3)) > 127
        return united


class GrabCutMasks:
    """Face masks of aligned faces, by GrabCut (Rother et al., 2004) started from their alignment.

    The middle of the face is certain, a ring around it with hair and chin is to be decided, the
    corners are certain background. Where the outcome is no plausible face and hair, the mask is
    an ellipse instead; that is counted and logged. The same image always has the same mask.

    Attributes:
        source: says that these masks are estimates.
        count_of_ellipses: images so far whose mask is the ellipse.
    """

    def __init__(self) -> None:
        """Draw the prior."""
        self.source = "GrabCut from an aligned-face prior (estimated)"
        self.count_of_ellipses = 0
        size = (_CUT_SIDE, _CUT_SIDE)
        self._start = np.full(size, cv2.GC_BGD, np.uint8)
        self._start[_ellipse(_SURE_GROUND, size)] = cv2.GC_PR_BGD
        self._start[_ellipse(_MAYBE_FACE, size)] = cv2.GC_PR_FGD
        self._start[_ellipse(_SURE_FACE, size) | _ellipse(_SURE_HAIR, size)] = cv2.GC_FGD

    def find(self, data: LabelledImages, indices: Sequence[int] | None = None) -> Pixels:
        """Return the face masks of images ``indices``, all where None: (n, H, W), 1 = face."""
        chosen = range(len(data)) if indices is None else indices
        face_masks = np.empty((len(chosen), *data.image_size), np.uint8)
        given_up = 0
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # OpenCV leaves the GIL
            for start in range(0, len(chosen), _CHUNK):
                images = data.images(chosen[start : start + _CHUNK])
                for row, (face_mask, plausible) in enumerate(pool.map(self._cut, images), start):
                    face_masks[row] = face_mask
                    given_up += not plausible
        self.count_of_ellipses += given_up
        if given_up:
            _LOG.warning(
                f"GrabCut found no plausible face in {given_up:,} of {len(chosen):,} images; "
                "their face masks are an ellipse."
            )
        return face_masks

    def _cut(self, image: Pixels) -> tuple[Pixels, bool]:
        """Return the face mask (H, W) of one image (H, W, C), and whether it is GrabCut's."""
        small = resize_image(image, self._start.shape[:2])
        colours = np.ascontiguousarray(small.repeat(3, axis=2) if small.shape[2] == 1 else small)
        labels, empty = self._start.copy(), (np.zeros((1, 65)), np.zeros((1, 65)))
        cv2.setRNGSeed(0)  # its k-means draws from OpenCV's state, which each thread has of its own
        cv2.grabCut(colours, labels, None, *empty, _CUT_ITERATIONS, cv2.GC_INIT_WITH_MASK)
        face_mask = _largest_part((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
        low, high = _AREA_RANGE
        plausible = bool(low <= face_mask.mean() <= high)
        if not plausible:
            face_mask = _ellipse(_PRIOR, self._start.shape[:2]).astype(np.uint8)
        scaled = resize_image(face_mask[:, :, None] * np.uint8(255), image.shape[:2])
        return (scaled[:, :, 0] > 127).astype(np.uint8), plausible


def _ellipse(
    ellipse: tuple[float, float, float, float], size: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return (H, W), true inside an ellipse given in fractions of the image."""
    center_x, center_y, half_width, half_height = ellipse
    y = (np.arange(size[0])[:, None] + 0.5) / size[0]
    x = (np.arange(size[1]) + 0.5) / size[1]
    inside: NDArray[np.bool_] = ((x - center_x) / half_width) ** 2 + (
        (y - center_y) / half_height
    ) ** 2 <= 1
    return inside


def _largest_part(region: NDArray[np.bool_]) -> Pixels:
    """Smooth a region, keep its largest connected part and fill the holes in it: (H, W), 0 or 1."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    smooth = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    outlines, _ = cv2.findContours(smooth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled: Pixels = np.zeros_like(smooth)
    if outlines:
        cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled
