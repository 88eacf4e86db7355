import json

import numpy as np
import pytest

from augment.data.datasets import LabelledImages
from augment.data.pairs import folds_of
from augment.errors import BundleError, ConfigError
from recognizers.base import ClassRecognizer
from recognizers.character import CharacterRecognizer
from recognizers.face import FaceRecognizer
from recognizers.reader import CrossFittedReader, load_reader, save_reader, train_reader


class Says(ClassRecognizer):
    """Reads every image as one label, with one confidence."""

    def __init__(self, label: int, margin: float) -> None:
        super().__init__(3, (8, 8), 1)
        import torch

        self.logits = torch.nn.Parameter(torch.zeros(3))
        self.logits.data[label] = margin

    def forward(self, images):
        return self.logits.expand(len(images), -1)


def images(count: int):
    return np.zeros((count, 8, 8, 1), np.uint8)


def test_an_image_is_judged_by_the_member_that_never_saw_its_fold():
    reader = CrossFittedReader([Says(1, 1.0), Says(2, 5.0)], ("a", "b", "c"))
    labels, confidences = reader.read(images(2), np.array([0, 1]))
    assert labels.tolist() == [1, 2]
    assert confidences[0] < confidences[1]


def test_an_image_from_no_fold_is_judged_by_the_surest_member():
    reader = CrossFittedReader([Says(1, 1.0), Says(2, 5.0)], ("a", "b", "c"))
    assert reader.read(images(1), np.array([-1]))[0].tolist() == [2]
    assert reader.read(images(1))[0].tolist() == [2]


def test_an_image_outside_the_band_is_read_as_nobody():
    members = [Says(1, 1.0), Says(2, 5.0)]  # confidences 0.58 and 0.99
    folds = np.array([0, 1])
    assert CrossFittedReader(members, "abc", (0.0, 0.9)).read(images(2), folds)[0].tolist() == [
        1,
        -1,
    ]
    reader = CrossFittedReader(members, "abc", (0.7, 1.0))
    bands = np.array([[0.0, 0.9], [0.0, 0.9]], np.float32)
    assert reader.read(images(2), folds, bands)[0].tolist() == [1, -1], "each image's own band"
    labels, confidences = reader.read(images(2), folds)
    assert labels.tolist() == [-1, 2]
    assert confidences[0] == pytest.approx(0.576, abs=1e-3)


def test_each_member_is_trained_without_its_fold():
    labels = np.repeat(np.arange(3), 4)
    data = LabelledImages.from_arrays(images(12), labels, "abc", splits=["train"] * 12)
    folds, given = folds_of(labels), []

    def fit_without(rows, fold):
        given.append((set(rows.tolist()), fold))
        return Says(0, 1.0)

    train_reader(data, folds, fit_without)
    for rows, fold in given:
        assert rows == set(np.flatnonzero(folds != fold).tolist())
        assert set(labels[list(rows)]) == {0, 1, 2}


def test_where_there_is_one_fold_one_member_is_trained_on_everything():
    data = LabelledImages.from_arrays(images(3), np.arange(3), "abc", splits=["train"] * 3)
    given = []

    def fit_without(rows, fold):
        given.append((rows.tolist(), fold))
        return Says(0, 1.0)

    reader = train_reader(data, folds_of(data.labels), fit_without)
    assert given == [([0, 1, 2], 0)]
    assert len(reader.members) == 1


@pytest.fixture(params=[CharacterRecognizer, FaceRecognizer], ids=["character", "face"])
def saved(tmp_path, request):
    members = [request.param(3, (16, 16), 1).eval() for _ in range(2)]
    reader = CrossFittedReader(members, ("a", "b", "c"), band=(0.2, 0.9))
    save_reader(tmp_path / "reader", reader)
    return reader, tmp_path / "reader"


def test_a_saved_reader_reads_the_same(saved):
    reader, folder = saved
    pictures = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 1), dtype=np.uint8)
    ours, theirs = reader.read(pictures), load_reader(folder).read(pictures)
    assert np.array_equal(ours[0], theirs[0])
    assert np.array_equal(ours[1], theirs[1])
    assert load_reader(folder).band == (0.2, 0.9)


def test_a_reader_saved_before_there_were_bands_keeps_everything(saved):
    _, folder = saved
    path = folder / "config.json"
    description = json.loads(path.read_text())
    del description["band"]
    path.write_text(json.dumps(description))
    assert load_reader(folder).band == (0.0, 1.0)


def test_a_reader_of_the_users_own_kind_is_not_saved(tmp_path):
    with pytest.raises(ConfigError, match="character or face, got Says"):
        save_reader(tmp_path, CrossFittedReader([Says(1, 1.0)], ("a", "b", "c")))


@pytest.mark.parametrize(
    "changes", [{"kind": "os:system"}, {"members": 3}, {"channels": 3}, {"classes": ["a"]}], ids=str
)
def test_a_reader_that_does_not_fit_its_description_is_refused(saved, changes):
    _, folder = saved
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(BundleError, match="reader"):
        load_reader(folder)


def test_a_folder_without_a_reader_is_refused(tmp_path):
    with pytest.raises(BundleError):
        load_reader(tmp_path)
