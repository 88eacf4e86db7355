from dataclasses import replace

import numpy as np
import pytest
import torch

from augment.data.content import draw_glyphs
from augment.data.datasets import LabelledImages
from augment.data.pairs import (
    FOLDS,
    ContentStylePairs,
    PairsConfig,
    folds_of,
    gray_of,
    ink_of,
)
from augment.errors import ConfigError, DataError
from augment.images import to_tensor

CLASSES = ("A", "B", "C")


@pytest.fixture(scope="module")
def data() -> LabelledImages:
    """Nine flat images; the gray level tells class and member, the group is the row of three."""
    labels = np.repeat(np.arange(3), 3)
    levels = (20 * labels + 60 * np.tile(np.arange(3), 3)).astype(np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (9, 16, 16, 1)).copy()
    return LabelledImages.from_arrays(
        images, labels, CLASSES, splits=["train"] * 9, groups=list("abcabcabc")
    )


@pytest.fixture(scope="module")
def glyphs():
    return draw_glyphs(CLASSES, (16, 16))


def make(data, glyphs, batch_size=12, **config) -> ContentStylePairs:
    return ContentStylePairs(data, glyphs, PairsConfig(**config), batch_size=batch_size, seed=1)


def test_a_batch_is_a_function_of_step_and_worker(data, glyphs):
    first, again = make(data, glyphs), make(data, glyphs)
    for ours, theirs in zip(first(3, 0, 2), again(3, 0, 2), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(first(3, 0, 2).images, first(3, 1, 2).images)
    assert len(first(3, 0, 2).labels) == 6


def test_contents_show_the_label_of_their_image(data, glyphs):
    batch = make(data, glyphs)(0)
    drawn = to_tensor(glyphs.reshape(-1, 16, 16, 1)).unflatten(0, glyphs.shape[:2])
    for content, label in zip(batch.contents, batch.labels, strict=True):
        assert any(torch.equal(content, picture) for picture in drawn[label])


def test_styles_come_from_another_image_of_the_group(data, glyphs):
    batch = make(data, glyphs, style_from="group")(0)
    images, styles = (values[:, 0, 0, 0] for values in (batch.images, batch.styles))
    member = ((images + 1) * 127.5 - 20 * batch.labels).round() // 60
    other = [{round(float(20 * label + 60 * m)) for label in range(3)} for m in member]
    for style, image, levels in zip(styles, images, other, strict=True):
        assert round(float((style + 1) * 127.5)) in levels
        assert style != image


def test_an_image_alone_in_its_group_is_its_own_style(glyphs):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), dtype=np.uint8)
    lonely = LabelledImages.from_arrays(images, np.arange(3), CLASSES, splits=["train"] * 3)
    batch = make(lonely, glyphs, style_from="group")(0)
    assert torch.equal(batch.styles, batch.images)


def test_balanced_classes_come_equally_often_however_many_images_they_have(glyphs):
    labels = np.array([0] * 50 + [1, 2])
    images = np.zeros((52, 16, 16, 1), np.uint8)
    data = LabelledImages.from_arrays(images, labels, CLASSES, splits=["train"] * 52)
    drawn = make(data, glyphs, batch_size=900, balance_classes=True)(0).labels
    assert np.bincount(drawn).min() > 240


def test_ink_is_bright_whatever_the_polarity():
    glyph = draw_glyphs(["H"], (24, 24))[0, 1]
    dark_on_light = np.repeat(255 - glyph // 2, 3, axis=2)
    light_on_dark = np.repeat(60 + glyph // 2, 3, axis=2)
    for image in (dark_on_light, light_on_dark):
        ink = ink_of(image[None])[0]
        assert ink.shape == (24, 24, 1)
        assert np.corrcoef(ink.ravel(), glyph.ravel())[0, 1] > 0.98


def test_folds_share_every_class_out_evenly():
    labels = np.array([2, 0, 2, 2, 0, 2, 1])
    folds = folds_of(labels)
    assert set(folds) == set(range(FOLDS))
    assert np.bincount(folds[labels == 2]).tolist() == [2, 2]


def test_large_sets_are_decoded_batch_by_batch(data, glyphs, monkeypatch):
    monkeypatch.setattr("augment.data.pairs.CACHE_BYTES", 100)
    lazy, cached = make(data, glyphs, example_share=1.0), None
    monkeypatch.undo()
    cached = make(data, glyphs, example_share=1.0)
    assert lazy.cached is None
    for ours, theirs in zip(lazy(5), cached(5), strict=True):
        assert torch.equal(ours, theirs)


def test_poses_fitted_when_needed_are_those_fitted_beforehand(some_digits, monkeypatch):
    shapes = draw_glyphs(some_digits.classes, some_digits.image_size)
    settings = {"align": True, "example_share": 1.0, "self_share": 1.0, "batch_size": 6}
    beforehand = make(some_digits, shapes, **settings)
    monkeypatch.setattr("augment.data.pairs.FIT_AT_ONCE", 0)
    monkeypatch.setattr("augment.data.pairs.FIT_BATCH", 8)
    forwards, backwards = (make(some_digits, shapes, **settings) for _ in range(2))
    assert not forwards.fitted.any()
    ours = [forwards(step).contents for step in range(4)]
    theirs = [backwards(step).contents for step in reversed(range(4))][::-1]
    assert 0 < forwards.fitted.sum() < len(some_digits)
    for step in range(4):
        assert torch.equal(ours[step], theirs[step])
        torch.testing.assert_close(ours[step], beforehand(step).contents, atol=1e-4, rtol=0)


def test_glyphs_of_other_classes_are_refused(data, glyphs):
    with pytest.raises(DataError, match="3 classes, got 2"):
        make(data, glyphs[:2])


@pytest.mark.parametrize("shares", [(0, 0, 0), (-1, 1, 1)])
def test_shares_that_are_no_shares_are_refused(shares):
    with pytest.raises(ConfigError):
        replace(
            PairsConfig(),
            **dict(zip(("glyph_share", "example_share", "self_share"), shares, strict=True)),
        )


def test_photographs_stand_for_classes_that_no_font_draws(data):
    none = np.empty((3, 0, 16, 16, 1), np.uint8)
    batch = make(data, none, glyph_share=0, example_share=1, examples="photograph")(0)
    levels = ((batch.contents[:, 0, 0, 0] + 1) * 127.5).round().long()
    images = ((batch.images[:, 0, 0, 0] + 1) * 127.5).round().long()
    members = {label: {20 * label + 60 * m for m in range(3)} for label in range(3)}
    for level, image, label in zip(levels.tolist(), images.tolist(), batch.labels, strict=True):
        assert level in members[int(label)]
        assert level != image, "another image of the class"


def test_colours_become_luma():
    colours = np.zeros((2, 4, 4, 3), np.uint8)
    colours[0, ..., 1], colours[1] = 255, 77
    assert np.unique(gray_of(colours)[0]).tolist() == [150]
    assert np.unique(gray_of(colours)[1]).tolist() == [77]


@pytest.mark.parametrize("settings", [{}, {"glyph_share": 0, "example_share": 1, "align": True}])
def test_photographs_go_with_neither_glyphs_nor_poses(settings):
    with pytest.raises(ConfigError, match="no font draws these"):
        PairsConfig(examples="photograph", **settings)
