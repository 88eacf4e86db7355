"""``python -m jobs.evaluate`` on every architecture: one table a measure."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.data.datasets import open_data
from augment.errors import AugmentError, ConfigError, DataError, RequestError, ResumeError
from augment.images import encode_png
from jobs import evaluate, generate, restoration_measures
from recognizers import fidelity

QUICK = ("judge_steps=20", "per_class=3", "pairs=4", "test_images=12")


def measure(registry: Path, pictures: Path, out: Path, only: str, *bundles: str) -> dict[str, Any]:
    sets = [word for setting in QUICK for word in ("--set", setting)]
    references = [f"{registry}/{bundle}" for bundle in bundles]
    evaluate.main(
        [*references, "--data", f"celeba:{pictures}", "--out", str(out), "--only", only, *sets]
    )
    report: dict[str, Any] = json.loads((out / f"{only}.json").read_text())
    assert (out / f"{only}.md").read_text().startswith(("| ", "cvae"))
    return report


def test_faces_compares_bundles_with_real_images_held_out(picture_registry, pictures, tmp_path):
    report = measure(picture_registry, pictures, tmp_path, "faces", "cvae", "cvae-gan")
    assert [row["name"] for row in report["rows"]] == ["real, held out", "cvae", "cvae-gan"]
    held_out = np.sum(open_data(f"celeba:{pictures}").splits != "train")
    assert [row["images"] for row in report["rows"]] == [held_out, 15, 15]
    assert (tmp_path / "nearest-cvae-gan.png").exists()
    for bundle in ("cvae", "cvae-gan"):
        card = (picture_registry / bundle / "1/MODEL_CARD.md").read_text()
        assert f"### Faces\n\n{(tmp_path / 'faces.md').read_text()}" in card
        assert f"On celeba:{pictures}, seeds 0:\n\n    python -m jobs.evaluate" in card
        assert "--only faces" in card


def test_attributes_measures_what_conditional_models_draw_and_what_edits_change(
    picture_registry, pictures, tmp_path
):
    report = measure(picture_registry, pictures, tmp_path, "attributes", "vae-gan", "conditional")
    assert [row["name"] for row in report["similarity"]] == ["real test images", "conditional"]
    assert {row["bundle"] for row in report["edits"]} == {"vae-gan", "conditional"}
    assert {row["edit"] for row in report["edits"]} <= {"+Smiling", "−Smiling", "−Young"}


def test_masked_measures_reconstructions_and_says_where_the_masks_came_from(
    picture_registry, pictures, tmp_path
):
    report = measure(picture_registry, pictures, tmp_path, "masked", "masked")
    (row,) = report["rows"]
    assert row["masked"]
    assert row["scores"]["ten_l1"] > 0
    assert "GrabCut" in report["face_masks"] or "grabcut" in report["face_masks"]


def test_restoration_measures_holes_and_small_images(
    picture_registry, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(fidelity, "Judge", lambda *of: pytest.fail("a recognizer is enough"))
    report = measure(picture_registry, pictures, tmp_path, "restoration", "cvae-gan", "vae-gan")
    for table in report["bundles"].values():
        assert {row["method"] for row in table["rows"]} >= {"labelmint", "telea", "bicubic"}


def test_restoration_verifies_people_that_the_bundle_has_not_seen(
    picture_registry, pictures, tmp_path, faces_of, monkeypatch
):
    """The pictures name their people 1, 2, …: others are strangers."""
    strangers = f"strangers=folder:{faces_of(tmp_path / 'strangers', 'a', 'b', 'c', 'd', '1')}"
    sets = [word for setting in (*QUICK, strangers) for word in ("--set", setting)]
    command = [f"{picture_registry}/cvae-gan", "--data", f"celeba:{pictures}", *sets]
    evaluate.main([*command, "--only", "restoration", "--out", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out" / "restoration.json").read_text())
    assert report["strangers"]["cvae-gan"]["people"] == 2  # half of a, b, c and d

    def train(*_: object, **__: object) -> None:
        pytest.fail("the strangers are looked at first")

    monkeypatch.setattr(restoration_measures, "train_face_recognizer", train)
    with pytest.raises(DataError, match="at least 4 people"):
        evaluate.main([*command, "--set", f"strangers=celeba:{pictures}", "--only", "restoration",
                       "--out", str(tmp_path / "none")])  # fmt: skip


def test_bundles_that_a_measure_cannot_take_are_named(picture_registry, pictures, tmp_path):
    with pytest.raises(RequestError, match="draws no labelled images"):
        measure(picture_registry, pictures, tmp_path, "faces", "masked")
    with pytest.raises(RequestError, match="expected a vae_gan bundle"):
        measure(picture_registry, pictures, tmp_path, "attributes", "cvae")
    with pytest.raises(AugmentError, match="expected a masked_vae bundle"):
        measure(picture_registry, pictures, tmp_path, "masked", "vae-gan")
    with pytest.raises(ConfigError, match="different bundles"):
        measure(picture_registry, pictures, tmp_path, "masked", "masked", "masked")


def test_new_identities_are_written_as_classes_of_their_own(picture_registry, tmp_path):
    command = [f"{picture_registry}/cvae-gan", "--new-identities", "3", "--per-label", "2"]
    generate.main([*command, "--out", str(tmp_path / "set")])
    names = sorted(path.name for path in (tmp_path / "set").iterdir() if path.is_dir())
    assert names == ["new-0001", "new-0002", "new-0003"]
    assert len(list((tmp_path / "set").rglob("*.png"))) == 6


def test_people_the_bundle_never_saw_are_drawn_from_their_photographs(picture_registry, tmp_path):
    photographs = {"Ada": (200, 60, 60), "Bo": (60, 60, 200)}
    for name, color in photographs.items():
        for number in range(2):
            file = tmp_path / "people" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_png(np.full((40, 40, 3), color, np.uint8)))
    command = [f"{picture_registry}/cvae-gan", "--people-from", f"folder:{tmp_path / 'people'}"]
    generate.main([*command, "--per-label", "2", "--out", str(tmp_path / "set")])
    drawn = sorted(str(path.relative_to(tmp_path / "set")) for path in tmp_path.glob("set/*/*.png"))
    assert [path.split("/")[0] for path in drawn] == ["Ada", "Ada", "Bo", "Bo"]
    only = [*command, "--labels", "Bo", "--per-label", "1", "--out", str(tmp_path / "one")]
    generate.main(only)
    assert [path.parent.name for path in tmp_path.glob("one/*/*.png")] == ["Bo"]
    with pytest.raises(ConfigError, match="exclude each other"):
        generate.main([*command, "--new-identities", "2", "--out", str(tmp_path / "none")])


def test_a_job_killed_while_it_drew_some_people_does_not_go_on_with_others(
    picture_registry, tmp_path, monkeypatch
):
    for folder, names in (("these", ("Ada", "Al")), ("others", ("Bea", "Bo"))):
        for shade, name in enumerate(names):
            file = tmp_path / folder / name / "0.png"
            file.parent.mkdir(parents=True)
            image = np.full((40, 40, 3), 100 + 50 * shade + len(folder), np.uint8)
            file.write_bytes(encode_png(image))

    def draw(people: str) -> None:
        who = ["--people-from", f"folder:{tmp_path / people}", "--per-label", "2"]
        out = ["--resume", "--out", str(tmp_path / "set")]
        generate.main([f"{picture_registry}/cvae-gan", *who, *out])

    with monkeypatch.context() as killing:
        killing.setattr(generate, "generated_record", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            draw("these")
    with pytest.raises(ResumeError, match="begun with other settings"):
        draw("others")
    draw("these")
    assert {path.parent.name for path in tmp_path.glob("set/*/*.png")} == {"Ada", "Al"}


def test_results_of_an_earlier_evaluation_are_not_replaced(picture_registry, pictures, tmp_path):
    (tmp_path / "masked.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"masked\.json is there already"):
        measure(picture_registry, pictures, tmp_path, "masked", "masked")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"report\.json is there already"):
        measure(picture_registry, pictures, tmp_path, "fidelity", "cvae-gan")
    assert (tmp_path / "report.json").read_text() == "{}"


@pytest.mark.parametrize("option", ["--new-identities=3", "--people-from=digits:"])
def test_only_cvae_gan_draws_people_it_was_not_trained_on(picture_registry, tmp_path, option):
    with pytest.raises(ConfigError, match="got one of vae_gan"):
        generate.main([f"{picture_registry}/vae-gan", option, "--out", str(tmp_path)])
