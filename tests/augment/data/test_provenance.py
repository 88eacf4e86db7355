"""Exports of ours given as data: what was generated does not count as real."""

from pathlib import Path

import numpy as np
import pytest

from augment.data.provenance import refuse_generated
from augment.errors import DataError
from augment.export import WRITERS, Record
from augment.images import encode_png


def export(path: Path, kind: str, origins: tuple[str, ...]) -> Path:
    with WRITERS[kind](path) as writer:
        for index, origin in enumerate(origins):
            png = encode_png(np.full((8, 16, 1), index, np.uint8))
            label = '"origin": "generated"' if kind == "csv" else f"a{index}"
            writer.add(Record(png=png, label=label, index=index, origin=origin))  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("kind", "inside"),
    [
        ("folder", "folder:{}"),
        ("zip", "zip:{}"),
        ("csv", "csv:{}/labels.csv"),
        ("parquet", "parquet:{}"),
        ("lmdb", "lmdb:{}"),
        ("paddleocr", "paddleocr:{}"),
    ],
)
def test_generated_images_are_told_from_real_ones(kind: str, inside: str, tmp_path: Path) -> None:
    suffix = ".zip" if kind == "zip" else ""
    both = export(tmp_path / f"both{suffix}", kind, ("real", "generated", "real"))
    with pytest.raises(DataError, match=r"expected real images, got 1 generated ones among 3"):
        refuse_generated(inside.format(both))
    refuse_generated(inside.format(export(tmp_path / f"real{suffix}", kind, ("real", "real"))))


def test_data_of_others_count_as_real(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n")
    (tmp_path / "broken.zip").write_bytes(b"PK")
    for uri in ("digits:", f"csv:{tmp_path}/labels.csv", f"folder:{tmp_path}", "folder:/nowhere"):
        refuse_generated(uri)
    refuse_generated(f"zip:{tmp_path}/broken.zip")
