import numpy as np
import pytest

from augment.data.content import Font
from augment.data.drawable import check_line
from augment.data.layouts import load_layout
from augment.data.lines import PLATE_FONTS, draw_contents, line_fonts, line_width
from augment.errors import GlyphError, LabelError

PLATES = load_layout("plates-cn")


def test_each_character_of_a_plate_stands_in_its_own_box() -> None:
    size = (64, 192)
    text, other = "京A12345", "京A12845"
    first, second = draw_contents([text, other], PLATES, size=size, looks=[0, 0])[..., 0]
    columns = np.flatnonzero((first != second).any(axis=0))
    left, _, right, _ = PLATES.boxes()[4] * (192, 64, 192, 64)
    assert len(columns)
    assert columns.min() >= left - 1
    assert columns.max() <= right + 1


def test_every_box_of_a_plate_is_filled_from_top_to_bottom() -> None:
    image = draw_contents(["皖A88888"], PLATES, size=(64, 192), looks=[1])[0, ..., 0]
    for left, top, right, bottom in (PLATES.boxes() * (192, 64, 192, 64)).round().astype(int):
        rows = np.flatnonzero(image[:, left:right].any(axis=1))
        assert abs(rows.min() - top) <= 3
        assert abs(rows.max() + 1 - bottom) <= 3


def test_a_plate_has_its_dot_and_is_empty_round_the_boxes() -> None:
    image = draw_contents(["皖A88888"], PLATES, size=(140, 440), looks=[0])[0, ..., 0]
    assert image[70, 134] == 255
    assert not image[:20].any()
    assert not image[120:].any()


def test_free_text_spreads_over_the_image_and_fills_its_height() -> None:
    width = line_width("Hello")
    image = draw_contents(["Hello"], size=(32, width), looks=[0])[0, ..., 0]
    columns = np.flatnonzero(image.any(axis=0))
    rows = np.flatnonzero(image.any(axis=1))
    assert columns.min() <= 6
    assert columns.max() >= width - 7
    assert 22 <= rows.max() - rows.min() + 1 <= 26


def test_a_short_text_in_a_wide_image_is_not_stretched_beyond_reading() -> None:
    image = draw_contents(["Hi"], size=(32, 160), looks=[0])[0, ..., 0]
    columns = np.flatnonzero(image.any(axis=0))
    assert columns.max() - columns.min() < 1.7 * line_width("Hi")
    assert abs(columns.min() - (159 - columns.max())) <= 1


def test_a_hyphen_stays_a_hyphen() -> None:
    image = draw_contents(["-"], size=(32, line_width("-")), looks=[0])[0, ..., 0]
    assert 0 < image.any(axis=1).sum() < 8


@pytest.mark.parametrize("text", ["a", "Hello", "WWWWW", "www.shutterstock.com", "京沪"])
def test_the_width_of_a_line_is_a_multiple_of_eight_and_grows_with_the_text(text: str) -> None:
    width = line_width(text)
    assert width % 8 == 0
    assert width <= line_width(text + "n") <= 256


def test_the_width_of_a_line_scales_with_its_height() -> None:
    assert abs(line_width("Hello", 64) - 2 * line_width("Hello", 32)) <= 8


def test_a_text_too_long_for_a_line_is_refused_with_the_limit() -> None:
    assert line_width("n" * 16) == 256
    with pytest.raises(LabelError, match="256 pixels wide at height 32"):
        line_width("n" * 60)


def test_a_text_too_long_for_its_image_is_refused() -> None:
    with pytest.raises(LabelError, match="got 32"):
        draw_contents(["Wonderful"], size=(32, 32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "spaces at its ends"),
        (" a", "spaces at its ends"),
        ("a\tb", "position 2.*printable"),
        ("e\u0301t", "position 2.*combining"),
        ("a\u200db", "position 2.*invisible"),
        ("\u05e9\u05dc", "position 1.*right-to-left"),
        ("ab\U000e1234", "position 3"),
        ("a\U0001f600", "position 2.*no glyph"),
    ],
)
def test_a_text_that_would_come_out_wrong_is_refused(text: str, message: str) -> None:
    with pytest.raises(GlyphError, match=message):
        check_line(text)
    with pytest.raises(GlyphError):
        draw_contents(["fine", text], size=(32, 96))


@pytest.mark.parametrize("height", [24, 32, 48, 64])
def test_the_narrowest_texts_keep_their_width(height: int) -> None:
    for text in "ilI|!(,Jf1":
        drawn = draw_contents([text], size=(height, line_width(text, height)), looks=[0])[0, ..., 0]
        roomy = draw_contents([text], size=(height, 4 * height), looks=[0])[0, ..., 0]
        widths = [image.any(axis=0).sum() for image in (drawn, roomy)]
        assert widths[0] > 0.4 * widths[1], f"{text}: given room it is at most 1.6 times as wide"


def test_a_very_long_text_is_not_told_whole() -> None:
    with pytest.raises(GlyphError, match="…") as refused:
        check_line("a" * 100_000 + "\t")
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("text", ["Caf\u0e01", "ab\U000e1234", "a\u3000b"])
def test_what_no_font_draws_is_refused_with_what_the_writer_of_a_text_can_do(text: str) -> None:
    with pytest.raises(GlyphError, match="; leave it out or write another character") as refused:
        check_line(text)
    assert "class" not in str(refused.value)
    assert "font file" not in str(refused.value)


def test_a_text_that_the_layout_does_not_allow_is_refused() -> None:
    with pytest.raises(LabelError, match="position 2"):
        draw_contents(["京I12345"], PLATES, size=(32, 96))


@pytest.mark.parametrize("place", [0, 3, 6])
def test_an_empty_place_of_a_plate_has_no_ink_and_the_others_keep_theirs(place: int) -> None:
    text = "京A12345"
    gap = text[:place] + " " + text[place + 1 :]
    layout = PLATES.with_gaps()
    full, less = draw_contents([text, gap], layout, size=(64, 192), looks=[0, 0])[..., 0]
    boxes = (layout.boxes()[:, ::2] * 192).round().astype(int)
    for number, (left, right) in enumerate(boxes.tolist()):
        own, shown = full[:, left + 1 : right - 1], less[:, left + 1 : right - 1]
        assert own.any()
        assert not shown.any() if number == place else np.array_equal(own, shown)
    with pytest.raises(LabelError, match=f"position {place + 1}"):
        draw_contents([gap], PLATES, size=(64, 192))


def test_looks_choose_the_font_whatever_stands_beside() -> None:
    alone = draw_contents(["京A12345"], PLATES, size=(32, 96), looks=[3])
    beside = draw_contents(["沪B00000", "京A12345"], PLATES, size=(32, 96), looks=[1, 3])
    np.testing.assert_array_equal(alone[0], beside[1])
    around = draw_contents(["京A12345"], PLATES, size=(32, 96), looks=[3 + len(PLATE_FONTS)])
    np.testing.assert_array_equal(alone, around)


def test_seeds_draw_several_fonts_and_repeat_themselves() -> None:
    texts = ["京A12345"] * 20
    first = draw_contents(texts, PLATES, size=(32, 96), seed=1)
    np.testing.assert_array_equal(first, draw_contents(texts, PLATES, size=(32, 96), seed=1))
    assert len({image.tobytes() for image in first}) == len(PLATE_FONTS)


def test_a_heavier_font_draws_more_ink_zero_included() -> None:
    light, bold = Font(face="sans", weight=300), Font(face="sans", weight=800)
    images = draw_contents(["Room0"] * 2, size=(32, 96), looks=[0, 1], fonts=[light, bold])
    assert images[1].sum(dtype=int) > 1.2 * images[0].sum(dtype=int)


def test_a_character_that_a_font_file_lacks_is_drawn_by_the_built_in_one() -> None:
    serif = next(font for font in line_fonts() if font.path is not None)
    width = line_width("京A")
    mixed, plain = draw_contents(["京A"] * 2, size=(32, width), looks=[0, 1], fonts=[serif, Font()])
    assert mixed.any()
    assert not np.array_equal(mixed, plain)
