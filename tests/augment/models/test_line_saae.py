from dataclasses import replace

import pytest
import torch

from augment.data.line_pairs import NO_CHARACTER, LineBatch
from augment.errors import ConfigError
from augment.models.line_saae import (
    LABELMINT,
    PAPER,
    SILENT,
    UNREAD,
    LineSAAE,
    LineSAAEConfig,
    ground_distance,
)
from augment.models.saae_config import Steps

CLASSES, SIZE, CHANNELS = 5, (16, 40), 3
SMALL = {"width": 8, "style_dim": 16, "discriminator_width": 8, "box_size": (12, 8)}
EVERYTHING = replace(LABELMINT, recognizer_weight=0.5)


class Recognizer(torch.nn.Module):
    """Eight columns of six classes from the brightness of as many places."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.classify = torch.nn.Linear(1, CLASSES + 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        columns = torch.nn.functional.adaptive_avg_pool2d(images.float().mean(1), (1, 8))[:, 0]
        return torch.log_softmax(self.classify(columns[..., None]), dim=2)


def make_model(config: LineSAAEConfig) -> LineSAAE:
    torch.manual_seed(0)
    small = {**SMALL, "style_grid": config.style_grid and (4, 2, 3)}
    model = LineSAAE(
        replace(config, **small), num_classes=CLASSES, image_size=SIZE, channels=CHANNELS
    )
    if config.recognizer_weight:
        model.listen_to(Recognizer(), [1, 2, 3, UNREAD, 5])
    return model


def make_batch(count: int = 8, width: int = SIZE[1]) -> LineBatch:
    draws = torch.Generator().manual_seed(1)

    def maps(channels: int) -> torch.Tensor:
        return torch.rand(count, channels, SIZE[0], width, generator=draws) * 2 - 1

    labels = torch.randint(CLASSES, (count, 3), generator=draws)
    labels[::2, 2] = NO_CHARACTER
    boxes = torch.zeros(count, 3, 2, 3)
    boxes[..., 0, 0], boxes[..., 1, 1] = 0.3, 1.0
    boxes[..., 0, 2] = torch.tensor([-0.6, 0.0, 0.6])
    return LineBatch(maps(CHANNELS), maps(2), labels, boxes, maps(2), labels.flip(0), boxes)


def phase_of(model: LineSAAE, name: str):
    return next(p for stage in model.stages() for p in stage.phases if p.name == name)


def owners(model: LineSAAE, name: str) -> set[str]:
    """The players whose networks a phase gives gradients."""
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
@pytest.mark.parametrize("width", [24, 40, 88])
def test_one_model_writes_lines_of_any_width(config, width):
    model = make_model(config).eval()
    images, batch = make_batch(width=width), make_batch(width=64)
    written = model(images.contents, model.encode_style(batch.images))
    assert written.shape == (8, CHANNELS, SIZE[0], width)
    assert written.abs().max() <= 1


@pytest.mark.parametrize("config", [PAPER, LABELMINT])
def test_a_style_has_one_length_whatever_its_width(config):
    model = make_model(config).eval()
    for width in (24, 88):
        style = model.encode_style(make_batch(width=width).images)
        assert style.shape == (8, model.config.style_length)


def test_paper_encoders_are_three_convolutions_without_downsampling():
    model = make_model(PAPER).eval()
    batch = make_batch()
    assert [m.shape[2:] for m in model.content_encoder(batch.contents)] == [SIZE] * 3
    convolutions = [m for m in model.decoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 3
    assert convolutions[0].in_channels == 2 * SMALL["width"]  # half content, half style


def test_discriminator_has_a_class_for_generated_characters():
    model = make_model(PAPER)
    assert model.discriminator(torch.zeros(4, CHANNELS, 12, 8)).shape == (4, CLASSES + 1)


def test_three_stages_run_in_order_with_the_steps_asked_for():
    model = make_model(replace(PAPER, steps=Steps(1, 2, 3)))
    assert [(s.name, s.steps, [p.player for p in s.phases]) for s in model.stages()] == [
        ("reconstruct", 1, ["generator"]),
        ("discriminate", 2, ["discriminator"]),
        ("alternate", 3, ["discriminator", "generator"]),
    ]


@pytest.mark.parametrize("config", [PAPER, EVERYTHING])
@pytest.mark.parametrize("name", ["reconstruct", "discriminator", "generator"])
def test_each_phase_gives_gradients_to_its_own_player_only(config, name):
    model = make_model(config)
    assert owners(model, name) == {phase_of(model, name).player}


def test_discriminator_and_generator_pull_the_same_images_in_opposite_directions():
    model, batch = make_model(replace(LABELMINT, diff_augment=False)), make_batch()
    images, draws = batch.images.clone().requires_grad_(True), torch.Generator()
    for judge in (
        lambda real: model._read(images, batch, draws, real=real),
        lambda real: model._judge(images, draws, real=real),
    ):
        (for_d,) = torch.autograd.grad(judge(False).sum(), images)
        (for_g,) = torch.autograd.grad(judge(True).sum(), images)
        assert torch.cosine_similarity(for_d.flatten(), for_g.flatten(), dim=0) < 0


def test_places_without_a_character_are_not_read():
    model, batch = make_model(PAPER).eval(), make_batch()
    changed = batch.boxes.clone()
    changed[::2, 2] = torch.eye(2, 3)  # beyond the end of these lines
    again = model._read(batch.images, batch._replace(boxes=changed), torch.Generator(), real=True)
    read = model._read(batch.images, batch, torch.Generator(), real=True)
    torch.testing.assert_close(again, read)
    assert read.shape == (8,)


def test_the_first_lines_are_to_say_the_other_text():
    model, batch = make_model(replace(PAPER, unpaired_share=0.25)), make_batch()
    wanted, unpaired = model._mix_texts(batch)
    assert unpaired == 2
    for name in ("contents", "labels", "boxes"):
        mixed = getattr(wanted, name)
        assert torch.equal(mixed[:2], getattr(batch, f"new_{name}")[:2])
        assert torch.equal(mixed[2:], getattr(batch, name)[2:])


def test_ground_is_what_no_ink_comes_near():
    images = torch.zeros(2, 3, 16, 40)
    targets = images.clone()
    old, new = (torch.zeros(2, 1, 16, 40) for _ in range(2))
    old[:, :, 8, 10] = 1
    new[:, :, 8, 30] = -1
    targets[0, :, 6:11, 8:13] = 1  # around the old ink
    targets[0, :, 8, 28] = -1  # beside the new one
    targets[1, :, :, 20] = 1
    distance = ground_distance(images, targets, old, new)
    assert distance[0] == 0
    assert distance[1] == pytest.approx(16 / (16 * 40 - 50))


def test_a_recognizer_is_heard_only_where_it_is_weighed():
    for weight, expected in ((0.0, set()), (0.5, {"read"})):
        model = make_model(replace(LABELMINT, recognizer_weight=weight))
        losses = phase_of(model, "generator").losses(make_batch(), torch.Generator())
        assert set(losses.terms) & {"read"} == expected


def test_the_generator_hears_of_every_line_whose_characters_the_recognizer_knows():
    model, batch = make_model(EVERYTHING), make_batch()
    images = batch.images.clone().requires_grad_(True)
    misread = model._misread(images, batch.labels)
    unknown = (batch.labels == 3).any(dim=1)
    assert 0 < unknown.sum() < 8
    assert torch.equal(misread > 0, ~unknown)
    (pull,) = torch.autograd.grad(misread.sum(), images)
    assert torch.equal(pull.abs().sum(dim=(1, 2, 3)) > 0, ~unknown)


def test_a_line_with_a_space_is_heard_as_it_is_read_without():
    model, images = make_model(EVERYTHING), make_batch().images[:2]
    model.listen_to(Recognizer(), [1, 2, SILENT, 4, 5])
    spaced = torch.tensor([[0, 2, 1, 4], [3, 2, 2, 1]])
    without = torch.tensor([[0, 1, 4, NO_CHARACTER], [3, 1, NO_CHARACTER, NO_CHARACTER]])
    heard = model._misread(images, spaced)
    assert (heard > 0).all()
    torch.testing.assert_close(heard, model._misread(images, without))


def test_the_recognizer_is_no_part_of_the_model_and_stays_as_it_is():
    model = make_model(EVERYTHING)
    assert not any("listening" in name or "classify" in name for name in model.state_dict())
    phase_of(model, "generator").losses(make_batch(), torch.Generator()).total.backward()
    recognizer = model._listening[0]
    assert not recognizer.training
    assert all(p.grad is None and not p.requires_grad for p in recognizer.parameters())


def test_a_weight_without_a_recognizer_is_refused():
    model = make_model(PAPER)
    model.config = replace(model.config, recognizer_weight=1.0)
    with pytest.raises(ConfigError, match="listen_to"):
        model.stages()


@pytest.mark.parametrize(
    "switch",
    [
        {"style_injection": "adain"},
        {"style_grid": (4, 2, 3)},
        {"content_skip": True},
        {"halvings": 1},
        {"halvings": 2},
        {"residual_blocks": 1},
        {"diff_augment": True},
        {"line_weight": 1.0},
        {"ground_weight": 1.0},
        {"unpaired_share": 1.0},
        {"unpaired_share": 0.0, "ground_weight": 1.0},
        {"reconstruction": "l1"},
    ],
    ids=str,
)
def test_every_departure_works_alone(switch):
    model = make_model(replace(PAPER, **switch))
    for name in ("reconstruct", "discriminator", "generator"):
        losses = phase_of(model, name).losses(make_batch(), torch.Generator().manual_seed(3))
        assert torch.isfinite(losses.total)
        assert losses.total.requires_grad
        assert all(values.ndim == 1 for values in losses.terms.values())


@pytest.mark.parametrize("config", [PAPER, LABELMINT])
def test_output_does_not_depend_on_batch_neighbours(config):
    model, batch = make_model(config).eval(), make_batch()
    together = model(batch.contents, model.encode_style(batch.images))
    alone = model(batch.contents[3:4], model.encode_style(batch.images[3:4]))
    torch.testing.assert_close(together[3:4], alone, atol=1e-5, rtol=1e-4)


def test_labelmint_memorizes_eight_lines():
    model, batch = make_model(LABELMINT), make_batch()
    smooth = torch.nn.functional.avg_pool2d(batch.images, 5, 1, 2)
    batch = batch._replace(images=smooth, contents=smooth[:, :2])
    phase = phase_of(model, "reconstruct")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    costs = []
    for _ in range(120):
        losses = phase.losses(batch, torch.Generator())
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        costs.append(float(losses.total.detach()))
    assert costs[-1] < 0.4 * costs[0]


@pytest.mark.parametrize(
    "setting",
    [
        {"halvings": 3},
        {"unpaired_share": 1.5},
        {"width": 0},
        {"style_grid": (4, 0, 2)},
        {"box_size": (0, 4)},
        {"line_weight": -1.0},
    ],
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        LineSAAEConfig(**setting)
