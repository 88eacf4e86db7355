"""CVAE-GAN bundles: trained, written, loaded, sampled; new identities and held-out people."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from augment.bundle import load_bundle
from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.errors import DataError, RequestError
from augment.export import generated_record
from augment.generate import draw_counts
from augment.generators import GENERATORS, load_sampler
from augment.generators.base import train_generator, write_bundle
from augment.generators.cvae_gan import CONFIGS, SETTLING, CVAEGANSampler
from augment.models.cvae_gan import CVAEGAN
from augment.training import PlainContext

TINY = (
    "model.width=4",
    "model.latent_dim=6",
    "model.label_dim=5",
    "model.steps=2",
    "model.classifier_steps=20",
    "training.batch_size=8",
    "training.log_every=1",
    "training.checkpoint_every=3",
)
LABELS, INDICES = np.array([3, 1, 3, 0, 2, 3]), np.array([0, 0, 1, 7, 2, 2])


@pytest.fixture(scope="module")
def patches() -> LabelledImages:
    """Five classes of eight coloured patterns: nothing in CVAE-GAN knows faces."""
    draws = np.random.default_rng(0)
    coarse = draws.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)
    return LabelledImages.from_arrays(images, np.repeat(np.arange(5), 8), tuple("abcde"))


@pytest.fixture(scope="module")
def folder(patches: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cvae")
    config = with_overrides(GENERATORS["cvae_gan"]["labelmint"], TINY)
    model = train_generator(patches, config, PlainContext(), scratch=root / "scratch")
    write_bundle(root / "bundle", model, patches, config)
    return root / "bundle"


@pytest.fixture(scope="module")
def sampler(folder: Path) -> CVAEGANSampler:
    loaded = load_sampler(folder, batch_size=4, half=False)
    assert isinstance(loaded, CVAEGANSampler)
    return loaded


def test_a_bundle_says_what_it_is(folder):
    info = load_bundle(folder)
    assert (info.architecture, info.classes) == ("cvae_gan", tuple("abcde"))
    assert info.data["images"] == 40


def test_every_worker_knows_the_classes_that_all_of_them_see(patches):
    batches = with_overrides(CONFIGS["labelmint"], TINY).batches(patches)
    alone, parts = batches(3, 0, 1), [batches(3, rank, 2) for rank in range(2)]
    assert torch.equal(alone.step_labels, alone.labels)
    everybodys = torch.cat([part.labels for part in parts])
    for part in parts:
        assert len(part.images) == len(part.labels) == 4
        assert torch.equal(part.step_labels, everybodys)


def test_the_classifier_ends_with_the_statistics_of_training_images(sampler, patches):
    batches = with_overrides(CONFIGS["labelmint"], TINY).batches(patches)
    convolve, norm, *_ = sampler.model.networks.classifier.body
    with torch.no_grad():
        maps = [convolve(batches(step, 0, 1).images).transpose(0, 1) for step in range(SETTLING)]
    means, variances = (
        torch.stack([statistic(some.flatten(1), dim=1) for some in maps]).mean(dim=0)
        for statistic in (torch.mean, torch.var)
    )
    torch.testing.assert_close(norm.running_mean, means)
    torch.testing.assert_close(norm.running_var, variances)


def test_a_trained_model_is_given_back_in_eval_mode(patches, tmp_path):
    config = with_overrides(CONFIGS["labelmint"], [*TINY, "model.classifier_steps=0"])
    model = train_generator(patches, config, PlainContext(), scratch=tmp_path)
    assert not any(module.training for module in model.modules())


def test_a_sample_is_the_same_in_any_batch_and_order(sampler):
    together = sampler.draw(LABELS, INDICES, seed=5)
    order = np.array([5, 2, 0, 4, 1, 3])
    shuffled = sampler.draw(LABELS[order], INDICES[order], seed=5)
    assert np.array_equal(together.images[order], shuffled.images)
    assert not np.array_equal(together.images, sampler.draw(LABELS, INDICES, seed=6).images)


def test_a_lent_z_is_traced_to_its_images_and_a_drawn_one_to_none(folder, sampler):
    lent = sampler.draw(LABELS, INDICES, seed=1)
    assert ((lent.styles >= 0) & (lent.styles < 40)).all()
    config = with_overrides(sampler.sampling, ["lend=0.0"])
    drawn = load_sampler(folder, batch_size=4, half=False)
    drawn.sampling = config
    assert (drawn.draw(LABELS, INDICES, seed=1).styles == -1).all()


def test_a_sample_that_shows_a_training_image_again_names_its_fold(sampler):
    labels, indices = np.zeros(400, np.int64), np.arange(400)
    samples = sampler.draw(labels, indices, seed=2)
    own = (sampler.style_labels[samples.styles[:, 0]] == 0) & (samples.mixes == 0)
    assert own.any()
    assert (samples.folds[own] == sampler.style_folds[samples.styles[own, 0]]).all()
    assert (samples.folds[~own] == -1).all()


def test_a_style_image_is_encoded_and_fixes_z(sampler, patches):
    style = sampler.style(images=[patches.images([3])[0]])
    assert len(style.vector) == 6
    samples = sampler.draw(LABELS, INDICES, 0, style)
    assert (samples.styles == -1).all()


def test_new_identities_are_mixes_of_three_and_depend_on_seed_and_number_alone(sampler):
    few, many = sampler.new_identities(3, seed=4), sampler.new_identities(9, seed=4)
    assert many.classes[:3] == few.classes == ("new-0001", "new-0002", "new-0003")
    torch.testing.assert_close(many.vectors[:3], few.vectors)
    usual = sampler.vectors.norm(dim=1).mean()
    for vector in many.vectors:
        mixes = [
            F.normalize(a + b + c, dim=0) * usual
            for i, a in enumerate(sampler.vectors)
            for j, b in enumerate(sampler.vectors[:i])
            for c in sampler.vectors[:j]
        ]
        assert min(float((vector - mix).abs().max()) for mix in mixes) < 1e-5
    assert not torch.equal(sampler.new_identities(3, seed=5).vectors, few.vectors)


def test_mixes_of_one_hot_labels_stay_shares(sampler, monkeypatch):
    monkeypatch.setattr(sampler.model, "config", replace(sampler.model.config, label_dim=None))
    thirds = sampler.new_identities(2, seed=0)
    means = [sampler.vectors[list(rows)].mean(dim=0) for rows in combinations(range(5), 3)]
    for vector in thirds.vectors:
        assert min(float((vector - mean).abs().max()) for mean in means) < 1e-6


def test_new_identities_are_drawn_like_known_ones(sampler):
    new = sampler.new_identities(4, seed=0)
    drawn = [d for chunk in draw_counts(new, {0: 2, 3: 1}, 0) for d in chunk]
    assert [(d.label, d.index) for d in drawn] == [(0, 0), (0, 1), (3, 0)]
    assert new.digest == sampler.digest
    row = generated_record(drawn[0], new.classes, 0, new.digest).row()
    assert (row["label"], row["content"]) == ("new-0001", None)  # it has no content picture
    with pytest.raises(RequestError, match="at least 1 new identity"):
        sampler.new_identities(0, seed=0)


def test_people_are_placed_among_those_they_look_like(sampler, patches, monkeypatch):
    """C takes the first for class 0, the second for 1, …, the last for 3 and 4 alike."""
    read = iter(torch.eye(5)[torch.tensor([[0, 0], [1, 1], [2, 2], [3, 3], [3, 4]])])
    monkeypatch.setattr(
        sampler.model, "classify", lambda images: 30 * next(read).repeat(len(images) // 2, 1)
    )
    two_each = np.concatenate([np.flatnonzero(patches.labels == label)[:2] for label in range(5)])
    met = sampler.of_people(patches.subset(two_each))
    assert met.classes == patches.classes
    known, usual = sampler.vectors, sampler.vectors.norm(dim=1).mean()
    torch.testing.assert_close(met.vectors.norm(dim=1), usual.expand(5))
    expected = F.normalize(torch.cat([known[:4], (known[3] + known[4])[None]]), dim=1)
    torch.testing.assert_close(F.normalize(met.vectors, dim=1), expected, atol=1e-4, rtol=0)
    assert met.draw(np.zeros(2, np.int64), np.arange(2), 0).images.shape == (2, 32, 32, 3)


def test_people_of_whom_there_is_no_photograph_are_named(sampler, patches):
    without = patches.subset(np.flatnonzero(patches.labels != 3))
    with pytest.raises(DataError, match=f"got none of {patches.classes[3]}"):
        sampler.of_people(without)


def test_the_full_size_is_labelmint_wider_and_draws_at_128_pixels() -> None:
    full, small = CONFIGS["full"].model, CONFIGS["labelmint"].model
    sizes = {"width", "latent_dim", "label_dim", "steps", "classifier_steps"}
    changed = {name for name, value in vars(full).items() if value != getattr(small, name)}
    assert changed == sizes
    model = CVAEGAN(full, num_classes=3, image_size=(128, 128), channels=3).eval()
    with torch.no_grad():
        drawn = model.decode(torch.zeros(2, full.latent_dim), torch.tensor([0, 2]))
    assert drawn.shape == (2, 3, 128, 128)
