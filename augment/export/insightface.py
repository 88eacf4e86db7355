"""InsightFace: train.rec, train.idx and property, in MXNet's indexed RecordIO.

A record is the magic number, a word of three bits (0: whole; 1, 2, 3: first, middle, last part)
and 29 bits of length, the data, and zeros up to a multiple of four. Where the data has the magic
number at a multiple of four, it is cut there and the number left out (dmlc-core, recordio.h).
The data of an image is a header (flag, label, id, 0) and a JPEG; ``train.idx`` has the offset of
each id.

In the classic layout the images 1 to N-1 come sorted by person, record 0 says where the people's
records begin and end, and each of these where the person's images do, as two float32 after a
header whose flag is 2.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from augment.errors import DataError
from augment.export.base import FolderExport
from augment.export.card import Card
from augment.export.records import (
    CLASSES,
    Record,
    check_text,
    encode_jpeg,
    folder_name,
    list_classes,
)

__all__ = ["InsightFaceWriter", "record_io"]

SIDE = 112
"""Sides of every image, pixels: what the networks of InsightFace take."""

_MAGIC = struct.pack("<I", 0xCED7230A)
_HEADER = struct.Struct("<IfQQ")  # flag, label, id, second id
_FRAME_BYTES = 8  # ahead of the data
_MOST = 2**23  # with as many people, float32 still counts them one by one


class InsightFaceWriter(FolderExport):
    """Writes one .rec of JPEGs, 112×112; a label is a person's name, any text."""

    layout = (
        "InsightFace: `train.rec`, `train.idx` and `property` in the classic layout, JPEGs of "
        "112×112; line i of `classes.txt` is the person of label i."
    )

    def __init__(
        self, path: str | Path, *, classes: Sequence[str] | None = None, card: Card | None = None
    ) -> None:
        """As ``Writer``."""
        super().__init__(path, classes=classes, card=card)
        self._file = (self.partial / "train.rec").open("xb")

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        check_text(label, "insightface")
        folder_name(label)  # it will stand in classes.txt

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        self.check_label(record.label)
        if self.ledger.count >= _MOST:
            raise DataError(f"the layout insightface counts {_MOST:,} images at most; split them.")
        data = encode_jpeg(record.png, side=SIDE)
        place = self._file.tell()
        self.ledger.enter(record, f"train.rec@{place}", data, place)
        self._file.write(record_io(_HEADER.pack(0, 0.0, 0, 0) + data))

    def finish(self) -> None:
        """Give the images their labels and ids, sorted by person; write the people and index."""
        people: list[tuple[str, int, int]] = []  # name, first id, end of ids
        with (self.partial / "train.idx").open("x", encoding="ascii") as index:
            for key, (label, place) in enumerate(self.ledger.places(), start=1):
                if not people or people[-1][0] != label:
                    people.append((label, key, key))
                name, first, _ = people[-1]
                people[-1] = (name, first, key + 1)
                self._file.seek(place + _FRAME_BYTES)
                self._file.write(_HEADER.pack(0, float(len(people) - 1), key, 0))
                index.write(f"{key}\t{place}\n")
            self._file.seek(0, 2)
            end = self.ledger.count + 1
            spans = [(0, end, end + len(people))]
            spans += [(end + i, first, last) for i, (_, first, last) in enumerate(people)]
            for key, first, last in spans:
                index.write(f"{key}\t{self._file.tell()}\n")
                span = struct.pack("<2f", first, last)
                self._file.write(record_io(_HEADER.pack(2, 0.0, key, 0) + span))
        self.release()
        self.put("property", f"{len(people)},{SIDE},{SIDE}\n".encode())
        self.put(CLASSES, b"".join(list_classes(name for name, _, _ in people)))
        self.seal("train.rec")
        self.seal("train.idx")

    def release(self) -> None:
        """Close train.rec."""
        self._file.close()


def record_io(data: bytes) -> bytes:
    """Frame one record."""
    parts = list(_split(data))
    kinds = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    framed = b"".join(
        _MAGIC + struct.pack("<I", kind << 29 | len(part)) + part
        for kind, part in zip(kinds, parts, strict=True)
    )
    return framed + bytes(-len(data) % 4)


def _split(data: bytes) -> Iterator[bytes]:
    """Cut data at each magic number that lies at a multiple of four."""
    start = at = 0
    while (at := data.find(_MAGIC, at)) >= 0:
        if at % 4 == 0:
            yield data[start:at]
            start = at = at + 4
        else:
            at += 1
    yield data[start:]
