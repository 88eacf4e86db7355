"""What cross-fitted readers share: members, each trained without one fold of the real images."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["EVERYTHING", "choose_judges", "fit_members"]

EVERYTHING = (0.0, 1.0)
"""The band of all confidences."""

MemberT = TypeVar("MemberT")


def fit_members(
    folds: NDArray[np.int64], fit_without: Callable[[NDArray[np.int64], int], MemberT]
) -> list[MemberT]:
    """Train one member without each fold; a single fold trains one member on everything.

    Args:
        folds: (N,) fold of each real image, 0 to F - 1.
        fit_without: (rows to train on, number of the fold) to a trained recognizer.
    """
    count = int(folds.max()) + 1
    if count == 1:
        return [fit_without(np.arange(len(folds)), 0)]
    return [fit_without(np.flatnonzero(folds != fold), fold) for fold in range(count)]


def choose_judges(
    confidences: NDArray[np.float32], folds: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Which member's word counts.

    Args:
        confidences: (members, N) of each member on each image.
        folds: (N,) fold of the real image each was drawn from; -1 (and None) where it was drawn
            from none, or one that no member was trained without.

    Returns:
        (N,) the member that has not seen the fold; where there is none, the one that is surest.
    """
    surest: NDArray[np.int64] = confidences.argmax(axis=0)
    if folds is None:
        return surest
    return np.where((folds >= 0) & (folds < len(confidences)), folds, surest)
