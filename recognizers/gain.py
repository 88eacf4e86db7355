"""By how much generated images improve a recognizer: estimate, interval and verdict.

For each seed k, all arms share the same real images and the same test images, and

    d_k  = ln(error(synthetic) / error(baseline))
    gain = 1 - exp(mean d)                the share of the baseline's mistakes that went away
    s²   = var(d) / K  +  bootstrap variance of mean d over test images
    interval: mean d ± t(K - 1) · s, turned back by 1 - exp

The first variance is what another draw of real images and another training would change, the
second what other test images would change. The baseline is the better of the ``classical`` and
the ``rendered`` arm. An interval above zero says ``helps``, one below ``hurts``, any other
``no evidence``; fewer than three seeds have no verdict.

**Bootstrap.** Each of its rounds gives every group of test images (a plate, a source picture, a
person) one random weight, drawn from Exp(1), and applies it to all seeds, arms and classes.
Errors are weighted means within a class, so classes keep their shares: stratified by class,
clustered by group and paired across arms at once. A class that is one group, as a person is
who is to be recognized, carries the group's weight itself: other people might have been met.
Weights that are never zero (Rubin's Bayesian bootstrap, 1981) leave no class empty, however rare.

**Small counts.** Where one of the two arms makes no mistake in a seed, half a test image is
added to the mistakes of both in that seed, so that the logarithm exists and leans towards zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from augment.errors import DataError
from recognizers.metrics import Metric

__all__ = ["ArmResult", "ArmSummary", "GainReport", "Improvement", "Verdict", "measure_gain"]

Verdict = Literal["helps", "hurts", "no evidence"]
Floats = NDArray[np.float64]
Focus = Mapping[int, Sequence[int] | None]

CANDIDATE = "synthetic"
BASELINES = ("classical", "rendered")
CONFIDENCE = 0.95
LEAST_SEEDS = 3
"""Fewest seeds that carry a verdict."""
ROUNDS_AT_ONCE = 250
"""Bootstrap rounds whose weights are held in memory together."""


@dataclass(frozen=True)
class ArmResult:
    """One trained recognizer: what it reads on the test images.

    Attributes:
        arm: "real", "classical", "rendered", "synthetic", ...
        seed: the draw of real images it was trained on.
        predictions: (n_test,) predicted class of every test image, in the test's order.
        curve: (training step, metric) pairs.
    """

    arm: str
    seed: int
    predictions: NDArray[np.int64]
    curve: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True)
class ArmSummary:
    """The metric of one arm, in [0, 1]: its mean and each seed's, in the order of the seeds."""

    mean: float
    per_seed: list[float]


@dataclass(frozen=True)
class Improvement:
    """One arm against another.

    Attributes:
        over: the arm it is compared with.
        error_reduction: share of that arm's mistakes that went away; negative when there are more.
        ci95: its 95 % interval; None with a single seed.
        points: how much the metric rose, in percentage points.
    """

    over: str
    error_reduction: float
    ci95: tuple[float, float] | None
    points: float


@dataclass(frozen=True)
class GainReport:
    """What a benchmark found; ``to_mapping`` gives its part of report.json.

    Attributes:
        metric: how the test images were scored.
        n_test: test images.
        seeds: the draws, ascending.
        arms: the metric of each arm over the classes in focus.
        baseline: the better of the classical and the rendered arm.
        gain: synthetic against the baseline.
        gain_over_classical: synthetic against classical alone; None without that arm.
        verdict: None with fewer than three seeds.
        all_classes: the metric of each arm over all classes, which must not fall.
        gain_all_classes: synthetic against the baseline over all classes.
        curves: the mean over seeds of each arm's metric by training step.
    """

    metric: Metric
    n_test: int
    seeds: list[int]
    arms: dict[str, ArmSummary]
    baseline: str
    gain: Improvement
    gain_over_classical: Improvement | None
    verdict: Verdict | None
    all_classes: dict[str, ArmSummary]
    gain_all_classes: Improvement
    curves: dict[str, list[tuple[int, float]]]

    def to_mapping(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, ready for JSON."""
        return asdict(self)


def measure_gain(
    results: Sequence[ArmResult],
    labels: NDArray[np.int64],
    clusters: NDArray[Any],
    *,
    metric: Metric,
    focus_by_seed: Focus | None = None,
    candidate: str = CANDIDATE,
    bootstrap: int = 2000,
    seed: int = 0,
) -> GainReport:
    """Compare the ``synthetic`` arm with the better of ``classical`` and ``rendered``.

    Args:
        results: one for each arm and seed; other arms are summarised alongside.
        labels: (n_test,) true classes, the same for every seed.
        clusters: (n_test,) group of each test image: plate, source picture, person.
        metric: "accuracy" or "balanced_accuracy".
        focus_by_seed: for each seed the classes that the metric is taken over; None = all.
        candidate: the arm that is compared, where it is not ``synthetic``.
        bootstrap: rounds of the bootstrap over test images.
        seed: of the bootstrap; the same results and seed give the same report.

    Raises:
        DataError: a cell of the table arm × seed is missing, double or of another length, or
            there is no baseline or no candidate.
    """
    seeds = sorted({result.seed for result in results})
    arms = list(dict.fromkeys(result.arm for result in results))
    _check_complete(results, arms, seeds, len(labels))
    baselines = [arm for arm in BASELINES if arm in arms]
    if not baselines or candidate not in arms:
        raise DataError(
            f"expected the arm {candidate} and one of {', '.join(BASELINES)}, "
            f"got {', '.join(arms)}; run the missing arms."
        )
    cells = {(result.arm, result.seed): result.predictions for result in results}
    wrong = np.array([[cells[arm, k] != labels for k in seeds] for arm in arms])  # (A, K, n)
    table = _Mistakes.of(wrong, labels, clusters, metric)
    focus = _in_focus(focus_by_seed or dict.fromkeys(seeds), seeds, table.classes)
    focused, everywhere = table.rates([focus, np.ones_like(focus)], bootstrap, seed)
    baseline = min(baselines, key=lambda arm: float(focused.errors[arms.index(arm)].mean()))

    def improvement(over: str, rates: _Rates) -> Improvement:
        return _improvement(over, rates.of(arms.index(candidate), arms.index(over)))

    gain = improvement(baseline, focused)
    return GainReport(
        metric=metric,
        n_test=len(labels),
        seeds=seeds,
        arms=_summaries(arms, focused.errors),
        baseline=baseline,
        gain=gain,
        gain_over_classical=improvement("classical", focused) if "classical" in arms else None,
        verdict=_verdict(gain, len(seeds)),
        all_classes=_summaries(arms, everywhere.errors),
        gain_all_classes=improvement(baseline, everywhere),
        curves={arm: _mean_curve([r for r in results if r.arm == arm]) for arm in arms},
    )


@dataclass(frozen=True)
class _Rates:
    """Error rates of arms, at hand and resampled.

    Attributes:
        errors: (A, K) by arm and seed.
        resampled: (R, A, K) under the bootstrap's weights.
        half_an_image: (K,) what half a mistake is worth in each seed.
    """

    errors: Floats
    resampled: Floats
    half_an_image: Floats

    def of(self, *arms: int) -> "_Rates":
        """The same for some of the arms, in the order named."""
        pick = list(arms)
        return _Rates(self.errors[pick], self.resampled[:, pick], self.half_an_image)


@dataclass(frozen=True)
class _Mistakes:
    """Mistakes and images summed by group and class, which is all that a bootstrap needs.

    Attributes:
        mistakes: (G, A·K·C) mistakes of each group, by arm, seed and class.
        images: (G, C) images of each group by class.
        shape: (A, K, C).
        balanced: whether each class weighs the same.
        classes: the true classes that occur, ascending.
    """

    mistakes: Floats
    images: Floats
    shape: tuple[int, int, int]
    balanced: bool
    classes: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        wrong: NDArray[np.bool_],
        labels: NDArray[np.int64],
        clusters: NDArray[Any],
        metric: Metric,
    ) -> "_Mistakes":
        """Sum (A, K, n) mistakes over the groups of test images."""
        classes, of_class = np.unique(labels, return_inverse=True)
        groups, of_group = np.unique(clusters, return_inverse=True)
        shape = (wrong.shape[0], wrong.shape[1], len(classes))
        mistakes = np.zeros((len(groups), *shape))
        arm, k, item = np.nonzero(wrong)
        np.add.at(mistakes, (of_group[item], arm, k, of_class[item]), 1.0)
        images = np.zeros((len(groups), len(classes)))
        np.add.at(images, (of_group, of_class), 1.0)
        balanced = metric == "balanced_accuracy"
        return cls(mistakes.reshape(len(groups), -1), images, shape, balanced, classes)

    def errors(self, focus: Floats, weights: Floats) -> Floats:
        """Error rates (R, A, K) when groups weigh ``weights`` (R, G).

        Args:
            focus: (K, C), 1 where a class counts in a seed.
            weights: above zero, so that no class is empty.
        """
        mistakes = (weights @ self.mistakes).reshape(-1, *self.shape)  # (R, A, K, C)
        images = (weights @ self.images)[:, None, None, :]  # (R, 1, 1, C)
        if self.balanced:
            shares = focus * self._class_weights(weights)[:, None, None, :]
            rates: Floats = (mistakes / images * shares).sum(-1) / shares.sum(-1)
        else:
            rates = (mistakes * focus).sum(-1) / (images * focus).sum(-1)
        return rates

    def _class_weights(self, weights: Floats) -> Floats:
        """(R, C) a class's part in a balanced error: its group's weight if it is all of it."""
        in_group = self.images > 0  # (G, C)
        lone = in_group.sum(0) == 1
        return np.where(lone, weights @ in_group, 1.0)

    def rates(self, focuses: Sequence[Floats], rounds: int, seed: int) -> list[_Rates]:
        """Error rates for each focus, resampled under one shared draw of group weights."""
        rng = np.random.default_rng(seed)
        parts: list[list[Floats]] = [[] for _ in focuses]
        for start in range(0, rounds, ROUNDS_AT_ONCE):
            size = (min(ROUNDS_AT_ONCE, rounds - start), len(self.images))
            weights = rng.standard_exponential(size)
            for part, focus in zip(parts, focuses, strict=True):
                part.append(self.errors(focus, weights))
        once = np.ones((1, len(self.images)))
        return [
            _Rates(
                errors=self.errors(focus, once)[0],
                resampled=np.concatenate(part),
                half_an_image=0.5 / (focus @ self.images.sum(0)),
            )
            for focus, part in zip(focuses, parts, strict=True)
        ]


def _improvement(over: str, rates: _Rates) -> Improvement:
    """Error reduction, with its interval, of the first arm of ``rates`` over its second."""
    num_seeds = rates.errors.shape[1]
    no_mistake = (rates.errors == 0).any(0)  # (K,)
    correction = np.where(no_mistake, rates.half_an_image, 0.0)

    def log_ratio(errors: Floats) -> Floats:
        logs: Floats = np.log(errors + correction)
        return logs[..., 0, :] - logs[..., 1, :]

    d = log_ratio(rates.errors)  # (K,)
    mean = float(d.mean())
    ci95 = None
    if num_seeds > 1:
        variance = d.var(ddof=1) / num_seeds + log_ratio(rates.resampled).mean(-1).var(ddof=1)
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, num_seeds - 1) * np.sqrt(variance)
        ci95 = (float(1 - np.exp(mean + reach)), float(1 - np.exp(mean - reach)))
    points = 100 * float((rates.errors[1] - rates.errors[0]).mean())
    return Improvement(over, float(1 - np.exp(mean)), ci95, points)


def _verdict(gain: Improvement, num_seeds: int) -> Verdict | None:
    """What the interval says, if there are seeds enough."""
    if gain.ci95 is None or num_seeds < LEAST_SEEDS:
        return None
    low, high = gain.ci95
    return "helps" if low > 0 else "hurts" if high < 0 else "no evidence"


def _check_complete(
    results: Sequence[ArmResult], arms: Sequence[str], seeds: Sequence[int], n_test: int
) -> None:
    """Raise DataError unless every arm has exactly one result of full length for every seed."""
    done = [(result.arm, result.seed) for result in results]
    missing = [(arm, seed) for arm in arms for seed in seeds if (arm, seed) not in done]
    doubled = sorted({cell for cell in done if done.count(cell) > 1})
    if missing or doubled:
        what, cells = ("none", missing) if missing else ("several", doubled)
        named = ", ".join(f"{arm} of seed {seed}" for arm, seed in cells[:5])
        raise DataError(
            f"expected one result for each arm and seed, got {what} for {named}; "
            "pairing needs the same seeds in every arm."
        )
    for result in results:
        if len(result.predictions) != n_test:
            raise DataError(
                f"expected {n_test} predictions of arm {result.arm}, seed {result.seed}, "
                f"got {len(result.predictions)}; predict the whole test set in every cell."
            )


def _in_focus(focus_by_seed: Focus, seeds: Sequence[int], classes: NDArray[np.int64]) -> Floats:
    """(K, C) with 1 where a class counts in a seed."""
    rows = []
    for seed in seeds:
        if seed not in focus_by_seed:
            raise DataError(f"expected the classes in focus of seed {seed}, got none; add them.")
        focus = focus_by_seed[seed]
        rows.append(np.ones(len(classes)) if focus is None else np.isin(classes, list(focus)))
        if not rows[-1].any():
            raise DataError(
                f"expected test images of the classes in focus of seed {seed}, got none; "
                "check the scenario."
            )
    return np.array(rows, dtype=np.float64)


def _summaries(arms: Sequence[str], errors: Floats) -> dict[str, ArmSummary]:
    """The metric of each arm from its (A, K) error rates."""
    return {
        arm: ArmSummary(float(1 - rates.mean()), (1 - rates).tolist())
        for arm, rates in zip(arms, errors, strict=True)
    }


def _mean_curve(results: Sequence[ArmResult]) -> list[tuple[int, float]]:
    """Mean metric at the steps that every seed has measured."""
    curves = [dict(result.curve) for result in results]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return [(step, float(np.mean([curve[step] for curve in curves]))) for step in steps]
