from dataclasses import replace

import numpy as np
import pytest
import torch

from augment.data.layouts import load_layout
from augment.data.line_pairs import (
    NO_CHARACTER,
    LineData,
    LinePairs,
    LinePairsConfig,
    character_boxes,
    other_text,
    place_contents,
)
from augment.data.line_poses import sample_boxes
from augment.data.lines import draw_contents, line_width
from augment.data.texts import LineShape, TextImages
from augment.errors import ConfigError, DataError, GlyphError
from augment.images import resize_image

PLATES, WORDS = load_layout("plates-cn"), load_layout("words")
PLATE_TEXTS = ("京A12345", "浙F8GH07", "苏E5K6L9", "浙B00001")
WORD_TEXTS = ("Open", "COFFEE", "no", "Street", "to", "Hotel")


def written(texts, layout, widths) -> TextImages:
    """Lines as the renderer draws them, white on blue."""
    images = []
    for text, width in zip(texts, widths, strict=True):
        ink = draw_contents([text], layout, size=(32, width), looks=[1])[0]
        ground = np.full((32, width, 3), (20, 60, 120), np.uint8)
        images.append(np.maximum(ground, ink))
    return TextImages.from_images(images, texts, splits=["train"] * len(texts))


def test_a_layout_with_a_character_that_nobody_draws_is_refused_before_training() -> None:
    """Such a character may come up at any step, as the text of an unpaired line."""
    rare = replace(WORDS, alphabets={"any": "ABאb"})
    with pytest.raises(GlyphError, match=r"alphabet any: .*right-to-left"):
        LineData.select(written(("AB", "BA"), WORDS, (48, 48)), rare, LineShape(32, 24, 160))


@pytest.fixture(scope="module")
def plates() -> LineData:
    lines = written(PLATE_TEXTS, PLATES, [96] * 4)
    return LineData.select(lines, PLATES, LineShape(32, 96, 96))


@pytest.fixture(scope="module")
def words() -> LineData:
    lines = written(WORD_TEXTS, WORDS, map(line_width, WORD_TEXTS))
    return LineData.select(lines, WORDS, LineShape(32, 24, 160))


def make(data: LineData, **config) -> LinePairs:
    return LinePairs(data, LinePairsConfig(**config), batch_size=8, seed=1)


def test_lines_that_the_layout_cannot_write_are_left_out_and_told(caplog):
    lines = written(PLATE_TEXTS, PLATES, [96] * 4)
    lines = replace(lines, texts=("京A12345", "WJ01234", "A", "浙B00001"))
    data = LineData.select(lines, PLATES, LineShape(32, 96, 96))
    assert data.texts.texts == ("京A12345", "浙B00001")
    assert data.left_out.texts == ("WJ01234", "A")
    [told] = caplog.messages
    assert "2 of 4 lines are left out" in told
    assert "(plates-cn: position 1 must be one of " in told
    assert "'WJ01234', 'A'" in told
    caplog.clear()
    assert not len(LineData.select(data.texts, PLATES, LineShape(32, 96, 96)).left_out)
    assert not caplog.messages
    with pytest.raises(DataError, match=r"got none among 4 .*has 7 characters, got 1 in 'x'; cor"):
        LineData.select(replace(lines, texts=("x",) * 4), PLATES, LineShape(32, 96, 96))


def test_images_that_are_no_line_are_left_out_by_name(caplog):
    lines = written(PLATE_TEXTS, PLATES, [96] * 4)
    sizes = [(32, 96), (5, 2000), (7, 96), (8, 128)]
    images = [resize_image(image, size) for image, size in zip(lines.images(), sizes, strict=True)]
    odd = TextImages.from_images(images, PLATE_TEXTS, splits=["train"] * 4)
    data = LineData.select(odd, PLATES, LineShape(32, 96, 96))
    assert data.texts.names == ("line000000.png", "line000003.png")
    assert data.left_out.names == ("line000001.png", "line000002.png")
    [told] = caplog.messages
    assert "2 of 4 lines are left out" in told
    assert "line000001.png must have sides of at least 8 pixels" in told
    assert "got 2000×5" in told
    with pytest.raises(DataError, match=r"none among 1 .*line000001.png must .*got 2000×5"):
        LineData.select(odd.subset([1]), PLATES, LineShape(32, 96, 96))


def test_classes_are_the_layouts_alphabet_and_what_the_lines_say(plates):
    assert set(plates.classes) == set(PLATES.alphabet)
    spoken = written(("Öl",), WORDS, [48])
    data = LineData.select(spoken, WORDS, LineShape(32, 24, 160))
    assert set(data.classes) == set(WORDS.alphabet) | {"Ö"}


@pytest.mark.parametrize("kind", ["plates", "words"])
def test_a_batch_is_a_function_of_step_and_worker(kind, request):
    data = request.getfixturevalue(kind)
    first, again = make(data), make(data)
    for ours, theirs in zip(first(3, 1, 2), again(3, 1, 2), strict=True):
        assert torch.equal(ours, theirs)
        assert len(ours) == 4
    assert not torch.equal(first(3, 0, 2).new_labels, first(3, 1, 2).new_labels)


def test_all_workers_see_lines_of_one_width(words):
    pairs = make(words)
    widths = set()
    for step in range(12):
        sizes = {pairs(step, rank, 2).images.shape[3] for rank in range(2)}
        assert len(sizes) == 1
        widths |= sizes
    assert len(widths) > 1


def test_the_first_line_of_a_batch_may_be_any_line_of_its_width() -> None:
    """Were it drawn by the number that chose the width, it would come from a slice of them."""
    texts = [first + second for first in "aceno" for second in "xvszu"]
    lines = written(texts, WORDS, [32, 48, 64, 80, 96] * 5)
    pairs = make(LineData.select(lines, WORDS, LineShape(32, 24, 160)), align=False, balance=0.0)
    spelt = {text: [pairs.number[c] for c in text] for text in texts}
    firsts = [pairs(step).labels[0].tolist() for step in range(400)]
    assert {text for text in texts if spelt[text] in firsts} == set(texts)


def test_labels_spell_the_line_and_the_other_text(words):
    batch = make(words)(0)
    for labels in (batch.labels, batch.new_labels):
        for row in labels.tolist():
            text = [label for label in row if label != NO_CHARACTER]
            assert row[: len(text)] == text  # filled up at the end only
    said = {"".join(words.classes[n] for n in row if n != NO_CHARACTER) for row in batch.labels}
    assert said <= set(WORD_TEXTS)
    assert not torch.equal(batch.labels, batch.new_labels)


def test_ink_lies_on_the_strokes_of_its_image(plates):
    batch = make(plates)(0)
    bright = (batch.images.mean(dim=1) > 0.2).float()
    ink = (batch.contents[:, 0] > 0.5).float()
    overlap = (bright * ink).sum() / torch.maximum(bright, ink).sum()
    assert overlap > 0.85


@pytest.mark.parametrize("kind", ["plates", "words"])
def test_boxes_hold_the_ink_of_their_characters(kind, request):
    batch = make(request.getfixturevalue(kind))(1)
    for contents, boxes, labels in (
        (batch.contents, batch.boxes, batch.labels),
        (batch.new_contents, batch.new_boxes, batch.new_labels),
    ):
        crops = sample_boxes(contents[:, :1], boxes, (24, 16))[labels != NO_CHARACTER]
        assert (crops.amax(dim=(1, 2, 3)) > 0.5).all()


def test_free_text_is_shared_out_by_the_width_of_its_letters():
    ink = draw_contents(["Wi"], WORDS, size=(32, 40), looks=[0])[0]
    wide, narrow = character_boxes("Wi", WORDS, ink, 0)[:, 0, 0].tolist()
    assert wide > 2 * narrow


def test_area_tells_where_the_rendered_picture_lies():
    inks = np.zeros((1, 32, 96, 1), np.uint8)
    half = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    area = place_contents(inks, half, torch.ones(1))[0, 1]
    assert area[:, 28:68].min() == 1
    assert area[:, :20].max() == area[:, -20:].max() == -1


def test_dark_ink_is_negative_and_bright_ink_positive():
    inks = draw_contents(["Open"] * 2, WORDS, size=(32, 64), looks=[0, 0])
    upright = torch.eye(2, 3).repeat(2, 1, 1)
    bright, dark = place_contents(inks, upright, torch.tensor([1.0, -1.0]))[:, 0]
    assert torch.equal(bright, -dark)
    assert bright.max() == 1
    assert bright.min() == 0


def test_rare_characters_are_drawn_more_often_when_balanced(plates):
    def share(balance: float) -> float:
        pairs = make(plates, balance=balance)
        return float(pairs.weights[0] / pairs.weights.sum())  # the only plate with 京, 2, 3 and 4

    assert share(0.0) == pytest.approx(0.25)
    assert share(1.0) > share(0.5) > 0.25


def test_without_align_texts_stay_where_the_layout_puts_them(plates):
    batch = make(plates, align=False)(0)
    assert (batch.contents[:, 1] == 1).all()


def test_other_texts_keep_to_the_layout_and_to_the_width():
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert PLATES.allows(other_text("京A12345", PLATES, (32, 96), rng))
        other = other_text("Hotel", WORDS, (32, 64), rng)
        assert len(other) == 5
        assert set(other) <= set(WORDS.alphabet)
    assert other_text("iiiiiiii", WORDS, (32, 24), rng) == "iiiiiiii"  # nothing else is so narrow


def test_a_balance_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="balance"):
        LinePairsConfig(balance=3.0)


def test_the_same_lines_in_another_shape_or_layout_are_other_data() -> None:
    lines = written(("京A12345", "沪B67890"), PLATES, (32, 96))
    shapes = (LineShape(32, 96, 96), LineShape(32, 112, 112))
    layouts = (PLATES, replace(PLATES, corner_radius=PLATES.corner_radius + 1))
    digests = [LineData.select(lines, one, shape).digest() for one in layouts for shape in shapes]
    assert len(set(digests)) == 4
    assert LineData.select(lines, PLATES, shapes[0]).digest() == digests[0]
