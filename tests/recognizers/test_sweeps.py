from dataclasses import replace

import pytest

from augment.errors import ConfigError
from recognizers.arms import Plan
from recognizers.gain import ArmResult
from recognizers.mixing import Recipe
from recognizers.sweeps import ratio_curve, ratio_recipes, shots_curve, shots_recipes


def plan_with(synthetic: Recipe) -> Plan:
    plan = Plan()
    return replace(plan, recipes=plan.recipes | {"synthetic": synthetic})


class Measured:
    """A seed whose recognizers read a share of the images right that tells its recipe."""

    def __init__(self, plan, bonus=0.0):
        self.plan, self.bonus = plan, bonus

    def run(self, recipes):
        return [
            ArmResult(name, 0, (), [(5, 0.0), (10, recipe.generated + self.bonus)])
            for name, recipe in recipes.items()
        ]


def test_what_is_not_generated_keeps_its_proportions() -> None:
    recipes = list(ratio_recipes(plan_with(Recipe(rendered=0.5, generated=0.25))).values())
    assert [recipe.generated for recipe in recipes] == [0.0, 0.1, 0.25, 0.5, 0.75]
    for recipe in recipes:
        assert recipe.rendered == pytest.approx(2 * recipe.real, abs=1e-3)


def test_a_sweep_of_the_ratio_needs_real_images() -> None:
    with pytest.raises(ConfigError, match="needs real images"):
        ratio_recipes(plan_with(Recipe(rendered=0.5, generated=0.5)))


def test_curves_hold_every_seed_at_every_point() -> None:
    plan = plan_with(Recipe(generated=0.25))
    runs = [Measured(plan), Measured(plan, bonus=0.2)]
    points = ratio_curve(runs)
    assert [point["x"] for point in points] == [0, 0.11, 0.33, 1, 3]
    assert points[3]["arms"] == {"synthetic": [0.5, 0.7]}
    points = shots_curve({5: runs, 10: runs})
    assert [point["x"] for point in points] == [5, 10]
    assert points[0]["arms"] == {
        "classical": [0.0, 0.2],
        "rendered": [0.0, 0.2],
        "synthetic": [0.25, 0.45],
    }


def test_a_plan_without_a_renderer_has_no_rendered_curve() -> None:
    assert list(shots_recipes(replace(Plan(), rendered=False))) == ["classical", "synthetic"]
