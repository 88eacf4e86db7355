import json
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from augment.errors import DataError, RequestError
from augment.export import Record, ZipWriter
from augment.images import decode_image, encode_png
from serving import client
from serving.client import unpack

FLAT = encode_png(np.full((32, 32, 3), 100, np.uint8))
HOLE = np.zeros((32, 32, 1), np.uint8)
HOLE[4:9, 4:9] = 255


@pytest.fixture
def url(face_client: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A service in process, where httpx would call one."""
    monkeypatch.setattr(httpx, "post", lambda url, **how: face_client.post(url, **how))
    return "http://service/"


def level_of(png: bytes) -> float:
    return float(decode_image(png, channels=3).mean())


def test_each_thing_a_bundle_does_with_images_can_be_asked_for(url: str, tmp_path: Path) -> None:
    file = tmp_path / "flat.png"
    file.write_bytes(FLAT)
    box = (4, 4, 28, 28)
    assert level_of(client.reconstruct(url, "faces", file, box=box)) == 100
    assert level_of(client.inpaint(url, "faces", FLAT, encode_png(HOLE), blend="none")) == 100
    large = client.super_resolve(url, "faces/1", str(file), 4)
    assert decode_image(large, channels=3).shape == (128, 128, 3)
    assert level_of(client.edit(url, "faces", file, {"Smiling": 1.0})) == 131
    assert [level_of(f) for f in client.morph(url, "faces", (FLAT, FLAT), steps=3)] == [100] * 3


def test_a_refusal_of_work_on_images_is_told_in_the_words_of_the_service(url: str) -> None:
    with pytest.raises(RequestError, match="scale: Input should be 2 or 4"):
        client.super_resolve(url, "faces", FLAT, 3)
    with pytest.raises(RequestError, match="unknown label 'ann'"):
        client.reconstruct(url, "faces", FLAT, label="ann")
    with pytest.raises(RequestError, match="takes no labels"):
        client.morph(url, "faces", labels=("Smiling", "Eyeglasses"), seed=1)


def test_images_are_asked_for_within_a_band_of_the_readers_confidences(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = request.getfixturevalue("client")  # whose samples are read the surer the later
    monkeypatch.setattr(
        httpx, "stream", lambda _, url, **how: nullcontext(service.post(url, **how))
    )
    how: dict[str, Any] = {"out": tmp_path / "z.zip", "seed": 1, "progress": False}
    band = (0.75 + 4 / 1024, 0.75 + 9 / 1024)
    told = client.ask("http://service", "digits", {"3": 6}, reader_band=band, **how)
    assert (told.kept, told.shortfall) == (4, 2)
    assert [row["index"] for row in unpack(told.path, tmp_path / "out")] == [4, 6, 7, 9]
    with pytest.raises(RequestError, match=r"reader_band must be .* got 0\.9 to 0\.1"):
        client.ask("http://service", "digits", {"3": 6}, reader_band=(0.9, 0.1), **how)
    told = client.ask("http://service", "digits", {"3": 6}, format="csv", **how)
    with zipfile.ZipFile(told.path) as archive:
        assert "labels.csv" in archive.namelist()


def write_zip(path: Path) -> Path:
    with ZipWriter(path) as writer:
        for index in range(3):
            writer.add(Record(b"png %d" % index, "a/b", index, seed=1))
        writer.close({"kept": 3})
    return path


def test_unpacking_leaves_what_lies_beside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine.txt").write_text("precious")
    unpack(write_zip(tmp_path / "z.zip"), tmp_path / "out")
    assert (tmp_path / "out.partial" / "mine.txt").read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out.partial", "z.zip"}


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
    assert {path.suffix for path in tmp_path.iterdir()} == {".zip"}


def test_a_truncated_zip_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    cut = write_zip(tmp_path / "z.zip")
    cut.write_bytes(cut.read_bytes()[:-30])
    with pytest.raises(DataError, match="expected a zip"):
        unpack(cut, tmp_path / "out")
    assert {path.suffix for path in tmp_path.iterdir()} == {".zip"}


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
