import numpy as np
import pytest

from augment.data.texts import LineShape
from augment.errors import DataError
from recognizers.charset import WORDS
from recognizers.fit import Budget
from recognizers.text_mixing import LabelledLines, TextRecipe
from recognizers.text_training import that_fit, train_on_lines

SHAPE = LineShape(least_width=16, most_width=48)


def lines_of(widths: list[int], texts: list[str]) -> LabelledLines:
    images = [np.zeros((32, width, 3), np.uint8) for width in widths]
    return LabelledLines.stacked(images, texts, SHAPE)


def test_lines_too_narrow_for_their_text_are_left_out() -> None:
    lines = lines_of([16, 16, 48], ["abcd", "aabb", "aabb"])
    assert that_fit(lines, WORDS).texts == ("abcd", "aabb")
    assert that_fit(lines, WORDS).lines.widths.tolist() == [16, 48]
    all_fit = lines_of([16, 48], ["abcd", "aabb"])
    assert that_fit(all_fit, WORDS) is all_fit, "nothing is copied where nothing is left out"


@pytest.mark.parametrize("empty", ["real", "rendered"])
def test_a_source_of_which_no_line_fits_is_named(empty: str) -> None:
    good, bad = lines_of([16], ["abcd"]), lines_of([16, 16], ["aabb", "aabbcc"])
    sources = {name: bad if name == empty else good for name in ("real", "rendered")}
    with pytest.raises(DataError, match=f"expected {empty} lines .*, got none of 2"):
        train_on_lines(TextRecipe(rendered=0.5), sources, WORDS, SHAPE, Budget(steps=1), seed=0)
