import pytest
import torch

from augment.restoration.blending import blend_poisson


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
