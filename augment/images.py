"""The one image convention, and every conversion into and out of it.

Networks see ``(N, C, H, W)`` float32 in [-1, 1]; files, services and augmentation see
``(H, W, C)`` uint8 in [0, 255], RGB or gray (C = 3 or 1). A paper's sigmoid output s becomes
2s - 1 at the model's edge; likelihoods, PSNR and SSIM are computed on [0, 1].
"""

import io
import warnings
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from augment.errors import ImageError

__all__ = [
    "FORMATS",
    "MAX_SIDE",
    "MIN_SIDE",
    "Pixels",
    "decode_image",
    "encode_png",
    "open_picture",
    "resize_image",
    "tile",
    "to_levels",
    "to_tensor",
    "to_uint8",
]

Pixels = NDArray[np.uint8]

MIN_SIDE = 2
"""Shortest side, in pixels, of an image that can be used."""
MAX_SIDE = 8192
"""Longest side, in pixels; larger files are refused from their header, before decoding."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What is read, by Pillow's names, where its build has them. Not all that it knows: of an EPS file
it would run the program that it is, by Ghostscript."""


def open_picture(data: bytes) -> Image.Image:
    """Read the header of an image file in one of ``FORMATS``, and nothing more.

    Raises:
        Exception: of one of the many kinds that Pillow raises for what it cannot read.
    """
    Image.init()
    return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])


def decode_image(
    data: bytes, *, channels: int, name: str = "image", ground: Literal["black", "white"] = "white"
) -> Pixels:
    """Decode an image file in one of ``FORMATS``.

    EXIF rotation is applied where the EXIF can be read, gray of more than 8 bits is scaled to 8.
    What 32 bits mean no file says: a largest value of up to 1 (of numbers with a point), 255 or
    65535 tells.

    Args:
        data: the file's bytes.
        channels: 1 for gray, 3 for RGB.
        name: what to call the image in an error.
        ground: what transparency is laid over.

    Returns:
        (H, W, channels) uint8.

    Raises:
        ImageError: not an image, truncated, without its palette, a side outside
            [MIN_SIDE, MAX_SIDE], or 32-bit values outside all of those ranges.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of EXIF; what matters is checked here
            picture = open_picture(data)
        width, height = picture.size
        if not (min(width, height) >= MIN_SIDE and max(width, height) <= MAX_SIDE):
            raise ImageError(
                f"{name}: sides must be {MIN_SIDE} to {MAX_SIDE} pixels, got {width}×{height}; "
                "resize or leave it out."
            )
        picture.load()
        if picture.mode == "P" and picture.palette is None:  # Pillow would paint it black
            raise ImageError(
                f"{name}: expected an image file, got colours by number without the palette that "
                "they are in; replace or remove it."
            )
        return _to_pixels(_turn_upright(picture), channels, name, ground)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name}: sides must be {MIN_SIDE} to {MAX_SIDE} pixels, got far more ({error}); "
            "resize or leave it out."
        ) from error
    except Exception as error:  # Pillow's decoders raise many kinds; all mean a bad file
        unknown = isinstance(error, UnidentifiedImageError)  # whose message is about our buffer
        reason = "of no known format" if unknown else error
        raise ImageError(
            f"{name}: expected an image file, got {len(data)} bytes that do not decode ({reason}); "
            "replace or remove it."
        ) from error


def _turn_upright(picture: Image.Image) -> Image.Image:
    """Turn a loaded picture as its EXIF says; with damaged EXIF it stays as it lies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Corrupt EXIF data"
        try:
            return ImageOps.exif_transpose(picture)
        except Exception:  # Pillow's parser raises many kinds
            return picture


def _to_pixels(picture: Image.Image, channels: int, name: str, ground: str) -> Pixels:
    """(H, W, channels) of a loaded picture of any mode."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = _eight_bits(picture, name)
    elif picture.mode == "LAB":  # which Pillow turns into gray by way of RGB alone
        picture = picture.convert("RGB")
    if picture.has_transparency_data:
        overlay = picture.convert("RGBA")
        picture = Image.new("RGBA", overlay.size, ground)
        picture.alpha_composite(overlay)
    pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def _eight_bits(picture: Image.Image, name: str) -> Image.Image:
    """Scale gray of 16 or 32 bits to 8."""
    values = np.asarray(picture, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if picture.mode.startswith("I;16"):
        white = 65535
    elif low >= 0 and high <= 65535:
        white = 1 if picture.mode == "F" and high <= 1 else 255 if high <= 255 else 65535
    else:  # NaN too
        raise ImageError(
            f"{name}: expected gray values in [0, 1], [0, 255] or [0, 65535], got {low:g} to "
            f"{high:g}; scale them to 8 bits."
        )
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))


def encode_png(image: Pixels) -> bytes:
    """Encode (H, W, 1 or 3) uint8 as PNG, as fast as OpenCV does unless it is told how.

    Its least compression, named, takes nearly twice as long for a tenth fewer bytes.
    """
    pixels = image if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".png", pixels)
    if not ok:
        raise ImageError(f"cannot encode an image of shape {image.shape} as PNG.")
    encoded: bytes = data.tobytes()
    return encoded


def resize_image(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize (H, W, C) to ``size`` = (height, width): area when shrinking, linear otherwise."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    resized = cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    pixels: Pixels = resized.reshape(height, width, image.shape[2])
    return pixels


def to_tensor(images: Pixels) -> Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) float32 in [-1, 1]."""
    values = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return values.float().div_(127.5).sub_(1.0)


def to_levels(images: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] to a tensor (N, H, W, C) uint8; values outside are clipped."""
    values = images.float().add(1.0).mul(127.5).round().clamp(0, 255)
    return values.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def to_uint8(images: Tensor) -> Pixels:
    """(N, C, H, W) in [-1, 1] to (N, H, W, C) uint8; values outside are clipped."""
    return to_levels(images.detach()).cpu().numpy()


def tile(images: Pixels, columns: int, *, gap: int = 2) -> Pixels:
    """Lay (N, H, W, C) images out in a grid, row by row, on white.

    Returns:
        (rows·(H+gap) - gap, columns·(W+gap) - gap, C) uint8.
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8
    )
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet
