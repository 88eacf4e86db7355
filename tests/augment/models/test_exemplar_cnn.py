from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from augment.errors import ConfigError
from augment.models.exemplar_cnn import ExemplarBatch, ExemplarCNN, ExemplarConfig, transform

STILL = ExemplarConfig(exemplars=8, width=4, rotation=0, scale=1, shift=0, mirror=False)


def make_model(config: ExemplarConfig = STILL) -> ExemplarCNN:
    torch.manual_seed(0)
    return ExemplarCNN(config, num_classes=0, image_size=(16, 24), channels=3)


def some_images(count: int = 8) -> torch.Tensor:
    draws = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, 16, 24, generator=draws) * 2 - 1
    return F.avg_pool2d(images, 5, 1, 2) * 2


def differing_shapes(images: torch.Tensor, config: ExemplarConfig) -> torch.Tensor:
    """Changed images with their colours put back, as far as mean and contrast go."""
    changed = transform(images, config, torch.Generator().manual_seed(2))
    return (changed - changed.mean((1, 2, 3), True)) / changed.std((1, 2, 3), keepdim=True)


def test_logits_are_one_for_each_exemplar() -> None:
    assert make_model()(some_images()).shape == (8, 8)


@pytest.mark.parametrize(
    "change",
    [{"rotation": 90.0}, {"scale": 2.0}, {"shift": 0.5}, {"mirror": True}],
    ids=str,
)
def test_every_change_moves_pixels(change) -> None:
    images = some_images()
    still, moved = (
        differing_shapes(images, STILL),
        differing_shapes(images, replace(STILL, **change)),
    )
    assert (still - moved).abs().mean() > 0.05


def test_mirrored_images_are_mirrored_and_about_half_are() -> None:
    images = some_images(64)
    config = replace(STILL, mirror=True)
    still = transform(images, STILL, torch.Generator().manual_seed(2))
    mirrored = transform(images, config, torch.Generator().manual_seed(2))
    same = (still - mirrored).flatten(1).abs().amax(dim=1) < 1e-4
    assert 20 <= int(same.sum()) <= 44


def test_changes_depend_on_the_draws_alone() -> None:
    images = some_images()
    config = ExemplarConfig(exemplars=8)
    one = transform(images, config, torch.Generator().manual_seed(2))
    assert torch.equal(one, transform(images, config, torch.Generator().manual_seed(2)))
    assert not torch.equal(one, transform(images, config, torch.Generator().manual_seed(3)))


def test_it_learns_to_tell_changed_exemplars_apart() -> None:
    model = make_model(replace(STILL, width=8, rotation=10.0, mirror=True))
    (phase,) = model.stages()[0].phases
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    batch = ExemplarBatch(some_images().repeat(2, 1, 1, 1), torch.arange(8).repeat(2))
    losses = []
    for step in range(60):
        total = phase.losses(batch, torch.Generator().manual_seed(step)).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    assert sum(losses[-5:]) < 0.4 * sum(losses[:5]), losses[::10]


@pytest.mark.parametrize(
    "setting",
    [{"exemplars": 1}, {"width": 0}, {"steps": 0}, {"rotation": -1.0}, {"scale": 0.5}],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        ExemplarConfig(**setting)


def test_images_too_small_to_halve_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8×8 pixels"):
        ExemplarCNN(STILL, num_classes=0, image_size=(4, 16), channels=1)
