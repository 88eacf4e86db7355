import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from augment.bundle import READER_FOLDER
from augment.config import with_overrides
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.line_rendering import LineRenderer
from augment.data.texts import TextImages
from augment.errors import ConfigError, DataError, ResumeError
from augment.generators.line_reading import Judged
from augment.generators.line_saae import load_line_sampler
from recognizers import text_arms, text_training
from recognizers.arm_runs import ARMS
from recognizers.gain import LEAST_SEEDS
from recognizers.report import format_table, write_report
from recognizers.text_arms import TEST, TextPlan, TextRun
from recognizers.text_metrics import right_texts
from recognizers.text_mixing import TextRecipe
from recognizers.text_reader import load_text_reader
from recognizers.text_report import build_text_report, format_text_scores, take_text_pictures
from recognizers.text_scenarios import RARE_PROVINCES, TextScenario, lines_scenario
from recognizers.text_tuning import run_text_trials, summarize_texts, text_tuning_draws
from recognizers.tuning import best_of, format_trials


def quiet(text: str) -> None:
    pass


def start(scenario: TextScenario, plan: TextPlan, folder: Path, seed: int = 3) -> TextRun:
    return TextRun(scenario, scenario.draw(seed), seed, plan, folder, say=quiet)


@pytest.fixture
def run(plates_scenario: TextScenario, tiny_text_plan: TextPlan, tmp_path: Path) -> TextRun:
    return start(plates_scenario, tiny_text_plan, tmp_path / "run")


def spy(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Record the calls of a function that a module uses, and pass them on."""
    calls = []
    original = getattr(module, name)

    def recorded(*values: Any, **named: Any) -> Any:
        calls.append((values, named))
        return original(*values, **named)

    monkeypatch.setattr(module, name, recorded)
    return calls


def test_every_arm_is_trained_alike_and_kept(run: TextRun, monkeypatch: pytest.MonkeyPatch) -> None:
    fits, streams = (spy(monkeypatch, text_training, name) for name in ("fit_texts", "mixed_lines"))
    cells = run.run()
    assert [cell.arm for cell in cells] == list(ARMS)
    assert len({(call[1]["seed"], call[0][2]) for call in fits}) == 1
    assert len({(call[1]["seed"], call[1]["steps"]) for call in streams}) == 1
    for (_, sources, _), _ in streams:
        assert sources["real"].texts == run.draw.train.texts
    for cell in cells:
        assert set(cell.read) == {TEST, RARE_PROVINCES}
        right = right_texts(cell.read[TEST], run.draw.test.texts, run.charset)
        np.testing.assert_array_equal(cell.predictions, ~right)
        assert cell.curve[-1] == (run.plan.budget.steps, pytest.approx(right.mean()))
    assert run.seconds > sum(cell.seconds for cell in cells)

    fits.clear()
    again = start(run.scenario, run.plan, run.folder)
    assert [cell.read for cell in again.run()] == [cell.read for cell in cells]
    assert not fits


def test_real_lines_too_narrow_for_their_text_are_left_out_of_training(
    some_plates: TextImages, plates_scenario: TextScenario, tiny_text_plan: TextPlan, tmp_path: Path
) -> None:
    train = np.flatnonzero(some_plates.splits == "train")
    long = tuple("京A12345" * 4 if row < 10 else text for row, text in enumerate(some_plates.texts))
    draw = plates_scenario.draw(3)
    run = TextRun(
        plates_scenario,
        replace(draw, train=replace(some_plates, texts=long).subset(train)),
        3,
        tiny_text_plan,
        tmp_path / "run",
        say=quiet,
    )
    model = run.train(TextRecipe(augmentation="none"), seed=0)
    alone = TextRun(
        plates_scenario,
        replace(draw, train=some_plates.subset(train[10:])),
        3,
        tiny_text_plan,
        tmp_path / "alone",
        say=quiet,
    ).train(TextRecipe(augmentation="none"), seed=0)
    for name, weights in model.state_dict().items():
        np.testing.assert_array_equal(weights.numpy(), alone.state_dict()[name].numpy())
    with pytest.raises(DataError, match=r"real lines that are wide enough .*, got none of 10"):
        run.train(TextRecipe(), seed=0, rows=np.arange(10))


def test_test_lines_are_read_by_beam_where_the_plan_says_so(
    run: TextRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = spy(monkeypatch, text_arms, "read_lines")
    plan = replace(run.plan, beam=2)
    start(run.scenario, plan, run.folder.parent / "beam").run({"real": plan.recipes["real"]})
    assert {how["beam"] for _, how in reads} == {2}


def test_a_limit_of_the_width_of_generated_texts_has_no_place_in_a_benchmark() -> None:
    with pytest.raises(ConfigError, match=r"leave generator.sampling.max_width out, got 64"):
        with_overrides(TextPlan(), ["generator.sampling.max_width=64"])


def test_rendered_and_generated_lines_show_the_same_texts(run: TextRun) -> None:
    rendered, generated = run.rendered(), run.generated()
    assert rendered.texts == generated.texts == tuple(run.texts(6))
    assert rendered.lines.pixels.shape == generated.lines.pixels.shape == (6, 32, 96, 3)
    assert (run.tally.made, run.tally.kept, run.tally.dropped) == (6, 6, 0)


def test_generator_reader_and_renderer_see_the_training_lines_alone(
    plates_scenario: TextScenario,
    tiny_text_plan: TextPlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = replace(tiny_text_plan, read_back=True)
    run = start(plates_scenario, plan, tmp_path)
    names = ("train_generator", "render_lines")
    calls = {name: spy(monkeypatch, text_arms, name) for name in names}
    streams = spy(monkeypatch, text_training, "mixed_lines")
    with pytest.raises(DataError, match=r"none of 24; train longer: --set reader_steps"):
        run.generated()  # an untrained reader reads nothing right
    allowed = set(run.draw.train.texts)
    assert set(calls["train_generator"][0][0][0].texts.texts) <= allowed
    assert set(calls["render_lines"][0][0][0].texts) == allowed
    assert len(streams) == plan.reader_folds
    read = [set(sources["real"].texts) for (_, sources, _), _ in streams]
    assert set.union(*read) == allowed
    assert not set.intersection(*read), "each member is trained without the other's fold"


def test_lines_that_read_wrong_are_drawn_again_and_counted(
    run: TextRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EveryOther:
        def judge(self, images: Any, texts: Any, folds: Any) -> Judged:
            assert (folds >= 0).any(), "a style's own member is not asked"
            return Judged(np.arange(len(texts)) % 2 == 0, np.ones(len(texts), np.float32))

    monkeypatch.setattr(text_arms, "load_text_reader", lambda *given, **how: EveryOther())
    run = start(run.scenario, replace(run.plan, read_back=True), run.folder.parent / "other")
    lines = run.generated()
    assert sorted(lines.texts) == sorted(run.texts(6))  # 6, then 3, then 1
    assert (run.tally.asked, run.tally.made, run.tally.kept, run.tally.dropped) == (6, 10, 6, 4)


def test_a_bundle_keeps_the_reader_and_names_the_member_that_has_not_seen_a_style(
    plates_scenario: TextScenario,
    tiny_text_plan: TextPlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[set[str]] = []
    original = text_training.mixed_lines

    def spied(recipe: Any, sources: Any, *given: Any, **how: Any) -> Any:
        seen.append(set(sources["real"].texts))
        return original(recipe, sources, *given, **how)

    monkeypatch.setattr(text_training, "mixed_lines", spied)
    run = start(plates_scenario, replace(tiny_text_plan, read_back=True), tmp_path)
    info = run.bundle()
    reader = load_text_reader(run.bundle_folder / READER_FOLDER, info=info)
    assert len(reader.members) == len(seen) == 2
    data = LineData.select(run.draw.train, run.layout, run.shape)
    folds = load_line_sampler(run.bundle_folder).folds
    for row, fold in zip(data.found, folds, strict=True):
        assert data.texts.texts[row] not in seen[fold]
    seen.clear()
    start(plates_scenario, run.plan, tmp_path).bundle()
    assert not seen, "a kept reader is not trained again"


def test_lines_as_wide_as_the_generator_writes_are_read_back_unsqueezed(
    tiny_text_plan: TextPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["exit", "taxi", "internationalization", "hotel"]
    renderer = LineRenderer(load_layout("words"))
    images = [renderer.render_line(text, 0, 32, index=row) for row, text in enumerate(texts)]
    data = TextImages.from_images(images, texts, splits=["train"] * 3 + ["test"])
    monkeypatch.setattr("recognizers.text_scenarios.open_texts", lambda uri, **how: data)
    plan = replace(tiny_text_plan, read_back=True)
    run = start(lines_scenario("memory:", "words"), plan, tmp_path)
    assert max(image.shape[1] for image in images) > run.shape.most_width
    streams = spy(monkeypatch, text_training, "mixed_lines")
    info = run.bundle()
    reader = load_text_reader(run.bundle_folder / READER_FOLDER, info=info)
    assert reader.shape.most_width == load_line_sampler(run.bundle_folder).form.max_width == 256
    for (_, sources, _), _ in streams:
        assert {lines.lines.pixels.shape[2] for lines in sources.values()} == {256}


def test_a_generator_listens_to_a_recognizer_that_reads_nothing_back(
    plates_scenario: TextScenario,
    tiny_text_plan: TextPlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits = spy(monkeypatch, text_training, "fit_texts")
    changed = ["generator.model.recognizer_weight=0.5", "read_back=true"]
    run = start(plates_scenario, with_overrides(tiny_text_plan, changed), tmp_path)
    run.bundle()
    assert len({how["seed"] for _, how in fits}) == len(fits) == 3
    heads = [build().config.head for (build, *_), _ in fits]
    assert heads == ["lstm", "lstm", "conv"]


def test_a_folder_of_another_draw_or_plan_is_refused(
    run: TextRun, plates_scenario: TextScenario
) -> None:
    with pytest.raises(ResumeError, match="another train"):
        start(plates_scenario.with_shots(10), run.plan, run.folder)
    with pytest.raises(ResumeError, match="another plan"):
        start(plates_scenario, replace(run.plan, rendered_lines=7), run.folder)
    with pytest.raises(ResumeError, match="another seed"):
        TextRun(run.scenario, run.draw, 4, run.plan, run.folder, say=quiet)
    wider = replace(plates_scenario, shape=replace(plates_scenario.shape, most_width=128))
    with pytest.raises(ResumeError, match="another shape"):
        start(wider, run.plan, run.folder)
    with pytest.raises(ResumeError, match="another layout"):
        start(replace(plates_scenario, layout="plates-cn-green"), run.plan, run.folder)


def test_a_report_tells_gain_characters_and_rare_provinces(
    plates_scenario: TextScenario, tiny_text_plan: TextPlan, tmp_path: Path
) -> None:
    runs = [start(plates_scenario, tiny_text_plan, tmp_path / str(seed), seed) for seed in (1, 2)]
    report = build_text_report(runs, device="a test", command="again", out=tmp_path)
    assert report["n_train"] == 12
    assert report["n_test"] == 12
    assert report["seeds"] == [1, 2]
    assert len(report["seeds"]) < LEAST_SEEDS
    assert report["verdict"] is None
    assert set(report["arms"]) == set(ARMS)
    assert report["generated"] == {"made": 12, "kept": 12, "dropped": 0}
    rare = report["others"][RARE_PROVINCES]
    assert rare["n_test"] == 20, "every province is rare among so few"
    low, high = rare["arms"]["classical"]["ci95"]
    assert 0 <= low <= rare["arms"]["classical"]["mean"] <= high <= 1
    written = sum(times for times, _ in report["errors"]["synthetic"]["by_class"].values())
    assert written == 2 * 12 * 7
    shares = report["scores"]["real"]
    assert all(0 <= shares[name] <= 1 for name in ("character_accuracy", "one_minus_ned"))

    pictures = take_text_pictures(runs[0])
    for row in pictures.by_class:
        real, made = row.name.split(" | ")
        assert real in runs[0].draw.train.texts
        assert made in runs[0].generated().texts
        assert row.real.shape == row.generated.shape == (1, 32, 96, 3)
    assert len(pictures.by_class) == len(runs[0].generated())
    page = write_report(tmp_path / "report", report, pictures)
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == json.loads(
        json.dumps(report)
    )
    assert f"{RARE_PROVINCES}, 20" in page.read_text()
    assert "its own real images" in page.read_text()
    told = format_table(report) + format_text_scores(report)
    assert RARE_PROVINCES in told
    assert "95 % interval" in told


def test_recipes_are_tried_on_training_lines_alone_equally_many_for_each_arm(
    plates_scenario: TextScenario, tiny_text_plan: TextPlan, tmp_path: Path
) -> None:
    [draw] = text_tuning_draws(plates_scenario.draw(3), 3)
    assert set(draw.test.splits) == {"train"}
    assert not set(draw.test.names) & set(draw.train.names)
    run = TextRun(plates_scenario, draw, 3, tiny_text_plan, tmp_path, say=quiet)
    run_text_trials([run])
    trials = summarize_texts({3: [run]})
    counts = {arm: sum(trial.arm == arm for trial in trials) for arm in ARMS}
    assert counts == {"classical": 4, "rendered": 4, "synthetic": 4, "real": 0, "synthetic_only": 0}
    assert set(best_of(trials)) == {"classical", "rendered", "synthetic"}
    assert format_trials(trials).count("best") == 3


def test_without_lines_to_spare_recipes_are_tried_by_cross_validation(
    plates_scenario: TextScenario,
) -> None:
    draw = replace(plates_scenario, shots=None).draw(0)
    parts = text_tuning_draws(draw, 0)
    assert len(parts) == 3
    tried = [name for part in parts for name in part.test.names]
    assert sorted(tried) == sorted(draw.train.names)
    for part in parts:
        assert not set(part.train.groups) & set(part.test.groups)


def test_too_few_groups_cannot_be_cross_validated(plates_scenario: TextScenario) -> None:
    draw = plates_scenario.draw(0)
    twins = TextImages.from_images(draw.train.images()[:4], ["A1", "A1", "B2", "B2"])
    with pytest.raises(DataError, match="3 or more different groups, got 2"):
        text_tuning_draws(replace(draw, train=twins, dev=None), 0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"recipes": {}}, "expected a recipe"),
        ({"reader_band": (0.5, 0.4)}, "reader_band"),
        ({"beam": -1}, "beam"),
        ({"reader_folds": 0}, "reader_folds"),
        ({"reader_folds": 3}, "reader_folds must be 1 or 2"),
        ({"generated_lines": 0}, "generated_lines"),
    ],
)
def test_plans_out_of_range_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TextPlan(**settings)


def test_a_reader_may_not_learn_from_what_it_reads() -> None:
    recipes = TextPlan().recipes | {"reader": TextRecipe(generated=0.5)}
    with pytest.raises(ConfigError, match="independent"):
        TextPlan(recipes=recipes)


def test_settings_of_a_plan_can_be_changed_from_the_command_line() -> None:
    plan = with_overrides(TextPlan(), ["recipes.rendered.real_only_after=0.5", "read_back=false"])
    assert plan.recipes["rendered"] == TextRecipe(rendered=0.67, real_only_after=0.5)
