"""Choosing recipes before a benchmark: every arm gets equally many trials, test images none.

Recipes are tried on the draw's ``dev`` images, training images outside the draw. Where nothing
is left over, they are tried by cross-validation inside the draw's own images: then generator,
reader and recognizer of a fold see the other folds only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, DataError
from augment.files import write_whole
from recognizers.arms import Plan, SeedRun
from recognizers.draws import Draw
from recognizers.metrics import balanced_accuracy, score
from recognizers.mixing import Mixture, MixtureT, Recipe
from recognizers.plans import TUNABLE_ARMS, candidates

__all__ = [
    "Trial",
    "best_of",
    "cell_name",
    "evenly",
    "format_trials",
    "grouped_folds",
    "measured_on",
    "run_trials",
    "summarize",
    "trials_of",
    "tuning_draws",
    "write_trials",
]

MOST_DEV = 3000
"""Dev images that recipes are tried on."""
FOLDS = 3


@dataclass(frozen=True)
class Trial(Generic[MixtureT]):
    """One recipe tried for one arm.

    Attributes:
        arm: classical, rendered or synthetic.
        recipe: what was tried.
        per_seed: the scenario's metric for each draw, in [0, 1].
        besides: other metrics to look at, by name, averaged over the draws, in [0, 1].
        seconds: training and measuring, all draws together.
    """

    arm: str
    recipe: MixtureT
    per_seed: list[float]
    besides: dict[str, float]
    seconds: float

    @property
    def mean(self) -> float:
        """The metric, averaged over the draws."""
        return float(np.mean(self.per_seed))

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"mean": self.mean}


def trials_of(plan: Plan) -> Mapping[str, Sequence[Recipe]]:
    """The recipes to try for each arm that the plan has.

    Raises:
        ConfigError: an arm has more trials than another.
    """
    arms = [arm for arm in TUNABLE_ARMS if plan.rendered or arm != "rendered"]
    return evenly({arm: candidates(arm, plan) for arm in arms})


def evenly(trials: Mapping[str, Sequence[MixtureT]]) -> Mapping[str, Sequence[MixtureT]]:
    """The recipes to try for each arm, unless one has more than another.

    Raises:
        ConfigError: says how many each has.
    """
    counts = {arm: len({str(recipe) for recipe in tried}) for arm, tried in trials.items()}
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{arm} {count}" for arm, count in counts.items())
        raise ConfigError(
            f"expected equally many different recipes to try for every arm, got {told}; "
            "mend the candidates."
        )
    return trials


def tuning_draws(draw: Draw, seed: int) -> list[Draw]:
    """Draws to try recipes on; what they call ``test`` are training images.

    Args:
        draw: a scenario's; its test images are left alone.
        seed: which of many dev images are taken.

    Returns:
        One draw measured on dev images, or one a fold.
    """
    if draw.dev is not None:
        order = np.random.default_rng(seed).permutation(len(draw.dev))
        dev = draw.dev.subset(np.sort(order[:MOST_DEV]))
        return [replace(draw, test=dev, dev=None, confirm=None)]
    folds = grouped_folds(draw.train, FOLDS)
    return [
        replace(
            draw,
            train=draw.train.subset(np.flatnonzero(folds != fold)),
            test=draw.train.subset(np.flatnonzero(folds == fold)),
            confirm=None,
        )
        for fold in range(FOLDS)
    ]


def measured_on(draw: Draw) -> str:
    """What ``tuning_draws`` measures on, in words."""
    if draw.dev is not None:
        return f"{min(len(draw.dev), MOST_DEV):,} training images outside the draw"
    return f"{FOLDS}-fold cross-validation inside the draw's {len(draw.train):,} training images"


def grouped_folds(data: LabelledImages, count: int) -> NDArray[np.int64]:
    """Deal images into folds: groups stay whole, classes are spread as evenly as that allows.

    Returns:
        (N,) fold of each image.

    Raises:
        DataError: a class would lie in one fold alone, so that it could not be trained without.
    """
    sizes = np.bincount(data.labels, minlength=len(data.classes))
    _, of_group = np.unique(data.groups, return_inverse=True)
    members = [np.flatnonzero(of_group == group) for group in range(of_group.max() + 1)]
    members.sort(key=lambda rows: int(sizes[data.labels[rows]].min()))  # rare classes first
    folds = np.empty(len(data), np.int64)
    dealt = np.zeros((count, len(sizes)))
    for rows in members:
        labels = data.labels[rows]
        fold = int((dealt[:, labels] / sizes[labels]).sum(axis=1).argmin())
        folds[rows] = fold
        np.add.at(dealt[fold], labels, 1)
    alone = np.flatnonzero((dealt > 0).sum(axis=0) == 1)
    if len(alone):
        names = ", ".join(data.classes[label] for label in alone[:10])
        raise DataError(
            f"cross-validation needs 2 or more real images, of different groups, in every class; "
            f"got fewer for {names}. Give more --shots, or data with training images to spare."
        )
    return folds


def run_trials(runs: Sequence[SeedRun]) -> None:
    """Train and measure every trial that is not finished yet, on one seed's runs."""
    for run in runs:
        for arm, recipes in trials_of(run.plan).items():
            run.run({cell_name(arm, recipe): recipe for recipe in recipes})


def summarize(runs_by_seed: Mapping[int, Sequence[SeedRun]]) -> list[Trial[Recipe]]:
    """What finished trials found; the folds of a seed are scored together."""
    plan = next(iter(runs_by_seed.values()))[0].plan
    return [
        _summary(arm, recipe, runs_by_seed)
        for arm, recipes in trials_of(plan).items()
        for recipe in recipes
    ]


def best_of(trials: Sequence[Trial[MixtureT]]) -> dict[str, MixtureT]:
    """The recipe with the best mean metric of each arm; the earlier one of equals."""
    arms = dict.fromkeys(trial.arm for trial in trials)
    return {
        arm: max((t for t in trials if t.arm == arm), key=lambda t: t.mean).recipe for arm in arms
    }


def format_trials(trials: Sequence[Trial[MixtureT]]) -> str:
    """A table for the console, the best recipe of each arm marked."""
    best = best_of(trials)
    width = max(len(str(trial.recipe)) for trial in trials)
    arms = 2 + max(len(trial.arm) for trial in trials)
    names = list(trials[0].besides)
    head = "".join(f"  {name}" for name in [*names, "seconds", "each draw"])
    lines = [f"  {'arm':<{arms}}{'recipe':<{width + 2}}{'mean':>7}{head}"]
    for trial in trials:
        besides = "".join(f"{100 * trial.besides[name]:{len(name) + 2}.2f}" for name in names)
        each = " ".join(f"{100 * value:.1f}" for value in trial.per_seed)
        mark = "   best" if trial.recipe == best[trial.arm] else ""
        lines.append(
            f"  {trial.arm:<{arms}}{trial.recipe!s:<{width + 2}}{100 * trial.mean:7.2f}"
            f"{besides}{trial.seconds:9.0f}  {each}{mark}"
        )
    return "\n".join(lines)


def write_trials(out: Path, trials: Sequence[Trial[MixtureT]], about: Mapping[str, Any]) -> str:
    """Keep what was found: tune.json and, to measure with the best, recipes.json.

    Args:
        out: folder of both files.
        trials: of every arm.
        about: what else tune.json says: where and how they were measured.

    Returns:
        The trials as lines for a console.
    """
    best = {arm: asdict(recipe) for arm, recipe in best_of(trials).items()}
    found = dict(about) | {"trials": [trial.to_mapping() for trial in trials], "best": best}
    for name, content in {"tune.json": found, "recipes.json": {"recipes": best}}.items():
        write_whole(out / name, json.dumps(content, indent=1) + "\n")
    settings = out / "recipes.json"
    return f"{format_trials(trials)}\n\nto measure with the best: --config {settings}"


def cell_name(arm: str, recipe: Mixture) -> str:
    """What a trial's result is kept as in its run's folder."""
    return f"{arm},{recipe}"


def _summary(
    arm: str, recipe: Recipe, runs_by_seed: Mapping[int, Sequence[SeedRun]]
) -> Trial[Recipe]:
    per_seed, all_classes, seconds = [], [], 0.0
    for runs in runs_by_seed.values():
        cells = [run.run({cell_name(arm, recipe): recipe})[0] for run in runs]
        read = np.concatenate([cell.predictions for cell in cells])
        labels = np.concatenate([run.draw.test.labels for run in runs])
        per_seed.append(score(runs[0].draw.metric, read, labels, runs[0].draw.focus))
        all_classes.append(balanced_accuracy(read, labels))
        seconds += sum(cell.seconds for cell in cells)
    besides = {"all classes": float(np.mean(all_classes))}
    return Trial(arm, recipe, per_seed, besides, seconds)
