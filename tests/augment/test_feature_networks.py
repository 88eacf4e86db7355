from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, alexnet, squeezenet1_1

from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.errors import BundleNotFoundError, ConfigError
from augment.feature_networks import ALEXNET_LAYERS, open_comparator, with_path
from augment.generators.base import train_generator, write_bundle
from augment.generators.exemplar_cnn import CONFIGS
from augment.training import PlainContext

SIZE = (64, 64)


@pytest.fixture(scope="module")
def squeezenet_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return squeezenet1_1(weights=None).state_dict()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_read_from_a_file(tmp_path, squeezenet_state, suffix) -> None:
    file = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(squeezenet_state, file)
    opened = open_comparator(f"squeezenet1_1:features.5@{file}", SIZE, 3)
    for name, values in opened.network.state_dict().items():
        assert torch.equal(values, squeezenet_state[name])


def test_weights_come_from_torchvision_where_no_file_is_named(monkeypatch, squeezenet_state):
    asked = []

    def get_state_dict(self, **how):
        asked.append((self, how["check_hash"], how["weights_only"]))
        return squeezenet_state

    monkeypatch.setattr(SqueezeNet1_1_Weights, "get_state_dict", get_state_dict)
    opened = open_comparator("squeezenet1_1:features.5", SIZE, 3)
    assert asked == [(SqueezeNet1_1_Weights.DEFAULT, True, True)]
    assert torch.equal(
        opened.network.state_dict()["features.0.weight"], squeezenet_state["features.0.weight"]
    )


def test_without_weights_nothing_is_silently_random(monkeypatch) -> None:
    def get_state_dict(self, **how):
        raise URLError("no internet")

    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", get_state_dict)
    with pytest.raises(ConfigError, match=r"alexnet:conv5@FILE, or .* untrained:alexnet:conv5"):
        open_comparator("alexnet:conv5", SIZE, 3)


def test_weights_that_do_not_fit_are_refused(tmp_path, squeezenet_state) -> None:
    torch.save(squeezenet_state, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="expected weights of resnet18, got others"):
        open_comparator(f"resnet18:layer1@{tmp_path / 'other.pth'}", SIZE, 3)


@pytest.mark.parametrize("content", [None, b"no weights", b"hello, world", b""])
def test_files_without_weights_are_refused(tmp_path, content) -> None:
    for suffix in (".pth", ".safetensors"):
        file = tmp_path / f"weights{suffix}"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError, match="expected a state dict"):
            open_comparator(f"squeezenet1_1:features.5@{file}", SIZE, 3)


def test_a_file_of_something_else_than_a_state_dict_is_refused(tmp_path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ConfigError, match="expected a state dict, got list"):
        open_comparator(f"squeezenet1_1:features.5@{tmp_path / 'list.pth'}", SIZE, 3)


def test_untrained_networks_are_the_same_each_time_and_leave_global_draws_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = open_comparator("untrained:squeezenet1_1:features.5", SIZE, 3)
    assert torch.equal(torch.rand(1), expected)
    two = open_comparator("untrained:squeezenet1_1:features.5", SIZE, 3)
    images = torch.rand(2, 3, *SIZE)
    assert torch.equal(one(images), two(images))


def test_the_papers_names_of_alexnet_mean_pooled_and_rectified_layers() -> None:
    torch.manual_seed(0)
    network = alexnet(weights=None)
    kinds = {
        name: type(network.get_submodule(layer)).__name__ for name, layer in ALEXNET_LAYERS.items()
    }
    assert kinds == {
        "conv1": "MaxPool2d",
        "conv2": "MaxPool2d",
        "conv3": "ReLU",
        "conv4": "ReLU",
        "conv5": "MaxPool2d",
        "fc6": "ReLU",
        "fc7": "ReLU",
        "fc8": "Linear",
    }
    conv5 = open_comparator("untrained:alexnet:conv5", (227, 227), 3)
    assert conv5.shape_of_features((227, 227), 3) == (256, 6, 6)


def test_small_and_gray_images_are_shown_enlarged_and_as_rgb() -> None:
    features = open_comparator("untrained:squeezenet1_1:features.5", (16, 24), 1)
    gray = torch.rand(2, 1, 16, 24)
    torch.testing.assert_close(features(gray), features(gray.expand(-1, 3, -1, -1)))
    assert features.prepare(gray).shape == (2, 3, 224, 336)
    conv5 = open_comparator("untrained:alexnet:conv5", (32, 32), 3)
    assert conv5.shape_of_features((32, 32), 3) == (256, 6, 6), "as the paper's of 227 pixels"
    white = features.prepare(torch.ones(1, 3, 64, 64))[0, :, 0, 0]
    torch.testing.assert_close(white, torch.tensor([2.2489, 2.4286, 2.6400]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["googlenet:conv1.conv", "inception_v3:Conv2d_1a_3x3.conv"])
def test_inceptions_see_the_range_that_torchvisions_weights_were_trained_on(name) -> None:
    features = open_comparator(f"untrained:{name}", (224, 224), 3)
    images = 2 * torch.rand(2, 3, 224, 224) - 1
    first = features.network.get_submodule(features.layer)
    torch.testing.assert_close(features(images), first(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("untrained:squeezenet1_1:features.99", r"got 'features\.99'; its layers are features, "),
        (
            "untrained:alexnot:conv5",
            "unknown feature network 'alexnot'; expected exemplar, .*alexn",
        ),
        ("alexnot:conv5", "unknown feature network 'alexnot'"),
        ("alexnet", "expected the name of a feature network"),
        ("discriminator", "expected the name of a feature network"),
        ("untrained:squeezenet1_1:", "its layers are"),
        ("exemplar:nowhere:", "say which layer"),
        (
            "exemplar:s3://bucket/ex/1",
            "expected a folder on a disk .* got the URL s3://bucket/ex/1",
        ),
    ],
)
def test_names_that_mean_nothing_are_refused_with_those_that_do(name, message) -> None:
    with pytest.raises(ConfigError, match=message):
        open_comparator(name, SIZE, 3)


@pytest.mark.parametrize(
    ("name", "absolute"),
    [
        ("exemplar:reg/ex/1", "exemplar:/here/reg/ex/1"),
        ("exemplar:reg/ex:convolutions.1", "exemplar:/here/reg/ex:convolutions.1"),
        ("exemplar:s3://b/ex", "exemplar:/here/s3://b/ex"),
        ("exemplar:s3://b/ex:body", "exemplar:/here/s3://b/ex:body"),
        ("alexnet:conv5@weights.pth", "alexnet:conv5@/here/weights.pth"),
        ("alexnet:conv5", "alexnet:conv5"),
        ("untrained:alexnet:conv5", "untrained:alexnet:conv5"),
        ("discriminator", "discriminator"),
    ],
)
def test_only_the_path_in_a_name_is_changed(name, absolute) -> None:
    assert with_path(name, lambda path: f"/here/{path}") == absolute


def test_an_exemplar_cnn_serves_from_its_bundle(tmp_path) -> None:
    rng = np.random.default_rng(0)
    data = LabelledImages.from_arrays(
        rng.integers(0, 256, (6, 16, 16, 3)).astype(np.uint8), np.arange(6) % 2, ("a", "b")
    )
    config = with_overrides(
        CONFIGS["labelmint"],
        ["model.steps=1", "model.width=4", "model.exemplars=6", "training.batch_size=4"],
    )
    model = train_generator(data, config, PlainContext(), scratch=tmp_path / "scratch")
    write_bundle(tmp_path / "bundle", model, data, config)
    opened = open_comparator(f"exemplar:{tmp_path / 'bundle'}", (16, 16), 3)
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(opened(images), model.convolutions(images))
    inner = open_comparator(f"exemplar:{tmp_path / 'bundle'}:convolutions.1", (16, 16), 3)
    assert inner(images).shape == (2, 8, 8, 8)
    with pytest.raises(BundleNotFoundError):
        open_comparator(f"exemplar:{tmp_path / 'nowhere'}", (16, 16), 3)
