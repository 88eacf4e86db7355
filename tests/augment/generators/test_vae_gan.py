from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from augment.bundle import load_bundle, load_tensors
from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, DataError, RequestError
from augment.generate import Style
from augment.generators import load_sampler
from augment.generators.base import ANYTHING, train_generator, write_bundle
from augment.generators.vae_gan import CONFIGS
from augment.images import to_tensor
from augment.training import PlainContext

NAMES = ("Bright", "Red", "Dark")
TINY = (
    "model.width=4",
    "model.hidden=8",
    "model.latent_dim=5",
    "model.steps=2",
    "training.batch_size=6",
    "training.log_every=2",
    "training.checkpoint_every=2",
)


def make_data(attributes: bool = True, count: int = 12) -> LabelledImages:
    rng = np.random.default_rng(0)
    vectors = np.where(rng.random((count, len(NAMES))) < 0.5, 1, -1).astype(np.int8)
    vectors[0], vectors[1] = 1, -1
    return LabelledImages.from_arrays(
        rng.integers(0, 256, (count, 16, 8, 3)).astype(np.uint8),
        np.arange(count) % 4,
        ("a", "b", "c", "d"),
        attributes=vectors if attributes else None,
        attribute_names=NAMES if attributes else (),
    )


def make_bundle(folder, name: str, data: LabelledImages, *overrides: str):
    config = with_overrides(CONFIGS[name], [*TINY, *overrides])
    model = train_generator(data, config, PlainContext(), scratch=folder / "scratch")
    return write_bundle(folder / "bundle", model, data, config), folder / "bundle"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("vae_gan"), "labelmint", make_data())


def draw(sampler, label: int, count: int = 20, style=None):
    return sampler.draw(np.full(count, label), np.arange(count), 3, style)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_every_configuration_trains_into_a_bundle_that_draws(tmp_path, name):
    info, folder = make_bundle(tmp_path, name, make_data())
    sampler = load_sampler(folder)
    assert info.classes == sampler.classes == (ANYTHING if name == "dcgan" else NAMES)
    assert info.attributes == (() if name in ("gan", "dcgan") else NAMES)
    assert draw(sampler, len(info.classes) - 1).images.shape == (20, 16, 8, 3)


def test_a_gan_that_is_told_nothing_draws_from_its_prior_whatever_the_classes_are(tmp_path):
    each_its_own = LabelledImages.from_arrays(
        make_data().images(), np.arange(12), tuple(f"{n}" for n in range(12))
    )
    sheets, drawn = [], []
    for data in (make_data(), each_its_own):
        _, folder = make_bundle(tmp_path / str(len(drawn)), "dcgan", data)
        sheets.append(cv2.imread(str(folder / "samples.png")))
        samples = draw(load_sampler(folder), 0, 50)
        drawn.append(samples.images)
        assert len({image.tobytes() for image in samples.images}) == 50
    assert np.array_equal(*drawn)
    assert sheets[0].shape == (12 * 18 - 2, 12 * 10 - 2, 3)
    assert np.array_equal(*sheets)


def test_a_bundle_holds_the_vectors_of_its_attributes(bundle):
    info, folder = bundle
    assert load_bundle(folder).attributes == NAMES
    tensors = load_tensors(folder)
    data, model = make_data(), info.build_model()
    model.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("bank.")})
    with torch.no_grad():
        z, _ = model.eval().encode(to_tensor(data.images()))
    red = torch.from_numpy(data.attributes[:, 1] > 0)
    torch.testing.assert_close(
        tensors["bank.attribute_vectors"][1], z[red].mean(dim=0) - z[~red].mean(dim=0)
    )
    torch.testing.assert_close(tensors["bank.styles"], z)


@pytest.mark.parametrize("label", range(len(NAMES)))
def test_samples_are_made_of_images_that_have_their_label(bundle, label):
    samples = draw(load_sampler(bundle[1]), label, count=50)
    having = np.flatnonzero(make_data().attributes[:, label] > 0)
    assert set(samples.styles.ravel()) == set(having)


def test_samples_without_a_second_image_are_told_the_fold_of_the_first(bundle):
    sampler = load_sampler(bundle[1])
    samples = draw(sampler, 0, count=50)
    alone = samples.mixes == 0
    assert 0 < alone.sum() < 50
    assert (samples.folds[alone] == sampler.folds[samples.styles[alone, 0]]).all()
    assert (samples.folds[~alone] == -1).all()


def test_samples_depend_on_seed_label_and_index_alone(bundle):
    sampler, small = load_sampler(bundle[1]), load_sampler(bundle[1])
    together = draw(sampler, 1).images
    assert np.array_equal(small.draw(np.array([1]), np.array([7]), 3).images[0], together[7])
    assert len(np.unique(together.reshape(20, -1), axis=0)) == 20
    other_seed = sampler.draw(np.array([1]), np.array([7]), 4).images[0]
    assert not np.array_equal(other_seed, together[7])


def test_in_a_given_style_the_vector_of_the_label_is_added(bundle):
    sampler = load_sampler(bundle[1])
    sampler.sampling = replace(sampler.sampling, noise_std=0.0)
    style = Style((0.5, -1.0, 0.0, 1.0, 0.2))
    drawn = draw(sampler, 2, count=1, style=style)
    with torch.no_grad():
        z = torch.tensor([style.vector]) + sampler.vectors[2]
        expected = sampler.network(z.expand(sampler.batch_size, -1))[0].numpy()
    assert np.array_equal(drawn.images[0], expected)
    assert (drawn.styles == -1).all()


def test_a_conditional_model_is_told_the_attributes_of_the_first_image(tmp_path):
    _, folder = make_bundle(tmp_path, "conditional", make_data())
    sampler, told = load_sampler(folder), []
    network = sampler.network
    sampler.network = lambda z, attributes: told.append(attributes) or network(z, attributes)
    samples = draw(sampler, 1)
    assert np.array_equal(told[0][:20].numpy(), make_data().attributes[samples.styles[:, 0]])
    assert sampler.vectors is None


def test_a_conditional_model_draws_from_the_prior_for_given_attributes(tmp_path, bundle):
    _, folder = make_bundle(tmp_path, "gan", make_data())
    sampler = load_sampler(folder, batch_size=4)
    attributes = make_data().attributes
    images = sampler.draw_for(attributes, seed=1)
    assert images.shape == (12, 16, 8, 3)
    assert np.array_equal(sampler.draw_for(attributes[:5], seed=1), images[:5])
    assert not np.array_equal(sampler.draw_for(-attributes, seed=1), images)
    assert not np.array_equal(sampler.draw_for(attributes, seed=2), images)
    with pytest.raises(RequestError, match="expected 3 attributes an image, got 2"):
        sampler.draw_for(attributes[:, :2], seed=1)
    with pytest.raises(RequestError, match=r"model\.conditional"):
        load_sampler(bundle[1]).draw_for(attributes, seed=1)


def test_without_attributes_the_labels_are_the_classes(tmp_path):
    data = make_data(attributes=False)
    info, folder = make_bundle(tmp_path, "labelmint", data)
    assert info.classes == data.classes
    assert info.attributes == ()
    assert "bank.attribute_vectors" not in load_tensors(folder)
    samples = draw(load_sampler(folder), 3)
    assert set(data.labels[samples.styles.ravel()]) == {3}


def test_classes_which_would_be_the_same_in_one_style_take_none(tmp_path, bundle):
    _, folder = make_bundle(tmp_path, "labelmint", make_data(attributes=False))
    sampler, refused = load_sampler(folder), r"expected no style.*its 4 labels.*Leave the style out"
    assert not sampler.takes_styles
    with pytest.raises(RequestError, match=refused):
        sampler.style(ids=[0])
    with pytest.raises(RequestError, match=refused):
        draw(sampler, 3, style=Style((0.0,) * 5))


@pytest.mark.parametrize("name", ["labelmint", "conditional", "dcgan"])
def test_attributes_and_a_single_label_take_a_style(tmp_path, name):
    _, folder = make_bundle(tmp_path, name, make_data())
    sampler = load_sampler(folder)
    style = sampler.style(ids=[0])
    images = [draw(sampler, label, 1, style).images for label in range(len(sampler.classes))]
    assert sampler.takes_styles
    assert len({image.tobytes() for image in images}) == len(sampler.classes)


def test_of_large_sets_the_bank_keeps_some_images_and_one_of_each_label(tmp_path, monkeypatch):
    monkeypatch.setattr("augment.generators.vae_gan.MAX_STYLES", 2)
    data = make_data()
    data.attributes[:, 2] = -1
    data.attributes[5, 2] = 1
    _, folder = make_bundle(tmp_path, "labelmint", data)
    has_label = load_tensors(folder)["bank.has_label"]
    assert len(has_label) < len(data)
    assert has_label.amax(dim=0).tolist() == [1, 1, 1]


def test_batches_hold_the_attributes_of_their_images():
    data = make_data()
    config = with_overrides(CONFIGS["labelmint"], [*TINY, "images.mirror=false"])
    batch = config.batches(data)(4, 0, 1)
    known = to_tensor(data.images())
    for image, attributes in zip(batch.images, batch.attributes, strict=True):
        row = next(i for i in range(len(data)) if torch.equal(known[i], image))
        assert attributes.tolist() == data.attributes[row].tolist()
    assert config.batches(make_data(attributes=False))(0, 1, 2).attributes.shape == (3, 0)


def test_a_gan_that_is_told_nothing_draws_from_its_whole_prior():
    with pytest.raises(ConfigError, match=r"noise_std=1 .* got 0\.3\. Take --config dcgan"):
        with_overrides(CONFIGS["gan"], ["model.conditional=false"])
    assert with_overrides(CONFIGS["dcgan"], ["model.width=8"]).sampling.noise_std == 1


def test_a_conditional_model_of_images_without_attributes_is_refused():
    config = with_overrides(CONFIGS["conditional"], TINY)
    with pytest.raises(DataError, match="images with attributes for a conditional"):
        config.build_model(make_data(attributes=False))


@pytest.mark.parametrize("value", [-1, 1])
def test_attributes_that_all_or_no_images_have_are_refused_before_training(value):
    data = make_data()
    data.attributes[:, 1] = value
    with pytest.raises(DataError, match="all or none of 12 have Red:"):
        CONFIGS["labelmint"].build_model(data)
