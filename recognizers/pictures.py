"""The pictures of a gain report, taken from one seed: what it trained on and what it generated."""

import numpy as np
from numpy.typing import NDArray

from augment.images import Pixels
from recognizers.arms import SeedRun
from recognizers.mixing import LabelledPixels
from recognizers.nearest import nearest_images
from recognizers.report import ClassPictures, Neighbour, Pictures

__all__ = ["take_pictures"]

MOST_CLASSES = 80
"""Classes shown, at random where there are more."""
OF_A_CLASS = 6
"""Real and generated images shown of each class."""
NEW_CLASSES = 20
"""Classes that do not exist that are shown."""
NEIGHBOURS = 24
"""Generated images shown beside the training image most like them."""
DISTANCES = 200
"""Training images whose distance to the next one tells what is usual."""


def take_pictures(run: SeedRun, new: LabelledPixels | None = None) -> Pictures:
    """Pictures of a finished seed; the choice is random, made without looking.

    Args:
        run: its images are generated if they have not been yet.
        new: images of classes that do not exist, some of which are shown after the real ones.
    """
    real = LabelledPixels(run.real.images(), run.real.labels)
    generated = run.generated()
    rng = np.random.default_rng(run.seed)

    def some(source: LabelledPixels, label: int) -> Pixels:
        rows = np.flatnonzero(source.labels == label)
        return source.images[_sample(rng, rows, OF_A_CLASS)]

    by_class = [
        ClassPictures(run.real.classes[label], some(real, label), some(generated, label))
        for label in _sample(rng, np.arange(len(run.real.classes)), MOST_CLASSES).tolist()
    ]
    if new is not None:
        invented = _sample(rng, np.unique(new.labels), NEW_CLASSES).tolist()
        by_class += [
            ClassPictures(f"new {number}", real.images[:0], some(new, label))
            for number, label in enumerate(invented, start=1)
        ]
    shown = _sample(rng, np.arange(len(generated)), NEIGHBOURS)
    nearest, distances = nearest_images(generated.images[shown], real.images)
    neighbours = [
        Neighbour(
            run.real.classes[generated.labels[row]],
            generated.images[row],
            real.images[index],
            float(distance),
        )
        for row, index, distance in zip(shown, nearest, distances, strict=True)
    ]
    return Pictures(by_class, neighbours, _usual_distance(real.images, rng))


def _usual_distance(images: Pixels, rng: np.random.Generator) -> float | None:
    """Median distance of an image to the nearest other one; None where it is alone."""
    if len(images) < 2:
        return None
    rows = _sample(rng, np.arange(len(images)), DISTANCES)
    return float(np.median(nearest_images(images[rows], images, besides=rows)[1]))


def _sample(rng: np.random.Generator, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return np.sort(rng.permutation(rows)[:most])
