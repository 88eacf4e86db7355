"""Batches of images: pure functions of the step, with the shares that were asked for."""

import numpy as np
import pytest
import torch

from augment.data.batches import ImageBatches, ImagesConfig, looks_alike_mirrored, mirror
from augment.data.datasets import LabelledImages
from augment.errors import ConfigError

COUNTS = (2, 18)


@pytest.fixture
def tailed() -> LabelledImages:
    """Two images of class 0 and eighteen of class 1, each telling its number by its brightness."""
    labels = np.repeat([0, 1], COUNTS)
    images = np.zeros((20, 8, 8, 1), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None]
    images[:, :, :4] += 100  # the left half is brighter: mirrored images are told apart
    return LabelledImages.from_arrays(images, labels, ("rare", "common"))


def share_of_rare(data: LabelledImages, towards_rare: float) -> float:
    config = ImagesConfig(mirror=False, towards_rare=towards_rare)
    batches = ImageBatches(data, config, batch_size=4000, seed=0)
    return float((data.labels[batches.choose(0).rows] == 0).mean())


def test_a_batch_depends_on_its_step_worker_and_seed_alone(tailed):
    first, again = (ImageBatches(tailed, ImagesConfig(), batch_size=8, seed=3) for _ in range(2))
    first.choose(0)  # what was drawn before changes nothing
    for step, rank in ((5, 0), (5, 1), (6, 0)):
        ours, theirs = first.choose(step, rank, 2), again.choose(step, rank, 2)
        assert torch.equal(first.images(ours), again.images(theirs))
    assert not np.array_equal(first.choose(5, 0, 2).rows, first.choose(5, 1, 2).rows)


def test_workers_share_a_batch_out(tailed):
    batches = ImageBatches(tailed, ImagesConfig(), batch_size=8, seed=3)
    assert len(batches.choose(0, 0, 2).rows) == 4


def test_rare_classes_are_drawn_as_often_as_asked_for(tailed):
    assert share_of_rare(tailed, 0.0) == pytest.approx(0.1, abs=0.02)
    assert share_of_rare(tailed, 0.5) == pytest.approx(0.25, abs=0.03)
    assert share_of_rare(tailed, 1.0) == pytest.approx(0.5, abs=0.03)


def test_half_of_the_images_are_mirrored_and_none_where_that_is_off(tailed):
    config = ImagesConfig(mirror=True)
    choice = ImageBatches(tailed, config, batch_size=2000, seed=1).choose(0)
    assert choice.mirrored.mean() == pytest.approx(0.5, abs=0.05)
    config = ImagesConfig(mirror=False)
    assert not ImageBatches(tailed, config, batch_size=2000, seed=1).choose(0).mirrored.any()


def test_letters_are_not_mirrored_unasked_but_published_faces_are(tailed):
    unasked = ImageBatches(tailed, ImagesConfig(), batch_size=2000, seed=1)
    assert not unasked.choose(0).mirrored.any()
    faces = LabelledImages.from_arrays(
        tailed.images(), tailed.labels, tailed.classes, uri="lfw:faces"
    )
    published = ImageBatches(faces, ImagesConfig(), batch_size=2000, seed=1)
    assert published.choose(0).mirrored.mean() == pytest.approx(0.5, abs=0.05)
    assert not any(map(looks_alike_mirrored, ("folder:/data/chars", "digits:", "zip:a.zip")))


def test_mirroring_flips_left_and_right_of_the_chosen_ones():
    maps = np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1)
    flipped = mirror(maps, np.array([True, False]))
    assert flipped[0, :, :, 0].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert np.array_equal(flipped[1], maps[1])


def test_sets_too_large_for_memory_are_decoded_batch_by_batch(tailed, monkeypatch):
    cached = ImageBatches(tailed, ImagesConfig(), batch_size=8, seed=2)
    monkeypatch.setattr("augment.data.batches.CACHE_BYTES", 10)
    decoded = ImageBatches(tailed, ImagesConfig(), batch_size=8, seed=2)
    assert cached.cached is not None
    assert decoded.cached is None
    assert torch.equal(cached.images(cached.choose(1)), decoded.images(decoded.choose(1)))


def test_a_share_outside_its_range_is_refused():
    with pytest.raises(ConfigError, match="towards_rare"):
        ImagesConfig(towards_rare=1.1)
