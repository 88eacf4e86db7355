from pathlib import Path

import numpy as np
import pytest
import torch

from augment.bundle import Registry
from augment.draws import ContentIndex
from augment.errors import ConfigError, LabelError, RequestError
from augment.generate import Sampler, Tally, draw_counts
from augment.generators import load_sampler
from augment.network import can_compile, should_compile
from augment.training import is_faster_in_bf16

LABELS = np.array([3, 7, 3, 0, 9, 3, 1])
INDICES = np.array([0, 0, 1, 5, 2, 2, 8])


@pytest.fixture(scope="module")
def folder(demo_registry: Path) -> Path:
    return Registry(demo_registry).fetch("digits")


@pytest.fixture(scope="module")
def sampler(folder: Path) -> Sampler:
    return load_sampler(folder, batch_size=8, half=False)


class Accepts:
    """Reads every image as its label if its number passes, else as the next class."""

    def __init__(self, passes) -> None:
        self.passes, self.seen = passes, 0

    def read(self, images, folds=None):
        verdicts = [self.passes(self.seen + j) for j in range(len(images))]
        self.seen += len(images)
        return np.where(verdicts, 3, 4), np.full(len(images), 0.9, np.float32)


def test_a_sample_is_the_same_in_any_batch_and_order(sampler):
    together = sampler.draw(LABELS, INDICES, seed=5)
    order = np.array([6, 2, 0, 5, 1, 4, 3])
    shuffled = sampler.draw(LABELS[order], INDICES[order], seed=5)
    assert np.array_equal(together.images[order], shuffled.images)
    for j in range(len(LABELS)):
        alone = sampler.draw(LABELS[j : j + 1], INDICES[j : j + 1], seed=5)
        assert np.array_equal(alone.images[0], together.images[j])


def test_a_sample_is_the_same_for_any_batch_size(folder, sampler):
    other = load_sampler(folder, batch_size=3, half=False)
    difference = np.abs(
        other.draw(LABELS, INDICES, 5).images.astype(int)
        - sampler.draw(LABELS, INDICES, 5).images.astype(int)
    )
    assert difference.max() <= 2  # another batch shape may round differently


def test_seeds_indices_and_labels_give_different_samples(sampler):
    labels, indices = np.full(64, 3), np.arange(64)
    first, second = sampler.draw(labels, indices, 1), sampler.draw(labels, indices, 2)
    assert len({image.tobytes() for image in first.images}) > 50
    assert not np.array_equal(first.images, second.images)


def test_random_numbers_are_uniform_and_uncorrelated_between_neighbours(sampler):
    from augment.draws import Uniforms

    numbers = Uniforms(0, np.zeros(20000, np.int64), np.arange(20000))
    first, second = numbers(2), numbers(3)
    assert abs(first.mean() - 0.5) < 0.01
    assert np.histogram(first, 10, (0, 1))[0].min() > 1850
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.03
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_a_given_style_replaces_the_bank(sampler):
    style = sampler.style(ids=[4])
    samples = sampler.draw(LABELS, INDICES, 5, style)
    assert (samples.styles == -1).all()
    assert not np.array_equal(samples.images, sampler.draw(LABELS, INDICES, 5).images)


def test_a_style_is_a_weighted_mean_of_bank_and_uploads(sampler):
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 1), dtype=np.uint8)
    mixed = np.array(sampler.style(ids=[4], images=[image], weights=[3, 1]).vector)
    apart = np.array(sampler.style(ids=[4]).vector), np.array(sampler.style(images=[image]).vector)
    np.testing.assert_allclose(mixed, 0.75 * apart[0] + 0.25 * apart[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"ids": [10**6]},
        {"ids": [-1]},
        {"ids": [1], "weights": [0.0]},
        {"ids": [1], "weights": [1, 2]},
        {"images": [np.zeros((9, 9, 3), np.uint8)]},
    ],
    ids=str,
)
def test_styles_that_cannot_be_are_refused(sampler, arguments):
    with pytest.raises(RequestError):
        sampler.style(**arguments)


def test_a_label_outside_the_classes_is_named_with_its_place(sampler):
    with pytest.raises(LabelError, match="got 10 at index 1"):
        sampler.draw(np.array([0, 10]), np.array([0, 0]), 0)
    with pytest.raises(LabelError, match="'x'"):
        sampler.label_index("x")


def test_without_read_back_exactly_the_asked_number_is_made(sampler):
    tally = Tally()
    drawn = [d for chunk in draw_counts(sampler, {7: 3, 2: 5}, 0, tally=tally) for d in chunk]
    assert [(d.label, d.index) for d in drawn] == [(2, i) for i in range(5)] + [
        (7, i) for i in range(3)
    ]
    assert (tally.asked, tally.made, tally.kept, tally.dropped) == (8, 8, 8, 0)


def test_read_back_draws_on_until_the_number_is_kept(sampler):
    tally = Tally()
    chunks = draw_counts(sampler, {3: 6}, 0, reader=Accepts(lambda n: n % 2), tally=tally)
    drawn = [d for chunk in chunks for d in chunk]
    assert len(drawn) == tally.kept == 6
    assert tally.made == tally.kept + tally.dropped
    assert [d.index for d in drawn] == sorted({d.index for d in drawn})
    assert not tally.shortfall


def test_near_copies_are_dropped_and_counted_and_others_drawn_instead(sampler):
    copied = sampler.draw(np.full(2, 3), np.array([0, 2]), 0).images

    def is_copy(images):
        return np.array([any(np.array_equal(image, one) for one in copied) for image in images])

    tally = Tally()
    chunks = draw_counts(sampler, {3: 3}, 0, is_copy=is_copy, tally=tally)
    assert [d.index for chunk in chunks for d in chunk] == [1, 3, 4]
    assert (tally.made, tally.kept, tally.dropped, tally.copies) == (5, 3, 2, 2)


def test_a_shortfall_is_told_after_four_times_as_many_candidates(sampler):
    tally = Tally()
    list(draw_counts(sampler, {3: 6}, 0, reader=Accepts(lambda n: n == 0), tally=tally))
    assert (tally.made, tally.kept) == (24, 1)
    assert tally.shortfall == {"3": 5}


def test_the_chunk_size_does_not_change_what_is_kept(sampler):
    def kept(chunk):
        class Bright:
            def read(self, images, folds=None):
                good = images.mean(axis=(1, 2, 3)) > np.median(images.mean(axis=(1, 2, 3)))
                return np.where(images[:, 8, 8, 0] % 2, 3, 4), good.astype(np.float32)

        chunks = draw_counts(sampler, {3: 9}, 0, reader=Bright(), chunk=chunk)
        return [d.index for c in chunks for d in c]

    assert kept(4) == kept(512)


@pytest.mark.parametrize("counts", [{3: 0}, {3: -1}])
def test_a_count_below_one_is_refused(sampler, counts):
    with pytest.raises(RequestError):
        list(draw_counts(sampler, counts, 0))


def test_a_chunk_below_one_is_refused(sampler):
    with pytest.raises(ConfigError):
        list(draw_counts(sampler, {3: 1}, 0, chunk=0))


@pytest.mark.gpu
def test_samples_on_a_gpu_are_those_of_the_cpu_within_two_levels(folder, sampler):
    there = load_sampler(folder, device="cuda", batch_size=8, half=False)
    there, here = there.draw(LABELS, INDICES, 5), sampler.draw(LABELS, INDICES, 5)
    assert np.abs(there.images.astype(int) - here.images.astype(int)).max() <= 2


def test_bfloat16_draws_stay_close_to_float32(folder, sampler):
    half = load_sampler(folder, batch_size=8, half=True).draw(LABELS, INDICES, 5)
    full = sampler.draw(LABELS, INDICES, 5)
    assert np.abs(half.images.astype(int) - full.images.astype(int)).mean() < 2
    assert torch.get_autocast_dtype("cpu") is torch.bfloat16


def test_the_precision_is_bfloat16_where_the_hardware_is_faster_in_it(folder):
    assert load_sampler(folder).half == is_faster_in_bf16(torch.device("cpu"))


@pytest.mark.parametrize("half", [False, True])
def test_bfloat16_samples_are_the_same_in_any_batch(folder, half):
    sampler = load_sampler(folder, batch_size=8, half=half)
    together = sampler.draw(LABELS, INDICES, 5).images
    for j in range(len(LABELS)):
        alone = sampler.draw(LABELS[j : j + 1], INDICES[j : j + 1], 5).images[0]
        assert np.array_equal(alone, together[j])


def test_a_class_with_glyphs_and_examples_is_drawn_from_the_kind_wanted():
    labels, folds = np.array([1, 0, 1, 0, 1, 0]), np.array([-1, -1, 0, -1, 1, -1])
    bank = ContentIndex(labels, folds, 2)
    wanted, uniforms = np.array([0, 0, 1, 1]), np.array([0.0, 0.99, 0.0, 0.99])
    assert bank.choose(wanted, np.full(4, True), uniforms).tolist() == [1, 5, 0, 0]
    assert bank.choose(wanted, np.full(4, False), uniforms).tolist() == [1, 5, 2, 4]


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="needs a C++ compiler")
@pytest.mark.parametrize("half", [False, True])
def test_compiled_samples_are_the_eager_ones_within_two_levels(folder, half):
    compiled = load_sampler(folder, batch_size=8, half=half, compile=True)
    eager = load_sampler(folder, batch_size=8, half=half)
    ours, theirs = (s.draw(LABELS, INDICES, 5).images.astype(int) for s in (compiled, eager))
    assert np.abs(ours - theirs).max() <= (2 if half else 1)
    alone = compiled.draw(LABELS[3:4], INDICES[3:4], 5).images[0]
    assert np.array_equal(alone, ours[3])


def test_compiling_without_a_compiler_is_refused(folder, monkeypatch):
    monkeypatch.setattr("augment.network.can_compile", lambda device: False)
    with pytest.raises(ConfigError, match=r"C\+\+ compiler"):
        load_sampler(folder, compile=True)


def test_compiling_pays_for_many_images_only_and_its_absence_is_told(monkeypatch, caplog):
    monkeypatch.setattr("augment.network.can_compile", lambda device: True)
    assert should_compile("cpu")
    assert not should_compile("cpu", 100)
    monkeypatch.setattr("augment.network.can_compile", lambda device: False)
    assert not should_compile("cpu", 10**6)
    assert "half the speed" in caplog.text
