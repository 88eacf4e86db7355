from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from augment.comparators import FrozenNetwork
from augment.errors import ConfigError
from augment.models.deepsim import CAFFE_SCALE, Batch, DeePSiM
from augment.models.deepsim_config import ABLATIONS, LABELMINT, PAPER, DeePSiMConfig

SIZE = (16, 24)
SMALL = {"width": 4, "latent_dim": 6, "code_channels": 2}
FEATURES = (5, 4, 6)
USES = ("autoencoder", "vae", "inversion")


def make_network() -> FrozenNetwork:
    torch.manual_seed(7)
    body = nn.Sequential(nn.Conv2d(3, 5, 4, 4), nn.Tanh())
    return FrozenNetwork("mine", nn.Sequential(body, nn.Flatten()), "0")


def make_model(config: DeePSiMConfig = LABELMINT, **changes) -> DeePSiM:
    config = replace(config, **{**SMALL, **changes})
    if config.use == "inversion":
        config = replace(config, features=FEATURES)
    torch.manual_seed(0)
    model = DeePSiM(config, num_classes=0, image_size=SIZE, channels=3)
    return model.attach(comparator=make_network(), network=make_network())


def make_batch(count: int = 8) -> Batch:
    draws = torch.Generator().manual_seed(1)
    return Batch(torch.rand(count, 3, *SIZE, generator=draws) * 2 - 1)


def phase_of(model: DeePSiM, name: str):
    return next(phase for phase in model.stages()[0].phases if phase.name == name)


def losses_of(model: DeePSiM, name: str):
    return phase_of(model, name).losses(make_batch(), torch.Generator().manual_seed(2))


def gradient(network: nn.Module, value: torch.Tensor) -> torch.Tensor:
    """The gradient of ``value`` with respect to all weights of a network, in one vector."""
    parameters = list(network.parameters())
    parts = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [
            torch.zeros_like(p).flatten() if g is None else g.flatten()
            for p, g in zip(parameters, parts, strict=True)
        ]
    )


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("size", [(16, 24), (8, 8), (37, 18), (64, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_decoded_in_their_size_and_range(use, size, channels):
    features = {"inversion": (10,)}.get(use)
    config = replace(LABELMINT, use=use, features=features, **SMALL)
    model = DeePSiM(config, num_classes=0, image_size=size, channels=channels).eval()
    z = 10 * torch.ones(2, model.latent_dim)
    if use != "inversion":
        mu, log_var = model.encode(torch.zeros(2, channels, *size))
        assert mu.shape == log_var.shape == z.shape
    images = model.decode(z)
    assert images.shape == (2, channels, *size)
    assert images.abs().max() <= 1


@pytest.mark.parametrize("features", [(3, 16, 24), (3, 1, 1), (2, 7, 7), (300,)])
def test_features_of_any_shape_are_decoded(features):
    config = replace(LABELMINT, use="inversion", features=features, **SMALL)
    model = DeePSiM(config, num_classes=0, image_size=SIZE, channels=1)
    assert model.decode(torch.rand(2, model.latent_dim)).shape == (2, 1, *SIZE)


def test_the_autoencoders_code_is_eight_times_smaller_than_the_image():
    model = DeePSiM(DeePSiMConfig(), num_classes=0, image_size=(64, 64), channels=3)
    assert model.code_shape == (8, 8, 8)


def test_up_convolution_is_bed_of_nails_and_a_convolution():
    up = nn.ConvTranspose2d(2, 3, 4, 2, 1)
    maps = torch.rand(1, 2, 5, 6)
    nails = torch.zeros(1, 2, 10, 12)
    nails[:, :, ::2, ::2] = maps
    weight = up.weight.transpose(0, 1).flip(2, 3)
    expected = F.conv2d(F.pad(nails, (2, 1, 2, 1)), weight, up.bias)
    torch.testing.assert_close(up(maps), expected)


def test_the_generator_minimizes_the_weighted_sum_of_the_three_terms():
    weights = {"feature_weight": 0.3, "adversarial_weight": 5.0, "image_weight": 0.7}
    losses = losses_of(make_model(**weights), "generator")
    terms = losses.terms
    assert set(terms) == {"image", "feature", "adversarial"}
    assert all(len(values) == 8 for values in terms.values())
    expected = 0.3 * terms["feature"] + 5 * terms["adversarial"] + 0.7 * terms["image"]
    torch.testing.assert_close(losses.total, expected.mean())


@pytest.mark.parametrize("term", ["feature", "adversarial", "image"])
@pytest.mark.parametrize("comparator", ["discriminator", "mine"])
def test_every_term_reaches_generator_and_encoder(term, comparator):
    model = make_model(comparator=comparator)
    value = losses_of(model, "generator").terms[term].mean()
    assert gradient(model.generator, value).norm() > 0
    assert gradient(model.encoder, value).norm() > 0


def test_the_vae_adds_its_kl_a_mean_over_dimensions_that_reaches_the_encoder_alone():
    model = make_model(use="vae", kl_weight=2.0, feature_weight=0.0, adversarial_weight=0.0)
    losses = losses_of(model, "generator")
    expected = losses.terms["image"].mean() + 2 * losses.terms["kl"].mean()
    torch.testing.assert_close(losses.total, expected)
    mu, log_var = model.encode(make_batch().images)
    kl = 0.5 * (mu**2 + log_var.exp() - log_var - 1).mean(dim=1)
    torch.testing.assert_close(losses.terms["kl"], kl)
    assert gradient(model.encoder, losses.terms["kl"].mean()).norm() > 0
    assert gradient(model.generator, losses.terms["kl"].mean()).norm() == 0


@pytest.mark.parametrize("use", USES)
def test_the_discriminator_minimizes_cross_entropy_and_moves_nobody_else(use):
    model = make_model(use=use)
    losses = losses_of(model, "discriminator")
    total = losses.terms["real"].mean() + losses.terms["fake"].mean()
    torch.testing.assert_close(losses.total, total)
    assert gradient(model.discriminator, losses.total).norm() > 0
    assert gradient(model.generator, losses.total).norm() == 0
    assert not losses.terms["adversarial"].requires_grad


def test_generator_and_discriminator_pull_generated_images_in_opposite_directions():
    model = make_model()
    images = make_batch(4).images.requires_grad_(True)
    draws = torch.Generator()
    logits = model._judge(images, torch.zeros(4, 12), draws)
    (for_g,) = torch.autograd.grad(F.softplus(-logits).sum(), images, retain_graph=True)
    (for_d,) = torch.autograd.grad(F.softplus(logits).sum(), images)
    assert F.cosine_similarity(for_g.flatten(), for_d.flatten(), dim=0) < -0.9


def test_the_image_loss_descends_towards_the_image():
    model = make_model(ABLATIONS["image-l2"])
    before = losses_of(model, "generator")
    step = gradient(model.generator, before.total)
    with torch.no_grad():
        start = 0
        for parameter in model.generator.parameters():
            count = parameter.numel()
            parameter -= 1e-3 * step[start : start + count].view_as(parameter)
            start += count
    assert losses_of(model, "generator").total < before.total


@pytest.mark.parametrize(
    ("real", "fake", "adversarial", "moves"),
    [
        (0.1, 0.1, 1.0, True),
        (0.04, 0.05, 1.0, False),  # far ahead: it waits
        (0.04, 0.05, 0.5, True),
    ],
)
def test_the_discriminator_waits_while_its_loss_is_small_beside_the_generators(
    real, fake, adversarial, moves
):
    terms = {"real": real, "fake": fake, "adversarial": adversarial}
    assert phase_of(make_model(), "discriminator").moves_if(terms) is moves
    assert phase_of(make_model(least_ratio=None), "discriminator").moves_if(terms)
    assert phase_of(make_model(), "generator").moves_if is None


def test_sums_are_the_papers_on_its_scale_of_pixels():
    model = make_model(PAPER, use="autoencoder", network=None, comparator="mine")
    terms = losses_of(model, "generator").terms
    y = make_batch().images
    x = model.decode(model.encode(y)[0])
    compare = make_network()
    torch.testing.assert_close(
        terms["image"], (CAFFE_SCALE * (x - y)).square().flatten(1).sum(dim=1)
    )
    torch.testing.assert_close(
        terms["feature"], (compare(x) - compare(y)).square().flatten(1).sum(dim=1)
    )


@pytest.mark.parametrize("pixels", ["l1", "l2"])
def test_relative_distances_are_shares_of_what_there_is(pixels):
    model = make_model(comparator="mine", pixels=pixels)
    y = make_batch().images
    zeros = torch.zeros_like(y)
    torch.testing.assert_close(model._image_distance(zeros, y).mean(), torch.tensor(1.0))
    assert torch.equal(model._feature_distance(y, y), torch.zeros(8))


def test_paper_has_the_papers_weights_and_threshold():
    assert (PAPER.feature_weight, PAPER.adversarial_weight, PAPER.image_weight) == (0.01, 100, 2e-6)
    assert (PAPER.least_ratio, PAPER.reduction, PAPER.use) == (0.1, "sum", "inversion")


@pytest.mark.parametrize(
    ("name", "terms", "players"),
    [
        ("no-feature", {"image", "adversarial"}, {"generator", "discriminator"}),
        ("no-adversarial", {"image", "feature"}, {"generator", "discriminator"}),
        ("image-l2", {"image"}, {"generator"}),
        ("image-l1", {"image"}, {"generator"}),
    ],
)
def test_ablations_have_only_the_terms_and_players_they_are_trained_by(name, terms, players):
    model = make_model(ABLATIONS[name])
    assert set(losses_of(model, "generator").terms) == terms
    assert set(model.players()) == players
    assert {phase.player for phase in model.stages()[0].phases} == players


def test_without_image_weight_pixels_count_for_nothing():
    losses = losses_of(make_model(ABLATIONS["no-image"]), "generator")
    terms = losses.terms
    torch.testing.assert_close(
        losses.total, terms["feature"].mean() + 0.1 * terms["adversarial"].mean()
    )


def test_without_adversarial_term_a_frozen_comparator_needs_no_discriminator():
    model = make_model(ABLATIONS["no-adversarial"], comparator="mine")
    assert model.discriminator is None
    assert set(model.players()) == {"generator"}


def test_an_inversion_decodes_the_networks_features_and_tells_them_to_the_discriminator():
    model = make_model(use="inversion").eval()
    images = make_batch().images
    mu, log_var = model.encode(images)
    torch.testing.assert_close(mu, make_network()(images).flatten(1))
    assert torch.isneginf(log_var).all()
    torch.testing.assert_close(model(images), model.decode(mu))
    judged, other = (
        model.discriminator(images, features) for features in (mu, torch.zeros_like(mu))
    )
    assert not torch.allclose(judged, other)
    assert make_model().discriminator.read_features is None


def test_without_its_network_an_inversion_decodes_but_does_not_encode():
    config = replace(LABELMINT, use="inversion", network="mine", features=(6,), **SMALL)
    model = DeePSiM(config, num_classes=0, image_size=SIZE, channels=3)
    assert model.decode(torch.zeros(1, 6)).shape == (1, 3, *SIZE)
    with pytest.raises(ConfigError, match="inverts mine, which it does not hold"):
        model.encode(make_batch().images)
    with pytest.raises(ConfigError, match=r"expected model\.features"):
        DeePSiM(replace(config, features=None), num_classes=0, image_size=SIZE, channels=3)


def test_training_without_the_comparator_is_refused():
    config = replace(LABELMINT, comparator="alexnet:conv5", **SMALL)
    model = DeePSiM(config, num_classes=0, image_size=SIZE, channels=3)
    with pytest.raises(ConfigError, match="expected the comparator alexnet:conv5"):
        losses_of(model, "generator")


def test_attached_networks_are_no_weights_of_the_model():
    model = make_model(comparator="mine")
    bare = DeePSiM(model.config, num_classes=0, image_size=SIZE, channels=3)
    assert set(model.state_dict()) == set(bare.state_dict())
    assert len(list(model.parameters())) == len(list(bare.parameters()))


def test_dropout_repeats_with_its_draws_and_rests_without():
    judge = make_model().discriminator
    images = make_batch().images

    def judged(seed):
        return judge(images, draws=torch.Generator().manual_seed(seed))

    assert torch.equal(judged(0), judged(0))
    assert not torch.equal(judged(0), judged(1))
    assert torch.equal(judge(images), judge(images))


def test_output_does_not_depend_on_batch_neighbours():
    model = make_model(use="vae").eval()
    images = make_batch().images
    torch.testing.assert_close(model(images)[3:4], model(images[3:4]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("use", USES)
def test_saved_weights_give_the_same_output(tmp_path, use):
    model = make_model(use=use).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(9)
    fresh = DeePSiM(model.config, num_classes=0, image_size=SIZE, channels=3).eval()
    fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    fresh.attach(network=make_network())
    images = make_batch().images
    assert torch.equal(fresh(images), model(images))


@pytest.mark.parametrize("use", USES)
def test_it_memorizes_eight_images(use):
    model = make_model(use=use, width=8, latent_dim=16, kl_weight=1e-3, diff_augment=False)
    batch = Batch(F.avg_pool2d(make_batch().images, 5, 1, 2) * 2)
    optimizers = {
        name: torch.optim.Adam([p for n in networks for p in n.parameters()], lr=4e-3)
        for name, networks in model.players().items()
    }
    errors = []
    for step in range(80):
        for phase in model.stages()[0].phases:
            losses = phase.losses(batch, torch.Generator().manual_seed(step))
            model.zero_grad()
            losses.total.backward()
            optimizers[phase.player].step()
        errors.append(float(losses.terms["image"].detach().mean()))
    assert errors[-1] < 0.4 * errors[0], errors[::10]


@pytest.mark.parametrize(
    "setting",
    [
        {"code_channels": 0},
        {"latent_dim": 0},
        {"width": 0},
        {"steps": 0},
        {"feature_weight": -1.0},
        {"kl_weight": -1.0},
        {"least_ratio": -0.1},
        {"features": (3, 4), "use": "inversion"},
        {"features": (3,)},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        DeePSiMConfig(**setting)


def test_a_loss_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="expected a loss"):
        DeePSiMConfig(feature_weight=0, adversarial_weight=0, image_weight=0)


def test_images_too_small_to_halve_three_times_are_refused():
    with pytest.raises(ConfigError, match="at least 8 pixels"):
        DeePSiM(LABELMINT, num_classes=0, image_size=(4, 64), channels=3)
