"""``python -m jobs.evaluate`` of bundles without classes, on faces of people nobody has named."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_generators import UNLABELLED

from augment.bundle import CARD_FILE, Registry, load_bundle
from augment.config import with_overrides
from augment.data.datasets import open_data
from augment.errors import DataError
from augment.generators import GENERATORS
from augment.generators.base import write_bundle
from augment.images import encode_png
from jobs import evaluate
from jobs.measures import fitting
from recognizers.evaluation import MEASURES

SIDE, COUNT = 24, 128
QUICK = ("judge_steps=6", "generated=40", "recognizer=character")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs, large ones and small ones, half of them held out; no list names a person."""
    root = tmp_path_factory.mktemp("celeba")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    rows, splits = [], []
    for number in range(COUNT):
        name = f"{number + 1:06d}.png"
        image = rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
        large = number // 2 % 2
        cv2.circle(image, (12, 12), 10 if large else 6, (200, 160, 140), cv2.FILLED)
        (root / "images" / name).write_bytes(encode_png(image))
        rows.append(f"{name} {2 * large - 1} {-1 if number % 9 else 1}\n")
        splits.append(f"{name} {0 if number % 2 else 1 + number // 2 % 2}\n")
    table = f"{COUNT}\nLarge Rare\n{''.join(rows)}"
    (root / "list_attr_celeba.txt").write_text(table)
    (root / "list_eval_partition.txt").write_text("".join(splits))
    return root


@pytest.fixture(scope="module")
def registry(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained bundles."""
    root = tmp_path_factory.mktemp("bundles")
    data = open_data(f"celeba:{faces}", image_size=(SIDE, SIDE), channels=3).split("train")
    for name, (architecture, preset, settings) in UNLABELLED.items():
        config = with_overrides(GENERATORS[architecture][preset], settings)
        write_bundle(root / name, config.build_model(data).eval(), data, config)
        Registry(root / "registry").publish(name, root / name)
    return root / "registry"


def run(registry: Path, faces: Path, out: Path) -> dict:
    sets = [word for setting in QUICK for word in ("--set", setting)]
    only = [word for measure in MEASURES for word in ("--only", measure)]
    names = [f"{registry}/{name}" for name in UNLABELLED]
    evaluate.main([*names, "--data", f"celeba:{faces}", "--out", str(out), *sets, *only])
    return json.loads((out / "report.json").read_text())


def test_sets_are_compared_and_attacked_and_labels_said_to_be_none(
    registry, faces, tmp_path, capsys
):
    registry = Path(shutil.copytree(registry, tmp_path / "registry"))
    report = run(registry, faces, tmp_path / "out")
    assert report["told_apart"] == ["no Large", "Large"]
    for name in UNLABELLED:
        found = report["bundles"][name]["measures"]
        assert found.keys() == MEASURES.keys()
        assert found["labels"] == found["utility"] == {"no_labels": True}
        assert np.isfinite(found["fidelity"]["domain"]["kid"]["mean"])
        assert found["diversity"]["of_real"]["mean"] > 0
        assert found["diversity"]["intra_class"]["mean"] is None
        attack = found["privacy"]["attacks"]["pixels_calibrated"]
        assert 10 <= attack["members"]["mean"] == attack["non_members"]["mean"]
    told = capsys.readouterr().out
    assert "| masked | no labels | no labels |" in told
    assert "| real, held out | no labels | no labels |" in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert "It draws images without labels" in page
    assert "The recognizers tell no Large from Large." in page
    card = (registry / "masked/1" / CARD_FILE).read_text()
    assert "Draws images without labels" in card
    assert "| classes | none |" in card


def test_what_fits_is_measured_unless_nothing_can_be_told_apart(registry, faces, tmp_path, capsys):
    data = open_data(f"celeba:{faces}", image_size=(SIDE, SIDE), channels=3)
    own = {"masked": {"masked"}, "deepsim": set(), "vae_gan": {"attributes"}}
    assert set(own) == set(UNLABELLED)
    for name, further in own.items():
        fit = fitting(load_bundle(registry / name / "1"), data)
        assert set(fit) == set(MEASURES) | further
    apart = tmp_path / "apart"
    for person in ("train/a", "train/b", "test/c"):
        shutil.copytree(faces / "images", apart / person)
    nobody = f"folder:{apart}"
    evaluate.main([f"{registry}/masked", "--data", nobody, "--out", str(tmp_path), "--dry-run"])
    assert "these take two classes, or an attribute" in capsys.readouterr().out
    with pytest.raises(DataError, match="training images of every class"):
        evaluate.main([f"{registry}/masked", "--data", nobody, "--out", str(tmp_path / "out"),
                       "--only", "privacy"])  # fmt: skip
