"""Bytes to images and back: base64 and image files in, base64 PNG out. No Ray."""

import base64
import binascii
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from augment.errors import ImageError, RequestError
from augment.images import Pixels, decode_image, open_picture

__all__ = [
    "MAX_IMAGE_BYTES",
    "MAX_PIXELS",
    "decode_hole",
    "decode_upload",
    "from_base64",
    "to_base64",
]

MAX_IMAGE_BYTES = 8 * 2**20
"""Largest image file, in bytes."""
MAX_PIXELS = 2**24
"""Most pixels of an image to work on, or of one that is asked for."""
HOLE_ABOVE = 127
"""Levels above this one mark a hole."""


def from_base64(text: str, *, name: str) -> bytes:
    """Return the bytes of a base64 file, with or without a ``data:image/...;base64,`` prefix.

    Args:
        text: the base64 text.
        name: what to call the file in an error.

    Raises:
        ImageError: not base64, or too large.
    """
    payload = text.partition(",")[2] if text.startswith("data:") else text
    check_size(len(payload) * 3 // 4, name)
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(
            f"{name}: expected an image file in base64, got text that is not ({error}); "
            "encode the file's bytes with standard base64."
        ) from error


def check_size(size: int, name: str) -> None:
    """Check the size of an image file, in bytes.

    Raises:
        ImageError: above MAX_IMAGE_BYTES.
    """
    if size > MAX_IMAGE_BYTES:
        raise ImageError(
            f"{name}: an image file may have up to {MAX_IMAGE_BYTES // 2**20} MiB, got about "
            f"{size / 2**20:.1f} MiB; make it smaller."
        )


def decode_upload(
    data: bytes, *, channels: int, name: str, ground: Literal["black", "white"] = "white"
) -> Pixels:
    """Decode an image file to work on.

    As ``decode_image`` does it: turned as EXIF says, 8 bits, transparency laid over ``ground``.

    Args:
        data: the file's bytes.
        channels: 1 for gray, 3 for RGB; the other kind is converted.
        name: what to call the image in an error.
        ground: what transparency is laid over.

    Returns:
        (H, W, channels) uint8.

    Raises:
        ImageError: not an image, truncated, an animation, or of unusable size.
    """
    check_size(len(data), name)
    if (picture := _opened(data)) is not None:
        check_pixels(picture.width, picture.height, name)
        if picture.format != "MPO":  # telephones add previews to a photograph
            _check_frames(picture, name)
    return decode_image(data, channels=channels, name=name, ground=ground)


def check_pixels(width: int, height: int, name: str) -> None:
    """Check the size of an image to work on, or of one that is asked for.

    Raises:
        ImageError: above MAX_PIXELS.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: expected up to {MAX_PIXELS:,} pixels in all, got {width}×{height}; "
            "make it smaller or send a part of it."
        )


def decode_hole(data: bytes, *, name: str) -> NDArray[np.bool_]:
    """Decode an image file that marks a hole in white; transparency is laid over black.

    Args:
        data: the file's bytes.
        name: what to call the image in an error.

    Returns:
        (H, W), True where to be filled.

    Raises:
        ImageError: as in ``decode_upload``.
        RequestError: nothing is marked, or everything.
    """
    levels = decode_upload(data, channels=1, name=name, ground="black")[:, :, 0]
    hole: NDArray[np.bool_] = levels > HOLE_ABOVE
    if not hole.any() or hole.all():
        raise RequestError(
            f"{name}: expected levels above {HOLE_ABOVE} (white) where the image is to be filled "
            f"and lower ones elsewhere, got {levels.min()} to {levels.max()}; mark the hole, and "
            "only that."
        )
    return hole


def to_base64(data: bytes) -> str:
    """Encode bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


def _opened(data: bytes) -> Image.Image | None:
    """An image file with its header read; None where ``decode_image`` has words for the fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ``decode_image`` has words for what matters
            return open_picture(data)
    except Exception:  # Pillow's readers raise many kinds
        return None


def _check_frames(picture: Image.Image, name: str) -> None:
    """Refuse a file of several images, or of one that what follows it is no image."""
    try:
        frames = getattr(picture, "n_frames", 1)
    except Exception as error:  # Pillow's readers raise many kinds
        raise ImageError(
            f"{name}: expected one image, got one with something after it that is none ({error}); "
            "save it anew."
        ) from error
    if frames > 1:
        raise ImageError(
            f"{name}: expected one image, got a file of {frames} (an animation or pages); "
            "send one of them."
        )
