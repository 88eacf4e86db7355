import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from augment.autoencoders import Coder, coder_of
from augment.bundle import load_bundle, open_bundle
from augment.comparators import FrozenNetwork
from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, RequestError
from augment.generators import load_sampler
from augment.generators.base import train_generator, write_bundle
from augment.generators.deepsim import CONFIGS, DeePSiMGenerator, attach_networks
from augment.images import to_tensor
from augment.training import PlainContext

COUNT, SIZE = 14, (16, 20)
TINY = (
    "model.width=4",
    "model.latent_dim=5",
    "model.steps=2",
    "training.batch_size=6",
    "training.log_every=2",
    "training.checkpoint_every=2",
)
SQUEEZED = "untrained:squeezenet1_1:features.3"


@pytest.fixture(scope="module")
def data() -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (COUNT, *SIZE, 3)).astype(np.uint8)
    return LabelledImages.from_arrays(images, np.arange(COUNT) % 2, ("a", "b"))


def make_config(name: str, *overrides: str) -> DeePSiMGenerator:
    return with_overrides(CONFIGS[name], [*TINY, *overrides])


def make_bundle(folder, data, config):
    model = train_generator(data, config, PlainContext(), scratch=folder / "scratch")
    write_bundle(folder / "bundle", model, data, config)
    return model, folder / "bundle"


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - {"paper", "inversion"}))
def test_every_configuration_trains_into_a_bundle(tmp_path, data, name):
    _, folder = make_bundle(tmp_path, data, make_config(name))
    info = load_bundle(folder)
    assert (info.architecture, info.classes) == ("deepsim", ())
    rows = 4 if name == "vae" else 3
    assert cv2.imread(str(folder / "samples.png")).shape == (rows * (SIZE[0] + 2) - 2, 262, 3)
    with pytest.raises(RequestError, match="deepsim bundle draws no labelled images"):
        load_sampler(folder)


def test_an_inversions_bundle_knows_the_shape_of_features_but_holds_no_foreign_network(
    tmp_path, data
):
    config = make_config("inversion", f"model.network={SQUEEZED}")
    trained, folder = make_bundle(tmp_path, data, config)
    info, model, _ = open_bundle(folder)
    assert info.model["features"] == [128, 55, 69]
    images = to_tensor(data.images())
    with pytest.raises(ConfigError, match="inverts untrained"):
        model(images)
    attach_networks(model.eval(), SIZE, 3)
    with torch.no_grad():
        torch.testing.assert_close(model(images), trained(images))
    other = copy.deepcopy(model.network.network)
    next(other.parameters()).data += 0.1
    changed = FrozenNetwork(model.network.name, other, model.network.layer)
    with pytest.raises(ConfigError, match="they have changed since"):
        model.attach(network=changed)


def test_a_frozen_comparator_is_opened_for_training(tmp_path, data):
    config = make_config("autoencoder", f"model.comparator={SQUEEZED}")
    model, folder = make_bundle(tmp_path, data, config)
    assert model.comparator.name == SQUEEZED
    assert open_bundle(folder).model.comparator is None


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("inversion", "model.width=4", r"expected model\.network"),
        ("autoencoder", "model.comparator=untrained:alexnot:conv5", "unknown feature network"),
        ("inversion", "model.network=untrained:squeezenet1_1:conv9", "its layers are"),
        ("inversion", "model.network=discriminator", "expected the name of a feature network"),
    ],
)
def test_networks_that_cannot_be_opened_are_refused_before_training(data, name, override, message):
    with pytest.raises(ConfigError, match=message):
        make_config(name, override).build_model(data)


def test_weights_come_from_the_seed(data):
    def first(seed):
        model = make_config("autoencoder", f"training.seed={seed}").build_model(data)
        return next(iter(model.generator.parameters()))

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_batches_are_images_and_a_pure_function_of_step_and_worker(data):
    config = make_config("autoencoder", "images.mirror=false")
    batch, again = (config.batches(data)(3, 0, 2) for _ in range(2))
    assert torch.equal(batch.images, again.images)
    assert batch.images.shape == (3, 3, *SIZE)
    known = to_tensor(data.images())
    assert all((known == image).flatten(1).all(dim=1).any() for image in batch.images)


def test_validation_is_the_absolute_error_of_what_is_decoded(data):
    config = make_config("vae")
    model = config.build_model(data).eval()
    batch = config.batches(data)(0, 0, 1)
    with torch.no_grad():
        error = (model.decode(model.encode(batch.images)[0]) - batch.images).abs().mean()
        assert config.validate(model, batch) == pytest.approx(float(error))


def test_autoencoder_and_vae_restore_and_morph_images_and_an_inversion_does_not(data):
    for name in ("autoencoder", "vae"):
        assert isinstance(coder_of(make_config(name).build_model(data)), Coder)
    config = make_config("inversion", f"model.network={SQUEEZED}")
    assert coder_of(config.build_model(data)) is None


def test_paper_is_the_inversion_of_alexnet_by_its_own_conv5():
    paper = CONFIGS["paper"]
    assert (paper.model.network, paper.model.comparator) == ("alexnet:fc6", "alexnet:conv5")
    assert (paper.training.learning_rate, paper.training.betas) == (2e-4, (0.9, 0.999))
    assert replace(paper.training, batch_size=64, ema_decay=0.0) == paper.training
    assert next(iter(CONFIGS)) == "autoencoder"
