"""A planted memoriser is caught, an independent generator is not accused."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from augment.data.datasets import LabelledImages
from augment.errors import DataError
from recognizers.nearest import nearest_distances
from recognizers.privacy import (
    NEAR,
    Attack,
    NearCopies,
    attack_members,
    halves,
    match_classes,
    measure_memorisation,
    target_distances,
)


def people(count: int, seed: int, dimension: int = 8) -> np.ndarray:
    """Points in crowds of different density, as images are."""
    rng = np.random.default_rng(seed)
    crowd = np.arange(count) % 4
    centres = 4 * np.random.default_rng(0).normal(size=(4, dimension))
    spread = np.array([0.1, 0.5, 1, 2])[crowd, None]
    return (centres[crowd] + spread * rng.normal(size=(count, dimension))).astype(np.float32)


MEMBERS, OTHERS, REFERENCE = people(300, 1), people(300, 2), people(300, 3)


def memorised(noise: float) -> np.ndarray:
    """What a sampler draws that returns training images, slightly changed."""
    rng = np.random.default_rng(4)
    drawn = MEMBERS[rng.integers(len(MEMBERS), size=1200)]
    return drawn + noise * rng.normal(size=drawn.shape).astype(np.float32)


def attack_with(
    drawn: np.ndarray, real: np.ndarray | None = REFERENCE, *, calibrated: bool = False
) -> Attack:
    near = target_distances(MEMBERS, OTHERS, drawn)
    usual = None if real is None else target_distances(MEMBERS, OTHERS, real)
    return attack_members(near, "points", real=usual, calibrated=calibrated)


@pytest.mark.parametrize("calibrated", [False, True], ids=["plain", "calibrated"])
def test_a_memoriser_gives_its_members_away(calibrated):
    attack = attack_with(memorised(0.0), calibrated=calibrated)
    assert attack.auc > 0.95
    assert attack.ci95[0] > 0.9
    assert attack.calibrated == calibrated


def test_a_memoriser_that_blurs_is_found_better_by_calibration():
    blurred = memorised(0.1)
    plain, calibrated = attack_with(blurred), attack_with(blurred, calibrated=True)
    assert calibrated.auc > plain.auc > 0.6


@pytest.mark.parametrize("calibrated", [False, True], ids=["plain", "calibrated"])
def test_an_independent_generator_is_not_accused(calibrated):
    attack = attack_with(people(1200, 5), calibrated=calibrated)
    assert attack.auc == pytest.approx(0.5, abs=0.07)
    assert attack.ci95[0] < 0.5 < attack.ci95[1]


def attack_by(positives: np.ndarray, negatives: np.ndarray, groups: Any = None) -> Attack:
    """The attack that gives members and others these scores."""
    return attack_members((-positives, -negatives), "points", groups=groups)


def test_the_area_is_scikit_learns_and_ties_count_half():
    rng = np.random.default_rng(0)
    positives, negatives = rng.normal(0.5, 1, 80), rng.normal(0, 1, 50)
    positives[:9] = negatives[:9]
    area = attack_by(positives, negatives).auc
    truth = np.r_[np.ones(80), np.zeros(50)]
    assert area == pytest.approx(roc_auc_score(truth, np.r_[positives, negatives]))
    assert attack_by(np.zeros(5), np.zeros(4)).auc == 0.5
    assert attack_by(np.ones(5), np.zeros(4)).auc == 1


def test_few_images_that_are_all_told_still_leave_room_for_doubt():
    low, high = attack_by(np.ones(10), np.zeros(12)).ci95
    assert (low, high) == (pytest.approx(0.6915, abs=1e-4), 1.0)  # binomial, 10 of 10
    assert attack_by(np.ones(1000), np.zeros(1000)).ci95[0] > 0.99
    low, high = attack_by(np.zeros(10), np.zeros(10)).ci95  # all alike: nothing is known
    assert low < 0.2
    assert high > 0.8


def test_the_interval_holds_the_true_area_in_95_of_100_draws():
    rng = np.random.default_rng(0)
    truth = 0.6382  # Φ(0.5 / √2)
    held = 0
    for _ in range(1000):
        low, high = attack_by(rng.normal(0.5, 1, 60), rng.normal(0, 1, 40)).ci95
        held += low <= truth <= high
    assert 930 <= held <= 970


def test_images_of_one_group_do_not_pass_for_as_many_groups():
    """Twelve people a side with twenty like photographs each; half of what is told is chance."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 20), np.repeat(np.arange(12, 24), 20)
    held = {"images": 0, "groups": 0}
    for _ in range(300):
        people = rng.normal(size=24)
        scores = [people[side] + 0.3 * rng.normal(size=240) for side in groups]
        for name, of in (("images", None), ("groups", groups)):
            low, high = attack_by(*scores, groups=of).ci95
            held[name] += low <= 0.5 <= high
    assert held["images"] < 0.6 * 300
    assert 0.92 * 300 <= held["groups"] <= 0.99 * 300


def test_what_a_group_has_on_both_sides_is_told_of_it_once():
    """Scores are people's, whose photographs are members and others alike: the area is certain."""
    rng = np.random.default_rng(0)
    people = np.repeat(rng.normal(size=30), 4)
    of = np.repeat(np.arange(30), 4)
    apart = attack_by(people, people, groups=(of, of + 30))
    together = attack_by(people, people, groups=(of, of))
    assert together.auc == 0.5
    assert np.ptp(together.ci95) < 1e-9 < 0.2 < np.ptp(apart.ci95)


def test_one_group_alone_has_no_interval():
    with pytest.raises(DataError, match="at least 2 groups each, got 2 and 1"):
        attack_by(np.arange(4.0), np.arange(3.0), (np.arange(4) % 2, np.zeros(3)))


def test_what_real_images_tell_too_is_taken_off_in_pairs():
    real = people(300, 6)
    same = attack_with(real, real)
    assert (same.over_real, same.over_real_ci95) == (0, (0, 0))
    found = attack_with(memorised(0.1), real, calibrated=True)
    assert 0 < found.over_real_ci95[0] < found.over_real < found.over_real_ci95[1]
    near = real + 0.01 * np.random.default_rng(0).normal(size=real.shape).astype(np.float32)
    pair = attack_with(near, real)
    assert np.ptp(pair.over_real_ci95) < 0.5 * np.ptp(pair.ci95)
    assert attack_with(real, None).over_real_ci95 is None


def test_members_are_matched_with_as_many_others_of_their_class():
    def of(*counts: int) -> LabelledImages:
        labels = np.repeat(np.arange(3), counts)
        return LabelledImages.from_arrays(np.zeros((len(labels), 4, 4, 1), np.uint8), labels, "abc")

    one, other = match_classes(of(9, 2, 4), of(3, 5, 0), seed=0)
    assert np.bincount(one.labels).tolist() == np.bincount(other.labels).tolist() == [3, 2]
    assert len(set(one.names)) == 5
    assert match_classes(of(9, 2, 4), of(3, 5, 0), seed=1)[0].names != one.names


def test_memorisation_is_seen_in_the_distances():
    real = nearest_distances(OTHERS, MEMBERS)
    copied, honest = (
        measure_memorisation(nearest_distances(drawn, MEMBERS), real, "points")
        for drawn in (memorised(0.0), people(1200, 5))
    )
    assert (copied.generated, copied.near_copies) == (0, 1)
    assert honest.generated == pytest.approx(honest.held_out, rel=0.15)
    assert honest.near_copies < 3 * NEAR
    assert honest.limit == copied.limit


def test_near_copies_are_training_images_and_little_else():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (200, 6, 6, 1), dtype=np.uint8)
    is_copy = NearCopies(train)
    assert is_copy(train).all()
    brighter = np.clip(train.astype(int) + 3, 0, 255).astype(np.uint8)
    assert is_copy(brighter).all()
    assert is_copy(rng.integers(0, 256, (500, 6, 6, 1), dtype=np.uint8)).mean() < 0.05


def test_training_images_that_lie_twice_in_the_data_do_not_stop_the_rule():
    train = np.repeat(np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1)), 2, axis=0)
    is_copy = NearCopies(train.astype(np.uint8))
    assert is_copy.limit == 0
    assert is_copy(train.astype(np.uint8)).all()
    with pytest.raises(DataError, match="at least 2 training images"):
        NearCopies(train[:1].astype(np.uint8))


def test_an_attack_without_enough_images_is_refused():
    with pytest.raises(DataError, match="at least 10 non-members to attack with, got 9"):
        target_distances(MEMBERS, OTHERS[:9], REFERENCE)
    with pytest.raises(DataError, match="at least 10 generated or other images to attack with"):
        target_distances(MEMBERS, OTHERS, REFERENCE[:3])


def test_halves_share_no_group_and_all_classes():
    labels, groups = np.arange(60) % 3, [f"plate {i // 2}" for i in range(60)]
    pixels = np.zeros((60, 8, 8, 1), np.uint8)
    data = LabelledImages.from_arrays(pixels, labels, ("a", "b", "c"), groups=groups)
    one, other = halves(data, seed=0)
    assert not set(one.groups) & set(other.groups)
    assert len(one) + len(other) == 60
    assert set(one.labels) == set(other.labels) == {0, 1, 2}
    assert set(halves(data, seed=1)[0].groups) != set(one.groups)
    with pytest.raises(DataError, match="at least 2 groups"):
        halves(data.subset([0, 1]), seed=0)
