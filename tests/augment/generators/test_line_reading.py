"""Lines drawn until a reader agrees, by a sampler whose lines say what they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from augment.data.layouts import load_layout
from augment.errors import ConfigError
from augment.generate import Tally
from augment.generators.line_reading import (
    CHUNK,
    FREE_CHUNK,
    CountingReader,
    Judged,
    draw_lines,
)
from augment.generators.line_sampler import LineSamples
from augment.images import Pixels


class KnownSampler:
    """Draws each sample as one pixel, its index; its style is of fold index % 2."""

    def __init__(self, layout: str = "plates-cn") -> None:
        self.layout, self.sizes = load_layout(layout), list[int]()

    def draw_texts(
        self, texts: Sequence[str], indices: np.ndarray, seed: int, **how: Any
    ) -> LineSamples:
        count = len(texts)
        self.sizes.append(count)
        return LineSamples(
            [np.full((1, 1, 1), index % 251, np.uint8) for index in indices],
            tuple(texts),
            indices,
            np.full(count, seed),
            np.zeros((count, 2), np.int64),
            np.zeros(count, np.float32),
            indices % 2,
            np.full(count, np.nan, np.float32),
        )


class KnownReader:
    """Keeps samples from ``least`` on, but of the text "never" none."""

    band = (0.0, 1.0)

    def __init__(self, least: int = 0) -> None:
        self.least, self.folds = least, list[int]()

    def judge(
        self, images: Sequence[Pixels], texts: Sequence[str], folds: Any, bands: Any = None
    ) -> Judged:
        self.folds += folds.tolist()
        levels = np.array([image.item() for image in images])
        said = np.array([text != "never" for text in texts])
        return Judged(said & (levels >= self.least), (levels / 100).astype(np.float32))


def drawn(texts: Sequence[str], **how: Any) -> tuple[list[tuple[str, int]], Tally]:
    tally, sampler = Tally(), KnownSampler()
    parts = draw_lines(sampler, texts.__getitem__, len(texts), 7, tally=tally, **how)  # type: ignore[arg-type]
    lines = [
        (text, int(index))
        for part in parts
        for text, index in zip(part.texts, part.indices, strict=True)
    ]
    return lines, tally


def test_without_a_reader_line_i_is_sample_i_of_its_text() -> None:
    lines, tally = drawn(["a", "b", "a"], chunk=2)
    assert lines == [("a", 0), ("b", 1), ("a", 2)]
    assert (tally.asked, tally.made, tally.kept, tally.dropped) == (3, 3, 3, 0)


def test_no_two_candidates_of_a_text_are_the_same_sample() -> None:
    lines, tally = drawn(["a"] * 4, reader=KnownReader(least=6), chunk=3)
    assert sorted(lines) == [("a", 6), ("a", 7), ("a", 8), ("a", 9)]
    assert (tally.made, tally.dropped) == (4 + 4 + 2, 6)


def test_free_text_whose_widths_differ_is_drawn_in_larger_chunks() -> None:
    for layout, size in (("plates-cn", CHUNK), ("words", FREE_CHUNK)):
        sampler = KnownSampler(layout)
        parts = draw_lines(sampler, lambda line: "a", FREE_CHUNK + 1, 7)  # type: ignore[arg-type]
        assert [line for part in parts for line in part.indices] == [*range(FREE_CHUNK + 1)]
        assert sampler.sizes == [size] * (FREE_CHUNK // size) + [1]


def test_what_is_short_is_told_by_text() -> None:
    lines, tally = drawn(["a", "never", "b", "never"], reader=KnownReader(), max_factor=3)
    assert [text for text, _ in lines] == ["a", "b"]
    assert tally.shortfall == {"never": 2}
    assert (tally.asked, tally.made, tally.kept) == (4, 4 + 2 + 2, 2)


def test_the_reader_hears_of_folds_and_its_confidence_is_kept() -> None:
    reader = KnownReader()
    (part,) = draw_lines(KnownSampler(), "abc".__getitem__, 3, 0, reader=reader)  # type: ignore[arg-type]
    assert reader.folds == [0, 1, 0]
    np.testing.assert_allclose(part.confidences, [0, 0.01, 0.02])
    (part,) = draw_lines(KnownSampler(), "abc".__getitem__, 3, 0)  # type: ignore[arg-type]
    assert np.isnan(part.confidences).all()


@pytest.mark.parametrize("how", [{"chunk": 0}, {"max_factor": 0}], ids=str)
def test_numbers_below_one_are_refused(how: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        drawn(["a"], **how)


def test_characters_are_counted_whose_lines_are_never_kept() -> None:
    reader = CountingReader(KnownReader())  # type: ignore[arg-type]
    lines, tally = drawn(["a1", "never", "aa"], reader=reader, max_factor=3)
    assert ([text for text, _ in lines], tally.made) == (["a1", "aa"], 5)
    assert (reader.judged["a"], reader.kept["a"]) == (2, 2)
    assert (reader.judged["v"], reader.kept["v"]) == (3, 0)
    assert set(reader.by_yield()[:4]) == set("never")
    assert set(reader.by_yield()[4:]) == set("a1")
