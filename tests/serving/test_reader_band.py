"""A request's own band of confidences: what it keeps, and that its neighbours keep theirs."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.errors import BundleError
from recognizers.reader_files import read_band
from serving.fulfilment import LocalBackend
from serving.generation import Chunk

GENERATE = "/v1/models/digits/generate"
BODY = {"labels": {"3": 6}, "seed": 1, "format": "json"}


def indices_of(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [image["index"] for image in answer.json()["images"]]


def test_a_request_keeps_what_is_read_within_its_band(client: Any) -> None:
    band = [0.75 + 4 / 1024, 0.75 + 9 / 1024]  # samples 4 to 9, of which 5 and 8 are misread
    answer = client.post(GENERATE, json={**BODY, "reader_band": band})
    assert indices_of(answer) == [4, 6, 7, 9]
    told = answer.json()
    assert told["reader_band"] == band
    assert (told["made"], told["kept"], told["shortfall"]) == (24, 4, {"3": 2})
    without = client.post(GENERATE, json=BODY)
    assert indices_of(without) == [0, 1, 3, 4, 6, 7]
    assert without.json()["reader_band"] is None


def test_the_manifest_says_within_which_band(client: Any) -> None:
    body = {**BODY, "format": "zip", "reader_band": [0, 0.75]}
    with zipfile.ZipFile(io.BytesIO(client.post(GENERATE, json=body).content)) as archive:
        *rows, last = map(json.loads, archive.read("manifest.jsonl").splitlines())
    assert [row["confidence"] for row in rows] == [0.75]
    assert last["summary"]["reader_band"] == [0, 0.75]


def test_a_request_may_ask_for_what_the_reader_itself_would_drop(
    client: Any, backend: LocalBackend
) -> None:
    reader: Any = backend.models.model("digits/1").reader
    reader.band = (0.9, 1.0)
    assert not indices_of(client.post(GENERATE, json=BODY))
    assert indices_of(client.post(GENERATE, json={**BODY, "reader_band": [0, 0.755]})) == [
        0,
        1,
        3,
        4,
    ]


def test_requests_with_other_bands_share_a_batch_and_keep_their_own(backend: LocalBackend) -> None:
    generation = backend.generation

    def chunk(*labels: int, band: tuple[float, float] | None, read_back: bool = True) -> Chunk:
        indices = np.arange(len(labels))
        return Chunk("digits/1", np.array(labels), indices, 1, read_back, band)

    chunks = [
        chunk(0, 0, band=(0.75, 0.7505)),
        chunk(1, 1, band=None),
        chunk(0, 0, band=None, read_back=False),
        chunk(1, 1, band=(0.7505, 0.8)),
    ]
    sampler: Any = generation.sampler("digits/1")
    together = generation.draw(chunks)
    assert sampler.batches == [8]
    assert [drawing.kept.tolist() for drawing in together] == [
        [True, False],
        [True, True],
        [True, True],
        [False, True],
    ]
    for one, drawing in zip(chunks, together, strict=True):
        assert generation.draw([one])[0].records == drawing.records
        assert generation.draw([replace(one, seed=2), one])[1].records == drawing.records


@pytest.mark.parametrize(
    ("band", "named"),
    [
        ([0.9, 0.1], "got 0.9 to 0.1"),
        ([0.5, 0.5], "rise within [0, 1]"),
        ([-0.1, 0.5], "rise within [0, 1]"),
        ([0.5, 1.1], "rise within [0, 1]"),
        ([float("nan"), 1], "got nan to 1"),
        ([0.5], "reader_band"),
        ([0.1, 0.5, 0.9], "reader_band"),
        (["0.1", "0.9"], "valid number"),
        (0.5, "reader_band"),
    ],
    ids=str,
)
def test_a_band_that_does_not_rise_within_0_and_1_is_refused(
    client: Any, band: Any, named: str
) -> None:
    content = json.dumps({**BODY, "reader_band": band})
    answer = client.post(GENERATE, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert named in answer.json()["error"]["message"]


def test_a_band_without_a_reader_or_without_reading_back_is_refused(client: Any) -> None:
    body = {**BODY, "reader_band": [0.1, 1]}
    answer = client.post("/v1/models/plain/generate", json=body)
    assert answer.status_code == 422
    assert "plain/1 has no reader; leave reader_band out" in answer.json()["error"]["message"]
    answer = client.post(GENERATE, json={**body, "read_back": False})
    assert answer.status_code == 422
    assert "images that are read back" in answer.json()["error"]["message"]


def test_the_description_of_a_bundle_tells_its_readers_own_band(
    client: Any, tmp_path: Path
) -> None:
    assert client.get("/v1/models/digits").json()["reader_band"] == [0, 1], "of a reader of old"
    assert client.get("/v1/models/plain").json()["reader_band"] is None
    config = tmp_path / "config.json"
    config.write_text('{"band": [0.2, 0.9]}')
    assert read_band(tmp_path) == (0.2, 0.9)
    for damaged in ("[]", "{", '{"band": [1]}', '{"band": null}'):
        config.write_text(damaged)
        with pytest.raises(BundleError, match="expected the description of a reader"):
            read_band(tmp_path)


def test_the_band_is_documented_for_both_routes(client: Any) -> None:
    told = client.get("/openapi.json").json()
    stylize = told["paths"]["/v1/models/{name}/stylize"]["post"]["requestBody"]["content"]
    schemas = [told["components"]["schemas"]["GenerateRequest"]]
    schemas += [content["schema"] for content in stylize.values()]
    for schema in schemas:
        band = schema["properties"]["reader_band"]
        assert "0 ≤ low < high ≤ 1" in band["description"]
        assert band["anyOf"][0] == {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "prefixItems": [{"type": "number"}, {"type": "number"}],
        }
