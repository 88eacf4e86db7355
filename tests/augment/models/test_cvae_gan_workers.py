"""CVAE-GAN on several workers: what one with all their images would learn from them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_cvae_gan import ASYMMETRIC, CLASSES, make_batch, make_model, run_phase
from torch import Tensor
from workers import work_together

from augment.models.cvae_gan import CVAEGAN, Batch
from augment.phases import Losses
from augment.training import Context, TrainingConfig, train

CLASS_MEANS_ALONE = replace(
    ASYMMETRIC,
    pairwise_weight=0.0,
    pairwise_features=False,
    mean_weight=0.0,
    diff_augment=False,
    swap_share=0.0,
)


def shared_out(batch: Batch, workers: int) -> list[Batch]:
    parts = zip(batch.images.chunk(workers), batch.labels.chunk(workers), strict=True)
    return [Batch(images, labels, batch.labels) for images, labels in parts]


def generators_turn(batch: Batch) -> tuple[Losses, Tensor]:
    """L_GC on centres met before, and its gradient; every image has a z_p of its own."""
    model = make_model(CLASS_MEANS_ALONE).eval()  # batch norm does not look at the rest
    model._draw_z = lambda batch, draws: batch.images.flatten(1)[:, : model.latent_dim]
    draws = torch.Generator().manual_seed(3)
    for bank in (model.centres, model.generated_centres):
        bank.centres.copy_(torch.randn(bank.centres.shape, generator=draws))
        bank.met.fill_(1)
    losses = run_phase(model, "generator", batch)
    moved = [p for network in model.players()["generator"] for p in network.parameters()]
    return losses, torch.cat([p.grad.flatten() for p in moved if p.grad is not None])


@pytest.mark.parametrize("workers", [2, 3, 6])
def test_l_gc_weighs_the_same_on_any_number_of_workers(workers):
    whole, expected = generators_turn(make_batch())
    turns = [generators_turn(part) for part in shared_out(make_batch(), workers)]
    total = torch.stack([losses.total for losses, _ in turns]).mean()
    torch.testing.assert_close(total, whole.total)
    gradient = torch.stack([gradient for _, gradient in turns]).mean(dim=0)  # as the loop does
    assert expected.norm() > 0
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5 * float(expected.norm()))


def test_a_class_that_two_workers_hold_weighs_as_much_as_on_one():
    """They compare the means of their own images: nearly the gradient of the mean of all."""
    batch = make_batch(8)  # classes 0 to 3, and 4, 5, 0, 1
    _, expected = generators_turn(batch)
    turns = [generators_turn(part) for part in shared_out(batch, 2)]
    gradient = torch.stack([gradient for _, gradient in turns]).mean(dim=0)
    assert (gradient - expected).norm() < 0.01 * expected.norm()


def batch_of(step: int, rank: int, world_size: int) -> Batch:
    """Worker 0 sees classes 0 to 3, worker 1 classes 2 to 5."""
    draws = torch.Generator().manual_seed(10 * step + rank)
    labels = [torch.arange(4) + 2 * worker for worker in range(world_size)]
    images = torch.rand(make_batch(4).images.shape, generator=draws) * 2 - 1
    return Batch(images, labels[rank], torch.cat(labels))


def test_two_workers_train_with_the_same_centres_of_every_class(tmp_path: Path):
    models = [make_model(replace(ASYMMETRIC, steps=2, classifier_steps=1)) for _ in range(2)]
    config = TrainingConfig(batch_size=8, precision="fp32")

    def work(context: Context) -> CVAEGAN:
        model = models[context.rank]
        train(model, batch_of, config, context, scratch=tmp_path)
        return model  # as trained; the averaged copy ends with buffers averaged over the workers

    first, second = work_together(2, work)
    for name, weights in first.named_parameters():
        torch.testing.assert_close(weights, second.get_parameter(name))
    for ours, theirs in (
        (first.centres, second.centres),
        (first.generated_centres, second.generated_centres),
    ):
        assert ours.met.tolist() == theirs.met.tolist() == [1] * CLASSES
        assert torch.equal(ours.centres, theirs.centres)
        assert (ours.centres.norm(dim=1) > 0.2).all()  # means of unit vectors
