"""Feature distances against hand-computed cases."""

import torch

from augment.losses.features import class_mean_matching, feature_distance, mean_matching


def test_feature_distance_is_half_the_squared_norm_of_each_pair() -> None:
    features = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]])
    targets = torch.tensor([[[1.0, 0.0]], [[3.0, 4.0]]])
    assert feature_distance(features, targets).tolist() == [2.0, 12.5]


def test_mean_matching_compares_means_not_pairs() -> None:
    real = torch.tensor([[0.0, 2.0], [2.0, 0.0]])  # mean (1, 1)
    generated = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 4.0]])  # mean (1, 2)
    torch.testing.assert_close(mean_matching(real, generated), torch.full((3,), 0.5))


def test_mean_matching_moves_generated_features_and_never_real_ones() -> None:
    real = torch.tensor([[2.0]], requires_grad=True)
    generated = torch.tensor([[0.0], [1.0]], requires_grad=True)
    mean_matching(real, generated).mean().backward()
    assert real.grad is None
    assert generated.grad is not None
    assert (generated.grad < 0).all()  # descending raises their mean


def test_class_mean_matching_sums_each_class_once_over_the_batch() -> None:
    centres = torch.tensor([[0.0, 0.0], [1.0, 1.0], [9.0, 9.0]])
    generated = torch.tensor([[2.0, 0.0], [1.0, 4.0], [0.0, 0.0]])
    labels = torch.tensor([0, 0, 1])  # class 2 does not occur: its distance does not count
    distances = class_mean_matching(centres, generated, labels, labels)
    torch.testing.assert_close(distances, torch.tensor([1.0, 1.0, 4.5]))


def test_class_mean_matching_counts_a_class_once_that_another_worker_holds_too() -> None:
    centres, generated = torch.zeros(2, 1), torch.tensor([[2.0], [4.0]])
    mine, theirs = torch.tensor([0, 1]), torch.tensor([0, 0])
    step_labels = torch.cat([mine, theirs])
    ours = class_mean_matching(centres, generated, mine, step_labels)
    others = class_mean_matching(centres, generated, theirs, step_labels)
    torch.testing.assert_close(ours, torch.tensor([2.0 / 3, 8.0]))
    torch.testing.assert_close(ours.sum() + others.sum(), torch.tensor(2.0 + 8.0))
