"""SAAE told photographs for contents: attribute transfer between faces, on tiny patterns."""

from pathlib import Path

import numpy as np
import pytest
from tiny_generators import SAAE

from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.data.pairs import gray_of
from augment.generators import GENERATORS, load_sampler
from augment.generators.base import train_generator, write_bundle
from augment.generators.saae import SAAESampler
from augment.training import PlainContext

TINY = (
    *SAAE,
    "model.steps.alternate=2",
    "training.batch_size=8",
    "training.log_every=1",
    "training.checkpoint_every=4",
)


@pytest.fixture(scope="module")
def patterns() -> LabelledImages:
    """Forty coloured patterns; every fourth has the attribute."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (40, 5, 6, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    attributes = np.where(np.arange(40) % 4 == 0, 1, -1).astype(np.int8)[:, None]
    data = LabelledImages.from_arrays(
        images,
        np.zeros(40, np.int64),
        ["face"],
        attributes=attributes,
        attribute_names=["Eyeglasses"],
    )
    return data.by_attribute("Eyeglasses")


@pytest.fixture(scope="module")
def sampler(patterns: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> SAAESampler:
    root: Path = tmp_path_factory.mktemp("saae-faces")
    config = with_overrides(GENERATORS["saae"]["faces"], TINY)
    model = train_generator(patterns, config, PlainContext(), scratch=root / "scratch")
    write_bundle(root / "bundle", model, patterns, config)
    loaded = load_sampler(root / "bundle", batch_size=4, half=False)
    assert isinstance(loaded, SAAESampler)
    return loaded


def test_contents_are_gray_photographs_of_their_class_and_never_letters(patterns, sampler):
    assert sampler.classes == ("no Eyeglasses", "Eyeglasses")
    grays = gray_of(patterns.images())
    drawn = sampler.draw(np.array([0, 1, 1, 0, 1]), np.arange(5), seed=3)
    assert (drawn.folds >= 0).all(), "every content is a real image"
    for content, label in zip(drawn.contents, [0, 1, 1, 0, 1], strict=True):
        shown = sampler.contents[content].numpy().transpose(1, 2, 0)
        of_class = grays[patterns.labels == label]
        assert (of_class == shown).all(axis=(1, 2, 3)).any()


def test_a_pair_of_content_and_style_is_combined_alike_in_any_company(patterns, sampler):
    images = patterns.images()
    contents, styles = gray_of(images[:6]), images[10:16]
    together = sampler.combine(contents, styles)
    assert together.shape == styles.shape
    alone = np.concatenate(
        [sampler.combine(contents[i : i + 1], styles[i : i + 1]) for i in (5, 2)]
    )
    np.testing.assert_array_equal(alone, together[[5, 2]])


def test_content_and_style_both_matter(patterns, sampler):
    images = patterns.images()
    contents, styles = gray_of(images[:2]), images[4:6]
    same, other = sampler.combine(contents, styles), sampler.combine(contents[::-1].copy(), styles)
    assert (same != other).any(axis=(1, 2, 3)).all()
    restyled = sampler.combine(contents, styles[::-1].copy())
    assert (same != restyled).any(axis=(1, 2, 3)).all()


def test_an_uploaded_face_lends_its_style_to_contents_of_the_class_asked_for(patterns, sampler):
    face = patterns.images([7])[0]
    style = sampler.style(images=[face])
    drawn = sampler.draw(np.array([1, 1]), np.array([0, 1]), seed=0, style=style)
    contents = sampler.contents[drawn.contents].numpy().transpose(0, 2, 3, 1)
    combined = sampler.combine(contents, np.stack([face, face]))
    assert np.abs(drawn.images.astype(int) - combined).max() <= 1
