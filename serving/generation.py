"""Drawing for requests, as a plain class: chunks of candidates, read back, encoded as PNG.

A chunk is a part of one request, at most one batch large. Chunks of several requests are
drawn in one batch; each sample depends on its own (seed, label, index) alone, so company
changes nothing. Nothing here knows Ray.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from augment.errors import LabelError, RequestError
from augment.export import Record, generated_record
from augment.generate import Reader, Sampler, Samples, Style
from augment.generators.cvae_gan import CVAEGANSampler
from augment.generators.line_reading import LineReader
from augment.generators.line_sampler import LineSampler, LineStyle, line_records
from augment.generators.line_styles import StyleSelection
from augment.images import Pixels
from serving.models import Models

__all__ = ["Chunk", "Drawing", "Generation", "StyleSource"]

KEPT_IDENTITIES = 16
"""Sets of new identities that are remembered of a model."""


@dataclass(frozen=True)
class Chunk:
    """Candidates of one request: sample ``indices[j]`` of class ``labels[j]``.

    Attributes:
        bundle: NAME/VERSION.
        labels: (n,) class indices.
        indices: (n,) sample numbers within each label.
        seed: of the request.
        read_back: whether the reader decides what is kept.
        reader_band: least and greatest confidence that is kept then; None: as the reader has it.
        style: one style for all; None draws from the bundle's bank.
        new_identities: how many classes that do not exist the labels count; None: they are
            those of the bundle.
        texts: (n,) what each line is to say, where lines are drawn; labels then only number them.
        select: which styles of the bank lines may take; None: all.
    """

    bundle: str
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    seed: int
    read_back: bool
    reader_band: tuple[float, float] | None = None
    style: Style | LineStyle | None = None
    new_identities: int | None = None
    texts: tuple[str, ...] | None = None
    select: StyleSelection | None = None

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.labels)

    @property
    def identities(self) -> tuple[int, int] | None:
        """Number and seed of the new identities that the labels count; None: of none."""
        return None if self.new_identities is None else (self.new_identities, self.seed)


@dataclass(frozen=True)
class Drawing:
    """What became of a chunk: (n,) whether each candidate was kept, and the kept ones encoded."""

    kept: NDArray[np.bool_]
    records: list[Record]


@dataclass(frozen=True)
class StyleSource:
    """Where a style comes from: the bundle's bank, or images; see ``Sampler.style``.

    ``texts`` are those of the images of a line, as far as they are known.
    """

    bundle: str
    ids: tuple[int, ...] = ()
    images: tuple[Pixels, ...] = ()
    weights: tuple[float, ...] = ()
    texts: tuple[str | None, ...] = ()


class Generation:
    """Draws with the models of a registry."""

    def __init__(self, models: Models) -> None:
        """Draw with ``models``, a batch at a time."""
        self.models, self.arguments = models, models.arguments
        self._encoders = ThreadPoolExecutor(self.arguments.encoders, "encode")
        self._mixing = threading.Lock()

    def style(self, source: StyleSource) -> Style | LineStyle:
        """Look up a style by index, or encode and mix it from images.

        Raises:
            BundleNotFoundError, BundleError: the model cannot be loaded.
            RequestError: see ``Sampler.style``; or a bundle that draws nothing.
        """
        ids, images, weights = source.ids, source.images, source.weights
        lines = self.models.model(source.bundle).lines
        sampler = self.sampler(source.bundle) if lines is None else None
        with self.models.computing:
            if lines is not None:
                return lines.style(ids=ids, images=images, texts=source.texts, weights=weights)
            assert sampler is not None
            return sampler.style(ids=ids, images=images, weights=weights)

    def sampler(self, bundle: str, identities: tuple[int, int] | None = None) -> Sampler:
        """Return what draws the classes of a bundle, or so many new identities from a seed.

        Raises:
            BundleNotFoundError, BundleError: the model cannot be loaded.
            RequestError: the bundle draws nothing, or no new identities.
        """
        model = self.models.model(bundle)
        if model.sampler is None:
            raise RequestError(f"bundle {bundle} draws no labelled images; take another one.")
        if identities is None:
            return model.sampler
        if not isinstance(model.sampler, CVAEGANSampler):
            raise RequestError(f"bundle {bundle} draws no new identities; name labels of its own.")
        with self._mixing:
            if identities not in model.identities:
                mixed = model.sampler.new_identities(*identities)
                mixed.network = model.sampler.network  # compiled already
                model.identities[identities] = mixed
                while len(model.identities) > KEPT_IDENTITIES:
                    model.identities.popitem(last=False)
            return model.identities[identities]

    def line_sampler(self, bundle: str) -> LineSampler:
        """Return what writes the lines of a bundle.

        Raises:
            BundleNotFoundError, BundleError: the model cannot be loaded.
            RequestError: the bundle writes none.
        """
        lines = self.models.model(bundle).lines
        if lines is None:
            raise RequestError(f"bundle {bundle} writes no lines of text; name labels.")
        return lines

    def check(self, chunk: Chunk) -> None:
        """Refuse a chunk that would fail, before it joins others in a batch.

        Raises:
            BundleNotFoundError, BundleError: its model cannot be loaded.
            LabelError: a label outside the classes.
            RequestError: too large, to be read back without a reader, or as in ``sampler``.
        """
        if chunk.texts is not None:
            lines = self.line_sampler(chunk.bundle)
            for text in chunk.texts:
                lines.form.width_of(text)
            if chunk.select is not None:
                lines.select(chunk.select)
            if chunk.read_back:
                _require_reader(chunk.bundle, self.models.model(chunk.bundle).line_reader)
            return
        classes = len(self.sampler(chunk.bundle, chunk.identities).classes)
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
        if not chunk.read_back:
            return
        if chunk.new_identities is not None:
            raise RequestError("no reader knows new identities; send read_back: false.")
        _require_reader(chunk.bundle, self.models.model(chunk.bundle).reader)

    def draw(self, chunks: Sequence[Chunk]) -> list[Drawing]:
        """Draw checked chunks, those of one model and style in one batch.

        Returns:
            One drawing for each chunk, in order.
        """
        groups: dict[object, list[int]] = {}
        for position, chunk in enumerate(chunks):
            kind = chunk.texts is not None, chunk.select
            key = (chunk.bundle, chunk.style, chunk.identities, kind)
            groups.setdefault(key, []).append(position)
        drawings: dict[int, Drawing] = {}
        for positions in groups.values():
            together = [chunks[position] for position in positions]
            are_lines = together[0].texts is not None
            drawn = (self._write_together if are_lines else self._draw_together)(together)
            drawings.update(zip(positions, drawn, strict=True))
        return [drawings[position] for position in range(len(chunks))]

    def _draw_together(self, chunks: Sequence[Chunk]) -> list[Drawing]:
        """Draw chunks of one model, style and set of classes."""
        bundle, style = chunks[0].bundle, chunks[0].style
        assert not isinstance(style, LineStyle), "a bundle of classes makes no style of lines"
        sampler, reader = (
            self.sampler(bundle, chunks[0].identities),
            self.models.model(bundle).reader,
        )
        sizes = [len(chunk) for chunk in chunks]
        labels = np.concatenate([chunk.labels for chunk in chunks])
        indices = np.concatenate([chunk.indices for chunk in chunks])
        seeds = np.repeat(np.array([chunk.seed for chunk in chunks], np.int64), sizes)
        judged = np.repeat([chunk.read_back for chunk in chunks], sizes)
        kept = np.ones(len(labels), np.bool_)
        confidences = np.zeros(len(labels), np.float32)
        with self.models.computing:  # one batch at a time; that before it is encoded meanwhile
            samples = sampler.draw(labels, indices, seeds, style)
            if reader is not None and judged.any():
                read, confidences = self._read(reader, samples, _bands(chunks, reader))
                kept = ~judged | (read == labels)

        def encode(row: int) -> Record:
            sure = float(confidences[row]) if judged[row] else None
            drawn = samples.drawn(row, int(labels[row]), int(indices[row]), sure)
            return generated_record(drawn, sampler.classes, int(seeds[row]), sampler.digest)

        def encode_share(rows: NDArray[np.int64]) -> list[Record]:
            return [encode(row) for row in rows.tolist()]

        return _split(chunks, kept, self._encoded(encode_share, np.flatnonzero(kept)))

    def _write_together(self, chunks: Sequence[Chunk]) -> list[Drawing]:
        """Draw chunks of lines of one model, style and selection."""
        first = chunks[0]
        sampler = self.line_sampler(first.bundle)
        reader = self.models.model(first.bundle).line_reader
        assert not isinstance(first.style, Style), "a bundle of lines makes no style of classes"
        texts = [text for chunk in chunks for text in chunk.texts or ()]
        indices = np.concatenate([chunk.indices for chunk in chunks])
        sizes = [len(chunk) for chunk in chunks]
        seeds = np.repeat(np.array([chunk.seed for chunk in chunks], np.int64), sizes)
        judged = np.repeat([chunk.read_back for chunk in chunks], sizes)
        kept = np.ones(len(texts), np.bool_)
        with self.models.computing:
            samples = sampler.draw_texts(
                texts, indices, seeds, style=first.style, select=first.select
            )
            if reader is not None and judged.any():
                rows = np.flatnonzero(judged)
                asked, bands = samples.subset(rows), _bands(chunks, reader)[rows]
                kept[rows], confidences = reader.judge(
                    asked.images, asked.texts, asked.folds, bands
                )
                samples.confidences[rows] = confidences

        def encode_share(rows: NDArray[np.int64]) -> list[Record]:
            return line_records(samples, sampler.digest, rows.tolist())

        return _split(chunks, kept, self._encoded(encode_share, np.flatnonzero(kept)))

    def _encoded(
        self, encode: Callable[[NDArray[np.int64]], list[Record]], rows: NDArray[np.int64]
    ) -> list[Record]:
        """Records of rows, their PNGs made by several threads."""
        shares = np.array_split(rows, self.arguments.encoders)
        return list(chain.from_iterable(self._encoders.map(encode, shares)))

    def _read(
        self, reader: Reader, samples: Samples, bands: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Read a batch back in one fixed shape: as in drawing, company must change nothing."""
        count = len(samples.images)
        padding = self.arguments.batch_size - count
        images = np.pad(samples.images, ((0, padding), (0, 0), (0, 0), (0, 0)))
        folds = np.pad(samples.folds, (0, padding))
        labels, confidences = reader.read(images, folds, np.pad(bands, ((0, padding), (0, 0))))
        return labels[:count], confidences[:count]


def _bands(chunks: Sequence[Chunk], reader: Reader | LineReader) -> NDArray[np.float32]:
    """(n, 2) the band of each candidate: that of its request, else the reader's."""
    bands = [chunk.reader_band or reader.band for chunk in chunks]
    return np.repeat(np.array(bands, np.float32), [len(chunk) for chunk in chunks], axis=0)


def _require_reader(bundle: str, reader: object) -> None:
    if reader is None:
        raise RequestError(
            f"bundle {bundle} has no reader to read images back; "
            "send read_back: false to take them unverified."
        )


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
