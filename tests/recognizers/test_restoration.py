import json

import cv2
import numpy as np
import pytest

from augment.errors import DataError
from recognizers.restoration import (
    Task,
    default_tasks,
    draw_holes,
    format_restoration_table,
    judge_labels,
    judge_pairs,
    peak_signal_to_noise,
    restoration_table,
    shrink_images,
    structural_similarity,
)

RANDOM = Task("hole", "random", hole_side=6)
SMALL_TASKS = (RANDOM, Task("centred hole", "centred", hole_side=6), Task("enlarged", scale=2))


def faces(count: int = 12, channels: int = 3) -> np.ndarray:
    """Smooth pictures, of which classical methods restore something."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 4, 4, channels), dtype=np.uint8)
    large = [cv2.resize(image, (16, 16), interpolation=cv2.INTER_CUBIC) for image in coarse]
    return np.stack(large).reshape(count, 16, 16, channels)


class Oracle:
    """Restores test images by knowing them, up to an error of some levels."""

    def __init__(self, images: np.ndarray, error: int = 0) -> None:
        self.images, self.error, self.holes = images, error, None

    def answer(self) -> list[np.ndarray]:
        return list(np.clip(self.images.astype(int) + self.error, 0, 255).astype(np.uint8))

    def inpaint(self, images, holes):
        self.holes, self.damaged = np.stack(holes), np.stack(images)
        return self.answer()

    def super_resolve(self, images, scale):
        self.small = np.stack(images)
        return self.answer()


def read_exactly(images: np.ndarray):
    """A recognizer that knows an image by every pixel of it."""
    index = {image.tobytes(): row for row, image in enumerate(images)}
    return lambda restored: np.array([index.get(image.tobytes(), -1) for image in restored])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_perfect_restoration_beats_every_rival_and_its_interval_says_so(channels):
    images = faces(channels=channels)
    judge = judge_labels(read_exactly(images), np.arange(12))
    table = restoration_table(
        Oracle(images), images, judge, np.arange(12) // 2, tasks=SMALL_TASKS, bootstrap=200
    )
    assert (table.images, table.people) == (12, 6)
    assert len(table.rows) == 3 * 4
    for row in table.rows:
        perfect = row.method in ("undamaged", "labelmint")
        assert row.recognized == float(perfect)
        assert (row.ssim == pytest.approx(1.0)) == perfect
    assert {row.psnr for row in table.rows if row.method == "labelmint"} == {100.0}
    assert len(table.differences) == 9
    for found in table.differences:
        assert found.value > 0
        low, high = found.ci95
        assert 0 < low <= found.value <= high or found.figure == "recognized"


def test_the_rival_compared_with_is_the_best_of_the_figure():
    images = faces()
    judge = judge_labels(lambda restored: restored[:, 0, 0, 0].astype(int), np.arange(12))
    table = restoration_table(Oracle(images, 5), images, judge, np.arange(12), tasks=SMALL_TASKS)
    for found in table.differences:
        of_task = {row.method: row for row in table.rows if row.task == found.task}
        values = {name: getattr(row, found.figure) for name, row in of_task.items()}
        rivals = {k: v for k, v in values.items() if k not in ("labelmint", "undamaged")}
        assert values[found.over] == max(rivals.values())
        assert found.value == pytest.approx(values["labelmint"] - values[found.over])


def test_no_difference_has_an_interval_around_nothing():
    images = faces()

    class Telea(Oracle):
        def inpaint(self, damaged, holes):
            return [
                cv2.inpaint(image, hole.view(np.uint8), 3, cv2.INPAINT_TELEA)
                for image, hole in zip(damaged, holes, strict=True)
            ]

    judge = judge_labels(read_exactly(images), np.arange(12))
    table = restoration_table(Telea(images), images, judge, np.arange(12), tasks=(RANDOM,))
    ours, telea = (
        next(row for row in table.rows if row.method == name) for name in ("labelmint", "telea")
    )
    assert (ours.psnr, ours.ssim) == (telea.psnr, telea.ssim)
    for found in table.differences:
        if found.over == "telea":
            assert (found.value, found.ci95) == (0, (0, 0))


def test_images_of_one_person_move_together_in_the_bootstrap():
    images = faces()
    noisy = np.arange(12) % 2 == 0  # every other image is not recognized

    def judge(restored):
        return ~noisy if np.array_equal(restored, images) else np.zeros(12, bool)

    def width(people):
        table = restoration_table(Oracle(images), images, judge, people, tasks=(RANDOM,))
        found = next(d for d in table.differences if d.figure == "recognized")
        return found.ci95[1] - found.ci95[0]

    apart, together = width(np.arange(12)), width(np.arange(12) % 2)
    assert together > 1.5 * apart
    assert width(np.zeros(12)) == 0  # nothing to resample


def test_the_editor_sees_damaged_images_and_no_labels():
    images = faces()
    oracle = Oracle(images)
    judge = judge_labels(read_exactly(images), np.arange(12))
    restoration_table(oracle, images, judge, np.arange(12), tasks=SMALL_TASKS, bootstrap=10)
    assert (oracle.damaged[oracle.holes] == 127).all()
    assert np.array_equal(oracle.damaged[~oracle.holes], images[~oracle.holes])
    assert oracle.small.shape == (12, 8, 8, 3)


def test_holes_are_squares_drawn_by_the_seed_or_in_the_middle():
    first, again = (draw_holes(500, (16, 20), RANDOM, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, again)
    assert (first.sum(axis=(1, 2)) == 36).all()
    assert len({hole.tobytes() for hole in first}) > 20
    assert first.any(axis=0).all()  # they reach every pixel
    centred = draw_holes(2, (16, 20), SMALL_TASKS[1], np.random.default_rng(0))
    assert centred[:, 5:11, 7:13].all()
    assert centred.sum() == 72
    with pytest.raises(DataError, match="larger than the hole"):
        draw_holes(1, (6, 24), RANDOM, np.random.default_rng(0))


def test_default_tasks_follow_the_size_of_the_images():
    names = [task.name for task in default_tasks((64, 64))]
    assert names == ["hole 24×24 at random", "hole 24×24 centred", "16×16 enlarged ×4"]
    assert default_tasks((50, 54))[-1].name == "27×25 enlarged ×2"
    assert len(default_tasks((51, 54))) == 2
    images = faces()
    judge = judge_labels(read_exactly(images), np.arange(12))
    table = restoration_table(Oracle(images), images, judge, np.arange(12), bootstrap=10)
    assert {row.task for row in table.rows} == {task.name for task in default_tasks((16, 16))}


@pytest.mark.parametrize("channels", [1, 3])
def test_images_shrink_by_means_over_blocks(channels):
    images = faces(2, channels)
    means = images.reshape(2, 4, 4, 4, 4, channels).mean(axis=(2, 4))
    assert np.abs(shrink_images(images, 4) - means).max() <= 0.5 + 1e-9


def test_psnr_of_a_constant_error_has_its_closed_form():
    images = np.full((2, 16, 16, 3), 100, np.uint8)
    psnr = peak_signal_to_noise(images + np.uint8(10), images)
    np.testing.assert_allclose(psnr, 20 * np.log10(255 / 10))
    assert peak_signal_to_noise(images, images).tolist() == [100.0, 100.0]


def test_ssim_is_one_for_the_same_and_falls_with_damage():
    images = faces(3)
    np.testing.assert_allclose(structural_similarity(images, images), 1, rtol=1e-5)
    assert (structural_similarity(images // 2, images) < 0.99).all()


def test_pairs_are_judged_by_the_cosine_to_the_other_photograph():
    images = np.zeros((3, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = [0, 90, 45]  # an angle, in degrees

    def embed(pixels):
        angles = np.deg2rad(pixels[:, 0, 0, 0].astype(np.float32))
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    partners = np.zeros_like(images)
    same = np.array([True, True, False])
    judge = judge_pairs(embed, partners, same, threshold=0.5)
    assert judge(images).tolist() == [True, False, False]
    assert judge_pairs(embed, partners, same, threshold=0.8)(images).tolist() == [True, False, True]


def test_a_table_is_written_as_markdown_and_json():
    images = faces()
    judge = judge_labels(read_exactly(images), np.arange(12))
    table = restoration_table(
        Oracle(images), images, judge, np.arange(12), tasks=SMALL_TASKS, bootstrap=10
    )
    text = format_restoration_table(table)
    assert "12 test images of 12 people." in text
    assert "| hole | undamaged | – | 1.000 | 100.0 |" in text
    assert text.count("| labelmint |") == 3
    assert text.count(" to ") == 9
    assert json.loads(json.dumps(table.to_mapping()))["images"] == 12


def test_images_without_people_are_refused():
    images = faces()
    judge = judge_labels(read_exactly(images), np.arange(12))
    with pytest.raises(DataError, match="got 12 and 3"):
        restoration_table(Oracle(images), images, judge, np.arange(3))
    with pytest.raises(DataError, match="got 0 and 0"):
        restoration_table(Oracle(images), images[:0], judge, np.arange(0))
