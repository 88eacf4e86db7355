"""The whole service once: a real bundle, Ray Serve, HTTP over loopback."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import ray
import torch
from ray import serve

from augment.bundle import Registry
from augment.config import with_overrides
from augment.data.datasets import LabelledImages, open_data
from augment.editing import Editor
from augment.errors import LabelError
from augment.generators import GENERATORS
from augment.generators.base import write_bundle
from augment.generators.saae import CONFIGS
from augment.images import encode_png
from augment.models.saae import SAAE
from recognizers.character import CharacterRecognizer
from recognizers.reader import CrossFittedReader, save_reader
from serving.answers import export_bytes
from serving.app import build
from serving.catalog import Catalog
from serving.client import ask, unpack, wait_until_ready
from serving.fulfilment import LocalBackend, Order
from serving.models import Models
from serving.schemas import ServeArguments

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]  # Ray warns in many ways

LABELS = {str(digit): 3 + digit for digit in range(10)}


def publish_untrained(root: Path, scratch: Path) -> None:
    """Publish a bundle of an untrained generator and an untrained reader of digits."""
    digits = open_data("digits:")
    rows = [int(np.flatnonzero(digits.labels == c)[0]) for c in range(10)]
    data = digits.subset(rows)
    config = with_overrides(CONFIGS["labelmint"], ["model.width=4", "model.style_dim=8"])
    shape: dict[str, Any] = {"image_size": data.image_size, "channels": data.channels}
    model = SAAE(config.model, num_classes=10, **shape).eval()
    torch.manual_seed(0)  # an untrained reader reads nearly all as one digit
    readers = [CharacterRecognizer(10, **shape).eval() for _ in range(2)]
    save_reader(scratch / "reader", CrossFittedReader(readers, data.classes))
    write_bundle(scratch, model, data, config)
    Registry(root).publish("digits", scratch)


def publish_untrained_faces(root: Path, scratch: Path) -> None:
    """Publish a bundle that works on images."""
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    data = LabelledImages.from_arrays(images, np.arange(4) % 2, ("a", "b"))
    settings = ["model.width=4", "model.hidden=8", "model.latent_dim=6"]
    config = with_overrides(GENERATORS["vae_gan"]["labelmint"], settings)
    write_bundle(scratch, config.build_model(data).eval(), data, config)
    Registry(root).publish("faces", scratch)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    root, scratch = tmp_path_factory.mktemp("registry"), tmp_path_factory.mktemp("bundle")
    publish_untrained(root, scratch)
    publish_untrained_faces(root, tmp_path_factory.mktemp("faces"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ServeArguments(registry=str(root), batch_size=16, threads=1, compile=False)
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(build(arguments), name="labelmint")
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url)
        yield SimpleNamespace(url=url, arguments=arguments, post=f"{url}/v1/models/digits/generate")
    finally:
        serve.shutdown()
        ray.shutdown()


@pytest.mark.parametrize("read_back", [True, False])
def test_http_gives_the_same_bytes_as_the_same_code_without_serve(
    service: SimpleNamespace, tmp_path: Path, read_back: bool
) -> None:
    archive = tmp_path / "digits.zip"
    told = ask(
        service.url,
        "digits",
        LABELS,
        out=archive,
        seed=4,
        read_back=read_back,
        progress=False,
    )
    rows = unpack(archive, tmp_path / "digits")
    assert (told.asked, told.seed) == (75, 4)
    assert len(rows) == told.kept == 75 - told.shortfall
    assert 0 < told.kept < 75 if read_back else told.kept == 75
    assert told.made == told.kept + told.dropped

    async def in_process() -> bytes:
        entry = Catalog(service.arguments.registry).entry("digits")
        counts = entry.count_by_class(LABELS)
        order = Order(entry.bundle, entry.info.classes, counts, 4, read_back)
        backend = LocalBackend(Models(service.arguments))
        return b"".join([p async for p in export_bytes(order, entry.info.digest, backend)])

    assert asyncio.run(in_process()) == archive.read_bytes()


def test_requests_at_the_same_time_get_what_they_would_get_alone(service: SimpleNamespace) -> None:
    bodies = [
        {"labels": {"3": 5 + seed, "8": 3}, "seed": seed, "read_back": False} for seed in range(6)
    ]

    async def at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60) as client:
            good = [client.post(service.post, json=body) for body in bodies]
            bad = client.post(service.post, json={"labels": {"none": 1}})
            return await asyncio.gather(*good, bad)

    *answers, refused = asyncio.run(at_once())
    alone = [httpx.post(service.post, json=body, timeout=60).content for body in bodies]
    assert [answer.content for answer in answers] == alone
    assert refused.json()["error"]["type"] == LabelError.__name__


@pytest.mark.parametrize(
    ("request_parts", "status"),
    [
        ({"json": {"labels": {"3": 10_000_000}}}, 422),
        ({"json": {"labels": {"3": 0}}}, 422),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    ],
)
def test_bad_input_is_a_4xx_in_json_through_the_proxy(
    service: SimpleNamespace, request_parts: dict[str, Any], status: int
) -> None:
    answer = httpx.post(service.post, **request_parts)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"type", "message"}


def test_work_on_images_at_the_same_time_is_what_an_editor_does(service: SimpleNamespace) -> None:
    images = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    address = service.post.replace("digits/generate", "faces/reconstruct")

    async def at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60) as client:
            files = [encode_png(image) for image in images] + [b"no image"]
            return await asyncio.gather(
                *(client.post(address, files={"image": file}) for file in files)
            )

    *answers, refused = asyncio.run(at_once())
    folder = Path(service.arguments.registry, "faces", "1")
    size = service.arguments.edit_batch_size
    expected = Editor.load(folder, batch_size=size).reconstruct(list(images))
    assert [answer.content for answer in answers] == [encode_png(image) for image in expected]
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "ImageError")


def test_the_page_and_the_models_are_served(service: SimpleNamespace) -> None:
    assert "<title>Labelmint</title>" in httpx.get(service.url).text
    assert httpx.get(f"{service.url}/v1/models/digits").json()["reader"] is True


def test_the_client_tells_a_refusal_in_the_words_of_the_service(
    service: SimpleNamespace, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="unknown label 'x'; digits/1 draws: 0, 1"):
        ask(service.url, "digits", {"x": 1}, out=tmp_path / "no.zip", progress=False)
    assert list(tmp_path.iterdir()) == []
