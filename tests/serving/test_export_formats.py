"""The layouts of other trainers over HTTP, each as the job writes it, in a zip."""

import hashlib
import io
import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any, get_args

import pytest
from lines_service import refusal

from augment.data.datasets import open_data
from augment.data.texts import open_texts
from augment.export import WRITERS
from serving.fulfilment import Order
from serving.schemas import Format

GENERATE = "/v1/models/digits/generate"
ZIPPED = sorted(set(WRITERS) - {"folder", "zip", "webdataset"})


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the service keeps what is not finished."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def unpack(content: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder


def test_every_layout_of_the_job_is_one_of_the_service() -> None:
    assert {*get_args(Format), "folder"} == {*WRITERS, "json"}


def test_the_page_offers_every_layout_in_both_forms(client: Any) -> None:
    page = client.get("/").text
    (menu,) = re.findall(r'<template id="format">.*?</template>', page, re.DOTALL)
    assert {*re.findall(r"<option>(\w+)</option>", menu), "json"} == set(get_args(Format))
    forms = re.findall(r'<section class="panel" id="(?:ask|write)".*?</section>', page, re.DOTALL)
    assert [form.count('<label class="format"></label>') for form in forms] == [1, 1]


@pytest.mark.parametrize("kind", ZIPPED)
def test_a_layout_comes_whole_in_a_zip(
    client: Any, service: Any, kind: str, tmp_path: Path, scratch: Path
) -> None:
    body: dict[str, Any] = {"labels": {"3": 5, "7": 4}, "seed": 3}
    post, where = client.post, GENERATE
    if kind in ("ccpd", "easyocr"):  # labels are plates, and not all of them numbers
        post, where = service.post, "/v1/models/plates/generate"
        body = {"texts": {"京A12345": 5, "浙F8GH07": 4}, "seed": 3}
    answer = post(where, json={**body, "format": kind})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].endswith(f'-3-{kind}.zip"')
    assert answer.headers["x-kept"] == "9"
    folder = unpack(answer.content, tmp_path / "out")
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    for line in sums:
        digest, name = line.split("  ", 1)
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == {line.split("  ", 1)[1] for line in sums} | {"SHA256SUMS"}
    *rows, last = map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())
    assert last["summary"]["kept"] == len(rows) == 9
    told = post(where, json={**body, "format": "json"}).json()["images"]
    shown = [(row["label"], row["index"]) for row in rows]
    assert shown == [(image["label"], image["index"]) for image in told]
    assert not list(scratch.iterdir()), "what waited on disk is still there"


def test_what_the_service_sends_is_read_by_the_loaders(client: Any, tmp_path: Path) -> None:
    body = {"labels": {"3": 5, "7": 4}, "seed": 3}
    for kind, inside in (("csv", "csv:{}/labels.csv"), ("parquet", "parquet:{}")):
        answer = client.post(GENERATE, json={**body, "format": kind})
        folder = unpack(answer.content, tmp_path / kind)
        data = open_data(inside.format(folder))
        assert sorted(data.classes[label] for label in data.labels) == ["3"] * 5 + ["7"] * 4
    for kind in ("lmdb", "paddleocr"):
        answer = client.post(GENERATE, json={**body, "format": kind})
        folder = unpack(answer.content, tmp_path / kind)
        assert sorted(open_texts(f"{kind}:{folder}").texts) == ["3"] * 5 + ["7"] * 4


def test_labels_that_a_layout_cannot_hold_are_refused_before_anything_is_drawn(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.answers.draw_order", None)
    body = {"labels": {"3": 1}, "format": "ccpd"}
    status, message = refusal(client.post(GENERATE, json=body))
    assert status == 422
    assert "ccpd" in message


@pytest.mark.parametrize("kind", ["zip", "webdataset", "csv"])
def test_no_file_comes_where_nothing_was_read_as_its_label(
    client: Any, kind: str, scratch: Path
) -> None:
    body = {"labels": {"京": 2}, "seed": 3, "format": kind}  # never read
    status, message = refusal(client.post(GENERATE, json=body))
    assert status == 422
    assert "none of 8 candidates with seed 3 read as their label, such as '京'" in message
    assert not list(scratch.iterdir())
    unread = client.post(GENERATE, json={**body, "read_back": False})
    assert unread.headers["x-kept"] == "2"


def test_lines_of_like_widths_are_drawn_together() -> None:
    widths = (96, 32, 64, 32, 96, 64, 32)
    order = Order("words/1", tuple("abcdefg"), dict.fromkeys(range(7), 1), 1, True, widths=widths)
    chunks = order.next_round(3)
    assert [chunk.texts for chunk in chunks] == [("b", "d", "g"), ("a", "c", "f"), ("e",)]
    assert [chunk.labels.tolist() for chunk in chunks] == [[1, 3, 6], [0, 2, 5], [4]]
    one = Order("words/1", tuple("abc"), {0: 1, 1: 2, 2: 1}, 1, True, widths=(96, 32, 64))
    assert [chunk.texts for chunk in one.next_round(8)] == [("a", "b", "b", "c")]


def test_lines_of_the_header_accept_are_taken_together(client: Any) -> None:
    headers = [("Accept", "text/html"), ("Accept", "application/json")]
    answer = client.post(GENERATE, json={"labels": {"3": 1}}, headers=headers)
    assert answer.headers["content-type"] == "application/json"
