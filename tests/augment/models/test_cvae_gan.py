from dataclasses import replace

import pytest
import torch
from small_cvae_gan import (
    ASYMMETRIC,
    CHANNELS,
    CLASSES,
    COMPACT,
    SIZE,
    SMALL,
    make_batch,
    make_model,
    phase_of,
    run_phase,
)

from augment.errors import ConfigError
from augment.models.cvae_gan import CVAEGAN, Batch
from augment.models.cvae_gan_config import ABLATIONS, LABELMINT, PAPER


def owners(model: CVAEGAN) -> set[str]:
    return {
        player
        for player, networks in model.players().items()
        for network in networks
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    }


@pytest.mark.parametrize("name", ["classifier", "discriminator", "generator", "encoder"])
def test_each_phase_moves_its_own_player_alone(name):
    model = make_model(ASYMMETRIC)
    run_phase(model, name)
    assert owners(model) == {name}


def test_players_move_in_the_order_of_algorithm_1():
    stage = make_model(ASYMMETRIC).stages()[-1]
    assert [p.player for p in stage.phases] == [
        "classifier",
        "discriminator",
        "generator",
        "encoder",
    ]


def test_the_classifier_may_first_learn_alone():
    first, then = make_model(replace(COMPACT, classifier_steps=7)).stages()
    assert (first.steps, [p.player for p in first.phases]) == (7, ["classifier"])
    assert then.steps == COMPACT.steps
    with pytest.raises(ConfigError, match="classifier_steps"):
        replace(COMPACT, classifier_steps=-1)


def test_jointly_the_encoder_gets_the_gradient_that_its_own_phase_would_give_it():
    """λ1 L_KL + λ2 L_G is all of the generator's total that reaches E."""
    apart, together = (
        make_model(replace(ASYMMETRIC, swap_share=0.0)),
        make_model(replace(ASYMMETRIC, swap_share=0.0, joint=True)),
    )
    for model in (apart, together):
        model.eval()  # batch norm by running statistics: the same whatever else is in the batch
    run_phase(apart, "encoder")
    run_phase(together, "generator")
    for ours, theirs in zip(
        apart.networks.encoder.parameters(), together.networks.encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_generator_and_encoder_never_minimize_a_cross_entropy_in_the_papers_losses():
    model = make_model(ASYMMETRIC)
    assert set(run_phase(model, "generator").terms) == {"pairwise", "mean", "class_mean"}
    assert set(run_phase(model, "encoder").terms) == {"pairwise", "kl"}


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("cvae", {"pairwise", "kl"}),
        ("cgan", {"adversarial"}),
        ("fm-cgan", {"mean", "class_mean"}),
    ],
)
def test_ablations_leave_out_what_their_names_say(name, terms):
    model = make_model(replace(ABLATIONS[name], **SMALL))
    assert set(run_phase(model, "generator").terms) == terms
    assert ("discriminator" in model.players()) == (name != "cvae")


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_ablations_move_everything_that_they_train(name):
    model = make_model(replace(ABLATIONS[name], **SMALL))
    moved = set()
    for phase in model.stages()[-1].phases:
        run_phase(model, phase.name)
        moved |= owners(model)
    assert moved == set(model.players())


def test_descending_each_total_lowers_it():
    """The sign of every phase: a small step against the gradient makes its player better off."""
    model = make_model().eval()
    for phase in model.stages()[-1].phases:
        before = run_phase(model, phase.name).total
        parameters = [p for n in model.players()[phase.player] for p in n.parameters()]
        norm = torch.sqrt(sum(p.grad.square().sum() for p in parameters if p.grad is not None))
        with torch.no_grad():
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter -= 1e-3 / norm * parameter.grad
        assert run_phase(model, phase.name).total < before, phase.name


def test_class_means_of_a_batch_without_repeats_pull_each_class_to_its_own_centre():
    model = make_model(ASYMMETRIC)
    run_phase(model, "classifier")
    phase_of(model, "classifier").agree(lambda tensors: None)
    assert model.centres.met.tolist() == [1] * CLASSES
    losses = run_phase(model, "generator")
    assert (losses.terms["class_mean"] > 0).all()


def test_the_papers_reductions_are_sums_and_ours_are_shares_of_the_same_squares():
    sums = make_model(replace(ASYMMETRIC, reduction="sum", pairwise_features=False)).eval()
    shares = make_model(replace(ASYMMETRIC, pairwise_features=False)).eval()
    by_sum, by_share = (run_phase(model, "encoder").terms for model in (sums, shares))
    energy = make_batch().images.square().flatten(1).sum(dim=1).mean()
    torch.testing.assert_close(by_sum["pairwise"], by_share["pairwise"] * energy)
    torch.testing.assert_close(by_sum["kl"], by_share["kl"] * SIZE[0] * SIZE[1])


@pytest.mark.parametrize("size", [(128, 128), (64, 96)])
def test_the_papers_networks_make_images_of_the_size_asked_for(size):
    model = CVAEGAN(PAPER, num_classes=3, image_size=size, channels=3).eval()
    images, labels = torch.zeros(1, 3, *size), torch.tensor([2])
    mu, log_var = model.encode(images, labels)
    assert mu.shape == log_var.shape == (1, 256)
    assert model.decode(mu, labels).shape == images.shape
    assert model.vectors.weight.tolist() == torch.eye(3).tolist()  # one-hot
    assert model.classify(images).shape == (1, 3)


def test_one_hot_labels_belong_to_no_player():
    model = make_model(replace(COMPACT, label_dim=None))
    moved = {id(p) for nets in model.players().values() for n in nets for p in n.parameters()}
    assert id(model.vectors.weight) not in moved


def test_images_lie_in_range_and_a_class_has_to_be_named():
    model = make_model().eval()
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    images = model.decode(z, torch.arange(4))
    assert images.shape == (4, CHANNELS, *SIZE)
    assert images.abs().max() <= 1
    with pytest.raises(ConfigError, match="expected labels"):
        model.decode(z)


def test_without_labels_images_are_encoded_as_the_classifier_reads_them():
    model, images = make_model().eval(), make_batch().images
    read = model.classify(images).argmax(dim=1)
    assert torch.equal(model.encode(images)[0], model.encode(images, read)[0])


def test_an_image_does_not_depend_on_its_neighbours_in_the_batch():
    model = make_model().eval()
    draws = torch.Generator().manual_seed(3)
    z, labels = torch.randn(5, 8, generator=draws), torch.arange(5)
    together = model.decode(z, labels)
    torch.testing.assert_close(model.decode(z[2:3], labels[2:3])[0], together[2])


def test_eight_images_are_learned_by_heart():
    config = replace(
        COMPACT, width=8, kl_weight=0.0, adversarial_weight=0.0, diff_augment=False, swap_share=0.0
    )
    model = make_model(config).train()
    draws = torch.Generator().manual_seed(5)
    coarse = torch.rand(8, CHANNELS, 4, 6, generator=draws) * 2 - 1
    labels = torch.arange(8) % CLASSES
    batch = Batch(torch.nn.functional.interpolate(coarse, SIZE), labels, labels)
    phases = [p for p in model.stages()[-1].phases if p.player != "discriminator"]
    optimizers = {
        player: torch.optim.Adam([p for n in nets for p in n.parameters()], 2e-3, (0.5, 0.99))
        for player, nets in model.players().items()
    }
    first = None
    for _ in range(50):
        for phase in phases:
            losses = run_phase(model, phase.name, batch)
            optimizers[phase.player].step()
            if phase.agree:
                phase.agree(lambda tensors: None)
        first = first or float(losses.terms["pairwise"].detach().mean())
    assert float(losses.terms["pairwise"].detach().mean()) < 0.5 * first


@pytest.mark.parametrize("size", [(30, 32), (16, 16)])
def test_sizes_that_cannot_be_halved_are_refused(size):
    with pytest.raises(ConfigError, match="multiples of 16"):
        CVAEGAN(COMPACT, num_classes=2, image_size=size, channels=1)


@pytest.mark.parametrize(
    "wrong",
    [{"latent_dim": 0}, {"label_dim": 0}, {"swap_share": 1.5}, {"encodes": False}],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        replace(LABELMINT, **wrong)
