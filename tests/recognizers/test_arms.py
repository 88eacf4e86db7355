import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, DataError, ResumeError
from augment.images import Pixels
from recognizers import arms
from recognizers.arm_runs import ARMS, default_recipes
from recognizers.arms import Plan, SeedRun
from recognizers.arrays import load_array, save_arrays
from recognizers.character import CharacterRecognizer
from recognizers.draws import Draw
from recognizers.face import FaceRecognizer
from recognizers.mixing import Recipe

Digits = Callable[..., LabelledImages]


@pytest.fixture(scope="module")
def draw(small_digits: Digits) -> Draw:
    return Draw(
        train=small_digits(12),
        test=small_digits(40, 70),
        focus=None,
        metric="accuracy",
        dev=small_digits(20, 40),
        confirm=small_digits(70, 80),
    )


def quiet(text: str) -> None:
    pass


def start(draw: Draw, folder: Path, plan: Plan) -> SeedRun:
    return SeedRun(draw, 3, plan, folder, say=quiet)


@pytest.fixture(scope="module")
def finished(draw: Draw, tiny_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> SeedRun:
    run = start(draw, tmp_path_factory.mktemp("finished"), tiny_plan)
    run.run()
    return run


def spy(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Record the calls of a function of ``recognizers.arms`` and pass them on."""
    calls = []
    original = getattr(arms, name)

    def recorded(*values: Any, **named: Any) -> Any:
        calls.append((values, named))
        return original(*values, **named)

    monkeypatch.setattr(arms, name, recorded)
    return calls


def test_every_arm_starts_from_the_same_weights_budget_and_real_images(
    draw: Draw, tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(draw, tmp_path, tiny_plan)
    run.generated()  # trains the reader, which is no arm
    fits, streams = spy(monkeypatch, "fit"), spy(monkeypatch, "mixed_stream")
    run.run()
    assert len(fits) == len(streams) == len(ARMS)

    def first_weights(call: tuple[tuple[Any, ...], dict[str, Any]]) -> torch.Tensor:
        (build, _, _), named = call
        torch.manual_seed(named["seed"])
        return torch.cat([values.flatten() for values in build().parameters()])

    assert all(torch.equal(first_weights(call), first_weights(fits[0])) for call in fits)
    assert {call[0][2] for call in fits} == {tiny_plan.budget}
    assert {call[1]["steps"] for call in streams} == {tiny_plan.budget.steps}
    assert {call[1]["seed"] for call in streams} == {streams[0][1]["seed"]}
    for (_, sources), _ in streams:
        np.testing.assert_array_equal(sources["real"].images, draw.train.images())
        np.testing.assert_array_equal(sources["real"].labels, draw.train.labels)


def test_arms_share_their_rendered_and_generated_images(
    draw: Draw, tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = spy(monkeypatch, "mixed_stream")
    run = start(draw, tmp_path, tiny_plan)
    run.generated()
    streams.clear()
    run.run()
    for name in ("rendered", "generated"):
        used = [sources[name] for (_, sources), _ in streams if name in sources]
        assert len(used) == 2
        assert used[0] is used[1]


def test_generator_reader_and_renderer_see_the_training_images_alone(
    draw: Draw, tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("train_generator", "write_bundle", "train_reader", "CharacterRenderer")
    calls = {name: spy(monkeypatch, name) for name in names}
    streams = spy(monkeypatch, "mixed_stream")
    start(draw, tmp_path, tiny_plan).run()
    assert [values[0] for values, _ in calls["train_generator"]] == [draw.train]
    assert [values[2] for values, _ in calls["write_bundle"]] == [draw.train]
    assert [values[0] for values, _ in calls["train_reader"]] == [draw.train]
    for values, _ in calls["CharacterRenderer"]:
        np.testing.assert_array_equal(values[3], draw.train.images())
    known = {image.tobytes() for image in draw.train.images()}
    for (_, sources), _ in streams:
        assert {image.tobytes() for image in sources["real"].images} <= known


def test_test_dev_and_confirm_images_change_nothing_that_is_trained(
    draw: Draw, tiny_plan: Plan, small_digits: Digits, finished: SeedRun, tmp_path: Path
) -> None:
    other = replace(draw, test=small_digits(80, 95), dev=None, confirm=None)
    run = start(other, tmp_path, tiny_plan)
    np.testing.assert_array_equal(run.generated().images, finished.generated().images)
    assert run.bundle().digest == finished.bundle().digest

    recipe = {"real": tiny_plan.recipes["real"]}
    same_test = replace(draw, dev=None, confirm=None)
    [cell] = start(same_test, tmp_path / "same", tiny_plan).run(recipe)
    np.testing.assert_array_equal(cell.predictions, finished.run(recipe)[0].predictions)


def test_a_cell_keeps_predictions_confirmation_curve_and_seconds(
    draw: Draw, finished: SeedRun
) -> None:
    cells = finished.run()
    assert [cell.arm for cell in cells] == list(ARMS)
    for cell in cells:
        assert cell.predictions.shape == (len(draw.test),)
        assert cell.confirmed is not None
        assert cell.confirmed.shape == (10,)
        assert cell.curve[-1][0] == finished.plan.budget.steps
        assert cell.seconds > 0
        right = float((cell.predictions == draw.test.labels).mean())
        assert cell.curve[-1][1] == pytest.approx(right)
    assert finished.seconds > sum(cell.seconds for cell in cells), "generating takes time too"


def test_a_continued_folder_trains_nothing_that_is_finished(
    draw: Draw, finished: SeedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms, "fit", None)
    monkeypatch.setattr(arms, "train_generator", None)
    again = start(draw, finished.folder, finished.plan)
    for before, after in zip(finished.run(), again.run(), strict=True):
        np.testing.assert_array_equal(before.predictions, after.predictions)
        assert (before.curve, before.seconds) == (after.curve, after.seconds)
    assert again.tally == finished.tally
    assert again.tally.kept == len(finished.generated())
    assert again.tally.made == again.tally.kept + again.tally.dropped


@pytest.mark.parametrize("part", ["train", "test", "confirm"])
def test_a_folder_of_another_draw_is_refused(
    draw: Draw, small_digits: Digits, finished: SeedRun, part: str
) -> None:
    other: dict[str, Any] = {part: small_digits(1, 14)}
    with pytest.raises(ResumeError, match=f"another {part}"):
        start(replace(draw, **other), finished.folder, finished.plan)
    assert start(draw, finished.folder, finished.plan).run(), "what was there before must stay"


def test_a_folder_of_another_plan_is_refused(draw: Draw, finished: SeedRun) -> None:
    with pytest.raises(ResumeError, match="another plan"):
        start(draw, finished.folder, replace(finished.plan, reader_steps=3))


def test_a_reader_that_reads_nothing_as_its_label_is_an_error_with_advice(
    draw: Draw, tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms, "draw_counts", lambda *values, **named: iter([[]]))
    with pytest.raises(DataError, match="train the generator or the reader longer"):
        start(draw, tmp_path, tiny_plan).generated()


def test_a_plan_without_a_recipe_for_an_arm_is_refused() -> None:
    recipes = {
        name: recipe for name, recipe in default_recipes(Recipe).items() if name != "rendered"
    }
    with pytest.raises(ConfigError, match="got none for rendered"):
        Plan(recipes=recipes)
    with pytest.raises(ConfigError, match="generated_per_class must be at least 1"):
        Plan(generated_per_class=0)


def test_what_a_folder_was_begun_with_must_be_readable(
    draw: Draw, tiny_plan: Plan, tmp_path: Path
) -> None:
    start(draw, tmp_path, tiny_plan)
    claimed = tmp_path / "plan.json"
    before = claimed.stat().st_mtime_ns
    start(draw, tmp_path, tiny_plan)
    assert claimed.stat().st_mtime_ns == before, "an unchanged claim was written again"
    claimed.write_text("")
    with pytest.raises(ResumeError, match=r"plan\.json: expected what the folder was begun with"):
        start(draw, tmp_path, tiny_plan)


def test_a_plan_names_its_recognizer_which_reads_back_whatever_the_user_brings(
    draw: Draw, tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(tiny_plan, recognizer="character", reader_band=(0.1, 0.9))

    class Own(CharacterRecognizer):
        pass

    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(Own=Own))
    run = SeedRun(draw, 3, plan, tmp_path, recognizer="mine:Own", say=quiet)
    assert type(run.train(Recipe(), seed=1, steps=2)) is Own
    reader = run.train_reader()
    assert {type(member) for member in reader.members} == {CharacterRecognizer}
    assert reader.band == (0.1, 0.9)
    with pytest.raises(ResumeError, match="begun with another recognizer"):
        SeedRun(draw, 3, plan, tmp_path, say=quiet)
    faces = SeedRun(draw, 3, replace(plan, recognizer="face"), tmp_path / "faces", say=quiet)
    assert faces.build is FaceRecognizer


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"recognizer": "plate"}, "character, face; got 'plate'"),
        ({"reader_band": (0.9, 0.1)}, "rise"),
    ],
)
def test_a_plan_with_an_unknown_recognizer_or_an_empty_band_is_refused(
    setting: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        Plan(**setting)


def test_without_read_back_no_reader_is_trained_and_every_image_is_kept(
    draw: Draw, tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms, "train_reader", None)
    run = start(draw, tmp_path, replace(tiny_plan, read_back=False))
    assert len(run.generated()) == run.tally.made == run.tally.kept == 3 * 8
    assert not (run.bundle_folder / "reader").exists()


def test_a_plan_may_drop_copies_of_the_arms_own_real_images(
    draw: Draw, tiny_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class EveryOther:
        def __init__(self, train: Pixels) -> None:
            seen.append(train)

        def __call__(self, images: Pixels) -> NDArray[np.bool_]:
            return np.arange(len(images)) % 2 == 1

    monkeypatch.setattr(arms, "NearCopies", EveryOther)
    run = start(draw, tmp_path, replace(tiny_plan, read_back=False, drop_copies=True))
    assert len(run.generated()) == run.tally.kept == 3 * 8
    assert run.tally.copies == run.tally.dropped == run.tally.made - run.tally.kept > 0
    np.testing.assert_array_equal(*seen, draw.train.images())


def test_a_recipe_is_written_as_what_differs_from_the_default() -> None:
    assert str(Recipe()) == "default"
    recipe = Recipe(rendered=0.5, generated=0.25)
    assert str(recipe) == "rendered=0.5,generated=0.25"
    assert recipe.real == 0.25


def test_one_array_is_read_without_the_others(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a.npz", small=np.array(3.5), large=np.zeros(1000))
    kept = bytearray((tmp_path / "a.npz").read_bytes())
    at = kept.index(bytes(1000))
    kept[at : at + 1000] = bytes([1]) * 1000  # whoever reads it finds another checksum
    (tmp_path / "a.npz").write_bytes(kept)
    assert load_array(tmp_path / "a.npz", "small") == 3.5
    with pytest.raises(zipfile.BadZipFile):
        load_array(tmp_path / "a.npz", "large")
