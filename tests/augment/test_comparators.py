import copy

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from augment.comparators import OUTPUT, FrozenNetwork, LearningNetwork, PerceptualConfig
from augment.errors import ConfigError


class Network(nn.Module):
    """Two layers that are used and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten())
        self.norm = nn.BatchNorm1d(4 * 6 * 6)
        self.head = nn.Linear(4 * 6 * 6, 5)
        self.unused = nn.Linear(2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.body(images)))


class Holder(nn.Module):
    """A model that compares by a frozen network."""

    def __init__(self, comparator: FrozenNetwork) -> None:
        super().__init__()
        self.own = nn.Linear(2, 2)
        self.comparator = comparator


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network()


IMAGES = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)


def test_features_are_what_the_layer_gives(network) -> None:
    inner = FrozenNetwork("mine", network, "body.0")
    torch.testing.assert_close(inner(IMAGES), network.body[0](IMAGES))
    assert not inner.learns
    assert FrozenNetwork("mine", network, "body")(IMAGES).shape == (2, 4 * 6 * 6)
    logits = FrozenNetwork("mine", network, "output")(IMAGES)
    torch.testing.assert_close(logits, network(IMAGES))
    probabilities = FrozenNetwork("mine", network, "probabilities")(IMAGES)
    torch.testing.assert_close(probabilities, logits.softmax(dim=1))


def test_the_network_is_left_as_soon_as_the_layer_is_reached(network) -> None:
    network.head = nn.Linear(1, 1)  # does not fit, and is never run
    FrozenNetwork("mine", network, "norm")(IMAGES)
    assert not network.norm._forward_hooks


def test_gradients_reach_images_and_no_weight(network) -> None:
    images = IMAGES.clone().requires_grad_(True)
    FrozenNetwork("mine", network, "head")(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())


def test_a_frozen_network_is_no_part_of_the_model_that_holds_it(network) -> None:
    holder = Holder(FrozenNetwork("mine", network, "body"))
    assert set(holder.state_dict()) == {"own.weight", "own.bias"}
    assert len(list(holder.parameters())) == 2
    holder.load_state_dict(nn.ModuleDict({"own": nn.Linear(2, 2)}).state_dict())
    assert copy.deepcopy(holder).comparator.network is network


def test_a_frozen_network_stays_in_eval_mode_and_moves_with_its_model(network) -> None:
    holder = Holder(FrozenNetwork("mine", network, "norm")).train()
    before = network.norm.running_mean.clone()
    holder.comparator(IMAGES)
    assert torch.equal(network.norm.running_mean, before)
    holder.double()
    assert network.body[0].weight.dtype == torch.float64


def test_images_are_prepared_for_the_network(network) -> None:
    doubled = FrozenNetwork("mine", network, "body", prepare=lambda images: 2 * images)
    plain = FrozenNetwork("mine", network, "body")
    torch.testing.assert_close(doubled(IMAGES), plain(2 * IMAGES))


def test_shape_of_features_is_that_of_one_image(network) -> None:
    frozen = FrozenNetwork("mine", network, "body.0")
    assert frozen.shape_of_features((8, 8), 3) == (4, 6, 6)
    with pytest.raises(ConfigError, match="mine does not take images of 8×8×1"):
        frozen.shape_of_features((8, 8), 1)


def test_weights_that_give_no_finite_features_are_refused(network) -> None:
    torch.nn.init.constant_(next(network.parameters()), float("nan"))
    found = FrozenNetwork("broken", network, OUTPUT)
    with pytest.raises(ConfigError, match="broken: expected finite features of output"):
        found.shape_of_features((8, 8), 3)


def test_a_layer_that_images_pass_twice_is_refused() -> None:
    """As torchvision's BasicBlock uses one ReLU twice: the first pass is not the block's output."""
    network = resnet18(weights=None)
    found = FrozenNetwork("mine", network, "layer1.0.relu")
    with pytest.raises(ConfigError, match=r"got layer1\.0\.relu, which they pass 2 times"):
        found.shape_of_features((64, 64), 3)
    assert FrozenNetwork("mine", network, "layer1.0").shape_of_features((64, 64), 3)[0] == 64


def test_layers_behind_the_one_that_counts_need_not_take_the_images(network) -> None:
    assert FrozenNetwork("mine", network, "body.0").shape_of_features((9, 9), 3) == (4, 7, 7)


def test_an_unknown_layer_is_refused_with_the_valid_ones(network) -> None:
    with pytest.raises(
        ConfigError, match=r"a layer of Network, got 'conv9'.* body, body\.0, .*hea"
    ):
        FrozenNetwork("mine", network, "conv9")


def test_a_layer_that_images_do_not_pass_is_refused(network) -> None:
    with pytest.raises(ConfigError, match="do not pass through unused"):
        FrozenNetwork("mine", network, "unused")(IMAGES)


def test_a_learning_network_says_so_and_gives_what_its_part_makes(network) -> None:
    learning = LearningNetwork("discriminator", network.body)
    assert learning.learns
    assert learning.name == "discriminator"
    torch.testing.assert_close(learning(IMAGES), network.body(IMAGES))


def test_a_perceptual_term_of_no_weight_is_refused() -> None:
    with pytest.raises(ConfigError, match="null to leave the term out"):
        PerceptualConfig("alexnet:conv5", weight=0)
