"""CVAE-GAN's objective, term by term, against the paper's formulas written out here.

The networks run in eval mode, so that what they make of an image can be asked for again.
"""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from small_cvae_gan import (
    ASYMMETRIC,
    CLASSES,
    SEED,
    SIZE,
    make_batch,
    make_model,
    phase_of,
    run_phase,
)
from torch import Tensor
from torch.testing import assert_close

from augment.models.cvae_gan import CVAEGAN, Batch
from augment.training import PlainContext, TrainingConfig, train

L1, L2, L3, L4, ADVERSARIAL, CLASSIFIER = 2.0, 3.0, 5.0, 7.0, 11.0, 13.0
OURS = replace(
    ASYMMETRIC,
    kl_weight=L1,
    pairwise_weight=L2,
    mean_weight=L3,
    class_mean_weight=L4,
    adversarial_weight=ADVERSARIAL,
    classifier_weight=CLASSIFIER,
    diff_augment=False,
    swap_share=0.0,
)
"""Every term with a weight that tells it from the others."""
REDUCTIONS = pytest.mark.parametrize("reduction", ["sum", "relative"])


class Made(NamedTuple):
    """What E and G make of a batch in one turn."""

    mu: Tensor
    log_var: Tensor
    x_f: Tensor
    x_p: Tensor


def make_opinionated(**changes) -> CVAEGAN:
    """A model whose D answers 0.5 too much and whose centres lie apart from all features."""
    model = make_model(replace(OURS, **changes)).eval()
    draws = torch.Generator().manual_seed(7)
    with torch.no_grad():
        model.networks.discriminator.head.bias.fill_(0.5)
        for bank in (model.centres, model.generated_centres):
            bank.centres.copy_(torch.randn(bank.centres.shape, generator=draws))
            bank.met.fill_(1)
    return model


@torch.no_grad()
def made(model: CVAEGAN, batch: Batch, *, samples_first: bool = False) -> Made:
    """x_f and x_p of a turn's draws, which D's turn takes in the other order than the others'."""
    draws = torch.Generator().manual_seed(SEED)
    shape = len(batch.labels), model.latent_dim
    first, second = (torch.randn(shape, generator=draws) for _ in range(2))
    z_p, epsilon = (first, second) if samples_first else (second, first)
    vectors = told(model, batch)
    mu, log_var = model.networks.encoder(batch.images, vectors).chunk(2, dim=1)
    x_f = model.networks.generator(mu + torch.exp(log_var / 2) * epsilon, vectors)
    return Made(mu, log_var, x_f, model.networks.generator(z_p, vectors))


def told(model: CVAEGAN, batch: Batch) -> Tensor:
    return model.vectors.weight.detach()[batch.labels]


@torch.no_grad()
def judged(model: CVAEGAN, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """D(x) as a probability, (N,), and f_D(x), (N, F)."""
    logits, features = model.networks.discriminator(images, told(model, batch))
    return torch.sigmoid(logits[:, 0]), features.flatten(1)


@torch.no_grad()
def read(model: CVAEGAN, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """C(c | x), (N,), and f_C(x), (N, F)."""
    logits, features = model.networks.classifier(images)
    return torch.softmax(logits, dim=1)[range(len(images)), batch.labels], features


def squared(values: Tensor) -> Tensor:
    """Squared norm of each row, (N,)."""
    return (values * values).flatten(1).sum(dim=1)


def share(squares: Tensor, real: Tensor, reduction: str) -> Tensor:
    return squares if reduction == "sum" else squares / squared(real).mean()


def test_the_classifier_minimizes_minus_log_c_of_the_class_of_real_images():
    model, batch = make_opinionated(), make_batch(8)
    losses = run_phase(model, "classifier", batch)
    assert_close(losses.terms["classes"], -read(model, batch.images, batch)[0].log())


def test_the_discriminator_tells_real_images_from_samples_and_from_reconstructions():
    model, batch = make_opinionated(), make_batch(8)
    losses = run_phase(model, "discriminator", batch)
    _, _, x_f, x_p = made(model, batch, samples_first=True)
    real, fake, rebuilt = (judged(model, x, batch)[0] for x in (batch.images, x_p, x_f))
    assert_close(losses.terms["real"], -real.log())
    assert_close(losses.terms["fake"], -(1 - fake).log())
    assert_close(losses.terms["rebuilt"], -(1 - rebuilt).log())


@pytest.mark.parametrize("name", ["generator", "encoder"])
@REDUCTIONS
def test_l_g_is_half_the_squared_distance_of_pixels_and_of_both_features(reduction, name):
    model, batch = make_opinionated(reduction=reduction), make_batch(8)
    x, x_f = batch.images, made(model, batch).x_f
    pairs = [(x, x_f)] + [(f(model, x, batch)[1], f(model, x_f, batch)[1]) for f in (judged, read)]
    expected = [share(squared(real - rebuilt) / 2, real, reduction) for real, rebuilt in pairs]
    assert all((distances > 1e-6).all() for distances in expected)
    assert_close(run_phase(model, name, batch).terms["pairwise"], sum(expected))


@pytest.mark.parametrize("name", ["encoder", "generator"])
@REDUCTIONS
def test_l_kl_is_the_divergence_of_e_from_the_standard_normal(reduction, name):
    model, batch = make_opinionated(reduction=reduction, joint=name == "generator"), make_batch(8)
    mu, log_var, _, _ = made(model, batch)
    kl = (mu**2 + torch.exp(log_var) - log_var - 1).sum(dim=1) / 2
    pixels = SIZE[0] * SIZE[1] if reduction == "relative" else 1
    assert_close(run_phase(model, name, batch).terms["kl"], kl / pixels)


@REDUCTIONS
def test_l_gd_is_half_the_squared_distance_of_the_mean_features_of_d(reduction):
    model, batch = make_opinionated(reduction=reduction), make_batch(8)
    real = judged(model, batch.images, batch)[1]
    apart = (real.mean(dim=0) - judged(model, made(model, batch).x_p, batch)[1].mean(dim=0))[None]
    expected = share(squared(apart) / 2, real, reduction)
    assert_close(run_phase(model, "generator", batch).terms["mean"], expected.expand(8))


def test_l_gc_is_half_the_squared_distance_of_each_class_s_centres_summed_over_classes():
    """Eight images of six classes: 0 and 1 occur twice, and count once."""
    model, batch = make_opinionated(centre_momentum=0.75), make_batch(8)
    features, before = read(model, made(model, batch).x_p, batch)[1], model.generated_centres
    means = torch.stack([features[batch.labels == label].mean(dim=0) for label in range(CLASSES)])
    centres = 0.75 * before.centres + 0.25 * means
    expected = squared(model.centres.centres - centres) / 2
    term = run_phase(model, "generator", batch).terms["class_mean"]
    assert_close(torch.zeros(CLASSES).index_add(0, batch.labels, term), expected)
    assert_close(term[0], term[6])


def test_d_and_c_are_to_take_samples_for_real_images_of_their_class():
    model, batch = make_opinionated(), make_batch(8)
    losses, x_p = run_phase(model, "generator", batch), made(model, batch).x_p
    assert_close(losses.terms["adversarial"], -judged(model, x_p, batch)[0].log())
    assert_close(losses.terms["class"], -read(model, x_p, batch)[0].log())


def check_sum(model: CVAEGAN, name: str, weights: dict[str, float]) -> None:
    """A phase's total is the sum of its terms' means by their weights, however small a term is."""
    losses = phase_of(model, name).losses(make_batch(8), torch.Generator().manual_seed(SEED))
    assert set(losses.terms) == set(weights)
    expected = sum(weight * losses.terms[term].mean() for term, weight in weights.items())
    assert_close(losses.total, expected)
    for term, weight in weights.items():
        (slope,) = torch.autograd.grad(losses.total, losses.terms[term], retain_graph=True)
        assert_close(slope, torch.full((8,), weight / 8))


@pytest.mark.parametrize("joint", [False, True])
def test_the_generator_minimizes_its_terms_by_their_weights(joint):
    weights = {
        "pairwise": L2,
        "mean": L3,
        "class_mean": 8 * L4,  # summed
        "adversarial": ADVERSARIAL,
        "class": CLASSIFIER,
    }
    check_sum(make_opinionated(joint=joint), "generator", weights | ({"kl": L1} if joint else {}))


def test_the_encoder_minimizes_its_terms_by_their_weights():
    check_sum(make_opinionated(), "encoder", {"kl": L1, "pairwise": L2})


def test_the_classifier_and_the_discriminator_minimize_their_terms_as_they_are():
    check_sum(make_opinionated(), "classifier", {"classes": 1.0})
    check_sum(make_opinionated(), "discriminator", {"real": 1.0, "fake": 1.0, "rebuilt": 1.0})
    check_sum(make_opinionated(encodes=False), "discriminator", {"real": 1.0, "fake": 1.0})


def test_a_step_of_training_moves_the_centres_of_real_and_of_generated_images(tmp_path):
    model = make_model(replace(OURS, steps=1, classifier_steps=0))
    config = TrainingConfig(batch_size=6, precision="fp32")
    train(model, lambda *_: make_batch(), config, PlainContext(), scratch=tmp_path)
    for bank in (model.centres, model.generated_centres):
        assert bank.met.tolist() == [1] * CLASSES
        assert_close(bank.centres.norm(dim=1), torch.ones(CLASSES))  # each met one unit vector
    assert not torch.allclose(model.centres.centres, model.generated_centres.centres, atol=1e-3)
