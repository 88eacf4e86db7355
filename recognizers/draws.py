"""What one seed of a benchmark works with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages
from recognizers.metrics import Metric

__all__ = ["Draw"]


@dataclass(frozen=True)
class Draw:
    """What one seed of a scenario works with; no image is in two of the parts.

    Attributes:
        train: the real images that every arm shares, and all that a generator or reader sees.
        test: measures every arm; the same images for each seed.
        focus: the classes that the metric is taken over; None = all.
        metric: how ``test`` is scored.
        dev: training images outside the draw, of other groups than ``train``: for freezing
            defaults before a benchmark, never during one. None when nothing is left.
        confirm: a second test set from another source, where the scenario has one.
        classes_are_groups: the classes are people, of whom others might have been photographed:
            an interval resamples them rather than their images.
    """

    train: LabelledImages
    test: LabelledImages
    focus: tuple[int, ...] | None
    metric: Metric
    dev: LabelledImages | None = None
    confirm: LabelledImages | None = None
    classes_are_groups: bool = False

    @property
    def clusters(self) -> NDArray[np.generic]:
        """(n_test,) what an interval resamples together: plate, source picture or person."""
        return self.test.labels if self.classes_are_groups else self.test.groups

    def as_data(self, uri: str) -> LabelledImages:
        """All parts as one set of images: ``train``, ``test``, and ``dev`` as split "val".

        Args:
            uri: what to call it.
        """
        parts = {"train": self.train, "val": self.dev, "test": self.test}
        given = {name: part for name, part in parts.items() if part is not None}
        return LabelledImages.joined(given, uri)
