from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.line_rendering import LineRenderer
from augment.data.texts import Lines, LineShape, TextImages
from augment.errors import DataError
from augment.images import Pixels
from recognizers import line_fidelity, text_training
from recognizers.ctc import Readings
from recognizers.fit import Budget
from recognizers.line_fidelity import (
    LineJudge,
    format_line_table,
    nearest_grid,
    style_grid,
)
from recognizers.text_metrics import share_interval

SHAPE = LineShape(least_width=96, most_width=96)


LEARNED = "京A11111", "京A77777"
"""Texts of the training lines, and of some of those held out."""
NEW = "京A17171", "京A71717"
"""Texts of the other held-out lines."""


def plates(count: int, seed: int, texts: Sequence[str] = LEARNED) -> TextImages:
    """Rendered plates of few texts, each a group by itself."""
    layout = load_layout("plates-cn")
    rng = np.random.default_rng(seed)
    texts = rng.choice(texts, count).tolist()
    images = list(LineRenderer(layout)(texts, seed, (32, 96)))
    return TextImages.from_images(images, texts, groups=[str(i) for i in range(count)])


SET_FIGURES = (
    "read", "characters", "kid_thousandfold", "precision", "recall", "density", "coverage"
)  # fmt: skip
"""What a row says of its lines as a set."""


class Planted:
    """Stands for a generator: gives the images it is handed, one after the other."""

    def __init__(self, images: list[Pixels], digest: str) -> None:
        self.images, self.info = images, SimpleNamespace(data={"digest": digest})

    def draw_texts(self, texts: Any, indices: Any, seed: int, style: Any = None) -> Any:
        return SimpleNamespace(images=[self.images[i % len(self.images)] for i in indices])

    def style(self, *, ids: list[int]) -> int:
        return ids[0]


@pytest.fixture(scope="module")
def data() -> LineData:
    return LineData.select(plates(60, 0), load_layout("plates-cn"), SHAPE)


@pytest.fixture(scope="module")
def judge(data: LineData) -> LineJudge:
    held_out = plates(48, 1, (*LEARNED, *NEW))
    return LineJudge(data, held_out, Budget(steps=3, batch_size=16))


@pytest.fixture
def reads_right(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, str]:
    """Recognizers read what they are told that a line says, and nothing on other lines."""
    says: dict[bytes, str] = {}

    def read(model: Any, lines: Lines) -> Readings:
        texts = [says.get(line.tobytes(), "") for line in lines.pixels]
        return Readings(texts, np.ones(len(texts), np.float32))

    monkeypatch.setattr(line_fidelity, "read_lines", read)
    return says


def test_copies_of_training_lines_are_found_and_their_texts_read(
    judge: LineJudge, data: LineData, reads_right: dict[bytes, str]
) -> None:
    images = data.texts.images()
    reads_right |= {i.tobytes(): t for i, t in zip(images, data.texts.texts, strict=True)}
    copies: Any = Planted(images, data.digest())
    row = judge.row("copies", copies, len(images))
    shown = [own == text for own, text in zip(data.texts.texts, judge.other.texts, strict=False)]
    assert (row.lines, row.drawn) == (len(judge.other), len(images))
    assert 0 < row.read == np.mean(shown) < 1
    assert row.near_copies == 1.0
    assert row.attack is not None
    assert row.attack.auc > 0.95
    assert row.teaches == 0.0, "of the held-out lines nothing was told"


def test_lines_like_real_ones_stand_beside_the_other_half(
    judge: LineJudge, data: LineData, reads_right: dict[bytes, str]
) -> None:
    other = judge.other
    reads_right |= {i.tobytes(): t for i, t in zip(other.images(), other.texts, strict=True)}
    real = judge.real_row()
    assert (real.read, real.characters) == (1.0, 1.0)
    new = [text in NEW for text in other.texts]
    assert real.teaches == pytest.approx(sum(new) / len(judge.tested))
    texts = [other.texts[i % len(other)] for i in range(40)]
    fresh: Any = Planted(list(LineRenderer(data.layout)(texts, 5, (32, 96))), "other")
    flat: Any = Planted([np.full((32, 96, 3), 128, np.uint8)], "other")
    row, worst = judge.row("fresh", fresh, 40), judge.row("flat", flat, 1)
    assert (row.drawn, worst.drawn) == (40, len(other)), "at least one of each text"
    assert row.attack is None, "it was trained on other lines"
    assert row.near_copies < 0.2
    assert row.kid_thousandfold < worst.kid_thousandfold
    assert row.coverage > worst.coverage
    table = format_line_table([real, row])
    assert "| real, held out | 24 | 100.0% (86.2% to 100.0%) |" in table
    assert "trained on others" in table


def test_a_perfect_generator_scores_as_real_lines_do_however_many_it_draws(
    judge: LineJudge, data: LineData
) -> None:
    real, count = judge.real_row(), len(judge.other)
    texts = [judge.other.texts[i % count] for i in range(5 * count)]
    more = list(LineRenderer(data.layout)(texts[count:], 7, (32, 96)))
    perfect: Any = Planted([*judge.other.images(), *more], "other")
    row = judge.row("perfect", perfect, 5 * count)
    assert (row.lines, row.drawn) == (real.lines, 5 * count)
    for figure in SET_FIGURES:
        assert getattr(row, figure) == getattr(real, figure), figure
    assert row.near_copies == pytest.approx(real.near_copies, abs=0.1)
    assert (row.learned, row.tested) == (real.learned, real.tested)
    table = format_line_table([real, row])
    assert f"| {count} | " in table
    assert f"| {5 * count} | " in table
    assert f"%) of {len(judge.tested)} |" in table


def test_a_missing_frechet_distance_is_explained_under_the_table(judge: LineJudge) -> None:
    row = judge.real_row()
    few = "24 images do not determine a covariance in 256 dimensions, so there is no FID; read KID."
    assert (row.fid, row.note) == (None, few)
    enough = replace(row, fid=1.234, note=None)
    told = format_line_table([enough, row, row]).splitlines()
    place = told[0].split(" | ").index("FID")
    assert [line.split(" | ")[place] for line in told[2:5]] == ["1.23", "–", "–"]
    assert told[5:] == ["", few]
    assert format_line_table([enough]).count("\n") == 3


def test_shares_have_their_interval_over_groups_of_held_out_lines(
    judge: LineJudge, reads_right: dict[bytes, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = judge.other
    images = other.images()[: len(other) // 2]
    reads_right |= {i.tobytes(): t for i, t in zip(images, other.texts, strict=False)}
    row = judge.real_row()
    right = np.arange(len(other)) < len(images)
    assert (row.read, row.read_ci95) == (0.5, share_interval(right * 1.0, other.groups))
    low, high = row.teaches_ci95
    assert 0 < low < row.teaches < high < 1
    two = right.astype(np.str_)  # each group is read as a whole
    monkeypatch.setattr(judge, "other", replace(other, groups=two))
    assert judge.real_row().read_ci95 == share_interval(right * 1.0, two) != row.read_ci95


def test_held_out_lines_of_one_group_cannot_be_parted(data: LineData) -> None:
    alone = plates(4, 2)
    one = alone.subset([0])
    with pytest.raises(DataError, match="two groups or more, got 1"):
        LineJudge(data, one, Budget())


def test_pupils_learn_the_same_texts_and_are_tested_on_others(
    judge: LineJudge, data: LineData, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons, tested = [], []
    mixed_lines, read_lines = text_training.mixed_lines, line_fidelity.read_lines

    def mixed(recipe: Any, sources: Any, *given: Any, **named: Any) -> Any:
        lessons.append(sources["real"])
        return mixed_lines(recipe, sources, *given, **named)

    def read(model: Any, lines: Lines) -> Readings:
        tested.append(lines)
        return read_lines(model, lines)

    monkeypatch.setattr(text_training, "mixed_lines", mixed)
    monkeypatch.setattr(line_fidelity, "read_lines", read)
    fresh = LineJudge(data, judge.held_out, judge.budget)
    fresh.real_row()
    drawn: Any = Planted(data.texts.images(), data.digest())
    fresh.row("drawn", drawn, 30)
    real, generated = lessons
    assert real.texts == generated.texts == data.texts.texts
    assert set(fresh.tested.texts) == set(NEW)
    assert {*real.texts, *generated.texts}.isdisjoint(fresh.tested.texts)
    new = sum(text in NEW for text in judge.held_out.texts)
    assert [len(lines.widths) for lines in tested[1::2]] == [new, new]


def test_texts_that_a_generator_cannot_write_are_neither_taught_nor_compared(
    data: LineData,
) -> None:
    held_out = plates(48, 1, (*LEARNED, *NEW))
    unwritten = {LEARNED[0], NEW[0]}
    judge = LineJudge(data, held_out, Budget(), writes=lambda text: text not in unwritten)
    assert set(judge.lessons.texts) == set(LEARNED) - unwritten
    assert set(judge.held_out.texts).isdisjoint(unwritten)
    assert set(judge.tested.texts) == set(NEW) - unwritten
    with pytest.raises(DataError, match="that the generators can write, got none among 60"):
        LineJudge(data, held_out, Budget(), writes=lambda text: text in NEW)


def test_letters_in_another_case_are_no_new_text() -> None:
    layout, shape = load_layout("words"), LineShape()
    images = [np.full((32, 64, 3), value, np.uint8) for value in (10, 90, 170)]
    train = LineData.select(TextImages.from_images(images[:2], ["sun", "Tin"]), layout, shape)
    held_out = TextImages.from_images(images, ["SUN", "nut", "tin"])
    judge = LineJudge(train, held_out, Budget())
    assert judge.tested.texts == ("nut",)
    with pytest.raises(DataError, match="texts that no training line has, got none among 2"):
        LineJudge(train, held_out.subset([0, 2]), Budget())


def test_grids_have_a_row_a_style_and_a_pair_a_line(data: LineData) -> None:
    images = data.texts.images()
    planted: Any = Planted(images, "")
    assert style_grid(planted, ["a", "b", "c"], [0, 4]).shape[0] >= 2 * 32
    assert nearest_grid(images[:8], images).shape[1] >= 8 * 96
