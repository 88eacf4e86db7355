import json
from pathlib import Path

import numpy as np
import pytest

from augment.bundle import Registry, load_bundle
from augment.config import with_overrides
from augment.data.datasets import open_data
from augment.errors import RequestError
from augment.generators import GENERATORS
from augment.generators.base import train_generator, write_bundle
from augment.generators.deepsim import DeePSiMGenerator
from augment.generators.vae_gan import VAEGANGenerator
from augment.training import PlainContext
from jobs import evaluate, train
from jobs.measures import fitting

SIDE = 16
NETWORK = "model.network=untrained:squeezenet1_1:features.3"
TRAINED = {
    "autoencoder": ("autoencoder",),
    "l1": ("image-l1",),
    "vae": ("vae",),
    "inversion": ("inversion", NETWORK),
    "image-alone": ("image-l2", NETWORK, "model.use=inversion"),
}
TINY = (
    "model.width=4",
    "model.latent_dim=6",
    "model.steps=2",
    "training.batch_size=6",
    "training.log_every=2",
    "training.checkpoint_every=2",
)
FEW = ("code_images=4", "code_folds=2", "inverted_images=5", "inversion_steps=3")


@pytest.fixture(scope="module")
def registry(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("deepsim")
    data = open_data(f"celeba:{pictures}", image_size=(SIDE, SIDE), channels=3).split("train")
    for name, (preset, *settings) in TRAINED.items():
        config = with_overrides(GENERATORS["deepsim"][preset], (*TINY, *settings))
        model = train_generator(data, config, PlainContext(), scratch=root / "scratch")
        write_bundle(root / name, model, data, config)
        Registry(root / "registry").publish(name, root / name)
    return root / "registry"


def run(registry: Path, names: list[str], data: Path, out: Path, *more: str) -> None:
    sets = [word for setting in (*FEW, *more) for word in ("--set", setting)]
    bundles = [f"{registry}/{name}" for name in names]
    where = ["--data", f"celeba:{data}", "--out", str(out), "--only", "deepsim"]
    evaluate.main([*bundles, *where, *sets])


def test_codes_and_inversions_are_measured_in_one_report(registry, pictures, tmp_path, capsys):
    run(registry, list(TRAINED), pictures, tmp_path)
    report = json.loads((tmp_path / "deepsim.json").read_text())
    codes = {row["model"]: row for row in report["codes"]}
    assert list(codes) == ["pixels", "autoencoder", "l1", "vae"]
    assert [row["dim"] for row in codes.values()] == [3 * SIDE**2, 8 * 2 * 2, 8 * 2 * 2, 6]
    assert {row["n_train"] for row in codes.values()} == {20}
    assert "few_images" not in report
    assert codes["pixels"]["accuracy"] > 0.5  # the people differ in colour
    rows = {row["method"]: row for row in report["inversions"]}
    assert list(rows) == ["inversion", "image-alone", "optimisation"]
    assert all(row["images"] == 5 and row["image_error"] > 0 for row in rows.values())
    assert {name: len(errors) for name, errors in report["reencoding"].items()} == {
        "inversion": 8,
        "image-alone": 8,
    }
    first = report["reencoding"]["inversion"][0]
    assert first == pytest.approx(rows["inversion"]["image_error"], rel=1e-5)
    assert report["losses"] == {
        "autoencoder": "1 features of discriminator, 0.1 adversarial, 1 l2 of images",
        "l1": "1 l1 of images",
        "vae": "1 features of discriminator, 0.1 adversarial, 1 l2 of images, 0.05 KL",
        "inversion": "1 features of discriminator, 0.1 adversarial, 1 l2 of images",
        "image-alone": "1 l2 of images",
    }
    assert "VideoNet" in report["not_run"][0]
    assert "Not run: VideoNet" in capsys.readouterr().out
    pictures_made = {path.name for path in tmp_path.glob("*.png")}
    assert pictures_made == {
        "deepsim-autoencoder.png",
        "deepsim-l1.png",
        "deepsim-vae.png",
        "deepsim-inversion-again.png",
        "deepsim-image-alone-again.png",
        "deepsim-inversions-0.png",
    }


def test_folds_of_fewer_images_than_asked_for_are_told(registry, pictures, tmp_path, capsys):
    counts = np.bincount(open_data(f"celeba:{pictures}").split("train").labels)
    run(registry, ["vae"], pictures, tmp_path, "code_images=50")
    report = json.loads((tmp_path / "deepsim.json").read_text())
    assert {row["n_train"] for row in report["codes"]} == {int(np.sum(counts // 2))}
    told = "Of 5 of 5 classes, with fewer than 100 training images each, an SVM has half of them"
    assert report["few_images"].startswith(told)
    assert told in capsys.readouterr().out


def test_codes_are_measured_by_default_only_where_the_classes_tested_have_training_images(
    registry, pictures
):
    data = open_data(f"celeba:{pictures}", image_size=(SIDE, SIDE), channels=3)
    apart = data.subset(np.flatnonzero((data.splits == "train") == (data.labels > 0)))
    first = np.flatnonzero((data.splits == "train") & (data.labels == 0))[:-3]
    few = data.subset(np.setdiff1d(np.arange(len(data)), first))
    for name, measured in {"vae": [True, False, False], "inversion": [True] * 3}.items():
        info = load_bundle(registry / name / "1")
        assert ["deepsim" in fitting(info, some) for some in (data, apart, few)] == measured


def test_paths_of_feature_networks_are_absolute_before_workers_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for settings in (DeePSiMGenerator, VAEGANGenerator):  # such networks need not exist here
        monkeypatch.setattr(settings, "build_model", lambda settings, data: None)
    term = json.dumps({"comparator": "exemplar:mine/1"})
    for architecture, settings in {
        "deepsim": ("model.use=inversion", "model.network=reader:mine/2:body"),
        "vae_gan": (f"model.perceptual={term}",),
    }.items():
        sets = [word for setting in settings for word in ("--set", setting)]
        train.main([architecture, "--out", "registry/any", "--dry-run", *sets])
        model = json.loads(capsys.readouterr().out)["settings"]["model"]
        if architecture == "deepsim":
            assert model["network"] == f"reader:{tmp_path}/mine/2:body"
            assert model["comparator"] == "discriminator"
        else:
            term = {"comparator": f"exemplar:{tmp_path}/mine/1", "weight": 1.0}
            assert model["perceptual"] == term


def test_bundles_of_other_architectures_are_refused(demo_registry, pictures, tmp_path):
    with pytest.raises(RequestError, match="digits: expected a deepsim bundle, got one of saae"):
        run(demo_registry, ["digits"], pictures, tmp_path)
