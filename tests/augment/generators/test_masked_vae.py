from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from augment.bundle import load_bundle
from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.data.face_masks import open_face_masks
from augment.errors import RequestError
from augment.generators import GENERATORS, load_sampler
from augment.generators.base import train_generator, write_bundle
from augment.generators.masked_vae import CONFIGS, SHEET_COLUMNS, MaskedVAEGenerator
from augment.images import to_tensor
from augment.training import PlainContext

COUNT, SIZE = 14, (16, 20)


@pytest.fixture(scope="module")
def data() -> LabelledImages:
    """Bright discs that stand for faces, each of its own size, on dark ground."""
    images = np.zeros((COUNT, *SIZE, 3), np.uint8)
    for number, image in enumerate(images):
        cv2.circle(image, (10, 8), 3 + number % 5, (90 + 10 * number, 180, 150), cv2.FILLED)
    return LabelledImages.from_arrays(
        images, np.arange(COUNT) % 2, ("a", "b"), splits=["train"] * COUNT
    )


@pytest.fixture(scope="module")
def config() -> MaskedVAEGenerator:
    return with_overrides(
        CONFIGS["labelmint"],
        [
            "model.encoder=[[4],[8]]",
            "model.decoder=[8,4]",
            "model.mask_decoder=[4,4]",
            "model.latent_dim=8",
            "model.hidden_dim=8",
            "model.steps=2",
            "training.batch_size=8",
            "training.log_every=2",
            "training.checkpoint_every=2",
        ],
    )


def test_batches_are_images_beside_their_own_masks_mirrored_or_not(data, config):
    batch = config.batches(data)(3, 0, 1)
    known = to_tensor(data.images())
    masks = torch.from_numpy(open_face_masks("grabcut:").find(data)).float()
    assert batch.images.shape == (8, 3, *SIZE)
    assert batch.face_masks.shape == (8, 1, *SIZE)
    assert len({float(mask.sum()) for mask in masks}) > 1
    flipped = 0
    for image, face_mask in zip(batch.images, batch.face_masks, strict=True):
        plain = [i for i in range(COUNT) if torch.equal(known[i], image)]
        turned = [i for i in range(COUNT) if torch.equal(known[i].flip(-1), image)]
        assert len(plain) + len(turned) == 1
        expected = masks[plain[0]] if plain else masks[turned[0]].flip(-1)
        assert torch.equal(face_mask[0], expected)
        flipped += bool(turned)
    assert 0 < flipped < 8


def test_batches_are_a_pure_function_of_step_and_worker(data, config):
    batches, again = config.batches(data), config.batches(data)
    for one, two in zip(batches(5, 1, 2), again(5, 1, 2), strict=True):
        assert len(one) == 4
        assert torch.equal(one, two)
    assert not torch.equal(batches(5, 0, 2).images, batches(5, 1, 2).images)
    assert not torch.equal(batches(5, 0, 1).images, batches(6, 0, 1).images)


def test_without_masks_none_are_looked_for_and_all_is_face(data, config):
    plain = replace(
        config, model=replace(config.model, masked=False), face_masks="celebamaskhq:nowhere"
    )
    batch = plain.batches(data)(0, 0, 1)
    assert torch.equal(batch.face_masks, torch.ones(8, 1, *SIZE))
    assert plain.describe_data(data)["face_masks"] == "none"


def test_validation_is_the_error_on_face_pixels(data, config):
    model = config.build_model(data).eval()
    batch = config.batches(data)(0, 0, 1)
    with torch.no_grad():
        error = (model.decode(model.encode(batch.images)[0]) - batch.images).abs().mean(dim=1)
        per_image = [error[i][batch.face_masks[i, 0] > 0].mean() for i in range(len(batch.images))]
        got = config.validate(model, batch)
    assert got == pytest.approx(float(torch.stack(per_image).mean()), rel=1e-4)


@pytest.mark.parametrize(("masked", "rows"), [(True, 4), (False, 2)])
def test_bundle_names_the_source_of_masks_and_draws_no_labels(data, config, tmp_path, masked, rows):
    config = replace(config, model=replace(config.model, masked=masked))
    reports = []
    context = PlainContext(on_report=reports.append)
    model = train_generator(data, config, context, scratch=tmp_path / "scratch")
    write_bundle(tmp_path / "bundle", model, data, config)
    info = load_bundle(tmp_path / "bundle")
    assert reports[-1]["validation"] > 0
    assert info.architecture == "masked_vae"
    assert info.classes == ()
    assert info.data["images"] == COUNT
    assert info.data["face_masks"] == (open_face_masks("grabcut:").source if masked else "none")
    sheet = cv2.imread(str(Path(tmp_path, "bundle", "samples.png")))
    assert sheet.shape == (rows * (SIZE[0] + 2) - 2, SHEET_COLUMNS * (SIZE[1] + 2) - 2, 3)
    with pytest.raises(RequestError, match="masked_vae bundle draws no labelled images"):
        load_sampler(tmp_path / "bundle")


def test_published_configuration_is_one_of_the_generators():
    paper = GENERATORS["masked_vae"]["paper"]
    assert next(iter(GENERATORS["masked_vae"])) == "labelmint"
    assert (paper.training.learning_rate, paper.training.batch_size) == (1e-4, 32)
    assert paper.model.encoder[-1] == (512,)
