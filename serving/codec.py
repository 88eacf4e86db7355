"""Bytes to images and back: base64 style images in, base64 PNG out. No Ray."""

import base64
import binascii

from augment.errors import ImageError
from augment.images import Pixels, decode_image

__all__ = ["MAX_IMAGE_BYTES", "from_base64", "to_base64"]

MAX_IMAGE_BYTES = 4 * 2**20
"""Largest style image file, in bytes."""


def from_base64(text: str, *, channels: int, name: str) -> Pixels:
    """Decode a base64 image file, with or without a ``data:image/...;base64,`` prefix.

    Args:
        text: the base64 text.
        channels: 1 for gray, 3 for RGB.
        name: what to call the image in an error.

    Returns:
        (H, W, channels) uint8.

    Raises:
        ImageError: not base64, too large, or not an image that can be used.
    """
    payload = text.partition(",")[2] if text.startswith("data:") else text
    if len(payload) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise ImageError(
            f"{name}: an image file may have up to {MAX_IMAGE_BYTES // 2**20} MiB, got about "
            f"{len(payload) * 3 // 4 / 2**20:.1f} MiB; make it smaller."
        )
    try:
        data = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(
            f"{name}: expected an image file in base64, got text that is not ({error}); "
            "encode the file's bytes with standard base64."
        ) from error
    return decode_image(data, channels=channels, name=name)


def to_base64(data: bytes) -> str:
    """Encode bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")
