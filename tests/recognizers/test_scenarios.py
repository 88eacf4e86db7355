from dataclasses import replace

import numpy as np
import pytest

from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, DataError
from recognizers import scenarios
from recognizers.scenarios import (
    SCENARIOS,
    FewShot,
    LongTail,
    chars_scenario,
    data_root,
    find_scenario,
)

FACES = ["faces-id", "faces-orl", "faces-tail"]
ON_SHARED_DATA = ["mnist", "plate-chars-tail", "scene-chars", *FACES]


def scenario_named(name):
    if name in ON_SHARED_DATA and not data_root().is_dir():
        pytest.skip(f"needs the benchmark data, and {data_root()} is not a folder")
    return SCENARIOS[name]


def made_up_data(per_class=60, num_classes=9, group_size=3):
    """Images of noise, each class split 60/10/30 by groups; class 8 has few test images."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(num_classes), per_class)
    within = np.tile(np.arange(per_class), num_classes)
    splits = np.select(
        [within < 0.6 * per_class, within < 0.7 * per_class], ["train", "val"], "test"
    )
    splits[(labels == 8) & (within > 0.75 * per_class)] = "val"
    images = rng.integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    groups = [f"group {index}" for index in (np.arange(len(labels)) // group_size)]
    return LabelledImages.from_arrays(
        images, labels, [f"{label}" for label in range(num_classes)], splits=splits, groups=groups
    )


@pytest.fixture
def made_up(monkeypatch):
    data = made_up_data()
    monkeypatch.setattr(scenarios, "open_data", lambda uri, **_: data)
    return data


TAIL = LongTail("tail", "made up", "memory:", shots=3, common=20, least_train=30, least_test=8)
FEW = FewShot("few", "made up", "memory:", shots=5)


def parts_of(draw):
    return [part for part in (draw.train, draw.test, draw.dev) if part is not None]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_seed_is_measured_on_the_same_test_images(name):
    scenario = scenario_named(name)
    first, second = scenario.draw(0), scenario.draw(1)
    assert first.test.names == second.test.names
    assert np.array_equal(first.test.labels, second.test.labels)
    assert first.train.names != second.train.names


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_image_and_no_group_is_in_two_parts_of_a_draw(name):
    parts = parts_of(scenario_named(name).draw(3))
    for index, part in enumerate(parts):
        for other in parts[index + 1 :]:
            assert not set(part.names) & set(other.names)
            assert not set(part.groups) & set(other.groups)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_seed_draws_the_same_images_again(name):
    scenario = scenario_named(name)
    assert scenario.draw(2).train.names == scenario.draw(2).train.names


@pytest.mark.parametrize("name", SCENARIOS)
def test_more_shots_contain_fewer_shots(name):
    scenario = scenario_named(name)
    fewer, more = scenario.draw(1), scenario.with_shots(scenario.shots + 4).draw(1)
    assert set(fewer.train.names) < set(more.train.names)
    assert fewer.test.names == more.test.names


@pytest.mark.parametrize(
    ("name", "shape", "classes", "shots", "n_test"),
    [
        ("digits", (16, 16, 1), 10, 5, 903),
        ("mnist", (28, 28, 1), 10, 10, 10_000),
        ("scene-chars", (32, 32, 3), 36, 5, 1_340),
        ("faces-id", (64, 64, 3), 158, 5, 790),
        ("faces-orl", (64, 64, 1), 40, 3, 200),
    ],
)
def test_few_shot_scenarios_have_the_layout_of_the_design(name, shape, classes, shots, n_test):
    draw = scenario_named(name).draw(0)
    assert draw.train.images([0]).shape[1:] == shape
    assert np.bincount(draw.train.labels).tolist() == [shots] * classes
    assert len(draw.test) == n_test
    assert (draw.focus, draw.metric) == (None, "accuracy")


def test_plate_chars_tail_has_the_layout_of_the_design():
    draw = scenario_named("plate-chars-tail").draw(0)
    counts = np.bincount(draw.train.labels)
    rare = np.isin(np.arange(len(counts)), draw.focus)
    assert len(draw.focus) == len(counts) // 2
    assert set(counts[rare]) == {3}
    assert counts[~rare].min() >= 40
    assert counts.max() == 200
    assert np.bincount(draw.test.labels).min() >= 8
    assert draw.metric == "balanced_accuracy"
    assert draw.train.images([0]).shape[1:] == (24, 24, 3)


def test_faces_tail_has_the_layout_of_the_design():
    draw = scenario_named("faces-tail").draw(0)
    counts = np.bincount(draw.train.labels)
    rare = np.isin(np.arange(158), draw.focus)
    assert (len(counts), len(draw.focus)) == (158, 79)
    assert set(counts[rare]) == {3}
    assert (counts[~rare].min(), counts.max()) == (5, 40)
    assert np.bincount(draw.test.labels).tolist() == [5] * 158
    assert draw.metric == "balanced_accuracy"


@pytest.mark.parametrize("name", FACES)
def test_face_scenarios_resample_people_and_render_nothing(name):
    scenario = scenario_named(name)
    draw = scenario.draw(0)
    np.testing.assert_array_equal(draw.clusters, draw.test.labels)
    assert not scenario.rendered
    assert draw.dev is None or np.bincount(draw.dev.labels).max() <= 30


def test_characters_are_resampled_by_their_groups(made_up):
    draw = FEW.draw(0)
    assert set(draw.clusters) == set(draw.test.groups)


def test_test_images_held_back_by_name_do_not_follow_the_splits_of_the_data(made_up):
    held_back = replace(FEW, test_per_class=4)
    before = held_back.draw(0).test.names
    made_up.splits[:] = "train"
    draw = held_back.draw(1)
    assert draw.test.names == before
    assert np.bincount(draw.test.labels).tolist() == [4] * 9


def test_a_person_has_at_most_most_dev_images_to_tune_on(made_up):
    draw = replace(FEW, most_dev=2, test_per_class=4).draw(0)
    assert np.bincount(draw.dev.labels).tolist() == [2] * 9


def test_scene_chars_are_confirmed_on_signs_of_another_source():
    draw = scenario_named("scene-chars").draw(0)
    assert draw.confirm is not None
    assert draw.confirm.classes == draw.test.classes
    assert len(draw.confirm) == 15_269
    word = draw.confirm.images([0])
    assert word.shape == (1, 32, 32, 3)


def test_half_of_the_digits_is_held_back_as_test():
    draw = SCENARIOS["digits"].draw(0)
    rest = len(draw.train) + len(draw.dev)
    assert len(draw.test) + rest == 1797
    assert 0.45 < len(draw.test) / 1797 < 0.55


def test_the_rare_half_changes_with_the_seed_and_holds_half_of_the_classes(made_up):
    rare = {TAIL.draw(seed).focus for seed in range(6)}
    assert {len(focus) for focus in rare} == {4}
    assert len(rare) > 1


def test_a_rare_class_keeps_its_shots_and_the_others_at_most_common(made_up):
    draw = TAIL.draw(0)
    counts = np.bincount(draw.train.labels)
    assert [counts[label] for label in draw.focus] == [3] * 4
    assert sorted(counts.tolist()) == [3] * 4 + [20] * 4


def test_a_class_with_too_few_test_images_takes_no_part_for_any_seed(made_up):
    left_out = set(np.array(made_up.names)[made_up.labels == 8])
    for seed in range(3):
        draw = TAIL.draw(seed)
        for part in parts_of(draw):
            assert part.classes == tuple("01234567")
            assert not left_out & set(part.names)


def test_relabelled_images_keep_their_pixels_and_names(monkeypatch):
    data = made_up_data()
    data.splits[(data.labels == 2) & (data.splits == "test")] = "val"  # class 2 leaves
    monkeypatch.setattr(scenarios, "open_data", lambda uri, **_: data)
    train = TAIL.draw(0).train
    position = {name: index for index, name in enumerate(data.names)}
    rows = [position[name] for name in train.names]
    assert np.array_equal(train.images(), data.images(rows))
    assert [train.classes[label] for label in train.labels] == [
        data.classes[label] for label in data.labels[rows]
    ]


@pytest.mark.parametrize("scenario", [TAIL, FEW], ids=["tail", "few"])
def test_test_images_choose_nothing(monkeypatch, scenario):
    draws = []
    for test_is_spoiled in (False, True):
        data = made_up_data()
        if test_is_spoiled:  # other labels, in the same numbers, for the test images
            of_test = np.flatnonzero(data.splits == "test")
            data.labels[of_test] = np.random.default_rng(1).permutation(data.labels[of_test])
        monkeypatch.setattr(scenarios, "open_data", lambda uri, data=data, **_: data)
        draws.append(scenario.draw(0))
    clean, spoiled = draws
    assert clean.train.names == spoiled.train.names
    assert clean.dev.names == spoiled.dev.names
    assert clean.focus == spoiled.focus


def test_dev_has_no_group_of_the_draw(made_up):
    for scenario in (TAIL, FEW):
        draw = scenario.draw(0)
        assert not set(draw.dev.groups) & set(draw.train.groups)
        assert set(draw.dev.names) <= set(np.array(made_up.names)[made_up.splits != "test"])


def test_parts_are_labelled_with_what_they_are_for(made_up):
    draw = FEW.draw(0)
    assert set(draw.train.splits) == {"train"}
    assert set(draw.test.splits) == {"test"}
    assert set(draw.dev.splits) == {"val"}


def test_nothing_left_over_means_no_dev(made_up):
    made_up.splits[made_up.splits == "val"] = "train"
    assert FEW.with_shots(1000).draw(0).dev is None


def test_a_class_without_training_images_is_named(monkeypatch):
    data = made_up_data()
    data.splits[data.labels == 4] = "test"
    monkeypatch.setattr(scenarios, "open_data", lambda uri, **_: data)
    with pytest.raises(DataError, match="training images of every class, got none of 4"):
        FEW.draw(0)


def test_data_without_test_images_are_refused(monkeypatch):
    data = made_up_data()
    data.splits[data.splits == "test"] = "train"
    monkeypatch.setattr(scenarios, "open_data", lambda uri, **_: data)
    with pytest.raises(DataError, match="expected test images"):
        FEW.draw(0)


def test_a_tail_needs_classes_that_can_be_measured(made_up):
    with pytest.raises(DataError, match="got 0"):
        LongTail("tail", "made up", "memory:", shots=3, least_train=1000).draw(0)


def test_chars_takes_any_data_uri():
    draw = chars_scenario("digits:", 4).draw(0)
    assert np.bincount(draw.train.labels).tolist() == [4] * 10
    assert draw.metric == "accuracy"


def test_a_scenario_can_be_given_another_copy_of_its_data():
    assert SCENARIOS["mnist"].with_data("digits:").draw(0).test.uri == "digits:"


def test_missing_benchmark_data_say_where_they_are_expected(monkeypatch, tmp_path):
    monkeypatch.setenv("LABELMINT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"nowhere.*set LABELMINT_DATA"):
        SCENARIOS["mnist"].draw(0)


def test_a_relative_data_root_counts_from_the_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("LABELMINT_DATA", "somewhere")
    monkeypatch.chdir(tmp_path)
    assert data_root() == scenarios.REPOSITORY / "somewhere"


def test_an_unknown_scenario_lists_those_there_are():
    with pytest.raises(ConfigError, match="digits, mnist, plate-chars-tail, scene-chars"):
        find_scenario("letters")


def test_zero_shots_are_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        SCENARIOS["digits"].with_shots(0)
