import numpy as np
import pytest
import torch

from augment.images import to_tensor, to_uint8
from augment.restoration import blending
from augment.restoration.blending import blend_pixels, blend_poisson


def ramp(height: int = 9, width: int = 12) -> torch.Tensor:
    """(1, 2, height, width) images that rise linearly: harmonic."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([0.05 * x - 0.03 * y, 0.04 * y - 0.2]).float()[None]


def hole_of(rows: slice, columns: slice) -> torch.Tensor:
    hole = torch.zeros(1, 1, 9, 12)
    hole[..., rows, columns] = 1
    return hole


def test_a_source_that_is_off_by_a_constant_is_restored_exactly():
    images = torch.rand(1, 2, 9, 12, generator=torch.Generator().manual_seed(0)) - 0.5
    holes = hole_of(slice(2, 7), slice(3, 9))
    blended = blend_poisson(images + 0.3, images, holes)
    torch.testing.assert_close(blended, images, atol=1e-6, rtol=0)


def test_a_flat_source_continues_a_linear_ramp_into_the_hole():
    images, holes = ramp(), hole_of(slice(2, 7), slice(3, 9))
    blended = blend_poisson(torch.zeros_like(images), images, holes)
    torch.testing.assert_close(blended, images, atol=1e-6, rtol=0)


def test_a_hole_at_the_border_meets_the_known_pixels_it_has():
    images = torch.full((1, 2, 9, 12), 0.25)
    sources = torch.full_like(images, -0.5)
    for holes in (hole_of(slice(0, 4), slice(0, 5)), hole_of(slice(0, 9), slice(4, 12))):
        torch.testing.assert_close(blend_poisson(sources, images, holes), images)


def test_the_gradients_inside_are_the_sources():
    images = torch.zeros(1, 1, 9, 12)
    sources = torch.rand(1, 1, 9, 12, generator=torch.Generator().manual_seed(1)) - 0.5
    holes = hole_of(slice(1, 8), slice(1, 11))
    blended = blend_poisson(sources, images, holes)[0, 0]

    def laplacian(maps: torch.Tensor) -> torch.Tensor:
        return (
            4 * maps[1:-1, 1:-1]
            - maps[:-2, 1:-1]
            - maps[2:, 1:-1]
            - maps[1:-1, :-2]
            - maps[1:-1, 2:]
        )

    inner = (slice(1, -1), slice(1, -1))
    torch.testing.assert_close(
        laplacian(blended)[inner], laplacian(sources[0, 0])[inner], atol=1e-5, rtol=0
    )


def test_known_pixels_and_images_without_a_hole_are_untouched():
    images = ramp().repeat(2, 1, 1, 1)
    holes = torch.cat([hole_of(slice(2, 4), slice(2, 4)), torch.zeros(1, 1, 9, 12)])
    blended = blend_poisson(-images, images, holes)
    known = ~holes.bool().expand_as(images)
    assert torch.equal(blended[known], images[known])


@pytest.mark.parametrize("extreme", [-1.0, 1.0])
def test_results_stay_within_the_range(extreme):
    images = torch.full((1, 1, 9, 12), extreme)
    sources = torch.rand(1, 1, 9, 12, generator=torch.Generator().manual_seed(2)) * 2 - 1
    blended = blend_poisson(sources, images, hole_of(slice(1, 8), slice(1, 11)))
    assert blended.abs().max() <= 1


def pixels(seed: int, height: int = 40, width: int = 50) -> np.ndarray:
    draws = np.random.default_rng(seed)
    return draws.integers(60, 190, (height, width, 3), dtype=np.uint8)


def test_pixels_blend_as_tensors_do():
    source, image = pixels(0), pixels(1)
    for part in (np.s_[10:30, 5:45], np.s_[0:12, 30:50]):
        hole = np.zeros((40, 50), bool)
        hole[part] = True
        hole[15:20, 20:25] = False
        holes = torch.from_numpy(hole)[None, None]
        expected = to_uint8(blend_poisson(to_tensor(source[None]), to_tensor(image[None]), holes))
        blended = blend_pixels(source, image, hole)
        assert np.array_equal(blended[~hole], image[~hole])
        assert np.abs(blended.astype(int) - expected[0]).max() <= 1


def test_a_hole_too_large_to_solve_for_is_blended_by_a_smaller_one(monkeypatch):
    monkeypatch.setattr(blending, "MAX_UNKNOWNS", 100)
    y, x = np.mgrid[:80, :100]
    image = np.stack([x + 50, y + 60, 200 - x], axis=2).astype(np.uint8)
    hole = np.zeros((80, 100), bool)
    hole[10:70, 20:90] = True
    painted = image.copy()
    painted[hole] = 255  # not looked at
    blended = blend_pixels(np.full_like(image, 10), painted, hole)
    assert np.array_equal(blended[~hole], image[~hole])
    assert np.abs(blended.astype(int) - image)[hole].mean() < 3


def test_known_pixels_too_fine_for_the_smaller_size_still_count(monkeypatch):
    monkeypatch.setattr(blending, "MAX_UNKNOWNS", 20)
    image, hole = np.full((40, 40, 1), 90, np.uint8), np.ones((40, 40), bool)
    hole[::3, ::3] = False
    blended = blend_pixels(np.full_like(image, 150), image, hole)
    assert np.unique(blended).tolist() == [90]
