import json
from pathlib import Path

import numpy as np
import pytest

from augment.data.datasets import open_data
from augment.errors import ConfigError, LabelError
from augment.generators import load_sampler
from augment.images import encode_png
from jobs import evaluate
from jobs.evaluation import EvaluateSettings
from recognizers.evaluation import draw_like
from recognizers.scenarios import find_scenario


def run(registry: Path, out: Path, *options: str) -> None:
    few = ("samples=40", "validation_images=30", "pairs=5")
    sets = [word for setting in few for word in ("--set", setting)]
    evaluate.main([f"{registry}/digits", "--out", str(out), *sets, *options])


def test_parzen_score_and_nearest_images_are_written(demo_registry: Path, tmp_path: Path) -> None:
    run(demo_registry, tmp_path, "--data", "digits:", "--only", "parzen")
    real, report = json.loads((tmp_path / "parzen.json").read_text())["rows"]
    assert (real["name"], report["name"]) == ("real training images", "digits")
    assert real["samples"] == 40
    assert report["samples"] == 40
    assert report["validation_images"] == 30
    assert report["standard_error"] > 0
    assert np.isfinite(report["log_likelihood"])
    assert (tmp_path / "nearest-digits.png").read_bytes().startswith(b"\x89PNG")


def test_samples_have_the_class_shares_of_the_real_images(demo_registry: Path) -> None:
    sampler = load_sampler(demo_registry / "digits" / "1")
    real = open_data("digits:")
    real = real.subset(np.flatnonzero(np.isin(real.labels, [2, 5]))[:10])
    shares = np.bincount(real.labels, minlength=10) / 10
    drawn = draw_like(real, sampler, 20, seed=0)
    assert len(drawn) == 20
    twos = sampler.draw(
        np.full(int(20 * shares[2]), 2), np.arange(int(20 * shares[2])), seed=0
    ).images
    np.testing.assert_array_equal(drawn[: len(twos)], twos)


def test_data_of_other_classes_are_refused(demo_registry: Path, tmp_path: Path) -> None:
    for label in "xy":
        (tmp_path / "data" / label).mkdir(parents=True)
        image = np.full((16, 16, 1), ord(label), np.uint8)
        (tmp_path / "data" / label / "1.png").write_bytes(encode_png(image))
    with pytest.raises(LabelError, match="x, y"):
        run(demo_registry, tmp_path / "out", "--data", f"folder:{tmp_path / 'data'}")


def test_a_draw_is_split_into_what_its_seed_saw_and_what_it_was_tested_on() -> None:
    draw = find_scenario("digits").draw(3)
    data = evaluate.open_images("draw:digits/3", draw.train.image_size, 1)
    assert draw.dev is not None
    for split, part in (("train", draw.train), ("test", draw.test), ("val", draw.dev)):
        given = data.split(split)
        assert given.digest() == part.digest()
        assert given.groups.tolist() == part.groups.tolist()


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("draw:digits", "SCENARIO/SEED"),
        ("draw:digits/x", "SCENARIO/SEED"),
        ("draw:nothing/0", "unknown scenario 'nothing'"),
        ("draw:digits/0", "evaluate bundles of that benchmark"),
    ],
)
def test_draws_that_there_are_not_or_of_other_shapes_are_refused(uri: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        evaluate.open_images(uri, (31, 31), 3)


def test_paths_in_settings_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = EvaluateSettings(
        face_masks="celebamaskhq:faces", identity_data="lfw:lfw.zip", inception="weights.pth"
    )
    found = evaluate.absolute_settings(given)
    assert found.face_masks == f"celebamaskhq:{tmp_path}/faces"
    assert found.identity_data == f"lfw:{tmp_path}/lfw.zip"
    assert found.inception == f"{tmp_path}/weights.pth"
    assert evaluate.absolute_settings(EvaluateSettings()) == EvaluateSettings()


def test_bundles_are_called_by_as_much_of_their_path_as_tells_them_apart() -> None:
    given = ["runs/a/digits", "runs/b/digits/", "runs/b/digits/2", "s3://runs/b/faces/", "digits/2"]
    assert evaluate.short_names(given) == {
        "a/digits": given[0],
        "b/digits": given[1],
        "b/digits/2": given[2],
        "faces": given[3],
        "digits/2": given[4],
    }
    assert list(evaluate.short_names(["/a/digits", "a/digits"])) == ["/a/digits", "a/digits"]
    with pytest.raises(ConfigError, match="different bundles"):
        evaluate.short_names(["runs/digits", "runs/digits/"])


def test_help_says_what_seeds_and_workers_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # no line is broken inside a word
    told = " ".join(evaluate.parser().format_help().split())
    five = "of fidelity, diversity, labels, utility and privacy; the papers' tables"
    assert f"numbered from --seed, {five} take --seed alone" in told
    assert f"on Ray, {five} are made one after another" in told
    assert "on a cluster, --out and bundles given by a path have to be on a disk" in told
