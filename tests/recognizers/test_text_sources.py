from dataclasses import replace

import numpy as np
import pytest

from augment.data.layout_parts import Position
from augment.data.layouts import load_layout
from augment.data.lines import line_width
from augment.data.texts import LineShape, TextImages
from augment.errors import ConfigError, DataError
from recognizers.charset import PLATES_CN, WORDS
from recognizers.text_sources import (
    check_columns,
    is_drawable,
    render_lines,
    sample_texts,
)

PLATES, FREE = load_layout("plates-cn"), load_layout("words")


def words(*texts: str) -> TextImages:
    image = np.random.default_rng(0).integers(0, 255, (20, 60, 3)).astype(np.uint8)
    return TextImages.from_images([image] * len(texts), texts)


def test_plates_are_drawn_from_the_layout_whatever_was_photographed() -> None:
    texts = sample_texts(words("皖A12345"), PLATES, PLATES_CN, 400, seed=0)
    assert all(PLATES.allows(text) and PLATES_CN.knows(text) for text in texts)
    assert len({text[0] for text in texts}) > 25


def test_half_of_the_words_are_real_ones_and_half_follow_their_letters() -> None:
    real = ("station", "street", "Hotel", "Stop", "state", "stone", "toner", "note", "later")
    texts = sample_texts(words(*real), FREE, WORDS, 400, seed=1)
    old = sum(text in real for text in texts)
    assert 200 < old < 380  # a new word may happen to be an old one
    new = set(texts) - set(real)
    assert len(new) > 3
    pairs = {word[i : i + 2] for word in real for i in range(len(word) - 1)}
    assert all(text[i : i + 2] in pairs for text in new for i in range(len(text) - 1))


def test_more_texts_contain_fewer() -> None:
    for layout, charset in ((PLATES, PLATES_CN), (FREE, WORDS)):
        train = words("one", "tone", "tune")
        many = sample_texts(train, layout, charset, 30, seed=2)
        assert sample_texts(train, layout, charset, 10, seed=2) == many[:10]
        assert sample_texts(train, layout, charset, 30, seed=3) != many


def test_texts_that_no_line_can_show_are_left_out() -> None:
    texts = sample_texts(words("ok", "W" * 60, "né"), FREE, WORDS, 50, seed=0)
    assert set(texts) == {"ok"}
    assert all(line_width(text) for text in texts)
    with pytest.raises(DataError, match="none of 1"):
        sample_texts(words("né"), FREE, WORDS, 5, seed=0)


def test_a_text_is_drawable_if_the_layout_allows_it_and_a_line_can_hold_it() -> None:
    assert is_drawable("皖A12345", PLATES)
    assert not is_drawable("皖A1234", PLATES)
    assert is_drawable("Hotel", FREE)
    assert not is_drawable("W" * 60, FREE)


def test_rendered_lines_have_the_shape_that_is_asked_for() -> None:
    plates = render_lines(
        words("x"), PLATES, LineShape(least_width=96, most_width=96), ["京A12345"] * 2, 0
    )
    assert plates.lines.widths.tolist() == [96, 96]
    assert not np.array_equal(*plates.lines.pixels), "each line has its own look"
    free = render_lines(words("x"), FREE, LineShape(), ["in", "information"], 0)
    assert free.lines.widths[0] < free.lines.widths[1]


def test_a_layout_of_more_characters_than_columns_is_refused_with_the_width_it_needs() -> None:
    """The first two of a plate never are alike, the other five may be: seven and five columns."""
    check_columns(FREE, LineShape(32, 8, 8))
    check_columns(PLATES, LineShape(32, 48, 48))
    with pytest.raises(ConfigError, match=r"48 pixels wide, got 40.*--image-size, .* 32 48"):
        check_columns(PLATES, LineShape(32, 40, 40))
    places = tuple(Position((7 * i, 5, 5, 20), "digit") for i in range(30))
    many = replace(PLATES, alphabets={"digit": "0123456789"}, positions=places, dots=())
    with pytest.raises(ConfigError, match=r"30 characters.*236 pixels wide, got 96"):
        check_columns(many, LineShape(32, 96, 96))
