"""WebDataset: tar shards in which the members of a sample follow each other and share a name.

NUMBER.png      the image
NUMBER.txt      its label
NUMBER.cls      its class index, where labels are classes
NUMBER.json     its manifest row
"""

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from augment.errors import ConfigError
from augment.export.base import FolderExport
from augment.export.card import Card
from augment.export.ledger import Ledger, pieces
from augment.export.records import CARD, MANIFEST, ClassNumbers, Record, check_text

__all__ = ["TarStream", "WebDatasetWriter"]

_LAYOUT = (
    "WebDataset: tar shards with the members png, txt (the label), json (its manifest row) "
    "and, where labels are classes, cls (the index). `webdataset.WebDataset"
    '("PATH/train-{000000..NNNNNN}.tar")` reads them.'
)
_META = "__labelmint__"
_BLOCK = 512
_END = bytes(2 * _BLOCK)


class TarStream:
    """One tar of samples made piece by piece: each call returns the next bytes of the file.

    Manifest and card come last, in a folder __labelmint__ that WebDataset passes over; each
    image's SHA-256 stands in its json.

    Args:
        classes: as for ``Writer``.
        card: what the card says.
    """

    def __init__(self, *, classes: Sequence[str] | None = None, card: Card | None = None) -> None:
        self._classes = None if classes is None else ClassNumbers(classes)
        self._card = Card() if card is None else card
        self._ledger = Ledger()

    def add(self, records: Iterable[Record]) -> bytes:
        """Append images.

        Raises:
            DataError: an image comes twice.
            LabelError: a label is no text, or none of the classes.
        """
        return b"".join(map(self._sample, records))

    def close(self, summary: Mapping[str, object] | None = None) -> Iterator[bytes]:
        """Yield the last bytes of the file."""
        self._ledger.end(summary)
        card = self._card.render(
            _LAYOUT,
            images=self._ledger.count,
            labels=self._ledger.count_labels(),
            texts=self._classes is None,
            summary=summary,
        )
        yield _member(f"{_META}/{CARD}", card.encode())
        size = self._ledger.manifest.tell()
        yield _header(f"{_META}/{MANIFEST}", size)
        yield from pieces(self._ledger.manifest)
        yield bytes(-size % _BLOCK) + _END
        self.abort()

    def abort(self) -> None:
        """Let go of what was noted."""
        self._ledger.close()

    def _sample(self, record: Record) -> bytes:
        check_text(record.label, "webdataset")
        number = None if self._classes is None else self._classes[record.label]
        name = f"{self._ledger.count:09d}"
        row = self._ledger.enter(record, f"{name}.png", record.png)
        return _pack(name, record, row, number)


class WebDatasetWriter(FolderExport):
    """Writes train-000000.tar and on; any text can be a label."""

    layout = _LAYOUT

    def __init__(
        self,
        path: str | Path,
        *,
        classes: Sequence[str] | None = None,
        card: Card | None = None,
        shard_size: int = 10_000,
    ) -> None:
        """As ``Writer``, with ``shard_size`` images in a shard; ConfigError if it is below 1."""
        if shard_size < 1:
            raise ConfigError(f"shard_size must be at least 1, got {shard_size}.")
        super().__init__(path, classes=classes, card=card)
        self.shard_size = shard_size
        self._shard: IO[bytes] | None = None
        self._shard_name = ""

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        check_text(record.label, "webdataset")
        number = self.ledger.count
        index = None if self.classes is None else self.class_numbers[record.label]
        shard = f"train-{number // self.shard_size:06d}.tar"
        row = self.ledger.enter(record, f"{shard}/{number:09d}.png", record.png)
        if self._shard is None or shard != self._shard_name:
            self.finish()
            self._shard, self._shard_name = (self.partial / shard).open("xb"), shard
        self._shard.write(_pack(f"{number:09d}", record, row, index))

    def finish(self) -> None:
        """End the shard at hand."""
        if self._shard is not None:
            self._shard.write(_END)
            self.release()
            self.seal(self._shard_name)

    def release(self) -> None:
        """Close the shard at hand."""
        if self._shard is not None:
            self._shard.close()


def _pack(name: str, record: Record, row: dict[str, object], number: int | None) -> bytes:
    """Return the members of one sample; ``number`` is its class index, if it has one."""
    members = {"png": record.png, "txt": record.label.encode()}
    if number is not None:
        members["cls"] = str(number).encode()
    members["json"] = json.dumps(row).encode()
    return b"".join(_member(f"{name}.{kind}", data) for kind, data in members.items())


def _member(name: str, data: bytes) -> bytes:
    return _header(name, len(data)) + data + bytes(-len(data) % _BLOCK)


def _header(name: str, size: int) -> bytes:
    """Return a member's header: dated 1970, owned by root; sizes from 8 GiB on as GNU has them."""
    header = tarfile.TarInfo(name)
    header.size = size
    return header.tobuf(tarfile.GNU_FORMAT)
