"""From a checked request to its records: split into chunks, read back, draw on until kept.

Large requests are cut into chunks of one batch, few of which are under way at a time, so a
small request never waits for a large one to end. What is drawn depends on the request alone,
not on how its chunks were mixed with others'.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from augment.candidates import MAX_FACTOR, Tally, Wanted
from augment.errors import AugmentError
from augment.export import Record
from augment.generate import Style
from augment.generators.line_sampler import LineStyle
from augment.generators.line_styles import StyleSelection
from augment.images import Pixels
from serving.generation import Chunk, Drawing, Generation, StyleSource
from serving.image_tasks import Editing, ImageTask
from serving.models import Models
from serving.schemas import Health

__all__ = ["Backend", "LocalBackend", "Order", "draw_order"]


class Backend(Protocol):
    """Where the work is done: replicas behind Ray Serve, or this process."""

    chunk_size: int
    """Images of a chunk at most."""
    window: int
    """Chunks of one request under way at a time."""

    async def draw(self, chunk: Chunk) -> Drawing:
        """Draw one chunk; raises AugmentError for a bad one."""

    async def style(self, source: StyleSource) -> Style | LineStyle:
        """Look up or encode a style; raises AugmentError for a bad one."""

    async def work(self, task: ImageTask) -> Pixels:
        """Work on images: (n, H, W, C), see ``ImageTask``; raises AugmentError for a bad task."""

    async def health(self) -> Health:
        """Whether the models are loaded."""


class LocalBackend:
    """A ``Backend`` in threads of this process: in tests and notebooks, and in each replica."""

    window = 2

    def __init__(self, models: Models) -> None:
        """Work with ``models``."""
        self.models = models
        self.generation, self.editing = Generation(models), Editing(models)
        self.chunk_size = models.arguments.batch_size

    async def draw(self, chunk: Chunk) -> Drawing:
        """As ``Backend.draw``."""
        await asyncio.to_thread(self.generation.check, chunk)
        return await self.draw_checked(chunk)

    async def style(self, source: StyleSource) -> Style | LineStyle:
        """As ``Backend.style``."""
        return await asyncio.to_thread(self.generation.style, source)

    async def work(self, task: ImageTask) -> Pixels:
        """As ``Backend.work``."""
        prepared = await asyncio.to_thread(self.editing.prepare, task)
        result = await self.work_prepared(prepared)
        if isinstance(result, AugmentError):
            raise result
        return result

    async def health(self) -> Health:
        """As ``Backend.health``."""
        return self.models.health()

    async def draw_checked(self, chunk: Chunk) -> Drawing:
        """Draw a chunk that was checked, by itself."""
        return (await asyncio.to_thread(self.generation.draw, [chunk]))[0]

    async def work_prepared(self, task: ImageTask) -> Pixels | AugmentError:
        """Do a task that was prepared, by itself."""
        return (await asyncio.to_thread(self.editing.work, [task]))[0]


@dataclass
class Order:
    """What one request asks for, and how far it has come.

    Attributes:
        bundle: NAME/VERSION.
        classes: the class names.
        counts: class index to number of images.
        seed: of the request.
        read_back: whether candidates must read as their label.
        reader_band: with which confidence; None: as the reader has it.
        style: one style for all, or None.
        new_identities: how many classes that do not exist are drawn; None: the bundle's own.
        widths: of the lines that say the classes, pixels, where these are texts to be written;
            None: they are classes.
        select: which styles of the bank lines may take.
        tally: what was made, kept and dropped so far; complete when drawing ends.
    """

    bundle: str
    classes: tuple[str, ...]
    counts: Mapping[int, int]
    seed: int
    read_back: bool
    reader_band: tuple[float, float] | None = None
    style: Style | LineStyle | None = None
    new_identities: int | None = None
    widths: tuple[int, ...] | None = None
    select: StyleSelection | None = None
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        """Start with nothing drawn."""
        self.tally = Tally()
        self._wanted = Wanted(self.counts, self.tally, max_factor=MAX_FACTOR)

    def next_round(self, chunk_size: int) -> list[Chunk]:
        """Return the candidates to try next: as many of each label as are missing.

        Empty when all are there or MAX_FACTOR times as many were tried.
        """
        labels, indices = self._wanted.next()
        return [
            Chunk(
                bundle=self.bundle,
                labels=labels[part],
                indices=indices[part],
                seed=self.seed,
                read_back=self.read_back,
                reader_band=self.reader_band,
                style=self.style,
                new_identities=self.new_identities,
                texts=tuple(self.classes[n] for n in labels[part].tolist())
                if self.are_texts
                else None,
                select=self.select,
            )
            for part in self._parts(labels, chunk_size)
        ]

    @property
    def are_texts(self) -> bool:
        """Whether the classes are texts, each to be written as a line."""
        return self.widths is not None

    def _parts(self, labels: NDArray[np.int64], chunk_size: int) -> list[NDArray[np.int64]]:
        """Rows of each chunk; lines of like widths together, for a batch is of one width."""
        rows = np.arange(len(labels))
        if self.widths is not None:
            rows = np.argsort(np.array(self.widths)[labels], kind="stable")
        starts = range(0, len(rows), chunk_size)
        return [np.sort(rows[start : start + chunk_size]) for start in starts]

    def note(self, chunk: Chunk, drawing: Drawing) -> None:
        """Count what became of a chunk."""
        self._wanted.note(chunk.labels, drawing.kept)

    def end(self) -> None:
        """Write what is still missing into the tally."""
        self._wanted.end(self.classes.__getitem__)


async def draw_order(order: Order, backend: Backend) -> AsyncGenerator[list[Record], None]:
    """Yield the kept images of an order, chunk by chunk; its tally is complete at the end.

    Raises:
        AugmentError: whatever the backend finds wrong with a chunk.
    """
    while chunks := order.next_round(backend.chunk_size):
        async with aclosing(_in_order(chunks, backend)) as drawings:
            async for chunk, drawing in drawings:
                order.note(chunk, drawing)
                yield drawing.records
    order.end()


async def _in_order(
    chunks: list[Chunk], backend: Backend
) -> AsyncGenerator[tuple[Chunk, Drawing], None]:
    """Draw chunks a few at a time; yield them in order. What is under way ends with the caller."""
    waiting: Iterator[Chunk] = iter(chunks)
    running: deque[tuple[Chunk, asyncio.Task[Drawing]]] = deque()
    try:
        while True:
            for chunk in waiting:
                running.append((chunk, asyncio.ensure_future(backend.draw(chunk))))
                if len(running) == backend.window:
                    break
            if not running:
                return
            chunk, task = running[0]
            drawing = await task
            running.popleft()
            yield chunk, drawing
    finally:
        for _, task in running:
            task.cancel()
