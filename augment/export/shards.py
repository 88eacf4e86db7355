"""WebDataset: tar shards in which the members of a sample follow each other and share a name.

NUMBER.png      the image
NUMBER.txt      its label
NUMBER.cls      its class index, where labels are classes
NUMBER.json     its manifest row
"""

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import IO

from augment.errors import ConfigError
from augment.export.base import FolderExport
from augment.export.card import Card
from augment.export.ledger import Ledger, pieces, spool
from augment.export.records import CARD, CHECKSUMS, MANIFEST, ClassNumbers, Record, check_text

__all__ = ["TarStream", "WebDatasetWriter"]

_LAYOUT = (
    "WebDataset: tar shards with the members png, txt (the label), json (its manifest row) "
    "and, where labels are classes, cls (the index; `classes.json` has them in order). "
    '`webdataset.WebDataset("PATH/train-{000000..NNNNNN}.tar")` reads them.'
)
_META = "__labelmint__"
_CLASSES = "classes.json"
_BLOCK = 512
_END = bytes(2 * _BLOCK)


class TarStream:
    """One tar of samples made piece by piece: each call returns the next bytes of the file.

    Classes, manifest, card and checksums come last, in a folder __labelmint__ that WebDataset
    passes over and where ``sha256sum -c SHA256SUMS`` checks the extracted members.

    Args:
        classes: as for ``Writer``.
        card: what the card says.
    """

    def __init__(self, *, classes: Sequence[str] | None = None, card: Card | None = None) -> None:
        self._classes = None if classes is None else ClassNumbers(classes)
        self._card = Card() if card is None else card
        self._ledger = Ledger()
        self._sums = spool()

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
        if self._classes is not None:
            yield self._entry(_CLASSES, _classes_as_json(self._classes), _META)
        yield self._entry(CARD, card.encode(), _META)
        manifest, digest = self._ledger.manifest, hashlib.sha256()
        for piece in pieces(manifest):
            digest.update(piece)
        self._note(MANIFEST, digest.hexdigest())
        for name, file in ((MANIFEST, manifest), (CHECKSUMS, self._sums)):
            size = file.tell()
            yield _header(f"{_META}/{name}", size)
            yield from pieces(file)
            yield bytes(-size % _BLOCK)
        yield _END
        self.abort()

    def abort(self) -> None:
        """Let go of what was noted."""
        self._ledger.close()
        self._sums.close()

    def _sample(self, record: Record) -> bytes:
        check_text(record.label, "webdataset")
        number = None if self._classes is None else self._classes[record.label]
        name = f"{self._ledger.count:09d}"
        row = self._ledger.enter(record, f"{name}.png", record.png)
        return b"".join(starmap(self._entry, _members(name, record, row, number)))

    def _entry(self, name: str, data: bytes, folder: str = "") -> bytes:
        """Note the checksum of a member, by its way from the folder of notes; return it."""
        self._note(name if folder else f"../{name}", hashlib.sha256(data).hexdigest())
        return _member(f"{folder}/{name}" if folder else name, data)

    def _note(self, name: str, digest: str) -> None:
        self._sums.write(f"{digest}  {name}\n".encode())


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

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        check_text(label, "webdataset")

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        self.check_label(record.label)
        number = self.ledger.count
        index = None if self.classes is None else self.class_numbers[record.label]
        shard = f"train-{number // self.shard_size:06d}.tar"
        row = self.ledger.enter(record, f"{shard}/{number:09d}.png", record.png)
        if self._shard is None or shard != self._shard_name:
            self._end_shard()
            self._shard, self._shard_name = (self.partial / shard).open("xb"), shard
        members = _members(f"{number:09d}", record, row, index)
        self._shard.write(b"".join(starmap(_member, members)))

    def finish(self) -> None:
        """End the last shard, and list the classes."""
        self._end_shard()
        if self.classes is not None:
            self.put(_CLASSES, _classes_as_json(self.classes))

    def release(self) -> None:
        """Close the shard at hand."""
        if self._shard is not None:
            self._shard.close()

    def _end_shard(self) -> None:
        if self._shard is not None:
            self._shard.write(_END)
            self.release()
            self.seal(self._shard_name)


def _classes_as_json(names: Iterable[str]) -> bytes:
    """The classes in the order of their numbers, as a JSON list: a name may hold anything."""
    return json.dumps(list(names)).encode() + b"\n"


def _members(
    name: str, record: Record, row: dict[str, object], number: int | None
) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of one sample; ``number`` is its class index, if it has one."""
    yield f"{name}.png", record.png
    yield f"{name}.txt", record.label.encode()
    if number is not None:
        yield f"{name}.cls", str(number).encode()
    yield f"{name}.json", json.dumps(row).encode()


def _member(name: str, data: bytes) -> bytes:
    return _header(name, len(data)) + data + bytes(-len(data) % _BLOCK)


def _header(name: str, size: int) -> bytes:
    """Return a member's header: dated 1970, owned by root; sizes from 8 GiB on as GNU has them."""
    header = tarfile.TarInfo(name)
    header.size = size
    return header.tobuf(tarfile.GNU_FORMAT)
