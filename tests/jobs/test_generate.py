import json
import re
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from augment.data.datasets import open_data
from augment.errors import ConfigError, DataError, LabelError, ResumeError
from augment.export import generated_record
from augment.generate import Sampler, Samples, draw_counts
from augment.images import encode_png
from jobs import generate
from jobs.class_images import choose_labels
from recognizers.privacy import NearCopies


def run(registry: Path, out: Path, *options: str) -> None:
    generate.main([f"{registry}/digits", "--out", str(out), "--no-read-back", *options])


def rows(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "file" in row]


def test_a_folder_holds_the_number_asked_for_of_each_label(
    demo_registry: Path, tmp_path: Path
) -> None:
    run(demo_registry, tmp_path / "set", "--labels", "3,7", "--per-label", "4")
    assert sorted(path.name for path in (tmp_path / "set").iterdir() if path.is_dir()) == ["3", "7"]
    assert [row["label"] for row in rows(tmp_path / "set")] == ["3"] * 4 + ["7"] * 4
    assert len(open_data(f"folder:{tmp_path / 'set'}")) == 8


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    demo_registry: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        options = ("--format", "zip", "--per-label", "2", "--seed", seed)
        run(demo_registry, tmp_path / name, *options)
    first, second, third = ((tmp_path / f"{name}.zip").read_bytes() for name in "abc")
    assert first == second
    assert first != third


@pytest.mark.parametrize("reads", [True, False])
def test_a_job_that_was_killed_goes_on_and_writes_what_it_would_have_written(
    demo_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    command = [f"{demo_registry}/digits", "--labels", "3,7", "--per-label", "9", "--resume"]
    command += ["--format", "zip"] if reads else ["--format", "zip", "--no-read-back"]
    monkeypatch.setattr(generate, "draw_counts", partial(draw_counts, chunk=4))
    calls: list[int] = []
    draw = Sampler.draw

    def counted(self: Sampler, labels: NDArray[np.int64], *given: Any) -> Samples:
        calls.append(len(labels))
        return draw(self, labels, *given)

    monkeypatch.setattr(Sampler, "draw", counted)
    generate.main([*command, "--out", str(tmp_path / "whole")])
    needed = len(calls)
    left = iter(range(6))
    with monkeypatch.context() as killing:
        killing.setattr(
            generate,
            "generated_record",
            lambda *given: generated_record(*given) if next(left, None) is not None else 1 / 0,
        )
        with pytest.raises(ZeroDivisionError):
            generate.main([*command, "--out", str(tmp_path / "set")])
    assert not (tmp_path / "set.zip").exists()
    assert (tmp_path / "set.zip.journal").exists()
    drawn_before = len(calls) - needed
    assert 0 < drawn_before < needed
    generate.main([*command, "--out", str(tmp_path / "set")])
    assert len(calls) == 2 * needed, "what the first job drew was drawn again"
    assert (tmp_path / "set.zip").read_bytes() == (tmp_path / "whole.zip").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.zip", "whole.zip"]


def test_another_seed_does_not_go_on_where_one_was_killed(
    demo_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killing:
        killing.setattr(generate, "generated_record", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(demo_registry, tmp_path / "set", "--per-label", "2", "--resume")
    with pytest.raises(ResumeError, match="begun with other settings"):
        run(demo_registry, tmp_path / "set", "--per-label", "2", "--resume", "--seed", "5")
    with pytest.raises(ResumeError, match="drew other images"):
        run(demo_registry, tmp_path / "set", "--per-label", "3", "--resume")
    with pytest.raises(ConfigError, match="--resume does not go with a renderer"):
        generate.main(["renderer:words", "--out", str(tmp_path / "lines"), "--resume"])
    run(demo_registry, tmp_path / "set", "--per-label", "2", "--resume")
    assert len(rows(tmp_path / "set")) == 20


def test_real_images_join_the_training_set(demo_registry: Path, tmp_path: Path) -> None:
    run(
        demo_registry, tmp_path / "set", "--labels", "0", "--per-label", "2", "--format", "zip",
        "--with-real", "digits:",
    )  # fmt: skip
    with zipfile.ZipFile(tmp_path / "set.zip") as files:
        lines = files.read("manifest.jsonl").splitlines()
    origins = [row.get("origin") for row in map(json.loads, lines)]
    assert origins.count("generated") == 2
    assert origins.count("real") == len(open_data("digits:").split("train"))


def test_generated_images_do_not_join_as_real_ones(demo_registry: Path, tmp_path: Path) -> None:
    run(demo_registry, tmp_path / "set", "--labels", "0,1", "--per-label", "1")
    again = ["--per-label", "1", "--with-real", f"folder:{tmp_path / 'set'}"]
    with pytest.raises(DataError, match="got 2 generated ones among 2"):
        run(demo_registry, tmp_path / "again", *again)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("labels", "format", "named"),
    [("0,1,2", "easyocr", "takes them for numbers"), ("0", "ccpd", "ccpd")],
)
def test_labels_that_a_layout_cannot_hold_are_refused_before_anything_is_drawn(
    demo_registry: Path, tmp_path: Path, labels: str, format: str, named: str
) -> None:
    options = ["--labels", labels, "--per-label", "1", "--format", format, "--dry-run"]
    with pytest.raises(LabelError, match=named):
        run(demo_registry, tmp_path / "set", *options)


def test_classes_have_the_numbers_of_their_bundle(demo_registry: Path, tmp_path: Path) -> None:
    """The service numbers them so too; classes of real images alone come after them."""
    png = encode_png(np.zeros((16, 16, 1), np.uint8))
    for name in ("0", "-"):
        (tmp_path / "real" / name).mkdir(parents=True)
        for index in range(20):
            (tmp_path / "real" / name / f"{index}.png").write_bytes(png)
    options = ["--labels", "0", "--per-label", "1", "--format", "webdataset"]
    run(demo_registry, tmp_path / "set", *options, "--with-real", f"folder:{tmp_path / 'real'}")
    assert json.loads((tmp_path / "set" / "classes.json").read_text()) == [*"0123456789", "-"]
    with tarfile.open(tmp_path / "set" / "train-000000.tar") as tar:
        files = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    told = {(files[f"{name[:-4]}.txt"], files[name]) for name in files if name.endswith(".cls")}
    assert told == {(b"0", b"0"), (b"-", b"10")}


def test_near_copies_of_the_training_images_are_dropped_and_told(
    demo_registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(demo_registry, tmp_path / "first", "--labels", "0,1", "--per-label", "2")
    trained_on = f"folder:{tmp_path / 'copied'}"  # what it draws first, as if it were training data
    for path in (tmp_path / "first").glob("*/*.png"):
        (tmp_path / "copied/train" / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(tmp_path / "copied/train" / path.parent.name / path.name)
    run(
        demo_registry, tmp_path / "set", "--labels", "0,1", "--per-label", "2",
        "--drop-copies", trained_on,
    )  # fmt: skip
    assert {row["index"] for row in rows(tmp_path / "set")}.isdisjoint({0, 1})
    told = re.search(r"(\d+) near-copies dropped", capsys.readouterr().out)
    assert told is not None
    assert int(told[1]) >= 4


def test_an_export_of_nothing_but_dropped_images_is_an_error(
    demo_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NearCopies, "__call__", lambda self, images: np.ones(len(images), bool))
    few = ("--labels", "0", "--per-label", "2", "--drop-copies", "digits:")
    with pytest.raises(DataError, match="got none of 8 made, so nothing was written"):
        run(demo_registry, tmp_path / "set", *few)
    assert not list(tmp_path.glob("set*"))


def test_labels_may_come_from_a_file(demo_registry: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("5\n\n1\n5\n")
    run(demo_registry, tmp_path / "set", "--labels", str(wanted), "--per-label", "1")
    assert [row["label"] for row in rows(tmp_path / "set")] == ["1", "5"]


def test_a_file_of_labels_may_begin_with_a_byte_order_mark_and_has_to_be_utf8(
    tmp_path: Path,
) -> None:
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("A\nB\n", encoding="utf-8-sig")
    assert choose_labels(str(wanted), ["A", "B"]) == ["A", "B"]
    wanted.write_text("京\n", encoding="gbk")
    with pytest.raises(DataError, match=r"expected UTF-8 in .*wanted\.txt.*; save it as UTF-8"):
        choose_labels(str(wanted), ["京"])


def test_more_labels_may_be_listed_than_a_file_name_can_hold() -> None:
    people = [f"Person_{number:03d}" for number in range(158)]
    assert choose_labels(",".join(people), people) == people


def test_an_unknown_label_is_an_error_that_lists_the_classes(
    demo_registry: Path, tmp_path: Path
) -> None:
    with pytest.raises(LabelError, match="unknown label 'ä'"):
        run(demo_registry, tmp_path / "set", "--labels", "ä")
    assert not (tmp_path / "set").exists()


def test_what_was_there_before_stays(demo_registry: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="exists"):
        run(demo_registry, tmp_path / "set", "--per-label", "1")
    assert (tmp_path / "set" / "mine.txt").read_text() == "mine"


def test_dry_run_writes_nothing(
    demo_registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(demo_registry, tmp_path / "set", "--dry-run")
    assert json.loads(capsys.readouterr().out)["job"] == "generate"
    assert not (tmp_path / "set").exists()


def test_a_card_tells_the_licence_of_the_bundle_unless_other_images_go_in(
    demo_registry: Path, tmp_path: Path
) -> None:
    def card(name: str, *options: str) -> str:
        run(demo_registry, tmp_path / name, "--labels", "3", "--per-label", "1", *options)
        text = (tmp_path / name / "README.md").read_text()
        return text.partition("## Licence of the inputs")[2].strip().splitlines()[0]

    assert card("own") == "cc-by-4.0"
    assert card("given", "--licence", "CC0") == "CC0"
    assert card("mixed", "--with-real", "digits:").startswith("Not stated")


def test_every_option_of_an_export_reaches_its_card(demo_registry: Path, tmp_path: Path) -> None:
    options = ("--format", "parquet", "--licence", "CC BY 4.0", "--labels", "3,7")
    run(demo_registry, tmp_path / "set", *options, "--per-label", "2", "--with-real", "digits:")
    card = (tmp_path / "set" / "README.md").read_text()
    assert "# Labelled images by digits" in card
    assert "CC BY 4.0" in card
    assert "| asked | made | kept | dropped | real |" in card
    real = len(open_data("digits:").split("train"))
    assert f"Images: {real + 4:,}. Classes: 10." in card
    (shard,) = (tmp_path / "set" / "data").iterdir()
    assert parquet.read_metadata(shard).num_rows == real + 4
