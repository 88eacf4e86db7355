import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck
from torchmetrics.functional.image import structural_similarity_index_measure

from augment.losses.structure import (
    dice_distance,
    l1_within,
    l2_within,
    region_cross_entropy,
    similarity_map,
    ssim_within,
)

WITHIN = [l1_within, l2_within, ssim_within]


def some_images(count: int = 3, size: tuple[int, int] = (20, 24), seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, *size, generator=draws)


def left_half(images: torch.Tensor) -> torch.Tensor:
    where = torch.zeros_like(images[:, :1])
    where[..., : where.shape[3] // 2] = 1
    return where


def test_similarity_map_is_that_of_torchmetrics_where_windows_fit():
    x, y = some_images(seed=0), some_images(seed=1)
    _, whole = structural_similarity_index_measure(x, y, data_range=1.0, return_full_image=True)
    torch.testing.assert_close(
        similarity_map(x, y, window=11), whole[..., 5:-5, 5:-5], atol=1e-4, rtol=1e-4
    )


def test_equal_images_are_wholly_similar_and_at_no_distance():
    x = some_images()
    where = torch.ones_like(x[:, :1])
    torch.testing.assert_close(ssim_within(x, x, where), torch.ones(3))
    assert torch.equal(l1_within(x, x, where), torch.zeros(3))
    assert torch.equal(l2_within(x, x, where), torch.zeros(3))


def test_similarity_of_flat_images_is_their_luminance_term():
    dark, light = torch.full((1, 1, 9, 9), 0.25), torch.full((1, 1, 9, 9), 0.75)
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    got = similarity_map(dark, light, window=9)
    torch.testing.assert_close(got, torch.full((1, 1, 1, 1), expected), atol=1e-4, rtol=1e-4)


def test_similarity_is_computed_in_full_precision_under_autocast():
    x, y = some_images(seed=0), some_images(seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        halved = similarity_map(x, y)
    assert torch.equal(halved, similarity_map(x, y))


def test_distances_over_the_whole_image_are_plain_means():
    x, y = some_images(seed=0), some_images(seed=1)
    where = torch.ones_like(x[:, :1])
    expected = F.l1_loss(x, y, reduction="none").mean(dim=(1, 2, 3))
    torch.testing.assert_close(l1_within(x, y, where), expected)
    expected = F.mse_loss(x, y, reduction="none").mean(dim=(1, 2, 3))
    torch.testing.assert_close(l2_within(x, y, where), expected)


def test_distances_are_averages_over_the_region_however_small_it_is():
    x = torch.zeros(2, 3, 8, 8)
    y = torch.full_like(x, 0.5)
    where = torch.zeros(2, 1, 8, 8)
    where[0, 0, 2, 2] = 1
    where[1, 0, :4] = 1
    torch.testing.assert_close(l1_within(x, y, where), torch.full((2,), 0.5))
    torch.testing.assert_close(l2_within(x, y, where), torch.full((2,), 0.25))


@pytest.mark.parametrize("distance", [l1_within, l2_within])
def test_what_lies_outside_the_region_changes_no_distance(distance):
    x, y = some_images(seed=0), some_images(seed=1)
    where = left_half(x)
    changed = torch.where(where > 0, x, 1 - x)
    assert torch.equal(distance(changed, y, where), distance(x, y, where))


def test_similarity_counts_windows_centred_on_the_region_only():
    x, y = some_images(seed=0), some_images(seed=1)
    where = torch.zeros_like(x[:, :1])
    where[:, :, 10, 7] = 1
    alone = similarity_map(x, y, window=5)[:, :, 8, 5].mean(dim=1)
    torch.testing.assert_close(ssim_within(x, y, where, window=5), alone)


@pytest.mark.parametrize("term", WITHIN)
def test_an_image_without_a_region_scores_nothing_and_has_no_gradient(term):
    x = some_images().requires_grad_(True)
    values = term(x, some_images(seed=1), torch.zeros(3, 1, 20, 24))
    assert torch.equal(values, torch.zeros(3))
    (gradient,) = torch.autograd.grad(values.sum(), x)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("term", WITHIN)
def test_terms_have_one_value_an_image_and_stay_finite_at_extremes(term):
    x = torch.zeros(2, 3, 12, 12, requires_grad=True)
    values = term(x, torch.ones(2, 3, 12, 12), torch.ones(2, 1, 12, 12))
    assert values.shape == (2,)
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(x.grad).all()


def test_similarity_has_the_gradient_it_should():
    x = some_images(1, (6, 6)).double().requires_grad_(True)
    y = some_images(1, (6, 6), seed=1).double()

    def similarity(values: torch.Tensor) -> torch.Tensor:
        return ssim_within(values, y, torch.ones(1, 1, 6, 6), window=5)

    assert gradcheck(similarity, (x,), eps=1e-2, atol=2e-2, rtol=5e-2)


def test_cross_entropy_of_an_undecided_region_is_log_two():
    logits, where = torch.zeros(2, 1, 4, 4), left_half(torch.zeros(2, 1, 4, 4))
    torch.testing.assert_close(region_cross_entropy(logits, where), torch.full((2,), 2.0).log())


def test_cross_entropy_stays_finite_for_sure_and_wrong_logits():
    logits = torch.full((1, 1, 4, 4), 1e4)
    assert torch.equal(region_cross_entropy(logits, torch.zeros(1, 1, 4, 4)), torch.tensor([1e4]))


def test_dice_is_nothing_for_the_region_itself_and_almost_one_for_its_complement():
    where = left_half(torch.zeros(2, 1, 4, 4))
    assert torch.equal(dice_distance(where, where), torch.zeros(2))
    torch.testing.assert_close(dice_distance(1 - where, where), torch.full((2,), 1 - 1 / 17))
    assert torch.equal(dice_distance(where * 0, where * 0), torch.zeros(2))


def test_dice_is_taken_for_each_image_apart():
    where = torch.zeros(2, 1, 4, 4)
    where[0], where[1, 0, 0, 0] = 1, 1
    predicted = torch.ones(2, 1, 4, 4)
    expected = torch.tensor([0.0, 1 - 3 / 18])
    torch.testing.assert_close(dice_distance(predicted, where), expected)
