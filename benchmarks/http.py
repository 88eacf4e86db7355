"""Images a second over HTTP against the same zip made by the same code without Serve."""

import asyncio
import socket
import tempfile
import time
from pathlib import Path

import httpx
from ray import serve

from augment.bundle import Registry
from benchmarks.untrained import write_untrained_bundle
from jobs.ray_context import ray_cluster
from serving.answers import export_bytes
from serving.app import build
from serving.fulfilment import LocalBackend, Order
from serving.models import Models
from serving.schemas import ServeArguments

__all__ = ["measure"]

PER_LABEL = 400
ROUNDS = 5


def measure() -> dict[str, float]:
    """Images a second both ways, interleaved, and their ratio."""
    with tempfile.TemporaryDirectory() as folder, ray_cluster():
        write_untrained_bundle(Path(folder, "bundle"), (16, 16), 1)
        registry = Registry(Path(folder, "registry"))
        registry.publish("digits", Path(folder, "bundle"))
        arguments = ServeArguments.model_validate({"registry": registry.root})
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(build(arguments))
        url = f"http://127.0.0.1:{port}/v1/models/digits/generate"
        local = LocalBackend(Models(arguments))
        served, direct = [], []
        for seed in range(ROUNDS + 1):
            started = time.perf_counter()
            over_http = _ask(url, seed)
            served.append(time.perf_counter() - started)
            started = time.perf_counter()
            in_process = asyncio.run(_make(local, seed))
            direct.append(time.perf_counter() - started)
            if over_http != in_process:
                raise AssertionError("the service and the same code made different zips")
    images = 10 * PER_LABEL
    speeds = {"http": images / min(served[1:]), "in_process": images / min(direct[1:])}
    return {**speeds, "ratio": speeds["http"] / speeds["in_process"]}


def _ask(url: str, seed: int) -> bytes:
    labels = {str(digit): PER_LABEL for digit in range(10)}
    body = {"labels": labels, "seed": seed, "read_back": False}
    response = httpx.post(url, json=body, timeout=300)
    response.raise_for_status()
    return response.content


async def _make(backend: LocalBackend, seed: int) -> bytes:
    sampler = backend.generation.sampler("digits/1")
    counts = dict.fromkeys(range(10), PER_LABEL)
    order = Order("digits/1", sampler.classes, counts, seed, read_back=False)
    return b"".join([piece async for piece in export_bytes(order, sampler.digest, backend)])
