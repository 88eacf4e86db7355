import base64
import io
import json
import re
import tarfile
import zipfile
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from augment.images import decode_image, encode_png
from serving.app import build
from serving.errors import MAX_BODY_BYTES
from serving.schemas import MAX_IMAGES, ServeArguments

GENERATE = "/v1/models/digits/generate"
JSON = {"Content-Type": "application/json"}


def manifest(answer: httpx.Response) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        lines = archive.read("manifest.jsonl").decode().splitlines()
    *rows, last = map(json.loads, lines)
    return rows, last["summary"]


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, type and message of a refusal; it must be JSON of exactly that shape."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"type", "message"}
    return answer.status_code, body["error"]["type"], body["error"]["message"]


# --- what is there ---------------------------------------------------------------------------


def test_healthz_is_ready_once_models_are_loaded(client: Any) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "models": ["digits/1", "plain/1"], "failed": {}}


def test_models_are_listed_and_described(client: Any) -> None:
    listed = client.get("/v1/models").json()["models"]
    assert [(m["name"], m["version"], m["classes"]) for m in listed] == [
        ("digits", 1, 3),
        ("plain", 1, 3),
    ]
    detail = client.get("/v1/models/digits").json()
    assert detail["classes"] == ["3", "7", "京"]
    assert detail["image_size"] == [8, 8]
    assert detail["metrics"] == {"reconstruction": 0.25}
    assert detail["digest"] == listed[0]["digest"]
    assert detail["reader"] is True
    assert detail["licence"] == "cc-by-4.0"
    assert client.get("/v1/models/plain").json()["licence"] is None
    age = datetime.now(UTC) - datetime.fromisoformat(detail["published"])
    assert timedelta() <= age < timedelta(hours=1)
    assert client.get("/v1/models/digits/1").json() == detail


def test_what_the_scripts_reach_for_is_on_the_page(client: Any) -> None:
    page = set(re.findall(r'id="([\w-]+)"', client.get("/").text))
    for script in ("console.js", "images.js", "lines.js"):
        named = set(re.findall(r'at\("([\w-]+)"\)', client.get(f"/{script}").text))
        assert named
        assert named <= page


def test_both_forms_of_the_page_take_a_band_of_the_readers_confidences(client: Any) -> None:
    page = client.get("/").text
    (fields,) = re.findall(r'<template id="read-back">.*?</template>', page, re.S)
    assert re.findall(r'aria-label="(\w+) confidence', fields) == ["least", "greatest"]
    assert 'class="check"' in fields
    forms = re.findall(r'<section class="panel" id="(?:ask|write)".*?</section>', page, re.S)
    assert [form.count('<div class="read-back"></div>') for form in forms] == [1, 1]


def test_the_page_its_parts_the_samples_and_the_api_description_are_served(client: Any) -> None:
    page = client.get("/").text
    assert "console.js" in page
    for part in ("console.js", "images.js", "lines.js", "console.css"):
        assert client.get(f"/{part}").status_code == 200
        assert "//" not in client.get(f"/{part}").text.replace("// ", "")  # nothing from outside
    assert decode_image(client.get("/v1/models/digits/samples.png").content, channels=1).size
    paths = client.get("/openapi.json").json()["paths"]
    assert {
        "/v1/models",
        "/v1/models/{name}",
        GENERATE.replace("digits", "{name}"),
        "/healthz",
    } <= (set(paths))


# --- images ----------------------------------------------------------------------------------


def test_the_zip_holds_what_was_asked_read_back_and_told_in_headers_and_manifest(
    client: Any,
) -> None:
    answer = client.post(GENERATE, json={"labels": {"7": 7, "3": 20}, "seed": 5})
    rows, summary = manifest(answer)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert [sum(row["label"] == label for row in rows) for label in ("3", "7")] == [20, 7]
    # the known reader misreads samples 2, 5, 8, …: the first 20 others are 0, 1, 3, 4, … 28
    assert [r["index"] for r in rows if r["label"] == "3"] == [i for i in range(29) if i % 3 != 2]
    told = {name: answer.headers[f"x-{name}"] for name in ("seed", "made", "kept", "dropped")}
    assert told == {"seed": "5", "made": "39", "kept": "27", "dropped": "12"}
    assert (summary["made"], summary["kept"], summary["dropped"]) == (39, 27, 12)
    assert answer.headers["x-shortfall"] == "0"
    assert summary["shortfall"] == {}
    sure = [0.75 + row["index"] / 1024 for row in rows]
    assert [row["confidence"] for row in rows] == pytest.approx(sure, abs=1e-4)


def test_the_card_of_an_export_tells_the_licence_of_the_bundles_images(client: Any) -> None:
    told = []
    for model in ("digits", "plain"):
        body = {"labels": {"3": 1}, "read_back": False}
        answer = client.post(f"/v1/models/{model}/generate", json=body)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            card = archive.read("README.md").decode()
        told.append(card.partition("## Licence of the inputs")[2].split("\n\n")[1])
    assert told[0] == "cc-by-4.0"
    assert told[1].startswith("Not stated")


def test_each_image_in_the_zip_is_the_sample_its_manifest_row_names(client: Any) -> None:
    answer = client.post(GENERATE, json={"labels": ["7", "3", "7"], "seed": 9})
    rows, _ = manifest(answer)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        for row in rows:
            pixels = decode_image(archive.read(row["file"]), channels=1)[0, :3, 0].tolist()
            assert pixels == [["3", "7"].index(row["label"]), row["index"], 9]
    assert len(rows) == 3


def test_a_shortfall_is_told_after_four_candidates_per_image(client: Any) -> None:
    answer = client.post(GENERATE, json={"labels": {"京": 5, "3": 2}, "seed": 1})
    rows, summary = manifest(answer)
    assert answer.headers["x-shortfall"] == "5"
    assert summary["shortfall"] == {"京": 5}
    assert (answer.headers["x-asked"], answer.headers["x-made"]) == ("7", str(2 + 4 * 5))
    assert [row["label"] for row in rows] == ["3", "3"]


def test_without_read_back_the_first_candidates_are_taken_as_they_are(client: Any) -> None:
    answer = client.post(GENERATE, json={"labels": {"京": 20}, "seed": 1, "read_back": False})
    rows, summary = manifest(answer)
    assert [row["index"] for row in rows] == list(range(20))
    assert {row["confidence"] for row in rows} == {None}
    assert [answer.headers[f"x-{n}"] for n in ("made", "kept", "shortfall")] == ["20", "20", "0"]
    assert summary["made"] == 20


@pytest.mark.parametrize("form", ["zip", "webdataset", "json"])
def test_same_request_and_seed_give_the_same_bytes_and_another_seed_others(
    client: Any, form: str
) -> None:
    body = {"labels": {"3": 9, "7": 3}, "seed": 3, "format": form}
    first = client.post(GENERATE, json=body).content
    assert client.post(GENERATE, json=body).content == first
    reordered = {**body, "labels": {"7": 3, "3": 9}}
    assert client.post(GENERATE, json=reordered).content == first
    assert client.post(GENERATE, json={**body, "seed": 4}).content != first


def test_a_drawn_seed_is_returned_and_reproduces_the_images(client: Any) -> None:
    body: dict[str, Any] = {"labels": {"3": 4}}
    first, second = client.post(GENERATE, json=body), client.post(GENERATE, json=body)
    assert first.headers["x-seed"] != second.headers["x-seed"]
    again = client.post(GENERATE, json={**body, "seed": int(first.headers["x-seed"])})
    assert again.content == first.content


def test_json_holds_the_same_images_as_the_zip(client: Any) -> None:
    body = {"labels": {"3": 9, "京": 1}, "seed": 3}
    answer = client.post(GENERATE, json={**body, "format": "json"})
    told = answer.json()
    rows, summary = manifest(client.post(GENERATE, json=body))
    assert [i["sha256"] for i in told["images"]] == [row["sha256"] for row in rows]
    assert told["shortfall"] == summary["shortfall"] == {"京": 1}
    pixels = decode_image(base64.b64decode(told["images"][0]["png"]), channels=1)
    assert pixels[0, :3, 0].tolist() == [0, 0, 3]
    assert answer.headers["x-seed"] == "3"


def test_a_tar_holds_the_samples_of_the_zip_as_webdataset_groups_them(client: Any) -> None:
    body = {"labels": {"3": 9, "京": 1}, "seed": 3}
    rows, summary = manifest(client.post(GENERATE, json=body))
    answer = client.post(GENERATE, json={**body, "format": "webdataset"})
    assert answer.headers["content-type"] == "application/x-tar"
    assert answer.headers["content-disposition"].endswith('-3.tar"')
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    told = files.pop("__labelmint__/manifest.jsonl").decode().splitlines()
    assert json.loads(told[-1]) == {"summary": summary}
    assert b"Different labels" not in files.pop("__labelmint__/README.md")
    assert json.loads(files.pop("__labelmint__/classes.json")) == ["3", "7", "京"]
    assert len(files.pop("__labelmint__/SHA256SUMS").splitlines()) == 9 * 4 + 3
    assert sorted(files) == [
        f"{number:09d}.{kind}" for number in range(9) for kind in ("cls", "json", "png", "txt")
    ]
    assert [json.loads(files[f"{n:09d}.json"])["sha256"] for n in range(9)] == [
        row["sha256"] for row in rows
    ]
    assert {files[f"{n:09d}.txt"].decode() for n in range(9)} == {"3"}


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("*/*", "application/zip"),
        ("application/json", "application/json"),
        ("application/x-tar, application/json;q=0.5", "application/x-tar"),
    ],
)
def test_accept_chooses_the_answer_where_no_format_is_given(
    client: Any, accept: str, answered: str
) -> None:
    body = {"labels": {"3": 1}, "seed": 3}
    answer = client.post(GENERATE, json=body, headers={"Accept": accept})
    assert answer.headers["content-type"] == answered
    assert answer.headers["vary"] == "Accept"
    named = client.post(GENERATE, json={**body, "format": "zip"}, headers={"Accept": accept})
    assert named.headers["content-type"] == "application/zip"


def test_an_answer_that_nobody_can_make_is_not_acceptable(client: Any) -> None:
    headers = {"Accept": "text/csv"}
    answer = client.post(GENERATE, json={"labels": {"3": 1}}, headers=headers)
    assert answer.status_code == 406
    assert "application/x-tar" in answer.text


def test_style_comes_from_the_bank_or_from_a_mix_of_images(client: Any) -> None:
    gray = [base64.b64encode(encode_png(np.full((4, 4, 1), v, np.uint8))).decode() for v in (0, 80)]
    asked = [
        ({"index": 4}, 4),
        ({"images": gray}, 40),
        ({"images": [f"data:image/png;base64,{gray[1]}", gray[0]], "weights": [3, 1]}, 60),
    ]
    for style, expected in asked:
        body = {"labels": {"3": 1}, "seed": 0, "style": style, "format": "json"}
        image = client.post(GENERATE, json=body).json()["images"][0]
        pixels = decode_image(base64.b64decode(image["png"]), channels=1)
        assert pixels[0, 3, 0] == expected
        assert image["styles"] is None


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"labels": {"3": 0}}, "RequestError", "at least 1, got 0 for label '3'"),
        ({"labels": {"3": -1}}, "RequestError", "at least 1, got -1"),
        ({"labels": {"3": 2.5}}, "RequestError", "integer of at least 1, got 2.5"),
        ({"labels": {"3": True}}, "RequestError", "integer of at least 1, got True"),
        (
            {"labels": {"3": 10_000_000}},
            "RequestError",
            "1 to 10,000 images in all, got 10,000,000",
        ),
        ({"labels": {"3": MAX_IMAGES, "7": 1}}, "RequestError", "got 10,001"),
        ({"labels": ["3"] * (MAX_IMAGES + 1)}, "RequestError", "got 10,001"),
        ({"labels": {}}, "RequestError", "got 0"),
        ({"labels": []}, "RequestError", "got 0"),
        ({"labels": None}, "RequestError", "labels must be an object"),
        ({"labels": [["3"]]}, "RequestError", "a label must be text"),
        ({"labels": {"8": 1}}, "LabelError", "unknown label '8'; digits/1 draws: 3, 7, 京"),
        ({}, "RequestError", "one of labels, new_identities, texts, random_texts"),
        ({"labels": {"3": 1}, "new_identities": 1}, "RequestError", "give one"),
        ({"labels": {"3": 1}, "per_label": 2}, "RequestError", "goes with new_identities"),
        ({"new_identities": 0}, "RequestError", "new_identities"),
        ({"new_identities": 5, "read_back": True}, "RequestError", "no reader knows"),
        ({"new_identities": 5, "reader_band": [0.1, 1]}, "RequestError", "leave reader_band out"),
        ({"new_identities": 500, "per_label": 500}, "RequestError", "in all, got 250,000"),
        ({"new_identities": 2}, "RequestError", "offers no new-identities; it offers: generate."),
        ({"labels": {"3": 1}, "sede": 1}, "RequestError", "sede: Extra inputs"),
        ({"labels": {"3": 1}, "seed": -1}, "RequestError", "seed"),
        ({"labels": {"3": 1}, "seed": 2**64}, "RequestError", "seed"),
        ({"labels": {"3": 1}, "format": "tar"}, "RequestError", "'zip', 'webdataset', 'json'"),
        ({"labels": {"3": 1}, "style": {}}, "RequestError", "either index or images"),
        ({"labels": {"3": 1}, "style": {"index": 5}}, "RequestError", "must be in [0, 4]"),
        ({"labels": {"3": 1}, "style": {"images": ["?"]}}, "ImageError", "in base64"),
        ({"labels": {"3": 1}, "style": {"images": ["aGk="]}}, "ImageError", "do not decode"),
        (
            {"labels": {"3": 1}, "style": {"images": ["aGk="], "weights": [1, 2]}},
            "RequestError",
            "must hold 1 numbers",
        ),
    ],
)
def test_a_bad_request_is_refused_with_a_message_that_says_why(
    client: Any, body: dict[str, Any], kind: str, message: str
) -> None:
    status, told_kind, told = error_of(client.post(GENERATE, json=body))
    assert (status, told_kind) == (422, kind)
    assert message in told


@pytest.mark.parametrize(("side", "told"), [(1, "got 1×1"), (20_000, "400000000 pixels")])
def test_a_style_image_of_unusable_size_is_refused(client: Any, side: int, told: str) -> None:
    png = bytearray(encode_png(np.zeros((2, 2, 1), np.uint8)))
    header = b"IHDR" + side.to_bytes(4) * 2 + bytes(png[24:29])
    png[12:33] = header + zlib.crc32(header).to_bytes(4)
    picture = base64.b64encode(png).decode()
    body = {"labels": {"3": 1}, "style": {"images": [picture]}}
    status, kind, message = error_of(client.post(GENERATE, json=body))
    assert (status, kind) == (422, "ImageError")
    assert told in message


@pytest.mark.parametrize(
    "content",
    [b"{", b"", b"\xff\xfe", b"[" * 100_000, b'{"labels": {"3": 1}, "seed": ' + b"9" * 5000 + b"}"],
)
def test_malformed_json_is_a_4xx(client: Any, content: bytes) -> None:
    status, _, _ = error_of(client.post(GENERATE, content=content, headers=JSON))
    assert status in (400, 422)


def test_a_label_that_is_no_valid_text_is_refused_without_breaking_the_answer(client: Any) -> None:
    content = b'{"labels": {"\\ud800": 1}}'
    status, kind, _ = error_of(client.post(GENERATE, content=content, headers=JSON))
    assert (status, kind) == (422, "LabelError")


def test_bodies_that_are_not_json_too_large_or_of_unknown_length_are_refused(client: Any) -> None:
    text = client.post(GENERATE, content=b"{}", headers={"Content-Type": "text/plain"})
    assert error_of(text)[:2] == (415, "UnsupportedMediaTypeError")
    assert error_of(client.post(GENERATE))[0] == 415
    huge = client.post(GENERATE, content=b" " * (MAX_BODY_BYTES + 1), headers=JSON)
    assert error_of(huge)[:2] == (413, "RequestTooLargeError")

    async def pieces() -> Any:
        yield b"{}"

    assert error_of(client.post(GENERATE, content=pieces(), headers=JSON))[0] == 411


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/none", 404),
        ("/v1/models/digits/9", 404),
        ("/v1/models/digits/99999999999999999999999", 404),
        ("/v1/models/..%2F..%2Fetc", 404),
        ("/v1/models/%00", 404),
        ("/nothing", 404),
        ("/v1/models/digits/nothing", 404),
        ("/../app.py", 404),
        ("/%2e%2e/app.py", 404),
    ],
)
def test_what_is_not_there_is_told_in_json(client: Any, path: str, status: int) -> None:
    assert error_of(client.get(path))[0] == status


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", GENERATE, "POST"),
        ("GET", "/v1/models/digits/1/generate", "POST"),
        ("GET", "/v1/models/faces/inpaint", "POST"),
        ("GET", "/v1/models/words/stylize", "POST"),
        ("DELETE", GENERATE, "POST"),
        ("DELETE", "/v1/models/digits", "GET"),
        ("DELETE", "/", "GET, HEAD"),
        ("DELETE", "/console.js", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_refused_with_those_it_takes(
    client: Any, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert error_of(answer)[:2] == (405, "MethodNotAllowedError")
    assert sorted(answer.headers["allow"].split(", ")) == allowed.split(", ")


def test_an_unknown_model_is_refused_with_the_names_there_are(client: Any) -> None:
    answer = client.post("/v1/models/letters/generate", json={"labels": {"3": 1}})
    status, kind, message = error_of(answer)
    assert (status, kind) == (404, "BundleNotFoundError")
    assert "digits, plain" in message


def test_read_back_without_a_reader_is_refused_with_the_way_out(client: Any) -> None:
    body: dict[str, Any] = {"labels": {"3": 1}}
    status, kind, message = error_of(client.post("/v1/models/plain/generate", json=body))
    assert (status, kind) == (422, "RequestError")
    assert "send read_back: false" in message
    unread = client.post("/v1/models/plain/generate", json={**body, "read_back": False})
    assert unread.status_code == 200


def test_an_error_of_ours_is_a_500_in_json_that_keeps_its_cause_to_the_log(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.app.answer", None)
    status, kind, message = error_of(client.post(GENERATE, json={"labels": {"3": 1}}))
    assert (status, kind) == (500, "InternalError")
    assert "NoneType" not in message


def test_an_empty_registry_is_refused_when_the_application_is_built(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="at least one bundle"):
        build(ServeArguments(registry=str(tmp_path)))
