import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

from augment.data import parquet as ours
from augment.data.datasets import open_data
from augment.data.texts import open_texts
from augment.errors import DataError, ImageError
from augment.export import WRITERS, Record
from augment.images import encode_png


def pixels(seed: int, size: tuple[int, int] = (8, 24)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def export(path: Path, labels: Sequence[str], *, texts: bool, **options: int) -> Path:
    """Write image i of label i."""
    classes = None if texts else sorted(set(labels))
    with WRITERS["parquet"](path, classes=classes, **options) as writer:
        for index, label in enumerate(labels):
            writer.add(Record(encode_png(pixels(index)), label, index, seed=3))
    return path


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path, **options)
    return path


def struct(seeds: Sequence[int]) -> list[dict[str, object]]:
    return [{"bytes": encode_png(pixels(seed)), "path": None} for seed in seeds]


def test_classes_of_our_export_are_read_back_from_all_shards(tmp_path: Path) -> None:
    labels = ("皖", "a", "b", "a", "皖", "b", "a")
    root = export(tmp_path / "out", labels, texts=False, shard_size=5, group_size=2)
    data = open_data(f"parquet:{root}", image_size=(8, 24))
    assert data.classes == ("a", "b", "皖")
    assert [data.classes[label] for label in data.labels] == list(labels)
    assert data.names[0] == "000000000.png"
    assert len(set(data.splits)) > 1, "shards called train alone say nothing of a split"
    again: Any = pickle.loads(pickle.dumps(data))
    for index in (6, 0, 3, 1, 5):
        assert np.array_equal(again.images([index])[0], pixels(index))
    assert data.digest() == again.digest()


def test_texts_of_our_export_are_read_back(tmp_path: Path) -> None:
    texts = ('say "hi", you', "two\nlines", "京A12345")
    root = export(tmp_path / "out", texts, texts=True)
    lines = open_texts(f"parquet:{root}")
    assert lines.texts == texts
    assert all(np.array_equal(lines.images([i])[0], pixels(i)) for i in range(3))


def test_what_hugging_face_writes_is_read_with_its_splits(tmp_path: Path) -> None:
    kinds = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    (tmp_path / "data").mkdir()
    for split, seeds in (("train", (0, 1, 2)), ("validation", (3,)), ("test", (4, 5))):
        rows = {
            "img": [Image.fromarray(pixels(seed)) for seed in seeds],
            "label": [seed % 2 for seed in seeds],
        }
        made = datasets.Dataset.from_dict(rows, features=kinds)
        made.to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    data = open_data(f"parquet:{tmp_path}", image_size=(8, 24))
    expected = {seed: ("test" if seed > 3 else "train" if seed < 3 else "val") for seed in range(6)}
    found = {}
    for index in range(len(data)):
        (seed,) = [s for s in expected if np.array_equal(data.images([index])[0], pixels(s))]
        found[seed] = data.splits[index]
        assert data.classes[data.labels[index]] == ("cat", "dog")[seed % 2]
    assert found == expected
    assert "data/train-00000-of-00001.parquet#2" in data.names


def test_folders_tell_splits_and_bare_bytes_are_images(tmp_path: Path) -> None:
    for split, seeds in (("train", (0, 1)), ("test", (2,))):
        columns = {"image": [encode_png(pixels(s)) for s in seeds], "label": [s for s in seeds]}
        write(tmp_path / "default" / split / "0000.parquet", columns)
    data = open_data(f"parquet:{tmp_path}", image_size=(8, 24))
    assert data.classes == ("0", "1", "2")
    assert [data.splits[index] for index in np.argsort(data.labels)] == ["train", "train", "test"]
    assert np.array_equal(data.images([int(np.argmax(data.labels))])[0], pixels(2))


def test_rows_have_the_same_names_wherever_the_file_lies(tmp_path: Path) -> None:
    columns = {"image": [encode_png(pixels(s)) for s in (0, 1)], "label": ["a", "b"]}
    for folder in ("here", "there"):
        path = write(tmp_path / folder / "few.parquet", columns)
        assert open_data(f"parquet:{path}").names == ("few.parquet#0", "few.parquet#1")


def test_a_table_larger_than_what_is_held_takes_a_row_group_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = list(range(24))
    noise = [{"bytes": encode_png(pixels(s, (160, 160))), "path": f"{s}.png"} for s in seeds]
    columns = {"image": noise, "text": [f"line {seed}" for seed in seeds]}
    path = write(tmp_path / "large.parquet", columns, row_group_size=2)
    group = path.stat().st_size / 12
    monkeypatch.setattr(ours, "HELD_BYTES", int(1.5 * group))
    before = pa.total_allocated_bytes()
    lines = open_texts(f"parquet:{path}")
    assert pa.total_allocated_bytes() - before < group, "opening reads no image"
    most = 0
    for index in np.random.default_rng(0).permutation(24):
        assert np.array_equal(lines.images([index])[0], pixels(index, (160, 160)))
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 4 * group


BAD: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "no table": ({}, r"files called \*.parquet below"),
    "no image": ({"a": {"pixels": [b""], "label": ["x"]}}, "column image or img .* got pixels, la"),
    "no label": ({"a": {"image": struct([0]), "caption": ["x"]}}, "column label or text"),
    "null label": ({"a": {"image": struct([0, 1]), "label": ["x", None]}}, "got None in row 1"),
    "odd label": ({"a": {"image": struct([0]), "label": [0.5]}}, "a name or number .* got 0.5"),
    "half a split": (
        {"train-0": {"image": struct([0]), "label": ["x"]}, "more": {"image": [], "label": []}},
        "first word of each file's name .* got more.parquet",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_table_that_cannot_be_read_is_a_clear_error(name: str, tmp_path: Path) -> None:
    tables, message = BAD[name]
    for file, columns in tables.items():
        write(tmp_path / f"{file}.parquet", columns)
    with pytest.raises(DataError, match=message):
        open_data(f"parquet:{tmp_path}")


def test_a_class_outside_its_names_is_a_clear_error(tmp_path: Path) -> None:
    features = {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    table = pa.table({"image": struct([0, 1]), "label": [0, -1]})
    table = table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    parquet.write_table(table, tmp_path / "unlabelled.parquet")
    with pytest.raises(DataError, match=r"an index below 2 .* got -1 in row 1"):
        open_data(f"parquet:{tmp_path / 'unlabelled.parquet'}")


def test_a_damaged_file_and_an_image_left_outside_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"a Parquet file, got .*cut.parquet"):
        open_data(f"parquet:{tmp_path / 'cut.parquet'}")
    rows = [{"bytes": None, "path": f"{name}.png"} for name in "ab"]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path = write(tmp_path / "paths.parquet", {"image": pa.array(rows, kind), "text": ["x", "y"]})
    with pytest.raises(ImageError, match=r"a.png: expected the image inside .*paths.parquet"):
        open_texts(f"parquet:{path}").images([0])
