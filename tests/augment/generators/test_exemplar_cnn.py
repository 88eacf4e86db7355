import cv2
import numpy as np
import torch

from augment.bundle import open_bundle
from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.generators.base import train_generator, write_bundle
from augment.generators.exemplar_cnn import CONFIGS
from augment.images import to_tensor
from augment.training import PlainContext

SETTINGS = (
    "model.steps=2",
    "model.width=4",
    "model.exemplars=5",
    "training.batch_size=8",
    "training.log_every=2",
    "training.checkpoint_every=2",
)
CONFIG = with_overrides(CONFIGS["labelmint"], SETTINGS)


def make_data(count: int = 9, **about) -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (count, 16, 12, 3)).astype(np.uint8)
    return LabelledImages.from_arrays(images, np.arange(count) % 2, ("a", "b"), **about)


def test_batches_number_evenly_spread_images_and_not_their_labels():
    data = make_data()
    batch = CONFIG.batches(data)(3, 0, 1)
    known = to_tensor(data.images([0, 2, 4, 6, 8]))
    assert torch.equal(batch.images, known[batch.exemplars])
    again = CONFIG.batches(data)(3, 0, 1)
    assert torch.equal(batch.exemplars, again.exemplars)
    assert CONFIG.batches(data)(3, 1, 2).images.shape == (4, 3, 16, 12)


def test_fewer_images_than_exemplars_are_all_used():
    batches = CONFIG.batches(make_data(3))
    seen = torch.cat([batches(step, 0, 1).exemplars for step in range(9)])
    assert set(seen.tolist()) == {0, 1, 2}


def test_it_trains_into_a_bundle_that_shows_exemplars_beside_their_changes(tmp_path):
    reports = []
    context = PlainContext(on_report=reports.append)
    model = train_generator(make_data(), CONFIG, context, scratch=tmp_path / "scratch")
    write_bundle(tmp_path / "bundle", model, make_data(), CONFIG)
    opened = open_bundle(tmp_path / "bundle")
    assert opened.info.architecture == "exemplar_cnn"
    assert 0 <= reports[-1]["validation"] <= 1
    sheet = cv2.imread(str(tmp_path / "bundle" / "samples.png"))[..., ::-1]
    assert sheet.shape == (6 * 18 - 2, 11 * 14 - 2, 3)
    assert np.array_equal(sheet[:16, :12], make_data().images([0])[0])


def test_images_are_mirrored_where_that_is_known_to_show_the_same():
    faces = make_data(uri="lfw:faces.zip")
    mirrors = [CONFIG.build_model(data).config.mirror for data in (make_data(), faces)]
    assert mirrors == [False, True]
    told = with_overrides(CONFIG, ["model.mirror=true"]).build_model(make_data())
    assert CONFIG.describe_model(told)["mirror"] is True
