from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from augment.data import content
from augment.data.content import (
    DEFAULT_FONTS,
    Font,
    book_fonts,
    check_drawable,
    draw_glyphs,
    draw_ink,
    draw_label,
)
from augment.errors import AugmentError, ConfigError, GlyphError, LabelError
from augment.images import Pixels

LABELS = ["京", "皖", "A", "8", "é", "ع", "ß", "Ω", "?"]


def ink_box(picture: Pixels) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(picture[..., 0] > 40)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("stretch", [False, True])
def test_each_label_is_drawn_inside_its_margin(label: str, stretch: bool) -> None:
    for font in DEFAULT_FONTS:
        picture = draw_label(label, (40, 32), font, margin=0.1, stretch=stretch)
        assert picture.shape == (40, 32, 1)
        assert picture.dtype == np.uint8
        top, bottom, left, right = ink_box(picture)
        assert top >= 3
        assert bottom <= 37
        assert left >= 2
        assert right <= 30
        assert picture.max() > 150


def test_labels_are_centred_and_as_large_as_fits() -> None:
    for label in ("A", "京", "H"):
        top, bottom, left, right = ink_box(draw_label(label, (48, 48), Font(), margin=0.0))
        assert abs((top + bottom) / 2 - 24) <= 1.5
        assert abs((left + right) / 2 - 24) <= 1.5
        assert max(bottom - top, right - left) >= 45


def test_all_default_fonts_draw_a_letter_and_a_hanzi_differently() -> None:
    for label in ("A", "京"):
        pictures = draw_glyphs([label], (32, 32))[0]
        distinct = {picture.tobytes() for picture in pictures}
        assert len(distinct) >= (len(DEFAULT_FONTS) if label == "A" else 4)


@pytest.mark.parametrize(("label", "face"), [("A", "sans"), ("京", "uni"), ("B", "uni")])
def test_more_weight_is_more_ink(label: str, face: str) -> None:
    amounts = [
        int(draw_label(label, (48, 48), Font(face=face, weight=weight)).sum())
        for weight in (200, 400, 600, 900)
    ]
    assert amounts == sorted(set(amounts))


def test_stretching_fills_the_box_but_not_with_a_narrow_one() -> None:
    for label in ("A", "8", "E", "京"):
        top, bottom, left, right = ink_box(
            draw_label(label, (48, 24), Font(), margin=0.0, stretch=True)
        )
        assert bottom - top >= 46
        assert right - left >= 20
    _, _, left, right = ink_box(draw_label("1", (24, 48), Font(), margin=0.0, stretch=True))
    assert right - left <= 36


def test_marks_stay_where_they_belong_on_the_line() -> None:
    comma = ink_box(draw_label(",", (48, 48), Font()))
    apostrophe = ink_box(draw_label("'", (48, 48), Font()))
    assert apostrophe[1] < comma[0]


def test_zero_has_no_slash_in_any_default_font() -> None:
    for font in DEFAULT_FONTS:
        ink, _ = draw_ink("0", font, 96)
        middle = ink[ink.shape[0] // 2, ink.shape[1] // 2]
        assert middle == 0, font


def test_composed_and_decomposed_accents_look_alike() -> None:
    composed = draw_label("é", (32, 32), Font())
    np.testing.assert_array_equal(draw_label("e\u0301", (32, 32), Font()), composed)


@pytest.mark.parametrize(
    ("label", "named"),
    [
        ("", "''"),
        ("  ", "visible characters"),
        ("\u200d", "200d"),
        ("A\n", "U\\+000A"),
        ("\x07", "U\\+0007"),
        ("\ud800", "U\\+D800"),
        ("😀", "U\\+1F600"),
        ("a😀", r"in label 'a\\U0001f600'"),
        ("ก", "ก"),
        ("\ue000", "U\\+E000"),
        ("سلام", "right-to-left"),
    ],
)
def test_a_label_that_cannot_be_drawn_is_named(label: str, named: str) -> None:
    with pytest.raises(GlyphError, match=named):
        check_drawable(label, Font())
    with pytest.raises(GlyphError, match=named):
        draw_glyphs(["A", label], (16, 16))


def test_the_name_of_a_class_that_no_font_draws_can_be_changed_or_given_a_font_file() -> None:
    with pytest.raises(GlyphError, match=r"has no glyph for ก .*; rename the class or name a font"):
        check_drawable("ก", Font())


def test_glyph_errors_are_label_errors_and_value_errors() -> None:
    assert issubclass(GlyphError, LabelError)
    assert issubclass(GlyphError, AugmentError)
    assert issubclass(GlyphError, ValueError)


def test_a_font_file_draws_its_own_letters_and_borrows_the_rest() -> None:
    serif = next(font for font in book_fonts() if "Serif" in str(font.path))
    glyphs = draw_glyphs(["A", "京"], (32, 32), [Font(), serif])
    assert not np.array_equal(glyphs[0, 0], glyphs[0, 1])
    np.testing.assert_array_equal(glyphs[1, 0], glyphs[1, 1])


def test_fonts_do_not_leak_into_each_other() -> None:
    fonts = [*book_fonts(), *DEFAULT_FONTS]
    first = [draw_label("A", (32, 32), font).tobytes() for font in fonts]
    again = [draw_label("A", (32, 32), font).tobytes() for font in reversed(fonts)]
    assert first == again[::-1]
    assert len(set(first)) == len(fonts)


def test_book_fonts_exist() -> None:
    for font in book_fonts():
        assert font.path is not None
        ImageFont.truetype(font.path)


def test_a_file_that_is_no_font_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "font.ttf"
    with pytest.raises(ConfigError, match=r"font\.ttf"):
        draw_label("A", (16, 16), Font(path=str(path)))
    path.write_bytes(b"not a font" * 100)
    with pytest.raises(ConfigError, match=r"font\.ttf"):
        draw_label("A", (16, 16), Font(path=str(path)))


@pytest.mark.parametrize("options", [{"face": "comic"}, {"weight": 50}, {"weight": 1001}])
def test_an_unknown_face_or_weight_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Font(**options)  # type: ignore[arg-type]


def test_threads_draw_what_one_thread_draws() -> None:
    fonts = [Font(face="sans", weight=weight) for weight in (200, 450, 850)]
    labels = list("ABCDEFGHIJKLMNOP")
    expected = draw_glyphs(labels, (23, 23), fonts).tobytes()
    content._put_text.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        drawn = pool.map(lambda _: draw_glyphs(labels, (23, 23), fonts).tobytes(), range(4))
    assert list(drawn) == [expected] * 4
