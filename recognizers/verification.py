"""Verification: do two photographs show one person? Labeled Faces in the Wild's two views.

View 1 (development) trains on the people of peopleDevTrain.txt and is measured on the pairs of
pairsDevTest.txt. View 2 (reporting) trains ten times, each time without the people of one of the
ten sets of people.txt, and is measured on that set's pairs of pairs.txt. A pair is as similar as
the angle between its two embeddings is small; it is taken for one person above a threshold,
which is chosen on pairs of people who are neither trained on nor tested.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from augment.data.datasets import LabelledImages
from augment.data.listing import some
from augment.data.tree import Tree
from augment.errors import DataError
from augment.images import Pixels, to_tensor
from augment.training import is_faster_in_bf16
from recognizers.face import FaceRecognizer

__all__ = [
    "Fold",
    "Pairs",
    "VerificationScore",
    "View2",
    "best_threshold",
    "embed",
    "pairs_among",
    "parse_pairs",
    "parse_people",
    "read_list",
    "rows_of",
    "score_pairs",
    "similarities",
    "tar_at_far",
    "verification_accuracy",
    "view2_fold",
]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
FALSE_ACCEPT_RATE = 1e-2
MOST_MATCHES = 10  # of one person among pairs to choose by


class Pairs(NamedTuple):
    """Pairs of photographs, each named Person/Person_0001 as in LFW, without a suffix."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    same: Bools  # (N,) whether both show one person
    sets: NDArray[np.int64]  # (N,) which set of View 2; 0 in View 1

    def subset(self, rows: NDArray[np.generic]) -> "Pairs":
        """The pairs where ``rows`` (indices or a boolean mask) says."""
        chosen = np.arange(len(self.same))[rows]
        return Pairs(
            tuple(self.first[row] for row in chosen),
            tuple(self.second[row] for row in chosen),
            self.same[chosen],
            self.sets[chosen],
        )

    @property
    def people(self) -> NDArray[np.str_]:
        """(N,) the person first named: what an interval resamples together."""
        return np.array([posixpath.dirname(name) for name in self.first], np.str_)


def read_list(data: LabelledImages, name: str) -> str:
    """The text of one of LFW's lists, such as pairsDevTest.txt, from beside its images.

    Args:
        data: opened from ``lfw:PATH``.
        name: of the file, at any depth.

    Raises:
        DataError: there is no such list.
    """
    tree = Tree(data.uri.partition(":")[2])
    return tree.text(tree.require(name))


def parse_pairs(text: str, where: str) -> Pairs:
    """Parse pairs.txt, pairsDevTrain.txt or pairsDevTest.txt.

    A header "sets, matches a set" (or the number of matches alone: one set), then for each set
    its matches "name i j" and as many mismatches "name i name j".

    Args:
        text: the file.
        where: its name, for messages.

    Raises:
        DataError: a line of another form, or another number of lines than the header says.
    """
    header, *lines = [line.split() for line in text.splitlines() if line.strip()] or [[]]
    if len(header) not in (1, 2) or not all(word.isdigit() for word in header):
        raise DataError(f"expected one or two counts in line 1 of {where}, got {header}.")
    num_sets, matches = (1, int(header[0])) if len(header) == 1 else map(int, header)
    if len(lines) != 2 * num_sets * matches:
        raise DataError(
            f"expected {num_sets} × {2 * matches} pairs in {where}, as its first line says, got "
            f"{len(lines)}; copy it again."
        )
    first, second = [], []
    is_match = np.arange(len(lines)) // max(matches, 1) % 2 == 0
    for number, (words, same) in enumerate(zip(lines, is_match, strict=True), start=2):
        named = [words[0], words[1], words[0], words[2]] if len(words) == 3 else words
        if len(words) != (3 if same else 4) or not (named[1] + named[3]).isdigit():
            form = "name, number, number" if same else "name, number, name, number"
            raise DataError(f"expected {form} in line {number} of {where}, got {words}.")
        first.append(_photograph(named[0], int(named[1])))
        second.append(_photograph(named[2], int(named[3])))
    return Pairs(
        tuple(first), tuple(second), is_match, np.arange(len(lines)) // max(2 * matches, 1)
    )


def parse_people(text: str, where: str) -> list[tuple[str, ...]]:
    """Parse people.txt (several sets) or peopleDevTrain.txt, peopleDevTest.txt (one).

    Returns:
        The names of each set's people.

    Raises:
        DataError: the counts and the lines do not fit each other.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    headers = sum(len(words) == 1 for words in lines)
    try:
        if headers > 1:  # the number of sets comes first
            (num_sets,) = map(int, lines.pop(0))
        else:
            num_sets = 1
        sets = []
        for _ in range(num_sets):
            (count,) = map(int, lines.pop(0))
            sets.append(tuple(name for name, _ in lines[:count]))
            if len(sets[-1]) != count:
                raise ValueError(f"{count} people announced, {len(sets[-1])} named")
            del lines[:count]
        if lines:
            raise ValueError(f"{len(lines)} lines left over")
    except (IndexError, ValueError) as error:
        raise DataError(
            f"expected counts, each followed by so many lines of name and number, in {where}, "
            f"got: {error}; copy it again."
        ) from error
    return sets


def pairs_among(data: LabelledImages, rng: np.random.Generator) -> Pairs:
    """Make pairs of labelled photographs: matches of each person and as many mismatches.

    Args:
        data: photographs of several people, named as LFW's.
        rng: draws at most 10 matches a person, and the mismatches.

    Raises:
        DataError: nobody has two photographs, or all are of one person.
    """
    first, second = [], []
    for label in np.unique(data.labels):
        left, right = np.triu_indices(int((data.labels == label).sum()), k=1)
        rows = np.flatnonzero(data.labels == label)
        for pair in rng.permutation(len(left))[:MOST_MATCHES]:
            first.append(rows[left[pair]])
            second.append(rows[right[pair]])
    matches = len(first)
    if not matches or len(np.unique(data.labels)) < 2:
        raise DataError(
            f"expected several people, some with two photographs, to choose a threshold by; got "
            f"{len(data)} photographs; hold more people back."
        )
    while len(first) < 2 * matches:
        left, right = rng.integers(len(data), size=2)
        if data.labels[left] != data.labels[right]:
            first.append(left)
            second.append(right)
    keys = [posixpath.splitext(name)[0] for name in data.names]
    return Pairs(
        tuple(keys[row] for row in first),
        tuple(keys[row] for row in second),
        np.arange(2 * matches) < matches,
        np.zeros(2 * matches, np.int64),
    )


@torch.no_grad()
def embed(model: FaceRecognizer, images: Pixels, *, batch_size: int = 256) -> Floats:
    """(N, H, W, C) photographs to unit vectors (N, D): the mean of image and mirror image."""
    device = next(model.parameters()).device
    vectors = []
    for start in range(0, len(images), batch_size):
        pixels = to_tensor(images[start : start + batch_size]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=is_faster_in_bf16(device)):
            both = model.embed(pixels) + model.embed(pixels.flip(3))
        vectors.append(torch.nn.functional.normalize(both.float(), dim=1).cpu().numpy())
    return np.concatenate(vectors)


def similarities(model: FaceRecognizer, data: LabelledImages, pairs: Pairs) -> Floats:
    """(N,) cosines of the pairs' embeddings; each photograph is embedded once.

    Raises:
        DataError: a photograph of the pairs is not among ``data``.
    """
    wanted = sorted({*pairs.first, *pairs.second})
    vectors = embed(model, data.images(rows_of(data, wanted)))
    place = {name: index for index, name in enumerate(wanted)}
    first, second = ([place[name] for name in names] for names in (pairs.first, pairs.second))
    cosines: Floats = (vectors[first] * vectors[second]).sum(axis=1)
    return cosines


def rows_of(data: LabelledImages, names: Sequence[str]) -> NDArray[np.int64]:
    """(N,) which images of ``data`` are the photographs of these names, without suffixes.

    Raises:
        DataError: a photograph is not among ``data``.
    """
    row_of = {posixpath.splitext(name)[0]: row for row, name in enumerate(data.names)}
    if missing := [name for name in names if name not in row_of]:
        raise DataError(
            f"expected every photograph of the pairs in {data.uri}, got none of {some(missing)}; "
            "the lists belong to the whole set."
        )
    return np.array([row_of[name] for name in names], np.int64)


def best_threshold(cosines: Floats, same: Bools) -> float:
    """The threshold that takes most pairs for what they are; the middle one of equals."""
    values = np.unique(cosines).astype(np.float64)
    cuts = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    matches, mismatches = np.sort(cosines[same]), np.sort(cosines[~same])
    right = len(matches) - np.searchsorted(matches, cuts) + np.searchsorted(mismatches, cuts)
    best = np.flatnonzero(right == right.max())
    return float(cuts[best[len(best) // 2]])


def verification_accuracy(cosines: Floats, same: Bools, threshold: float) -> float:
    """Share of pairs taken for what they are, in [0, 1]."""
    return float(((cosines > threshold) == same).mean())


def tar_at_far(cosines: Floats, same: Bools, far: float = FALSE_ACCEPT_RATE) -> float:
    """Share of matches accepted where at most a share ``far`` of mismatches is, in [0, 1]."""
    false_accepts, true_accepts, _ = roc_curve(same, cosines, drop_intermediate=False)
    return float(true_accepts[false_accepts <= far].max())


@dataclass(frozen=True)
class VerificationScore:
    """How well pairs are told apart, each in [0, 1] but the threshold, a cosine."""

    accuracy: float
    tar_at_far: float  # at a false accept rate of 1e-2
    auc: float  # under the ROC curve
    threshold: float


def score_pairs(cosines: Floats, same: Bools, threshold: float) -> VerificationScore:
    """Score pairs by a threshold chosen elsewhere."""
    return VerificationScore(
        accuracy=verification_accuracy(cosines, same, threshold),
        tar_at_far=tar_at_far(cosines, same),
        auc=float(roc_auc_score(same, cosines)),
        threshold=threshold,
    )


class Fold(NamedTuple):
    """One set of View 2: who trains, and the pairs that choose and that measure."""

    people: tuple[str, ...]
    choosing: Pairs
    testing: Pairs


def view2_fold(pairs: Pairs, people: Sequence[Sequence[str]], measured: int) -> Fold:
    """Part View 2's sets for the measuring of one: a recognizer must have seen nobody of it.

    The set after the one that is measured chooses the threshold and is not trained on either.

    Args:
        pairs: of pairs.txt.
        people: names of each set, of people.txt.
        measured: number of a set.

    Raises:
        DataError: other sets in the pairs than among the people, or fewer than three.
    """
    count = len(people)
    if count < 3 or set(pairs.sets.tolist()) != set(range(count)):
        raise DataError(
            f"expected pairs of the same three or more sets as the people's {count}, got "
            f"{len(set(pairs.sets.tolist()))}; pairs.txt and people.txt belong together."
        )
    chooses = (measured + 1) % count
    trained = [s for s in range(count) if s not in (measured, chooses)]
    return Fold(
        tuple(name for s in trained for name in people[s]),
        pairs.subset(pairs.sets == chooses),
        pairs.subset(pairs.sets == measured),
    )


@dataclass(frozen=True)
class View2:
    """View 2's scores, as its publishers ask for them.

    Attributes:
        mean: accuracy, in [0, 1].
        standard_error: standard deviation of the sets' accuracies over the root of their number.
        sets: the score of each set.
    """

    mean: float
    standard_error: float
    sets: list[VerificationScore]

    @classmethod
    def of(cls, sets: Sequence[VerificationScore]) -> "View2":
        """Average the scores of two or more sets."""
        accuracies = np.array([score.accuracy for score in sets])
        error = float(accuracies.std(ddof=1) / np.sqrt(len(sets)))
        return cls(float(accuracies.mean()), error, list(sets))


def _photograph(person: str, number: int) -> str:
    return f"{person}/{person}_{number:04d}"
