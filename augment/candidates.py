"""How many samples are wanted of each label, how many were tried and kept, and which come next."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from augment.errors import ConfigError, RequestError

__all__ = ["MAX_FACTOR", "Tally", "Wanted", "try_candidates"]

MAX_FACTOR = 4
"""Candidates drawn at most, per image asked for, unless a job is told otherwise."""

Candidates = TypeVar("Candidates")


@dataclass
class Tally:
    """Images asked for, made, kept and dropped, and by how many each label falls short."""

    asked: int = 0
    made: int = 0
    kept: int = 0
    dropped: int = 0
    copies: int = 0  # of the dropped: near-copies of training images, where these are looked for
    shortfall: dict[str, int] = field(default_factory=dict)


class Wanted:
    """Which samples of each label are to be tried: 0, 1, 2, … until enough of them are kept.

    Never more at a time than are missing, so those that are kept are the first that pass.

    Args:
        counts: label to number wanted, each at least 1.
        tally: filled in while drawing.
        max_factor: candidates at most, per one asked for.

    Raises:
        ConfigError: ``max_factor`` below 1.
        RequestError: a count below 1.
    """

    def __init__(self, counts: Mapping[int, int], tally: Tally, *, max_factor: int) -> None:
        if min(counts.values(), default=0) < 1:
            raise RequestError(
                f"expected a count of at least 1 for each label, got {dict(counts)}."
            )
        if max_factor < 1:
            raise ConfigError(f"max_factor must be at least 1; got {max_factor}.")
        self.tally = tally
        tally.asked += sum(counts.values())
        self._missing = dict(sorted(counts.items()))
        self._drawn = dict.fromkeys(self._missing, 0)
        self._limits = {label: max_factor * count for label, count in counts.items()}

    def next(self, most: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The labels and sample numbers to try next: (N,) each, N up to ``most``; 0 at the end."""
        labels: list[int] = []
        indices: list[int] = []
        self._missing = {label: count for label, count in self._missing.items() if count}
        for label, missing in self._missing.items():
            first = self._drawn[label]
            count = min(missing, self._limits[label] - first)
            if most is not None:
                count = min(count, most - len(labels))
            labels += [label] * count
            indices += range(first, first + count)
            self._drawn[label] = first + count
        return np.array(labels, np.int64), np.array(indices, np.int64)

    def note(self, labels: NDArray[np.int64], keep: NDArray[np.bool_]) -> None:
        """Count what became of (N,) candidates of these labels."""
        self.tally.made += len(labels)
        self.tally.kept += int(keep.sum())
        self.tally.dropped += int((~keep).sum())
        for label in labels[keep].tolist():
            self._missing[label] -= 1

    def end(self, name_of: Callable[[int], str]) -> None:
        """Write what is still missing into the tally, each label by its name."""
        shortfall = self.tally.shortfall
        for label, count in self._missing.items():
            if count:
                name = name_of(label)
                shortfall[name] = shortfall.get(name, 0) + count


def try_candidates(
    counts: Mapping[int, int],
    attempt: Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Candidates, NDArray[np.bool_]]],
    name_of: Callable[[int], str],
    tally: Tally,
    *,
    max_factor: int,
    chunk: int,
) -> Iterator[tuple[Candidates, NDArray[np.int64]]]:
    """Try candidates of each label until as many are kept as were asked for; see ``Wanted``.

    Args:
        counts: label to number wanted, each at least 1.
        attempt: (N,) labels and (N,) numbers within each label to N candidates, and which of
            them are kept.
        name_of: what the tally calls a label.
        tally: filled in while drawing.
        max_factor: candidates at most, per one asked for.
        chunk: candidates tried at a time.

    Yields:
        Candidates, and the rows of those that are kept; labels ascending, numbers ascending.

    Raises:
        ConfigError: ``max_factor`` or ``chunk`` below 1.
        RequestError: a count below 1.
    """
    if chunk < 1:
        raise ConfigError(f"chunk must be at least 1; got {chunk}.")
    wanted = Wanted(counts, tally, max_factor=max_factor)
    while True:
        labels, indices = wanted.next(chunk)
        if not len(labels):
            break
        candidates, keep = attempt(labels, indices)
        wanted.note(labels, keep)
        yield candidates, np.flatnonzero(keep)
    wanted.end(name_of)
