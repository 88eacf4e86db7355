"""What a replica does, as a plain class: hold models, draw chunks of candidates, encode PNG.

A chunk is a part of one request, at most one batch large. Chunks of several requests are
drawn in one batch; each sample depends on its own (seed, label, index) alone, so company
changes nothing. Nothing here knows Ray.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from augment.bundle import READER_FOLDER, Registry
from augment.errors import AugmentError, LabelError, RequestError
from augment.export import Record, generated_record
from augment.generate import Drawn, Reader, Sampler, Samples, Style
from augment.generators import load_sampler
from augment.images import Pixels
from augment.network import should_compile
from recognizers.reader import load_reader
from serving.schemas import Health, ServeArguments

__all__ = ["Chunk", "Drawing", "Generation", "LoadModel", "LoadedModel", "load_model"]

logger = logging.getLogger("labelmint.serving")


@dataclass(frozen=True)
class Chunk:
    """Candidates of one request: sample ``indices[j]`` of class ``labels[j]``.

    Attributes:
        bundle: NAME/VERSION.
        labels: (n,) class indices.
        indices: (n,) sample numbers within each label.
        seed: of the request.
        read_back: whether the reader decides what is kept.
        style: one style for all; None draws from the bundle's bank.
    """

    bundle: str
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    seed: int
    read_back: bool
    style: Style | None = None

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.labels)


@dataclass(frozen=True)
class Drawing:
    """What became of a chunk: (n,) whether each candidate was kept, and the kept ones encoded."""

    kept: NDArray[np.bool_]
    records: list[Record]


@dataclass(frozen=True)
class LoadedModel:
    """A generator and, where its bundle has one, the reader that judges its images."""

    sampler: Sampler
    reader: Reader | None


LoadModel = Callable[[Path, ServeArguments], LoadedModel]
"""Loads a bundle's folder; ``load_model``, or known answers in a test."""


def load_model(folder: Path, arguments: ServeArguments) -> LoadedModel:
    """Load generator and reader of a bundle, and draw once, so that loaded means ready.

    Raises:
        BundleError: the bundle is not sound.
    """
    compile = arguments.compile
    sampler = load_sampler(
        folder,
        device=arguments.device,
        batch_size=arguments.batch_size,
        half=arguments.half,
        compile=should_compile(arguments.device) if compile is None else compile,
    )
    first = np.zeros(1, np.int64)
    sampler.draw(first, first, 0)
    reader = folder / READER_FOLDER
    return LoadedModel(sampler, load_reader(reader, arguments.device) if reader.is_dir() else None)


@dataclass
class Generation:
    """The models of a registry, ready to draw.

    The newest version of every bundle is loaded at the start; other versions, and bundles
    published later, when they are first asked for. A bundle that cannot be loaded is left out
    and named in ``failed``.
    """

    arguments: ServeArguments
    load: LoadModel = load_model
    failed: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Load the newest version of every bundle."""
        if self.arguments.threads is not None:
            torch.set_num_threads(self.arguments.threads)
        self.registry = Registry(self.arguments.registry)
        self._newest: dict[str, LoadedModel] = {}
        self._spare: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading = threading.Lock()
        self._drawing = threading.Lock()
        self._encoders = ThreadPoolExecutor(self.arguments.encoders, "encode")
        for name in self.registry.names():
            bundle = "{}/{}".format(*self.registry.resolve(name))
            try:
                self._newest[bundle] = self.load(self.registry.fetch(bundle), self.arguments)
            except AugmentError as error:
                logger.exception("left out bundle %s", bundle)
                self.failed[bundle] = str(error)

    def health(self) -> Health:
        """Return what was loaded at the start, and what could not be."""
        return Health(
            status="ready" if self._newest else "failed",
            models=list(self._newest),
            failed=self.failed,
        )

    def model(self, bundle: str) -> LoadedModel:
        """Return a model, loading it if need be.

        Raises:
            BundleNotFoundError, BundleError: it is not there or not sound.
        """
        if bundle in self._newest:
            return self._newest[bundle]
        with self._loading:
            if bundle not in self._spare:
                self._spare[bundle] = self.load(self.registry.fetch(bundle), self.arguments)
                while len(self._spare) > self.arguments.spare_models:
                    self._spare.popitem(last=False)
            self._spare.move_to_end(bundle)
            return self._spare[bundle]

    def style(
        self,
        bundle: str,
        *,
        ids: Sequence[int] = (),
        images: Sequence[Pixels] = (),
        weights: Sequence[float] = (),
    ) -> Style:
        """Return a style by index, or encoded and mixed from images; see ``Sampler.style``."""
        sampler = self.model(bundle).sampler
        with self._drawing:
            return sampler.style(ids=ids, images=images, weights=weights)

    def check(self, chunk: Chunk) -> None:
        """Refuse a chunk that would fail, before it joins others in a batch.

        Raises:
            BundleNotFoundError, BundleError: its model cannot be loaded.
            LabelError: a label outside the classes.
            RequestError: too large, or to be read back without a reader.
        """
        model = self.model(chunk.bundle)
        classes = len(model.sampler.classes)
        if len(chunk) > self.arguments.batch_size:
            raise RequestError(
                f"a chunk has at most {self.arguments.batch_size} images, got {len(chunk)}; "
                "split it."
            )
        if len(chunk) and not 0 <= chunk.labels.min() <= chunk.labels.max() < classes:
            raise LabelError(
                f"labels must be in [0, {classes - 1}], got {chunk.labels.min()} to "
                f"{chunk.labels.max()}; check the classes of {chunk.bundle}."
            )
        if chunk.read_back and model.reader is None:
            raise RequestError(
                f"bundle {chunk.bundle} has no reader to read images back; "
                "send read_back: false to take them unverified."
            )

    def draw(self, chunks: Sequence[Chunk]) -> list[Drawing]:
        """Draw checked chunks, those of one model and style in one batch.

        Returns:
            One drawing for each chunk, in order.
        """
        groups: dict[tuple[str, Style | None], list[int]] = {}
        for position, chunk in enumerate(chunks):
            groups.setdefault((chunk.bundle, chunk.style), []).append(position)
        drawings: dict[int, Drawing] = {}
        for (bundle, style), positions in groups.items():
            members = [chunks[position] for position in positions]
            drawn = self._draw_together(self.model(bundle), members, style)
            drawings.update(zip(positions, drawn, strict=True))
        return [drawings[position] for position in range(len(chunks))]

    def _draw_together(
        self, model: LoadedModel, chunks: Sequence[Chunk], style: Style | None
    ) -> list[Drawing]:
        sizes = [len(chunk) for chunk in chunks]
        labels = np.concatenate([chunk.labels for chunk in chunks])
        indices = np.concatenate([chunk.indices for chunk in chunks])
        seeds = np.repeat(np.array([chunk.seed for chunk in chunks], np.int64), sizes)
        judged = np.repeat([chunk.read_back for chunk in chunks], sizes)
        kept = np.ones(len(labels), np.bool_)
        confidences = np.zeros(len(labels), np.float32)
        with self._drawing:  # one batch at a time; the one before it is encoded meanwhile
            samples = model.sampler.draw(labels, indices, seeds, style)
            if model.reader is not None and judged.any():
                read, confidences = self._read(model.reader, samples)
                kept = ~judged | (read == labels)

        def encode(row: int) -> Record:
            drawn = Drawn(
                image=samples.images[row],
                label=int(labels[row]),
                index=int(indices[row]),
                content=int(samples.contents[row]),
                styles=(int(samples.styles[row, 0]), int(samples.styles[row, 1])),
                mix=float(samples.mixes[row]),
                confidence=float(confidences[row]) if judged[row] else None,
            )
            sampler = model.sampler
            return generated_record(drawn, sampler.classes, int(seeds[row]), sampler.digest)

        def encode_share(rows: NDArray[np.int64]) -> list[Record]:
            return [encode(row) for row in rows.tolist()]

        shares = np.array_split(np.flatnonzero(kept), self.arguments.encoders)
        records = list(chain.from_iterable(self._encoders.map(encode_share, shares)))
        return _split(chunks, kept, records)

    def _read(
        self, reader: Reader, samples: Samples
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Read a batch back in one fixed shape: as in drawing, company must change nothing."""
        count = len(samples.images)
        padding = self.arguments.batch_size - count
        images = np.pad(samples.images, ((0, padding), (0, 0), (0, 0), (0, 0)))
        labels, confidences = reader.read(images, np.pad(samples.folds, (0, padding)))
        return labels[:count], confidences[:count]


def _split(
    chunks: Sequence[Chunk], kept: NDArray[np.bool_], records: Sequence[Record]
) -> list[Drawing]:
    """Give each chunk its part of a batch."""
    drawings = []
    row = at = 0
    for chunk in chunks:
        mine = kept[row : row + len(chunk)]
        count = int(mine.sum())
        drawings.append(Drawing(mine, list(records[at : at + count])))
        row, at = row + len(chunk), at + count
    return drawings
