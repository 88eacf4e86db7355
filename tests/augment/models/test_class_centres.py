"""Moving class centres against a hand-computed case, and among workers."""

import torch

from augment.models.class_centres import ClassCentres


def alone(tensors) -> None:
    """Average over one worker."""


def test_centres_move_as_computed_by_hand():
    centres = ClassCentres(3, 1, momentum=0.75)
    centres.moved(torch.tensor([[2.0], [4.0], [8.0]]), torch.tensor([0, 0, 1]))
    centres.agree(alone)
    assert centres.centres[:, 0].tolist() == [3.0, 8.0, 0.0]  # first met: the mean as it is
    assert centres.met.tolist() == [1, 1, 0]
    centres.moved(torch.tensor([[7.0], [1.0]]), torch.tensor([0, 2]))
    centres.agree(alone)
    assert centres.centres[:, 0].tolist() == [0.75 * 3 + 0.25 * 7, 8.0, 1.0]


def test_a_class_that_is_not_in_the_batch_keeps_its_centre():
    centres = ClassCentres(2, 2, momentum=0.5)
    centres.centres += 5
    centres.met += 1
    moved = centres.moved(torch.zeros(1, 2), torch.tensor([0]))
    assert moved.tolist() == [[2.5, 2.5], [5.0, 5.0]]


def test_a_batch_in_which_no_class_repeats_moves_every_class_towards_its_only_image():
    centres = ClassCentres(4, 3, momentum=0.9)
    centres.met += 1
    features = torch.eye(4, 3, requires_grad=True)
    moved = centres.moved(features, torch.arange(4))
    torch.testing.assert_close(moved, 0.1 * features)
    moved.sum().backward()
    torch.testing.assert_close(features.grad, torch.full((4, 3), 0.1))


def test_the_centres_themselves_take_no_gradient_and_move_only_when_all_agree():
    centres = ClassCentres(2, 1, momentum=0.5)
    centres.moved(torch.ones(1, 1), torch.tensor([1]))
    assert centres.centres.tolist() == [[0.0], [0.0]]
    centres.agree(alone)
    assert centres.centres.tolist() == [[0.0], [1.0]]
    centres.agree(alone)  # nothing new was seen
    assert centres.centres.tolist() == [[0.0], [1.0]]


def test_workers_agree_on_the_centres_of_all_their_images_together():
    """Two workers with different numbers of a class end where one worker with all of them does."""
    workers = [ClassCentres(3, 2, momentum=0.6) for _ in range(2)]
    whole = ClassCentres(3, 2, momentum=0.6)
    draws = torch.Generator().manual_seed(0)
    for _ in range(4):
        features, labels = (
            torch.randn(8, 2, generator=draws),
            torch.randint(3, (8,), generator=draws),
        )
        whole.moved(features, labels)
        whole.agree(alone)
        for worker, rows in zip(workers, (slice(0, 4), slice(4, 8)), strict=True):
            worker.moved(features[rows], labels[rows])
        batches = [worker._batch for worker in workers]
        means = [(a + b) / 2 for a, b in zip(*batches, strict=True)]

        def average(tensors, means=means) -> None:
            for tensor, mean in zip(tensors, means, strict=True):
                tensor.copy_(mean)

        for worker in workers:
            worker.agree(average)
    torch.testing.assert_close(workers[0].centres, workers[1].centres)
    torch.testing.assert_close(workers[0].centres, whole.centres)
