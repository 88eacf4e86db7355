import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.bundle import Registry
from augment.errors import AugmentError, BundleError, LabelError, RequestError
from serving.app import create_app
from serving.catalog import Catalog
from serving.fulfilment import LocalBackend
from serving.generation import Chunk, Generation, StyleSource


@pytest.fixture
def generation(backend: LocalBackend) -> Generation:
    return backend.generation


def chunk(*labels: int, seed: int = 0, bundle: str = "digits/1", read_back: bool = True) -> Chunk:
    return Chunk(bundle, np.array(labels), np.arange(len(labels)), seed, read_back)


def test_chunks_of_several_requests_share_one_batch_and_get_their_own_images(
    generation: Generation,
) -> None:
    chunks = [chunk(0, 0, 0, seed=1), chunk(1, 1, seed=2, read_back=False)]
    drawings = generation.draw(chunks)
    sampler: Any = generation.sampler("digits/1")
    assert sampler.batches == [5]
    assert [d.kept.tolist() for d in drawings] == [[True, True, False], [True, True]]
    assert [(r.label, r.index, r.seed) for r in drawings[0].records] == [("3", 0, 1), ("3", 1, 1)]
    assert [(r.label, r.seed, r.confidence) for r in drawings[1].records] == [("7", 2, None)] * 2


def test_a_chunk_is_drawn_the_same_alone_and_in_company(generation: Generation) -> None:
    mine = chunk(0, 1, 0, seed=7)
    alone = generation.draw([mine])[0]
    others = [chunk(1, 1, seed=8), chunk(0, bundle="plain/1", read_back=False)]
    together = generation.draw([others[0], mine, others[1]])[1]
    assert together.records == alone.records
    assert together.kept.tolist() == alone.kept.tolist()


def test_chunks_of_other_models_and_styles_are_drawn_apart_but_answered_in_order(
    generation: Generation,
) -> None:
    style = generation.style(StyleSource("digits/1", ids=(3,)))
    styled = replace(chunk(0, seed=2), style=style)
    answers = generation.draw(
        [styled, chunk(0, seed=1), chunk(1, bundle="plain/1", read_back=False)]
    )
    assert [answer.records[0].styles for answer in answers] == [None, (0, 0), (0, 0)]
    assert answers[2].records[0].bundle != answers[1].records[0].bundle


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (chunk(3), LabelError),
        (chunk(-1), LabelError),
        (chunk(0, bundle="plain/1"), RequestError),
        (chunk(*[0] * 9), RequestError),
        (chunk(0, bundle="none/1"), LookupError),
    ],
)
def test_check_refuses_what_would_fail(
    generation: Generation, bad: Chunk, error: type[Exception]
) -> None:
    with pytest.raises(error):
        generation.check(bad)
    generation.check(chunk(0, 1, 2))


def test_a_damaged_bundle_is_left_out_and_told_while_the_others_serve(
    registry: Path, make_backend: Callable[[Path], LocalBackend], make_client: Callable[..., Any]
) -> None:
    samples = registry / "digits" / "1" / "samples.png"
    samples.write_bytes(samples.read_bytes()[:-1] + b"?")
    backend = make_backend(registry)
    client = make_client(create_app(Catalog(str(registry)), backend))

    health = client.get("/healthz")
    assert health.status_code == 200
    assert health.json()["models"] == ["plain/1"]
    assert "SHA-256" in health.json()["failed"]["digits/1"]
    with pytest.raises(BundleError):
        backend.generation.check(chunk(0))
    for answer in (
        client.get("/v1/models/digits"),
        client.post("/v1/models/digits/generate", json={"labels": {"3": 1}}),
    ):
        assert answer.status_code == 409
        assert answer.json()["error"]["type"] == "BundleError"
    assert "SHA-256" in client.get("/v1/models").json()["models"][0]["error"]


def test_without_any_sound_bundle_the_service_is_not_ready(
    registry: Path, make_backend: Callable[[Path], LocalBackend], make_client: Callable[..., Any]
) -> None:
    for name in ("digits", "plain"):
        config = registry / name / "1" / "config.json"
        config.write_text(config.read_text().replace('"format"', '"unheard_of"'))
    backend = make_backend(registry)
    client = make_client(create_app(Catalog(str(registry)), backend))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    assert "unheard_of" in answer.json()["failed"]["plain/1"]


def test_versions_published_later_are_loaded_when_asked_for_and_few_are_kept(
    backend: LocalBackend, registry: Path
) -> None:
    models = backend.models
    keep = models.arguments.spare_models
    for _ in range(keep + 2):
        Registry(registry).publish("digits", registry / "digits" / "1")
    loaded = [models.model(f"digits/{version}") for version in range(2, keep + 4)]
    assert models.model(f"digits/{keep + 3}") is loaded[-1]
    assert models.model("digits/2") is not loaded[0]
    shutil.rmtree(registry / "digits" / "3")
    with pytest.raises(AugmentError, match="no version '3'"):
        models.model("digits/3")
