import shutil

import pytest
import torch

from augment.errors import BundleError, ConfigError
from augment.feature_networks import OPENERS, open_comparator
from recognizers.character import CharacterRecognizer
from recognizers.comparators import offer_readers
from recognizers.reader import CrossFittedReader, save_reader

SIZE = (16, 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    members = [CharacterRecognizer(3, SIZE, 1).eval() for _ in range(2)]
    folder = tmp_path_factory.mktemp("bundle")
    save_reader(folder / "reader", CrossFittedReader(members, ("a", "b", "c")))
    return folder, members[0]


@pytest.fixture(autouse=True)
def offered(monkeypatch):
    monkeypatch.setattr("recognizers.comparators.OPENERS", OPENERS)
    monkeypatch.delitem(OPENERS, "reader", raising=False)
    offer_readers()


def test_a_bundles_reader_serves_at_any_layer(folder):
    path, member = folder
    images = torch.rand(2, 1, *SIZE)
    body = open_comparator(f"reader:{path}:body", SIZE, 1)
    torch.testing.assert_close(body(images), member.body(images))
    probabilities = open_comparator(f"reader:{path}:probabilities", SIZE, 1)
    torch.testing.assert_close(probabilities(images), member(images).softmax(dim=1))


def test_a_readers_own_folder_serves_as_well(folder, tmp_path):
    shutil.copytree(folder[0] / "reader", tmp_path / "mine")
    opened = open_comparator(f"reader:{tmp_path / 'mine'}:head", SIZE, 1)
    assert opened.shape_of_features(SIZE, 1) == (3,)


def test_what_is_no_reader_or_no_layer_is_refused(folder, tmp_path):
    with pytest.raises(BundleError, match=r"expected a reader's config\.json"):
        open_comparator(f"reader:{tmp_path}:body", SIZE, 1)
    with pytest.raises(ConfigError, match=r"its layers are body, body\.0, "):
        open_comparator(f"reader:{folder[0]}:conv5", SIZE, 1)
    with pytest.raises(ConfigError, match="does not take images of 16×16×3"):
        open_comparator(f"reader:{folder[0]}:body", SIZE, 3)
    with pytest.raises(ConfigError, match="say which layer"):
        open_comparator(f"reader:{folder[0]}", SIZE, 1)
    with pytest.raises(ConfigError, match="got the URL s3://bucket/bundle"):
        open_comparator("reader:s3://bucket/bundle:body", SIZE, 1)
