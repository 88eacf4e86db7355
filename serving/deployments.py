"""The generation replica under Ray Serve: the plain class of generation.py, batched by images."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from augment.errors import AugmentError
from augment.generate import Style
from augment.images import Pixels
from serving.generation import Chunk, Drawing, Generation, LoadModel, load_model
from serving.schemas import Health, ServeArguments

__all__ = ["GenerationReplica", "HandleBackend", "generation_deployment"]

CONCURRENT_BATCHES = 2
"""One batch is drawn while the one before it is encoded."""
HEALTH_TIMEOUT_S = 2.0


def count_images(chunks: Sequence[Chunk]) -> int:
    """Size of a batch, in images."""
    return sum(map(len, chunks))


class GenerationReplica:
    """Draws chunks from many requests in shared batches.

    A bad chunk is refused before it joins a batch, and the error travels as a value: Ray
    would otherwise wrap it with a traceback of the replica.
    """

    def __init__(self, arguments: ServeArguments, load: LoadModel = load_model) -> None:
        """Load the models; the replica counts as started once that is done."""
        self.generation = Generation(arguments, load)
        self._batched = serve.batch(
            max_batch_size=arguments.batch_size,
            batch_wait_timeout_s=arguments.batch_wait_s,
            max_concurrent_batches=CONCURRENT_BATCHES,
            batch_size_fn=count_images,
        )(self._draw_batch)

    async def draw(self, chunk: Chunk) -> Drawing | AugmentError:
        """Draw a chunk in whatever batch it falls."""
        try:
            await asyncio.to_thread(self.generation.check, chunk)
        except AugmentError as error:
            return error
        drawing: Drawing = await self._batched(chunk)
        return drawing

    async def style(
        self,
        bundle: str,
        ids: tuple[int, ...],
        images: tuple[Pixels, ...],
        weights: tuple[float, ...],
    ) -> Style | AugmentError:
        """Look up or encode a style."""
        try:
            return await asyncio.to_thread(
                self.generation.style, bundle, ids=ids, images=images, weights=weights
            )
        except AugmentError as error:
            return error

    async def health(self) -> Health:
        """Say what is loaded."""
        return self.generation.health()

    async def _draw_batch(self, chunks: list[Chunk]) -> list[Drawing]:
        return await asyncio.to_thread(self.generation.draw, chunks)


class HandleBackend:
    """The ``Backend`` of fulfilment.py over a Serve handle; spreads a request over replicas."""

    def __init__(self, handle: DeploymentHandle, arguments: ServeArguments) -> None:
        """Draw through ``handle``."""
        self._handle = handle
        self.chunk_size = arguments.batch_size
        self.window = (CONCURRENT_BATCHES + 1) * arguments.replicas

    async def draw(self, chunk: Chunk) -> Drawing:
        """As ``Backend.draw``."""
        drawing: Drawing = _raised(await self._handle.draw.remote(chunk))
        return drawing

    async def style(
        self,
        bundle: str,
        ids: tuple[int, ...],
        images: tuple[Pixels, ...],
        weights: tuple[float, ...],
    ) -> Style:
        """As ``Backend.style``."""
        style: Style = _raised(await self._handle.style.remote(bundle, ids, images, weights))
        return style

    async def health(self) -> Health:
        """As ``Backend.health``; ``loading`` while no replica has started."""
        call = asyncio.ensure_future(_awaited(self._handle.health.remote()))
        done, _ = await asyncio.wait([call], timeout=HEALTH_TIMEOUT_S)
        if not done:
            call.cancel()
            return Health(status="loading", models=[])
        health: Health = call.result()
        return health


async def _awaited(response: Any) -> Any:
    return await response


def _raised(answer: Any) -> Any:
    """Raise an error that travelled as a value."""
    if isinstance(answer, AugmentError):
        raise answer
    return answer


def generation_deployment(arguments: ServeArguments) -> serve.Deployment:
    """Return the generation deployment, sized by the arguments."""
    on_gpu = arguments.device.startswith("cuda")
    return serve.deployment(
        GenerationReplica,
        name="Generation",
        num_replicas=arguments.replicas,
        max_ongoing_requests=2 * CONCURRENT_BATCHES * arguments.batch_size,
        ray_actor_options={"num_cpus": 1, "num_gpus": 1 if on_gpu else 0},
        logging_config={"enable_access_log": False},  # the ingress logs requests, not chunks
    )


def with_threads(arguments: ServeArguments) -> ServeArguments:
    """Fill in the Torch threads of a replica: its share of this machine's cores."""
    if arguments.threads is not None:
        return arguments
    cores = len(os.sched_getaffinity(0))
    return arguments.model_copy(update={"threads": max(1, cores // arguments.replicas)})
