"""Curves over the amount generated: accuracy against training steps, as in SAAE's Figure 7.

The paper reports that more generated lines converge later and higher. A curve carries no
verdict: its amounts were not chosen beforehand.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from augment.errors import ConfigError
from recognizers.arm_runs import swept_cell
from recognizers.text_arms import TextPlan, TextRun
from recognizers.text_mixing import TextRecipe

__all__ = ["amount_curves", "amount_recipes"]

AMOUNT_SHARES = (0.0, 0.03, 0.1, 0.3, 1.0)
"""Shares of the generated lines that an arm may use."""


def amount_recipes(plan: TextPlan) -> dict[int, TextRecipe]:
    """The synthetic arm's recipe by the number of generated lines it may use.

    With none, what a batch holds besides keeps its proportions.

    Raises:
        ConfigError: the synthetic arm has nothing but generated lines.
    """
    own = plan.recipes["synthetic"]
    rest = own.real + own.rendered
    if not own.generated or rest <= 0:
        raise ConfigError(
            f"a sweep of the amount needs generated and other lines in the synthetic arm, got "
            f"{own}; change its shares."
        )
    every = plan.generated_lines
    amounts = {max(1, round(share * every)) for share in AMOUNT_SHARES if share}
    without = replace(own, generated=0.0, rendered=round(own.rendered / rest, 4))
    return {0: without} | {
        n: replace(own, most_generated=n if n < every else 0) for n in sorted(amounts)
    }


def amount_curves(runs: Sequence[TextRun]) -> dict[int, list[tuple[int, float]]]:
    """Share of test lines read right against training steps, by amount; mean over seeds.

    Cells not finished yet are run.
    """
    curves = {}
    for amount, recipe in amount_recipes(runs[0].plan).items():
        name = swept_cell(recipe, runs[0].plan.recipes["synthetic"])
        cells = [run.run({name: recipe})[0] for run in runs]
        steps = [step for step, _ in cells[0].curve]
        measured = np.array([[value for _, value in cell.curve] for cell in cells])
        curves[amount] = list(zip(steps, measured.mean(axis=0).tolist(), strict=True))
    return curves
