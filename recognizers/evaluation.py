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
each class as many members as non-members are attacked. In features the second half is dealt once
more: its first part is what the features are learned from, its second tells what a perfect
generator would score, so that no image is measured in features that had a part in making them.

Generators that draw without labels have fidelity, diversity and privacy; "labels" and "utility"
say that there are none.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages
from augment.errors import DataError, RequestError
from augment.generate import Reader, Sampler, Samples
from augment.images import Pixels
from recognizers.arrays import load_array, save_arrays
from recognizers.distribution import compare_sets, describe_difference
from recognizers.fidelity import class_diversity, read_and_embed, train_embedder
from recognizers.fit import predict
from recognizers.metrics import accuracy, balanced_accuracy
from recognizers.mixing import LabelledPixels
from recognizers.nearest import nearest_distances
from recognizers.privacy import (
    Floats,
    Images,
    Sides,
    attack_members,
    measure_memorisation,
    target_distances,
)
from recognizers.referee import Referee

__all__ = ["MEASURES", "Evaluated", "Space", "draw_evenly", "draw_like"]

Section = dict[str, Any]

NO_LABELS: Section = {"no_labels": True}
"""What label measures say of a generator that draws without."""


class Evaluated:
    """Images to be judged, of a generator or of the real half that stands in for a perfect one.

    Args:
        sampler: the generator; None: the real half.
        referee: whose seed is drawn with.
        images: generated images, in all, evenly over the classes.
        reader: the bundle's own, if it has one.
        labelled: whether the images have labels; if not, the sampler has one class.
    """

    def __init__(
        self,
        sampler: Sampler | None,
        referee: Referee,
        images: int,
        reader: Reader | None = None,
        *,
        labelled: bool = True,
    ) -> None:
        self.sampler, self.referee, self.images, self.reader = sampler, referee, images, reader
        self.labelled = labelled

    @cached_property
    def samples(self) -> Samples | None:
        """The generated images with their origins; None of real ones."""
        return None if self.sampler is None else self.sampler.draw(*self.asked, self.referee.seed)

    @cached_property
    def asked(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Labels and sample numbers of the generated images."""
        return draw_evenly(len(self.referee.classes) if self.labelled else 1, self.images)

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
        real, seed = self.referee.other, self.referee.seed
        if not self.labelled:
            return self.sampler.draw(*draw_evenly(1, len(real)), seed).images
        return draw_like(real, self.sampler, len(real), seed)

    @cached_property
    def judged(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The judge's probabilities and embeddings of ``pixels``."""
        return read_and_embed(self.referee.judge, self.pixels.images)

    @property
    def top1(self) -> float:
        """Share of ``pixels`` that the judge reads as their label, the mean over the classes."""
        read = self.judged[0].argmax(axis=1)
        return balanced_accuracy(read, self.pixels.labels, self.referee.compared)


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
    """Mean 1 − cos of the judge's embeddings of two images, and of two of a class.

    What is compared with real images is the second, or of images without labels the first.

    Raises:
        DataError: all real images are alike to the judge.
    """
    referee = evaluated.referee
    real, drawn = referee.held_out, evaluated.pixels
    of_real, of_drawn = read_and_embed(referee.judge, real.images)[1], evaluated.judged[1]
    found = any_two = class_diversity(of_drawn, np.zeros(len(drawn), np.int64))
    if evaluated.labelled:
        found = class_diversity(of_drawn, drawn.labels)
        usual = class_diversity(of_real, real.labels)
    else:
        usual = class_diversity(of_real, np.zeros(len(real), np.int64))
    if usual <= 0:
        raise DataError(
            "expected real images that differ, got such as the recognizer cannot tell from each "
            "other; train it for longer (judge_steps)."
        )
    return {
        "intra_class": found if evaluated.labelled else None,
        "any_two": any_two,
        "of_real": found / usual,
    }


def measure_labels(evaluated: Evaluated) -> Section:
    """Share of images that the judge reads as their label, by class and the mean over classes.

    Every class weighs the same, of real images too, which have more of some than of others.
    """
    if not evaluated.labelled:
        return NO_LABELS
    read, labels = evaluated.judged[0].argmax(axis=1), evaluated.pixels.labels
    classes = evaluated.referee.classes
    by_class = {
        classes[label]: float((read[labels == label] == label).mean())
        for label in np.unique(labels)
    }
    section = {"top1": evaluated.top1, "by_class": by_class, "read_back": None}
    if evaluated.reader is not None and evaluated.samples is not None:
        own, _ = evaluated.reader.read(evaluated.samples.images, evaluated.samples.folds)
        section["read_back"] = accuracy(own, labels)
    return section


def measure_utility(evaluated: Evaluated) -> Section:
    """GAN-train and GAN-test (Shmelkov et al., 2018), beside training on real images.

    GAN-train: accuracy on held-out real images of a recognizer trained on generated ones alone,
    beside one trained on as many real images of each class, or all there are; "learned" says how
    many the recognizer of "train_on_generated" had, of the real half the real one.
    GAN-test: accuracy on generated images of a recognizer trained on real ones, the mean over the
    classes. Above that on real images it says that the images are too easy, or copies.
    """
    if not evaluated.labelled:
        return NO_LABELS
    referee = evaluated.referee
    pupil, learned = referee.pupil(len(evaluated.asked[0]) // len(referee.classes))
    on_real = accuracy(predict(pupil, referee.held_out.images)[0], referee.held_out.labels)
    section = {"train_on_real": on_real, "train_on_generated": on_real, "learned": learned}
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
        section["learned"] = len(evaluated.pixels)
    section["test_on_generated"] = evaluated.top1
    return section


def measure_privacy(evaluated: Evaluated) -> Section:
    """Near-copies and membership inference, in pixels and in the attacker's features.

    Features are left out where the attacker has too few images; see ``Referee.attackers``.

    Raises:
        RequestError: the bundle was trained on other images than the data's train split.
    """
    referee = evaluated.referee
    if evaluated.sampler is not None:
        expected, here = evaluated.sampler.info.data.get("digest"), referee.digest
        if expected != here:
            raise RequestError(
                "expected the images that the bundle was trained on, digest "
                f"{str(expected)[:12]}, as the train split of {referee.train.uri}, got digest "
                f"{here[:12]}: who is a member is not known. Give the data it was trained on."
            )

    attacks, memorisation = {}, {}
    groups = referee.clusters(referee.members), referee.clusters(referee.non_members)
    for space in _spaces(referee):
        real = evaluated.sampler is None
        drawn = space.embed(space.other.images() if real else evaluated.pixels.images)
        copied = nearest_distances(drawn, space.train)
        memorisation[space.name] = vars(measure_memorisation(copied, space.held_out, space.name))
        if real:  # they cannot be their own reference
            attack = attack_members(space.usual, space.name, groups=groups)
            attacks[space.name] = attack.to_mapping()
            continue
        near = space.targets(drawn)
        for name, calibrated in ((space.name, False), (f"{space.name}_calibrated", True)):
            attack = attack_members(
                near, space.name, real=space.usual, calibrated=calibrated, groups=groups
            )
            attacks[name] = attack.to_mapping()
    return {"memorisation": memorisation, "attacks": attacks}


class Space:
    """What distances are measured in; what is the same for every generator is kept on disk.

    Args:
        referee: of the real images.
        name: "pixels", or "features": those of the attacker's recognizer.
        other: real images that stand in for a perfect generator, and belong to the attacker;
            features were not made from them.
    """

    def __init__(self, referee: Referee, name: str, other: LabelledImages) -> None:
        self.referee, self.name, self.other = referee, name, other

    def embed(self, images: Pixels) -> Images:
        """The images themselves, or (N, D) features."""
        return images if self.name == "pixels" else read_and_embed(self.referee.attacker, images)[1]

    @cached_property
    def train(self) -> Images:
        """What generators were trained on."""
        return self._embedded("train", self.referee.train)

    @cached_property
    def held_out(self) -> Floats:
        """(K,) distances to the nearest training image, of the half compared with."""
        return self._kept(
            "held-out",
            lambda: nearest_distances(self.embed(self.referee.real.images()), self.train),
        )

    @cached_property
    def usual(self) -> Sides:
        """Distances of members and non-members to the nearest of the other real images."""
        both = self._kept(
            "usual", lambda: np.concatenate(self.targets(self.embed(self.other.images())))
        )
        count = len(self.referee.members)
        return both[:count], both[count:]

    def targets(self, images: Images) -> Sides:
        """Distances of members and non-members to the nearest of these."""
        referee = self.referee
        members = self._embedded("members", referee.members)
        non_members = self._embedded("non-members", referee.non_members)
        return target_distances(members, non_members, images)

    def _embedded(self, part: str, data: LabelledImages) -> Images:
        if self.name == "pixels":
            return data.images()
        return self._kept(part, lambda: self.embed(data.images()))

    def _kept(self, what: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        device = self.referee.device.replace(":", "-")  # another one rounds features otherwise
        path = self.referee.folder / f"{self.name}-{what}-{device}.npz"
        if not path.exists():
            save_arrays(path, made=make())
        return load_array(path, "made")


def _spaces(referee: Referee) -> list[Space]:
    spaces = [Space(referee, "pixels", referee.other)]
    if referee.attackers is not None:
        spaces.append(Space(referee, "features", referee.attackers[1]))
    return spaces


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
