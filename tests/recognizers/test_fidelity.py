"""Table 1 against cases worked by hand, and a judge that knows copies when it sees them."""

import tracemalloc

import numpy as np
import pytest
import torch

from augment.data.datasets import LabelledImages
from augment.errors import DataError
from recognizers import fidelity
from recognizers.character import CharacterRecognizer
from recognizers.fidelity import (
    Judge,
    class_diversity,
    format_fidelity_table,
    inception_score,
    train_judge,
)
from recognizers.fit import Budget
from recognizers.mixing import LabelledPixels
from recognizers.privacy import NEAR

CLASSES = 4


def test_sure_and_even_readings_score_the_number_of_classes():
    assert inception_score(np.eye(5, dtype=np.float32)) == pytest.approx(5)


def test_readings_of_a_common_class_do_not_lower_the_score_of_classes():
    labels = np.repeat([0, 1, 2, 3], [97, 1, 1, 1])
    sure = np.eye(4, dtype=np.float32)[labels]
    assert inception_score(sure, labels) == pytest.approx(4, rel=1e-3)
    assert inception_score(sure) < 1.3


def test_readings_that_never_change_score_one():
    assert inception_score(np.full((7, 3), 1 / 3, np.float32)) == pytest.approx(1)
    assert inception_score(np.tile(np.eye(3, dtype=np.float32)[0], (7, 1))) == pytest.approx(1)


def test_diversity_is_the_mean_over_classes_of_one_minus_cosine():
    same, across = [[1, 0], [1, 0]], [[1, 0], [0, 1]]
    embeddings = np.array([*same, *across, [0, 1]], np.float32)
    labels = np.array([0, 0, 1, 1, 2])  # class 2 has one image and does not count
    assert class_diversity(embeddings, labels) == pytest.approx(0.5)


def test_features_that_are_not_finite_are_refused_and_not_measured():
    model = CharacterRecognizer(3, (16, 16), 1)
    torch.nn.init.constant_(next(model.parameters()), float("nan"))
    with pytest.raises(DataError, match="finite features"):
        fidelity.read_and_embed(model, np.zeros((2, 16, 16, 1), np.uint8))


def test_diversity_needs_a_class_with_two_images():
    with pytest.raises(DataError, match="at least two images"):
        class_diversity(np.eye(2, dtype=np.float32), np.array([0, 1]))


def make_people(count: int, seed: int) -> LabelledImages:
    """Blurred patterns, one a class, under noise: people who look a little different each time."""
    coarse = np.random.default_rng(0).integers(40, 216, (CLASSES, 4, 4, 3))
    faces = coarse.repeat(8, axis=1).repeat(8, axis=2)
    labels = np.arange(count) % CLASSES
    noise = np.random.default_rng(seed).integers(-30, 31, (count, 32, 32, 3))
    return LabelledImages.from_arrays(
        (faces[labels] + noise).astype(np.uint8), labels, [f"person {c}" for c in range(CLASSES)]
    )


@pytest.fixture(scope="module")
def people() -> tuple[LabelledImages, LabelledImages]:
    return make_people(40, seed=1), make_people(40, seed=2)


@pytest.fixture(scope="module")
def judge(people: tuple[LabelledImages, LabelledImages]) -> Judge:
    return train_judge(*people, Budget(steps=60, batch_size=32))


def test_real_images_are_read_right_and_are_no_copies(judge):
    row = judge.real_row()
    assert row.top1 > 0.9
    assert row.near_in_pixels <= 0.05
    assert 1 <= row.realism <= CLASSES + 1e-6


def test_copies_of_training_images_are_found(judge, people):
    train, held_out = people
    fresh = judge.row("real", LabelledPixels(held_out.images(), held_out.labels))
    assert max(fresh.near_in_pixels, fresh.near_in_features) <= 0.05
    copied = judge.row("copies", LabelledPixels(train.images(), train.labels))
    assert copied.near_in_pixels == 1
    assert copied.near_in_features == 1


def test_copies_are_found_though_held_out_images_repeat_training_images(judge, people):
    train, _ = people
    repeated = Judge(judge.model, train.images(), LabelledPixels(train.images(), train.labels))
    row = repeated.real_row()
    assert (row.near_in_pixels, row.near_in_features) == (1, 1)


def test_the_nearest_in_features_are_found_in_little_memory(monkeypatch):
    """One matrix of all cosines would take 96 MB."""
    count, among = 3000, 8000
    draws = np.random.default_rng(0)

    def read(model, images):
        embeddings = draws.normal(size=(len(images), 8)).astype(np.float32)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        read.made.append(embeddings)
        return np.full((len(images), 1), 1.0, np.float32), embeddings

    read.made = []
    monkeypatch.setattr(fidelity, "read_and_embed", read)
    pixels = draws.integers(0, 256, (among, 2, 2, 1), dtype=np.uint8)
    held_out = LabelledPixels(pixels[:count], np.zeros(count, np.int64))
    tracemalloc.start()
    try:
        judge = Judge(None, pixels, held_out)
        assert tracemalloc.get_traced_memory()[1] < count * among * 4 / 2
    finally:
        tracemalloc.stop()
    trained_on, others = read.made
    farness = 1 - (others @ trained_on.T).max(axis=1)
    assert judge.limits[1] == pytest.approx(np.quantile(farness, NEAR), rel=1e-4)


def test_images_of_the_wrong_class_lower_top1_and_nothing_else(judge, people):
    _, held_out = people
    right = judge.row("right", LabelledPixels(held_out.images(), held_out.labels))
    wrong = judge.row("wrong", LabelledPixels(held_out.images(), (held_out.labels + 1) % CLASSES))
    assert wrong.top1 < 0.1 < right.top1
    assert wrong.realism == right.realism
    assert wrong.near_in_pixels == right.near_in_pixels


def test_the_table_has_a_line_a_row(judge):
    lines = format_fidelity_table([judge.real_row()]).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| real, held out | 40 |")
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
