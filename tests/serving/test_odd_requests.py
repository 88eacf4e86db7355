"""Requests that nobody means to send: each is answered soon, with what is wrong with it."""

import asyncio
import base64
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from augment.images import encode_png
from serving.app import create_app
from serving.catalog import Catalog
from serving.fulfilment import LocalBackend
from serving.schemas import MAX_TEXT

GENERATE, EDIT, INPAINT = (
    f"/v1/models/{name}" for name in ("digits/generate", "faces/edit", "faces/inpaint")
)
PNG = encode_png(np.full((40, 120, 3), 90, np.uint8))
WIDE = encode_png(np.full((5, 2000, 3), 90, np.uint8))


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'{"labels": {"\xff": 1}}', "can't decode byte 0xff"),
        (b"[" * 100_000, "recursion"),
        (b'{"labels": {"3": ' + b"9" * 5000 + b"}}", "4300 digits"),
        (b'{"labels": {"3": 1,}}', "does not parse"),
    ],
    ids=["not UTF-8", "deep", "digits", "comma"],
)
@pytest.mark.parametrize("path", [GENERATE, EDIT])
def test_a_body_that_is_no_json_is_refused_with_the_reason(
    face_client: Any, path: str, content: bytes, named: str
) -> None:
    headers = {"Content-Type": "application/json"}
    status, message = refusal(face_client.post(path, content=content, headers=headers))
    assert status == 400
    assert named in message


@pytest.mark.parametrize(
    ("path", "content", "named"),
    [
        (GENERATE, '{"labels": {"3": NaN}}', "got nan for label '3'"),
        (GENERATE, '{"labels": {"3": 1e400}}', "got inf for label '3'"),
        (GENERATE, '{"labels": {"3\\t": 1}}', "unknown label '3\\t'"),
        (GENERATE, '{"labels": {"\\ud800": 1}}', "unknown label"),
        (GENERATE, '{"labels": {"سلام": 1}}', "unknown label 'سلام'"),
        (GENERATE, '{"labels": {"3": 1}, "seed": NaN}', "seed: Input should be a valid integer"),
        (GENERATE, '{"texts": "Open"}', "texts: Input should be a valid list"),
        (GENERATE, '{"texts": [5]}', "texts.0: Input should be a valid string"),
        (GENERATE, json.dumps({"texts": ["a" * (MAX_TEXT + 1)]}), f"at most {MAX_TEXT} characters"),
        (
            GENERATE,
            '{"labels": {"3": 1}, "style": {"images": ["", ""], "weights": [NaN, 1]}}',
            "weights.0: Input should be a finite number",
        ),
        (
            GENERATE,
            '{"labels": {"3": 1}, "style": {"images": [""]}}',
            "0 bytes that do not decode (of no known format)",
        ),
        (EDIT, '{"attributes": {"Smiling": NaN}}', "Smiling: Input should be a finite number"),
        (EDIT, "[]", "expected a JSON object with the fields of the request, got []"),
        (EDIT, "null", "got None"),
        (EDIT, '{"image": null}', "image: expected an image file"),
        (INPAINT, '{"box": [NaN, 0, 1, 1]}', "box must be four whole numbers"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_name(
    face_client: Any, path: str, content: str, named: str
) -> None:
    answer = face_client.post(
        path, content=content.encode(), headers={"Content-Type": "application/json"}
    )
    status, message = refusal(answer)
    assert status == 422
    assert named in message


def test_an_image_sent_twice_is_refused_without_quoting_its_bytes(face_client: Any) -> None:
    files = [("image", PNG), ("image", PNG)]
    status, message = refusal(face_client.post(INPAINT, files=files))
    assert (status, message) == (422, "image: expected one image file, got 2; send it once.")


def test_very_wide_images_are_worked_on_and_lend_their_style(face_client: Any) -> None:
    hole = np.zeros((5, 2000, 1), np.uint8)
    hole[1:3, 900:1000] = 255
    files = [("image", WIDE), ("mask", encode_png(hole))]
    assert face_client.post(INPAINT, files=files).status_code == 200
    style = {"images": [base64.b64encode(WIDE).decode()]}
    answer = face_client.post(GENERATE, json={"labels": {"3": 1}, "style": style})
    assert answer.status_code == 200


def test_a_version_of_thousands_of_digits_is_refused_as_a_long_path(face_client: Any) -> None:
    status, message = refusal(face_client.get("/v1/models/digits/" + "9" * 5000))
    assert status == 414
    assert "got 5,018" in message
    status, message = refusal(face_client.get("/v1/models/digits/" + "9" * 900))
    assert status == 404


class SlowReader:
    """Asks the service for many images, and reads on only when told to."""

    def __init__(self, app: FastAPI, body: dict[str, Any]) -> None:
        self.app, self.content = app, json.dumps(body).encode()
        self.status = 0
        self.reads_on, self.started = asyncio.Event(), asyncio.Event()

    async def ask(self) -> None:
        length = str(len(self.content)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        path = {"path": GENERATE, "raw_path": GENERATE.encode(), "query_string": b""}
        about = {"type": "http", "method": "POST", "http_version": "1.1", "scheme": "http"}
        scope = {**about, **path, "headers": headers, "asgi": {"spec_version": "2.4"}}
        await self.app(scope, self._receive, self._send)  # type: ignore[arg-type]

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self.content, "more_body": False}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.started.set()
        else:
            await self.reads_on.wait()


def test_a_request_is_under_way_until_its_last_image_is_sent(
    registry: Path, backend: LocalBackend
) -> None:
    app = create_app(Catalog(str(registry)), backend, max_queued=1)
    body = {"labels": {"3": 50}, "seed": 1, "read_back": False}

    async def drive() -> tuple[int, httpx.Response, httpx.Response, httpx.Response]:
        first = SlowReader(app, body)
        asking = asyncio.create_task(first.ask())
        await asyncio.wait_for(first.started.wait(), 60)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            meanwhile = await client.post(GENERATE, json=body)
            looked = await client.get("/v1/models")
            first.reads_on.set()
            await asking
            return first.status, meanwhile, looked, await client.post(GENERATE, json=body)

    status, meanwhile, looked, later = asyncio.run(drive())
    assert status == looked.status_code == later.status_code == 200
    assert refusal(meanwhile) == (503, "1 requests are under way already; try again.")
    assert meanwhile.headers["Retry-After"] == "1"
    assert meanwhile.json()["error"]["type"] == "BusyError"
