"""Labeled Faces in the Wild: Name/Name_0001.jpg, and pairs.txt for verification.

Huang et al., "Labeled Faces in the Wild", 2007. pairs.txt: folds and pairs of each kind in a
fold; then for every fold the matched pairs (name, number, number) and the mismatched (name,
number, name, number), separated by tabs. Nobody is in two folds.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from augment.errors import LabelError
from augment.export.base import FolderExport
from augment.export.card import Card
from augment.export.records import Record, encode_jpeg, folder_name

__all__ = ["LfwWriter", "draw_pairs"]

_PAIRS_FILE = "pairs.txt"
_FOLDS = 10
_PAIRS = 300  # of each kind in a fold, as in LFW
_IMAGES = 25  # of a person, looked at for pairs: they make 300

Fold = tuple[list[tuple[str, int, int]], list[tuple[str, int, str, int]]]


class LfwWriter(FolderExport):
    """Writes folders of people with pairs.txt; a label is a name without white space."""

    layout = (
        "LFW: `Name/Name_0001.jpg`, and `pairs.txt` for verification, nobody being in two folds."
    )

    def __init__(
        self, path: str | Path, *, classes: Sequence[str] | None = None, card: Card | None = None
    ) -> None:
        """As ``Writer``."""
        super().__init__(path, classes=classes, card=card)
        self._counts: Counter[str] = Counter()
        self._told = ""

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        if re.search(r"\s", label) or folder_name(label) != label or label == _PAIRS_FILE:
            raise LabelError(
                f"the layout lfw takes names that can be files and have no white space, got "
                f"{label[:40]!r}; write George_W_Bush."
            )

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        name = record.label
        self.check_label(name)
        number = self._counts[name] + 1
        file = f"{name}/{name}_{number:04d}.jpg"
        data = encode_jpeg(record.png)
        self.ledger.enter(record, file, data)
        self.put(file, data)
        self._counts[name] = number

    def finish(self) -> None:
        """Write pairs.txt."""
        folds = draw_pairs(self._counts)
        if not folds:
            self._told = "No `pairs.txt`: pairs take two people, one of them seen twice."
            return
        size = len(folds[0][0])
        self._told = f"`pairs.txt`: {len(folds)} folds of {size} matched, {size} mismatched pairs."
        rows: list[tuple[str | int, ...]] = [(len(folds), size)]
        rows += [pair for matched, mismatched in folds for pair in (*matched, *mismatched)]
        self.put(_PAIRS_FILE, "".join("\t".join(map(str, row)) + "\n" for row in rows).encode())

    def describe(self) -> str:
        """The layout, and how many pairs there are."""
        return f"{self.layout} {self._told}"


def draw_pairs(counts: Mapping[str, int]) -> list[Fold]:
    """Draw pairs of images for verification, the same ones for the same people.

    Args:
        counts: images of each person, numbered from 1.

    Returns:
        Ten folds, or as many as have pairs of both kinds: matched and mismatched pairs, equally
        many in all, 300 at most. Empty where there are none.
    """
    people = sorted(counts, key=lambda name: (-counts[name], name))
    for folds in range(_FOLDS, 0, -1):
        groups = [people[first::folds] for first in range(folds)]
        size = min(_PAIRS, *(_capacity([counts[name] for name in group]) for group in groups))
        if size:
            rng = np.random.default_rng(0)
            return [_draw_fold(group, counts, size, rng) for group in groups]
    return []


def _capacity(counts: Sequence[int]) -> int:
    """Pairs of the rarer kind that a group of people has."""
    matched = sum(count * (count - 1) // 2 for count in (min(n, _IMAGES) for n in counts))
    mismatched = (sum(counts) ** 2 - sum(count**2 for count in counts)) // 2
    return min(matched, mismatched)


def _draw_fold(
    group: Sequence[str], counts: Mapping[str, int], size: int, rng: np.random.Generator
) -> Fold:
    pool: list[tuple[str, int, int]] = []
    for name in group:
        images = np.sort(rng.permutation(counts[name])[:_IMAGES] + 1).tolist()
        pool += [(name, first, second) for first, second in combinations(images, 2)]
    matched = [pool[index] for index in np.sort(rng.permutation(len(pool))[:size])]
    owners = np.repeat(np.arange(len(group)), [counts[name] for name in group])
    numbers = np.concatenate([np.arange(counts[name]) + 1 for name in group])
    drawn: dict[tuple[int, int], None] = {}
    while len(drawn) < size:
        first, second = sorted(rng.integers(len(owners), size=2).tolist())
        if owners[first] != owners[second]:
            drawn[first, second] = None
    mismatched = [
        (group[owners[first]], int(numbers[first]), group[owners[second]], int(numbers[second]))
        for first, second in sorted(drawn)
    ]
    return matched, mismatched
