"""Curves over amounts: generated images for each real one, and real images a class.

A curve shows where more is better. It carries no verdict: its points were not chosen beforehand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from augment.errors import ConfigError
from recognizers.arm_runs import swept_cell
from recognizers.arms import Plan, SeedRun
from recognizers.gain import ArmResult
from recognizers.mixing import Recipe

__all__ = ["SHOT_FACTORS", "ratio_curve", "ratio_recipes", "shots_curve", "shots_recipes"]

RATIO_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75)
"""Shares of generated images in a batch."""
SHOT_FACTORS = (1, 2, 4)
"""Multiples of the scenario's real images a class."""
SHOT_ARMS = ("classical", "rendered", "synthetic")


def ratio_recipes(plan: Plan) -> dict[str, Recipe]:
    """The synthetic arm's recipe at several shares of generated images, by name of its cell.

    What a batch holds besides keeps its proportions.

    Raises:
        ConfigError: the synthetic arm uses no real images, so that there is no ratio.
    """
    own = plan.recipes["synthetic"]
    if own.real <= 0:
        raise ConfigError(
            f"a sweep of the ratio needs real images in the synthetic arm, got {own}; "
            "lower its shares."
        )
    rest = own.real + own.rendered
    recipes = [
        replace(own, generated=share, rendered=round((1 - share) * own.rendered / rest, 4))
        for share in RATIO_SHARES
    ]
    return {swept_cell(recipe, own): recipe for recipe in recipes}


def ratio_curve(runs: Sequence[SeedRun]) -> list[dict[str, Any]]:
    """The metric by generated images for each real one; cells not finished yet are run."""
    points = []
    for name, recipe in ratio_recipes(runs[0].plan).items():
        results = [run.run({name: recipe})[0] for run in runs]
        x = round(recipe.generated / recipe.real, 2)
        points.append({"x": x, "arms": {"synthetic": _scores(results)}})
    return points


def shots_recipes(plan: Plan) -> dict[str, Recipe]:
    """The arms that are compared at each number of real images."""
    return {arm: plan.recipes[arm] for arm in SHOT_ARMS if plan.rendered or arm != "rendered"}


def shots_curve(runs_by_shots: Mapping[int, Sequence[SeedRun]]) -> list[dict[str, Any]]:
    """The metric by real images a class; cells not finished yet are run.

    Args:
        runs_by_shots: real images a class to the seeds drawn with them.
    """
    points = []
    for shots, runs in runs_by_shots.items():
        arms = {
            arm: _scores([run.run({arm: recipe})[0] for run in runs])
            for arm, recipe in shots_recipes(runs[0].plan).items()
        }
        points.append({"x": shots, "arms": arms})
    return points


def _scores(results: Sequence[ArmResult]) -> list[float]:
    """The metric of each result at the end of its training."""
    return [result.curve[-1][1] for result in results]
