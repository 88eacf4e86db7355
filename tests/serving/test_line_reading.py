"""Lines of text that the service reads back, and the confidences a request keeps."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lines_service import form, images_of, publish_lines, refusal

from augment.bundle import load_bundle
from augment.errors import BundleError
from augment.generators.line_reading import Judged
from augment.generators.line_saae import load_line_sampler
from serving.generation import Chunk, Generation
from serving.models import Models, load_model
from serving.schemas import ServeArguments


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


def test_company_changes_nothing_of_what_is_read(line_models):
    generation = Generation(line_models)
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


def test_a_stylized_text_that_no_candidate_reads_as_is_refused_as_an_image(service, line_models):
    class ReadsNothing:
        band = (0.0, 1.0)

        def judge(self, images: Any, texts: Sequence[str], folds: Any, bands: Any) -> Judged:
            return Judged(np.zeros(len(texts), np.bool_), np.zeros(len(texts), np.float32))

    loaded = line_models._newest
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
    publish_lines(tmp_path / "registry", tmp_path, "plates-cn", "plates", reads="words")
    folder = tmp_path / "registry/plates/1"
    assert load_bundle(folder).files.keys() >= {"reader/config.json", "reader/model.safetensors"}
    arguments = ServeArguments(registry=str(tmp_path / "registry"), half=False)
    with pytest.raises(BundleError, match="does not know"):
        load_model(folder, arguments)
    assert "does not know" in Models(arguments).failed["plates/1"]
