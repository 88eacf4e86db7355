"""The plan of the text scenarios, and the recipes that are tried for their arms.

``python -m jobs.benchmark plates --tune`` tries them on training lines outside the draw, or by
cross-validation inside it, the same number for every arm. Test lines take no part.
"""

from recognizers.arm_runs import default_recipes
from recognizers.text_arms import TextPlan
from recognizers.text_mixing import TextRecipe

__all__ = ["TEXT_PLAN", "text_candidates"]

JOINT_SHARES = (0.5, 0.67, 0.8)
"""Shares of a batch that are not real, in joint mixing."""
SYNTHETIC_FIRST = 0.6
"""Share of the steps without real lines where synthetic ones come first."""

TEXT_PLAN = TextPlan(
    recipes=default_recipes(TextRecipe)
    | {
        "rendered": TextRecipe(rendered=1.0, real_only_after=SYNTHETIC_FIRST),
        "synthetic": TextRecipe(rendered=0.5, generated=0.5, real_only_after=SYNTHETIC_FIRST),
    }
)
"""The plan of every text scenario. Plates: the best of those tried on dev lines of draw 100. Words:
the better of two for the rendered arm, on a third of the training words; the synthetic arm takes it
over (EXPERIMENTS.md). Anybody's lines: the same, untried."""


def text_candidates(arm: str) -> list[TextRecipe]:
    """Recipes to try for ``classical``, ``rendered`` or ``synthetic``; equally many for each.

    Of the two arms with lines that are not real three mix them jointly and one shows them first.
    """
    if arm == "classical":
        return [
            TextRecipe(augmentation=strength, towards_rare=power)
            for strength in ("light", "strong")
            for power in (0.0, 0.5)
        ]
    generated = 0.5 if arm == "synthetic" else 0.0  # of what is not real
    mixes = [(share, 1.0) for share in JOINT_SHARES] + [(1.0, SYNTHETIC_FIRST)]
    return [
        TextRecipe(
            rendered=round(share * (1 - generated), 4),
            generated=round(share * generated, 4),
            real_only_after=until,
        )
        for share, until in mixes
    ]
