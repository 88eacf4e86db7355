"""Faces in images of any size: where they are, how they are cut out and put back.

A model sees aligned crops of one size. A box says which part of an image is such a crop; what the
model made of it is resized and put back, and everything else stays as it was, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.errors import ConfigError, RequestError
from augment.images import MIN_SIDE, Pixels, resize_image, to_tensor, to_uint8
from augment.restoration.blending import blend_pixels
from augment.restoration.super_resolution import add_detail

__all__ = [
    "FaceBox",
    "FaceDetector",
    "FaceFinder",
    "crop_hole",
    "crop_image",
    "find_box",
    "paste_change",
    "paste_enlarged",
    "paste_fill",
    "paste_image",
]

EYES_X, EYES_Y = (0.36, 0.66), 0.39
"""Where the eyes are in an aligned crop, as shares of its side: the mean over LFW (deep-funneled,
cropped to its central 144 of 250 pixels), as which the product's face data are cropped."""


SEARCHED = (320, 1280)
"""Longest sides, in pixels, of the pictures in which a face is looked for, in turn. YuNet knows
faces of about 10 to 300 pixels: in the first picture all but small ones, in the second those."""


@dataclass(frozen=True)
class FaceBox:
    """The part of an image that is an aligned face, in pixels; right and bottom are excluded.

    Raises:
        RequestError: a side shorter than ``MIN_SIDE``.
    """

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        """Check the size."""
        if min(self.size) < MIN_SIDE:
            raise RequestError(
                f"a face box must be at least {MIN_SIDE} pixels wide and high, with left < right "
                f"and top < bottom; got {self}."
            )

    def __str__(self) -> str:
        """The box as its four sides."""
        return f"left {self.left}, top {self.top}, right {self.right}, bottom {self.bottom}"

    @classmethod
    def whole(cls, image: Pixels) -> Self:
        """The box of an image that is an aligned crop itself."""
        return cls(0, 0, image.shape[1], image.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left

    def scaled(self, scale: int) -> "FaceBox":
        """The same part of an image enlarged by ``scale``."""
        return FaceBox(self.left * scale, self.top * scale, self.right * scale, self.bottom * scale)

    def check_inside(self, image: Pixels) -> None:
        """Check that the box lies in an image (H, W, C).

        Raises:
            RequestError: it does not; says both.
        """
        height, width = image.shape[:2]
        if self.left < 0 or self.top < 0 or self.right > width or self.bottom > height:
            raise RequestError(
                f"the face box must lie inside its image of {width}×{height}; got {self}."
            )

    def inside(self, image: Pixels) -> tuple[slice, slice]:
        """Rows and columns of ``image`` that the box covers."""
        height, width = image.shape[:2]
        return (
            slice(max(self.top, 0), min(self.bottom, height)),
            slice(max(self.left, 0), min(self.right, width)),
        )


class FaceFinder(Protocol):
    """Finds the one face of an image."""

    def find(self, image: Pixels) -> FaceBox:
        """Box of the aligned crop; it may reach beyond the image, whose edge then goes on.

        Raises:
            RequestError: no face, or several.
        """


class FaceDetector:
    """A FaceFinder by cv2.FaceDetectorYN (Wu et al., "YuNet", 2023).

    The box is the square in which the eyes lie where they lie in aligned crops.

    Args:
        detector: a cv2.FaceDetectorYN, or what answers ``setInputSize`` and ``detect`` likewise.
    """

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    @classmethod
    def load(cls, model_file: str | Path, *, threshold: float = 0.8) -> Self:
        """Load a detector.

        Args:
            model_file: YuNet in ONNX format.
            threshold: least confidence of a face, in [0, 1].

        Raises:
            ConfigError: no such file, or no model in it.
        """
        if not Path(model_file).is_file():
            raise ConfigError(
                f"expected the ONNX file of a YuNet face detector, found no file {model_file}; "
                "download one from OpenCV's model zoo, or name the face box in each request."
            )
        try:
            detector = cv2.FaceDetectorYN.create(str(model_file), "", (320, 320), threshold)
        except cv2.error as error:
            raise ConfigError(
                f"expected the ONNX file of a YuNet face detector, got {model_file}, which does "
                f"not load ({error}); download it again."
            ) from error
        return cls(detector)

    def find(self, image: Pixels) -> FaceBox:
        """As ``FaceFinder.find``."""
        height, width = image.shape[:2]
        faces: Sequence[Any] = ()
        for side in SEARCHED:
            scale = side / max(height, width)
            faces = self._faces(image, (round(height * scale), round(width * scale)))
            if len(faces) or scale >= 1:
                break
        if len(faces) != 1:
            raise RequestError(
                f"expected one face in the image of {width}×{height}, found "
                f"{len(faces) or 'none'}; name its box in the request, or all of the image if "
                "it is an aligned face."
            )
        eyes = np.asarray(faces[0][4:8], np.float64).reshape(2, 2)  # right and left eye: x, y
        return _box_of_eyes(eyes / scale)

    def _faces(self, image: Pixels, size: tuple[int, int]) -> Sequence[Any]:
        """What the detector finds in an image resized to ``size`` = (height, width)."""
        code = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
        height, width = (max(side, MIN_SIDE) for side in size)
        self.detector.setInputSize((width, height))
        _, faces = self.detector.detect(cv2.cvtColor(resize_image(image, (height, width)), code))
        return () if faces is None else faces


def _box_of_eyes(eyes: NDArray[np.float64]) -> FaceBox:
    """The box in which eyes (2, 2), each x and y in pixels, lie as in an aligned crop."""
    middle = eyes.mean(axis=0)
    side = float(np.linalg.norm(eyes[1] - eyes[0])) / (EYES_X[1] - EYES_X[0])
    left = round(middle[0] - side * (EYES_X[0] + EYES_X[1]) / 2)
    top = round(middle[1] - side * EYES_Y)
    return FaceBox(left, top, left + max(round(side), MIN_SIDE), top + max(round(side), MIN_SIDE))


def find_box(
    image: Pixels, box: FaceBox | None, finder: FaceFinder | None, size: tuple[int, int]
) -> FaceBox:
    """The box given for an image, else the one found in it, or all of it.

    All of it where there is no finder, and where the image is no larger than ``size``, the
    (height, width) of the model's images: so small it is an aligned crop already, with nothing
    around the face by which it could be found.

    Raises:
        RequestError: the box given lies outside, or the finder found no face or several.
    """
    if box is not None:
        box.check_inside(image)
        return box
    is_crop = image.shape[0] <= size[0] and image.shape[1] <= size[1]
    return FaceBox.whole(image) if finder is None or is_crop else finder.find(image)


def crop_image(image: Pixels, box: FaceBox, size: tuple[int, int] | None = None) -> Pixels:
    """Cut a box out of (H, W, C), resized to ``size`` = (height, width), if any is given.

    Where the box reaches beyond the image, the image's edge goes on.
    """
    height, width = image.shape[:2]
    rows = np.arange(box.top, box.bottom).clip(0, height - 1)
    columns = np.arange(box.left, box.right).clip(0, width - 1)
    cut: Pixels = image[rows[:, None], columns]
    return cut if size is None else resize_image(cut, size)


def crop_hole(
    hole: NDArray[np.bool_], image: Pixels, box: FaceBox, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Cut a box out of a hole (H, W) and resize it: a pixel touched by the hole is hole.

    Raises:
        RequestError: the hole has another size than the image, reaches out of the box, or
            touches every pixel of it at ``size``.
    """
    if hole.shape != image.shape[:2]:
        raise RequestError(
            f"a hole must have the size of its image, {image.shape[1]}×{image.shape[0]}; got "
            f"{hole.shape[1]}×{hole.shape[0]}: resize one to the other."
        )
    outside = hole.copy()
    outside[box.inside(image)] = False
    if outside.any():
        raise RequestError(
            f"expected a hole within the face box ({box}), got one with {outside.sum()} pixels "
            "outside it; make the hole smaller or the box larger."
        )
    reach = crop_image(hole[:, :, None].view(np.uint8), box)[:, :, 0].astype(np.float32)
    height, width = size
    smaller = (min(width, reach.shape[1]), min(height, reach.shape[0]))  # by area: nothing is lost
    covered = cv2.resize(reach, smaller, interpolation=cv2.INTER_AREA)
    covered = cv2.resize(covered, (width, height), interpolation=cv2.INTER_LINEAR)
    touched: NDArray[np.bool_] = covered > 0
    if touched.all():
        raise RequestError(
            f"expected a hole that leaves a part of the face box ({box}) known at the model's size "
            f"of {width}×{height}, got one that touches every pixel there: {(reach == 0).sum()} of "
            f"the box's {reach.size} pixels are known; make the hole smaller or the box larger."
        )
    return touched


def paste_image(
    image: Pixels, box: FaceBox, restored: Pixels, where: NDArray[np.bool_] | None = None
) -> Pixels:
    """Put a restored crop back into a copy of (H, W, C).

    Args:
        image: what was cropped.
        box: where.
        restored: (h, w, C) of any size; resized to the box.
        where: (H, W), the pixels to change, all of them in the box; None: all of the box.
    """
    pasted = image.copy()
    rows, columns = box.inside(image)
    fitting = resize_image(restored, box.size)[rows.start - box.top :, columns.start - box.left :]
    region = pasted[rows, columns]  # a view
    fitting = fitting[: region.shape[0], : region.shape[1]]
    if where is None:
        region[:] = fitting
    else:
        region[where[rows, columns]] = fitting[where[rows, columns]]
    return pasted


def paste_fill(image: Pixels, box: FaceBox, filled: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """Put a filled crop into the hole of a copy of (H, W, C), without a seam at its full size.

    Args:
        image: what was cropped.
        box: where.
        filled: (h, w, C) of any size; resized to the box.
        hole: (H, W), the pixels to change, all of them in the box, and not all of the box.
    """
    pasted, part = paste_image(image, box, filled), box.inside(image)
    pasted[part] = blend_pixels(pasted[part], image[part], hole[part])
    return pasted


def paste_change(image: Pixels, box: FaceBox, change: NDArray[np.float32]) -> Pixels:
    """Add a change to the box of (H, W, C), at its full size.

    Args:
        image: what was cropped.
        box: where.
        change: (h, w, C) of any size, in levels, of either sign.
    """
    crop = crop_image(image, box)
    height, width = box.size
    fitting = cv2.resize(change, (width, height)).reshape(crop.shape)
    changed = np.clip(np.rint(crop + fitting), 0, 255).astype(np.uint8)
    return paste_image(image, box, changed)


def paste_enlarged(image: Pixels, box: FaceBox, face: Pixels, scale: int) -> Pixels:
    """Enlarge (H, W, C) bicubically, and give its box the detail of a face drawn of it.

    Args:
        image: the small image.
        box: where its face is.
        face: (h, w, C) of any size; what it has more than the box goes in, see ``add_detail``.
        scale: 2 or 4.
    """
    height, width = image.shape[0] * scale, image.shape[1] * scale
    enlarged = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    crop = to_tensor(crop_image(image, box)[None])
    detailed = to_uint8(add_detail(crop, to_tensor(face[None]), scale))[0]
    return paste_image(enlarged.reshape(height, width, -1), box.scaled(scale), detailed)
