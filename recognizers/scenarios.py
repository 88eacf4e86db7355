"""The named benchmarks: which real images are drawn for a seed, and which are the test.

A scenario fixes everything that an arm may not choose. Its test images are the same for every
seed and choose nothing; a seed draws the few real images that all arms share. What the draw
leaves over of the training images is ``dev``: there, and only there, defaults may be tried
and frozen before a benchmark is run.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages, open_data
from augment.errors import ConfigError, DataError
from recognizers.draws import Draw
from recognizers.metrics import Metric

__all__ = [
    "SCENARIOS",
    "FewShot",
    "LongTail",
    "Scenario",
    "chars_scenario",
    "data_root",
    "find_scenario",
    "locate_data",
    "pick",
]

Indices = NDArray[np.int64]

REPOSITORY = Path(__file__).resolve().parents[1]
_DATA = "{data}"
"""Stands for ``data_root()`` in a scenario's URI; filled in when the data are opened."""


def data_root() -> Path:
    """Folder of the benchmark data: LABELMINT_DATA, default ../shared/data.

    A relative path counts from the repository, not from the working directory.
    """
    root = Path(os.environ.get("LABELMINT_DATA", "../shared/data"))
    return (REPOSITORY / root).resolve()


def locate_data(uri: str, name: str) -> str:
    """A scenario's URI with ``data_root()`` filled in.

    Raises:
        DataError: it needs that folder, and there is none.
    """
    if _DATA in uri and not data_root().is_dir():
        raise DataError(
            f"{name} expects its data under {data_root()}, which is not a folder; "
            "set LABELMINT_DATA to the benchmark data or name the data with --data."
        )
    return uri.replace(_DATA, str(data_root()))


@dataclass(frozen=True)
class Scenario(ABC):
    """A named benchmark.

    Attributes:
        name: what the command line calls it.
        describe: one sentence for reports.
        uri: the data; ``{data}`` stands for ``data_root()``.
        shots: real images a class (for a long tail: a rare class).
        rendered: whether font rendering is an arm here.
        metric: how the test images are scored.
        image_size: (H, W); None = chosen from the data.
        channels: 1 or 3; None = chosen from the data.
        test_per_class: test images of each class, held back by hash of their names instead of
            by the data's own splits; 0 = the data's splits. Such classes are people.
        most_dev: most images of a class in ``Draw.dev``.
    """

    name: str
    describe: str
    uri: str
    shots: int
    rendered: bool = True
    metric: Metric = "accuracy"
    image_size: tuple[int, int] | None = None
    channels: int | None = None
    test_per_class: int = 0
    most_dev: int | None = None

    def __post_init__(self) -> None:
        """Check the number of shots."""
        if self.shots < 1:
            raise ConfigError(
                f"{self.name}: shots must be at least 1 real image a class, got {self.shots}."
            )

    @abstractmethod
    def draw(self, seed: int) -> Draw:
        """Draw the real images of one seed.

        For the same seed, more shots contain fewer shots: a sweep over the number of real
        images adds images and never swaps them.

        Raises:
            DataError: the data are missing or a class has no training image.
        """

    def with_shots(self, shots: int) -> "Scenario":
        """The same scenario with another number of real images a class."""
        return replace(self, shots=shots)

    @property
    def of_people(self) -> bool:
        """Whether classes are people: of each, some photographs are held back to test."""
        return self.test_per_class > 0

    def with_data(self, uri: str) -> "Scenario":
        """The same scenario on another copy of its data."""
        return replace(self, uri=uri)

    def open(self, uri: str | None = None) -> LabelledImages:
        """Open the scenario's data, or ``uri`` in the scenario's image size and channels."""
        resolved = locate_data(uri or self.uri, self.name)
        return open_data(
            resolved, image_size=self.image_size, channels=self.channels, real_only=True
        )

    def _open_with_splits(self) -> LabelledImages:
        """The scenario's data, test images told from others by the scenario's own rule."""
        data = self.open()
        if self.test_per_class:
            data.splits = np.where(_first_by_hash(data, self.test_per_class), "test", "train")
        return data

    def _dev(self, data: LabelledImages, pool: Indices, drawn: Indices) -> LabelledImages | None:
        """Images of ``pool`` that share neither image nor group with the draw."""
        free = pool[~np.isin(data.groups[pool], data.groups[drawn])]
        if self.most_dev is not None and len(free):
            free = pick(data, free, dict.fromkeys(range(len(data.classes)), self.most_dev), 0)
        return _part(data, free, "val") if len(free) else None


@dataclass(frozen=True)
class FewShot(Scenario):
    """A few real images of every class; accuracy on the test split.

    Attributes:
        half_for_test: ignore the data's splits and hold one half back by hash of the name.
        confirm_uri: characters of another source; classes are matched by upper case.
    """

    half_for_test: bool = False
    confirm_uri: str | None = None

    def draw(self, seed: int) -> Draw:
        """Draw ``shots`` training images of each class, or all of a class that has fewer."""
        data = self._open_with_splits()
        is_test = _in_hashed_half(data.names) if self.half_for_test else data.splits == "test"
        is_train = ~is_test if self.half_for_test else data.splits == "train"
        everything = range(len(data.classes))
        _require(data, everything, np.flatnonzero(is_train), "training")
        test = np.flatnonzero(is_test)
        if not len(test):
            raise DataError(
                f"{data.uri}: expected test images, got none among {len(data)}; "
                "give them the split 'test'."
            )
        train = pick(data, np.flatnonzero(is_train), dict.fromkeys(everything, self.shots), seed)
        return Draw(
            train=_part(data, train, "train"),
            test=_part(data, test, "test"),
            focus=None,
            metric=self.metric,
            dev=self._dev(data, np.flatnonzero(~is_test), train),
            confirm=self._confirm(data.classes),
            classes_are_groups=self.of_people,
        )

    def _confirm(self, classes: tuple[str, ...]) -> LabelledImages | None:
        if self.confirm_uri is None:
            return None
        other = self.open(self.confirm_uri).split("test")
        same_order = {name: name for name in classes}
        upper = {name: name.upper() for name in other.classes if name.upper() in same_order}
        return other.relabel(same_order | upper)


@dataclass(frozen=True)
class LongTail(Scenario):
    """A random half of the classes is rare; balanced accuracy on that half.

    Classes with too few images to be measured are left out, for every seed alike.

    Attributes:
        common: most real images that a class keeps which is not rare.
        least_train: fewest training images of a class that takes part.
        least_test: fewest test images of a class that takes part.
    """

    metric: Metric = "balanced_accuracy"
    common: int = 200
    least_train: int = 40
    least_test: int = 8

    def draw(self, seed: int) -> Draw:
        """Choose the rare half, then ``shots`` images of it and ``common`` of the others."""
        everything = self._open_with_splits()
        counts = {
            split: np.bincount(
                everything.labels[everything.splits == split], minlength=len(everything.classes)
            )
            for split in ("train", "test")
        }
        enough = (counts["train"] >= self.least_train) & (counts["test"] >= self.least_test)
        classes = tuple(name for name, ok in zip(everything.classes, enough, strict=True) if ok)
        if len(classes) < 4:
            raise DataError(
                f"{everything.uri}: expected 4 or more classes with {self.least_train} training "
                f"and {self.least_test} test images, got {len(classes)}; give it more images."
            )
        data = everything.relabel({name: name for name in classes})
        order = np.random.default_rng([seed, len(classes)]).permutation(len(classes))
        rare = sorted(order[: len(classes) // 2].tolist())
        keep = {label: self.shots if label in rare else self.common for label in order.tolist()}
        train = pick(data, np.flatnonzero(data.splits == "train"), keep, seed)
        return Draw(
            train=_part(data, train, "train"),
            test=_part(data, np.flatnonzero(data.splits == "test"), "test"),
            focus=tuple(rare),
            metric=self.metric,
            dev=self._dev(data, np.flatnonzero(data.splits != "test"), train),
            classes_are_groups=self.of_people,
        )


LFW_PEOPLE: dict[str, Any] = {
    "uri": "lfw:{data}/faces/lfw_min10_128.zip",
    "rendered": False,
    "image_size": (64, 64),
    "channels": 3,
    "test_per_class": 5,
    "most_dev": 30,
}
"""People of Labeled Faces in the Wild with ten photographs or more, five of them to test."""

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        FewShot(
            "digits",
            "scikit-learn's handwritten digits, 5 a class from one half; accuracy on the other",
            "digits:",
            shots=5,
            image_size=(16, 16),
            channels=1,
            half_for_test=True,
        ),
        FewShot(
            "mnist",
            "MNIST, 10 a class; accuracy on its 10,000 test images",
            "idx:{data}/text/mnist",
            shots=10,
            image_size=(28, 28),
            channels=1,
        ),
        LongTail(
            "plate-chars-tail",
            "characters cut from real plates, a random half of them rare with 3 images a class; "
            "balanced accuracy on the rare half",
            "charboxes:{data}/text/cn_plates.zip",
            shots=3,
            image_size=(24, 24),
            channels=3,
        ),
        FewShot(
            "scene-chars",
            "characters cut from street photographs (Chars74K), 5 a class; accuracy on test",
            "zip:{data}/text/chars74k_english_natural.zip",
            shots=5,
            image_size=(32, 32),
            channels=3,
            confirm_uri="charboxes:{data}/text/iiit5k_words.zip",
        ),
        FewShot(
            "faces-id",
            "158 people of Labeled Faces in the Wild, 5 photographs a person; accuracy on 5 others",
            shots=5,
            **LFW_PEOPLE,
        ),
        FewShot(
            "faces-orl",
            "40 people of the ORL database, 3 photographs a person; accuracy on 5 others",
            "zip:{data}/faces/orl_att_92x112.zip",
            shots=3,
            rendered=False,
            image_size=(64, 64),
            channels=1,
            test_per_class=5,
        ),
        LongTail(
            "faces-tail",
            "158 people of Labeled Faces in the Wild, a random half of them rare with 3 "
            "photographs a person; balanced accuracy on the rare half",
            shots=3,
            common=40,
            least_train=5,
            least_test=5,
            **LFW_PEOPLE,
        ),
    )
}


def chars_scenario(uri: str, shots: int) -> Scenario:
    """The scenario ``chars``: any labelled characters, ``shots`` real images a class.

    Args:
        uri: a data URI; its test split measures, its training split is drawn from.
        shots: real images a class; a class with fewer gives all it has.
    """
    return FewShot("chars", f"{uri}, {shots} a class; accuracy on its test split", uri, shots)


def find_scenario(name: str) -> Scenario:
    """Look a scenario up by name.

    Raises:
        ConfigError: no scenario has this name; the message lists those there are.
    """
    if name not in SCENARIOS:
        raise ConfigError(f"unknown scenario {name!r}; there are {', '.join(SCENARIOS)}.")
    return SCENARIOS[name]


def _in_hashed_half(names: Sequence[str]) -> NDArray[np.bool_]:
    """True for about half of the names, chosen by their SHA-1 alone."""
    return np.array([hashlib.sha1(name.encode()).digest()[0] < 128 for name in names])


def _first_by_hash(data: LabelledImages, count: int) -> NDArray[np.bool_]:
    """True for the ``count`` images of each class whose names have the smallest SHA-1."""
    digests = np.array([hashlib.sha1(name.encode()).hexdigest() for name in data.names])
    first = np.zeros(len(data), bool)
    for label in range(len(data.classes)):
        rows = np.flatnonzero(data.labels == label)
        first[rows[np.argsort(digests[rows])[:count]]] = True
    return first


def _require(data: LabelledImages, labels: Sequence[int], indices: Indices, what: str) -> None:
    """Raise DataError when a class has no image among ``indices``."""
    counts = np.bincount(data.labels[indices], minlength=len(data.classes))
    missing = [data.classes[label] for label in labels if not counts[label]]
    if missing:
        raise DataError(
            f"{data.uri}: expected {what} images of every class, got none of "
            f"{', '.join(missing[:10])}; add some or leave these classes out."
        )


def pick(data: LabelledImages, pool: Indices, keep: dict[int, int], seed: int) -> Indices:
    """Draw up to ``keep[label]`` images of each class from ``pool``; sorted indices.

    Each class has a random stream of its own, so that what it draws does not depend on the
    other classes, and a larger number contains a smaller one.
    """
    picked = []
    for label, count in keep.items():
        of_class = pool[data.labels[pool] == label]
        order = np.random.default_rng([seed, label]).permutation(len(of_class))
        picked.append(of_class[order[:count]])
    return np.sort(np.concatenate(picked))


def _part(data: LabelledImages, indices: Indices, split: str) -> LabelledImages:
    """A subset whose images all say which part of the draw they belong to."""
    part = data.subset(indices)
    part.splits = np.full(len(indices), split)
    return part
