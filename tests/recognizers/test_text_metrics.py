import numpy as np
import pytest

from augment.errors import DataError
from recognizers.charset import PLATES_CN, WORDS
from recognizers.text_metrics import (
    MISSING,
    align,
    edit_distance,
    report_errors,
    right_texts,
    score_texts,
    share_interval,
)

WILSON_27_OF_30 = 0.744, 0.965


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("abc", "acb", 2), ("flaw", "lawn", 2)],
)
def test_edit_distances_are_those_of_the_textbook(first: str, second: str, edits: int) -> None:
    assert edit_distance(first, second) == edit_distance(second, first) == edits


def test_scores_of_a_case_worked_by_hand() -> None:
    score = score_texts(["House", "stret", ""], ["house", "street", "no"], WORDS)
    assert score.text_accuracy == pytest.approx(1 / 3)
    assert score.character_accuracy == pytest.approx(1 - 3 / 13)
    assert score.one_minus_ned == pytest.approx((1 + 5 / 6 + 0) / 3)


def test_reading_far_too_much_is_not_worse_than_nothing() -> None:
    assert score_texts(["abcdefgh"], ["x"], WORDS).character_accuracy == 0


def test_case_and_punctuation_count_where_the_charset_says_so() -> None:
    assert right_texts(["Its", "no"], ["IT'S", "on"], WORDS).tolist() == [True, False]
    assert right_texts(["皖A1"], ["皖a1"], PLATES_CN).tolist() == [False]


def test_an_alignment_tells_what_was_missed_added_and_replaced() -> None:
    assert align("abd", "abcd") == [("a", "a"), ("b", "b"), ("c", MISSING), ("d", "d")]
    assert align("axb", "ab") == [("a", "a"), (MISSING, "x"), ("b", "b")]
    assert align("a0", "ao") == [("a", "a"), ("o", "0")]
    assert align("", "") == []


def test_errors_are_counted_by_character_and_by_position() -> None:
    report = report_errors(["皖A0", "浙A"], ["皖AD", "浙AA"], PLATES_CN)
    assert report.by_class["A"] == (3, 1)
    assert report.by_class["D"] == (1, 1)
    assert report.by_class["皖"] == (1, 0)
    assert report.by_position[0] == (2, 0)
    assert sum(wrong for _, wrong in report.by_position.values()) == 2
    assert report.confusions == {("D", "0"): 1, ("A", MISSING): 1}
    assert ["D", "0", 1] in report.to_mapping()["confusions"]


def test_an_added_character_is_no_error_of_a_character_that_is_written() -> None:
    report = report_errors(["a1b"], ["ab"], WORDS)
    assert report.confusions == {(MISSING, "1"): 1}
    assert all(wrong == 0 for _, wrong in report.by_class.values())


def test_texts_that_were_not_read_are_an_error() -> None:
    with pytest.raises(DataError, match="each of 2 texts, got 1"):
        score_texts(["a"], ["a", "b"], WORDS)
    with pytest.raises(DataError, match="got none"):
        score_texts([], [], WORDS)


def test_the_interval_of_a_share_of_independent_lines_is_wilsons() -> None:
    alone = np.arange(30)
    right = (alone < 27).astype(float)
    assert share_interval(right, alone) == pytest.approx(WILSON_27_OF_30, abs=1e-3)
    assert share_interval(np.ones(10), np.arange(10)) == pytest.approx((0.722, 1.0), abs=1e-3)
    assert share_interval(np.zeros(0), np.zeros(0)) == (0.0, 1.0)


def test_words_of_a_picture_that_are_all_alike_count_as_one() -> None:
    pictures = np.repeat(np.arange(30), 5)
    right = (pictures < 27).astype(float)
    interval = share_interval(right, pictures)
    low, high = share_interval(right, np.arange(150))
    assert interval[0] < low < 0.9 < high < interval[1], "wider than of as many independent words"
    assert interval == pytest.approx(WILSON_27_OF_30, abs=0.01)
    assert share_interval(np.ones(150), pictures) == share_interval(np.ones(30), np.arange(30))
    assert share_interval(right, np.zeros(150)) == share_interval(right[:1] * 0.9, np.zeros(1))


def test_no_interval_is_narrower_than_of_independent_lines() -> None:
    """Groups that mix right and wrong lines evenly, or lines read by several seeds."""
    mixed, pairs = np.tile([1.0, 0.0], 20), np.repeat(np.arange(20), 2)
    assert share_interval(mixed, pairs) == share_interval(mixed, np.arange(40))
    assert share_interval(np.full(40, 0.5), np.arange(40)) == share_interval(mixed, np.arange(40))


def test_an_interval_over_groups_holds_the_share_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    pictures = np.repeat(np.arange(60), 6)
    held = {"pictures": 0, "words": 0}
    for _ in range(300):
        easy = rng.beta(2.0, 1.0, 60)  # 2 / 3 on average
        right = (rng.random(360) < easy[pictures]).astype(float)
        for name, groups in (("pictures", pictures), ("words", np.arange(360))):
            low, high = share_interval(right, groups)
            held[name] += low <= 2 / 3 <= high
    assert 0.92 <= held["pictures"] / 300 <= 0.98
    assert held["words"] / 300 < 0.9
