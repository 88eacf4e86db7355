"""Lines that read as their text: candidates are drawn until an independent reader agrees."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from augment.candidates import MAX_FACTOR, Tally, try_candidates
from augment.errors import ConfigError
from augment.generators.line_sampler import LineSampler, LineSamples
from augment.generators.line_styles import StyleSelection
from augment.images import Pixels

__all__ = ["CountingReader", "Judged", "LineReader", "draw_lines"]

CHUNK, FREE_CHUNK = 512, 4096
"""Lines drawn at a time. Those of a width share batches of one size, filled up by repeating lines;
free text has some sixteen widths, and few lines to try again would mostly be such filling."""


class Judged(NamedTuple):
    """What a reader says of lines."""

    kept: NDArray[np.bool_]  # (N,) whether each reads as its text
    confidences: NDArray[np.float32]  # (N,) of what was read, in [0, 1]


class LineReader(Protocol):
    """An independent recognizer that reads generated lines back.

    Attributes:
        band: least and greatest confidence of a line that is kept.
    """

    band: tuple[float, float]

    def judge(
        self,
        images: Sequence[Pixels],
        texts: Sequence[str],
        folds: NDArray[np.int64] | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> Judged:
        """Read N lines, each without help from the fold that its style was taken from.

        ``bands`` (N, 2) stand in for ``band``, one for each line.
        """


class CountingReader:
    """A reader that counts by character what it keeps, for a mean hides what is never kept.

    Args:
        reader: that judges.

    Attributes:
        band: the reader's.
        judged: lines that it has judged, by the characters of their texts.
        kept: those that it kept.
    """

    def __init__(self, reader: LineReader) -> None:
        self.reader, self.band = reader, reader.band
        self.judged: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()

    def judge(
        self,
        images: Sequence[Pixels],
        texts: Sequence[str],
        folds: NDArray[np.int64] | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> Judged:
        """As the reader does."""
        judged = self.reader.judge(images, texts, folds, bands)
        for text, kept in zip(texts, judged.kept.tolist(), strict=True):
            characters = set(text)
            self.judged.update(characters)
            if kept:
                self.kept.update(characters)
        return judged

    def by_yield(self) -> list[str]:
        """The characters, those whose lines are kept least often first."""
        return sorted(self.judged, key=lambda c: (self.kept[c] / self.judged[c], -self.judged[c]))


def draw_lines(
    sampler: LineSampler,
    text_of: Callable[[int], str],
    count: int,
    seed: int,
    *,
    reader: LineReader | None = None,
    select: StyleSelection | None = None,
    tally: Tally | None = None,
    max_factor: int = MAX_FACTOR,
    chunk: int | None = None,
) -> Iterator[LineSamples]:
    """Draw lines 0 to ``count`` - 1, verified by a reader if one is given.

    Line i says ``text_of(i)``. Its candidates are the samples i, i + count, i + 2 · count, … of
    that text, ``max_factor`` of them at most; the first that reads as the text is kept.

    Args:
        sampler: the generator.
        text_of: number of a line to its text; asked again for each candidate.
        count: lines wanted.
        seed: of the request.
        reader: reads lines back; None keeps every line.
        select: which styles of the bank may be drawn; None: all.
        tally: filled in while drawing.
        max_factor: candidates at most, per line.
        chunk: lines drawn at a time; None: ``CHUNK``, of free text ``FREE_CHUNK``.

    Yields:
        The kept lines among some candidates.

    Raises:
        ConfigError: ``max_factor`` or ``chunk`` below 1.
        RequestError: a text that the bundle cannot write, or a selection of nothing.
    """
    if chunk is None:
        chunk = FREE_CHUNK if sampler.layout.is_free else CHUNK
    if chunk < 1:
        raise ConfigError(f"chunk must be at least 1; got {chunk}.")
    tally = Tally() if tally is None else tally

    def attempt(
        lines: NDArray[np.int64], tries: NDArray[np.int64]
    ) -> tuple[LineSamples, NDArray[np.bool_]]:
        texts = [text_of(line) for line in lines.tolist()]
        samples = sampler.draw_texts(texts, lines + count * tries, seed, select=select)
        if reader is None:
            return samples, np.ones(len(texts), np.bool_)
        kept, confidences = reader.judge(samples.images, texts, samples.folds)
        return samples._replace(confidences=confidences), kept

    for first in range(0, count, chunk):
        for samples, rows in try_candidates(
            dict.fromkeys(range(first, min(first + chunk, count)), 1),
            attempt,
            text_of,
            tally,
            max_factor=max_factor,
            chunk=chunk,
        ):
            yield samples.subset(rows)
