import pytest
import torch

from augment.data.layouts import load_layout
from augment.data.line_poses import (
    INSIDE,
    compose,
    fit_lines,
    guess_polarity,
    keep_inside,
    sample_boxes,
)
from augment.data.lines import draw_contents
from augment.layers import affine_field, sample_field

SIZE = (32, 96)
TEXTS = ["京A12345", "浙F8GH07", "苏E5K6L9"]
POSES = torch.tensor(
    [
        [[1.1, 0.0, 0.05], [0.25, 1.2, 0.1]],
        [[1.0, 0.1, 0.0], [0.0, 1.1, 0.0]],
        [[1.2, -0.1, -0.1], [-0.35, 1.3, 0.0]],
    ]
)


@pytest.fixture(scope="module")
def inks() -> torch.Tensor:
    """(N, looks, H, W) in [0, 1]."""
    layout = load_layout("plates-cn")
    drawn = [draw_contents(TEXTS, layout, size=SIZE, looks=[look] * 3) for look in range(2)]
    stacked = torch.stack([torch.from_numpy(pixels[..., 0]) for pixels in drawn], dim=1)
    return stacked.float() / 255


def photograph(inks: torch.Tensor, *, dark_on_bright: bool = False) -> torch.Tensor:
    """Lines in their poses, unevenly lit, (N, 3, H, W)."""
    ink = sample_field(inks[:, :1], affine_field(POSES, SIZE))
    light = torch.linspace(0.3, 0.0, SIZE[1])
    image = 0.5 * ink + light - 0.4
    return (-image if dark_on_bright else image).expand(-1, 3, -1, -1)


@pytest.mark.parametrize("dark_on_bright", [False, True])
def test_a_tilted_line_is_found_in_either_polarity(inks, dark_on_bright):
    fits = fit_lines(photograph(inks, dark_on_bright=dark_on_bright), inks)
    corners = torch.tensor([[-1.0, -1.0, 1], [1, -1, 1], [-1, 1, 1], [0.9, 0.6, 1]]).T
    pixels = torch.tensor([SIZE[1] / 2, SIZE[0] / 2])[:, None]
    assert ((fits.poses - POSES) @ corners * pixels).abs().max() < 1.5
    assert fits.correlations.min() > 0.8
    assert fits.looks.tolist() == [0, 0, 0]
    assert fits.polarities.tolist() == [-1.0 if dark_on_bright else 1.0] * 3
    assert torch.equal(
        guess_polarity(photograph(inks, dark_on_bright=dark_on_bright)), fits.polarities
    )


def test_a_line_that_says_something_else_correlates_less(inks):
    right = fit_lines(photograph(inks), inks).correlations
    wrong = fit_lines(photograph(inks), inks.roll(1, dims=0)).correlations
    assert (wrong < right - 0.2).all()


def test_fits_do_not_depend_on_the_company(inks):
    images = photograph(inks)
    together, alone = fit_lines(images, inks), fit_lines(images[1:2], inks[1:2])
    torch.testing.assert_close(together.poses[1:2], alone.poses, atol=1e-4, rtol=1e-4)


def test_composed_maps_are_applied_one_after_the_other():
    outer, inner = POSES[0], POSES[2]
    point = torch.tensor([0.3, -0.7])
    once = inner[:, :2] @ point + inner[:, 2]
    twice = outer[:, :2] @ once + outer[:, 2]
    both = compose(outer, inner)
    torch.testing.assert_close(both[:, :2] @ point + both[:, 2], twice)


def test_ink_that_a_pose_pushes_over_the_border_is_brought_back():
    poses = torch.tensor(
        [
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            [[1.0, 0.0, 0.4], [0.0, 1.0, 0.0]],  # 0.4 to the left
            [[0.5, 0.1, 0.0], [0.3, 0.8, 0.2]],  # twice as wide as the image
        ]
    )
    edges = torch.tensor([[-0.9, -0.7, 0.9, 0.7]]).repeat(3, 1)
    kept = keep_inside(poses, edges)
    torch.testing.assert_close(kept[0], poses[0])
    torch.testing.assert_close(kept[1, :, :2], poses[1, :, :2])  # shifted, not shrunk
    corners = torch.tensor([[-0.9, 0.9, -0.9, 0.9], [-0.7, -0.7, 0.7, 0.7]])
    placed = torch.linalg.solve(kept[:, :, :2], corners - kept[:, :, 2:])
    assert placed.abs().max() <= INSIDE + 1e-5
    assert placed[2, 0].amax() - placed[2, 0].amin() == pytest.approx(2 * INSIDE, abs=1e-4)


def test_boxes_are_cut_out_in_order():
    ramp = torch.linspace(-1, 1, 96).expand(2, 3, 32, 96)
    boxes = torch.zeros(2, 3, 2, 3)
    boxes[:, :, 0, 0], boxes[:, :, 1, 1] = 0.1, 1.0
    boxes[:, :, 0, 2] = torch.tensor([-0.5, 0.0, 0.5])
    crops = sample_boxes(ramp, boxes, (8, 4))
    assert crops.shape == (2, 3, 3, 8, 4)
    means = crops.mean(dim=(2, 3, 4))
    torch.testing.assert_close(
        means, torch.tensor([-0.5, 0.0, 0.5]).expand(2, 3), atol=0.02, rtol=0
    )
