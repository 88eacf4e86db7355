"""Lines of text over HTTP, in process: a generator with the weights it starts from."""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from augment.bundle import Registry
from augment.config import with_overrides
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.lines import draw_contents, line_width
from augment.data.texts import TextImages
from augment.generators.base import write_bundle
from augment.generators.line_saae import CONFIGS, load_line_sampler, shape_for
from augment.generators.line_styles import StyleSelection
from augment.images import decode_image, encode_png
from serving.app import create_app
from serving.catalog import Catalog
from serving.fulfilment import LocalBackend
from serving.models import Models
from serving.schemas import ServeArguments

TEXTS = {"plates-cn": ("京A12345", "浙F8GH07"), "words": ("Open", "Hotel", "Street")}


def publish(root: Path, scratch: Path, layout_name: str, name: str) -> None:
    layout, images = load_layout(layout_name), []
    for number, text in enumerate(TEXTS[layout_name]):
        width = line_width(text) if layout.is_free else 96
        ink = draw_contents([text], layout, size=(32, width), looks=[0])[0]
        images.append(np.maximum(ink, np.array([20, 60, 200 - 40 * number], np.uint8)))
    lines = TextImages.from_images(images, TEXTS[layout_name], sources=["road"] * len(images))
    data = LineData.select(lines, layout, shape_for(layout))
    config = with_overrides(CONFIGS["labelmint"], ["model.width=4", "model.discriminator_width=4"])
    write_bundle(scratch / name, config.build_model(data).eval(), data, config)
    Registry(root).publish(name, scratch / name)


@pytest.fixture(scope="module")
def lines_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("registry")
    for layout, name in (("plates-cn", "plates"), ("words", "words")):
        publish(root, tmp_path_factory.mktemp(name), layout, name)
    return root


@pytest.fixture(scope="module")
def models(lines_registry: Path) -> Models:
    return Models(ServeArguments(registry=str(lines_registry), batch_size=4, half=False))


@pytest.fixture
def service(lines_registry: Path, models: Models, make_client: Callable[..., Any]) -> Any:
    return make_client(create_app(Catalog(str(lines_registry)), LocalBackend(models)))


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def form(texts: list[str], image: np.ndarray | None = None, **fields: str) -> dict[str, Any]:
    pixels = np.full((40, 120, 3), 90, np.uint8) if image is None else image
    return {
        "files": {"image": ("style.png", encode_png(pixels), "image/png")},
        "data": {"texts": texts, **fields},
    }


def images_of(answer: httpx.Response) -> dict[tuple[str, int], np.ndarray]:
    """The images of a JSON answer by text and index."""
    assert answer.status_code == 200, answer.text
    return {
        (image["label"], image["index"]): decode_image(base64.b64decode(image["png"]), channels=3)
        for image in answer.json()["images"]
    }


def test_a_bundle_of_lines_says_what_it_offers(service):
    assert service.get("/v1/models/plates").json()["capabilities"] == ["texts", "stylize"]
    assert service.get("/healthz").json()["status"] == "ready"


def test_texts_are_written_as_a_sampler_writes_them(service, lines_registry):
    body = {"texts": ["京A12345", "浙F8GH07", "京A12345"], "seed": 7, "format": "json"}
    drawn = images_of(service.post("/v1/models/plates/generate", json=body))
    assert set(drawn) == {("京A12345", 0), ("京A12345", 1), ("浙F8GH07", 0)}
    sampler = load_line_sampler(lines_registry / "plates/1", batch_size=4, half=False)
    expected = sampler.draw_texts(["京A12345"], np.array([1]), 7).images[0]
    assert np.array_equal(drawn["京A12345", 1], expected)


def test_words_of_several_widths_come_in_one_zip(service):
    body = {"texts": ["I", "Constantinople"], "seed": 1}
    answer = service.post("/v1/models/words/generate", json=body)
    assert answer.headers["x-kept"] == "2"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        rows = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
        widths = [decode_image(archive.read(row["file"]), channels=3).shape[1] for row in rows[:-1]]
    assert [row["label"] for row in rows[:-1]] == ["I", "Constantinople"]
    assert widths == [line_width("I"), line_width("Constantinople")]


def test_random_texts_are_those_of_the_layout(service):
    body = {"random_texts": 6, "seed": 3, "format": "json"}
    first = images_of(service.post("/v1/models/plates/generate", json=body))
    again = images_of(service.post("/v1/models/plates/generate", json=body))
    assert len(first) == 6
    assert first.keys() == again.keys()
    assert all(load_layout("plates-cn").allows(text) for text, _ in first)


def test_styles_may_be_fixed_or_selected(service, lines_registry):
    sampler = load_line_sampler(lines_registry / "plates/1", batch_size=4, half=False)
    where, zero = "/v1/models/plates/generate", np.zeros(1, np.int64)
    body = {"texts": ["京A12345"], "seed": 2, "format": "json"}
    fixed = images_of(service.post(where, json={**body, "style": {"index": 1}}))
    style = sampler.style(ids=[1])
    expected = sampler.draw_texts(["京A12345"], zero, 2, style=style).images[0]
    assert np.array_equal(fixed["京A12345", 0], expected)
    chosen = images_of(service.post(where, json={**body, "select": {"brightness": [0.5, 1]}}))
    bright = StyleSelection(brightness=(0.5, 1.0))
    expected = sampler.draw_texts(["京A12345"], zero, 2, select=bright).images[0]
    assert np.array_equal(chosen["京A12345", 0], expected)


def test_texts_are_written_in_the_style_of_an_image_sent(service, lines_registry):
    image = np.full((40, 120, 3), (200, 30, 30), np.uint8)
    answer = service.post(
        "/v1/models/plates/stylize",
        **form(["京A12345"], image, seed="5"),
        headers={"Accept": "image/png"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-seed"] == "5"
    sampler = load_line_sampler(lines_registry / "plates/1", batch_size=4, half=False)
    style = sampler.style(images=[image])
    expected = sampler.draw_texts(["京A12345"], np.zeros(1, np.int64), 5, style=style).images[0]
    assert np.array_equal(decode_image(answer.content, channels=3), expected)


def test_what_the_style_image_says_tells_how_it_stands(service):
    ink = np.repeat(draw_contents(["Hotel"], size=(40, 100), looks=[0])[0], 3, axis=2)
    tilted = np.stack([np.roll(column, i // 10, 0) for i, column in enumerate(ink.swapaxes(0, 1))])
    fields = form(["Maple"], np.ascontiguousarray(tilted.swapaxes(0, 1)), seed="1")
    png = {"Accept": "image/png"}
    upright = service.post("/v1/models/words/stylize", **fields, headers=png)
    fields["data"]["image_text"] = "Hotel"
    leaning = service.post("/v1/models/words/stylize", **fields, headers=png)
    assert upright.status_code == leaning.status_code == 200, leaning.text
    assert upright.content != leaning.content


def test_several_stylized_texts_come_as_zip_or_json(service):
    zipped = service.post("/v1/models/words/stylize", **form(["a", "bc"]))
    assert zipped.headers["content-type"] == "application/zip"
    answer = service.post(
        "/v1/models/words/stylize", **form(["a", "bc"]), headers={"Accept": "application/json"}
    )
    assert [image["label"] for image in answer.json()["images"]] == ["a", "bc"]
    pictures = service.post(
        "/v1/models/words/stylize", **form(["a", "bc"]), headers={"Accept": "image/png"}
    )
    assert pictures.status_code == 406


@pytest.mark.parametrize(
    ("model", "texts", "named"),
    [
        ("plates", ["京A12345", ""], "texts[1]"),
        ("plates", ["京A1234O"], "position 7"),
        ("plates", ["京A123456"], "7 characters"),
        ("words", ["M" * 60], "pixels wide"),
        ("words", ["e\u0301t"], "combining"),
        ("words", ["שלום"], "right-to-left"),
        ("words", ["a\tb"], "position 2"),
        ("words", ["a,b"], "position 2"),
    ],
)
def test_texts_that_cannot_be_written_are_refused_on_both_routes(service, model, texts, named):
    generated = service.post(f"/v1/models/{model}/generate", json={"texts": texts})
    stylized = service.post(f"/v1/models/{model}/stylize", **form(texts))
    for answer in (generated, stylized):
        status, message = refusal(answer)
        assert status == 422
        assert named in message


@pytest.mark.parametrize("size", [(5, 2000), (2000, 5)])
def test_style_images_of_unusable_size_are_refused(service, size):
    answer = service.post(
        "/v1/models/plates/stylize", **form(["京A12345"], np.zeros((*size, 3), np.uint8))
    )
    status, message = refusal(answer)
    assert status == 422
    assert f"{size[1]}×{size[0]}" in message


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"texts": []}, "texts"),
        ({"texts": ["Open"], "labels": {"a": 1}}, "one of"),
        ({}, "one of"),
        ({"random_texts": 0}, "random_texts"),
        ({"texts": ["Open"], "read_back": True}, "read_back"),
        ({"texts": ["Open"], "select": {"colours": ["pink"]}}, "colours"),
        ({"texts": ["Open"], "select": {"brightness": [0.9, 0.1]}}, "brightness"),
        ({"texts": ["Open"], "select": {"sources": ["moon"]}}, "road"),
        ({"texts": ["Open"], "select": {}, "style": {"index": 0}}, "either style or select"),
        ({"labels": {"a": 1}, "select": {}}, "select goes with"),
        ({"labels": {"a": 1}}, "offers no generate"),
        ({"texts": ["Open"], "style": {"index": 99}}, "style ids"),
    ],
    ids=str,
)
def test_requests_that_do_not_fit_a_bundle_of_lines_are_refused(service, body, named):
    status, message = refusal(service.post("/v1/models/words/generate", json=body))
    assert status == 422
    assert named in message


def test_bundles_of_classes_write_no_lines(client):
    for answer, capability in (
        (client.post("/v1/models/digits/generate", json={"texts": ["3"]}), "texts"),
        (client.post("/v1/models/digits/stylize", **form(["3"])), "stylize"),
    ):
        status, message = refusal(answer)
        assert status == 422
        assert f"offers no {capability}" in message
