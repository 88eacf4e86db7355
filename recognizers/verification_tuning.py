"""Choosing recipes of faces-verify: every arm gets equally many trials, test pairs none.

A recipe is tried on the people a seed trains on, and scored on pairs of those it holds back: by
the area under the ROC curve, for a threshold can be chosen afterwards.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from sklearn.metrics import roc_auc_score

from recognizers.arrays import load_arrays, save_arrays
from recognizers.mixing import Recipe
from recognizers.plans import VERIFICATION_CANDIDATES
from recognizers.tuning import Trial, cell_name, evenly
from recognizers.verification import similarities, tar_at_far
from recognizers.verification_arms import VerificationRun

__all__ = ["run_verification_trials", "summarize_verification"]


def run_verification_trials(run: VerificationRun) -> None:
    """Train and score every trial that is not finished yet."""
    for arm, recipes in evenly(VERIFICATION_CANDIDATES).items():
        for recipe in recipes:
            _trial(run, arm, recipe)


def summarize_verification(runs: Mapping[int, VerificationRun]) -> list[Trial[Recipe]]:
    """What the trials of each seed's run found; those not finished yet are run."""
    trials = []
    for arm, recipes in evenly(VERIFICATION_CANDIDATES).items():
        for recipe in recipes:
            each = [_trial(run, arm, recipe) for run in runs.values()]
            trials.append(
                replace(
                    each[0],
                    per_seed=[trial.mean for trial in each],
                    besides={
                        name: float(np.mean([trial.besides[name] for trial in each]))
                        for name in each[0].besides
                    },
                    seconds=sum(trial.seconds for trial in each),
                )
            )
    return trials


def _trial(run: VerificationRun, arm: str, recipe: Recipe) -> Trial[Recipe]:
    """One recipe on one seed, kept in the seed's folder."""
    path = run.run.folder / "cells" / f"{cell_name(arm, recipe)}.npz"
    if not path.exists():
        extra = run.extra_people(arm)
        started = time.monotonic()
        model = run.train(recipe, extra)
        pairs = run.scenario.choosing_pairs(run.held_back, run.run.seed)
        cosines = similarities(model, run.held_back, pairs)
        found = {
            "auc": roc_auc_score(pairs.same, cosines),
            "tar_at_far": tar_at_far(cosines, pairs.same),
            "seconds": time.monotonic() - started,
        }
        run.run.say(f"seed {run.run.seed}: {arm}, {recipe}: AUC {found['auc']:.4f}")
        save_arrays(path, **{name: np.array(value) for name, value in found.items()})
    kept = {name: float(value) for name, value in load_arrays(path).items()}
    besides = {"TAR@FAR 1e-2": kept["tar_at_far"]}
    return Trial(arm, recipe, [kept["auc"]], besides, kept["seconds"])
