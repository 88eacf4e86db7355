import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augment.errors import LabelError
from augment.export import (
    WRITERS,
    Record,
    ZipStream,
    folder_name,
    generated_record,
    label_of_folder,
    zip_stream,
)
from augment.generate import Drawn
from augment.images import decode_image

PNG = b"not really a PNG, but bytes all the same"


def records() -> list[Record]:
    generated = [
        Record(PNG + label.encode(), label, index, seed=7, bundle="d" * 64, confidence=0.98765)
        for label in ("3", "京")
        for index in range(2)
    ]
    return [*generated, Record(PNG, "3", 0, origin="real", source="train/3/a.png")]


def rows_of(manifest: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in manifest.decode().splitlines()]


def contents(path: Path) -> dict[str, bytes]:
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_folder_and_zip_lay_out_an_image_folder_with_manifest_and_classes(
    kind: str, tmp_path: Path
) -> None:
    with WRITERS[kind](tmp_path / "out") as writer:
        for record in records():
            writer.add(record)
        writer.close({"made": 5, "kept": 4, "shortfall": {"京": 1}})

    files = contents(tmp_path / "out")
    del files["SHA256SUMS"]
    assert b"Images: 5. Different labels: 2." in files.pop("README.md")
    *rows, last = rows_of(files.pop("manifest.jsonl"))
    assert files.pop("classes.txt").decode() == "3\n京\n"
    assert last == {"summary": {"made": 5, "kept": 4, "shortfall": {"京": 1}}}
    assert sorted(files) == sorted(str(row["file"]) for row in rows)
    assert all(hashlib.sha256(files[str(r["file"])]).hexdigest() == r["sha256"] for r in rows)
    assert rows[0] == {
        "file": "3/generated-7-000000.png",
        "label": "3",
        "origin": "generated",
        "seed": 7,
        "index": 0,
        "bundle": "d" * 64,
        "content": None,
        "styles": None,
        "mix": None,
        "confidence": 0.9877,
        "sha256": hashlib.sha256(PNG + b"3").hexdigest(),
    }
    assert (rows[-1]["origin"], rows[-1]["source"]) == ("real", "train/3/a.png")


@pytest.mark.parametrize(("styles", "told"), [((4, 9), (4, 9)), ((-1, -1), None)])
def test_a_generated_record_tells_where_its_style_came_from(
    styles: tuple[int, int], told: tuple[int, int] | None
) -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    drawn = Drawn(image, 1, 5, content=2, styles=styles, mix=0.25, confidence=0.5)
    record = generated_record(drawn, ("3", "京"), seed=7, bundle="d")
    assert (record.label, record.file) == ("京", "京/generated-7-000005.png")
    assert (record.styles, record.mix) == (told, told and 0.25)
    np.testing.assert_array_equal(decode_image(record.png, channels=3), image)


def test_zip_bytes_depend_on_the_records_alone_not_on_how_they_are_cut() -> None:
    stream = ZipStream()
    pieces = [stream.add(records()[:3]), stream.add(records()[3:]), *stream.close()]
    assert b"".join(zip_stream(records())) == b"".join(pieces)
    changed = [replace(records()[0], seed=8), *records()[1:]]
    assert b"".join(zip_stream(changed)) != b"".join(pieces)


def test_zip_needs_no_data_descriptors_and_passes_its_own_check() -> None:
    with zipfile.ZipFile(io.BytesIO(b"".join(zip_stream(records())))) as archive:
        assert archive.testzip() is None
        assert all(not entry.flag_bits & 0x08 for entry in archive.infolist())


@pytest.mark.parametrize(("name", "limit"), [("_LIMIT", 100), ("_MANY", 3)])
def test_large_archives_get_the_64_bit_records(
    name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = b"".join(zip_stream(records()))
    monkeypatch.setattr(f"augment.export.zip_file.{name}", limit)
    large = b"".join(zip_stream(records()))
    assert b"PK\x06\x06" in large
    assert b"PK\x06\x06" not in small
    with (
        zipfile.ZipFile(io.BytesIO(large)) as wide,
        zipfile.ZipFile(io.BytesIO(small)) as narrow,
    ):
        assert wide.testzip() is None
        assert {n: wide.read(n) for n in wide.namelist()} == {
            n: narrow.read(n) for n in narrow.namelist()
        }


def test_zip_streams_its_first_bytes_before_the_second_record_is_made() -> None:
    made: list[int] = []

    def lazily() -> Iterator[Record]:
        for number, record in enumerate(records()):
            made.append(number)
            yield record

    assert PNG in next(zip_stream(lazily()))
    assert made == [0]


OWN = ("manifest.jsonl", "README.md", "__MACOSX", "@eaDir", ".ipynb_checkpoints")


@pytest.mark.parametrize(
    "label", ["3", "a/b", "..", ".", "a\\b", "C:", "京A·12345", "%41", "a\n", *OWN]
)
def test_folder_names_are_safe_and_can_be_undone(label: str) -> None:
    name = folder_name(label)
    assert not set(name) & set('/\\:*?"<>|\n')
    assert name not in ("..", ".", "", " ", *OWN)
    assert label_of_folder(name) == label


@pytest.mark.parametrize("label", ["CON", "nul", "Com7", "LPT1.png"])
def test_names_of_devices_name_no_folder(label: str) -> None:
    assert folder_name(label).startswith("%")
    assert label_of_folder(folder_name(label)) == label


@pytest.mark.parametrize("label", ["CONE", "COM10", "A CON", "NULL"])
def test_what_only_begins_like_a_device_stays(label: str) -> None:
    assert folder_name(label) == label


@pytest.mark.parametrize("label", ["", "京" * 100])
def test_a_label_that_cannot_name_a_folder_is_an_error(label: str) -> None:
    with pytest.raises(LabelError, match="1 to 200 bytes"):
        folder_name(label)


def test_unsafe_labels_stay_inside_the_folder_and_true_in_the_manifest(tmp_path: Path) -> None:
    with WRITERS["folder"](tmp_path / "out") as writer:
        writer.add(Record(PNG, "../../escaped", 0, seed=1))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert rows_of(contents(tmp_path / "out")["manifest.jsonl"])[0]["label"] == "../../escaped"


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize(
    ("labels", "told"), [("AabBc", b"(`A` and `a` and 1 more)"), ("Ab", b"`LABEL/NAME.png`")]
)
def test_the_card_tells_of_folders_that_differ_in_case_alone(
    kind: str, labels: str, told: bytes, tmp_path: Path
) -> None:
    with WRITERS[kind](tmp_path / "out") as writer:
        for label in labels:
            writer.add(Record(PNG, label, 0, seed=7, bundle="d" * 64))
        writer.close()
    card = contents(tmp_path / "out")["README.md"]
    assert told in card
    assert (b"differ in case alone" in card) == (labels == "AabBc")
