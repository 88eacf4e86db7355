"""``python -m jobs.evaluate --only transfer``, and the two classes of an attribute in training."""

import json
from pathlib import Path

import pytest
from tiny_generators import SAAE

from augment.bundle import Registry
from augment.config import with_overrides
from augment.data.datasets import open_data
from augment.errors import DataError, RequestError
from augment.generators import GENERATORS
from augment.generators.base import train_generator, write_bundle
from augment.training import PlainContext
from jobs import evaluate, train

TINY = (
    *SAAE,
    "model.steps.alternate=1",
    "training.batch_size=6",
)


@pytest.fixture(scope="module")
def registry(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("transfer")
    data = open_data(f"celeba:{pictures}", image_size=(48, 48), channels=3).split("train")
    config = with_overrides(GENERATORS["saae"]["faces"], TINY)
    for name, classes in (("smiles", data.by_attribute("Smiling")), ("people", data)):
        model = train_generator(classes, config, PlainContext(), scratch=root / "scratch")
        write_bundle(root / name, model, classes, config)
        Registry(root / "registry").publish(name, root / name)
    return root / "registry"


def measure(bundle: str, pictures: Path, out: Path) -> None:
    sets = ("judge_steps=2", "test_images=40")
    how = [word for setting in sets for word in ("--set", setting)]
    evaluate.main(
        [bundle, "--data", f"celeba:{pictures}", "--out", str(out), "--only", "transfer", *how]
    )


def test_transfer_measures_all_four_ways_and_shows_a_grid(registry, pictures, tmp_path):
    measure(f"{registry}/smiles", pictures, tmp_path)
    report = json.loads((tmp_path / "transfer.json").read_text())
    assert report["attributes"] == {"smiles": "Smiling"}
    ways = {(row["content"], row["style"]) for row in report["rows"]}
    assert ways == {(a, b) for a in (True, False) for b in (True, False)}
    assert (tmp_path / "transfer.md").read_text().count("\n| smiles |") == 4
    assert (tmp_path / "transfer-smiles.png").exists()


def test_bundles_that_transfer_no_attribute_are_refused(
    registry, picture_registry, pictures, tmp_path
):
    with pytest.raises(DataError, match="people: expected a bundle of the two classes"):
        measure(f"{registry}/people", pictures, tmp_path)
    with pytest.raises(RequestError, match="expected a saae bundle, got one of vae_gan"):
        measure(f"{picture_registry}/vae-gan", pictures, tmp_path)


def test_training_makes_two_classes_of_an_attribute(pictures, tmp_path, capsys):
    command = ["saae", "--config", "faces", "--data", f"celeba:{pictures}", "--dry-run"]
    out = ["--out", str(tmp_path / "reg/smiles")]
    train.main([*command, *out, "--attribute", "Smiling"])
    settings = json.loads(capsys.readouterr().out)
    assert settings["attribute"] == "Smiling"
    assert settings["settings"]["pairs"]["examples"] == "photograph"
    with pytest.raises(DataError, match="one of the attributes Smiling, Young; got 'Hat'"):
        train.main([*command, *out, "--attribute", "Hat"])


def test_photographs_are_read_back_by_a_face_recognizer():
    plan = train.plan_reader(GENERATORS["saae"]["faces"])
    assert plan is not None
    assert (plan.recognizer, plan.recipes["reader"].rendered) == ("face", 0.0)
