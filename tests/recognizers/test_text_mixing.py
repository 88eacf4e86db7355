from typing import Any

import numpy as np
import pytest

from augment.data.texts import LineShape
from augment.errors import ConfigError, LabelError
from recognizers.charset import Charset
from recognizers.text_fit import TextBatch
from recognizers.text_mixing import LabelledLines, TextRecipe, augment_lines, mixed_lines

CHARSET = Charset("abc")
SHAPE = LineShape(height=16, least_width=16, most_width=48, channels=1)


def plain(level: int, width: int, texts: str) -> LabelledLines:
    """Lines of one gray level, one for each text of a comma-separated list."""
    words = texts.split(",")
    image = np.full((16, width, 1), level, np.uint8)
    return LabelledLines.stacked([image] * len(words), words, SHAPE)


SOURCES = {
    "real": plain(10, 16, "a,b"),
    "rendered": plain(100, 32, "abc"),
    "generated": plain(200, 48, "ca"),
}


def batch_of(recipe: TextRecipe, step: int = 0, **settings: Any) -> TextBatch:
    values = {"steps": 10, "batch_size": 8, "seed": 1, "pooled": 1} | settings
    return mixed_lines(recipe, SOURCES, CHARSET, **values)(step)


def levels(batch: TextBatch) -> list[int]:
    return sorted(batch.lines.pixels[:, 0, 0, 0].tolist())


def test_a_batch_holds_each_source_in_its_share_with_its_texts() -> None:
    batch = batch_of(TextRecipe(rendered=0.5, generated=0.25, augmentation="none"))
    assert levels(batch) == [10] * 2 + [100] * 4 + [200] * 2
    written = {10: {"a", "b"}, 100: {"abc"}, 200: {"ca"}}
    widths = {10: 16, 100: 32, 200: 48}
    for pixels, width, row in zip(*batch.lines, batch.targets, strict=True):
        level = int(pixels[0, 0, 0])
        assert CHARSET.decode(row) in written[level]
        assert width == widths[level]


def test_batches_drawn_together_hold_what_was_drawn_parted_by_width() -> None:
    recipe = TextRecipe(rendered=0.5, generated=0.25, augmentation="none")
    stream = mixed_lines(recipe, SOURCES, CHARSET, steps=16, batch_size=8, seed=1, pooled=4)
    batches = [stream(step) for step in range(8)]
    for pool in (batches[:4], batches[4:]):
        assert [len(batch.targets) for batch in pool] == [8] * 4
        assert sum(levels(batch).count(10) for batch in pool) == 8
        widest = sorted(int(batch.lines.widths.max()) for batch in pool)
        assert widest == [16, 32, 32, 48]  # 8 lines of 16 pixels, 16 of 32, 8 of 48
    for batch in batches:
        for pixels, width, row in zip(*batch.lines, batch.targets, strict=True):
            level = int(pixels[0, 0, 0])
            assert (level, width) in {(10, 16), (100, 32), (200, 48)}
            assert CHARSET.decode(row) in {10: ("a", "b"), 100: ("abc",), 200: ("ca",)}[level]
    assert [batch.lines.widths[0] for batch in batches[:4]] != [
        batch.lines.widths[0] for batch in batches[4:]
    ], "the narrowest must not always come first"
    np.testing.assert_array_equal(stream(5).lines.pixels, batches[5].lines.pixels)


def test_lines_of_one_width_are_drawn_batch_by_batch() -> None:
    sources = {"real": plain(10, 16, "a,b"), "rendered": plain(100, 16, "c")}
    recipe = TextRecipe(rendered=0.5)
    streams = [
        mixed_lines(recipe, sources, CHARSET, steps=9, batch_size=8, seed=1, pooled=pooled)
        for pooled in (1, 8)
    ]
    for step in range(9):
        alone, pooled = (stream(step) for stream in streams)
        np.testing.assert_array_equal(alone.lines.pixels, pooled.lines.pixels)
        np.testing.assert_array_equal(alone.targets, pooled.targets)


def test_generated_lines_beyond_the_most_are_left_out() -> None:
    sources = SOURCES | {
        "generated": LabelledLines.stacked(
            [np.full((16, 48, 1), level, np.uint8) for level in (200, 210, 220)], "abc", SHAPE
        )
    }
    recipe = TextRecipe(generated=1.0, augmentation="none", most_generated=2)
    stream = mixed_lines(recipe, sources, CHARSET, steps=1, batch_size=30, seed=0)
    assert set(levels(stream(0))) == {200, 210}
    with pytest.raises(ConfigError, match="most_generated must be >= 0"):
        TextRecipe(most_generated=-1)


def test_joint_mixing_ends_where_only_real_lines_are_wanted() -> None:
    recipe = TextRecipe(rendered=0.5, real_only_after=0.8, augmentation="none")
    assert levels(batch_of(recipe, 7)) == [10] * 4 + [100] * 4
    assert levels(batch_of(recipe, 8)) == [10] * 8


def test_synthetic_first_shows_real_lines_afterwards_only() -> None:
    recipe = TextRecipe(rendered=0.5, generated=0.5, real_only_after=0.6, augmentation="none")
    assert recipe.real == 0
    assert levels(batch_of(recipe, 5)) == [100] * 4 + [200] * 4
    assert levels(batch_of(recipe, 6)) == [10] * 8


def test_batches_depend_on_seed_and_step_alone() -> None:
    recipe = TextRecipe(rendered=0.5)
    first, again = batch_of(recipe, 3), batch_of(recipe, 3)
    np.testing.assert_array_equal(first.lines.pixels, again.lines.pixels)
    np.testing.assert_array_equal(first.targets, again.targets)
    for other in (batch_of(recipe, 4), batch_of(recipe, 3, seed=2)):
        assert not np.array_equal(first.lines.pixels, other.lines.pixels)


def test_lines_with_rare_characters_come_more_often_where_asked() -> None:
    sources = {"real": plain(10, 16, "a,a,a,a,a,a,a,ab")}

    def share_with_b(power: float) -> float:
        recipe = TextRecipe(augmentation="none", towards_rare=power)
        stream = mixed_lines(recipe, sources, CHARSET, steps=1, batch_size=800, seed=0)
        return float((stream(0).targets == 2).any(axis=1).mean())

    assert share_with_b(0.0) == pytest.approx(1 / 8, abs=0.04)
    assert share_with_b(1.0) == pytest.approx(1 / (1 + 7 / 8), abs=0.06)


def test_augmentation_stays_within_a_lines_own_width() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (16, width, 1)).astype(np.uint8) for width in (16, 48, 16)]
    lines = SHAPE.stack(images)
    before = lines.pixels.copy()
    augmented = augment_lines(lines, "strong", seed=5)
    np.testing.assert_array_equal(lines.pixels, before)
    assert not np.array_equal(augmented.pixels[0, :, :16], before[0, :, :16])
    for row in (0, 2):
        np.testing.assert_array_equal(
            augmented.pixels[row, :, 16:], augmented.pixels[row, :, 15:16].repeat(32, axis=1)
        )
    alone = augment_lines(SHAPE.stack([images[1]]), "strong", seed=5)
    np.testing.assert_array_equal(alone.pixels[0], augmented.pixels[1])


def test_no_strength_for_lines_mirrors_them() -> None:
    ramp = np.tile(np.arange(48, dtype=np.uint8) * 5, (16, 1))[:, :, None]
    lines = SHAPE.stack([ramp] * 4)
    for strength in ("none", "light", "strong"):
        for seed in range(12):
            pixels = augment_lines(lines, strength, seed).pixels.astype(float)
            assert (
                pixels[:, :, 32:].mean(axis=(1, 2, 3)) > pixels[:, :, :16].mean((1, 2, 3))
            ).all()


def test_a_share_without_its_source_is_refused() -> None:
    only_real = {"real": SOURCES["real"]}
    with pytest.raises(ConfigError, match="generated"):
        mixed_lines(TextRecipe(generated=0.5), only_real, CHARSET, steps=1, batch_size=4, seed=0)


def test_texts_outside_the_alphabet_are_refused_before_training() -> None:
    with pytest.raises(LabelError, match="'d'"):
        mixed_lines(
            TextRecipe(), {"real": plain(1, 16, "a,d")}, CHARSET, steps=1, batch_size=4, seed=0
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"rendered": -0.1},
        {"rendered": 0.6, "generated": 0.6},
        {"real_only_after": 1.5},
        {"towards_rare": -1.0},
    ],
)
def test_recipes_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"must be"):
        TextRecipe(**settings)


def test_a_recipe_tells_what_is_not_the_default() -> None:
    assert str(TextRecipe()) == "default"
    assert str(TextRecipe(rendered=0.5, augmentation="light")) == "rendered=0.5,augmentation=light"
