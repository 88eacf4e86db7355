from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
import torch

from augment.errors import ConfigError
from augment.models.masked_vae import LABELMINT, PAPER, MaskedBatch, MaskedVAE, MaskedVAEConfig

SIZE, CHANNELS = (20, 24), 3
TINY = MaskedVAEConfig(
    latent_dim=16,
    encoder=((8,), (16,), (16,)),
    hidden_dim=32,
    decoder=(16, 16, 8),
    mask_decoder=(8, 8, 8),
)
LOSSES = get_args(get_type_hints(MaskedVAEConfig)["reconstruction"])


def make_model(
    config: MaskedVAEConfig = TINY, image_size: tuple[int, int] = SIZE, channels: int = CHANNELS
) -> MaskedVAE:
    torch.manual_seed(0)
    return MaskedVAE(config, num_classes=2, image_size=image_size, channels=channels)


def make_batch(count: int = 8, size: tuple[int, int] = SIZE) -> MaskedBatch:
    draws = torch.Generator().manual_seed(1)
    images = torch.rand(count, CHANNELS, *size, generator=draws) * 2 - 1
    face_masks = torch.zeros(count, 1, *size)
    face_masks[:, :, 3:-4, 5:-6] = 1
    return MaskedBatch(torch.nn.functional.avg_pool2d(images, 5, 1, 2), face_masks)


def losses_of(model: MaskedVAE, batch: MaskedBatch, seed: int = 2):
    (stage,) = model.stages()
    (phase,) = stage.phases
    return phase.losses(batch, torch.Generator().manual_seed(seed))


def test_published_plan_goes_down_to_one_pixel_and_back_to_144_by_way_of_nine():
    model = make_model(PAPER, (144, 144)).eval()
    sides = [2, 4, 9, 18, 36, 72, 144]
    grown = []
    for level in model.decoder.levels:
        if isinstance(level, torch.nn.Sequential) and isinstance(
            level[0], torch.nn.ConvTranspose2d
        ):
            level.register_forward_hook(lambda _m, _i, maps: grown.append(tuple(maps.shape[2:])))
    with torch.no_grad():
        mu, log_var = model.encode(torch.zeros(1, 3, 144, 144))
        images, face_masks = model.decode(mu), model.predict_mask(mu)
    assert grown == [(side, side) for side in sides]
    assert mu.shape == log_var.shape == (1, 512)
    assert images.shape == (1, 3, 144, 144)
    assert face_masks.shape == (1, 1, 144, 144)


@pytest.mark.parametrize("size", [(8, 8), (13, 9), (20, 24), (33, 17)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_image_size_is_decoded_to_itself(size, channels):
    model = make_model(replace(TINY, reconstruction="l1"), size, channels).eval()
    images = torch.zeros(2, channels, *size)
    assert model.reconstruct(images).shape == images.shape
    assert model.predict_mask(model.encode(images)[0]).shape == (2, 1, *size)


def test_labelmint_takes_64_by_64():
    model = make_model(LABELMINT, (64, 64)).eval()
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 3, 64, 64)


def test_outputs_lie_in_range():
    model = make_model().eval()
    z = 10 * torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    assert model.decode(z).abs().max() <= 1
    assert 0 <= model.predict_mask(z).min() <= model.predict_mask(z).max() <= 1


def test_labels_change_neither_encoding_nor_decoding():
    model, batch = make_model().eval(), make_batch()
    mu, _ = model.encode(batch.images)
    assert torch.equal(model.encode(batch.images, torch.ones(8, dtype=torch.int64))[0], mu)
    assert torch.equal(model.decode(mu, torch.ones(8, dtype=torch.int64)), model.decode(mu))


def test_composite_keeps_every_pixel_outside_the_face():
    model, batch = make_model().eval(), make_batch()
    rebuilt = model.reconstruct(batch.images, batch.face_masks)
    outside = (batch.face_masks == 0).expand_as(rebuilt)
    assert torch.equal(rebuilt[outside], batch.images[outside])
    decoded = model.decode(model.encode(batch.images)[0])
    assert torch.equal(rebuilt[~outside], decoded[~outside])


def test_composite_at_inference_is_made_with_the_predicted_mask():
    model, batch = make_model().eval(), make_batch()
    mu, _ = model.encode(batch.images)
    predicted = model.predict_mask(mu)
    expected = model.decode(mu) * predicted + batch.images * (1 - predicted)
    torch.testing.assert_close(model.reconstruct(batch.images), expected)
    assert torch.equal(model(batch.images), model.reconstruct(batch.images))


@pytest.mark.parametrize("reconstruction", LOSSES)
def test_what_is_decoded_outside_the_face_changes_no_term(reconstruction):
    model, batch = make_model(replace(TINY, reconstruction=reconstruction)), make_batch()
    decoded = torch.zeros_like(batch.images).requires_grad_(True)
    terms = model.reconstruction_terms(decoded, batch.images, batch.face_masks)
    changed = torch.where(batch.face_masks > 0, decoded, 1 - batch.images)
    after = model.reconstruction_terms(changed, batch.images, batch.face_masks)
    assert set(terms) == set(reconstruction.split("+"))
    for name in terms:
        assert terms[name].shape == (8,)
        assert torch.equal(after[name], terms[name])
    (gradient,) = torch.autograd.grad(sum(terms.values()).sum(), decoded)
    outside = (batch.face_masks == 0).expand_as(gradient)
    assert torch.equal(gradient[outside], torch.zeros_like(gradient[outside]))
    assert gradient[~outside].abs().sum() > 0


def test_without_masks_what_is_decoded_anywhere_counts_and_masks_do_not():
    model, batch = make_model(replace(TINY, masked=False)), make_batch()
    losses = losses_of(model, batch)
    empty = losses_of(model, batch._replace(face_masks=torch.zeros_like(batch.face_masks)))
    assert torch.equal(losses.total, empty.total)
    assert set(losses.terms) == {"kl", "l2", "ssim"}
    model.eval()
    rebuilt = model.reconstruct(batch.images)
    assert torch.equal(rebuilt, model.decode(model.encode(batch.images)[0]))


def test_without_masks_no_mask_is_predicted():
    with pytest.raises(ConfigError, match=r"masked=False"):
        make_model(replace(TINY, masked=False)).predict_mask(torch.zeros(1, 16))


def test_perfect_reconstruction_leaves_the_constant_one_of_two_minus_ssim():
    model, batch = make_model(replace(TINY, reconstruction="l1+ssim")), make_batch()
    terms = model.reconstruction_terms(batch.images, batch.images, batch.face_masks)
    assert torch.equal(terms["l1"], torch.zeros(8))
    torch.testing.assert_close(terms["ssim"], torch.ones(8))


def test_distances_are_taken_on_images_from_zero_to_one():
    model, batch = make_model(replace(TINY, reconstruction="l1")), make_batch()
    terms = model.reconstruction_terms(batch.images + 0.5, batch.images, batch.face_masks)
    torch.testing.assert_close(terms["l1"], torch.full((8,), 0.25))
    model = make_model(replace(TINY, reconstruction="l2"))
    terms = model.reconstruction_terms(batch.images + 0.5, batch.images, batch.face_masks)
    torch.testing.assert_close(terms["l2"], torch.full((8,), 0.0625))


@pytest.mark.parametrize("reconstruction", LOSSES)
@pytest.mark.parametrize("masked", [True, False])
def test_total_is_the_published_sum_of_the_terms(reconstruction, masked):
    model = make_model(replace(TINY, reconstruction=reconstruction, masked=masked))
    losses = losses_of(model, make_batch())
    weights = {"kl": 1e-3 / 16, "l1": 4, "l2": 100, "ssim": 1, "mask_entropy": 1, "mask_dice": 1}
    expected = sum(weights[name] * values.mean() for name, values in losses.terms.items())
    torch.testing.assert_close(losses.total, expected)
    assert set(losses.terms) == {
        "kl",
        *reconstruction.split("+"),
        *(("mask_entropy", "mask_dice") if masked else ()),
    }


def test_kl_term_is_the_closed_form():
    model, batch = make_model(), make_batch()
    mu, log_var = model.encode(batch.images)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(mu, (0.5 * log_var).exp()), normal(torch.zeros(()), torch.ones(()))
    ).sum(dim=1)
    torch.testing.assert_close(losses_of(model, batch).terms["kl"], expected)


def test_samples_have_the_variance_that_log_var_says():
    """The authors' code multiplies the noise by what its KL term takes for a logarithm."""
    model, drawn = make_model(replace(TINY, reconstruction="l1"), (8, 8)), []
    log_var = torch.linspace(-4, 2, 16)
    with torch.no_grad():
        for head in (model.encoder.to_mu, model.encoder.to_log_var):
            head.weight.zero_()
        model.encoder.to_mu.bias.fill_(3.0)
        model.encoder.to_log_var.bias.copy_(log_var)
    model.decoder.register_forward_pre_hook(lambda _m, inputs: drawn.append(inputs[0].detach()))
    images = torch.zeros(4000, CHANNELS, 8, 8)
    losses_of(model, MaskedBatch(images, torch.ones(4000, 1, 8, 8)))
    (z,) = drawn
    torch.testing.assert_close(z.var(dim=0), log_var.exp(), atol=0, rtol=0.1)
    torch.testing.assert_close(z.mean(dim=0), torch.full((16,), 3.0), atol=0.15, rtol=0)


@pytest.mark.parametrize("masked", [True, False])
def test_the_one_player_moves_every_network(masked):
    model = make_model(replace(TINY, masked=masked))
    (networks,) = model.players().values()
    assert {id(p) for n in networks for p in n.parameters()} == {id(p) for p in model.parameters()}
    losses_of(model, make_batch()).total.backward()
    for network in networks:
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_mask_terms_pull_the_predicted_mask_towards_the_face():
    model, batch = make_model(), make_batch()
    logits = []
    model.mask_decoder.register_forward_hook(lambda _m, _i, values: logits.append(values))
    total = losses_of(model, batch).total
    (gradient,) = torch.autograd.grad(total, logits[0])
    assert (gradient[batch.face_masks > 0] < 0).all()
    assert (gradient[batch.face_masks == 0] > 0).all()


@pytest.mark.parametrize("masked", [True, False])
def test_it_memorizes_eight_images_and_their_masks(masked):
    model, batch = make_model(replace(TINY, masked=masked)), make_batch()
    shifted = [batch.face_masks[i].roll(i - 4, dims=2) for i in range(8)]
    batch = batch._replace(face_masks=torch.stack(shifted))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    first = losses_of(model, batch).terms
    for step in range(150):
        losses = losses_of(model, batch, seed=step)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert losses.terms["l2"].mean() < 0.1 * first["l2"].mean()
    assert losses.terms["ssim"].mean() - 1 < 0.5 * (first["ssim"].mean() - 1)
    if masked:
        assert losses.terms["mask_dice"].mean() < 0.05


def test_saved_and_loaded_weights_reconstruct_alike(tmp_path):
    model, batch = make_model().eval(), make_batch()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(9)
    loaded = MaskedVAE(TINY, num_classes=2, image_size=SIZE, channels=CHANNELS).eval()
    assert not torch.equal(loaded(batch.images), model(batch.images))
    loaded.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(loaded(batch.images), model(batch.images))


def test_same_draws_give_the_same_losses_and_others_do_not():
    model, batch = make_model(), make_batch()
    assert torch.equal(losses_of(model, batch, 3).total, losses_of(model, batch, 3).total)
    assert not torch.equal(losses_of(model, batch, 3).total, losses_of(model, batch, 4).total)


def test_reconstruction_does_not_depend_on_batch_neighbours():
    model, batch = make_model().eval(), make_batch()
    together, alone = model(batch.images), model(batch.images[3:4])
    torch.testing.assert_close(together[3:4], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "setting",
    [
        {"latent_dim": 0},
        {"hidden_dim": 0},
        {"decoder": (8,)},
        {"encoder": (), "decoder": (), "mask_decoder": ()},
        {"encoder": ((8,), (), (8,)), "decoder": (8, 8, 8), "mask_decoder": (8, 8, 8)},
        {"mask_decoder": (8, 8, 8, 8, 8, 8, 0)},
        {"kl_weight": -1.0},
        {"steps": -1},
        {"ssim_window": 8},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError):
        MaskedVAEConfig(**setting)


@pytest.mark.parametrize(("reconstruction", "side"), [("l1", 7), ("l2+ssim", 8)])
def test_images_too_small_for_levels_or_windows_are_refused(reconstruction, side):
    config = replace(TINY, reconstruction=reconstruction)
    with pytest.raises(ConfigError, match=f"at least {side + 1} pixels.* got {side}×20"):
        make_model(config, (side, 20))
