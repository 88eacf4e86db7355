"""What a generator's images are worth, measured on one seed: five measures.

| measure | says |
|---|---|
| fidelity | how the generated images as a set differ from real ones |
| diversity | how much two images of one class differ |
| labels | how many images show what they were asked to |
| utility | what a recognizer learns from generated images alone |
| privacy | what they give away of the training images |

Real images that nobody was trained on are dealt into two halves. One is what generated images
are compared with; the other is measured like a generated set and tells what a perfect generator
would score. For privacy the first half are the non-members and the second is the attacker's; of
each class as many members as non-members are attacked.
"""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages
from augment.errors import DataError, RequestError
from augment.generate import Reader, Sampler, Samples
from augment.images import Pixels
from recognizers.distribution import (
    Features,
    InceptionFeatures,
    compare_sets,
    describe_difference,
)
from recognizers.fidelity import Embedder, class_diversity, read_and_embed, train_embedder
from recognizers.fit import Budget, predict
from recognizers.metrics import accuracy
from recognizers.mixing import LabelledPixels
from recognizers.privacy import (
    attack_members,
    halves,
    match_classes,
    measure_memorisation,
)
from recognizers.reader import CrossFittedReader, load_reader, save_reader

__all__ = ["MEASURES", "Evaluated", "Referee", "draw_evenly", "draw_like"]

Section = dict[str, Any]


class Referee:
    """What one seed compares every generator with; its recognizers are trained once and kept.

    Args:
        data: real images with their splits; generators were trained on the train split.
        kind: of the recognizers, "character" or "face".
        budget: of each recognizer.
        seed: of everything random.
        folder: where recognizers are kept; several processes may share it once it is filled.
        inception: file of torchvision's Inception weights; None: domain features alone.
        device: where to train and read.

    Raises:
        DataError: a class without a training image, or fewer than two with held-out images.

    Attributes:
        left_out: classes that have no image in both halves and are not compared.
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
        device: str = "cpu",
    ) -> None:
        self.kind, self.budget, self.seed, self.device = kind, budget, seed, device
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
        self.left_out = tuple(np.delete(data.classes, shared).tolist())
        self.real, self.other = (
            part.subset(np.flatnonzero(np.isin(part.labels, shared))) for part in (one, two)
        )
        self.members, self.non_members = match_classes(self.train, self.real, seed)
        key = f"{data.digest()} {kind} {budget} {seed}"
        self.folder = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        self.inception = inception

    @cached_property
    def judge(self) -> Embedder:
        """Trained on the training images."""
        return self._recognizer("judge", self.train)

    @cached_property
    def attacker(self) -> Embedder:
        """Trained on the attacker's half: it has seen neither members nor non-members."""
        return self._recognizer("attacker", self.other)

    def clusters(self, part: LabelledImages) -> NDArray[Any]:
        """(N,) what else might have been photographed: the person, or the group of an image."""
        return part.labels if self.kind == "face" else part.groups

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


class Evaluated:
    """Images to be judged, of a generator or of the real half that stands in for a perfect one.

    Args:
        sampler: the generator; None: the real half.
        referee: whose seed is drawn with.
        images: generated images, in all, evenly over the classes.
        reader: the bundle's own, if it has one.
    """

    def __init__(
        self, sampler: Sampler | None, referee: Referee, images: int, reader: Reader | None = None
    ) -> None:
        self.sampler, self.referee, self.images, self.reader = sampler, referee, images, reader

    @cached_property
    def samples(self) -> Samples | None:
        """The generated images with their origins; None of real ones."""
        return None if self.sampler is None else self.sampler.draw(*self.asked, self.referee.seed)

    @cached_property
    def asked(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Labels and sample numbers of the generated images."""
        return draw_evenly(len(self.referee.classes), self.images)

    @cached_property
    def pixels(self) -> LabelledPixels:
        """Images evenly over the classes; of the real half, all."""
        if self.samples is None:
            return LabelledPixels(self.referee.other.images(), self.referee.other.labels)
        return LabelledPixels(self.samples.images, self.asked[0])

    @cached_property
    def alike(self) -> Pixels:
        """As many images as the real half has, with its share of each class."""
        if self.sampler is None:
            return self.pixels.images
        return draw_like(
            self.referee.other, self.sampler, len(self.referee.other), self.referee.seed
        )

    @cached_property
    def judged(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The judge's probabilities and embeddings of ``pixels``."""
        return read_and_embed(self.referee.judge, self.pixels.images)


def measure_fidelity(evaluated: Evaluated) -> Section:
    """Distances of the set from as many real images, in each space of features."""
    referee, section = evaluated.referee, {}
    for name, space in referee.feature_spaces.items():
        found = compare_sets(referee.real_features[name], space(evaluated.alike), referee.seed)
        section[name] = {
            **vars(found),
            "kid_thousandfold": 1000 * found.kid,
            "kid_noise_thousandfold": 1000 * found.kid_std,
            "note": describe_difference(found),
        }
    return section


def measure_diversity(evaluated: Evaluated) -> Section:
    """Mean 1 − cos of the judge's embeddings of two images of a class, and of real ones."""
    referee = evaluated.referee
    real = referee.held_out
    usual = class_diversity(read_and_embed(referee.judge, real.images)[1], real.labels)
    found = class_diversity(evaluated.judged[1], evaluated.pixels.labels)
    return {"intra_class": found, "of_real": found / usual}


def measure_labels(evaluated: Evaluated) -> Section:
    """Share of images that the judge reads as their label, in all and by class."""
    probabilities, labels = evaluated.judged[0], evaluated.pixels.labels
    read = probabilities.argmax(axis=1)
    classes = evaluated.referee.classes
    by_class = {
        classes[label]: float((read[labels == label] == label).mean())
        for label in np.unique(labels)
    }
    section = {"top1": accuracy(read, labels), "by_class": by_class, "read_back": None}
    if evaluated.reader is not None and evaluated.samples is not None:
        own, _ = evaluated.reader.read(evaluated.samples.images, evaluated.samples.folds)
        section["read_back"] = accuracy(own, labels)
    return section


def measure_utility(evaluated: Evaluated) -> Section:
    """GAN-train and GAN-test (Shmelkov et al., 2018), beside training on real images.

    GAN-train: accuracy on held-out real images of a recognizer trained on generated ones alone.
    GAN-test: accuracy on generated images of a recognizer trained on real ones. Above the real
    recognizer's own accuracy it says that the images are too easy, or copies.
    """
    referee = evaluated.referee
    on_real = accuracy(predict(referee.judge, referee.held_out.images)[0], referee.held_out.labels)
    section = {"train_on_real": on_real, "train_on_generated": on_real}
    if evaluated.sampler is not None:
        model = train_embedder(
            referee.kind,
            evaluated.pixels,
            len(referee.classes),
            referee.budget,
            seed=referee.seed,
            device=referee.device,
        )
        read, _ = predict(model, referee.held_out.images)
        section["train_on_generated"] = accuracy(read, referee.held_out.labels)
    section["test_on_generated"] = accuracy(
        evaluated.judged[0].argmax(axis=1), evaluated.pixels.labels
    )
    return section


def measure_privacy(evaluated: Evaluated) -> Section:
    """Near-copies and membership inference, in pixels and in the attacker's features.

    Raises:
        RequestError: the bundle was trained on other images than the data's train split.
    """
    referee = evaluated.referee
    if evaluated.sampler is not None:
        expected, here = evaluated.sampler.info.data.get("digest"), referee.train.digest()
        if expected != here:
            raise RequestError(
                "expected the images that the bundle was trained on, digest "
                f"{str(expected)[:12]}, as the train split of {referee.train.uri}, got digest "
                f"{here[:12]}: who is a member is not known. Give the data it was trained on."
            )

    def features(images: Pixels) -> Features:
        return read_and_embed(referee.attacker, images)[1]

    def points(images: Pixels) -> Features:
        flat = images.reshape(len(images), -1)
        scale = 255 * np.sqrt(flat.shape[1])  # distances are root mean squares
        scaled: Features = (flat / scale).astype(np.float32)
        return scaled

    attacks, memorisation = {}, {}
    groups = referee.clusters(referee.members), referee.clusters(referee.non_members)
    for space, embed in (("pixels", points), ("features", features)):
        trained_on, held_out, members, others, reference = (
            embed(part.images())
            for part in (
                referee.train,
                referee.real,
                referee.members,
                referee.non_members,
                referee.other,
            )
        )
        drawn = embed(evaluated.pixels.images)
        memorisation[space] = vars(measure_memorisation(drawn, trained_on, held_out, space))
        if evaluated.sampler is None:  # the real half cannot be its own reference
            attack = attack_members(members, others, drawn, space, groups=groups)
            attacks[space] = attack.to_mapping()
            continue
        for name, beside in ((space, None), (f"{space}_calibrated", reference)):
            attack = attack_members(
                members, others, drawn, space, beside, groups=groups, real=reference
            )
            attacks[name] = attack.to_mapping()
    return {"memorisation": memorisation, "attacks": attacks}


MEASURES: dict[str, Callable[[Evaluated], Section]] = {
    "fidelity": measure_fidelity,
    "diversity": measure_diversity,
    "labels": measure_labels,
    "utility": measure_utility,
    "privacy": measure_privacy,
}


def draw_evenly(num_classes: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and sample numbers of at least ``count`` images, equally many of each class."""
    each = -(-count // num_classes)
    return np.repeat(np.arange(num_classes), each), np.tile(np.arange(each), num_classes)


def draw_like(real: LabelledImages, sampler: Sampler, count: int, seed: int) -> Pixels:
    """Draw ``count`` samples whose classes have the shares of the real images: (N, H, W, C)."""
    shares = np.bincount(real.labels, minlength=len(real.classes)) / len(real)
    ends = np.round(np.cumsum(shares) * count).astype(np.int64)
    counts = np.diff(ends, prepend=0)
    labels: NDArray[np.int64] = np.repeat(np.arange(len(counts)), counts)
    indices = np.concatenate([np.arange(number) for number in counts])
    return sampler.draw(labels, indices, seed).images
