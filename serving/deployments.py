"""The replica under Ray Serve: what a process can do, in batches shared by many requests."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from augment.errors import AugmentError
from augment.generate import Style
from augment.generators.line_sampler import LineStyle
from augment.images import Pixels
from serving.fulfilment import LocalBackend
from serving.generation import Chunk, Drawing, StyleSource
from serving.image_tasks import ImageTask
from serving.models import LoadModel, Models, load_model
from serving.schemas import Health, ServeArguments

__all__ = ["HandleBackend", "Replica", "replica_deployment", "with_threads"]

CONCURRENT_BATCHES = 2
"""One batch is drawn while the one before it is encoded."""
HEALTH_TIMEOUT_S = 2.0


def count_images(chunks: Sequence[Chunk]) -> int:
    """Size of a batch of chunks, in images."""
    return sum(map(len, chunks))


class Replica(LocalBackend):
    """Draws chunks and does image tasks of many requests in shared batches.

    What is bad is refused before it joins a batch.
    """

    def __init__(self, arguments: ServeArguments, load: LoadModel = load_model) -> None:
        """Load the models; the replica counts as started once that is done."""
        super().__init__(Models(arguments, load))
        most = arguments.edit_batch_size

        def count_tasks(tasks: Sequence[ImageTask]) -> int:
            return sum(min(task.cost, most) for task in tasks)  # a long morph fills a batch

        self._draw_batched = serve.batch(
            max_batch_size=arguments.batch_size,
            batch_wait_timeout_s=arguments.batch_wait_s,
            max_concurrent_batches=CONCURRENT_BATCHES,
            batch_size_fn=count_images,
        )(self._draw_batch)
        self._work_batched = serve.batch(
            max_batch_size=most,
            batch_wait_timeout_s=arguments.batch_wait_s,
            batch_size_fn=count_tasks,
        )(self._work_batch)

    async def call(self, method: str, *values: Any) -> Any:
        """Call a method of ``Backend``; an error of ours travels as a value.

        Ray would otherwise wrap it with a traceback of the replica.
        """
        try:
            return await getattr(self, method)(*values)
        except AugmentError as error:
            return error

    async def draw_checked(self, chunk: Chunk) -> Drawing:
        """Draw a chunk in whatever batch it falls."""
        drawing: Drawing = await self._draw_batched(chunk)
        return drawing

    async def work_prepared(self, task: ImageTask) -> Pixels | AugmentError:
        """Do a task in whatever batch it falls."""
        result: Pixels | AugmentError = await self._work_batched(task)
        return result

    async def _draw_batch(self, chunks: list[Chunk]) -> list[Drawing]:
        return await asyncio.to_thread(self.generation.draw, chunks)

    async def _work_batch(self, tasks: list[ImageTask]) -> list[Pixels | AugmentError]:
        return await asyncio.to_thread(self.editing.work, tasks)


class HandleBackend:
    """The ``Backend`` of fulfilment.py over a Serve handle; spreads a request over replicas."""

    def __init__(self, handle: DeploymentHandle, arguments: ServeArguments) -> None:
        """Work through ``handle``."""
        self._handle = handle
        self.chunk_size = arguments.batch_size
        self.window = (CONCURRENT_BATCHES + 1) * arguments.replicas

    async def draw(self, chunk: Chunk) -> Drawing:
        """As ``Backend.draw``."""
        drawing: Drawing = await self._call("draw", chunk)
        return drawing

    async def style(self, source: StyleSource) -> Style | LineStyle:
        """As ``Backend.style``."""
        style: Style | LineStyle = await self._call("style", source)
        return style

    async def work(self, task: ImageTask) -> Pixels:
        """As ``Backend.work``."""
        images: Pixels = await self._call("work", task)
        return images

    async def health(self) -> Health:
        """As ``Backend.health``; ``loading`` while no replica has started."""
        call = asyncio.ensure_future(self._call("health"))
        done, _ = await asyncio.wait([call], timeout=HEALTH_TIMEOUT_S)
        if not done:
            call.cancel()
            return Health(status="loading", models=[])
        health: Health = call.result()
        return health

    async def _call(self, method: str, *values: object) -> Any:
        answer = await self._handle.call.remote(method, *values)
        if isinstance(answer, AugmentError):
            raise answer
        return answer


def replica_deployment(arguments: ServeArguments) -> serve.Deployment:
    """Return the deployment of replicas, sized by the arguments."""
    on_gpu = arguments.device.startswith("cuda")
    return serve.deployment(
        Replica,
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
