"""How well predictions match labels: pure functions of arrays."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from augment.errors import DataError

__all__ = [
    "Metric",
    "accuracy",
    "balanced_accuracy",
    "confusion",
    "score",
    "worst_pairs",
]

Metric = Literal["accuracy", "balanced_accuracy"]
Labels = NDArray[np.int64]


def accuracy(predictions: Labels, labels: Labels, focus: Sequence[int] | None = None) -> float:
    """Share of images read right, in [0, 1].

    Args:
        predictions: (N,) predicted classes.
        labels: (N,) true classes.
        focus: count only images of these true classes; None = all.

    Raises:
        DataError: the lengths differ, or no image is left to count.
    """
    right, counted = _right(predictions, labels, focus)
    return float(right[counted].mean())


def balanced_accuracy(
    predictions: Labels, labels: Labels, focus: Sequence[int] | None = None
) -> float:
    """Mean over the classes of the share read right within each, in [0, 1].

    Every class weighs the same, however many images it has. Arguments and errors are those
    of ``accuracy``; classes without any image do not take part.
    """
    right, counted = _right(predictions, labels, focus)
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels[counted])]))


def score(
    metric: Metric, predictions: Labels, labels: Labels, focus: Sequence[int] | None = None
) -> float:
    """The metric of that name, in [0, 1]."""
    return {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy}[metric](
        predictions, labels, focus
    )


def confusion(predictions: Labels, labels: Labels, num_classes: int) -> NDArray[np.int64]:
    """(num_classes, num_classes) counts: row = true class, column = predicted class."""
    cells = labels * num_classes + predictions
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def worst_pairs(matrix: NDArray[np.float64] | Labels, most: int) -> list[tuple[int, int]]:
    """The (true, predicted) pairs most often confused, worst first; at most ``most``."""
    wrong = np.array(matrix, dtype=np.float64)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = (divmod(int(cell), len(wrong)) for cell in order)
    return [(true, predicted) for true, predicted in pairs if wrong[true, predicted] > 0]


def _right(
    predictions: Labels, labels: Labels, focus: Sequence[int] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images are read right, and which of them count."""
    if len(predictions) != len(labels):
        raise DataError(
            f"expected one prediction for each of {len(labels)} labels, got {len(predictions)}; "
            "predict the whole test set."
        )
    counted = np.ones(len(labels), bool) if focus is None else np.isin(labels, list(focus))
    if not counted.any():
        raise DataError(
            f"expected test images of the classes {focus or 'at hand'}, got none; "
            "check the focus of this scenario."
        )
    return predictions == labels, counted
