from types import SimpleNamespace
from typing import Any

import numpy as np

from augment.data.datasets import LabelledImages
from recognizers.mixing import LabelledPixels
from recognizers.nearest import nearest_images
from recognizers.pictures import MOST_CLASSES, NEIGHBOURS, OF_A_CLASS, take_pictures


def flat(*grays: int) -> np.ndarray:
    """Images of one gray each, (N, 8, 8, 1)."""
    return np.array(grays, np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)


def run_with(real: np.ndarray, generated: LabelledPixels) -> Any:
    """Stands for a finished seed with classes dark (below 128) and light."""
    labels = (real[:, 0, 0, 0] > 127).astype(np.int64)
    data = LabelledImages.from_arrays(real, labels, ("dark", "light"))
    return SimpleNamespace(real=data, seed=0, generated=lambda: generated)


def test_each_generated_image_stands_beside_the_training_image_most_like_it() -> None:
    generated = LabelledPixels(flat(31, 205), np.array([0, 1]))
    pictures = take_pictures(run_with(flat(10, 30, 200), generated))
    told = {n.label: (n.generated[0, 0, 0], n.nearest[0, 0, 0]) for n in pictures.neighbours}
    assert told == {"dark": (31, 30), "light": (205, 200)}
    distances = {n.label: n.distance for n in pictures.neighbours}
    np.testing.assert_allclose([distances["dark"], distances["light"]], [1 / 255, 5 / 255])
    assert pictures.usual_distance is not None
    np.testing.assert_allclose(pictures.usual_distance, 20 / 255)  # of 20, 20 and 170


def test_every_class_is_shown_with_no_more_than_a_handful_of_images() -> None:
    many = flat(*range(0, 250, 2))
    generated = LabelledPixels(many[:60], np.zeros(60, np.int64))
    pictures = take_pictures(run_with(many, generated))
    dark, light = pictures.by_class
    assert (dark.name, len(dark.real), len(dark.generated)) == ("dark", OF_A_CLASS, OF_A_CLASS)
    assert (light.name, len(light.real), len(light.generated)) == ("light", OF_A_CLASS, 0)
    assert dark.real.max() < 128 <= light.real.min()
    assert len(pictures.neighbours) == NEIGHBOURS


def test_new_classes_follow_and_have_no_real_images() -> None:
    generated = LabelledPixels(flat(31, 205), np.array([0, 1]))
    new = LabelledPixels(flat(90, 91, 92), np.array([2, 2, 5]))
    pictures = take_pictures(run_with(flat(10, 30, 200), generated), new)
    shown = [(row.name, len(row.real), len(row.generated)) for row in pictures.by_class]
    assert shown == [("dark", 2, 1), ("light", 1, 1), ("new 1", 0, 2), ("new 2", 0, 1)]


def test_of_very_many_classes_some_are_shown() -> None:
    count = MOST_CLASSES + 40
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)
    names = tuple(f"{label:04d}" for label in range(count))
    run: Any = SimpleNamespace(
        real=LabelledImages.from_arrays(images, np.arange(count), names),
        seed=0,
        generated=lambda: LabelledPixels(images, np.arange(count)),
    )
    shown = [row.name for row in take_pictures(run).by_class]
    assert len(shown) == MOST_CLASSES
    assert shown == sorted(set(shown))


def test_one_training_image_alone_has_no_usual_distance() -> None:
    pictures = take_pictures(run_with(flat(10), LabelledPixels(flat(11), np.array([0]))))
    assert pictures.usual_distance is None


def test_an_image_is_not_its_own_nearest_one() -> None:
    images = flat(0, 10, 100)
    indices, _ = nearest_images(images, images)
    assert indices.tolist() == [0, 1, 2]
    indices, _ = nearest_images(images, images, besides=np.arange(3))
    assert indices.tolist() == [1, 0, 1]
