"""Image files of all kinds over HTTP, and bad ones: taken alike, or refused by name."""

import io
import json
import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from sent_images import (
    FLAT,
    HOLE,
    NOISE,
    SIDE,
    at,
    b64,
    file_of,
    pixels_of,
    png,
    refusal,
    rgb,
    without_palette,
)

from serving.codec import MAX_IMAGE_BYTES

EXIF = Image.Exif()
EXIF[0x0112] = 6  # lies on its side

KINDS = {
    "gray": file_of(rgb().convert("L")),
    "palette": file_of(rgb().convert("P")),
    "jpeg": file_of(rgb(), "JPEG", quality=95),
    "16 bits": file_of(Image.fromarray(np.full((SIDE, SIDE), 100 * 257, np.uint16))),
    "16 bits of colour": cv2.imencode(".png", np.full((SIDE, SIDE, 3), 100 * 257, np.uint16))[
        1
    ].tobytes(),
    "numbers in [0, 1]": file_of(
        Image.fromarray(np.full((SIDE, SIDE), 100 / 255, np.float32)), "TIFF"
    ),
    "printing colours": file_of(Image.new("CMYK", (SIDE, SIDE), (0, 0, 0, 155)), "TIFF"),
    "colours of CIELAB": file_of(rgb().convert("LAB"), "TIFF"),
    "half transparent gray": file_of(Image.new("LA", (SIDE, SIDE), (0, 155))),
    "half transparent black": file_of(Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 155))),
    "damaged EXIF": file_of(rgb(), exif=b"no EXIF at all"),
    "photograph with a preview": file_of(
        rgb(), "MPO", save_all=True, append_images=[rgb(size=(8, 8))]
    ),
}


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_images_of_all_kinds_come_back_as_rgb(face_client: Any, data: bytes) -> None:
    answer = face_client.post(at("reconstruct"), files={"image": data})
    assert np.abs(pixels_of(answer).astype(int) - 100).max() <= 1
    assert Image.open(io.BytesIO(answer.content)).mode == "RGB"


def test_an_image_is_turned_as_its_exif_says(face_client: Any) -> None:
    wide = file_of(rgb(size=(48, SIDE)), "JPEG", exif=EXIF)
    assert pixels_of(face_client.post(at("reconstruct"), files={"image": wide})).shape[:2] == (
        48,
        32,
    )


def test_a_hole_may_be_drawn_on_transparent_ground_or_in_one_bit(face_client: Any) -> None:
    clear = np.zeros((SIDE, SIDE, 4), np.uint8)
    clear[HOLE[:, :, 0] > 0] = 255
    holes = [
        png(HOLE),
        file_of(Image.fromarray(clear)),
        file_of(Image.fromarray(clear), exif=b"no EXIF at all"),
        file_of(Image.fromarray(HOLE[:, :, 0]).convert("1")),
        file_of(Image.fromarray(HOLE.repeat(3, 2)).convert("LAB"), "TIFF"),
        file_of(Image.fromarray(np.where(HOLE[:, :, 0] > 0, 128, 127).astype(np.uint8))),
    ]
    answers = [
        face_client.post(at("inpaint"), files={"image": png(NOISE), "mask": hole}).content
        for hole in holes
    ]
    assert all(answer == answers[0] for answer in answers)


def with_a_damaged_second_page(picture: Image.Image) -> bytes:
    """A TIFF whose first page is whole, and which says that another begins at byte 5."""
    data = bytearray(file_of(picture, "TIFF", compression="tiff_adobe_deflate"))
    (page,) = struct.unpack_from("<I", data, 4)
    (fields,) = struct.unpack_from("<H", data, page)
    struct.pack_into("<I", data, page + 2 + 12 * fields, 5)
    return bytes(data)


GIF = file_of(rgb(0), "GIF", save_all=True, append_images=[rgb(50), rgb(100)])
TINY_HOLE = png(HOLE[:16, :31])
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("reconstruct", {"image": GIF}, "image: expected one image, got a file of 3"),
    ("reconstruct", {"image": GIF[:30]}, "image: expected an image file"),
    ("reconstruct", {"image": with_a_damaged_second_page(rgb())}, "something after it that is"),
    (
        "reconstruct",
        {"image": with_a_damaged_second_page(Image.new("RGB", (5000, 5000)))},
        "got 5000×5000",
    ),
    ("reconstruct", {"image": png(NOISE)[:-200]}, "image: expected an image file"),
    ("reconstruct", {"image": without_palette(SIDE, SIDE)}, "image: expected an image file"),
    ("reconstruct", {"image": b"hello"}, "do not decode"),
    ("reconstruct", {"image": b""}, "do not decode"),
    ("reconstruct", {"image": "?"}, "image: expected an image file in base64"),
    ("reconstruct", {"image": b"0" * (MAX_IMAGE_BYTES + 1)}, "up to 8 MiB, got about 8.0"),
    ("reconstruct", {"image": png(FLAT[:1])}, "sides must be 2 to 8192"),
    ("reconstruct", {"image": file_of(Image.new("L", (8000, 3000)))}, "got 8000×3000"),
    ("reconstruct", {}, "image: Field required"),
    ("reconstruct", {"image": 7}, "image: expected an image file"),
    ("reconstruct", {"image": png(FLAT), "scale": 2}, "scale: Extra inputs"),
    ("reconstruct", {"image": [png(FLAT)] * 2}, "image: expected one image file, got 2"),
    ("reconstruct", {"image": png(FLAT), "seed": -1}, "seed"),
    ("reconstruct", {"image": png(FLAT), "label": "nobody"}, "unknown label 'nobody'"),
    ("reconstruct", {"image": png(FLAT), "label": "Smiling"}, "takes no labels"),
    ("reconstruct", {"image": png(FLAT), "box": [0, 0, 33, 32]}, "32×32; got left 0, top 0"),
    ("reconstruct", {"image": png(FLAT), "box": [9, 0, 9, 32]}, "at least 2 pixels wide"),
    ("reconstruct", {"image": png(FLAT), "box": [0, 0, 9]}, "four whole numbers"),
    ("reconstruct", {"image": png(FLAT), "box": "all"}, "or 'whole'; got 'all'"),
    ("reconstruct", {"image": png(FLAT), "box": [0, 0, 9, True]}, "four whole numbers"),
    ("reconstruct", {"image": png(FLAT), "box": [0, 0, 9, 10**99]}, "inside its image"),
    ("inpaint", {"image": png(FLAT)}, "mask: Field required"),
    ("inpaint", {"image": png(FLAT), "mask": TINY_HOLE}, "image, 32×32 pixels; got 31×16"),
    ("inpaint", {"image": png(FLAT), "mask": png(0 * HOLE)}, "got 0 to 0"),
    ("inpaint", {"image": png(FLAT), "mask": png(HOLE // 255)}, "got 0 to 1"),
    ("inpaint", {"image": png(FLAT), "mask": png(0 * HOLE + 255)}, "got 255 to 255"),
    (
        "inpaint",
        {"image": png(FLAT), "mask": without_palette(SIDE, SIDE)},
        "mask: expected an image file",
    ),
    ("inpaint", {"image": png(FLAT), "mask": GIF}, "mask: expected one image"),
    ("inpaint", {"image": png(FLAT), "mask": "?"}, "mask: expected an image file in base64"),
    (
        "inpaint",
        {"image": png(FLAT), "mask": png(HOLE), "box": [0, 0, 12, 12]},
        "pixels outside it",
    ),
    (
        "inpaint",
        {"image": png(FLAT), "mask": png(HOLE), "box": [10, 8, 20, 16]},
        "0 of the box's 80 pixels are known; make the hole smaller or the box larger",
    ),
    ("inpaint", {"image": png(FLAT), "mask": png(HOLE), "blend": "soft"}, "'poisson'"),
    ("super-resolve", {"image": png(FLAT), "scale": 3}, "scale: Input should be 2 or 4"),
    ("super-resolve", {"image": png(FLAT)}, "scale: Field required"),
    (
        "super-resolve",
        {"image": file_of(Image.new("L", (2040, 1030))), "scale": 4},
        "got 8160×4120",
    ),
    (
        "super-resolve",
        {"image": file_of(Image.new("L", (4100, 9))), "scale": 2},
        "at most 8192 pixels a side, got 8200",
    ),
    ("edit", {"image": png(FLAT), "attributes": {"Beard": 1.0}}, "unknown attribute 'Beard'"),
    ("edit", {"image": png(FLAT), "attributes": {"Smiling": 1e9}}, "less than or equal to 4"),
    ("edit", {"image": png(FLAT), "attributes": {"Smiling": "1"}}, "valid number"),
    ("edit", {"image": png(FLAT), "attributes": {}}, "attributes"),
    ("edit", {"image": png(FLAT)}, "attributes: Field required"),
    ("morph", {}, "two images or two labels; got neither"),
    ("morph", {"images": [png(FLAT)]}, "at least 2"),
    ("morph", {"images": [png(FLAT)] * 2, "steps": 1}, "greater than or equal to 2"),
    ("morph", {"images": [png(FLAT)] * 2, "steps": 10**9}, "less than or equal to 256"),
    ("morph", {"images": [png(FLAT), GIF]}, "images[1]: expected one image"),
    ("morph", {"labels": ["Smiling", "Eyeglasses"]}, "takes no labels"),
]


def as_form(body: dict[str, Any]) -> dict[str, Any]:
    """A request as a form: files as files, lists part by part, the rest as JSON does."""
    parts: list[tuple[str, Any]] = []
    for name, value in body.items():
        several = isinstance(value, list) and name != "box"
        for part in value if several else [value]:
            text = part if isinstance(part, str | bytes) else json.dumps(part)
            parts.append((name, (f"{name}.png" if isinstance(part, bytes) else None, text)))
    return {"files": parts}


def as_json(body: dict[str, Any]) -> dict[str, Any]:
    """A request as JSON, its files in base64."""

    def written(value: Any) -> Any:
        if isinstance(value, list):
            return [written(part) for part in value]
        return b64(value) if isinstance(value, bytes) else value

    return {"json": {name: written(value) for name, value in body.items()}}


@pytest.mark.parametrize("write", [as_json, as_form])
def test_a_bad_request_is_refused_with_a_message_that_says_why(
    face_client: Any, write: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    wrong = []
    for what, body, message in BAD:
        request = write(body)
        if request != {"files": []}:  # which would be no form
            status, _, told = refusal(face_client.post(at(what), **request))
            wrong += [] if status == 422 and message in told else [(what, message, status, told)]
    assert wrong == []
    assert face_client.post(at("reconstruct"), files={"image": png(FLAT)}).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"image": "aGk=", "attributes": {"Smiling": NaN}}', "application/json", 422),
        (b"nothing", "multipart/form-data", 400),
        (b"nothing", "multipart/form-data; boundary=x", 400),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--",
            "multipart/form-data; boundary=x",
            400,
        ),
        (b"{}", "text/plain", 415),
    ],
)
def test_a_malformed_body_is_a_4xx(
    face_client: Any, content: bytes, kind: str, status: int
) -> None:
    answer = face_client.post(at("edit"), content=content, headers={"Content-Type": kind})
    assert refusal(answer)[0] == status


def test_forms_are_taken_only_where_images_are(face_client: Any) -> None:
    answer = face_client.post(at("generate"), files={"image": png(FLAT)})
    assert refusal(answer)[0] == 415


def test_a_bundle_that_cannot_says_what_it_offers(face_client: Any) -> None:
    inpaint = {"image": png(FLAT), "mask": png(HOLE)}
    for what, body in (("inpaint", inpaint), ("morph", {"labels": ["3", "7"]})):
        status, kind, message = refusal(face_client.post(at(what, "digits"), **as_json(body)))
        assert (status, kind) == (422, "RequestError")
        assert f"digits/1 (saae) offers no {what}; it offers: generate." in message
    missing = face_client.post(at("inpaint", "none"), **as_json(inpaint))
    assert refusal(missing)[:2] == (404, "BundleNotFoundError")
