"""DeePSiM's feature loss as an option of the other generators."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from augment.bundle import BundleInfo
from augment.comparators import FrozenNetwork
from augment.config import to_mapping, with_overrides
from augment.data.datasets import LabelledImages
from augment.errors import ConfigError
from augment.generators import GENERATORS
from augment.phases import Losses

SIZE = (32, 32)
NETWORK = "untrained:squeezenet1_1:features.0"
PIXELS = 3 * SIZE[0] * SIZE[1]
PHASES = [
    ("cvae_gan", "generator"),
    ("masked_vae", "autoencoder"),
    ("saae", "reconstruct"),
    ("saae", "generator"),
    ("vae_gan", "encoder"),
    ("vae_gan", "decoder"),
]
SUMS = ["model.reduction=sum", "model.pairwise_weight=3"]
UNITS = [  # what a share of 1 costs: (architecture, phase, settings, cost)
    ("cvae_gan", "generator", ["model.pairwise_weight=3"], 3),
    ("cvae_gan", "generator", SUMS, 3 * PIXELS / 2),
    ("cvae_gan", "encoder", [*SUMS, "model.joint=false"], 3 * PIXELS / 2),
    ("masked_vae", "autoencoder", [], 1),
    ("saae", "reconstruct", [], 1),
    ("saae", "generator", ["model.reconstruction_weight=5"], 5),
    ("vae_gan", "encoder", [], PIXELS / 2),
]
TINY = {
    "cvae_gan": ("model.width=4", "model.classifier_steps=0"),
    "masked_vae": ("model.masked=false", "model.latent_dim=8"),
    "saae": ("model.width=8", "model.unpaired_share=0.5"),
    "vae_gan": ("model.width=4", "model.hidden=8", "model.gamma=0.01"),
}


@pytest.fixture(scope="module")
def data() -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (12, *SIZE, 3)).astype(np.uint8)
    return LabelledImages.from_arrays(images, np.arange(12) % 2, ("a", "b"))


def make_config(architecture: str, weight: float | None = None):
    perceptual = None if weight is None else {"comparator": NETWORK, "weight": weight}
    settings = [*TINY[architecture], f"model.perceptual={json.dumps(perceptual)}"]
    return with_overrides(
        GENERATORS[architecture]["labelmint"], [*settings, "training.batch_size=4"]
    )


def losses_of(config, data, phase: str, comparator: nn.Module | None = None) -> Losses:
    model = config.build_model(data)
    if comparator is not None:
        model.comparator = FrozenNetwork("mine", comparator, "output")
    phases = {p.name: p for stage in model.stages() for p in stage.phases}
    batch = config.batches(data)(0, 0, 1)
    return phases[phase].losses(batch, torch.Generator().manual_seed(1))


def total_of(config, data, phase: str, comparator: nn.Module | None = None) -> float:
    return float(losses_of(config, data, phase, comparator).total.detach())


class Nothing(nn.Module):
    """Features in which all images are alike."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale * images + 1


@pytest.mark.parametrize(("architecture", "phase"), PHASES)
def test_the_term_adds_nothing_where_the_features_are_alike(data, architecture, phase):
    plain = total_of(make_config(architecture), data, phase)
    blind = total_of(make_config(architecture, 2.0), data, phase, Nothing())
    assert blind == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize(("architecture", "phase", "settings", "cost"), UNITS)
def test_the_term_costs_its_weight_in_the_unit_of_the_reconstruction(
    data, architecture, phase, settings, cost
):
    config = make_config(architecture, 0.5)
    losses = losses_of(with_overrides(config, settings), data, phase)
    share = float(losses.terms["perceptual"].detach().mean())
    assert share > 0.01
    without = with_overrides(config, [*settings, "model.perceptual=null"])
    added = float(losses.total.detach()) - total_of(without, data, phase)
    assert added == pytest.approx(0.5 * cost * share, rel=0.01)


@pytest.mark.parametrize(("architecture", "phase"), PHASES)
def test_the_term_moves_the_player_that_reconstructs(data, architecture, phase):
    config = make_config(architecture, 1.0)
    model = config.build_model(data)
    phases = {p.name: p for stage in model.stages() for p in stage.phases}
    gradients = []
    for comparator in (model.comparator, FrozenNetwork("none", Nothing(), "output")):
        model.comparator = comparator
        batch = config.batches(data)(0, 0, 1)
        total = phases[phase].losses(batch, torch.Generator().manual_seed(1)).total
        networks = model.players()[phases[phase].player]
        weights = [p for network in networks for p in network.parameters()]
        parts = torch.autograd.grad(total, weights, allow_unused=True)
        gradients.append(torch.cat([g.flatten() for g in parts if g is not None]))
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize("architecture", sorted(TINY))
def test_bundles_hold_the_setting_and_not_the_network(data, architecture):
    config = make_config(architecture, 1.0)
    model = config.build_model(data)
    assert model.comparator.name == NETWORK
    info = BundleInfo(
        architecture=architecture,
        model=to_mapping(config.model),
        sampling={},
        classes=config.classes(data),
        image_size=SIZE,
        channels=3,
    )
    rebuilt = info.build_model()
    rebuilt.load_state_dict(model.state_dict())
    assert rebuilt.config.perceptual == config.model.perceptual
    assert rebuilt.comparator is None


@pytest.mark.parametrize(("architecture", "preset"), [("cvae_gan", "cgan"), ("vae_gan", "gan")])
def test_generators_that_reconstruct_nothing_refuse_the_term(architecture, preset):
    term = json.dumps({"comparator": NETWORK})
    with pytest.raises(ConfigError, match="perceptual to null"):
        with_overrides(GENERATORS[architecture][preset], [f"model.perceptual={term}"])


def test_training_without_the_network_is_refused(data):
    config = make_config("masked_vae", 1.0)
    model = config.build_model(data)
    model.comparator = None
    batch = config.batches(data)(0, 0, 1)
    with pytest.raises(ConfigError, match="expected the comparator untrained:squeezenet1_1"):
        model.stages()[0].phases[0].losses(batch, torch.Generator())
