from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from augment.errors import ConfigError, DataError
from augment.generate import Samples
from augment.images import encode_png
from recognizers import arms, verification_arms, verification_tuning
from recognizers.arms import Plan, SeedRun
from recognizers.fit import Budget
from recognizers.mixing import LabelledPixels
from recognizers.plans import VERIFICATION_CANDIDATES, plan_for
from recognizers.scenarios import data_root
from recognizers.verification_arms import (
    CANDIDATES,
    FACES_VERIFY,
    FACES_VERIFY_VIEW_2,
    VERIFICATION_ARMS,
    VerificationRun,
    compare_arms,
    format_scores,
    format_view2,
    score_table,
    view2_table,
)
from recognizers.verification_tuning import run_verification_trials, summarize_verification

TRAINED = [f"Dev_{i:02d}" for i in range(20)]
TESTED = [f"Test_{i}" for i in range(4)]
SIZE = (16, 16)


@pytest.fixture(scope="module")
def lfw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of noise: three of each person of the development set, one of Dev_00."""
    root = tmp_path_factory.mktemp("lfw")
    rng = np.random.default_rng(0)
    counts = {name: 3 for name in TRAINED + TESTED} | {"Dev_00": 1}
    for person, count in counts.items():
        (root / person).mkdir()
        for number in range(1, count + 1):
            picture = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            (root / person / f"{person}_{number:04d}.png").write_bytes(encode_png(picture))
    listed = "".join(f"{name}\t{counts[name]}\n" for name in TRAINED)
    (root / "peopleDevTrain.txt").write_text(f"{len(TRAINED)}\n{listed}")
    matches = "".join(f"{name}\t1\t2\n" for name in TESTED)
    others = "".join(
        f"{a}\t3\t{b}\t3\n" for a, b in zip(TESTED, TESTED[1:] + TESTED[:1], strict=True)
    )
    (root / "pairsDevTest.txt").write_text(f"{len(TESTED)}\n{matches}{others}")
    sets = [TRAINED[1:5], TRAINED[5:9], TRAINED[9:13]]
    listed = "".join("4\n" + "".join(f"{name}\t3\n" for name in people) for people in sets)
    (root / "people.txt").write_text(f"3\n{listed}")
    pairs = "".join(
        f"{a}\t1\t2\n{b}\t1\t2\n{a}\t3\t{b}\t3\n{c}\t1\t{a}\t1\n" for a, b, c, _ in sets
    )
    (root / "pairs.txt").write_text(f"3\t2\n{pairs}")
    return root


@pytest.fixture
def scenario(lfw: Path):
    return replace(FACES_VERIFY, uri=f"lfw:{lfw}", image_size=SIZE, held_back=0.3)


@pytest.fixture
def view_2(lfw: Path):
    return replace(FACES_VERIFY_VIEW_2, uri=f"lfw:{lfw}", image_size=SIZE)


@pytest.fixture
def plan() -> Plan:
    return replace(plan_for("faces-verify"), budget=Budget(steps=2, batch_size=8))


class Noise:
    """Draws noise of any class and mixes no people."""

    info = SimpleNamespace(architecture="noise")

    def __init__(self, classes) -> None:
        self.classes = classes

    def draw(self, labels, indices, seed, style=None) -> Samples:
        rng = np.random.default_rng([seed % 2**32, int(labels[0]), len(self.classes)])
        images = rng.integers(0, 256, (len(labels), *SIZE, 3), dtype=np.uint8)
        none = np.full(len(labels), -1)
        return Samples(images, none, np.stack([none, none], 1), np.zeros(len(labels)), none)


class Mixer(Noise):
    """The same, and offers people who do not exist."""

    def new_identities(self, count: int, seed: int) -> "Mixer":
        return Mixer(tuple(f"new-{i:04d}" for i in range(1, count + 1)))


@pytest.fixture
def with_generator(monkeypatch: pytest.MonkeyPatch):
    """Known people come from noise; new ones from the sampler that is put in."""

    def generated(run: SeedRun) -> LabelledPixels:
        people = np.arange(len(run.real.classes)).repeat(2)
        return LabelledPixels(run.real.images(np.arange(len(people)) % len(run.real)), people)

    monkeypatch.setattr(arms.SeedRun, "generated", generated)
    monkeypatch.setattr(arms.SeedRun, "bundle", lambda run: SimpleNamespace(digest="0" * 64))
    monkeypatch.setattr(verification_arms, "load_sampler", lambda *_, **__: Mixer(()))


def start(scenario, plan: Plan, folder: Path, seed: int = 1, **settings) -> VerificationRun:
    run = SeedRun(scenario.draw(seed), seed, plan, folder, say=lambda text: None, **settings)
    return VerificationRun(run, scenario)


def test_nobody_is_in_two_parts_of_a_draw(scenario):
    draw = scenario.draw(0)
    parts = [
        {name.split("/")[0] for name in part.names} for part in (draw.train, draw.dev, draw.test)
    ]
    assert parts[2] == set(TESTED)
    assert not parts[0] & parts[1]
    assert len(parts[1]) == 6
    assert parts[0] | parts[1] >= set(TRAINED) - {"Dev_00"}
    assert draw.train.classes == tuple(sorted(parts[0]))


def test_seeds_hold_other_people_back_and_are_measured_on_the_same_pairs(scenario):
    first, second = scenario.draw(0), scenario.draw(1)
    assert first.dev.names != second.dev.names
    assert first.test.names == second.test.names
    assert scenario.draw(0).train.names == first.train.names


def test_people_with_one_photograph_teach_nothing_and_with_many_not_all(scenario):
    everybody = replace(scenario, held_back=0.0)
    assert "Dev_00" not in everybody.draw(0).train.classes
    assert "Dev_00" in everybody.with_shots(1).draw(0).train.classes
    capped = replace(everybody, most_shots=2).draw(0).train
    assert np.bincount(capped.labels).tolist() == [2] * 19
    with pytest.raises(DataError, match="fewer --shots"):
        scenario.with_shots(4).draw(0)


def test_every_arm_is_trained_once_and_scored_on_the_test_pairs(
    scenario, plan, tmp_path, with_generator, monkeypatch
):
    run = start(scenario, plan, tmp_path)
    cells = run.cells()
    assert [cell.arm for cell in cells] == list(VERIFICATION_ARMS)
    same = run.pairs.same
    for cell in cells:
        assert cell.score.accuracy == pytest.approx((cell.predictions == same).mean())
        assert 0 <= cell.score.tar_at_far <= 1
        assert 0 <= cell.score.auc <= 1
    monkeypatch.setattr(arms, "fit", None)
    again = start(scenario, plan, tmp_path).cells()
    assert [cell.score for cell in again] == [cell.score for cell in cells]


def test_new_people_are_further_classes_beside_the_real_ones(
    scenario, plan, tmp_path, with_generator, monkeypatch
):
    sizes = []
    original = arms.fit

    def noted(build, *values, **named):
        sizes.append(build().num_classes)
        return original(build, *values, **named)

    monkeypatch.setattr(arms, "fit", noted)
    run = start(scenario, plan, tmp_path)
    people = len(run.run.real.classes)
    run.cells()
    assert sizes == [people, people, people, 2 * people]
    extra = run.new_people()
    assert np.bincount(extra.labels).tolist() == [0] * people + [plan.generated_per_class] * people
    assert run.generated["kept"] == len(extra)


def test_new_people_who_copy_a_photograph_are_dropped_and_counted(
    scenario, plan, tmp_path, with_generator, monkeypatch
):
    run = start(scenario, plan, tmp_path)
    photographs = run.run.real.images()

    class Copier(Mixer):
        """The first image of everybody is a photograph it was trained on."""

        def new_identities(self, count: int, seed: int) -> "Copier":
            return Copier(super().new_identities(count, seed).classes)

        def draw(self, labels, indices, seed, style=None) -> Samples:
            drawn = super().draw(labels, indices, seed, style)
            drawn.images[indices == 0] = photographs[0]
            return drawn

    monkeypatch.setattr(verification_arms, "load_sampler", lambda *_, **__: Copier(()))
    people, each = len(run.run.real.classes), plan.generated_per_class
    assert np.bincount(run.new_people().labels)[people:].tolist() == [each] * people
    found = run.generated
    assert found["copies"] >= people, "noise may be near a photograph too"
    assert found["made"] == people * each + found["copies"]
    assert run.run.seconds > 0, "drawing new people takes time too"


def test_the_threshold_is_chosen_on_people_held_back(
    scenario, plan, tmp_path, with_generator, monkeypatch
):
    asked = []
    original = verification_arms.best_threshold
    monkeypatch.setattr(
        verification_arms,
        "best_threshold",
        lambda cosines, same: asked.append(same) or original(cosines, same),
    )
    run = start(scenario, plan, tmp_path)
    run.cells()
    matches = 3 * len(run.held_back.classes)
    assert [(same.sum(), len(same)) for same in asked] == [(matches, 2 * matches)] * 4


def test_a_generator_that_mixes_nobody_is_told_so(
    scenario, plan, tmp_path, with_generator, monkeypatch
):
    monkeypatch.setattr(verification_arms, "load_sampler", lambda *_, **__: Noise(()))
    with pytest.raises(ConfigError, match="cvae_gan; got noise"):
        start(scenario, plan, tmp_path).new_people()


def test_a_recognizer_without_embeddings_is_refused(scenario, plan, tmp_path):
    with pytest.raises(ConfigError, match="expected a recognizer derived from"):
        start(scenario, plan, tmp_path, recognizer="recognizers.character:CharacterRecognizer")


def test_a_plan_without_an_arms_recipe_is_refused(scenario, plan, tmp_path):
    recipes = {arm: plan.recipes[arm] for arm in plan.recipes if arm != "synthetic_new"}
    with pytest.raises(ConfigError, match="got none for synthetic_new"):
        start(scenario, replace(plan, recipes=recipes), tmp_path)


def test_recipes_are_tried_on_people_held_back_and_no_test_pair_is_read(
    scenario, plan, tmp_path, with_generator, monkeypatch
):
    few = {arm: recipes[:2] for arm, recipes in VERIFICATION_CANDIDATES.items()}
    monkeypatch.setattr(verification_tuning, "VERIFICATION_CANDIDATES", few)
    compared = []
    original = verification_tuning.similarities

    def noted(model, data, pairs):
        compared.append((data, pairs))
        return original(model, data, pairs)

    monkeypatch.setattr(verification_tuning, "similarities", noted)
    run = start(scenario, plan, tmp_path)
    run_verification_trials(run)
    assert len(compared) == 6
    held_back = set(run.held_back.names)
    for data, pairs in compared:
        assert set(data.names) == held_back
        assert {f"{name}.png" for name in (*pairs.first, *pairs.second)} <= held_back
    monkeypatch.setattr(arms, "fit", None)  # what is finished is not trained again
    trials = summarize_verification({1: run})
    assert [trial.arm for trial in trials] == [arm for arm in few for _ in range(2)]
    assert all(0 <= trial.mean <= 1 for trial in trials)
    assert {len(recipes) for recipes in VERIFICATION_CANDIDATES.values()} == {4}


def test_both_synthetic_arms_are_compared_with_the_classical_one(
    scenario, plan, tmp_path, with_generator
):
    runs = [start(scenario, plan, tmp_path / str(seed), seed) for seed in (1, 2)]
    gains, scores = compare_arms(runs), score_table(runs)
    assert list(gains) == list(CANDIDATES)
    for arm, gain in gains.items():
        assert (gain.baseline, gain.n_test) == ("classical", 8)
        assert gain.arms[arm].per_seed == pytest.approx(scores[arm]["accuracy"])
    table = format_scores(scores)
    assert all(arm in table for arm in VERIFICATION_ARMS)


def test_each_set_of_view_2_is_measured_by_those_who_never_saw_it(view_2):
    assert view_2.num_sets() == 3
    sets = [set(TRAINED[1:5]), set(TRAINED[5:9]), set(TRAINED[9:13])]
    for measured in range(3):
        draw = view_2.draw(measured)
        chooses, trains = (measured + 1) % 3, (measured + 2) % 3
        assert set(draw.train.classes) == sets[trains]
        for part, number in ((draw.test, measured), (draw.dev, chooses)):
            assert {name.split("/")[0] for name in part.names} <= sets[number]
        pairs = view_2.test_pairs(draw.test, measured)
        assert (len(pairs.same), int(pairs.same.sum())) == (4, 2)
        assert set(pairs.sets) == {measured}
        assert set(view_2.choosing_pairs(draw.dev, measured).sets) == {chooses}


def test_view_2_scores_every_arm_once_a_set_and_in_its_own_words(
    view_2, plan, tmp_path, with_generator
):
    runs = [start(view_2, plan, tmp_path / str(seed), seed) for seed in range(3)]
    table = view2_table(runs)
    assert list(table) == list(VERIFICATION_ARMS)
    for arm, found in table.items():
        each = [cell.score.accuracy for run in runs for cell in run.cells() if cell.arm == arm]
        assert found.mean == pytest.approx(np.mean(each))
        assert len(found.sets) == 3
    told = format_view2(table).splitlines()
    assert len(told) == 1 + len(VERIFICATION_ARMS)
    assert told[1].count("±") == 1, "real is not compared"
    assert told[-1].count("±") == 2


def test_lfws_own_sets_hold_600_pairs_of_people_who_are_not_trained_on():
    path = data_root() / "faces" / "lfw_all_64.zip"
    if not path.exists():
        pytest.skip(f"needs the benchmark data, and there is no {path}")
    draw = FACES_VERIFY_VIEW_2.draw(3)
    pairs = FACES_VERIFY_VIEW_2.test_pairs(draw.test, 3)
    assert (len(pairs.same), int(pairs.same.sum())) == (600, 300)
    tested = {name.split("/")[0] for name in draw.test.names}
    assert not tested & set(draw.train.classes)
    assert not tested & {name.split("/")[0] for name in draw.dev.names}
    assert len(draw.train.classes) > 1000
