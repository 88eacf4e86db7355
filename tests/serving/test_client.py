import json
import zipfile
from pathlib import Path

import pytest

from augment.errors import DataError
from augment.export import Record, ZipWriter
from serving.client import unpack


def write_zip(path: Path) -> Path:
    with ZipWriter(path) as writer:
        for index in range(3):
            writer.add(Record(b"png %d" % index, "a/b", index, seed=1))
        writer.close({"kept": 3})
    return path


def test_unpacking_gives_the_folder_and_the_rows_of_its_images(tmp_path: Path) -> None:
    rows = unpack(write_zip(tmp_path / "z.zip"), tmp_path / "out")
    assert [row["label"] for row in rows] == ["a/b"] * 3
    assert (tmp_path / "out" / rows[2]["file"]).read_bytes() == b"png 2"
    assert (tmp_path / "out" / "classes.txt").read_text() == "a%2Fb\n"


def test_an_image_that_differs_from_the_manifest_is_an_error(tmp_path: Path) -> None:
    good = write_zip(tmp_path / "z.zip")
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(tmp_path / "bad.zip", "w") as new:
        for name in old.namelist():
            new.writestr(name, b"other" if name.endswith("1.png") else old.read(name))
    with pytest.raises(DataError, match=r"000001\.png differs"):
        unpack(tmp_path / "bad.zip", tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_a_truncated_zip_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    cut = write_zip(tmp_path / "z.zip")
    cut.write_bytes(cut.read_bytes()[:-30])
    with pytest.raises(DataError, match="expected a zip"):
        unpack(cut, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_unpacking_leaves_an_existing_folder_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="exists"):
        unpack(write_zip(tmp_path / "z.zip"), tmp_path / "out")


def test_names_in_a_foreign_zip_cannot_leave_the_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as evil:
        evil.writestr("../../escaped.txt", "out")
        evil.writestr("manifest.jsonl", json.dumps({"summary": {}}))
    unpack(tmp_path / "evil.zip", tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("../escaped.txt"))
    assert not (tmp_path / "escaped.txt").exists()
