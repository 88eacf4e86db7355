import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from recognizers import nearest
from recognizers.nearest import NearestImages, nearest_distances, nearest_images


def test_the_nearest_is_the_one_that_a_search_in_float64_finds() -> None:
    rng = np.random.default_rng(0)
    among = rng.integers(0, 256, (300, 16, 16, 3), dtype=np.uint8)
    images = np.clip(among[::3] + rng.normal(0, 60, (100, 16, 16, 3)), 0, 255).astype(np.uint8)
    difference = images[:, None].astype(float) - among[None]
    distances = np.sqrt((difference**2).mean(axis=(2, 3, 4))) / 255
    indices, found = nearest_images(images, among)
    assert indices.tolist() == distances.argmin(axis=1).tolist()
    assert found == pytest.approx(distances.min(axis=1))


def test_images_a_level_apart_in_one_pixel_are_told_apart() -> None:
    among = np.full((6, 128, 128, 3), 250, np.uint8)
    among[np.arange(6), 0, np.arange(6), 0] = 251
    indices, distances = NearestImages(among)(among[[4, 1]])
    assert indices.tolist() == [4, 1]
    assert distances.tolist() == [0, 0]


def test_what_is_no_answer_is_never_given() -> None:
    among = np.random.default_rng(1).integers(0, 256, (2, 4, 4, 1), dtype=np.uint8)
    assert nearest_images(among, among, besides=np.arange(2))[0].tolist() == [1, 0]


def test_no_more_distances_are_held_than_those_of_a_few_images() -> None:
    """3,000 × 3,000 distances and their order would be over 100 MB, a chunk's are under 15."""
    images = np.random.default_rng(2).integers(0, 256, (3000, 3, 3, 1), dtype=np.uint8)
    itself = np.arange(len(images))
    tracemalloc.start()
    indices, distances = nearest_images(images, images)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 30e6
    assert (indices.tolist(), distances.max()) == (itself.tolist(), 0)
    others, apart = nearest_images(images, images, besides=itself)
    assert (others != itself).all()
    assert apart.min() > 0


def test_no_float_copy_of_all_images_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 images of 64×64×3 are 25 MB, and would be 98 MB more in float32."""
    monkeypatch.setattr(nearest, "BLOCK", 256)
    images = np.random.default_rng(4).integers(0, 256, (2000, 64, 64, 3), dtype=np.uint8)
    tracemalloc.start()
    indices, distances = nearest_images(images[:300], images)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 60e6
    assert (indices.tolist(), distances.max()) == (list(range(300)), 0)


@pytest.mark.parametrize("block", [7, 4096])
def test_distances_are_those_that_float64_finds(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "BLOCK", block)
    rng = np.random.default_rng(3)
    levels = rng.integers(0, 256, (700, 4, 4, 3), dtype=np.uint8)
    exact = cdist(levels[:300].reshape(300, -1) / 255, levels[300:].reshape(400, -1) / 255)
    found = nearest_distances(levels[:300], levels[300:])
    assert found == pytest.approx(exact.min(axis=1) / np.sqrt(48), rel=1e-6)
    points = rng.normal(size=(700, 64)) * np.where(rng.random((700, 1)) < 0.5, 0.05, 1) + 3
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    exact = cdist(points[:300].astype(float), points[300:].astype(float)).min(axis=1)
    assert nearest_distances(points[:300], points[300:]) == pytest.approx(exact, rel=1e-6)


def test_equal_points_are_exactly_no_distance_apart() -> None:
    points = 1000 + np.random.default_rng(4).normal(size=(300, 8)).astype(np.float32)
    assert nearest_distances(points, points[::-1].copy()).max() == 0
