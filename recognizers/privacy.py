"""What a generator gives away of the images it was trained on.

Three questions. Do generated images lie nearer to training images than real images nobody
trained on do? How many are near-copies? And can an attacker who holds the generated images tell
a training image (a member) from another real one, by how near a generated image comes to it?

Nothing here proves privacy: an attack that fails bounds no other attack, and differential
privacy is not claimed.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, t

from augment.data.datasets import LabelledImages
from augment.errors import DataError
from augment.images import Pixels
from recognizers.nearest import NearestImages, nearest_distances

__all__ = [
    "LEAST",
    "NEAR",
    "Attack",
    "Floats",
    "Images",
    "Memorisation",
    "NearCopies",
    "Sides",
    "attack_members",
    "choose_of_each",
    "halves",
    "match_classes",
    "measure_memorisation",
    "target_distances",
]

NEAR = 0.01
"""Share of real images that lie as near to another real image as a near-copy."""
LEAST = 10
"""Members, non-members and images to attack with, each at least, that an attack takes."""

Images = Pixels | NDArray[np.float32]
"""(N, H, W, C) levels, or (N, D) points in a space of features."""
Floats = NDArray[np.float64]
Sides = tuple[Floats, Floats]
"""A figure of each member and of each non-member."""
Groups = tuple[NDArray[Any], NDArray[Any]]
"""The group of each member and of each non-member: a plate, a source picture, a person."""


class NearCopies:
    """The rule by which near-copies are dropped.

    A generated image is a near-copy when the root mean square difference of its pixels from
    some training image is smaller than all but NEAR of the training images have from the
    nearest other one.

    Args:
        train: (N, H, W, C), what the generator was trained on.

    Raises:
        DataError: fewer than two images, which tell no distance.
    """

    def __init__(self, train: Pixels) -> None:
        if len(train) < 2:
            raise DataError(
                f"expected at least 2 training images to tell near-copies by, got {len(train)}."
            )
        self._nearest = NearestImages(train)
        distances = self._nearest(train, besides=np.arange(len(train)))[1]
        self.limit = float(np.quantile(distances, NEAR))

    def __call__(self, images: Pixels) -> NDArray[np.bool_]:
        """(N,) whether each of (N, H, W, C) images is a near-copy; a training image always is."""
        distances = self._nearest(images)[1]
        copies: NDArray[np.bool_] = (distances < self.limit) | (distances == 0)
        return copies


@dataclass(frozen=True)
class Memorisation:
    """How near generated images come to training images, beside held-out real ones.

    Attributes:
        space: what distances are measured in.
        generated: median distance of a generated image to the nearest training image.
        held_out: the same of real images that nobody was trained on.
        limit: a near-copy is nearer than this; NEAR of the held-out images are.
        near_copies: share of the generated images that are near-copies.
    """

    space: str
    generated: float
    held_out: float
    limit: float
    near_copies: float


@dataclass(frozen=True)
class Attack:
    """Membership inference by distance.

    Attributes:
        space: what distances are measured in.
        calibrated: whether the attacker had other real images; see ``attack_members``.
        auc: chance that a member scores above a non-member, ties counting half: 0.5 when
            members cannot be told, 1 when all can.
        ci95: its 95 % interval over groups of images, for the generated images at hand.
        members: number of training images attacked.
        non_members: number of other real images.
        over_real: by how much ``auc`` is above that of the plain attack with real images; None
            where there are none to compare with.
        over_real_ci95: its 95 % interval, paired: over the same images in both attacks.
    """

    space: str
    calibrated: bool
    auc: float
    ci95: tuple[float, float]
    members: int
    non_members: int
    over_real: float | None = None
    over_real_ci95: tuple[float, float] | None = None

    def to_mapping(self) -> dict[str, Any]:
        """As JSON holds it."""
        pair = self.over_real_ci95
        ends = {"ci95": list(self.ci95), "over_real_ci95": None if pair is None else list(pair)}
        return {**asdict(self), **ends}


def measure_memorisation(drawn: Floats, real: Floats, space: str) -> Memorisation:
    """Compare distances to the nearest training image.

    Args:
        drawn: (M,) of generated images.
        real: (K,) of real images that nobody was trained on, nor what made the features.
        space: what distances are measured in.
    """
    limit = float(np.quantile(real, NEAR))
    return Memorisation(
        space=space,
        generated=float(np.median(drawn)),
        held_out=float(np.median(real)),
        limit=limit,
        near_copies=float(((drawn < limit) | (drawn == 0)).mean()),
    )


def target_distances(members: Images, non_members: Images, images: Images) -> Sides:
    """Distances by which members are told: of each target to the nearest of a set of images.

    Args:
        members: training images, or points in a space of features. These must come from no
            network that has seen members but not non-members, or the other way round: it would
            tell them apart by itself.
        non_members: real images drawn alike.
        images: generated ones; or real ones that are neither, nor what made the features.

    Raises:
        DataError: fewer than LEAST of something.
    """
    sizes = {"members": members, "non-members": non_members, "generated or other images": images}
    for name, some in sizes.items():
        if len(some) < LEAST:
            raise DataError(
                f"expected at least {LEAST} {name} to attack with, got {len(some)}; use data "
                "with more held-out images."
            )
    distances = nearest_distances(np.concatenate([members, non_members]), images)
    return distances[: len(members)], distances[len(members) :]


def attack_members(
    near: Sides,
    space: str,
    *,
    real: Sides | None = None,
    calibrated: bool = False,
    groups: Groups | None = None,
) -> Attack:
    """Guess who was trained on, from the generated images alone or with other real ones.

    A target scores −d(x, generated), d being the distance to the nearest. Images of a crowded
    region are near to everything, so a calibrated attack scores
    d(x, real) / (d(x, real) + d(x, generated)) instead: a half where nothing is nearer than it
    should be, 1 where a generated image is the same.

    Args:
        near: ``target_distances`` to generated images.
        space: what distances are measured in.
        real: ``target_distances`` to other real images, what a perfect generator would draw.
        calibrated: whether the attacker has these.
        groups: of members and non-members; images of one group are alike and prove less than as
            many of several. None: each image is its own.

    Raises:
        DataError: members or non-members of one group alone.
    """
    count = len(near[0])
    groups = groups or (np.arange(count), count + np.arange(len(near[1])))
    scores = [-side for side in near]
    if calibrated:
        assert real is not None, "a calibrated attack goes by other real images"
        scores = [_share(*sides) for sides in zip(real, near, strict=True)]
    auc, pulls = _area(*scores)
    over_real, pair = None, None
    if real is not None:
        rival, others = _area(*(-side for side in real))
        over_real, reach = auc - rival, _reach(pulls - others, groups)
        pair = (over_real - reach, over_real + reach)
    return Attack(
        space=space,
        calibrated=calibrated,
        auc=auc,
        ci95=_inside_unit(auc, _reach(pulls, groups) or _reach_of_all(groups)),
        members=count,
        non_members=len(near[1]),
        over_real=over_real,
        over_real_ci95=pair,
    )


def _share(usual: Floats, near: Floats) -> Floats:
    """(N,) usual / (usual + near) in [0, 1], a half where both are 0."""
    both = usual + near
    return np.divide(usual, both, out=np.full_like(near, 0.5), where=both > 0)


def _area(positives: Floats, negatives: Floats) -> tuple[float, Floats]:
    """The area under the ROC curve, and (N + M,) what each score adds to it beyond its share."""
    n, m = len(positives), len(negatives)
    together = rankdata(np.concatenate([positives, negatives]))
    above = (together[:n] - rankdata(positives)) / m  # (N,) share of negatives below each
    below = 1 - (together[n:] - rankdata(negatives)) / n  # (M,) share of positives above each
    auc = float(above.mean())
    return auc, np.concatenate([(above - auc) / n, (below - auc) / m])


def _reach(pulls: Floats, groups: Groups) -> float:
    """Half the length of the 95 % interval of a quantity that scores ``pulls`` add up to.

    Groups count as drawn anew with all their images (Obuchowski, Biometrics 53, 1997), be they
    of one side or of both; where each image is its own group, the error is that of DeLong et al.
    (1988). The interval is Student's, with one degree of freedom less than the side of fewer
    groups has groups.
    """
    counts = [len(np.unique(side)) for side in groups]
    if min(counts) < 2:
        raise DataError(
            f"expected members and non-members of at least 2 groups each, got {counts[0]} and "
            f"{counts[1]}; one group says nothing of others. Use data of more groups."
        )
    sides = np.split(pulls, [len(groups[0])])
    widened = [side * np.sqrt(k / (k - 1)) for side, k in zip(sides, counts, strict=True)]
    _, group = np.unique(np.concatenate(groups), return_inverse=True)
    sums = np.bincount(group, weights=np.concatenate(widened))
    return float(t.ppf(0.975, min(counts) - 1) * np.sqrt((sums**2).sum()))


def _reach_of_all(groups: Groups) -> float:
    """The same where all members are told, or none from another, and no score pulls.

    That is how far a share may be from 1 of which all trials came out well, as many as the side
    of fewer groups has groups (Clopper and Pearson, 1934).
    """
    return float(1 - 0.025 ** (1 / min(len(np.unique(side)) for side in groups)))


def _inside_unit(auc: float, reach: float) -> tuple[float, float]:
    return max(0.0, auc - reach), min(1.0, auc + reach)


def halves(data: LabelledImages, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """Deal images into two halves, no group and hardly a class all in one of them.

    Args:
        data: held-out images.
        seed: of the choice.

    Raises:
        DataError: all images are of one group.
    """
    rng = np.random.default_rng(seed)
    names, first, group = np.unique(data.groups, return_index=True, return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"expected held-out images of at least 2 groups in {data.uri}, got {len(names)}."
        )
    order = np.lexsort([rng.random(len(names)), data.labels[first]])  # class by class
    side = np.empty(len(names), np.int64)
    side[order] = np.arange(len(names)) % 2
    chosen = side[group]
    return data.subset(np.flatnonzero(chosen == 0)), data.subset(np.flatnonzero(chosen == 1))


def match_classes(
    one: LabelledImages, other: LabelledImages, seed: int
) -> tuple[LabelledImages, LabelledImages]:
    """As many images of each class of both, chosen at random; classes of one alone are left out.

    Otherwise an attack tells classes that are rare on one side, not who was trained on.

    Args:
        one: images.
        other: images of the same class names.
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    counts = [np.bincount(side.labels, minlength=len(side.classes)) for side in (one, other)]
    least = np.minimum(*counts)
    return choose_of_each(one, least, rng), choose_of_each(other, least, rng)


def choose_of_each(
    data: LabelledImages, counts: NDArray[np.int64], rng: np.random.Generator
) -> LabelledImages:
    """Choose images at random.

    Args:
        data: to choose from.
        counts: (k,) how many of each class; all of a class that has fewer.
        rng: what the choice is drawn from.
    """
    order = rng.permutation(len(data))
    order = order[np.argsort(data.labels[order], kind="stable")]  # class by class
    labels = data.labels[order]
    place = np.arange(len(order)) - np.searchsorted(labels, labels)  # within its class
    return data.subset(np.sort(order[place < counts[labels]]))
