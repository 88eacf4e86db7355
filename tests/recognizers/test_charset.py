import numpy as np
import pytest

from augment.errors import ConfigError, LabelError
from recognizers.charset import ALPHANUMERIC, BLANK, PLATES_CN, WORDS, Charset, fold


def test_texts_survive_encoding_and_decoding() -> None:
    texts = ["皖A12345", "京B9"]
    targets, lengths = PLATES_CN.encode(texts)
    assert targets.shape == (2, 7)
    assert lengths.tolist() == [7, 3]
    assert (targets[1, 3:] == BLANK).all()
    assert [PLATES_CN.decode(row) for row in targets] == texts


def test_no_texts_are_encoded_as_no_rows() -> None:
    targets, lengths = WORDS.encode([])
    assert targets.shape == (0, 0)
    assert lengths.shape == (0,)


def test_an_alphabet_without_capitals_reads_both_cases() -> None:
    np.testing.assert_array_equal(WORDS.encode(["PaRk"])[0], WORDS.encode(["park"])[0])
    assert WORDS.knows("PARK9")
    assert not PLATES_CN.knows("皖a1")


def test_repeats_are_merged_unless_a_blank_parts_them() -> None:
    charset = Charset("abc")
    assert charset.collapse([1, 1, 0, 1, 2, 2, 0, 0, 3]) == "aabc"
    assert charset.collapse([0, 0]) == ""


@pytest.mark.parametrize("text", ["caf\u00e9", "semi-"])
def test_a_character_outside_the_alphabet_is_named_with_its_text(text: str) -> None:
    with pytest.raises(LabelError, match="index 1"):
        WORDS.encode(["fine", text])
    assert not WORDS.knows(text)


def test_spaces_between_words_are_not_read() -> None:
    np.testing.assert_array_equal(WORDS.encode(["no exit"])[0], WORDS.encode(["noexit"])[0])
    assert WORDS.knows("no exit")
    assert WORDS.comparable("no exit") == "noexit"


def test_white_space_of_any_kind_is_not_read() -> None:
    for space in "\u00a0\u3000\t\u202f":
        assert WORDS.knows(f"no{space}exit")
        assert WORDS.comparable(f"no{space}exit") == "noexit"


def test_a_sigma_at_the_end_of_a_word_is_the_same_character() -> None:
    texts = ["ΟΔΟΣ", "οδος", "ΑΘΗΝΑ"]
    charset = Charset("".join(sorted(set(fold("".join(texts))))))
    assert len(charset.training) == len("αδηθνοσ")
    classes, _ = charset.encode(texts)
    np.testing.assert_array_equal(classes[0], classes[1])


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(LabelError, match="empty one at index 0"):
        WORDS.encode([text])
    assert not WORDS.knows(text)


def test_comparison_passes_over_case_and_what_does_not_count() -> None:
    assert WORDS.comparable("It's 5!") == "its5"
    assert PLATES_CN.comparable("皖A") == "皖A"
    assert Charset("aAbB-", evaluation=ALPHANUMERIC).comparable("A-b") == "ab"


def test_training_may_tell_more_apart_than_evaluation() -> None:
    charset = Charset("aAbB", evaluation="ab")
    assert charset.num_classes == 5
    assert charset.decode(charset.encode(["aB"])[0][0]) == "aB"
    assert charset.comparable("aB") == charset.comparable("Ab")


def test_an_alphabet_can_be_taken_from_texts() -> None:
    assert Charset.of(["ba", "C", "a"]).training == "Cab"


@pytest.mark.parametrize("training", ["", "aab", "a b", "\t"])
def test_alphabets_that_cannot_be_told_apart_are_refused(training: str) -> None:
    with pytest.raises(ConfigError, match="training"):
        Charset(training)
