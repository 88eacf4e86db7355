"""How well texts are read: pure functions of what was read and what is written.

All compare what a charset counts (``Charset.comparable``): without regard to case, say. For
each character that is written an alignment with the fewest edits tells what became of it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from augment.errors import DataError
from recognizers.charset import Charset

__all__ = [
    "MISSING",
    "ErrorReport",
    "TextScore",
    "align",
    "edit_distance",
    "report_errors",
    "right_texts",
    "score_texts",
    "share_interval",
]

MISSING = ""
"""What a character was read as that was not read at all; also what an added one stands for."""


@dataclass(frozen=True)
class TextScore:
    """How well texts are read, each in [0, 1].

    Attributes:
        text_accuracy: share of texts with every character right.
        character_accuracy: 1 - edits / characters written, at least 0.
        one_minus_ned: mean over texts of 1 - edits / length of the longer text.
    """

    text_accuracy: float
    character_accuracy: float
    one_minus_ned: float

    def to_mapping(self) -> dict[str, float]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ErrorReport:
    """What became of the characters that are written.

    Attributes:
        by_class: character to (times written, times misread or missed).
        by_position: place in the text, from 0, to the same.
        confusions: (written, read) to times; ``MISSING`` is read where nothing was, and written
            where a character was added.
    """

    by_class: dict[str, tuple[int, int]]
    by_position: dict[int, tuple[int, int]]
    confusions: dict[tuple[str, str], int]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, ready for JSON; confusions as [written, read, times], worst first."""
        worst = sorted(self.confusions.items(), key=lambda item: -item[1])
        return {
            "by_class": {c: list(counts) for c, counts in self.by_class.items()},
            "by_position": {str(p): list(counts) for p, counts in self.by_position.items()},
            "confusions": [[written, read, times] for (written, read), times in worst],
        }

    def matrix(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """(k, k): how often class i was read as class j; ``MISSING`` may be a class.

        What other characters were written or read as is left out.
        """
        index = {character: number for number, character in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), np.int64)
        for (written, read), times in self.confusions.items():
            if written in index and read in index:
                counts[index[written], index[read]] = times
        for written, (times, wrong) in self.by_class.items():
            if written in index:
                counts[index[written], index[written]] = times - wrong
        return counts


def right_texts(read: Sequence[str], texts: Sequence[str], charset: Charset) -> NDArray[np.bool_]:
    """(N,) whether every character that counts is right.

    Raises:
        DataError: the lengths differ.
    """
    return np.array([r == t for r, t in _comparable(read, texts, charset)], bool)


def score_texts(read: Sequence[str], texts: Sequence[str], charset: Charset) -> TextScore:
    """Score what was read.

    Raises:
        DataError: the lengths differ, or nothing was read.
    """
    pairs = _comparable(read, texts, charset)
    if not pairs:
        raise DataError("expected texts to score, got none.")
    edits = np.array([edit_distance(r, t) for r, t in pairs])
    longer = np.array([max(len(r), len(t), 1) for r, t in pairs])
    characters = max(sum(len(t) for _, t in pairs), 1)
    return TextScore(
        text_accuracy=float((edits == 0).mean()),
        character_accuracy=max(0.0, float(1 - edits.sum() / characters)),
        one_minus_ned=float((1 - edits / longer).mean()),
    )


def report_errors(read: Sequence[str], texts: Sequence[str], charset: Charset) -> ErrorReport:
    """Count errors by character and by position.

    Raises:
        DataError: the lengths differ.
    """
    written_of: Counter[str] = Counter()
    wrong_of: Counter[str] = Counter()
    written_at: Counter[int] = Counter()
    wrong_at: Counter[int] = Counter()
    confusions: Counter[tuple[str, str]] = Counter()
    for got, text in _comparable(read, texts, charset):
        position = 0
        for written, seen in align(got, text):
            if written != seen:
                confusions[written, seen] += 1
            if written == MISSING:
                continue
            written_of[written] += 1
            written_at[position] += 1
            wrong_of[written] += written != seen
            wrong_at[position] += written != seen
            position += 1
    return ErrorReport(
        {c: (written_of[c], wrong_of[c]) for c in sorted(written_of)},
        {p: (written_at[p], wrong_at[p]) for p in sorted(written_at)},
        dict(confusions),
    )


def edit_distance(first: str, second: str) -> int:
    """Fewest characters to add, drop or replace that turn one text into the other."""
    return int(_edits(first, second)[-1][-1])


def align(read: str, text: str) -> list[tuple[str, str]]:
    """Pair the characters of a text with those that were read, by the fewest edits.

    Returns:
        (written, read) pairs in order; ``MISSING`` stands where one side has no character.
    """
    table = _edits(read, text)
    i, j = len(read), len(text)
    pairs = []
    while i or j:
        if i and j and table[i][j] == table[i - 1][j - 1] + (read[i - 1] != text[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((text[j], read[i]))
        elif j and table[i][j] == table[i][j - 1] + 1:
            j -= 1
            pairs.append((text[j], MISSING))
        else:
            i -= 1
            pairs.append((MISSING, read[i]))
    return pairs[::-1]


def share_interval(
    right: NDArray[np.float64], groups: NDArray[Any], confidence: float = 0.95
) -> tuple[float, float]:
    """Wilson's interval of the share of images that are right, over groups of images.

    Images of a group are read alike and say less than as many independent ones. They count as
    the number of those whose share would scatter as much as it does over groups (Kish's design
    effect), at most as what they are; where all are right or all wrong, as one a group.

    Args:
        right: (N,) how often each image was right, in [0, 1]; to be read again makes it no new
            one.
        groups: (N,) which group each is of.
        confidence: of the interval.

    Returns:
        Its ends; (0, 1) without images.
    """
    if not len(right):
        return 0.0, 1.0
    share, count = float(right.mean()), _independent(right, groups)
    z2 = float(stats.norm.ppf((1 + confidence) / 2)) ** 2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * count)) / count) / (1 + z2 / count)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def _independent(right: NDArray[np.float64], groups: NDArray[Any]) -> float:
    """How many independent images would tell as much of a share; see ``share_interval``."""
    names, of_group = np.unique(groups, return_inverse=True)
    share, number, count = float(right.mean()), len(names), len(right)
    if number == 1 or share in (0, 1):
        return number
    apart = np.bincount(of_group, right - share)
    variance = number / (number - 1) * float((apart**2).sum()) / count**2
    of_one = count / (count - 1) * share * (1 - share)
    return of_one / max(variance, of_one / count)


def _edits(first: str, second: str) -> list[list[int]]:
    """Levenshtein's table: [i][j] edits between the first i and the first j characters."""
    table = [list(range(len(second) + 1))]
    for i, a in enumerate(first, start=1):
        row = [i]
        for j, b in enumerate(second, start=1):
            row.append(min(table[-1][j] + 1, row[-1] + 1, table[-1][j - 1] + (a != b)))
        table.append(row)
    return table


def _comparable(
    read: Sequence[str], texts: Sequence[str], charset: Charset
) -> list[tuple[str, str]]:
    """What counts of each text read, and of each text written."""
    if len(read) != len(texts):
        raise DataError(
            f"expected one reading for each of {len(texts)} texts, got {len(read)}; read them all."
        )
    told = zip(read, texts, strict=True)
    return [(charset.comparable(r), charset.comparable(t)) for r, t in told]
