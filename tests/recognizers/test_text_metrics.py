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


def test_the_interval_of_a_share_is_wilsons() -> None:
    low, high = share_interval(0.9, 30)  # 27 of 30
    assert (low, high) == pytest.approx((0.744, 0.965), abs=1e-3)
    assert share_interval(1.0, 10)[1] == pytest.approx(1.0)
    assert share_interval(0.0, 0) == (0.0, 1.0)
