"""Batching by Ray Serve, within one process and without a cluster."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray import serve
from ray.serve.batching import _BatchQueue

from augment.errors import BundleNotFoundError, LabelError, RequestError
from augment.restoration.faces import FaceBox
from serving.deployments import (
    HandleBackend,
    Replica,
    count_images,
    replica_deployment,
    with_threads,
)
from serving.generation import Chunk, StyleSource
from serving.image_tasks import Edit, Morph, Reconstruct, SuperResolve
from serving.models import LoadModel
from serving.schemas import Health, ServeArguments


@pytest.fixture(autouse=True, scope="session")
def _quiet_queues() -> None:
    """A batch queue that is collected after its loop has ended opens a new loop and leaks it."""
    del _BatchQueue.__del__  # for good: a queue may be collected after this module's last test


@pytest.fixture(autouse=True)
def _replica_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """``serve.batch`` asks the replica it runs in for its names and its limit of requests."""
    context = SimpleNamespace(
        deployment="Generation",
        replica_tag="only",
        app_name="test",
        _deployment_config=SimpleNamespace(max_ongoing_requests=1000),
    )
    monkeypatch.setattr("ray.serve.context._INTERNAL_REPLICA_CONTEXT", context)


@pytest.fixture
def arguments(registry: Path) -> ServeArguments:
    return ServeArguments(registry=str(registry), batch_size=8, batch_wait_s=0.2)


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    """The one event loop of a replica."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def replica(arguments: ServeArguments, load_known: LoadModel, loop: asyncio.Runner) -> Replica:
    async def start() -> Replica:
        return Replica(arguments, load_known)

    return loop.run(start())


def handle_to(replica: Any) -> Any:
    """A deployment handle whose calls run in this process."""
    return SimpleNamespace(call=SimpleNamespace(remote=replica.call))


def chunk(labels: list[int], seed: int) -> Chunk:
    return Chunk("digits/1", np.array(labels), np.arange(len(labels)), seed, read_back=True)


async def together(call: Callable[[Any], Awaitable[Any]], *chunks: Any) -> list[Any]:
    return await asyncio.gather(*map(call, chunks), return_exceptions=True)


def test_one_bad_chunk_among_good_ones_fails_alone(
    replica: Replica, arguments: ServeArguments, loop: asyncio.Runner
) -> None:
    backend = HandleBackend(handle_to(replica), arguments)
    elsewhere = replace(chunk([0], 4), bundle="none/1")
    chunks = [chunk([0, 1], 1), chunk([9], 3), chunk([1], 2), elsewhere]
    first, bad_label, second, bad_bundle = loop.run(together(backend.draw, *chunks))
    assert isinstance(bad_label, LabelError)
    assert isinstance(bad_bundle, BundleNotFoundError)
    assert [record.seed for record in first.records] == [1, 1]
    assert [record.seed for record in second.records] == [2]


def test_chunks_share_batches_up_to_the_batch_size_in_images(
    replica: Replica, loop: asyncio.Runner
) -> None:
    sampler: Any = replica.generation.sampler("digits/1")
    chunks = [chunk([0, 0, 0], seed) for seed in range(3)]
    drawings = loop.run(together(replica.draw, *chunks))
    assert sorted(sampler.batches) == [3, 6]  # three chunks of 3 in batches of 8
    assert [drawing.records[0].seed for drawing in drawings] == [0, 1, 2]


def test_styles_and_health_pass_through_the_handle(
    replica: Replica, arguments: ServeArguments, loop: asyncio.Runner
) -> None:
    backend = HandleBackend(handle_to(replica), arguments)
    assert loop.run(backend.style(StyleSource("digits/1", ids=(2,)))).vector == (2.0,)
    assert loop.run(backend.health()).models == ["digits/1", "plain/1"]
    with pytest.raises(ValueError, match="style ids"):
        loop.run(backend.style(StyleSource("digits/1", ids=(99,))))


def test_health_is_loading_while_no_replica_answers(
    arguments: ServeArguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(method: str) -> Health:
        await asyncio.Event().wait()
        raise AssertionError

    silent = SimpleNamespace(call=never)
    monkeypatch.setattr("serving.deployments.HEALTH_TIMEOUT_S", 0.01)
    health = asyncio.run(HandleBackend(handle_to(silent), arguments).health())
    assert health.status == "loading"


def test_a_batch_is_counted_in_images() -> None:
    assert count_images([chunk([0, 0, 0], 1), chunk([1], 2)]) == 4


def test_replicas_share_the_cores_unless_told_otherwise() -> None:
    many = with_threads(ServeArguments(registry="r", replicas=64))
    assert many.threads is not None
    assert many.threads >= 1
    assert with_threads(ServeArguments(registry="r", threads=3)).threads == 3


# --- work on images --------------------------------------------------------------------------

SHADES = [np.full((32, 32, 3), 40 * i, np.uint8) for i in range(5)]


def level_of(images: Any) -> int:
    assert len(images) == 1
    return round(float(images.mean()))


@pytest.fixture
def face_replica(face_registry: Path, load_known: LoadModel, loop: asyncio.Runner) -> Replica:
    async def start() -> Replica:
        arguments = ServeArguments(registry=str(face_registry), batch_wait_s=0.2)
        return Replica(arguments, load_known)

    return loop.run(start())


def test_one_bad_task_among_good_ones_fails_alone(
    face_replica: Replica, loop: asyncio.Runner
) -> None:
    backend = HandleBackend(handle_to(face_replica), face_replica.models.arguments)
    good = [Reconstruct(bundle="faces/1", image=shade) for shade in SHADES]
    bad = [
        Reconstruct(bundle="faces/1", image=SHADES[0], box=FaceBox(0, 0, 99, 99)),
        Reconstruct(bundle="faces/1", image=SHADES[0], label=1),
        Reconstruct(bundle="digits/1", image=SHADES[0]),
        Reconstruct(bundle="none/1", image=SHADES[0]),
        Edit(bundle="faces/1", image=SHADES[0], attributes={"Smiling": 1e9}),
    ]
    done = loop.run(together(backend.work, *bad[:2], *good, *bad[2:]))
    assert [level_of(images) for images in done[2:7]] == [0, 40, 80, 120, 160]
    refused = done[:2] + done[7:]
    assert [type(error) for error in refused] == [
        *(RequestError, RequestError, RequestError, BundleNotFoundError, RequestError)
    ]


def test_a_task_that_fails_in_a_batch_fails_alone_too(
    face_replica: Replica, loop: asyncio.Runner
) -> None:
    good = [SuperResolve(bundle="faces/1", image=shade, scale=2) for shade in SHADES]
    long = SuperResolve(bundle="faces/1", image=np.zeros((2, 4100, 3), np.uint8), scale=2)
    first, refused, *rest = loop.run(together(face_replica.work, good[0], long, *good[1:]))
    assert isinstance(refused, RequestError)
    assert [level_of(images) for images in (first, *rest)] == [0, 40, 80, 120, 160]


def test_tasks_of_one_kind_share_a_batch_and_a_morph_fills_one(
    face_replica: Replica, loop: asyncio.Runner
) -> None:
    coder: Any = face_replica.models.model("faces/1").editor.coder  # type: ignore[union-attr]
    tasks = [Reconstruct(bundle="faces/1", image=shade) for shade in SHADES]
    edits = [Edit(bundle="faces/1", image=SHADES[1], attributes={"Smiling": 1.0})] * 2
    done = loop.run(together(face_replica.work, tasks[0], *edits, *tasks[1:]))
    assert [level_of(images) for images in done] == [0, 71, 71, 40, 80, 120, 160]
    assert coder.batches == [8, 8, 8]  # padded: all reconstructions; an edit, before and after
    pair = (SHADES[0], SHADES[2])
    walks = [Morph(bundle="faces/1", images=pair, steps=steps) for steps in (3, 100)]
    short, long = loop.run(together(face_replica.work, *walks))
    assert [round(float(frame.mean())) for frame in short] == [0, 40, 80]
    assert len(long) == 100


def test_the_deployment_runs_under_serve_and_is_called_through_its_handle(
    face_registry: Path, load_known: LoadModel
) -> None:
    arguments = ServeArguments(registry=str(face_registry))
    application = replica_deployment(arguments).bind(arguments, load_known)
    handle = serve.run(application, _local_testing_mode=True)
    backend = HandleBackend(handle, arguments)
    task = Reconstruct(bundle="faces/1", image=SHADES[3])

    async def both() -> tuple[Any, Any]:
        return await backend.work(task), await backend.draw(chunk([0, 1], 1))

    images, drawing = asyncio.run(both())
    assert level_of(images) == 120
    assert [record.label for record in drawing.records] == ["3", "7"]
