from dataclasses import replace
from types import SimpleNamespace

import pytest

from augment.errors import ConfigError
from recognizers.arm_runs import default_recipes
from recognizers.text_arms import TextPlan
from recognizers.text_mixing import TextRecipe
from recognizers.text_sweeps import amount_curves, amount_recipes


def plan_with(synthetic: TextRecipe) -> TextPlan:
    recipes = default_recipes(TextRecipe) | {"synthetic": synthetic}
    return TextPlan(recipes=recipes, generated_lines=1000)


class Measured:
    """A run whose accuracy tells which recipe it was."""

    def __init__(self, plan, bonus=0.0):
        self.plan, self.bonus = plan, bonus

    def run(self, recipes):
        return [
            SimpleNamespace(curve=[(5, 0.0), (10, recipe.most_generated / 1000 + self.bonus)])
            for recipe in recipes.values()
        ]


def test_an_amount_limits_the_lines_and_changes_nothing_else() -> None:
    own = TextRecipe(rendered=0.5, generated=0.25, towards_rare=0.5)
    recipes = amount_recipes(plan_with(own))
    assert list(recipes) == [0, 30, 100, 300, 1000]
    for amount in (30, 100, 300):
        assert recipes[amount] == replace(own, most_generated=amount)
    assert recipes[1000] == own, "all lines are what the arm itself has, which is trained once"


def test_without_generated_lines_the_rest_keeps_its_proportions() -> None:
    recipe = amount_recipes(plan_with(TextRecipe(rendered=0.5, generated=0.25)))[0]
    assert (recipe.generated, recipe.rendered) == (0, 0.6667)


@pytest.mark.parametrize("synthetic", [TextRecipe(generated=1.0), TextRecipe(rendered=0.5)])
def test_an_arm_of_one_kind_has_no_amounts(synthetic: TextRecipe) -> None:
    with pytest.raises(ConfigError, match="generated and other lines"):
        amount_recipes(plan_with(synthetic))


def test_a_curve_is_the_mean_of_its_seeds() -> None:
    plan = plan_with(TextRecipe(generated=0.5))
    curves = amount_curves([Measured(plan), Measured(plan, bonus=0.2)])
    assert curves[300] == [(5, 0.0), (10, pytest.approx(0.4))]
