"""Pictures that tests send to the service, and how its answers are taken apart."""

import base64
import io
from typing import Any

import httpx
import numpy as np
from PIL import Image

from augment.images import decode_image, encode_png

SIDE = 32
FLAT = np.full((SIDE, SIDE, 3), 100, np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
HOLE = np.zeros((SIDE, SIDE, 1), np.uint8)
HOLE[8:16, 10:20] = 255


def at(what: str, model: str = "faces") -> str:
    return f"/v1/models/{model}/{what}"


def png(pixels: np.ndarray) -> bytes:
    return encode_png(pixels)


def file_of(picture: Image.Image, form: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def without_palette(width: int, height: int) -> bytes:
    """A PNG of palette indices whose PLTE chunk is missing."""
    whole = file_of(Image.new("P", (width, height)))
    start = whole.index(b"PLTE") - 4
    return whole[:start] + whole[start + 12 + int.from_bytes(whole[start : start + 4]) :]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pixels_of(answer: httpx.Response, channels: int = 3) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return decode_image(answer.content, channels=channels)


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    assert set(body) == {"error"}
    return answer.status_code, body["error"]["type"], body["error"]["message"]


def rgb(level: int = 100, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    return Image.new("RGB", size, (level,) * 3)
