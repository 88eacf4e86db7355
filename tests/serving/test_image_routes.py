"""What takes images, over HTTP in process: a model that knows an image by its mean alone."""

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from augment.errors import RequestError
from augment.images import decode_image, encode_png
from augment.restoration.faces import FaceBox
from serving.app import create_app
from serving.catalog import Catalog
from serving.codec import MAX_IMAGE_BYTES
from serving.fulfilment import LocalBackend
from serving.models import Models
from serving.schemas import ServeArguments

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


# --- what they do ----------------------------------------------------------------------------


def test_models_say_what_they_offer_and_which_attributes_they_know(face_client: Any) -> None:
    detail = face_client.get("/v1/models/faces").json()
    assert detail["capabilities"] == [
        *("generate", "reconstruct", "morph", "inpaint", "super-resolve", "edit")
    ]
    assert detail["attributes"] == ["Smiling", "Eyeglasses"]
    listed = {m["name"]: m for m in face_client.get("/v1/models").json()["models"]}
    assert listed["faces"]["capabilities"] == detail["capabilities"]
    assert listed["faces"]["attributes"] == detail["attributes"]
    assert listed["digits"]["capabilities"] == ["generate"]


def test_a_reconstruction_is_the_models_and_comes_as_png_with_a_seed(face_client: Any) -> None:
    answer = face_client.post(at("reconstruct"), files={"image": png(NOISE)})
    assert np.ptp(pixels_of(answer).astype(int)) == 0
    assert abs(int(pixels_of(answer)[0, 0, 0]) - NOISE.mean()) < 1
    assert int(answer.headers["x-seed"]) >= 0
    assert answer.headers["x-bundle"] == face_client.get("/v1/models/faces").json()["digest"]
    again = face_client.post(at("reconstruct", "faces/1"), files={"image": png(NOISE)})
    assert again.content == answer.content


def test_inpainting_fills_the_hole_and_returns_known_pixels_unchanged(face_client: Any) -> None:
    files = {"image": png(NOISE), "mask": png(HOLE)}
    for blend in ("none", "poisson"):
        answer = face_client.post(at("inpaint"), files=files, data={"seed": "7", "blend": blend})
        inside = HOLE[:, :, 0] > 0
        assert np.array_equal(pixels_of(answer)[~inside], NOISE[~inside])
        assert not np.array_equal(pixels_of(answer)[inside], NOISE[inside])
        assert answer.headers["x-seed"] == "7"


@pytest.mark.parametrize("scale", [2, 4])
def test_super_resolution_enlarges_by_the_scale(face_client: Any, scale: int) -> None:
    small = cv2.resize(NOISE, (SIDE // scale, 12 // scale))
    answer = face_client.post(
        at("super-resolve"), files={"image": png(small)}, data={"scale": scale}
    )
    large = pixels_of(answer)
    assert large.shape == (12 // scale * scale, SIDE, 3)
    back = cv2.resize(large, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(back.astype(int) - small).max() <= 1


def test_an_edit_adds_attributes_by_their_strengths(face_client: Any) -> None:
    wanted = {"Smiling": 1.0, "Eyeglasses": -0.5}  # 0.24 and -0.48 of [-1, 1]
    form = face_client.post(
        at("edit"), files={"image": png(FLAT)}, data={"attributes": json.dumps(wanted)}
    )
    assert pixels_of(form).mean() == round(100 + (0.24 + 0.24) * 127.5)


def test_only_the_box_of_the_face_changes(face_client: Any) -> None:
    wide = cv2.resize(NOISE, (80, 60))
    answer = face_client.post(
        at("reconstruct"), json={"image": b64(png(wide)), "box": [20, 10, 52, 42]}
    )
    inside = np.zeros((60, 80), bool)
    inside[10:42, 20:52] = True
    assert np.array_equal(pixels_of(answer)[~inside], wide[~inside])
    assert np.ptp(pixels_of(answer)[inside].astype(int)) == 0


def test_a_form_and_json_with_base64_are_answered_alike(face_client: Any) -> None:
    files, data = {"image": png(NOISE), "mask": png(HOLE)}, {"seed": "1", "box": "[0, 0, 32, 32]"}
    form = face_client.post(at("inpaint"), files=files, data=data)
    body = {name: b64(file) for name, file in files.items()}
    body["mask"] = "data:image/png;base64," + body["mask"]
    told = face_client.post(at("inpaint"), json={**body, "seed": 1, "box": [0, 0, 32, 32]})
    assert form.status_code == 200
    assert told.content == form.content


BLACK, WHITE = np.zeros((SIDE, SIDE, 3), np.uint8), np.full((SIDE, SIDE, 3), 255, np.uint8)
LEVELS = [0, 51, 102, 153, 204, 255]


def test_a_morph_comes_as_a_strip_as_json_or_as_a_zip(face_client: Any) -> None:
    files = [("images", png(BLACK)), ("images", png(WHITE))]

    def ask(**headers: str) -> httpx.Response:
        return face_client.post(at("morph"), files=files, data={"steps": 6}, headers=headers)

    strip = pixels_of(ask())
    assert strip.shape == (SIDE, 6 * SIDE, 3)
    assert [int(strip[0, i * SIDE, 0]) for i in range(6)] == LEVELS
    told = ask(Accept="application/json").json()
    frames = [decode_image(base64.b64decode(f), channels=3) for f in told["frames"]]
    assert [int(frame.mean()) for frame in frames] == LEVELS
    assert (told["width"], told["height"]) == (SIDE, SIDE)
    zipped = ask(Accept="application/zip")
    assert zipped.headers["content-type"] == "application/zip"
    assert ask(Accept="application/zip").content == zipped.content
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        assert archive.namelist() == [f"frame-{i:03d}.png" for i in range(6)]
        assert decode_image(archive.read("frame-003.png"), channels=3).mean() == LEVELS[3]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("application/json", "application/json"),
        ("application/json, image/png;q=0.5", "application/json"),
        ("image/png;q=0, */*", "application/json"),
        ("text/html, */*;q=0.1", "image/png"),
    ],
)
def test_the_answer_is_of_the_kind_that_is_accepted(
    face_client: Any, accept: str, expected: str
) -> None:
    body = {"image": b64(png(FLAT)), "seed": 5}
    answer = face_client.post(at("reconstruct"), json=body, headers={"Accept": accept})
    assert answer.headers["content-type"] == expected
    assert answer.headers["vary"] == "Accept"
    if expected == "application/json":
        told = answer.json()
        assert (told["model"], told["seed"], told["width"]) == ("faces/1", 5, SIDE)
        assert decode_image(base64.b64decode(told["png"]), channels=3).mean() == 100


def test_an_answer_that_nobody_can_give_is_a_406(face_client: Any) -> None:
    body = {"image": b64(png(FLAT))}
    for accept in ("image/webp", "application/zip", "image/*;q=0"):
        answer = face_client.post(at("reconstruct"), json=body, headers={"Accept": accept})
        status, kind, message = refusal(answer)
        assert (status, kind) == (406, "NotAcceptableError")
        assert "image/png or application/json" in message


def test_images_do_not_depend_on_the_seed_and_the_api_description_says_so(
    face_client: Any,
) -> None:
    body = {"image": b64(png(NOISE)), "mask": b64(png(HOLE))}
    answers = [face_client.post(at("inpaint"), json={**body, "seed": seed}) for seed in (1, 2)]
    assert [answer.headers["x-seed"] for answer in answers] == ["1", "2"]
    assert answers[0].content == answers[1].content
    paths = face_client.get("/openapi.json").json()["paths"]
    for what in ("inpaint", "super-resolve", "edit", "reconstruct"):
        content = paths[f"/v1/models/{{name}}/{what}"]["post"]["requestBody"]["content"]
        seed = content["application/json"]["schema"]["properties"]["seed"]
        assert "does not depend on it" in seed["description"]


def test_the_api_description_names_both_ways_to_send_an_image(face_client: Any) -> None:
    paths = face_client.get("/openapi.json").json()["paths"]
    for what, fields in (("inpaint", {"image", "mask"}), ("morph", {"images"})):
        body = paths[at(what, "{name}")]["post"]["requestBody"]["content"]
        for kind, coding in (("multipart/form-data", "binary"), ("application/json", "byte")):
            properties = body[kind]["schema"]["properties"]
            assert fields < set(properties)
            assert f'"format": "{coding}"' in json.dumps(properties)


# --- files of all kinds ----------------------------------------------------------------------


def rgb(level: int = 100, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    return Image.new("RGB", size, (level,) * 3)


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
        file_of(Image.fromarray(np.where(HOLE[:, :, 0] > 0, 128, 127).astype(np.uint8))),
    ]
    answers = [
        face_client.post(at("inpaint"), files={"image": png(NOISE), "mask": hole}).content
        for hole in holes
    ]
    assert all(answer == answers[0] for answer in answers)


# --- bad input -------------------------------------------------------------------------------

GIF = file_of(rgb(0), "GIF", save_all=True, append_images=[rgb(50), rgb(100)])
TINY_HOLE = png(HOLE[:16, :31])
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("reconstruct", {"image": GIF}, "image: expected one image, got a file of 3"),
    ("reconstruct", {"image": GIF[:30]}, "image: expected an image file"),
    ("reconstruct", {"image": png(NOISE)[:-200]}, "image: expected an image file"),
    ("reconstruct", {"image": b"hello"}, "do not decode"),
    ("reconstruct", {"image": b""}, "do not decode"),
    ("reconstruct", {"image": "?"}, "image: expected an image file in base64"),
    ("reconstruct", {"image": b"0" * (MAX_IMAGE_BYTES + 1)}, "up to 8 MiB, got about 8.0"),
    ("reconstruct", {"image": png(FLAT[:1])}, "sides must be 2 to 8192"),
    ("reconstruct", {"image": file_of(Image.new("L", (8000, 3000)))}, "got 8000×3000"),
    ("reconstruct", {}, "image: Field required"),
    ("reconstruct", {"image": 7}, "image: expected an image file"),
    ("reconstruct", {"image": png(FLAT), "scale": 2}, "scale: Extra inputs"),
    ("reconstruct", {"image": [png(FLAT)] * 2}, "image: expected an image file"),
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
        "hole 0 is the whole image",
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


# --- faces that have to be found -------------------------------------------------------------


class KnownFinder:
    """Finds as many faces as the first level says; one lies at the left top and beyond."""

    def find(self, image: np.ndarray) -> FaceBox:
        count = int(image[0, 0, 0])
        if count != 1:
            raise RequestError(f"expected one face in the image, found {count or 'none'}.")
        return FaceBox(-4, -4, 28, 28)


@pytest.fixture
def finding_client(face_registry: Path, load_known: Any, make_client: Callable[..., Any]) -> Any:
    models = Models(ServeArguments(registry=str(face_registry)), load_known)
    models.model("faces/1").editor.finder = KnownFinder()  # type: ignore[union-attr]
    return make_client(create_app(Catalog(str(face_registry)), LocalBackend(models)))


def scene(faces: int) -> np.ndarray:
    image = cv2.resize(NOISE, (80, 60))
    image[0, 0] = faces
    return image


def test_a_face_is_found_where_no_box_is_given(finding_client: Any) -> None:
    found = pixels_of(finding_client.post(at("reconstruct"), files={"image": png(scene(1))}))
    assert np.array_equal(found[28:], scene(1)[28:])
    assert np.ptp(found[:28, :28].astype(int)) == 0
    given = finding_client.post(
        at("reconstruct"), files={"image": png(scene(2))}, data={"box": "[40, 20, 60, 40]"}
    )
    assert np.array_equal(pixels_of(given)[:20], scene(2)[:20])


def test_a_face_is_not_looked_for_in_an_aligned_crop(finding_client: Any) -> None:
    small = finding_client.post(at("reconstruct"), files={"image": png(FLAT)})  # as the model's
    assert np.array_equal(pixels_of(small), FLAT)
    image = {"image": png(scene(0))}
    for form in ("whole", '"whole"'):
        told = finding_client.post(at("reconstruct"), files=image, data={"box": form})
        assert np.ptp(pixels_of(told).astype(int)) == 0


@pytest.mark.parametrize(("faces", "told"), [(0, "found none"), (3, "found 3")])
def test_no_face_or_several_are_refused(finding_client: Any, faces: int, told: str) -> None:
    image, hole = b64(png(scene(faces))), b64(png(cv2.resize(HOLE, (80, 60))[:, :, None]))
    bodies = {
        "reconstruct": {"image": image},
        "inpaint": {"image": image, "mask": hole},
        "morph": {"images": [image, image]},
    }
    for what, body in bodies.items():
        status, kind, message = refusal(finding_client.post(at(what), json=body))
        assert (status, kind) == (422, "RequestError")
        assert told in message
    assert finding_client.post(at("reconstruct"), files={"image": png(scene(1))}).status_code == 200


def test_requests_at_the_same_time_are_answered_as_alone(face_client: Any) -> None:
    async def ask(client: httpx.AsyncClient, image: np.ndarray) -> bytes:
        return (await client.post(at("reconstruct"), files={"image": png(image)})).content

    async def together() -> list[bytes]:
        transport = httpx.ASGITransport(face_client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await asyncio.gather(*(ask(client, NOISE // (1 + i)) for i in range(5)))

    alone = [
        face_client.post(at("reconstruct"), files={"image": png(NOISE // (1 + i))}).content
        for i in range(5)
    ]
    assert asyncio.run(together()) == alone
