import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from augment.errors import DataError
from recognizers.gain import ArmResult, measure_gain
from recognizers.metrics import score

ARMS = ("classical", "rendered", "synthetic")


def results_with_mistakes(mistakes, labels):
    """One result for each arm and seed, which reads its first so many images wrong."""
    wrong = np.arange(len(labels))
    return [
        ArmResult(arm, seed, np.where(wrong < count, labels + 1, labels))
        for arm, counts in mistakes.items()
        for seed, count in enumerate(counts)
    ]


def simulate(
    rng,
    seeds,
    *,
    share_kept=1.0,
    groups=60,
    group_size=5,
    draw_noise=0.25,
    training_noise=0.15,
):
    """A benchmark: images and groups differ in difficulty, draws and trainings in luck.

    The synthetic arm makes ``share_kept`` of the mistakes that it would make without effect.
    """
    count, num_classes = groups * group_size, 8
    labels = rng.integers(0, num_classes, count)
    clusters = np.repeat(np.arange(groups), group_size)
    difficulty = rng.normal(-2, 1.2, count) + rng.normal(0, 0.6, groups)[clusters]
    results = []
    for seed in range(seeds):
        draw = rng.normal(0, draw_noise)
        for arm in ARMS:
            logit = difficulty + draw + rng.normal(0, training_noise)
            kept = share_kept if arm == "synthetic" else 1.0
            wrong = rng.random(count) < kept / (1 + np.exp(-logit))
            read = np.where(wrong, (labels + 1) % num_classes, labels)
            results.append(ArmResult(arm, seed, read))
    return results, labels, clusters


def verdicts(benchmarks, seeds, *, metric="accuracy", **world):
    rng = np.random.default_rng(7)
    found = Counter()
    for _ in range(benchmarks):
        results, labels, clusters = simulate(rng, seeds, **world)
        report = measure_gain(results, labels, clusters, metric=metric, bootstrap=200)
        found[report.verdict] += 1
    return found


def test_gain_is_the_geometric_mean_of_the_share_of_mistakes_that_went_away():
    labels = np.zeros(100, np.int64)
    results = results_with_mistakes({"classical": (20, 40, 10), "synthetic": (10, 10, 5)}, labels)
    report = measure_gain(results, labels, np.arange(100), metric="accuracy")
    expected = 1 - (0.5 * 0.25 * 0.5) ** (1 / 3)
    assert report.gain.error_reduction == pytest.approx(expected)
    assert report.gain.points == pytest.approx((10 + 30 + 5) / 3)
    assert report.arms["classical"].per_seed == pytest.approx([0.8, 0.6, 0.9])
    assert report.arms["classical"].mean == pytest.approx(2.3 / 3)


def test_interval_adds_the_variance_over_seeds_to_that_over_test_images():
    # Mistakes are nested, so for one image a weight, var ln(e_s / e_b) is known to first order.
    n, before, after = 2000, np.array([200, 240, 160]), np.array([150, 120, 100])
    labels = np.zeros(n, np.int64)
    results = results_with_mistakes({"classical": before, "synthetic": after}, labels)
    report = measure_gain(results, labels, np.arange(n), metric="accuracy", bootstrap=4000)
    d = np.log(after / before)
    influence = np.zeros(n)  # of each image on the mean of d
    for b, s in zip(before, after, strict=True):
        influence += ((np.arange(n) < s) / s - (np.arange(n) < b) / b) / 3
    variance = d.var(ddof=1) / 3 + (influence**2).sum()
    reach = stats.t.ppf(0.975, 2) * np.sqrt(variance)
    expected = 1 - np.exp([d.mean() + reach, d.mean() - reach])
    assert report.gain.ci95 == pytest.approx(tuple(expected), rel=0.05)


def test_baseline_is_the_better_of_classical_and_rendered():
    labels = np.zeros(100, np.int64)
    mistakes = {"classical": (20, 20, 20), "rendered": (16, 16, 16), "synthetic": (8, 8, 8)}
    report = measure_gain(
        results_with_mistakes(mistakes, labels), labels, np.arange(100), metric="accuracy"
    )
    assert (report.baseline, report.gain.over) == ("rendered", "rendered")
    assert report.gain.error_reduction == pytest.approx(0.5)
    assert report.gain_over_classical is not None
    assert report.gain_over_classical.error_reduction == pytest.approx(0.6)


def test_the_candidate_may_have_another_name():
    labels = np.zeros(100, np.int64)
    mistakes = {"classical": (20, 20), "synthetic_new": (5, 5), "synthetic": (10, 10)}
    results = results_with_mistakes(mistakes, labels)
    settings = {"metric": "accuracy", "candidate": "synthetic_new"}
    report = measure_gain(results, labels, np.arange(100), **settings)
    assert report.gain.error_reduction == pytest.approx(0.75)
    with pytest.raises(DataError, match="expected the arm nobody"):
        measure_gain(results, labels, np.arange(100), metric="accuracy", candidate="nobody")


def test_people_who_are_classes_are_resampled_as_a_whole():
    # 40 people of 5 photographs: what is balanced over people is the mean over photographs.
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 5)
    results = []
    for arm, rate in {"classical": 0.5, "synthetic": 0.3}.items():
        for seed in range(3):
            hard = np.repeat(rng.random(40) < rate, 5)  # all photographs of a person, or none
            results.append(ArmResult(arm, seed, np.where(hard, labels + 1, labels)))
    found = {
        (metric, by): measure_gain(results, labels, clusters, metric=metric).gain.ci95
        for metric in ("accuracy", "balanced_accuracy")
        for by, clusters in {"person": labels, "image": np.arange(200)}.items()
    }
    by_person = found["balanced_accuracy", "person"]
    assert by_person == pytest.approx(found["accuracy", "person"])
    by_image = found["balanced_accuracy", "image"]
    assert by_person[1] - by_person[0] > by_image[1] - by_image[0]


def test_real_and_synthetic_only_are_summarised_but_never_the_baseline():
    labels = np.zeros(100, np.int64)
    mistakes = {"real": (1, 1, 1), "classical": (20, 20, 20), "synthetic": (8, 8, 8)}
    results = results_with_mistakes(mistakes | {"synthetic_only": (2, 2, 2)}, labels)
    report = measure_gain(results, labels, np.arange(100), metric="accuracy")
    assert report.baseline == "classical"
    assert set(report.arms) == {"real", "classical", "synthetic", "synthetic_only"}


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_arms_are_scored_as_the_metrics_do_on_each_seeds_focus(metric):
    results, labels, clusters = simulate(np.random.default_rng(3), 3)
    focus = {0: (0, 1, 2), 1: (3, 4), 2: (5, 6, 7)}
    report = measure_gain(results, labels, clusters, metric=metric, focus_by_seed=focus)
    for result in results:
        focused = score(metric, result.predictions, labels, focus[result.seed])
        overall = score(metric, result.predictions, labels)
        assert report.arms[result.arm].per_seed[result.seed] == pytest.approx(focused)
        assert report.all_classes[result.arm].per_seed[result.seed] == pytest.approx(overall)


def test_mistakes_outside_the_focus_move_the_score_over_all_classes_only():
    labels = np.arange(100) % 10
    outside = labels == 9
    rng = np.random.default_rng(0)
    results = []
    for seed in range(3):
        wrong = rng.random(100) < 0.3
        for arm in ("classical", "synthetic"):
            spoiled = wrong | (outside & (arm == "synthetic"))
            results.append(ArmResult(arm, seed, np.where(spoiled, (labels + 1) % 10, labels)))
    focus = dict.fromkeys(range(3), tuple(range(9)))
    report = measure_gain(
        results, labels, np.arange(100), metric="balanced_accuracy", focus_by_seed=focus
    )
    assert report.gain.error_reduction == 0
    assert report.gain_all_classes.error_reduction < 0
    assert report.gain_all_classes.points < 0


def test_an_arm_without_mistakes_counts_half_an_image():
    labels = np.zeros(100, np.int64)
    results = results_with_mistakes({"classical": (4, 4, 4), "synthetic": (0, 4, 4)}, labels)
    report = measure_gain(results, labels, np.arange(100), metric="accuracy")
    expected = 1 - np.exp(np.log(0.5 / 4.5) / 3)
    assert report.gain.error_reduction == pytest.approx(expected)
    assert np.isfinite(report.gain.ci95).all()


def test_two_arms_without_any_mistake_are_no_evidence():
    labels = np.zeros(100, np.int64)
    results = results_with_mistakes({"classical": (0, 0, 0), "synthetic": (0, 0, 0)}, labels)
    report = measure_gain(results, labels, np.arange(100), metric="accuracy")
    assert (report.gain.error_reduction, report.verdict) == (0, "no evidence")


def test_repeated_views_of_a_group_do_not_narrow_the_interval():
    results, labels, _ = simulate(np.random.default_rng(5), 3, groups=200, group_size=1)
    alone = measure_gain(results, labels, np.arange(200), metric="accuracy")
    fourfold = [
        dataclasses.replace(result, predictions=np.repeat(result.predictions, 4))
        for result in results
    ]
    groups = np.repeat(np.arange(200), 4)
    repeated = measure_gain(fourfold, np.repeat(labels, 4), groups, metric="accuracy")
    assert repeated.gain.ci95 == pytest.approx(alone.gain.ci95)
    fooled = measure_gain(fourfold, np.repeat(labels, 4), np.arange(800), metric="accuracy")
    assert np.ptp(fooled.gain.ci95) < np.ptp(alone.gain.ci95)


def test_the_order_of_the_test_images_and_results_changes_nothing():
    results, labels, clusters = simulate(np.random.default_rng(5), 3)
    order = np.random.default_rng(0).permutation(len(labels))
    shuffled = [
        dataclasses.replace(result, predictions=result.predictions[order])
        for result in reversed(results)
    ]
    first = measure_gain(results, labels, clusters, metric="balanced_accuracy")
    second = measure_gain(shuffled, labels[order], clusters[order], metric="balanced_accuracy")
    assert second.gain.ci95 == pytest.approx(first.gain.ci95)
    assert second.gain.error_reduction == pytest.approx(first.gain.error_reduction)


@pytest.mark.parametrize(("seeds", "has_interval"), [(1, False), (2, True)])
def test_fewer_than_three_seeds_have_no_verdict(seeds, has_interval):
    results, labels, clusters = simulate(np.random.default_rng(0), seeds, share_kept=0.1)
    report = measure_gain(results, labels, clusters, metric="accuracy")
    assert report.verdict is None
    assert (report.gain.ci95 is not None) == has_interval


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    "world",
    [
        {"metric": "accuracy"},
        {"metric": "balanced_accuracy"},
        {"metric": "accuracy", "groups": 800, "group_size": 1, "training_noise": 0.4},
        {"metric": "accuracy", "draw_noise": 0.0, "training_noise": 0.0},
    ],
    ids=["accuracy", "balanced", "noise in training", "noise in test images"],
)
def test_at_most_seven_percent_of_benchmarks_without_effect_get_a_verdict(seeds, world):
    found = verdicts(1000, seeds, **world)
    assert found["helps"] + found["hurts"] <= 70, found
    assert found.total() == 1000


def test_the_simulation_would_catch_intervals_that_are_too_short(monkeypatch):
    monkeypatch.setattr("recognizers.gain.CONFIDENCE", 0.6)
    found = verdicts(200, 5, groups=800, group_size=1, training_noise=0.4)
    assert found["helps"] + found["hurts"] > 14, found


def test_half_the_mistakes_gone_is_found_to_help():
    found = verdicts(200, 5, share_kept=0.5)
    assert found["helps"] >= 180, found
    assert found["hurts"] == 0


def test_twice_the_mistakes_are_found_to_hurt():
    found = verdicts(100, 5, share_kept=2.0)
    assert found["hurts"] >= 90, found


def test_curves_are_means_over_seeds_at_common_steps():
    labels = np.zeros(10, np.int64)
    results = [
        dataclasses.replace(result, curve=[(10, 0.2 + 0.2 * result.seed), (20 + result.seed, 0.9)])
        for result in results_with_mistakes({"classical": (2, 2), "synthetic": (1, 1)}, labels)
    ]
    report = measure_gain(results, labels, np.arange(10), metric="accuracy")
    assert report.curves["synthetic"] == [(10, pytest.approx(0.3))]


def test_a_report_becomes_json():
    results, labels, clusters = simulate(np.random.default_rng(0), 3)
    report = measure_gain(results, labels, clusters, metric="accuracy")
    mapping = json.loads(json.dumps(report.to_mapping()))
    assert mapping["gain"]["ci95"] == list(report.gain.ci95)
    assert mapping["verdict"] == report.verdict


def test_a_missing_cell_is_named():
    results, labels, clusters = simulate(np.random.default_rng(0), 3)
    with pytest.raises(DataError, match="got none for synthetic of seed 2"):
        measure_gain(results[:-1], labels, clusters, metric="accuracy")


def test_a_doubled_cell_is_named():
    results, labels, clusters = simulate(np.random.default_rng(0), 3)
    with pytest.raises(DataError, match="got several for classical of seed 0"):
        measure_gain([*results, results[0]], labels, clusters, metric="accuracy")


def test_predictions_of_a_part_of_the_test_set_are_refused():
    results, labels, clusters = simulate(np.random.default_rng(0), 3)
    results[4] = dataclasses.replace(results[4], predictions=results[4].predictions[:7])
    with pytest.raises(DataError, match="arm rendered, seed 1, got 7"):
        measure_gain(results, labels, clusters, metric="accuracy")


def test_a_benchmark_without_baseline_is_refused():
    labels = np.zeros(10, np.int64)
    results = results_with_mistakes({"real": (2, 2), "synthetic": (1, 1)}, labels)
    with pytest.raises(DataError, match="one of classical, rendered"):
        measure_gain(results, labels, np.arange(10), metric="accuracy")


def test_a_seed_without_focus_is_refused():
    results, labels, clusters = simulate(np.random.default_rng(0), 3)
    with pytest.raises(DataError, match="focus of seed 2"):
        measure_gain(results, labels, clusters, metric="accuracy", focus_by_seed={0: None, 1: None})
