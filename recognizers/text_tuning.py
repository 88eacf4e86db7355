"""Choosing recipes of a text scenario: every arm gets equally many trials, test lines none.

As in ``recognizers.tuning``: recipes are tried on the draw's ``dev`` lines, or by
cross-validation inside the draw where nothing is left over.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from augment.data.texts import TextImages
from augment.errors import DataError
from recognizers.plans import TUNABLE_ARMS
from recognizers.text_arms import TEST, TextRun
from recognizers.text_metrics import score_texts
from recognizers.text_mixing import TextRecipe
from recognizers.text_plans import text_candidates
from recognizers.text_scenarios import TextDraw
from recognizers.tuning import Trial, cell_name, evenly

__all__ = [
    "run_text_trials",
    "summarize_texts",
    "text_measured_on",
    "text_trials",
    "text_tuning_draws",
]

MOST_DEV = 1000
"""Dev lines that recipes are tried on."""
FOLDS = 3


def text_tuning_draws(draw: TextDraw, seed: int) -> list[TextDraw]:
    """Draws to try recipes on; what they call ``test`` are training lines.

    Args:
        draw: a scenario's; its test lines are left alone.
        seed: which of many dev lines are taken.

    Returns:
        One draw measured on dev lines, or one a fold.
    """
    if draw.dev is not None:
        order = np.random.default_rng(seed).permutation(len(draw.dev))
        dev = draw.dev.subset(np.sort(order[:MOST_DEV]))
        return [TextDraw(train=draw.train, test=dev)]
    folds = _grouped_folds(draw.train, FOLDS)
    parts = [
        (np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(FOLDS)
    ]
    return [TextDraw(draw.train.subset(others), draw.train.subset(own)) for others, own in parts]


def text_measured_on(draw: TextDraw) -> str:
    """What ``text_tuning_draws`` measures on, in words."""
    if draw.dev is not None:
        return f"{min(len(draw.dev), MOST_DEV):,} training lines outside the draw"
    return f"{FOLDS}-fold cross-validation inside the draw's {len(draw.train):,} training lines"


def text_trials() -> Mapping[str, Sequence[TextRecipe]]:
    """The recipes to try for each arm.

    Raises:
        ConfigError: an arm has more trials than another.
    """
    return evenly({arm: text_candidates(arm) for arm in TUNABLE_ARMS})


def run_text_trials(runs: Sequence[TextRun]) -> None:
    """Train and measure every trial that is not finished yet, on one seed's runs."""
    for run in runs:
        for arm, recipes in text_trials().items():
            run.run({cell_name(arm, recipe): recipe for recipe in recipes})


def summarize_texts(runs_by_seed: Mapping[int, Sequence[TextRun]]) -> list[Trial[TextRecipe]]:
    """What finished trials found; the folds of a seed are scored together."""
    return [
        _summary(arm, recipe, runs_by_seed)
        for arm, recipes in text_trials().items()
        for recipe in recipes
    ]


def _grouped_folds(data: TextImages, count: int) -> NDArray[np.int64]:
    """(N,) fold of each line; groups stay whole."""
    names, of_group = np.unique(data.groups, return_inverse=True)
    if len(names) < count:
        raise DataError(
            f"cross-validation needs lines of {count} or more different groups, got {len(names)}; "
            "give more --shots."
        )
    dealt: NDArray[np.int64] = np.random.default_rng(0).permutation(len(names)) % count
    return dealt[of_group]


def _summary(
    arm: str, recipe: TextRecipe, runs_by_seed: Mapping[int, Sequence[TextRun]]
) -> Trial[TextRecipe]:
    per_seed, characters, seconds = [], [], 0.0
    for runs in runs_by_seed.values():
        cells = [run.run({cell_name(arm, recipe): recipe})[0] for run in runs]
        read = [text for cell in cells for text in cell.read[TEST]]
        texts = [text for run in runs for text in run.draw.test.texts]
        score = score_texts(read, texts, runs[0].charset)
        per_seed.append(score.text_accuracy)
        characters.append(score.character_accuracy)
        seconds += sum(cell.seconds for cell in cells)
    return Trial(arm, recipe, per_seed, {"characters": float(np.mean(characters))}, seconds)
