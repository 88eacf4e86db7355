"""The pictures of an evaluation: what the figures were measured on, best and worst in front."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.generate import Sampler
from augment.images import Pixels
from recognizers.evaluation import Evaluated, Space
from recognizers.nearest import nearest_images
from recognizers.referee import Referee
from recognizers.report import ClassPictures, Neighbour

__all__ = ["BundlePictures", "ReadPicture", "Walk", "take_bundle_pictures"]

CLASSES, OF_A_CLASS = 24, 8
"""Classes shown, and images of each, real and generated."""
WALKS, STEPS = 6, 9
"""Interpolations shown, and images in each."""
NEIGHBOURS, READ = 18, 16
"""Generated images shown beside their nearest training image; best and worst by read-back."""


@dataclass(frozen=True)
class Walk:
    """Images of one class, from one style to another."""

    label: str
    images: Pixels  # (n, H, W, C)


@dataclass(frozen=True)
class ReadPicture:
    """An image, what was asked for, what was read, and how sure the reader was of its label."""

    image: Pixels  # (H, W, C)
    label: str
    read: str
    probability: float  # of the label


@dataclass(frozen=True)
class BundlePictures:
    """What the page shows of one bundle; nothing is measured on it.

    Attributes:
        by_class: real beside generated images.
        walks: interpolations between two styles; none where the bundle has no two, or
            takes none.
        neighbours: the generated images nearest to a training image, nearest first.
        usual_distance: median distance of a held-out real image to its nearest training image.
        best: read as their label with most confidence.
        worst: whose label is least likely by the judge.
    """

    by_class: Sequence[ClassPictures]
    walks: Sequence[Walk]
    neighbours: Sequence[Neighbour]
    usual_distance: float
    best: Sequence[ReadPicture]
    worst: Sequence[ReadPicture]


def take_bundle_pictures(evaluated: Evaluated, *, with_judge: bool = True) -> BundlePictures:
    """Pictures of a bundle; classes are spread evenly, images the first of each.

    Args:
        evaluated: the bundle.
        with_judge: whether images are read, which may train the judge.
    """
    referee, drawn = evaluated.referee, evaluated.pixels
    sampler, real = evaluated.sampler, referee.held_out
    assert sampler is not None, "real images are shown beside a bundle's"
    classes = referee.classes if evaluated.labelled else sampler.classes
    shown = np.unique(np.linspace(0, len(classes) - 1, min(CLASSES, len(classes))).astype(int))
    real_labels = real.labels if evaluated.labelled else np.zeros_like(real.labels)
    by_class = [
        ClassPictures(
            classes[label],
            real.images[np.flatnonzero(real_labels == label)[:OF_A_CLASS]],
            drawn.images[np.flatnonzero(drawn.labels == label)[:OF_A_CLASS]],
        )
        for label in shown
    ]
    train = referee.train.images()
    nearest, distances = nearest_images(drawn.images, train)
    rows = np.argsort(distances, kind="stable")[:NEIGHBOURS]
    beside = zip(drawn.images[rows], train[nearest[rows]], strict=True)  # copies: few are kept
    neighbours = [
        Neighbour(classes[drawn.labels[row]], *pair, float(distances[row]))
        for row, pair in zip(rows, beside, strict=True)
    ]
    best, worst = _read(evaluated) if with_judge and evaluated.labelled else ([], [])
    return BundlePictures(
        by_class=by_class,
        walks=_walk(sampler, referee, shown[:WALKS]) if evaluated.labelled else [],
        neighbours=neighbours,
        usual_distance=float(np.median(Space(referee, "pixels", referee.other).held_out)),
        best=best,
        worst=worst,
    )


def _walk(sampler: Sampler, referee: Referee, labels: NDArray[np.int64]) -> list[Walk]:
    """Images from one style of the bank to another, for each label."""
    if sampler.num_styles < 2 or not sampler.takes_styles:
        return []
    ends = np.random.default_rng(referee.seed).permutation(sampler.num_styles)[:2].tolist()
    frames = []
    for share in np.linspace(0, 1, STEPS).tolist():
        style = sampler.style(ids=ends, weights=[1 - share, share])
        frames.append(sampler.draw(labels, np.zeros_like(labels), referee.seed, style).images)
    return [
        Walk(referee.classes[label], images)
        for label, images in zip(labels, np.stack(frames, axis=1), strict=True)
    ]


def _read(evaluated: Evaluated) -> tuple[list[ReadPicture], list[ReadPicture]]:
    """The best and the worst by the probability of their label, each in order."""
    probabilities, labels = evaluated.judged[0], evaluated.pixels.labels
    own = probabilities[np.arange(len(labels)), labels]
    order = np.argsort(own, kind="stable")
    classes = evaluated.referee.classes

    def picture(row: int) -> ReadPicture:
        read = classes[int(probabilities[row].argmax())]
        image = evaluated.pixels.images[row].copy()  # not all images with it
        return ReadPicture(image, classes[labels[row]], read, float(own[row]))

    return [picture(row) for row in order[::-1][:READ]], [picture(row) for row in order[:READ]]
