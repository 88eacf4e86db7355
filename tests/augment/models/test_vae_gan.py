from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from augment.errors import ConfigError
from augment.models.vae_gan import PAPER_FEATURES, VAEGAN, Batch, who_moves
from augment.models.vae_gan_config import LABELMINT, PAPER, VAEGANConfig, VAEGANSampling

ATTRIBUTES, SIZE = 3, (16, 24)
SMALL = {"width": 8, "hidden": 16, "latent_dim": 6}
LN2 = 0.6931


def make_model(config: VAEGANConfig = PAPER, **changes) -> VAEGAN:
    torch.manual_seed(0)
    config = replace(config, **{**SMALL, **changes})
    return VAEGAN(config, num_classes=ATTRIBUTES, image_size=SIZE, channels=3)


def make_batch(count: int = 8) -> Batch:
    draws = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, *SIZE, generator=draws) * 2 - 1
    attributes = torch.randint(0, 2, (count, ATTRIBUTES), generator=draws).float() * 2 - 1
    return Batch(images, attributes)


def phase_of(model: VAEGAN, name: str):
    return next(phase for phase in model.stages()[0].phases if phase.name == name)


def losses_of(model: VAEGAN, name: str, batch: Batch | None = None):
    return phase_of(model, name).losses(batch or make_batch(), torch.Generator().manual_seed(2))


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


@pytest.mark.parametrize("config", [PAPER, LABELMINT])
@pytest.mark.parametrize("size", [(16, 24), (8, 8), (40, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_encode_and_decode_keep_size_and_range_for_any_multiple_of_8(config, size, channels):
    model = VAEGAN(replace(config, **SMALL), num_classes=2, image_size=size, channels=channels)
    model.eval()
    mu, log_var = model.encode(torch.zeros(2, channels, *size))
    assert mu.shape == log_var.shape == (2, 6)
    images = model.decode(10 * mu)
    assert images.shape == (2, channels, *size)
    assert images.abs().max() <= 1


def test_paper_has_the_sizes_of_the_authors_code_at_64_by_64():
    model = VAEGAN(PAPER, num_classes=0, image_size=(64, 64), channels=3)
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)

    def layers(network):
        found = [m for m in network.modules() if isinstance(m, kinds)]
        return [m.out_features if isinstance(m, nn.Linear) else m.out_channels for m in found]

    assert layers(model.encoder) == [64, 128, 256, 1024, 128, 128]
    assert layers(model.decoder) == [8 * 8 * 256, 256, 128, 32, 3]
    assert layers(model.discriminator) == [32, 128, 256, 256, 512, 1]
    kernels = {m.kernel_size for m in model.modules() if isinstance(m, kinds[:2])}
    assert kernels == {(5, 5)}
    assert model.discriminator.num_features == PAPER_FEATURES


def test_dis_l_is_the_last_convolution_before_its_batch_norm():
    model = make_model()
    images = make_batch().images
    features, _ = model.discriminator(images, torch.zeros(8, 0))
    *before, last = model.discriminator.to_features
    assert isinstance(last, nn.Conv2d)
    assert last.stride == (2, 2)
    assert isinstance(model.discriminator.after_features[0], nn.BatchNorm2d)
    assert features.shape == (8, 32, 2, 3)
    with torch.no_grad():
        before_last = nn.Sequential(*before)(images)
        torch.testing.assert_close(features, last(before_last))
        last.weight.mul_(3)  # a batch norm behind it would undo this
        torch.testing.assert_close(model.discriminator(images, torch.zeros(8, 0))[0], 3 * features)


def test_encoder_follows_prior_and_feature_error_and_no_adversarial_term():
    model = make_model()
    losses = losses_of(model, "encoder")
    assert set(losses.terms) == {"prior", "llike", "pixels"}
    terms = losses.terms
    torch.testing.assert_close(losses.total, (terms["prior"] + terms["llike"]).mean())
    wanted = gradient(model.encoder, (terms["prior"] + terms["llike"]).mean())
    torch.testing.assert_close(gradient(model.encoder, losses.total), wanted)
    assert gradient(model.encoder, terms["prior"].mean()).norm() > 0
    assert gradient(model.encoder, terms["llike"].mean()).norm() > 0


def test_decoder_and_discriminator_phases_leave_the_encoder_without_gradient():
    model = make_model()
    for name in ("decoder", "discriminator"):
        assert gradient(model.encoder, losses_of(model, name).total).norm() == 0


def test_decoder_minimizes_gamma_llike_and_maximizes_what_the_discriminator_minimizes():
    model = make_model(gamma=0.2)
    losses = losses_of(model, "decoder")
    terms = losses.terms
    gamma = 0.2 * PAPER_FEATURES / (32 * 2 * 3)
    l_gan = terms["fake"].view(2, -1).sum(dim=0)  # of reconstruction and sample
    torch.testing.assert_close(
        losses.total, gamma * terms["llike"].mean() - (1 - gamma) * l_gan.mean()
    )
    assert gradient(model.decoder, terms["llike"].mean()).norm() > 0


@pytest.mark.parametrize("adversarial", ["saturating", "non_saturating"])
def test_decoder_and_discriminator_pull_generated_images_in_opposite_directions(adversarial):
    model = make_model(gamma=0, adversarial=adversarial)
    decoder = losses_of(model, "decoder")
    for_d = gradient(model.decoder, decoder.terms["fake"].mean())
    for_g = gradient(model.decoder, decoder.total)
    assert F.cosine_similarity(for_d, for_g, dim=0) < -0.5


def test_discriminator_minimizes_cross_entropy_alone_and_real_weighs_as_much_as_generated():
    model = make_model()
    losses = losses_of(model, "discriminator")
    assert {name: len(values) for name, values in losses.terms.items()} == {"real": 8, "fake": 16}
    torch.testing.assert_close(
        losses.total, losses.terms["real"].mean() + losses.terms["fake"].mean()
    )
    assert gradient(model.discriminator, losses.total).norm() > 0
    assert gradient(model.decoder, losses.total).norm() == 0


def test_gamma_keeps_the_weight_of_the_mean_feature_at_other_sizes():
    weights = []
    for width in (8, 16):
        model = make_model(width=width, gamma=0.001)
        losses = losses_of(model, "decoder")
        llike = float(losses.terms["llike"].detach().mean())
        gan = float(losses.terms["fake"].detach().mean() * 2)
        gamma = (float(losses.total.detach()) + gan) / (llike + gan)  # as the total has it
        weights.append(gamma * model.discriminator.num_features)
    assert weights == pytest.approx([0.001 * PAPER_FEATURES] * 2, rel=1e-3)


@pytest.mark.parametrize(
    ("real", "fake", "moving"),
    [
        (LN2, LN2, (True, True)),
        (0.32, 0.9, (True, False)),  # the discriminator knows real images: it waits
        (0.9, 0.32, (True, False)),
        (1.04, 0.7, (False, True)),  # the discriminator is fooled: the decoder waits
        (0.7, 1.04, (False, True)),
        (0.34, 1.02, (True, True)),  # within the margins both move
        (0.1, 2.0, (True, True)),  # both would wait, so neither does
        (2.0, 0.1, (True, True)),
    ],
)
def test_a_player_too_far_ahead_waits_unless_both_would(real, fake, moving):
    assert who_moves(real, fake, equilibrium=0.68, margin=0.35) == moving


def test_phases_ask_the_equilibrium_rule_and_the_encoder_always_moves():
    model = make_model()
    ahead = {"real": 0.1, "fake": 0.5}
    assert phase_of(model, "encoder").moves_if is None
    assert phase_of(model, "decoder").moves_if(ahead)
    assert not phase_of(model, "discriminator").moves_if(ahead)
    assert not phase_of(model, "decoder").moves_if({"real": 1.2, "fake": 0.5})
    assert phase_of(make_model(margin=None), "discriminator").moves_if(ahead)


def test_ablations_have_only_the_networks_and_players_they_train():
    vae, gan = make_model(variant="vae"), make_model(variant="gan")
    assert vae.discriminator is None
    assert vae.players() == {"autoencoder": [vae.encoder, vae.decoder]}
    assert [phase.name for phase in vae.stages()[0].phases] == ["autoencoder"]
    assert gan.encoder is None
    assert set(gan.players()) == {"decoder", "discriminator"}
    assert [phase.name for phase in gan.stages()[0].phases] == ["decoder", "discriminator"]
    with pytest.raises(ConfigError, match="a GAN encodes no images"):
        gan.encode(make_batch().images)


def test_vae_minimizes_kl_and_squared_pixel_error_summed():
    model = make_model(variant="vae")
    losses = losses_of(model, "autoencoder")
    torch.testing.assert_close(
        losses.total, (losses.terms["prior"] + losses.terms["pixels"]).mean()
    )
    assert gradient(model.encoder, losses.terms["pixels"].mean()).norm() > 0
    assert gradient(model.decoder, losses.total).norm() > 0


def test_gan_judges_samples_of_the_prior_only():
    losses = losses_of(make_model(variant="gan"), "discriminator")
    assert len(losses.terms["fake"]) == 8


@pytest.mark.parametrize("network", ["encoder", "decoder", "discriminator"])
def test_a_conditional_model_tells_every_network_the_attributes(network):
    model = make_model(conditional=True).eval()
    batch = make_batch()
    z = torch.zeros(8, 6)

    def outputs(attributes):
        return {
            "encoder": lambda: model.encode(batch.images, attributes)[0],
            "decoder": lambda: model.decode(z, attributes),
            "discriminator": lambda: model.discriminator(batch.images, attributes)[1],
        }[network]()

    assert not torch.allclose(outputs(batch.attributes), outputs(-batch.attributes))


def test_an_unconditional_model_does_not_look_at_attributes():
    model = make_model()
    batch = make_batch()
    other = batch._replace(attributes=-batch.attributes)
    for name in ("encoder", "decoder", "discriminator"):
        assert (
            losses_of(make_model(), name, batch).total == losses_of(make_model(), name, other).total
        )
    assert torch.equal(model.eval().encode(*batch)[0], model.encode(batch.images)[0])


def test_unknown_attributes_are_zeros():
    model = make_model(conditional=True).eval()
    z = torch.zeros(2, 6)
    assert torch.equal(model.decode(z), model.decode(z, torch.zeros(2, ATTRIBUTES)))


@pytest.mark.parametrize(
    "switch",
    [
        {"adversarial": "non_saturating"},
        {"norm": "group"},
        {"diff_augment": True},
        {"pixel_weight": 1.0},
        {"kernel_size": 3},
        {"kernel_size": 4},
        {"conditional": True},
        {"conditional": True, "variant": "gan"},
        {"conditional": True, "variant": "vae"},
    ],
    ids=str,
)
def test_every_switch_works_alone(switch):
    model = make_model(**switch)
    for phase in model.stages()[0].phases:
        losses = losses_of(model, phase.name)
        assert torch.isfinite(losses.total)
        assert losses.total.requires_grad


def test_pixel_weight_adds_squared_pixel_error_to_encoder_and_decoder():
    for name in ("encoder", "decoder"):
        without = losses_of(make_model(), name)
        with_pixels = losses_of(make_model(pixel_weight=2.0), name)
        share = 1.0 if name == "encoder" else PAPER.gamma * PAPER_FEATURES / (32 * 2 * 3)
        added = with_pixels.total - without.total
        torch.testing.assert_close(added, share * 2 * without.terms["pixels"].mean())


def test_augmentation_changes_an_image_and_its_reconstruction_alike():
    model = make_model(diff_augment=True)
    images = make_batch().images
    features, _ = model._judge([images, images], torch.zeros(8, 0), torch.Generator())
    torch.testing.assert_close(features[0], features[1])


def test_output_does_not_depend_on_batch_neighbours():
    model = make_model(LABELMINT, conditional=True).eval()
    batch = make_batch()
    mu, _ = model.encode(*batch)
    torch.testing.assert_close(
        model.encode(batch.images[3:4], batch.attributes[3:4])[0], mu[3:4], atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        model.decode(mu[3:4], batch.attributes[3:4]),
        model.decode(mu, batch.attributes)[3:4],
        atol=1e-5,
        rtol=1e-4,
    )


def test_with_group_norm_neighbours_do_not_matter_in_training_either():
    model = make_model(norm="group").train()
    batch = make_batch()
    features, logits = model.discriminator(batch.images, torch.zeros(8, 0))
    alone = model.discriminator(batch.images[2:3], torch.zeros(1, 0))
    torch.testing.assert_close(alone, (features[2:3], logits[2:3]), atol=1e-5, rtol=1e-4)
    assert not list(model.buffers())


def test_saved_weights_give_the_same_output(tmp_path):
    model = make_model(LABELMINT).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(9)
    fresh = VAEGAN(model.config, num_classes=ATTRIBUTES, image_size=SIZE, channels=3).eval()
    fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    images = make_batch().images
    assert torch.equal(fresh.decode(fresh.encode(images)[0]), model.decode(model.encode(images)[0]))


def test_vae_gan_memorizes_eight_images():
    model = make_model(LABELMINT, latent_dim=16, hidden=32, gamma=0.01)
    batch = make_batch()
    batch = batch._replace(images=F.avg_pool2d(batch.images, 5, 1, 2))
    optimizers = {
        name: torch.optim.Adam(networks[0].parameters(), lr=4e-3)
        for name, networks in model.players().items()
    }
    errors = []
    for step in range(80):
        for phase in model.stages()[0].phases:
            losses = phase.losses(batch, torch.Generator().manual_seed(step))
            model.zero_grad()
            losses.total.backward()
            optimizers[phase.player].step()
            if phase.name == "encoder":
                errors.append(float(losses.terms["pixels"].detach().mean()))
    assert errors[-1] < 0.35 * errors[0], errors[::10]


@pytest.mark.parametrize("size", [(12, 16), (16, 20), (0, 8)])
def test_image_sizes_that_cannot_be_halved_three_times_are_refused(size):
    with pytest.raises(ConfigError, match="multiples of 8"):
        VAEGAN(PAPER, num_classes=1, image_size=size, channels=3)


@pytest.mark.parametrize(
    "setting",
    [
        {"latent_dim": 0},
        {"width": 7},
        {"hidden": 0},
        {"gamma": 1.0},
        {"margin": 0.7},
        {"steps": 0},
        {"pixel_weight": -1.0},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        VAEGANConfig(**setting)


@pytest.mark.parametrize("setting", [{"mix_share": 1.1}, {"noise_std": -0.1}])
def test_sampling_out_of_range_is_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        VAEGANSampling(**setting)
