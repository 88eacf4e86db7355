from dataclasses import replace

import numpy as np
import pytest

from augment.config import with_overrides
from augment.data.layouts import Layout, load_layout
from augment.data.line_pairs import LineData
from augment.data.lines import draw_contents, line_width
from augment.data.texts import LineShape, TextImages
from augment.generators.line_saae import line_folds, shape_for
from recognizers import text_training
from recognizers.line_readers import charset_of, fit_line_reader
from recognizers.text_arms import TextPlan

WORDS = load_layout("words")
SAID = ("Open", "COFFEE", "Main Street", "illlll", "Hotel", "Maple")


@pytest.fixture(scope="module")
def words() -> LineData:
    return lines_of(SAID, WORDS, shape_for(WORDS))


@pytest.fixture(scope="module")
def plan(tiny_text_plan: TextPlan) -> TextPlan:
    return with_overrides(tiny_text_plan, ["reader_band=[0.1, 1.0]"])


def lines_of(texts: tuple[str, ...], layout: Layout, shape: LineShape) -> LineData:
    images = [
        np.repeat(draw_contents([text], layout, size=(32, line_width(text)), looks=[0])[0], 3, 2)
        for text in texts
    ]
    return LineData.select(TextImages.from_images(images, texts), layout, shape)


def test_free_text_is_read_in_one_case_and_plates_as_they_are(
    words: LineData, some_plates: TextImages
) -> None:
    assert charset_of(words).training == "0123456789abcdefghijklmnopqrstuvwxyz"
    plates = load_layout("plates-cn")
    data = LineData.select(some_plates, plates, shape_for(plates))
    assert charset_of(data).training == plates.alphabet


def test_members_never_see_their_fold_and_all_see_rendered_lines(
    words: LineData, plan: TextPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    mixed = text_training.mixed_lines

    def spy(recipe, sources, *given, **how):
        seen.append({name: set(source.texts) for name, source in sources.items()})
        return mixed(recipe, sources, *given, **how)

    monkeypatch.setattr(text_training, "mixed_lines", spy)
    reader = fit_line_reader(words, plan, 3)
    folds = line_folds(words)
    assert len(reader.members) == len(seen) == 2
    said = ["".join(text.split()) for text in words.texts.texts]
    for fold, sources in enumerate(seen):
        assert sources["real"] == {t for t, f in zip(said, folds, strict=True) if f != fold}
        assert sources["rendered"]
    assert reader.band == (0.1, 1.0)
    assert reader.shape.most_width == 256, "room for the longest line that may be asked for"


def test_the_same_seed_trains_the_same_reader(words: LineData, plan: TextPlan) -> None:
    images = words.images[:3]
    first, again, other = (fit_line_reader(words, plan, seed) for seed in (1, 1, 2))
    texts = words.texts.texts[:3]
    ours, same = first.judge(images, texts), again.judge(images, texts)
    np.testing.assert_array_equal(ours.confidences, same.confidences)
    assert (ours.confidences != other.judge(images, texts).confidences).any()


def test_one_line_and_a_height_that_no_recognizer_has_will_do(plan: TextPlan) -> None:
    data = lines_of(("Open",), WORDS, LineShape(20, 32, 160))
    reader = fit_line_reader(data, plan, 0)
    assert len(reader.members) == 1
    assert reader.shape.height == 16
    assert reader.judge(data.images, ["Open"]).confidences.shape == (1,)


def test_the_readers_recipe_budget_and_recognizer_are_the_plans(
    words: LineData, plan: TextPlan
) -> None:
    wide = replace(plan, recognizer=replace(plan.recognizer, hidden=6))
    assert fit_line_reader(words, wide, 0).members[0].config.hidden == 6
