import zipfile
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase, digits

import numpy as np
import pytest

from augment.data.texts import LineShape, TextImages
from augment.errors import ConfigError, DataError
from augment.images import encode_png
from recognizers.charset import PLATES_CN, WORDS
from recognizers.scenarios import data_root
from recognizers.text_scenarios import (
    RARE_PROVINCES,
    TEXT_SCENARIOS,
    UNSEEN_PICTURES,
    Plates,
    TextScenario,
    Words,
    lines_scenario,
)

IMAGE = np.zeros((8, 16, 3), np.uint8)
PLATES = [f"皖A{n:05d}" for n in range(60)] + [f"云B{n:05d}" for n in range(8)]


@pytest.fixture
def plates(monkeypatch: pytest.MonkeyPatch) -> TextScenario:
    """Sixty plates of a common province and eight of a rare one; some were seen twice."""
    texts = PLATES + PLATES[:20]
    splits = [("test", "val", "train", "train")[int(text[-1]) % 4] for text in texts]
    data = TextImages.from_images([IMAGE] * len(texts), texts, splits=splits)
    monkeypatch.setattr("recognizers.text_scenarios.open_texts", lambda uri, **how: data)
    return Plates("plates", "", "zip:x", "plates-cn", PLATES_CN, LineShape(), shots=10)


def test_a_seed_draws_training_lines_and_leaves_the_test_alone(plates: TextScenario) -> None:
    one, two = plates.draw(1), plates.draw(2)
    assert len(one.train) == 10
    assert set(one.train.splits) == {"train"}
    assert one.train.names != two.train.names
    assert one.train.names == plates.draw(1).train.names
    assert one.test.names == two.test.names
    assert set(one.test.splits) == {"test"}


def test_dev_shares_no_plate_with_the_draw(plates: TextScenario) -> None:
    draw = plates.draw(3)
    assert draw.dev is not None
    assert set(draw.dev.splits) == {"train"}
    assert not set(draw.dev.texts) & set(draw.train.texts)


def test_more_shots_contain_fewer(plates: TextScenario) -> None:
    few, many = (set(plates.with_shots(n).draw(5).train.names) for n in (5, 20))
    assert few < many


def test_all_training_lines_leave_no_dev(plates: TextScenario) -> None:
    draw = replace(plates, shots=None).draw(0)
    assert draw.dev is None
    assert set(draw.train.names) == set(plates.open().split("train").names)


def test_rare_provinces_pool_val_and_test(plates: TextScenario) -> None:
    rare = plates.draw(0).others[RARE_PROVINCES]
    assert {text[0] for text in rare.texts} == {"云"}
    assert set(rare.splits) == {"val", "test"}


def test_words_of_unseen_pictures_are_a_part_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    data = TextImages.from_images(
        [IMAGE] * 5,
        ["a", "b", "c", "d", "e"],
        splits=["train", "train", "test", "test", "test"],
        groups=["1", "2", "1", "3", "4"],
    )
    monkeypatch.setattr("recognizers.text_scenarios.open_texts", lambda uri, **how: data)
    draw = Words("words", "", "zip:x", "words", WORDS, LineShape()).draw(0)
    assert draw.others[UNSEEN_PICTURES].texts == ("d", "e")


def test_icdars_usual_protocol_leaves_short_and_odd_words_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = TextImages.from_images(
        [IMAGE] * 3, ["a", "b", "c"], splits=["train", "train", "test"], groups=["1", "2", "1"]
    )
    other = TextImages.from_images(
        [IMAGE] * 4, ["ab", "it's", "Word", "up"], sources=["icdar2013_test"] * 3 + ["svt_test"]
    )
    opened = {"zip:x": train, "zip:y": other}
    monkeypatch.setattr("recognizers.text_scenarios.open_texts", lambda uri, **how: opened[uri])
    scenario = Words("words", "", "zip:x", "words", WORDS, LineShape(), others_uri="zip:y")
    scenario = replace(scenario, other_sources=("svt_test", "icdar2013_test"))
    others = scenario.draw(0).others
    assert {name: data.texts for name, data in others.items()} == {
        "svt_test": ("up",),
        "icdar2013_test": ("Word",),
    }


@pytest.mark.parametrize("shots", [60, 1000])
def test_more_lines_than_there_are_is_an_error(plates: TextScenario, shots: int) -> None:
    with pytest.raises(DataError, match=f"expected {shots:,} training lines"):
        plates.with_shots(shots).draw(0)


def test_a_single_line_is_no_training_set(plates: TextScenario) -> None:
    with pytest.raises(ConfigError, match="at least 2 lines"):
        plates.with_shots(1)


def test_missing_data_are_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LABELMINT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="LABELMINT_DATA"):
        TEXT_SCENARIOS["plates"].draw(0)


@pytest.mark.skipif(not data_root().is_dir(), reason="the benchmark data are not at hand")
@pytest.mark.parametrize("name", sorted(TEXT_SCENARIOS))
def test_the_data_at_hand_are_those_of_the_scenario(name: str) -> None:
    draw = TEXT_SCENARIOS[name].draw(0)
    sizes = {other: len(data) for other, data in draw.others.items()}
    if name == "plates":
        assert (len(draw.train), len(draw.test), sizes) == (300, 638, {RARE_PROVINCES: 41})
        assert draw.dev is not None
    else:
        expected = {UNSEEN_PICTURES: 933, "svt_test": 647, "icdar2013_test": 857}
        assert (len(draw.train), len(draw.test), sizes) == (2000, 3000, expected)
        assert draw.dev is None
    charset = TEXT_SCENARIOS[name].charset
    assert all(charset.knows(text) for text in draw.train.texts + draw.test.texts)


def own_lines(monkeypatch: pytest.MonkeyPatch, train: list[str], test: list[str]) -> TextImages:
    splits = ["train"] * len(train) + ["test"] * len(test)
    data = TextImages.from_images([IMAGE] * len(splits), train + test, splits=splits)
    monkeypatch.setattr("recognizers.text_scenarios.open_texts", lambda uri, **how: data)
    return data


def test_anybodys_words_are_read_in_the_characters_of_their_layout_and_training_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_lines(monkeypatch, ["No exit", "don't"], ["Exit-9"])
    scenario = lines_scenario("zip:x", "words")
    assert scenario.charset.training == "'" + digits + ascii_lowercase
    assert scenario.charset.comparable("EXIT-9") == "exit-9", "what cannot be read is misread"
    assert (scenario.shape.least_width, scenario.shape.most_width) == (48, 160)
    draw = scenario.draw(0)
    assert (len(draw.train), len(draw.test), draw.others) == (2, 1, {})


def test_data_without_splits_are_not_parted_by_picture_where_a_training_set_goes_by_text(
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(tmp_path / "unsplit.zip", "w") as archive:
        for name in ("1_1.png", "1_2.png", "2_1.png"):
            archive.writestr(name, encode_png(IMAGE))
        archive.writestr("labels.csv", "file,text\n1_1.png,a\n1_2.png,b\n2_1.png,c")
    words = TEXT_SCENARIOS["words"].with_data(f"zip:{tmp_path}/unsplit.zip")
    with pytest.raises(DataError, match="each has its split, train, val or test, as words parts"):
        words.draw(0)
    assert len(TEXT_SCENARIOS["plates"].with_data(words.uri).open()) == 3


def test_anybodys_plates_are_read_in_the_characters_of_their_layout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_lines(monkeypatch, ["京AD12345", "沪BF00001"], ["粤CA99999"])
    scenario = lines_scenario("zip:x", "plates-cn-green", (48, 160))
    assert {"粤", "C", "7"} <= set(scenario.charset.training)
    shape = scenario.shape
    assert (shape.height, shape.least_width, shape.most_width) == (48, 160, 160)


def test_plates_too_narrow_to_be_read_are_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_lines(monkeypatch, ["京AD12345", "沪BF00001"], ["粤CA99999"])
    with pytest.raises(ConfigError, match="pixels wide, got 24; give a larger --image-size"):
        lines_scenario("zip:x", "plates-cn-green", (32, 24))


def test_test_words_of_which_nothing_counts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as nothing they would count as right."""
    data = TextImages.from_images(
        [IMAGE] * 4, ["a", "b", "c", "!!!"], splits=["train", "train", "test", "test"]
    )
    monkeypatch.setattr("recognizers.text_scenarios.open_texts", lambda uri, **how: data)
    with pytest.raises(DataError, match=r"something is compared.*'!!!'; leave these images out"):
        Words("words", "", "zip:x", "words", WORDS, LineShape()).draw(0)


def test_lines_that_their_layout_cannot_write_are_refused_with_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_lines(monkeypatch, ["BB-A 123", "京AD12345"], ["京AD12346"])
    with pytest.raises(DataError, match=r"at least 2 training lines .* such as 'BB-A 123'"):
        lines_scenario("zip:x", "plates-cn-green")
