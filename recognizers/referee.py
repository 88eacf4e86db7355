"""What generators are compared with: real images dealt into halves, and recognizers of them."""

import hashlib
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages
from augment.errors import DataError
from augment.images import Pixels
from recognizers.distribution import Features, InceptionFeatures
from recognizers.fidelity import Embedder, read_and_embed, train_embedder
from recognizers.fit import Budget
from recognizers.mixing import LabelledPixels
from recognizers.privacy import LEAST, choose_of_each, halves, match_classes
from recognizers.reader import CrossFittedReader, load_reader, save_reader

__all__ = ["Referee", "that_can_be_told"]


class Referee:
    """What one seed compares every generator with; its recognizers are trained once and kept.

    Args:
        data: real images with their splits; generators were trained on the train split.
        kind: of the recognizers, "character" or "face".
        budget: of each recognizer.
        seed: of everything random.
        folder: where recognizers are kept, those of other data, splits, image sizes, budgets and
            seeds apart; several processes may share it once it is filled.
        inception: file of torchvision's Inception weights; None: domain features alone.
        labelled: whether any generator draws the data's classes. If none does, an attribute takes
            their place where they cannot be told; see ``that_can_be_told``.
        people: whether the data's classes are people, of whom others might have been photographed.
        device: where to train and read.

    Raises:
        DataError: a class without a training image, or fewer than two with held-out images.

    Attributes:
        compared: indices of the classes that have images in both halves.
        left_out: the other classes.
        real: the half that generated images are compared with.
        other: the half that stands in for a perfect generator, or belongs to the attacker.
        members: training images that are attacked.
        non_members: as many images of each class, of the half compared with.
    """

    def __init__(
        self,
        data: LabelledImages,
        kind: str,
        budget: Budget,
        seed: int,
        folder: Path,
        *,
        inception: Path | None = None,
        labelled: bool = True,
        people: bool = False,
        device: str = "cpu",
    ) -> None:
        self.kind, self.budget, self.seed, self.device = kind, budget, seed, device
        self.labelled, self.digest = labelled, data.split("train").digest()
        told = None if labelled else that_can_be_told(data)
        self.people = people and told in (None, data)
        data = told or data
        self.classes = data.classes
        self.train = data.split("train")
        missing = np.setdiff1d(np.arange(len(data.classes)), self.train.labels)
        if len(missing):
            names = ", ".join(data.classes[label] for label in missing[:10])
            raise DataError(
                f"expected training images of every class of {data.uri}, got none of {names}; "
                "leave the classes out or move images to the train split."
            )
        held_out = data.subset(np.flatnonzero(data.splits != "train"))
        one, two = halves(held_out, seed)
        shared = np.intersect1d(one.labels, two.labels)
        if len(shared) < 2:
            raise DataError(
                f"expected two classes of {data.uri} with two held-out images each, got "
                f"{len(shared)}; move images to the test split."
            )
        self.compared = tuple(shared.tolist())
        self.left_out = tuple(np.delete(data.classes, shared).tolist())
        self.real, self.other = (
            part.subset(np.flatnonzero(np.isin(part.labels, shared))) for part in (one, two)
        )
        self.members, self.non_members = match_classes(self.train, self.real, seed)
        seen = (data.digest(), data.classes, data.image_size, data.channels)
        dealt = (data.splits.tolist(), data.groups.tolist(), kind, budget, seed)
        self.folder = folder / hashlib.sha256(repr((seen, dealt)).encode()).hexdigest()[:16]
        self.inception = inception

    @cached_property
    def judge(self) -> Embedder:
        """Trained on the training images."""
        return self._recognizer("judge", self.train)

    def pupil(self, each: int) -> tuple[Embedder, int]:
        """What a generator's pupil stands beside: trained on ``each`` training images of a class.

        Of a class that has fewer it learns all. Where these are all images it is the judge.

        Returns:
            The recognizer, and how many images it learned.
        """
        counts = np.full(len(self.classes), each)
        learned = choose_of_each(self.train, counts, np.random.default_rng(self.seed))
        if len(learned) == len(self.train):
            return self.judge, len(learned)
        return self._recognizer(f"pupil-{each}", learned), len(learned)

    @cached_property
    def attacker(self) -> Embedder:
        """Trained on a part of the attacker's half: it has seen nothing that it measures.

        That is neither members nor non-members nor the rest of the half, and no image of a group
        of that rest.
        """
        assert self.attackers is not None, "too few images to train it on"
        return self._recognizer("attacker-of-part", self.attackers[0])

    @cached_property
    def attackers(self) -> tuple[LabelledImages, LabelledImages] | None:
        """The attacker's half in two: what ``attacker`` learns, and what it has not seen.

        None where either has fewer than LEAST images.
        """
        if len(np.unique(self.other.groups)) < 2:
            return None
        learned, unseen = halves(self.other, self.seed)
        return (learned, unseen) if min(len(learned), len(unseen)) >= LEAST else None

    def clusters(self, part: LabelledImages) -> NDArray[Any]:
        """(N,) what else might have been photographed: the person, or the group of an image."""
        return part.labels if self.people else part.groups

    @cached_property
    def held_out(self) -> LabelledPixels:
        """Both halves of the real images that nobody was trained on."""
        one, two = self.real, self.other
        return LabelledPixels(
            np.concatenate([one.images(), two.images()]), np.concatenate([one.labels, two.labels])
        )

    @cached_property
    def feature_spaces(self) -> dict[str, Callable[[Pixels], Features]]:
        """Maps from images to features by name; a recognizer's have mean square 1."""

        def domain(images: Pixels) -> Features:
            embeddings = read_and_embed(self.judge, images)[1]
            return embeddings * np.float32(np.sqrt(embeddings.shape[1]))

        spaces: dict[str, Callable[[Pixels], Features]] = {"domain": domain}
        if self.inception is not None:
            spaces["inception"] = InceptionFeatures(self.inception, self.device)
        return spaces

    @cached_property
    def real_features(self) -> dict[str, Features]:
        """Features of the half that sets are compared with."""
        return {name: space(self.real.images()) for name, space in self.feature_spaces.items()}

    def _recognizer(self, name: str, data: LabelledImages) -> Embedder:
        folder = self.folder / name
        if not (folder / "config.json").exists():
            model = train_embedder(
                self.kind,
                LabelledPixels(data.images(), data.labels),
                len(self.classes),
                self.budget,
                seed=self.seed,
                device=self.device,
            )
            save_reader(folder, CrossFittedReader([model], self.classes))
        (kept,) = load_reader(folder, self.device).members
        assert isinstance(kept, Embedder)
        return kept


def that_can_be_told(data: LabelledImages) -> LabelledImages | None:
    """The data, or by their most even attribute, in classes that a recognizer can be tried on.

    All classes have training images, and two or more have held-out images of two groups. That
    is not so where people are either trained on or held out, or where nobody is named.

    Returns:
        None where neither classes nor an attribute are such.
    """
    candidates = [data]
    if data.attributes is not None:
        uneven = np.abs((data.attributes > 0).mean(axis=0) - 0.5)
        candidates.append(data.by_attribute(data.attribute_names[uneven.argmin()]))
    for one in candidates:
        train, held_out = one.split("train"), one.subset(np.flatnonzero(one.splits != "train"))
        pairs = set(zip(held_out.labels.tolist(), held_out.groups.tolist(), strict=True))
        groups = Counter(label for label, _ in pairs)
        in_both_halves = [label for label, count in groups.items() if count > 1]
        if len(np.unique(train.labels)) == len(one.classes) and len(in_both_halves) > 1:
            return one
    return None
