import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from augment.data.layouts import load_layout
from augment.data.text_grammar import parse_grammar
from augment.data.text_sampling import (
    balanced,
    from_list,
    grammar,
    read_list,
    towards_confusions,
    uniform,
)
from augment.errors import ConfigError, DataError, LabelError

PLATES = load_layout("plates-cn")
WORDS = load_layout("words")


def test_samplers_depend_on_seed_and_index_alone() -> None:
    first, again, other = uniform(PLATES, 1), uniform(PLATES, 1), uniform(PLATES, 2)
    assert [first(i) for i in (5, 3, 5)] == [again(5), again(3), again(5)]
    assert [first(i) for i in range(10)] != [other(i) for i in range(10)]


def test_shards_of_a_plate_sampler_do_not_repeat_each_other() -> None:
    sampler = uniform(PLATES, 0)
    shards = [{sampler(i) for i in range(start, start + 300)} for start in (0, 300, 600)]
    assert sum(map(len, shards)) == 900 == len(set.union(*shards))


def test_a_list_is_used_up_before_a_text_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one\n\n two \nthree\n", encoding="utf-8")
    sampler = from_list(path, 4)
    rounds = [[sampler(3 * turn + i) for i in range(3)] for turn in range(20)]
    assert all(sorted(texts) == ["one", "three", "two"] for texts in rounds)
    assert len({tuple(texts) for texts in rounds}) > 2


def test_texts_end_where_lines_end_and_nowhere_else(tmp_path: Path) -> None:
    """``str.splitlines`` also parts them at form feeds and at U+2028, which nobody sees."""
    path = tmp_path / "texts.txt"
    path.write_bytes("a\u2028b\r\nc\x85d\re\x0cf\ng".encode())
    assert read_list(path) == {1: "a\u2028b", 2: "c\x85d", 3: "e\x0cf", 4: "g"}


def test_given_texts_are_composed_as_labels_are(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("KO\u0308 1\n \u1112\u1161\u11ab\n", encoding="utf-8")
    assert list(read_list(tmp_path / "texts.txt").values()) == ["K\u00d6 1", "\ud55c"]


def test_a_list_without_a_seed_comes_in_its_own_order(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("two\n\none\ntwo\n", encoding="utf-8")
    sampler = from_list(path, None)
    assert [sampler(index) for index in range(6)] == ["two", "one", "two"] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "a text a line"), (b"\n \n", "a text a line"), (b"\xff\xfe\x00", "save it as UTF-8")],
)
def test_a_list_without_texts_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        from_list(path, 0)
    with pytest.raises(DataError, match="a text a line"):
        from_list(tmp_path / "missing.txt", 0)


@pytest.mark.parametrize(
    "pattern",
    [
        r"[A-Z]{2}-\d{3,4}",
        r"(RED|BLUE|[XY]{2}) ?\d",
        r"a\?b\[\\",
        r"[A-CX\-\]]{1,3}",
        r"((a|b)c){2}",
        r"[A-]x",
        r"\*\+\.\^\$[\^*+.$]{3}[*^]",
    ],
)
def test_texts_of_a_grammar_match_it_as_a_regular_expression(pattern: str) -> None:
    sampler = grammar(pattern, 0)
    texts = [sampler(index) for index in range(200)]
    assert all(re.fullmatch(pattern, text) for text in texts)


def test_a_grammar_gives_all_its_texts() -> None:
    sampler = grammar(r"(a|b)?[12]", 0)
    assert {sampler(index) for index in range(200)} == {"1", "2", "a1", "a2", "b1", "b2"}


def test_brackets_may_be_nested_and_a_repeated_nothing_takes_no_time() -> None:
    assert grammar("(" * 32 + "a" + ")" * 32, 0)(0) == "a"
    assert grammar("a" + "(" * 8 + "){99999}" * 8, 0)(0) == "a"
    assert grammar("((a)(b))(c)" * 20, 0)(0) == "abc" * 20


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "1 to 256"),
        ("a{0}", "1 to 256"),
        ("a?", "its shortest has 0 and its longest 1"),
        ("(RED|)", "its shortest has 0 and its longest 3"),
        (r"\d{0,4}", "its shortest has 0 and its longest 4"),
        (r"\d{300}", "300"),
        ("a)", "position 2.*closes nothing"),
        ("(a", "position 3: the end comes where \\) is missing"),
        ("[ab", "position 4: the end comes where \\] is missing"),
        ("[]", "position 2.*set of nothing"),
        ("[z-a]", "position 4.*range"),
        (r"[a-\d]", "a range of which an end is .*ten digits"),
        (r"[\d-x]", "a range of which an end is .*ten digits"),
        ("a{2", "position 2.*begin"),
        ("a{3,2}", "begin"),
        ("a{,2}", "begin"),
        ("a{1,2,3}", "begin"),
        ("(" * 5000 + "a" + ")" * 5000, "position 33.*32"),
        ("a{" + "9" * 5000 + "}", "position 2.*begin"),
        ("?a", "position 1.*nothing to belong to"),
        ("a??", "position 3"),
        ("{2}", "position 1"),
        ("a]", "position 2"),
        ("a\\", "position 3.*the end"),
        (r"\w", "position 2.*means nothing"),
        (r"[A-Z]+\d*", r"position 6: \+ has no meaning .* write \\ before"),
        (r"\d*", r"position 3: \* has no meaning"),
        (r".{4}", r"position 1: \. has no meaning"),
        (r"^A$", r"position 1: \^ has no meaning"),
        (r"A$", r"position 2: \$ has no meaning"),
        (r"[^0-9]{5}", r"position 2: \^ cannot begin a set"),
    ],
)
def test_a_faulty_grammar_is_refused_with_the_place(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_grammar(pattern)


def test_balancing_draws_rare_characters_by_the_strength_given() -> None:
    counts = dict.fromkeys(PLATES.alphabet, 99) | {"京": 0}
    shares = []
    for strength in (0.0, 0.5, 1.0):
        sampler = balanced(PLATES, counts, 0, strength=strength)
        shares.append(np.mean([sampler(index)[0] == "京" for index in range(1500)]))
    expected = [1 / 31, 10 / 40, 100 / 130]
    np.testing.assert_allclose(shares, expected, atol=0.04)


def test_balanced_texts_fit_their_layout() -> None:
    assert all(PLATES.allows(balanced(PLATES, {}, 0)(index)) for index in range(50))
    lengths = Counter(len(balanced(WORDS, {"a": 5}, 0)(index)) for index in range(600))
    assert set(lengths) == set(range(1, 13))


@pytest.mark.parametrize(("strength", "count"), [(-0.1, 1), (1.1, 1), (0.5, -1)])
def test_balancing_refuses_what_is_out_of_range(strength: float, count: int) -> None:
    with pytest.raises(ConfigError):
        balanced(PLATES, {"A": count}, 0, strength=strength)


def test_confused_characters_are_drawn_by_their_rate_of_confusion() -> None:
    confusion = np.array([[50, 49, 0], [0, 99, 0], [0, 0, 99]])  # 8 is read as B half the time
    sampler = towards_confusions(WORDS, ["8", "B", "A"], confusion, 0)
    drawn = Counter("".join(sampler(index) for index in range(1500)))
    total = sum(drawn.values())
    mean = 98 / 297  # of the 59 characters that were not measured
    often, never = 0.05 + (49 + 3 * mean) / 102, 0.05 + 3 * mean / 102
    weights = 2 * often + never + 59 * (0.05 + mean)
    assert drawn["8"] / total == pytest.approx(often / weights, rel=0.15)
    assert drawn["B"] / total == pytest.approx(often / weights, rel=0.15)
    assert drawn["A"] / total == pytest.approx(never / weights, rel=0.35)
    assert drawn["z"] / total == pytest.approx((0.05 + mean) / weights, rel=0.25)


@pytest.mark.parametrize(
    "matrix", [np.zeros((2, 3)), np.zeros((3, 3)), np.array([[1, -1], [0, 1]])]
)
def test_a_matrix_that_does_not_fit_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(LabelError, match="2 × 2"):
        towards_confusions(WORDS, ["A", "B"], matrix, 0)
