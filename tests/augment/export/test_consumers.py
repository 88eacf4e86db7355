"""Every layout is read back by the program it is meant for, or as that program reads it."""

import csv
import gc
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any
from unicodedata import normalize

import cv2
import datasets
import lmdb
import numpy as np
import pandas as pd
import pytest
import webdataset
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet
from torchvision.datasets import ImageFolder

from augment.data.text_formats import read_csv
from augment.errors import LabelError
from augment.export import WRITERS, Record, TarStream

HARD = (
    *('say "hi", you', "tab\there", "two\nlines", "a\rb", "שלום עולם"),
    *("e\u0301t\u00e9", " ", "#=a|b;%41"),
)
PLAIN = ('say "hi", you', "שלום עולם", "e\u0301t\u00e9", "#=a|b;%41", "京A12345")


def pixels(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (8, 24, 3), np.uint8)


def png(seed: int) -> bytes:
    _, data = cv2.imencode(".png", pixels(seed)[:, :, ::-1])
    return bytes(data.tobytes())


def export(kind: str, path: Path, labels: tuple[str, ...], *, texts: bool, **options: int) -> Path:
    """Write image i of label i."""
    classes = None if texts else sorted(set(labels))
    with WRITERS[kind](path, classes=classes, **options) as writer:
        for index, label in enumerate(labels):
            writer.add(Record(png(index), label, index, seed=3))
    return path


def same(image: Image.Image, index: int) -> bool:
    return bool(np.array_equal(np.asarray(image.convert("RGB")), pixels(index)))


def test_torchvision_reads_a_folder_with_its_classes(tmp_path: Path) -> None:
    root = export("folder", tmp_path / "out", ("b", "京", "a"), texts=False)
    data = ImageFolder(root)
    assert data.classes == ["a", "b", "京"] == (root / "classes.txt").read_text().splitlines()
    assert [target for _, target in data.samples] == [0, 1, 2]
    assert same(data[0][0], 2)


def test_our_own_reader_and_pandas_read_every_text_of_a_csv(tmp_path: Path) -> None:
    labels = tuple(label for label in HARD if label.strip())
    root = export("csv", tmp_path / "out", labels, texts=True)
    listing = read_csv(str(root / "labels.csv"))
    assert listing.texts == tuple(normalize("NFC", label) for label in labels)
    assert [listing.read(i) for i in range(len(labels))] == [png(i) for i in range(len(labels))]
    table = pd.read_csv(root / "labels.csv", keep_default_na=False)
    assert tuple(table["text"]) == labels


def test_classes_of_a_csv_are_labels(tmp_path: Path) -> None:
    root = export("csv", tmp_path / "out", ("b", "a"), texts=False)
    with (root / "labels.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["b", "a"]


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return str(tmp_path / "cache")


def test_hugging_face_reads_jsonl_as_an_image_folder(tmp_path: Path, offline: str) -> None:
    root = export("jsonl", tmp_path / "out", HARD, texts=True)
    data = datasets.load_dataset(
        "imagefolder", data_dir=str(root), split="train", cache_dir=offline
    )
    assert data.column_names == ["image", "text"]
    assert tuple(data["text"]) == HARD
    assert all(same(data[index]["image"], index) for index in range(len(HARD)))


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_hugging_face_reads_the_whole_folder_by_its_card(
    kind: str, texts: bool, tmp_path: Path, offline: str
) -> None:
    root = export(kind, tmp_path / "out", ("b", "a", "b"), texts=texts)
    data = datasets.load_dataset(str(root), split="train", cache_dir=offline)
    assert len(data) == 3
    assert same(data[1]["image"], 1)
    labels = data["text" if texts else "label"]
    if kind == "parquet" and not texts:
        assert data.features["label"].names == ["a", "b"]
        assert list(labels) == [1, 0, 1]
    else:
        assert list(labels) == ["b", "a", "b"]


def test_parquet_holds_every_text_in_shards_and_row_groups(tmp_path: Path) -> None:
    root = export("parquet", tmp_path / "out", HARD, texts=True, shard_size=5, group_size=2)
    shards = sorted((root / "data").iterdir())
    assert [parquet.ParquetFile(shard).num_row_groups for shard in shards] == [3, 2]
    rows = [row for shard in shards for row in parquet.read_table(shard).to_pylist()]
    assert tuple(row["text"] for row in rows) == HARD
    assert [row["image"]["bytes"] for row in rows] == [png(index) for index in range(len(HARD))]


def samples_of(shards: str) -> list[dict[str, Any]]:
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))
    gc.collect()  # it leaves its files to the collector
    return samples


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_webdataset_reads_shards_of_images_texts_classes_and_rows(tmp_path: Path) -> None:
    root = export("webdataset", tmp_path / "out", HARD, texts=False, shard_size=3)
    assert sorted(path.name for path in root.glob("*.tar")) == [
        "train-000000.tar", "train-000001.tar", "train-000002.tar"
    ]  # fmt: skip
    samples = samples_of(f"{root}/train-{{000000..000002}}.tar")
    assert tuple(sample["txt"] for sample in samples) == HARD
    classes = json.loads((root / "classes.json").read_text())
    assert [classes[sample["cls"]] for sample in samples] == list(HARD)
    assert all(same(sample["png"], index) for index, sample in enumerate(samples))
    assert [sample["json"]["index"] for sample in samples] == list(range(len(HARD)))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_texts_have_no_class_in_webdataset(tmp_path: Path) -> None:
    root = export("webdataset", tmp_path / "out", ("a",), texts=True)
    (sample,) = samples_of(f"{root}/train-000000.tar")
    assert {"png", "txt", "json"} <= set(sample)
    assert "cls" not in sample
    assert not (root / "classes.json").exists()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_webdataset_passes_over_what_a_streamed_tar_says_of_itself(tmp_path: Path) -> None:
    stream = TarStream(classes=("a", "b"))
    records = [Record(png(index), label, index, seed=3) for index, label in enumerate("ba")]
    pieces = [stream.add(records[:1]), stream.add(records[1:]), *stream.close({"made": 2})]
    (tmp_path / "out.tar").write_bytes(b"".join(pieces))
    samples = samples_of(str(tmp_path / "out.tar"))
    assert [(sample["txt"], sample["cls"]) for sample in samples] == [("b", 1), ("a", 0)]
    with tarfile.open(tmp_path / "out.tar") as archive:
        manifest = archive.extractfile("__labelmint__/manifest.jsonl")
        assert manifest is not None
        assert json.loads(manifest.read().splitlines()[-1]) == {"summary": {"made": 2}}
        archive.extractall(tmp_path, filter="data")
    notes = tmp_path / "__labelmint__"
    sums = [line.split("  ") for line in (notes / "SHA256SUMS").read_text().splitlines()]
    files = {(notes / name).resolve(): digest for digest, name in sums}
    assert len(files) == 2 * 4 + 3  # png, txt, cls and json of each; classes, card and manifest
    assert json.loads((notes / "classes.json").read_text()) == ["a", "b"]
    for file, digest in files.items():
        assert file.parent in (tmp_path.resolve(), notes.resolve())
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest


def test_lmdb_is_read_by_its_one_based_keys(tmp_path: Path) -> None:
    root = export("lmdb", tmp_path / "out", HARD, texts=True)
    environment = lmdb.open(
        str(root), max_readers=32, readonly=True, lock=False, readahead=False, meminit=False
    )
    with environment.begin(write=False) as transaction:
        count = int(transaction.get(b"num-samples"))
        texts = [transaction.get(b"label-%09d" % number) for number in range(1, count + 1)]
        images = [transaction.get(b"image-%09d" % number) for number in range(1, count + 1)]
        assert transaction.get(b"image-000000000") is None
    environment.close()
    assert tuple(text.decode() for text in texts) == HARD
    assert all(same(Image.open(io.BytesIO(data)), i) for i, data in enumerate(images))


def test_paddleocr_splits_each_line_at_its_only_tab(tmp_path: Path) -> None:
    root = export("paddleocr", tmp_path / "out", (*PLAIN, "a b"), texts=True)
    lines = (root / "rec_gt_train.txt").read_bytes().splitlines(keepends=True)
    pairs = [line.decode("utf-8").strip("\n").split("\t") for line in lines]
    assert tuple(text for _, text in pairs) == (*PLAIN, "a b")
    assert all(same(Image.open(root / file), index) for index, (file, _) in enumerate(pairs))
    characters = [
        line.decode("utf-8").strip("\n").strip("\r\n")
        for line in (root / "dict.txt").read_bytes().splitlines(keepends=True)
    ]
    assert set(characters) == set("".join(PLAIN)) - {" "}
    assert len(characters) == len(set(characters))


def test_mmocr_reads_both_of_its_formats(tmp_path: Path) -> None:
    root = export("mmocr", tmp_path / "out", HARD, texts=True)
    new = json.loads((root / "textrecog_train.json").read_text())
    assert new["metainfo"] == {"dataset_type": "TextRecogDataset", "task_name": "textrecog"}
    assert tuple(entry["instances"][0]["text"] for entry in new["data_list"]) == HARD
    assert all(
        same(Image.open(root / row["img_path"]), i) for i, row in enumerate(new["data_list"])
    )
    old = [json.loads(line) for line in (root / "train_label.jsonl").read_text().split("\n")[:-1]]
    assert tuple(row["text"] for row in old) == HARD
    assert [row["filename"] for row in old] == [row["img_path"] for row in new["data_list"]]


def easyocr_table(file: Path) -> pd.DataFrame:
    """What EasyOCR's trainer makes of labels.csv."""
    return pd.read_csv(
        file,
        sep="^([^,]+),",
        engine="python",
        usecols=["filename", "words"],
        keep_default_na=False,
    )


def test_easyocr_reads_words_by_the_pattern_of_its_trainer(tmp_path: Path) -> None:
    labels = (*PLAIN, '"OPEN" 24h', '"open', "a,b", ",", " leading", "12", "007", "true", "nan")
    root = export("easyocr", tmp_path / "out", labels, texts=True)
    table = easyocr_table(root / "labels.csv")
    assert tuple(table["words"]) == labels
    assert all(same(Image.open(root / name), i) for i, name in enumerate(table["filename"]))
    composed = tuple(normalize("NFC", label.strip()) for label in labels)
    assert read_csv(str(root / "labels.csv")).texts == composed, "our own reader reads the same"


NUMBERS = (
    *(("12", "007"), ("-1.5e3", "+.5", "2.", "1E+5"), ("inf", "-Infinity", "9" * 40)),
    *(("True", "FALSE"), ("true",), (" 5", "6")),
)


@pytest.mark.parametrize("labels", NUMBERS, ids=str)
def test_labels_that_easyocr_would_not_read_as_texts_are_refused(
    labels: tuple[str, ...], tmp_path: Path
) -> None:
    rows = "".join(f"{index}.png,{label}\n" for index, label in enumerate(labels))
    (tmp_path / "labels.csv").write_text(f"filename,words\n{rows}")
    assert tuple(easyocr_table(tmp_path / "labels.csv")["words"]) != labels
    for texts in (True, False):
        with pytest.raises(LabelError, match="takes them for numbers"):
            export("easyocr", tmp_path / "out", labels, texts=texts)
        assert [file.name for file in tmp_path.iterdir()] == ["labels.csv"]


TEXTS_AFTER_ALL = (("12", "a"), ("True", "1"), ("1,000",), ("0x1F",), ("1_000",), ("１２",), ("-",))


@pytest.mark.parametrize("labels", TEXTS_AFTER_ALL, ids=str)
def test_labels_that_easyocr_reads_as_texts_are_written(
    labels: tuple[str, ...], tmp_path: Path
) -> None:
    root = export("easyocr", tmp_path / "out", labels, texts=True)
    assert tuple(easyocr_table(root / "labels.csv")["words"]) == labels


REFUSED = {
    ("paddleocr", "tab\there"): r"paddleocr cannot hold .*'tab\\there'.*'\\t'",
    ("paddleocr", "two\nlines"): r"paddleocr .*'\\n'",
    ("easyocr", "two\rlines"): r"easyocr .*'\\r'",
    ("easyocr", "end "): r"easyocr .*'end ', whose white space at the end",
    ("easyocr", "end\u3000"): r"easyocr .* whose white space at the end",
    ("csv", "half\ud800"): r"csv .*'\\ud800'",
    ("lmdb", "half\ud800"): r"lmdb .*'\\ud800'",
    ("webdataset", "half\ud800"): r"webdataset .*'\\ud800'",
    ("parquet", "half\ud800"): r"parquet .*'\\ud800'",
}


@pytest.mark.parametrize(("kind", "label"), sorted(REFUSED))
def test_a_label_the_layout_cannot_hold_is_refused_by_name(
    kind: str, label: str, tmp_path: Path
) -> None:
    with pytest.raises(LabelError, match=REFUSED[kind, label]):
        export(kind, tmp_path / "out", ("good", label), texts=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_a_label_outside_the_classes_is_refused(kind: str, tmp_path: Path) -> None:
    writer = WRITERS[kind](tmp_path / "out", classes=("a", "b"))
    with pytest.raises(LabelError, match="2 classes it was given, got the label 'c'"), writer:
        writer.add(Record(png(0), "c", 0, seed=1))
    assert list(tmp_path.iterdir()) == []
