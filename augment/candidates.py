"""How many samples are wanted of each label, how many were tried and kept, and which come next."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from augment.errors import ConfigError, RequestError

__all__ = ["Tally", "try_candidates"]

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


def try_candidates(
    counts: Mapping[int, int],
    attempt: Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Candidates, NDArray[np.bool_]]],
    name_of: Callable[[int], str],
    tally: Tally,
    *,
    max_factor: int,
    chunk: int,
) -> Iterator[tuple[Candidates, NDArray[np.int64]]]:
    """Try candidates 0, 1, 2, … of each label until as many are kept as were asked for.

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
    if min(counts.values(), default=0) < 1:
        raise RequestError(f"expected a count of at least 1 for each label, got {dict(counts)}.")
    if max_factor < 1 or chunk < 1:
        raise ConfigError(f"max_factor and chunk must be at least 1; got {max_factor}, {chunk}.")
    tally.asked += sum(counts.values())
    missing = dict(sorted(counts.items()))
    drawn = dict.fromkeys(missing, 0)
    limits = {label: max_factor * count for label, count in counts.items()}
    while missing:
        labels, indices = _next_candidates(missing, drawn, limits, chunk)
        if not len(labels):
            break
        candidates, keep = attempt(labels, indices)
        tally.made += len(labels)
        tally.kept += int(keep.sum())
        tally.dropped += int((~keep).sum())
        for label in labels[keep].tolist():
            missing[label] -= 1
        missing = {label: count for label, count in missing.items() if count}
        yield candidates, np.flatnonzero(keep)
    for label, count in missing.items():
        name = name_of(label)
        tally.shortfall[name] = tally.shortfall.get(name, 0) + count


def _next_candidates(
    missing: Mapping[int, int], drawn: dict[int, int], limits: Mapping[int, int], chunk: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The next labels and sample numbers to try, at most ``chunk``; advances ``drawn``."""
    labels: list[int] = []
    indices: list[int] = []
    for label, count in missing.items():
        wanted = min(count, limits[label] - drawn[label], chunk - len(labels))
        labels += [label] * wanted
        indices += range(drawn[label], drawn[label] + wanted)
        drawn[label] += wanted
    return np.array(labels, np.int64), np.array(indices, np.int64)
