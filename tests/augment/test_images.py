import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, features
from sent_images import without_palette

from augment.errors import AugmentError, DataError, ImageError
from augment.images import (
    FORMATS,
    MAX_SIDE,
    decode_image,
    encode_png,
    resize_image,
    tile,
    to_tensor,
    to_uint8,
)


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_png_round_trip_keeps_every_pixel(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, channels), dtype=np.uint8)
    np.testing.assert_array_equal(decode_image(encode_png(image), channels=channels), image)


def test_colour_order_is_rgb() -> None:
    red = decode_image(encode(Image.new("RGB", (4, 4), (255, 0, 0))), channels=3)
    assert red[0, 0].tolist() == [255, 0, 0]


def test_every_uint8_level_survives_the_way_through_a_tensor() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    tensor = to_tensor(levels)
    assert tensor.shape == (1, 1, 16, 16)
    assert tensor.dtype == torch.float32
    assert (float(tensor.min()), float(tensor.max())) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_uint8(tensor), levels)


def test_values_outside_the_range_are_clipped_not_wrapped() -> None:
    pixels = to_uint8(torch.tensor([-1.5, 1.5]).reshape(1, 1, 1, 2))
    assert pixels.ravel().tolist() == [0, 255]


def test_sixteen_bit_gray_is_scaled_to_eight() -> None:
    picture = Image.fromarray(np.array([[0, 65535], [32896, 257]], np.uint16))
    assert decode_image(encode(picture), channels=1).ravel().tolist() == [0, 255, 128, 1]


def test_a_dark_picture_of_sixteen_bits_stays_dark() -> None:
    picture = Image.fromarray(np.array([[0, 100], [129, 255]], np.uint16))
    assert decode_image(encode(picture), channels=1).ravel().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.float32([0, 0.2, 1]), [0, 51, 255]),
        (np.float32([0, 51, 254.6]), [0, 51, 255]),
        (np.float32([0, 13107, 65535]), [0, 51, 255]),
        (np.int32([0, 1, 1]), [0, 1, 1]),
        (np.int32([0, 51, 255]), [0, 51, 255]),
        (np.int32([0, 13107, 65535]), [0, 51, 255]),
    ],
)
def test_the_largest_of_32_bit_values_tells_what_white_is(
    values: np.ndarray, levels: list[int]
) -> None:
    picture = Image.fromarray(np.stack([values, values]))
    pixels = decode_image(encode(picture, "TIFF"), channels=1)
    assert pixels[..., 0].tolist() == [levels, levels]


@pytest.mark.parametrize("value", [-0.5, 70_000, np.nan, np.inf])
def test_values_that_are_no_gray_levels_are_refused(value: float) -> None:
    picture = Image.fromarray(np.full((2, 2), value, np.float32))
    with pytest.raises(ImageError, match=r"f\.tif: expected gray values in \[0, 1\]"):
        decode_image(encode(picture, "TIFF"), channels=1, name="f.tif")


def test_transparency_is_laid_over_white() -> None:
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert decode_image(encode(picture), channels=3).min() == 255
    assert decode_image(encode(picture), channels=3, ground="black").max() == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"),
        ("P", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("CMYK", "TIFF"),
        ("LAB", "TIFF"),
        ("RGBX", "TIFF"),
        ("YCbCr", "TIFF"),
    ],
)
def test_every_mode_of_colour_becomes_gray_or_rgb(mode: str, kind: str, channels: int) -> None:
    data = encode(Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode), kind)
    pixels = decode_image(data, channels=channels)
    assert pixels.shape == (4, 4, channels)
    assert pixels.min() >= 253


@pytest.mark.parametrize("ground", ["black", "white"])
def test_a_palette_image_without_its_palette_is_refused(ground: Any) -> None:
    with pytest.raises(ImageError, match=r"p\.png: expected .* without the palette"):
        decode_image(without_palette(5, 5), channels=1, name="p.png", ground=ground)


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    data = encode(Image.new("RGB", (8, 4)), "JPEG", exif=exif)
    assert decode_image(data, channels=1).shape == (8, 4, 1)


@pytest.mark.parametrize("kind", ["PNG", "WebP", "JPEG"])
@pytest.mark.parametrize(
    "exif",
    [b"no EXIF at all", b"Exif\0\0MM\0*\0\0", b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12"],
    ids=["garbage", "without a first directory", "cut in the middle of an entry"],
)
def test_damaged_exif_leaves_a_picture_as_it_lies(exif: bytes, kind: str) -> None:
    data = encode(Image.new("RGB", (8, 4), (90, 90, 90)), kind, exif=exif)
    pixels = decode_image(data, channels=1)
    assert pixels.shape == (4, 8, 1)
    assert np.abs(pixels.astype(int) - 90).max() <= 1


@pytest.mark.parametrize("keep", [0, 10, 60])
def test_a_truncated_image_is_named(keep: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise))[:keep]
    with pytest.raises(ImageError, match=r"A/7\.png.*do not decode"):
        decode_image(data, channels=3, name="A/7.png")


def test_a_truncated_jpeg_is_an_error_not_a_gray_half() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), "JPEG")
    with pytest.raises(ImageError, match="do not decode"):
        decode_image(data[: len(data) // 2], channels=3)


def test_text_is_not_an_image() -> None:
    with pytest.raises(ImageError, match="expected an image file"):
        decode_image(b"file,label\n", channels=1)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_is_read_is_read(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this build of Pillow has no AVIF")
    picture = decode_image(encode(Image.new("RGB", (8, 8), (0, 100, 200)), kind), channels=3)
    assert np.abs(picture.astype(int) - (0, 100, 200)).max() <= 3


def test_a_program_for_a_printer_is_not_run() -> None:
    """Pillow would hand an EPS file to Ghostscript, whatever it says and however long it takes."""
    with pytest.raises(ImageError, match="of no known format"):
        decode_image(encode(Image.new("RGB", (8, 8)), "EPS"), channels=3)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (MAX_SIDE + 1, 3)])
def test_an_unusable_size_is_told(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"got {size[0]}×{size[1]}"):
        decode_image(encode(Image.new("L", size)), channels=1)


def test_a_huge_image_is_refused_without_decoding_it() -> None:
    data = encode(Image.new("1", (20_000, 20_000)))
    assert len(data) < 1 << 20  # 400 million pixels would be 400 MB
    with pytest.raises(ImageError, match=r"20000×20000|400000000 pixels"):
        decode_image(data, channels=1)


def test_image_errors_are_data_errors_and_value_errors() -> None:
    assert issubclass(ImageError, DataError)
    assert issubclass(DataError, AugmentError)
    assert issubclass(DataError, ValueError)


def test_resizing_keeps_a_flat_colour_and_channels() -> None:
    image = np.full((10, 6, 3), 77, np.uint8)
    for size in ((5, 3), (20, 24), (10, 6)):
        resized = resize_image(image, size)
        assert resized.shape == (*size, 3)
        assert np.unique(resized).tolist() == [77]


def test_tile_lays_images_out_row_by_row() -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    sheet = tile(images, 2, gap=1)
    assert sheet.shape == (5, 5, 1)
    assert sheet[:, :, 0][[0, 0, 3], [0, 3, 0]].tolist() == [0, 1, 2]
    assert sheet[4, 4, 0] == 255  # the empty place
