"""What takes images, over HTTP in process: a model that knows an image by its mean alone."""

import asyncio
import base64
import io
import json
import zipfile
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from sent_images import FLAT, HOLE, NOISE, SIDE, at, b64, pixels_of, png, refusal

from augment.images import decode_image


def test_models_say_what_they_offer_and_which_attributes_they_know(face_client: Any) -> None:
    detail = face_client.get("/v1/models/faces").json()
    assert detail["capabilities"] == [
        *("generate", "reconstruct", "morph", "inpaint", "super-resolve", "edit")
    ]
    assert detail["attributes"] == ["Smiling", "Eyeglasses"]
    assert detail["max_strength"] == 4
    assert face_client.get("/v1/models/digits").json()["max_strength"] is None
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
