"""Lines of text over HTTP, in process: a generator with the weights it starts from."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from lines_service import form, images_of, refusal

from augment.data.layouts import load_layout
from augment.data.lines import draw_contents, line_width
from augment.generators.line_saae import load_line_sampler
from augment.generators.line_styles import StyleSelection
from augment.images import decode_image
from serving.schemas import MAX_STYLES, MAX_TEXT


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


def test_texts_may_come_with_the_number_of_their_images(service):
    where, how = "/v1/models/words/generate", {"seed": 7, "format": "json"}
    counted = images_of(service.post(where, json={"texts": {"Open": 2, "no": 1}, **how}))
    listed = images_of(service.post(where, json={"texts": ["Open", "no", "Open"], **how}))
    assert counted.keys() == {("Open", 0), ("Open", 1), ("no", 0)}
    assert all(np.array_equal(counted[key], listed[key]) for key in listed)
    for texts, told in (({"Open": 0}, "got 0 for label 'Open'"), ({}, "1 to 10,000 images")):
        status, message = refusal(service.post(where, json={"texts": texts, **how}))
        assert status == 422
        assert told in message
    status, message = refusal(service.post(where, json={"texts": {"O" * 300: 1}, **how}))
    assert (status, "at most 256 characters" in message) == (422, True)


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


def test_a_text_that_the_style_image_does_not_say_is_refused(service):
    noise = np.random.default_rng(0).integers(0, 256, (40, 100, 3), np.uint8)
    status, message = refusal(
        service.post("/v1/models/words/stylize", **form(["a"], noise, image_text="Hotel"))
    )
    assert status == 422
    assert "expected a style image that says 'Hotel'" in message


def test_a_style_image_too_narrow_for_what_it_is_said_to_say_is_refused(service):
    image = np.full((32, 40, 3), 90, np.uint8)
    status, message = refusal(
        service.post("/v1/models/words/stylize", **form(["a"], image, image_text="Constantinople"))
    )
    assert status == 422
    assert "wide enough for 'Constantinople'" in message
    assert "send the whole line, or leave its text out" in message


def test_a_form_may_hold_as_many_texts_as_the_schema_says(service):
    texts = ["a"] * 10_001
    status, message = refusal(service.post("/v1/models/words/stylize", **form(texts)))
    assert status == 422
    assert "at most 10000 items" in message


@pytest.mark.parametrize("text", ["", "a\tb", "שלום", "M" * 60, "M" * 10_000])
def test_what_the_style_image_cannot_say_is_refused_by_its_name(service, text):
    answer = service.post("/v1/models/words/stylize", **form(["a"], image_text=text))
    status, message = refusal(answer)
    assert status == 422
    assert message.startswith("image_text: ")


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


def test_a_format_named_goes_before_what_accept_says(service):
    types = {"zip": "application/zip", "webdataset": "application/x-tar", "png": "image/png"}
    for name, media_type in {**types, "json": "application/json"}.items():
        fields = form(["a"], seed="1", format=name)
        answer = service.post(
            "/v1/models/words/stylize", **fields, headers={"Accept": "application/zip"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == media_type
    for texts, name, named in ((["a", "bc"], "png", "got 2; ask for zip"), (["a"], "bmp", "'zip'")):
        fields = form(texts, format=name)
        status, message = refusal(service.post("/v1/models/words/stylize", **fields))
        assert status == 422
        assert named in message


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
        ("words", ["a\u0e01"], "no glyph for \u0e01 '\\u0e01' (U+0E01); leave it out or write"),
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
        ({"texts": ["Open"], "read_back": True}, "words/1 has no reader"),
        ({"random_texts": 1, "read_back": True}, "send read_back: false"),
        ({"texts": ["Open"], "select": {"colours": ["pink"]}}, "colours"),
        ({"texts": ["Open"], "select": {"brightness": [0.9, 0.1]}}, "brightness"),
        ({"texts": ["Open"], "select": {"sources": ["moon"]}}, "road"),
        ({"texts": ["Open"], "select": {"sources": ["road"] * (MAX_STYLES + 1)}}, "at most 1000"),
        ({"texts": ["Open"], "select": {"colours": ["b" * (MAX_TEXT + 1)]}}, "at most 256"),
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


def test_texts_are_no_classes_in_a_tar(service):
    body = {"texts": ["Open", "Hotel"], "seed": 1, "format": "webdataset"}
    answer = service.post("/v1/models/words/generate", json=body)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    assert {name.partition(".")[2] for name in files if name[0] == "0"} == {"json", "png", "txt"}
    assert b"Classes" not in files["__labelmint__/README.md"]
    texts = [files[f"{number:09d}.txt"].decode() for number in range(2)]
    assert texts == ["Open", "Hotel"]
