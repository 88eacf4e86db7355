"""The plan of each named scenario, frozen on training images outside its draws.

``python -m jobs.benchmark SCENARIO --tune`` tries ``candidates`` for every arm alike on a draw's
``dev`` images and prints what it finds; EXPERIMENTS.md keeps the tables the recipes here were
chosen from. Test images took no part.
"""

from dataclasses import replace

from augment.config import with_overrides
from augment.data.transforms import Strength
from augment.generators.cvae_gan import CONFIGS as FACE_CONFIGS
from augment.generators.saae import CONFIGS, SAAEGenerator
from recognizers.arm_runs import default_recipes
from recognizers.arms import Plan
from recognizers.fit import Budget
from recognizers.mixing import Recipe

__all__ = ["TUNABLE_ARMS", "VERIFICATION_CANDIDATES", "candidates", "plan_for"]

TUNABLE_ARMS = ("classical", "rendered", "synthetic")
EXTRA_SHARES = (0.25, 0.5, 0.67, 0.8)
"""Shares of a batch that are not real; tried for ``rendered`` and ``synthetic`` alike."""
FACE_STRENGTHS: tuple[Strength, ...] = ("mirror", "faces", "faces-erasing")
FACE_SHARES = (0.4, 0.6, 0.75)
"""Generated shares of a batch, tried for faces."""

_FACES = Recipe(augmentation="faces-erasing")
"""The best of those tried on dev images of faces-tail (EXPERIMENTS.md)."""
_PAIRS = Recipe(augmentation="faces")
"""The same of those tried for faces-verify, on pairs of people held back."""

_WITH_FACES = [
    replace(_FACES, generated=share, real_only_after=until)
    for share in (0.15, 0.4)
    for until in (0.5, 0.8)
]
VERIFICATION_CANDIDATES: dict[str, list[Recipe]] = {
    "classical": [
        replace(_FACES, augmentation=strength, mixup=mixup)
        for strength in FACE_STRENGTHS[1:]
        for mixup in (0.0, 0.2)
    ],
    "synthetic_existing": _WITH_FACES,
    "synthetic_new": _WITH_FACES,
}
"""Recipes to try for the arms of faces-verify; equally many for each."""


def candidates(arm: str, plan: Plan) -> list[Recipe]:
    """Recipes to try for an arm; equally many for each.

    Args:
        arm: one of ``TUNABLE_ARMS``.
        plan: says what is recognized, and whether there are rendered images for ``synthetic`` to
            use besides.
    """
    if plan.recognizer == "face":
        return _face_candidates(arm)
    if arm == "classical":
        return [
            Recipe(augmentation=strength, balance_classes=balance)
            for strength in ("light", "strong")
            for balance in (False, True)
        ]
    if arm == "rendered":
        return [Recipe(rendered=share) for share in EXTRA_SHARES]
    if not plan.rendered:
        return [Recipe(generated=share) for share in EXTRA_SHARES]
    return [Recipe(rendered=share / 2, generated=share / 2) for share in EXTRA_SHARES]


def _face_candidates(arm: str) -> list[Recipe]:
    if arm == "classical":
        return [
            Recipe(augmentation=strength, mixup=mixup)
            for strength in FACE_STRENGTHS
            for mixup in (0.0, 0.2)
        ]
    return [
        replace(_FACES, generated=share, real_only_after=0.8, towards_rare=rarity)
        for share in FACE_SHARES
        for rarity in (0.0, 1.0)
    ]


def plan_for(scenario: str, *, rendered: bool = True) -> Plan:
    """The frozen plan of a scenario; a sensible one for scenarios without their own."""
    plan = _PLANS.get(scenario, Plan())
    if rendered:
        return plan
    recipes = {arm: replace(recipe, rendered=0.0) for arm, recipe in plan.recipes.items()}
    return replace(plan, rendered=False, recipes=recipes)


def _generator(*settings: str) -> SAAEGenerator:
    return with_overrides(CONFIGS["labelmint"], settings)


def _recipes(**changed: Recipe) -> dict[str, Recipe]:
    return default_recipes(Recipe) | changed


_SCENE = _generator(
    "pairs.glyph_share=0.5",
    "pairs.example_share=0.3",
    "pairs.self_share=1.0",
    "sampling.style_mix=0.1",
)
"""Signs rarely repeat a typeface: most contents are the image's own ink."""

_HANDWRITING = _generator(
    "pairs.glyph_share=0.3",
    "pairs.example_share=0.5",
    "pairs.self_share=1.0",
    "sampling.glyph_share=0.15",
    "sampling.style_mix=0.3",
    "sampling.align=false",
    "sampling.warp=0.03",
)
"""No font writes as people do: contents are mostly the ink of real digits, in their own poses."""

_HANDWRITTEN = _recipes(
    rendered=Recipe(rendered=0.25),
    synthetic=Recipe(rendered=0.335, generated=0.335),
    reader=Recipe(rendered=0.25),
)

_FACE_PLAN = Plan(
    generator=with_overrides(
        FACE_CONFIGS["labelmint"], ["sampling.noise=0.5", "images.mirror=true"]
    ),
    recognizer="face",
    budget=Budget(steps=2000),
    read_back=False,  # a reader of a fold of three photographs a person is not to be trusted
    drop_copies=True,
    recipes=_recipes(
        classical=_FACES,
        rendered=_FACES,  # there is no such arm
        synthetic=replace(_FACES, generated=0.75, real_only_after=0.8),
        synthetic_only=replace(_FACES, generated=1.0),
        reader=_FACES,
    ),
    generated_per_class=200,
    rendered=False,
)

_PLANS: dict[str, Plan] = {
    "faces-id": _FACE_PLAN,
    "faces-orl": _FACE_PLAN,
    "faces-tail": _FACE_PLAN,
    "faces-verify": replace(
        _FACE_PLAN,
        recipes=_FACE_PLAN.recipes
        | {"classical": _PAIRS}
        | dict.fromkeys(
            ("synthetic_existing", "synthetic_new"),
            replace(_PAIRS, generated=0.15, real_only_after=0.5),
        ),
        budget=Budget(steps=3000),
        generated_per_class=20,
    ),
    "plate-chars-tail": Plan(generator=_generator("glyphs.stretch=true"), recipes=_recipes()),
    "digits": Plan(generator=_HANDWRITING, recipes=_HANDWRITTEN),
    "mnist": Plan(generator=_HANDWRITING, recipes=_HANDWRITTEN),
    "scene-chars": Plan(generator=_SCENE, recipes=_recipes()),
}
