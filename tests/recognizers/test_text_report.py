"""What a benchmark of text reports; whole runs are in test_text_arms.py."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from augment.data.texts import TextImages
from recognizers.charset import WORDS
from recognizers.text_arms import TextCell
from recognizers.text_metrics import share_interval
from recognizers.text_report import _gain, _other, format_text_scores

ARMS, SEEDS, WHICH = ("classical", "synthetic"), (0, 1), "pictures without a word in train"


def run_on(words: TextImages, *, ungrouped: bool) -> Any:
    return SimpleNamespace(
        draw=SimpleNamespace(others={WHICH: words}),
        scenario=SimpleNamespace(ungrouped={WHICH} if ungrouped else set()),
        charset=WORDS,
        test_sets=lambda: {WHICH: words},
    )


def test_a_test_set_of_unknown_groups_gets_no_interval_and_no_verdict() -> None:
    """Words of one photograph would count as independent."""
    words = TextImages.from_images([np.zeros((8, 16, 3), np.uint8)] * 4, ["ab"] * 4)
    nothing, read = np.zeros(0, np.int64), ["ab", "x", "ab", "ab"]
    cells = [TextCell(arm, seed, nothing, read={WHICH: read}) for arm in ARMS for seed in SEEDS]
    run = run_on(words, ungrouped=True)
    found = _other(run, cells, _gain(run, cells, WHICH), WHICH)
    assert {arm: share["ci95"] for arm, share in found["arms"].items()} == dict.fromkeys(ARMS)
    assert found.keys() == {"n_test", "arms", "baseline"}
    lines = format_text_scores({"scores": {}, "others": {WHICH: found}}).splitlines()
    assert lines[-1].split() == ["synthetic", "75.00", "%"]


def test_an_interval_of_a_further_test_set_is_over_its_pictures() -> None:
    pictures = np.repeat(np.arange(8), 5)
    right = pictures % 2 == 0  # words of a picture are all alike
    blank = np.zeros((8, 16, 3), np.uint8)
    words = TextImages.from_images([blank] * 40, ["ab"] * 40, groups=list(map(str, pictures)))
    run = run_on(words, ungrouped=False)
    read = ["ab" if one else "x" for one in right]
    nothing = np.zeros(0, np.int64)
    cells = [TextCell(arm, seed, nothing, read={WHICH: read}) for arm in ARMS for seed in SEEDS]
    told = _other(run, cells, _gain(run, cells, WHICH), WHICH)
    assert (told["n_test"], [*told["arms"]]) == (40, [*ARMS])
    low, high = share_interval(right.astype(float), np.arange(40))
    for arm in told["arms"].values():
        assert arm["mean"] == pytest.approx(0.5)
        assert arm["ci95"][0] < low < high < arm["ci95"][1]
