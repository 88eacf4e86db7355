import gc
import hashlib
import json
import re
import tracemalloc
import zipfile
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest

from augment.errors import DataError, LabelError
from augment.export import WRITERS, Card, Record, Writer

CLASSES = {
    "ccpd": ("京A12345", "皖AY339S"),  # all that it can write
    "easyocr": ("No 3", "京"),  # a set of numbers alone is refused
}
REFUSING = ("ccpd", "lfw")  # layouts whose labels name files
SUMMARY = {"asked": 5, "made": 6, "kept": 4, "dropped": 2, "shortfall": {"京": 1}}


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 24, 3), np.uint8)
    _, data = cv2.imencode(".png", pixels)
    return bytes(data.tobytes())


def classes_for(kind: str) -> tuple[str, ...]:
    return CLASSES.get(kind, ("3", "京"))


def records(kind: str) -> list[Record]:
    first, second = classes_for(kind)
    generated = [
        Record(png(index), label, index, seed=7, bundle="d" * 64, confidence=0.98765)
        for label in (first, second)
        for index in range(2)
    ]
    return [*generated, Record(png(9), first, 0, origin="real", source="train/3/a.png")]


def write(kind: str, path: Path, card: Card | None = None) -> Path:
    with WRITERS[kind](path, classes=classes_for(kind), card=card) as writer:
        for record in records(kind):
            writer.add(record)
        writer.close(SUMMARY)
    return path


def contents(path: Path) -> dict[str, bytes]:
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


KINDS = pytest.mark.parametrize("kind", sorted(WRITERS))


@KINDS
def test_the_manifest_has_a_row_for_every_image_and_ends_with_the_summary(
    kind: str, tmp_path: Path
) -> None:
    manifest = contents(write(kind, tmp_path / "out"))["manifest.jsonl"].decode()
    *rows, last = [json.loads(line) for line in manifest.splitlines()]
    assert last == {"summary": SUMMARY}
    assert len({row["file"] for row in rows}) == len(rows) == 5
    for row, record in zip(rows, records(kind), strict=True):
        assert (row["label"], row["seed"], row["index"]) == (
            record.label, record.seed, record.index
        )  # fmt: skip
        assert row["origin"] == record.origin


@KINDS
def test_checksums_cover_every_file_and_agree(kind: str, tmp_path: Path) -> None:
    files = contents(write(kind, tmp_path / "out"))
    sums = files.pop("SHA256SUMS").decode()
    expected = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in files.items()]
    assert sorted(sums.splitlines()) == sorted(expected)


@KINDS
def test_the_card_tells_what_how_how_many_and_under_which_terms(kind: str, tmp_path: Path) -> None:
    card = Card("Plates of nobody", "Drawn by a saae bundle.", licence="CC BY 4.0, by Jo: 2026")
    text = contents(write(kind, tmp_path / "out", card))["README.md"].decode()
    assert "# Plates of nobody" in text
    assert "Images: 5. Classes: 2." in text
    assert "Drawn by a saae bundle." in text
    assert "| asked | made | kept | dropped |" in text
    assert "| 5 | 6 | 4 | 2 |" in text
    assert '`{"京": 1}`' in text
    assert "CC BY 4.0, by Jo: 2026" in text
    bare = contents(write(kind, tmp_path / "bare"))["README.md"].decode()
    assert "Not stated" in bare


def test_the_card_tells_of_near_copies_that_were_dropped() -> None:
    card = Card()
    for copies, told in ((2, True), (0, False)):
        text = card.render("", images=1, labels=1, texts=False, summary={"copies": copies})
        assert ("2 were near-copies of training images" in text) is told


@KINDS
def test_the_same_records_give_the_same_bytes(kind: str, tmp_path: Path) -> None:
    first, second = contents(write(kind, tmp_path / "a")), contents(write(kind, tmp_path / "b"))
    assert first == second


@KINDS
def test_an_interrupted_export_leaves_nothing(kind: str, tmp_path: Path) -> None:
    def interrupted() -> None:
        with WRITERS[kind](tmp_path / "out", classes=classes_for(kind)) as writer:
            writer.add(records(kind)[0])
            assert not (tmp_path / "out").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@KINDS
def test_an_export_whose_end_fails_leaves_nothing(kind: str, tmp_path: Path) -> None:
    def unfinished(explicit: bool) -> None:
        with WRITERS[kind](tmp_path / "out", classes=classes_for(kind)) as writer:
            for record in records(kind):
                writer.add(record)
            writer.card.render = None  # type: ignore[misc, assignment]
            if explicit:
                writer.close()

    for explicit in (True, False):
        with pytest.raises(AttributeError):
            unfinished(explicit)
        assert list(tmp_path.iterdir()) == []


@KINDS
def test_leftovers_of_a_killed_export_do_not_mix_with_the_next(kind: str, tmp_path: Path) -> None:
    killed = WRITERS[kind](tmp_path / "out", classes=classes_for(kind))
    killed.add(records(kind)[0])
    assert (tmp_path / "out.partial").exists()
    with WRITERS[kind](tmp_path / "out", classes=classes_for(kind)) as writer:
        writer.add(records(kind)[1])
    (row,) = contents(tmp_path / "out")["manifest.jsonl"].decode().splitlines()
    assert json.loads(row)["index"] == 1
    assert not (tmp_path / "out.partial").exists()
    killed.abort()
    assert (tmp_path / "out").exists()


@KINDS
def test_what_no_export_left_is_not_removed(kind: str, tmp_path: Path) -> None:
    (tmp_path / "photos.partial").mkdir()
    mine = tmp_path / "photos.partial" / "mine.txt"
    mine.write_text("precious")
    (tmp_path / "notes.partial").write_text("precious")
    for name in ("photos", "notes"):
        with pytest.raises(DataError, match=rf"{name}\.partial to be what an interrupted"):
            WRITERS[kind](tmp_path / name)
    assert mine.read_text() == (tmp_path / "notes.partial").read_text() == "precious"


@KINDS
def test_an_existing_path_is_refused_and_stays(kind: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(DataError, match="exists; choose another"):
        WRITERS[kind](tmp_path / "out")
    assert (tmp_path / "out").read_text() == "precious"


@KINDS
def test_the_same_image_twice_is_refused_and_the_rest_goes_on(kind: str, tmp_path: Path) -> None:
    first, second = records(kind)[:2]
    with WRITERS[kind](tmp_path / "out", classes=classes_for(kind)) as writer:
        writer.add(first)
        with pytest.raises(DataError, match="twice"):
            writer.add(first)
        writer.add(second)
    assert len(contents(tmp_path / "out")["manifest.jsonl"].decode().splitlines()) == 2


def write_one(kind: str, path: Path, label: str) -> None:
    with WRITERS[kind](path) as writer:
        writer.add(Record(png(0), label, 0, seed=1))


@KINDS
def test_an_empty_label_is_refused_and_leaves_nothing_behind(kind: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError):
        write_one(kind, tmp_path / "out", "")
    assert list(tmp_path.iterdir()) == []


@KINDS
@pytest.mark.parametrize("label", ["../../escaped", "/etc/escaped", "..", "a\\..\\escaped"])
def test_no_label_leads_out_of_the_folder(kind: str, label: str, tmp_path: Path) -> None:
    outer = tmp_path / "deep" / "deeper"
    refusal = re.escape(repr(label)) if kind in REFUSING else None
    with pytest.raises(LabelError, match=refusal) if refusal else nullcontext():
        write_one(kind, outer / "out", label)
    if not refusal:
        row = json.loads(contents(outer / "out")["manifest.jsonl"].decode().splitlines()[0])
        assert row["label"] == label
    assert [path.name for path in outer.iterdir()] == ([] if refusal else ["out"])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["deeper"]


def traced_bytes() -> int:
    gc.collect()  # decoders leave cycles
    return tracemalloc.get_traced_memory()[0]


@KINDS
def test_memory_does_not_grow_with_the_number_of_images(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augment.export.ledger._SPOOL_BYTES", 1000)
    labels = classes_for(kind)

    def add(writer: Writer, numbers: range) -> None:
        for number in numbers:
            writer.add(Record(png(number), labels[number % 2], number, seed=number // 2))

    with WRITERS[kind](tmp_path / "out", classes=labels) as writer:
        add(writer, range(200))
        tracemalloc.start()
        traced = []
        for start in range(200, 1000, 200):
            add(writer, range(start, start + 200))
            traced.append(traced_bytes())
        tracemalloc.stop()
        writer.abort()
    grown = np.diff(traced).min()  # the table of interned names may double once
    assert grown < 200 * 80, "each image left something behind"


@pytest.mark.parametrize("kind", ["csv", "folder", "lmdb", "webdataset", "zip"])
def test_memory_does_not_grow_with_the_number_of_texts(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augment.export.ledger._SPOOL_BYTES", 1000)
    monkeypatch.setattr("augment.export.ledger._PIECE_BYTES", 1000)
    image, peaks = png(0), []
    for count in (300, 1500):
        with WRITERS[kind](tmp_path / f"{count}") as writer:
            for number in range(count):
                writer.add(Record(image, f"text number {number}", number, seed=1))
            tracemalloc.start()
            writer.close(SUMMARY)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1200 * 20, "closing held every text"


def test_a_card_names_some_of_many_labels_that_fall_short(tmp_path: Path) -> None:
    shortfall = {f"text {number}": 1 for number in range(3400)}
    with WRITERS["csv"](tmp_path / "out") as writer:
        writer.add(Record(png(0), "A1", 0))
        writer.close({**SUMMARY, "shortfall": shortfall})
    card = (tmp_path / "out" / "README.md").read_text()
    assert '"text 9": 1}` and 3,390 labels more; `manifest.jsonl` ends with all.' in card
    assert "text 10" not in card


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("ccpd", "I am no plate"),
        ("csv", "half \ud800"),
        ("easyocr", "ends in a space "),
        ("folder", "x" * 300),
        ("insightface", "x" * 300),
        ("lfw", "two words"),
        ("mmocr", "half \ud800"),
        ("paddleocr", "a\ttab"),
        ("zip", ""),
    ],
)
def test_what_a_layout_cannot_hold_is_refused_before_anything_is_drawn_as_when_it_is_written(
    kind: str, label: str, tmp_path: Path
) -> None:
    fit = CLASSES.get(kind, ("A1", "B2"))[0]
    WRITERS[kind].check_texts([fit, "A1B2" if kind != "ccpd" else fit])
    with pytest.raises(LabelError) as before:
        WRITERS[kind].check_texts([fit, label])
    with pytest.raises(LabelError) as then, WRITERS[kind](tmp_path / "out") as writer:
        writer.add(Record(png(0), label, 0))
    assert str(before.value) == str(then.value)
