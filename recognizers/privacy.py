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
import torch
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from augment.data.datasets import LabelledImages
from augment.errors import DataError
from augment.images import Pixels
from recognizers.nearest import NearestImages

__all__ = [
    "NEAR",
    "Attack",
    "Memorisation",
    "NearCopies",
    "area_under_curve",
    "attack_members",
    "halves",
    "measure_memorisation",
    "nearest_distances",
]

NEAR = 0.01
"""Share of real images that lie as near to another real image as a near-copy."""
LEAST = 10
"""Members, non-members and reference images, each at least, that an attack is measured on."""
CHUNK = 256
"""Points compared at a time; bounds the memory at CHUNK × M distances."""

Points = NDArray[np.float32]


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
        self._nearest, every = NearestImages(train), np.arange(len(train))
        distances = [
            self._nearest(train[rows], besides=rows)[1]
            for rows in np.array_split(every, -(-len(train) // CHUNK))
        ]
        self.limit = float(np.quantile(np.concatenate(distances), NEAR))

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
        calibrated: whether a reference took part; see ``attack_members``.
        auc: chance that a member scores above a non-member, ties counting half: 0.5 when
            members cannot be told, 1 when all can.
        ci95: its 95 % interval (DeLong et al., 1988), for the generated images at hand.
        found: share of members found when one in a hundred non-members is accused.
        members: number of training images attacked.
        non_members: number of other real images.
    """

    space: str
    calibrated: bool
    auc: float
    ci95: tuple[float, float]
    found: float
    members: int
    non_members: int

    def to_mapping(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "ci95": list(self.ci95)}


def measure_memorisation(
    generated: Points, train: Points, held_out: Points, space: str
) -> Memorisation:
    """Compare distances to the nearest training image.

    Args:
        generated: (M, D).
        train: (N, D), of the images that the generator was trained on.
        held_out: (K, D), of real images that nobody was trained on, nor what made the features.
        space: what to call the features.
    """
    drawn, real = nearest_distances(generated, train), nearest_distances(held_out, train)
    limit = float(np.quantile(real, NEAR))
    return Memorisation(
        space=space,
        generated=float(np.median(drawn)),
        held_out=float(np.median(real)),
        limit=limit,
        near_copies=float(((drawn < limit) | (drawn == 0)).mean()),
    )


def attack_members(
    members: Points,
    non_members: Points,
    generated: Points,
    space: str,
    reference: Points | None = None,
) -> Attack:
    """Guess who was trained on, from the generated images alone or with a reference.

    A real image scores −d(x, generated), d being the distance to the nearest. Images of a
    crowded region are near to everything, so a calibrated attack scores
    d(x, reference) / (d(x, reference) + d(x, generated)) instead, with other real images as
    reference: a half where nothing is nearer than it should be, 1 where a generated image is
    the same.

    Args:
        members: (N, D), of the training images.
        non_members: (K, D), of real images drawn alike.
        generated: (M, D).
        space: what to call the features; they must come from no network that has seen members
            but not non-members, or the other way round: it would tell them apart by itself.
        reference: (R, D), of real images that are neither; None for the plain attack.

    Raises:
        DataError: fewer than LEAST of something.
    """
    sizes = {"members": members, "non-members": non_members, "generated images": generated}
    for name, points in ({**sizes, "reference images": reference}).items():
        if points is not None and len(points) < LEAST:
            raise DataError(
                f"expected at least {LEAST} {name} to attack with, got {len(points)}; use data "
                "with more held-out images."
            )

    def score(points: Points) -> NDArray[np.float64]:
        near = nearest_distances(points, generated)
        if reference is None:
            return -near
        usual = nearest_distances(points, reference)
        both = usual + near
        return np.divide(usual, both, out=np.full_like(near, 0.5), where=both > 0)

    inside, outside = score(members), score(non_members)
    auc, interval = area_under_curve(inside, outside)
    return Attack(
        space=space,
        calibrated=reference is not None,
        auc=auc,
        ci95=interval,
        found=float((inside > np.quantile(outside, 0.99)).mean()),
        members=len(members),
        non_members=len(non_members),
    )


def area_under_curve(
    positives: NDArray[np.float64], negatives: NDArray[np.float64]
) -> tuple[float, tuple[float, float]]:
    """Area under the ROC curve, with the 95 % interval of DeLong et al. (1988).

    Args:
        positives: (N,) scores that should be high, N at least 2.
        negatives: (M,) scores that should be low, M at least 2.

    Returns:
        The area, and the ends of the interval inside [0, 1].
    """
    n, m = len(positives), len(negatives)
    together = rankdata(np.concatenate([positives, negatives]))
    above = (together[:n] - rankdata(positives)) / m  # (N,) share of negatives below each
    below = 1 - (together[n:] - rankdata(negatives)) / n  # (M,) share of positives above each
    auc = float(above.mean())
    error = float(np.sqrt(above.var(ddof=1) / n + below.var(ddof=1) / m))
    reach = float(norm.ppf(0.975)) * error
    return auc, (max(0.0, auc - reach), min(1.0, auc + reach))


def nearest_distances(points: Points, among: Points) -> NDArray[np.float64]:
    """(N,) Euclidean distance of each of (N, D) points to the nearest of (M, D) others."""
    others = torch.from_numpy(among)
    mode = "donot_use_mm_for_euclid_dist"  # equal points are 0 apart, exactly
    distances = [
        torch.cdist(torch.from_numpy(part), others, compute_mode=mode).min(dim=1).values
        for part in np.array_split(points, -(-len(points) // CHUNK))
    ]
    nearest: NDArray[np.float64] = torch.cat(distances).double().numpy()
    return nearest


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
