"""What ``--only attributes`` and ``--only transfer`` say where nobody is known by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from augment.bundle import load_bundle
from augment.config import with_overrides
from augment.data.datasets import LabelledImages, open_data
from augment.errors import DataError, LabelError
from augment.generators import GENERATORS
from augment.generators.base import write_bundle
from augment.generators.vae_gan import VAEGANSampler
from augment.images import Pixels
from jobs import evaluate, transfer_measures

QUICK = ("judge_steps=2", "test_images=12")


def untrained(folder: Path, architecture: str, preset: str, data: LabelledImages) -> str:
    """A bundle whose images say nothing, for what is said about them."""
    settings = {
        "vae_gan": ("model.width=4", "model.hidden=8"),
        "saae": ("model.width=4", "model.style_dim=8", "model.discriminator_width=4"),
    }[architecture]
    config = with_overrides(GENERATORS[architecture][preset], settings)
    write_bundle(folder, config.build_model(data), data, config)
    return str(folder)


def train_split(uri: str) -> LabelledImages:
    return open_data(uri, image_size=(48, 48), channels=3).split("train")


@pytest.fixture
def nameless(pictures: Path, tmp_path: Path) -> str:
    """The same pictures without the file that says who is on them."""
    copy = shutil.copytree(pictures, tmp_path / "nameless")
    (copy / "identity_CelebA.txt").unlink()
    return f"celeba:{copy}"


def measure(bundle: str, data: str, only: str, out: Path, *settings: str) -> None:
    sets = [word for setting in (*QUICK, *settings) for word in ("--set", setting)]
    evaluate.main([bundle, "--data", data, "--only", only, "--out", str(out), *sets])


def test_edits_are_measured_without_identity_where_nobody_is_known(
    nameless: str, pictures: Path, tmp_path: Path
) -> None:
    bundle = untrained(tmp_path / "edits", "vae_gan", "labelmint", train_split(nameless))
    measure(bundle, nameless, "attributes", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "attributes.json").read_text())
    assert report["edits"]
    assert all(edit["identity"] is None and 0 <= edit["seen"] <= 1 for edit in report["edits"])
    assert "set identity_data" in (tmp_path / "out" / "attributes.md").read_text()

    measure(bundle, nameless, "attributes", tmp_path / "named", f"identity_data=celeba:{pictures}")
    report = json.loads((tmp_path / "named" / "attributes.json").read_text())
    assert all(-1 <= edit["identity"] <= 1 for edit in report["edits"])
    assert "set identity_data" not in (tmp_path / "named" / "attributes.md").read_text()


def test_a_transfer_is_refused_before_anything_is_trained_where_nobody_is_known(
    nameless: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = train_split(nameless).by_attribute("Smiling")
    bundle = untrained(tmp_path / "smiles", "saae", "faces", data)
    monkeypatch.setattr(transfer_measures, "train_regressor", pytest.fail)
    with pytest.raises(DataError, match=r"two people with two training images .* identity_data"):
        measure(bundle, nameless, "transfer", tmp_path / "out")


def test_attributes_are_told_by_name_whatever_their_place_in_the_data(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = train_split(f"celeba:{pictures}")
    config = with_overrides(
        GENERATORS["vae_gan"]["conditional"], ("model.width=4", "model.hidden=8")
    )
    write_bundle(tmp_path / "looks", config.build_model(data), data, config)
    info = load_bundle(tmp_path / "looks")
    turned = tmp_path / "looks/config.json"
    told = json.loads(turned.read_text())
    told["attributes"] = told["attributes"][::-1]
    turned.write_text(json.dumps(told))
    asked: list[NDArray[np.int8]] = []

    def draw(self: VAEGANSampler, attributes: NDArray[np.int8], seed: int) -> Pixels:
        asked.append(attributes)
        return np.zeros((len(attributes), 48, 48, 3), np.uint8)

    monkeypatch.setattr(VAEGANSampler, "draw_for", draw)
    measure(str(tmp_path / "looks"), f"celeba:{pictures}", "attributes", tmp_path / "a")
    told["attributes"] = list(info.attributes)
    turned.write_text(json.dumps(told))
    measure(str(tmp_path / "looks"), f"celeba:{pictures}", "attributes", tmp_path / "b")
    np.testing.assert_array_equal(asked[0], asked[1][:, ::-1])
    assert len(np.unique(asked[0], axis=1).T) > 1
    told["attributes"][0] = "Wings"
    turned.write_text(json.dumps(told))
    with pytest.raises(LabelError, match="got none called Wings"):
        measure(str(tmp_path / "looks"), f"celeba:{pictures}", "attributes", tmp_path / "c")
