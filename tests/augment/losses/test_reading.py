import math

import pytest
import torch

from augment.losses.reading import ctc_distance


def test_one_column_costs_what_its_character_costs():
    log_probs = torch.tensor([[[0.2, 0.5, 0.3]]]).log()
    distance = ctc_distance(log_probs, torch.tensor([[2]]), torch.tensor([1]))
    assert distance.tolist() == pytest.approx([-math.log(0.3)])


def test_paths_that_collapse_to_the_text_are_summed():
    log_probs = torch.tensor([[[0.2, 0.8], [0.6, 0.4]]]).log()
    distance = ctc_distance(log_probs, torch.tensor([[1]]), torch.tensor([1]))
    # a blank then the character, the character then a blank, the character twice
    expected = 0.2 * 0.4 + 0.8 * 0.6 + 0.8 * 0.4
    assert distance.tolist() == pytest.approx([-math.log(expected)])


def test_a_longer_text_costs_no_more_a_character():
    log_probs = torch.full((2, 12, 4), 0.25).log()
    targets = torch.tensor([[1, 0, 0, 0], [1, 2, 3, 1]])
    lengths = torch.tensor([1, 4])
    one, four = ctc_distance(log_probs, targets, lengths).tolist()
    alone = torch.nn.functional.ctc_loss(
        log_probs[1:].transpose(0, 1), targets[1:], [12], [4], reduction="none"
    )
    assert four == pytest.approx(float(alone) / 4)
    assert one > 0


def test_texts_without_characters_or_too_long_for_the_columns_cost_nothing():
    log_probs = torch.full((2, 2, 3), 1 / 3).log().requires_grad_(True)
    distance = ctc_distance(log_probs, torch.tensor([[1, 2, 1], [1, 1, 1]]), torch.tensor([3, 0]))
    assert distance.tolist() == [0, 0]
    distance.sum().backward()
    assert torch.isfinite(log_probs.grad).all()


def test_gradients_agree_with_differences():
    scores = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores.requires_grad_(True)
    targets, lengths = torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1])

    def distance(values: torch.Tensor) -> torch.Tensor:
        return ctc_distance(torch.log_softmax(values, dim=2), targets, lengths).sum()

    (gradient,) = torch.autograd.grad(distance(scores), scores)
    step = torch.zeros_like(scores)
    step[0, 2, 1] = 1e-2
    with torch.no_grad():
        slope = (distance(scores + step) - distance(scores - step)) / 2e-2
    assert float(gradient[0, 2, 1]) == pytest.approx(float(slope), abs=1e-4)
