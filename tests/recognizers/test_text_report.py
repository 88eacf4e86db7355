"""What a benchmark of text reports; whole runs are in test_text_arms.py."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from augment.data.texts import TextImages
from recognizers.charset import WORDS
from recognizers.text_arms import TextCell
from recognizers.text_metrics import share_interval
from recognizers.text_report import _gain, _other

ARMS, SEEDS, WHICH = ("classical", "synthetic"), (0, 1), "pictures without a word in train"


def test_an_interval_of_a_further_test_set_is_over_its_pictures() -> None:
    pictures = np.repeat(np.arange(8), 5)
    right = pictures % 2 == 0  # words of a picture are all alike
    blank = np.zeros((8, 16, 3), np.uint8)
    words = TextImages.from_images([blank] * 40, ["ab"] * 40, groups=list(map(str, pictures)))
    run: Any = SimpleNamespace(
        draw=SimpleNamespace(others={WHICH: words}),
        charset=WORDS,
        test_sets=lambda: {WHICH: words},
    )
    read = ["ab" if one else "x" for one in right]
    nothing = np.zeros(0, np.int64)
    cells = [TextCell(arm, seed, nothing, read={WHICH: read}) for arm in ARMS for seed in SEEDS]
    told = _other(run, cells, _gain(run, cells, WHICH), WHICH)
    assert (told["n_test"], [*told["arms"]]) == (40, [*ARMS])
    low, high = share_interval(right.astype(float), np.arange(40))
    for arm in told["arms"].values():
        assert arm["mean"] == pytest.approx(0.5)
        assert arm["ci95"][0] < low < high < arm["ci95"][1]
