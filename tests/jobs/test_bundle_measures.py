"""``python -m jobs.evaluate`` of any bundle: the report, the cards, and what cannot be measured."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.bundle import CARD_FILE, MEASURES_FILE, Registry, load_bundle
from augment.config import with_overrides
from augment.data.datasets import LabelledImages, open_data
from augment.errors import AugmentError, ConfigError, DataError, LabelError
from augment.generators.base import train_generator, write_bundle
from augment.generators.saae import CONFIGS
from augment.images import encode_png
from augment.training import PlainContext
from jobs import bundle_measures, evaluate
from jobs.evaluation import EvaluateSettings, Evaluation
from jobs.measures import MEASURES as TABLES

QUICK = ("judge_steps=6", "generated=30", "samples=20", "validation_images=20", "pairs=3")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Real digits 0, 1 and 2 in folders: 36 to train on, 12 to choose on, 36 to test on."""
    data = open_data("digits:").split("train").relabel({name: name for name in "012"})
    root = tmp_path_factory.mktemp("images")
    splits = ["train"] * 36 + ["val"] * 12 + ["test"] * 36
    for index, split in enumerate(splits):
        folder = root / split / data.classes[data.labels[index]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.png").write_bytes(encode_png(data.images([index])[0]))
    return f"folder:{root}"


@pytest.fixture
def registry(trained: Path, tmp_path: Path) -> Path:
    """A registry of its own for every test, which may write cards into it."""
    return Path(shutil.copytree(trained, tmp_path / "registry"))


@pytest.fixture(scope="module")
def trained(
    images: str, tiny_settings: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("trained")
    data: LabelledImages = open_data(images).split("train")
    config = with_overrides(CONFIGS["labelmint"], tiny_settings)
    model = train_generator(data, config, PlainContext(), scratch=root / "scratch")
    write_bundle(root / "bundle", model, data, config)
    Registry(root / "registry").publish("digits", root / "bundle")
    return root / "registry"


def run(
    registry: Path, data: str, out: Path, *options: str, others: Sequence[str] = ()
) -> dict[str, Any]:
    sets = [word for setting in QUICK for word in ("--set", setting)]
    evaluate.main(
        [f"{registry}/digits", *others, "--data", data, "--out", str(out), *sets, *options]
    )
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def test_everything_that_fits_is_measured_by_default(registry, images, tmp_path, capsys):
    report = run(registry, images, tmp_path)
    measures = report["bundles"]["digits"]["measures"]
    assert list(measures) == ["fidelity", "diversity", "labels", "utility", "privacy"]
    assert report["bundles"]["digits"]["left_out"] == {}
    assert report["others"] == ["parzen"]
    assert (tmp_path / "parzen.json").exists()
    assert 0 <= measures["labels"]["top1"]["mean"] <= 1
    attack = measures["privacy"]["attacks"]["pixels"]
    assert attack["members"]["mean"] == attack["non_members"]["mean"] == 24  # of the half, all
    assert "| real, held out |" in capsys.readouterr().out
    assert "digits" in (tmp_path / "report.html").read_text()


def test_a_table_that_cannot_be_made_is_told_and_stops_nothing_unless_asked_for(
    registry, images, tmp_path, monkeypatch, capsys
):
    def refuse(evaluation: Evaluation) -> None:
        raise DataError("no window fits")

    monkeypatch.setitem(TABLES, "parzen", refuse)
    report = run(registry, images, tmp_path / "a")
    assert (report["others"], report["left_out"]) == ([], {"parzen": "no window fits"})
    assert "labels" in report["bundles"]["digits"]["measures"]
    assert "parzen: not measured. no window fits" in capsys.readouterr().out
    assert "Parzen was not measured: no window fits" in (tmp_path / "a/report.html").read_text()
    with pytest.raises(DataError, match="no window fits"):
        run(registry, images, tmp_path / "b", "--only", "parzen")
    monkeypatch.setattr(evaluate, "fitting", lambda info, data: ["parzen"])
    with pytest.raises(DataError, match="no measure can be taken of digits"):
        run(registry, images, tmp_path / "c")


def test_the_card_is_kept_in_the_bundle_whose_digest_stays(registry, images, tmp_path):
    before = load_bundle(registry / "digits/1").digest
    run(registry, images, tmp_path / "a", "--only", "labels")
    run(registry, images, tmp_path / "b", "--only", "diversity")
    card = (registry / "digits/1" / CARD_FILE).read_text()
    assert before in card
    assert "--only labels" in card
    assert "--only diversity" in card
    assert load_bundle(registry / "digits/1").digest == before
    assert (tmp_path / "b" / f"digits-{CARD_FILE}").read_text() == card
    measured = json.loads((registry / "digits/1" / MEASURES_FILE).read_text())
    assert measured.keys() == {"labels", "diversity"}


def test_every_measure_stays_in_the_card_of_a_bundle_in_a_remote_registry(
    registry, images, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where copies of bundles are kept
    remote = Registry(f"memory://{tmp_path}")
    remote.publish("digits", registry / "digits/1")
    for only in ("parzen", "labels"):
        command = [f"{remote.root}/digits", "--data", images, "--out", str(tmp_path / only)]
        evaluate.main([*command, "--only", only, *(w for s in QUICK for w in ("--set", s))])
    measured = json.loads(remote.files.cat_file(f"{remote.path}/digits/1/{MEASURES_FILE}"))
    assert measured.keys() == {"parzen", "labels"}


def test_a_worker_fetches_bundles_that_only_the_driver_has(registry, images, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "worker"))
    (tmp_path / "worker").mkdir()
    remote = Registry(f"memory://{tmp_path}")
    remote.publish("digits", registry / "digits/1")
    evaluation = Evaluation(
        {"digits": tmp_path / "driver/copy"},
        {"digits": f"{remote.root}/digits"},
        open_data(images, image_size=(16, 16), channels=1),
        EvaluateSettings(judge_steps=2, generated=6, device="cpu"),
        0,
        tmp_path,
    )
    cell = bundle_measures._judge(evaluation, "character", 0, "digits", ["labels"], False)
    assert 0 <= cell["sections"]["labels"]["top1"] <= 1


def test_workers_are_told_of_bundles_by_absolute_paths(registry, images, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(evaluate, "measure", lambda evaluation, *more: given.append(evaluation))
    monkeypatch.chdir(registry.parent)
    command = [f"{registry.name}/digits", "--data", images, "--only", "labels"]
    evaluate.main([*command, "--out", str(tmp_path / "out")])
    assert given[0].locations == {"digits": f"{registry}/digits/1"}


def test_a_registry_that_cannot_be_written_to_stops_nothing(
    registry, images, tmp_path, monkeypatch, capsys
):
    def refuse(location: str, notes: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("jobs.evaluation.annotate_bundle", refuse)
    run(registry, images, tmp_path, "--only", "labels", "--only", "parzen")
    told = "could not be written into the registry (read-only)"
    assert capsys.readouterr().out.count(told) == 2  # the table, and the report
    assert (tmp_path / f"digits-{CARD_FILE}").exists()


def test_seeds_are_averaged_and_each_is_told_and_no_image_drawn_again_for_the_pictures(
    registry, images, tmp_path, monkeypatch
):
    opened = []
    opens = bundle_measures._open
    monkeypatch.setattr(
        bundle_measures, "_open", lambda *which: opened.append(which[2]) or opens(*which)
    )
    report = run(registry, images, tmp_path, "--only", "labels", "--seeds", "2", "--seed", "3")
    assert report["seeds"] == [3, 4]
    top1 = report["bundles"]["digits"]["measures"]["labels"]["top1"]
    assert len(top1["per_seed"]) == len(opened) == 2
    page = (tmp_path / "report.html").read_text()
    for shown in ("worst and best, read back", "is it copying?"):
        assert page.count(f"digits: {shown}") == 1
    assert top1["mean"] == pytest.approx(sum(top1["per_seed"]) / 2)


def test_privacy_of_another_training_set_is_a_note_by_default_and_an_error_when_asked_for(
    registry, tmp_path, images, capsys
):
    other = Path(shutil.copytree(images.removeprefix("folder:"), tmp_path / "other"))
    next((other / "train/0").glob("*.png")).unlink()
    report = run(registry, f"folder:{other}", tmp_path / "a")
    why = report["bundles"]["digits"]["left_out"]["privacy"]
    assert "who is a member is not known" in why
    assert f"digits: Privacy was not measured: {why}\n" in capsys.readouterr().out
    assert "labels" in report["bundles"]["digits"]["measures"]
    asked = ("--only", "labels", "--only", "privacy")
    with pytest.raises(AugmentError, match="digits: Privacy was not measured: expected the"):
        run(registry, f"folder:{other}", tmp_path / "b", *asked)
    kept = json.loads((tmp_path / "b/report.json").read_text())["bundles"]["digits"]
    assert list(kept["measures"]) == ["labels"], "what could be measured is not lost"


def test_what_the_data_are_too_few_for_is_a_note_by_default_and_an_error_when_asked_for(
    registry, tmp_path, images
):
    few = Path(shutil.copytree(images.removeprefix("folder:"), tmp_path / "few"))
    for label in "012":
        for path in [*(few / "val" / label).iterdir(), *list((few / "test" / label).iterdir())[2:]]:
            path.unlink()
    report = run(registry, f"folder:{few}", tmp_path / "a")
    assert "at least 6 real images" in report["left_out"]["fidelity"]
    with pytest.raises(AugmentError, match="at least 6 real images"):
        run(registry, f"folder:{few}", tmp_path / "b", "--only", "fidelity")


def test_a_bundle_that_does_not_fit_takes_nothing_from_the_others(registry, images, tmp_path):
    folder = tmp_path / "odd"
    shutil.copytree(registry / "digits/1", folder)
    config = json.loads((folder / "config.json").read_text())
    config["classes"] = ["a", "b", "c"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(AugmentError, match="odd: Labels was not measured: expected the classes"):
        run(registry, images, tmp_path / "out", "--only", "labels", others=[str(folder)])
    kept = json.loads((tmp_path / "out/report.json").read_text())["bundles"]
    assert "labels" in kept["digits"]["measures"]
    assert "labels" in kept["odd"]["left_out"]


def test_weights_that_do_not_fit_are_refused_before_anything_is_trained(registry, images, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    weights = f"inception={tmp_path}/weights.pth"
    with pytest.raises(ConfigError, match="expected the weights of torchvision's inception_v3"):
        run(registry, images, tmp_path / "out", "--set", weights)
    assert not (tmp_path / "out/judges").exists()


@pytest.mark.parametrize(
    "lacking",
    [("train/2",), ("val/1", "val/2", "test/1", "test/2")],
    ids=["none to train on", "none held out"],
)
def test_the_five_are_left_out_and_this_is_told_where_no_classes_can_be_compared(
    registry, images, tmp_path, capsys, lacking
):
    some = Path(shutil.copytree(images.removeprefix("folder:"), tmp_path / "some"))
    for folder in lacking:
        shutil.rmtree(some / folder)
    sets = [word for setting in QUICK for word in ("--set", setting)]
    out = tmp_path / "out"
    evaluate.main([f"{registry}/digits", "--data", f"folder:{some}", "--out", str(out), *sets])
    told = capsys.readouterr().out
    assert "digits: no fidelity, diversity, labels, utility and privacy, for these take" in told
    assert "each with training images and two of them with held-out images of two groups." in told
    assert (out / "parzen.md").exists()
    with pytest.raises(DataError):
        run(registry, f"folder:{some}", tmp_path / "asked", "--only", "labels")


def test_data_without_held_out_images_or_of_other_classes_fit_no_measure(
    registry, tmp_path, images
):
    alone = Path(shutil.copytree(images.removeprefix("folder:"), tmp_path / "alone"))
    for split in ("val", "test"):
        shutil.rmtree(alone / split)
    with pytest.raises(ConfigError, match="use data with validation and test images"):
        run(registry, f"folder:{alone}", tmp_path / "a")
    with pytest.raises(LabelError, match="evaluate on data of the same classes"):
        run(registry, "digits:", tmp_path / "b")


@pytest.mark.ray
def test_bundles_and_seeds_measured_on_ray_give_the_same_figures(registry, images, tmp_path):
    options = ("--only", "labels", "--only", "utility", "--seeds", "2")
    alone = run(registry, images, tmp_path / "a", *options)
    spread = run(registry, images, tmp_path / "b", *options, "--workers", "2")
    assert spread["bundles"] == alone["bundles"]
    few = Path(shutil.copytree(images.removeprefix("folder:"), tmp_path / "few"))
    shutil.rmtree(few / "test")
    with pytest.raises(AugmentError, match="at least 10 members"):
        run(registry, f"folder:{few}", tmp_path / "c", "--only", "privacy", "--workers", "2")


@pytest.mark.parametrize(
    ("uri", "recognizer", "people"),
    [
        ("lfw:photographs.zip", None, True),
        ("celeba:faces", None, True),
        ("folder:flowers", None, False),
        ("folder:staff", "face", True),
        ("lfw:photographs.zip", "character", False),
        ("draw:faces-id/0", None, True),
        ("draw:scene-chars/0", None, False),
    ],
)
def test_classes_are_people_where_published_or_said_and_not_for_their_size(
    uri, recognizer, people, tmp_path
):
    images = np.zeros((1, 64, 64, 3), np.uint8)
    data = LabelledImages.from_arrays(images, np.zeros(1, np.int64), ["a"], uri=uri)
    settings = EvaluateSettings(recognizer=recognizer)
    found = Evaluation({}, {}, data, settings, 0, tmp_path)
    assert bundle_measures.shows_people(found) == people
