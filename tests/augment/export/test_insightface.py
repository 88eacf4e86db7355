"""The .rec is read back by a reader written from dmlc-core's description, recordio.h."""

import io
import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from augment.errors import DataError
from augment.export import WRITERS, Record
from augment.export.insightface import record_io

MAGIC = 0xCED7230A


def read_record(data: bytes, offset: int) -> bytes:
    """Put the parts of the record at an offset together."""
    parts: list[bytes] = []
    while True:
        magic, word = struct.unpack_from("<II", data, offset)
        assert magic == MAGIC
        kind, length = word >> 29, word & (1 << 29) - 1
        parts.append(data[offset + 8 : offset + 8 + length])
        offset += 8 + (length + 3) // 4 * 4
        if kind in (0, 3):
            return struct.pack("<I", MAGIC).join(parts)


def unpack(record: bytes) -> tuple[list[float], int, bytes]:
    """Labels, id and what follows, as mxnet.recordio.unpack has it."""
    flag, label, key, _ = struct.unpack_from("<IfQQ", record)
    if flag == 0:
        return [label], key, record[24:]
    labels = struct.unpack_from(f"<{flag}f", record, 24)
    return list(labels), key, record[24 + 4 * flag :]


def face(level: int) -> bytes:
    image = np.full((64, 48, 3), (level, 40, 255 - level), np.uint8)  # red grows, blue shrinks
    _, data = cv2.imencode(".png", image[:, :, ::-1])
    return bytes(data.tobytes())


PEOPLE = ("Zoë", "Ann", "Zoë", "Bo", "Ann", "Zoë")  # as a read-back loop may deliver them


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("insightface") / "out"
    with WRITERS["insightface"](path) as writer:
        for index, name in enumerate(PEOPLE):
            writer.add(Record(face(40 * index), name, index, seed=1))
    return path


@pytest.fixture(scope="module")
def records(export: Path) -> dict[int, bytes]:
    data = (export / "train.rec").read_bytes()
    rows = [line.split("\t") for line in (export / "train.idx").read_text().splitlines()]
    return {int(key): read_record(data, int(offset)) for key, offset in rows}


def test_record_0_and_a_record_a_person_say_where_the_images_are(
    records: dict[int, bytes],
) -> None:
    assert sorted(records) == list(range(1 + len(PEOPLE) + 3))
    assert unpack(records[0]) == ([7.0, 10.0], 0, b"")
    assert [unpack(records[key]) for key in (7, 8, 9)] == [
        ([1.0, 3.0], 7, b""), ([3.0, 4.0], 8, b""), ([4.0, 7.0], 9, b"")
    ]  # fmt: skip


def test_images_come_sorted_by_person_in_colour_and_of_one_size(
    export: Path, records: dict[int, bytes]
) -> None:
    assert (export / "property").read_text() == "3,112,112\n"
    assert (export / "classes.txt").read_text().splitlines() == ["Ann", "Bo", "Zoë"]
    unpacked = [unpack(records[key]) for key in range(1, 7)]
    assert [(labels, key) for labels, key, _ in unpacked] == [
        ([0.0], 1), ([0.0], 2), ([1.0], 3), ([2.0], 4), ([2.0], 5), ([2.0], 6)
    ]  # fmt: skip
    images = [Image.open(io.BytesIO(data)) for *_, data in unpacked]
    assert {(image.size, image.format) for image in images} == {((112, 112), "JPEG")}
    shown = sorted(image.getpixel((50, 50)) for image in images)
    np.testing.assert_allclose(shown, [(40 * i, 40, 255 - 40 * i) for i in range(6)], atol=3)


def test_the_manifest_finds_each_image_by_its_offset(export: Path) -> None:
    data = (export / "train.rec").read_bytes()
    for index, line in enumerate((export / "manifest.jsonl").read_text().splitlines()):
        row = json.loads(line)
        name, _, offset = row["file"].partition("@")
        assert (name, row["label"]) == ("train.rec", PEOPLE[index])
        *_, jpeg = unpack(read_record(data, int(offset)))
        level = Image.open(io.BytesIO(jpeg)).getpixel((50, 50))[0]  # type: ignore[index]
        assert level == pytest.approx(40 * index, abs=3)


@pytest.mark.parametrize(
    "hex_parts",
    ["", "00", "0a23d7ce", "0a23d7ce0a23d7ce", "010203040a23d7ce05", "ff0a23d7ce00", "01020a23d7"],
)
def test_a_record_that_holds_the_magic_number_is_cut_and_put_together(hex_parts: str) -> None:
    data = bytes.fromhex(hex_parts)
    framed = record_io(data)
    assert len(framed) % 4 == 0
    assert read_record(framed + record_io(b"next"), 0) == data
    aligned = [framed[i : i + 4] for i in range(0, len(framed), 4)]
    heads = aligned.count(struct.pack("<I", MAGIC))
    assert heads == 1 + [data[i : i + 4] for i in range(0, len(data), 4)].count(
        struct.pack("<I", MAGIC)
    )


def test_more_images_than_its_numbers_can_count_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augment.export.insightface._MOST", 1)
    with WRITERS["insightface"](tmp_path / "out") as writer:
        writer.add(Record(face(0), "a", 0, seed=1))
        with pytest.raises(DataError, match="1 images at most; split them"):
            writer.add(Record(face(0), "a", 1, seed=1))
