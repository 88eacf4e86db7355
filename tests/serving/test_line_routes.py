"""Lines of text over HTTP, in process: a generator with the weights it starts from."""

import base64
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from augment.bundle import Registry, load_bundle
from augment.config import with_overrides
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.lines import draw_contents, line_width
from augment.data.texts import TextImages
from augment.errors import BundleError, RequestError
from augment.generators.base import write_bundle
from augment.generators.line_reading import Judged
from augment.generators.line_saae import CONFIGS, load_line_sampler, shape_for
from augment.generators.line_styles import StyleSelection
from augment.images import Pixels, decode_image, encode_png
from recognizers.charset import PLATES_CN, WORDS
from recognizers.scene_text import TextConfig, TextRecognizer
from recognizers.text_reader import CrossFittedTextReader, save_text_reader
from serving import client as line_client
from serving.app import create_app
from serving.catalog import Catalog
from serving.fulfilment import LocalBackend
from serving.generation import Chunk, Generation
from serving.models import LoadedModel, Models, load_model
from serving.schemas import ServeArguments

LITTLE = TextConfig(width=4, hidden=4)
TEXTS = {"plates-cn": ("京A12345", "浙F8GH07"), "words": ("Open", "Hotel", "Street")}


class KnownReader:
    """Misreads images of an odd sum; is as sure of the others as they are dark."""

    band = (0.0, 1.0)

    def judge(
        self,
        images: Sequence[Pixels],
        texts: Sequence[str],
        folds: np.ndarray | None = None,
        bands: np.ndarray | None = None,
    ) -> Judged:
        sums = np.array([int(image.sum()) for image in images])
        dark = np.array([1 - image.mean() / 255 for image in images], np.float32)
        low, high = np.float32(self.band) if bands is None else bands.T
        return Judged((sums % 2 == 0) & (dark >= low) & (dark <= high), dark)


def load_known(folder: Path, arguments: ServeArguments, finder: Any = None) -> LoadedModel:
    model = load_model(folder, arguments, finder)
    return replace(model, line_reader=model.line_reader and KnownReader())


def publish(
    root: Path, scratch: Path, layout_name: str, name: str, reads: str | None = None
) -> None:
    layout, images = load_layout(layout_name), []
    for number, text in enumerate(TEXTS[layout_name]):
        width = line_width(text) if layout.is_free else 96
        ink = draw_contents([text], layout, size=(32, width), looks=[0])[0]
        images.append(np.maximum(ink, np.array([20, 60, 200 - 40 * number], np.uint8)))
    lines = TextImages.from_images(images, TEXTS[layout_name], sources=["road"] * len(images))
    data = LineData.select(lines, layout, shape_for(layout))
    config = with_overrides(CONFIGS["labelmint"], ["model.width=4", "model.discriminator_width=4"])
    if reads is not None:
        charset = {"plates": PLATES_CN, "words": WORDS}[reads]
        member = TextRecognizer(charset, config=LITTLE).eval()
        save_text_reader(scratch / name / "reader", CrossFittedTextReader([member], data.shape))
    write_bundle(scratch / name, config.build_model(data).eval(), data, config)
    Registry(root).publish(name, scratch / name)


@pytest.fixture(scope="module")
def lines_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("registry")
    for layout, name in (("plates-cn", "plates"), ("words", "words")):
        publish(root, tmp_path_factory.mktemp(name), layout, name)
    publish(root, tmp_path_factory.mktemp("read"), "plates-cn", "read-plates", reads="plates")
    return root


@pytest.fixture(scope="module")
def models(lines_registry: Path) -> Models:
    arguments = ServeArguments(registry=str(lines_registry), batch_size=4, half=False)
    return Models(arguments, load_known)


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


def test_lines_are_read_back_where_the_bundle_has_a_reader(service, lines_registry):
    assert service.get("/v1/models/read-plates").json()["reader"] is True
    body = {"texts": ["京A12345"] * 6, "seed": 7, "format": "json"}
    answer = service.post("/v1/models/read-plates/generate", json=body)
    drawn, told = images_of(answer), answer.json()
    sampler = load_line_sampler(lines_registry / "read-plates/1", batch_size=4, half=False)
    made = sampler.draw_texts(["京A12345"] * 24, np.arange(24), 7).images
    right = [index for index, image in enumerate(made) if image.sum() % 2 == 0]
    assert [index for _, index in drawn] == right[:6]
    assert told["read_back"] is True
    assert told["dropped"] == told["made"] - 6 > 0
    assert answer.headers["x-dropped"] == str(told["dropped"])
    for image in told["images"]:
        darkness = 1 - made[image["index"]].mean() / 255
        assert image["confidence"] == pytest.approx(darkness, abs=1e-6)
    body["read_back"] = False
    unverified = service.post("/v1/models/read-plates/generate", json=body).json()
    assert unverified["made"] == 6
    assert [image["confidence"] for image in unverified["images"]] == [None] * 6


def test_lines_are_kept_within_the_band_of_their_request(service):
    body = {"texts": ["京A12345"] * 6, "seed": 7, "format": "json"}
    where = "/v1/models/read-plates/generate"
    every = service.post(where, json=body).json()["images"]
    middle = float(np.median([image["confidence"] for image in every]))
    for band in ([0, middle], [middle, 1]):
        told = service.post(where, json={**body, "reader_band": band}).json()
        sure = [image["confidence"] for image in told["images"]]
        assert sure
        assert all(band[0] <= value <= band[1] for value in sure)
        assert told["reader_band"] == band
    status, message = refusal(
        service.post("/v1/models/plates/generate", json={**body, "reader_band": [0, middle]})
    )
    assert status == 422
    assert "plates/1 has no reader" in message


def test_stylized_lines_are_kept_within_the_band_of_their_request(service):
    where, accept = "/v1/models/read-plates/stylize", {"Accept": "application/json"}
    wanted = {"texts": ["京A12345"] * 3, "seed": "3"}
    every = service.post(where, **form(**wanted), headers=accept).json()["images"]
    sure = sorted(image["confidence"] for image in every)
    assert len(sure) == 3
    banded = form(**wanted, reader_band=f"[0, {sure[0]}]")
    told = service.post(where, **banded, headers=accept).json()
    assert told["reader_band"] == [0, sure[0]]
    assert sure[0] in [image["confidence"] for image in told["images"]]
    assert all(image["confidence"] <= sure[0] for image in told["images"])
    for model, how, named in (
        ("read-plates", {"reader_band": "[0.9, 0.1]"}, "got 0.9 to 0.1"),
        ("read-plates", {"reader_band": "0.9 0.1"}, "reader_band"),
        ("read-plates", {"reader_band": "[0, 1]", "read_back": "false"}, "are read back"),
        ("plates", {"reader_band": "[0, 1]"}, "plates/1 has no reader"),
    ):
        status, message = refusal(
            service.post(f"/v1/models/{model}/stylize", **form(["京A12345"], **how))
        )
        assert status == 422
        assert named in message


def test_lines_without_a_reader_are_taken_as_they_are(service):
    body = {"random_texts": 3, "seed": 1, "format": "json"}
    answer = service.post("/v1/models/plates/generate", json=body)
    assert answer.json()["read_back"] is False
    assert answer.headers["x-made"] == "3"
    assert [image["confidence"] for image in answer.json()["images"]] == [None] * 3
    status, message = refusal(
        service.post("/v1/models/plates/stylize", **form(["京A12345"], read_back="true"))
    )
    assert status == 422
    assert "no reader" in message


def test_confidences_stand_in_the_manifest(service):
    body = {"random_texts": 4, "seed": 2}
    answer = service.post("/v1/models/read-plates/generate", json=body)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        *rows, last = map(json.loads, archive.read("manifest.jsonl").splitlines())
    assert all(0 < row["confidence"] < 1 for row in rows)
    assert answer.headers["x-kept"] == str(len(rows)) == str(last["summary"]["kept"])
    assert answer.headers["x-shortfall"] == str(sum(last["summary"]["shortfall"].values()))


def test_company_changes_nothing_of_what_is_read(models):
    generation = Generation(models)
    texts = ("京A12345", "浙F8GH07", "沪C77777", "苏E5K6L9")

    def chunk(count: int, seed: int, *, read_back: bool = True) -> Chunk:
        numbers = np.arange(count)
        return Chunk("read-plates/1", numbers, numbers, seed, read_back, texts=texts[:count])

    chunks = [chunk(3, 1), chunk(4, 2, read_back=False), chunk(1, 1), chunk(4, 3)]
    together = generation.draw(chunks)
    for one, drawing in zip(chunks, together, strict=True):
        (alone,) = generation.draw([one])
        assert alone.kept.tolist() == drawing.kept.tolist()
        assert alone.records == drawing.records
    assert together[1].kept.all()
    assert not np.concatenate([drawing.kept for drawing in together]).all()


def test_a_stylized_text_that_no_candidate_reads_as_is_refused_as_an_image(service, models):
    class ReadsNothing:
        band = (0.0, 1.0)

        def judge(self, images: Any, texts: Sequence[str], folds: Any, bands: Any) -> Judged:
            return Judged(np.zeros(len(texts), np.bool_), np.zeros(len(texts), np.float32))

    loaded = models._newest
    loaded["read-plates/1"] = replace(known := loaded["read-plates/1"], line_reader=ReadsNothing())
    try:
        png, where = {"Accept": "image/png"}, "/v1/models/read-plates/stylize"
        status, message = refusal(service.post(where, **form(["京A12345"]), headers=png))
        unread = form(["京A12345"], read_back="false")
        taken = service.post(where, **unread, headers=png)
        told = service.post(where, **form(["京A12345"]), headers={"Accept": "application/json"})
    finally:
        loaded["read-plates/1"] = known
    assert status == 422
    assert "none of 4 candidates" in message
    assert (taken.status_code, taken.headers["x-made"]) == (200, "1")
    assert told.json()["shortfall"] == {"京A12345": 1}
    assert told.headers["x-shortfall"] == "1"


def test_a_reader_of_another_alphabet_keeps_the_bundle_from_being_served(tmp_path):
    publish(tmp_path / "registry", tmp_path, "plates-cn", "plates", reads="words")
    folder = tmp_path / "registry/plates/1"
    assert load_bundle(folder).files.keys() >= {"reader/config.json", "reader/model.safetensors"}
    arguments = ServeArguments(registry=str(tmp_path / "registry"), half=False)
    with pytest.raises(BundleError, match="does not know"):
        load_model(folder, arguments)
    assert "does not know" in Models(arguments).failed["plates/1"]


@pytest.fixture
def url(service, monkeypatch):
    """A service in process, where httpx would call one."""
    monkeypatch.setattr(
        httpx, "stream", lambda method, url, **how: nullcontext(service.post(url, **how))
    )
    return "http://service/"


def test_the_client_asks_for_given_and_for_random_lines(url, tmp_path):
    how = {"seed": 3, "progress": False}
    texts = ["京A12345", "浙F8GH07"]
    got = line_client.write(url, "read-plates", texts, out=tmp_path / "a.zip", **how)
    assert got.asked == 2
    assert got.kept + got.shortfall == 2
    rows = line_client.unpack(got.path, tmp_path / "a")
    assert {row["label"] for row in rows} <= set(texts)
    assert all(0 < row["confidence"] < 1 for row in rows)
    bright = {"brightness": [0.5, 1.0]}
    got = line_client.write(url, "plates", 5, out=tmp_path / "b.zip", select=bright, **how)
    assert (got.seed, got.made, got.kept, got.dropped) == (3, 5, 5, 0)
    with pytest.raises(RequestError, match="no reader"):
        line_client.write(url, "plates", 1, out=tmp_path / "c.zip", read_back=True, **how)
    assert not list(tmp_path.glob("c*"))


def test_the_client_asks_for_lines_in_the_style_of_an_image(url, tmp_path):
    picture = tmp_path / "style.png"
    picture.write_bytes(encode_png(np.full((40, 120, 3), 90, np.uint8)))
    out, texts = tmp_path / "styled.zip", ["Hotel", "Open"]
    line_client.stylize(
        url, "words", picture, texts, out=out, image_text="Maple", seed=1, progress=False
    )
    rows = line_client.unpack(out, tmp_path / "styled")
    assert [row["label"] for row in rows] == texts
    assert all(row["styles"] is None for row in rows)
    with pytest.raises(RequestError, match="position 2"):
        line_client.stylize(url, "words", picture, ["a,b"], out=out, progress=False)


def test_the_client_asks_for_lines_within_a_band_of_the_readers_confidences(url, tmp_path):
    how = {"out": tmp_path / "z.zip", "seed": 7, "progress": False}
    picture = encode_png(np.full((40, 120, 3), 90, np.uint8))

    def write(texts, **more):
        return line_client.write(url, "read-plates", texts, **how, **more)

    def stylize(texts, **more):
        return line_client.stylize(url, "read-plates", picture, texts, **how, **more)

    texts = ["京A12345", "浙F8GH07"] * 3
    for ask in (write, stylize):
        every = line_client.unpack(ask(texts).path, tmp_path / f"{ask.__name__}-every")
        sure = [row["confidence"] for row in every]
        middle = (min(sure) + max(sure)) / 2
        told = ask(texts, reader_band=(middle, 1.0))
        kept = line_client.unpack(told.path, tmp_path / f"{ask.__name__}-surer")
        assert kept
        assert min(sure) < middle <= min(row["confidence"] for row in kept)
        with pytest.raises(RequestError, match="goes with images that are read back"):
            ask(["京A12345"], reader_band=(0.1, 0.9), read_back=False)
