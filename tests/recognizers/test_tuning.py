from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, DataError
from recognizers import arms, text_tuning, tuning
from recognizers.arms import Plan, SeedRun
from recognizers.draws import Draw
from recognizers.metrics import accuracy
from recognizers.mixing import Recipe
from recognizers.plans import TUNABLE_ARMS, plan_for
from recognizers.text_mixing import TextRecipe
from recognizers.text_tuning import text_trials
from recognizers.tuning import (
    best_of,
    format_trials,
    grouped_folds,
    measured_on,
    run_trials,
    summarize,
    trials_of,
    tuning_draws,
)

Digits = Callable[..., LabelledImages]


class Untouchable:
    """Stands for test images; whoever asks anything of it fails the test."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a test image was touched: {name}")

    def __len__(self) -> int:
        raise AssertionError("test images were counted")


@pytest.fixture
def draw(small_digits: Digits) -> Draw:
    untouchable: Any = Untouchable()
    return Draw(
        train=small_digits(12),
        test=untouchable,
        focus=None,
        metric="accuracy",
        dev=small_digits(20, 40),
        confirm=untouchable,
    )


def test_faces_are_tuned_with_as_many_trials_of_their_own_kind() -> None:
    recipes = trials_of(plan_for("faces-tail", rendered=False))
    assert {arm: len(tried) for arm, tried in recipes.items()} == {"classical": 6, "synthetic": 6}
    assert {recipe.augmentation for recipe in recipes["classical"]} == {
        "mirror",
        "faces",
        "faces-erasing",
    }
    frozen = plan_for("faces-tail").recipes["classical"]
    assert frozen in recipes["classical"]
    for recipe in recipes["synthetic"]:
        assert replace(recipe, generated=0.0, real_only_after=1.0, towards_rare=0.0) == frozen


def try_all(draw: Draw, plan: Plan, folder: Path) -> list[SeedRun]:
    runs = [
        SeedRun(part, 5, plan, folder / str(i), say=lambda text: None)
        for i, part in enumerate(tuning_draws(draw, 5))
    ]
    run_trials(runs)
    return runs


def test_tuning_reads_dev_images_and_never_test_images(
    draw: Draw, tiny_plan: Plan, tmp_path: Path
) -> None:
    runs = try_all(draw, tiny_plan, tmp_path)
    assert [run.draw.test.names for run in runs] == [draw.dev.names]
    trials = summarize({5: runs})
    assert [trial.arm for trial in trials] == [a for a in TUNABLE_ARMS for _ in range(4)]
    cell = runs[0].run({"classical,augmentation=light,balance_classes=False": trials[0].recipe})[0]
    assert trials[0].per_seed == [accuracy(cell.predictions, draw.dev.labels)]
    assert "outside the draw" in measured_on(draw)


def test_of_many_dev_images_three_thousand_are_read(
    draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "MOST_DEV", 7)
    [part] = tuning_draws(draw, 0)
    assert len(part.test) == 7
    assert set(part.test.names) <= set(draw.dev.names)
    assert part.test.names == tuning_draws(draw, 0)[0].test.names
    assert measured_on(draw).startswith("7 training images")


def test_without_dev_images_recipes_are_cross_validated_inside_the_draw(
    draw: Draw, tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = replace(draw, dev=None)
    seen: list[tuple[str, ...]] = []
    train_generator = arms.train_generator

    def recorded(data: LabelledImages, *values: Any, **named: Any) -> Any:
        seen.append(data.names)
        return train_generator(data, *values, **named)

    monkeypatch.setattr(arms, "train_generator", recorded)
    runs = try_all(draw, tiny_plan, tmp_path)
    assert sorted(name for run in runs for name in run.draw.test.names) == sorted(draw.train.names)
    assert len(seen) == len(runs) == 3
    for names, run in zip(seen, runs, strict=True):
        assert not set(names) & set(run.draw.test.names), "a generator saw what it is tried on"
    assert len(summarize({5: runs})[0].per_seed) == 1
    assert "3-fold cross-validation" in measured_on(draw)


def test_folds_keep_groups_whole_and_spread_every_class() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2])
    groups = ["a", "b", "c", "a", "d", "e", "f", "f", "g", "h", "i", "b"]
    images = np.zeros((12, 8, 8, 1), np.uint8)
    data = LabelledImages.from_arrays(images, labels, "abc", groups=groups)
    folds = grouped_folds(data, 3)
    for group in set(groups):
        assert len(set(folds[np.array(groups) == group])) == 1
    for label in range(3):
        assert len(set(folds[labels == label])) == 3


def test_cross_validation_refuses_a_class_that_it_could_not_train_without() -> None:
    images = np.zeros((5, 8, 8, 1), np.uint8)
    data = LabelledImages.from_arrays(images, np.array([0, 0, 0, 0, 1]), ("many", "one"))
    with pytest.raises(DataError, match=r"got fewer for one\. Give more --shots"):
        grouped_folds(data, 3)


def test_every_arm_gets_equally_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {len(recipes) for recipes in trials_of(Plan()).values()} == {4}
    one_more = {arm: [Recipe()] for arm in TUNABLE_ARMS} | {
        "synthetic": [Recipe(), Recipe(generated=0.5)]
    }
    monkeypatch.setattr(tuning, "candidates", lambda arm, plan: one_more[arm])
    with pytest.raises(ConfigError, match="got classical 1, rendered 1, synthetic 2"):
        trials_of(Plan())


def test_every_arm_of_text_gets_equally_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {len(recipes) for recipes in text_trials().values()} == {4}
    monkeypatch.setattr(text_tuning, "text_candidates", lambda arm: [TextRecipe()] * len(arm))
    assert text_trials(), "the same recipe again is no other trial"
    one_more = {"synthetic": [TextRecipe(), TextRecipe(generated=0.5)]}
    monkeypatch.setattr(
        text_tuning, "text_candidates", lambda arm: one_more.get(arm, [TextRecipe()])
    )
    with pytest.raises(ConfigError, match="got classical 1, rendered 1, synthetic 2"):
        text_trials()


def test_without_a_renderer_no_recipe_asks_for_rendered_images() -> None:
    for scenario in ("faces-tail", "digits"):
        plan = plan_for(scenario, rendered=False)
        tried = trials_of(plan)
        assert list(tried) == ["classical", "synthetic"]
        used = [*plan.recipes.values(), *tried["classical"], *tried["synthetic"]]
        assert not any(recipe.rendered for recipe in used)


def test_the_table_marks_the_best_recipe_of_each_arm() -> None:
    recipes = [Recipe(rendered=0.25), Recipe(rendered=0.5)]
    trials = [
        tuning.Trial("rendered", recipe, [score, score + 0.1], {"all classes": 0.5}, 3.0)
        for recipe, score in zip(recipes, (0.6, 0.7), strict=True)
    ]
    assert best_of(trials) == {"rendered": recipes[1]}
    header, first, second = format_trials(trials).splitlines()
    assert "all classes" in header
    assert "rendered=0.25" in first
    assert "best" not in first
    assert second.endswith("75.00        50.00        3  70.0 80.0   best")
