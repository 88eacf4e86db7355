"""Bundles whose images have no class are drawn from all the same, each sample for itself."""

from pathlib import Path

import numpy as np
import pytest
from tiny_generators import UNLABELLED

from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.errors import RequestError
from augment.generators import GENERATORS
from augment.generators.base import ANYTHING, write_bundle
from augment.generators.unlabelled import load_unlabelled_sampler

SIDE, COUNT = 16, 24
KINDS = UNLABELLED | {
    "conditional": ("vae_gan", "labelmint", ("model.width=4", "model.conditional=true")),
    "dcgan": ("vae_gan", "dcgan", ("model.width=4", "model.hidden=8")),
}
PRIORS = ("masked", "deepsim")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained; the last of the images has neither attribute."""
    root = tmp_path_factory.mktemp("bundles")
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    attributes = np.ones((COUNT, 2), np.int8)
    attributes[::2, 0] = attributes[1::3, 1] = attributes[-1] = -1
    data = LabelledImages.from_arrays(
        pixels, np.zeros(COUNT, np.int64), ("face",), splits=["train"] * COUNT,
        attributes=attributes, attribute_names=("Smiling", "Young"),
    )  # fmt: skip
    for name, (architecture, preset, settings) in KINDS.items():
        config = with_overrides(GENERATORS[architecture][preset], settings)
        write_bundle(root / name, config.build_model(data).eval(), data, config)
    plain = LabelledImages.from_arrays(pixels, np.arange(COUNT) % 2, ("a", "b"))
    config = with_overrides(GENERATORS["vae_gan"]["labelmint"], ("model.width=4",))
    write_bundle(root / "classes", config.build_model(plain).eval(), plain, config)
    return {path.name: path for path in root.iterdir()}


def draw(folder: Path, indices: np.ndarray, seed: int = 0):
    sampler = load_unlabelled_sampler(folder, batch_size=8)
    assert sampler.classes == ANYTHING
    return sampler.draw(np.zeros_like(indices), indices, seed)


@pytest.mark.parametrize("name", KINDS)
def test_a_sample_is_the_same_whatever_is_drawn_beside_it(bundles, name):
    drawn = draw(bundles[name], np.arange(20)).images
    assert drawn.shape == (20, SIDE, SIDE, 3)
    assert len({image.tobytes() for image in drawn}) == 20
    alone = draw(bundles[name], np.array([13])).images[0]
    np.testing.assert_array_equal(alone, drawn[13])
    assert (draw(bundles[name], np.array([13]), seed=1).images[0] != alone).any()


@pytest.mark.parametrize("name", ["vae_gan", "conditional"])
def test_every_training_image_lends_its_latent_to_a_vae_gan(bundles, name):
    lenders = draw(bundles[name], np.arange(400)).styles[:, 0]
    assert set(lenders) == set(range(COUNT)), "those without an attribute too"


@pytest.mark.parametrize("name", PRIORS)
def test_draws_from_a_prior_are_made_of_no_image_but_take_a_style(bundles, name):
    drawn = draw(bundles[name], np.arange(3))
    assert (drawn.styles == -1).all()
    assert (drawn.folds == -1).all()
    sampler = load_unlabelled_sampler(bundles[name], batch_size=8)
    style = sampler.style(images=[drawn.images[0]])
    same = sampler.draw(np.zeros(2, np.int64), np.arange(2), 0, style).images
    np.testing.assert_array_equal(same[0], same[1])


def test_a_bundle_that_draws_classes_is_refused(bundles):
    with pytest.raises(RequestError, match="draws images without labels, got one of vae_gan"):
        load_unlabelled_sampler(bundles["classes"])
