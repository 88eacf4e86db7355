from dataclasses import replace

import pytest
import torch

from augment.data.pairs import Batch
from augment.errors import ConfigError
from augment.models.saae import LABELMINT, PAPER, SAAE, SAAEConfig, Steps

CLASSES, SIZE, CHANNELS = 5, (16, 20), 3
SMALL = {"width": 8, "style_dim": 16, "discriminator_width": 8}


def make_model(config: SAAEConfig) -> SAAE:
    torch.manual_seed(0)
    return SAAE(replace(config, **SMALL), num_classes=CLASSES, image_size=SIZE, channels=CHANNELS)


def make_batch(count: int = 8, style_size: tuple[int, int] = SIZE) -> Batch:
    draws = torch.Generator().manual_seed(1)
    return Batch(
        images=torch.rand(count, CHANNELS, *SIZE, generator=draws) * 2 - 1,
        labels=torch.arange(count) % CLASSES,
        contents=torch.rand(count, 1, *SIZE, generator=draws) * 2 - 1,
        styles=torch.rand(count, CHANNELS, *style_size, generator=draws) * 2 - 1,
    )


def phase_of(model: SAAE, name: str):
    return next(p for stage in model.stages() for p in stage.phases if p.name == name)


def gradient_owners(model: SAAE, name: str) -> set[str]:
    model.zero_grad(set_to_none=True)
    phase = phase_of(model, name)
    for player, networks in model.players().items():
        for network in networks:
            network.requires_grad_(player == phase.player)
    phase.losses(make_batch(), torch.Generator().manual_seed(2)).total.backward()
    return {
        player
        for player, networks in model.players().items()
        for network in networks
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    }


@pytest.mark.parametrize("config", [PAPER, LABELMINT])
def test_images_have_the_size_of_the_content_and_lie_in_range(config):
    model = make_model(config).eval()
    batch = make_batch()
    images = model(batch.contents, model.encode_style(batch.styles))
    assert images.shape == batch.images.shape
    assert images.min() >= -1
    assert images.max() <= 1


@pytest.mark.parametrize("config", [PAPER, LABELMINT])
def test_style_may_have_another_size_than_content(config):
    model = make_model(replace(config, style_size=(12, 40)))
    batch = make_batch(style_size=(12, 40))
    assert model(batch.contents, model.encode_style(batch.styles)).shape == batch.images.shape


def test_paper_encoders_are_three_convolutions_without_downsampling():
    model = make_model(PAPER).eval()
    batch = make_batch()
    assert [m.shape[2:] for m in model.content_encoder(batch.contents)] == [SIZE] * 3
    assert model.style_encoder.blocks(batch.styles).shape[2:] == SIZE
    convolutions = [m for m in model.decoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 3
    assert convolutions[0].in_channels == 2 * SMALL["width"]  # half content, half style


@pytest.mark.parametrize(("kind", "outputs"), [("multi", CLASSES + 1), ("binary", 1)])
def test_discriminator_has_a_class_for_generated_images_or_one_output(kind, outputs):
    model = make_model(replace(PAPER, discriminator=kind))
    assert model.discriminator(make_batch().images).shape == (8, outputs)


def test_three_stages_run_in_order_with_the_steps_asked_for():
    model = make_model(replace(PAPER, steps=Steps(1, 2, 3)))
    assert [(s.name, s.steps, [p.player for p in s.phases]) for s in model.stages()] == [
        ("reconstruct", 1, ["generator"]),
        ("discriminate", 2, ["discriminator"]),
        ("alternate", 3, ["discriminator", "generator"]),
    ]


@pytest.mark.parametrize("config", [PAPER, replace(PAPER, discriminator="binary"), LABELMINT])
@pytest.mark.parametrize("name", ["reconstruct", "discriminator", "generator"])
def test_each_phase_gives_gradients_to_its_own_player_only(config, name):
    model = make_model(config)
    assert gradient_owners(model, name) == {phase_of(model, name).player}


@pytest.mark.parametrize("kind", ["multi", "binary"])
def test_discriminator_and_generator_pull_the_same_images_in_opposite_directions(kind):
    model = make_model(replace(PAPER, discriminator=kind))
    batch = make_batch()
    fakes = batch.images.clone().requires_grad_(True)
    logits = model.discriminator(fakes)
    (for_d,) = torch.autograd.grad(model._wants_fake(logits).sum(), fakes, retain_graph=True)
    (for_g,) = torch.autograd.grad(model._wants_real(logits, batch.labels).sum(), fakes)
    assert torch.nn.functional.cosine_similarity(for_d.flatten(), for_g.flatten(), dim=0) < 0


def test_reconstruction_of_the_target_itself_costs_nothing():
    model = make_model(PAPER)
    images = make_batch().images
    assert torch.equal(model._distance(images, images, {}), torch.zeros(8))


@pytest.mark.parametrize(
    "switch",
    [
        {"style_injection": "adain"},
        {"style_pooling": True},
        {"content_transform": True},
        {"content_skip": True},
        {"halvings": 1},
        {"halvings": 2},
        {"residual_blocks": 1},
        {"spectral_norm": True},
        {"r1_weight": 1.0},
        {"diff_augment": True},
        {"unpaired_share": 0.5, "style_weight": 1.0},
        {"unpaired_share": 1.0},
    ],
    ids=str,
)
def test_every_departure_works_alone(switch):
    model = make_model(replace(PAPER, **switch))
    for name in ("reconstruct", "discriminator", "generator"):
        losses = phase_of(model, name).losses(make_batch(), torch.Generator().manual_seed(3))
        assert torch.isfinite(losses.total)
        assert losses.total.requires_grad


def test_content_transform_starts_as_the_identity():
    model = make_model(replace(PAPER, content_transform=True))
    batch = make_batch()
    z_s = model.encode_style(batch.styles)
    torch.testing.assert_close(model.transform(batch.contents, z_s), batch.contents)


@pytest.mark.parametrize("config", [PAPER, LABELMINT])
def test_output_does_not_depend_on_batch_neighbours(config):
    model = make_model(config).eval()
    batch = make_batch()
    together = model(batch.contents, model.encode_style(batch.styles))
    alone = model(batch.contents[3:4], model.encode_style(batch.styles[3:4]))
    torch.testing.assert_close(together[3:4], alone, atol=1e-5, rtol=1e-4)


def test_labelmint_memorizes_eight_images():
    model = make_model(LABELMINT)
    batch = make_batch()
    smooth = torch.nn.functional.avg_pool2d(batch.images, 5, 1, 2)
    batch = batch._replace(images=smooth, styles=smooth, contents=smooth.mean(1, keepdim=True))
    phase = phase_of(model, "reconstruct")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    costs = []
    for _ in range(150):
        losses = phase.losses(batch, torch.Generator())
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        costs.append(float(losses.total.detach()))
    assert costs[-1] < 0.35 * costs[0]


@pytest.mark.parametrize("setting", [{"halvings": 3}, {"unpaired_share": 1.5}, {"width": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError):
        SAAEConfig(**setting)


@pytest.mark.parametrize("stage", ["reconstruct", "discriminate", "alternate"])
def test_a_stage_of_fewer_than_no_steps_is_refused(stage: str) -> None:
    with pytest.raises(ConfigError, match=f"steps.{stage} must not be negative; got -1"):
        Steps(**{stage: -1})


def test_a_halved_style_map_is_read_at_a_quarter_of_the_size():
    model = make_model(replace(PAPER, halvings=2)).eval()
    batch = make_batch()
    assert model.style_encoder.blocks(batch.styles).shape[2:] == (4, 5)
    assert model(batch.contents, model.encode_style(batch.styles)).shape == batch.images.shape
