"""An ImageFolder, as a folder or as a zip.

LABEL/NAME.png      one image; the folder is its label, escaped where it is no safe file name
classes.txt         the folder names, sorted: line i is class index i of an ImageFolder
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from augment.export.base import FolderExport, Writer
from augment.export.card import Card
from augment.export.ledger import Ledger, pieces, spool
from augment.export.records import (
    CARD,
    CHECKSUMS,
    CLASSES,
    MANIFEST,
    Record,
    folder_name,
    list_classes,
)
from augment.export.zip_file import ZipFile

__all__ = ["FolderWriter", "ZipStream", "ZipWriter", "zip_stream"]

_LAYOUT = (
    "An ImageFolder: `LABEL/NAME.png`; labels are percent-encoded where they are no safe names. "
    "`classes.txt` has the folders in the order of their class indices. "
    "`torchvision.datasets.ImageFolder(PATH)` reads it."
)


class FolderWriter(FolderExport):
    """Writes an ImageFolder."""

    layout = _LAYOUT

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        folder_name(label)

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        file = record.file
        self.ledger.enter(record, file, record.png)
        self.put(file, record.png)

    def finish(self) -> None:
        """Write the list of classes."""
        with (self.partial / CLASSES).open("xb") as file:
            file.writelines(list_classes(self.ledger.labels_by_folder()))
        self.seal(CLASSES)

    def describe(self) -> str:
        """As ``FolderExport.describe``."""
        return _describe(self.ledger)


class ZipStream:
    """A zip of an ImageFolder made piece by piece: each call returns the next bytes of the file.

    Args:
        classes: as for ``Writer``.
        card: what the card says.
    """

    def __init__(self, *, classes: Sequence[str] | None = None, card: Card | None = None) -> None:
        self._texts = classes is None
        self._card = Card() if card is None else card
        self._zip = ZipFile()
        self._ledger = Ledger()
        self._sums = spool()

    def add(self, records: Iterable[Record]) -> bytes:
        """Append images.

        Raises:
            DataError: an image comes twice.
            LabelError: a label cannot name a folder.
        """
        return b"".join(map(self._image, records))

    def close(self, summary: Mapping[str, object] | None = None) -> Iterator[bytes]:
        """Yield the last bytes of the file: manifest, classes, card, checksums, directory."""
        self._ledger.end(summary)
        card = self._card.render(
            _describe(self._ledger),
            images=self._ledger.count,
            labels=self._ledger.count_labels(),
            texts=self._texts,
            summary=summary,
        )
        with spool() as classes:
            classes.writelines(list_classes(self._ledger.labels_by_folder()))
            yield from self._file(CLASSES, classes)
        self._note(CARD, hashlib.sha256(card.encode()).hexdigest())
        yield self._zip.entry(CARD, card.encode())
        yield from self._file(MANIFEST, self._ledger.manifest)
        yield from self._zip.entry_of(CHECKSUMS, self._sums)
        yield from self._zip.end()
        self.abort()

    def abort(self) -> None:
        """Let go of what was noted."""
        self._ledger.close()
        self._sums.close()
        self._zip.close()

    def _image(self, record: Record) -> bytes:
        file = record.file
        self._note(file, str(self._ledger.enter(record, file, record.png)["sha256"]))
        return self._zip.entry(file, record.png)

    def _file(self, name: str, file: IO[bytes]) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for piece in pieces(file):
            digest.update(piece)
        self._note(name, digest.hexdigest())
        yield from self._zip.entry_of(name, file)

    def _note(self, name: str, digest: str) -> None:
        self._sums.write(f"{digest}  {name}\n".encode())


def zip_stream(
    records: Iterable[Record], summary: Mapping[str, object] | None = None
) -> Iterator[bytes]:
    """Yield the bytes of an ImageFolder zip of ``records``, as they come.

    ``summary`` is read after the last record, so it may be filled while they are drawn.
    """
    stream = ZipStream()
    try:
        for record in records:
            yield stream.add([record])
        yield from stream.close(summary)
    finally:
        stream.abort()


class ZipWriter(Writer):
    """Writes a zip of an ImageFolder."""

    layout = _LAYOUT

    def __init__(
        self, path: str | Path, *, classes: Sequence[str] | None = None, card: Card | None = None
    ) -> None:
        """As ``Writer``."""
        super().__init__(path, classes=classes, card=card)
        self._file = self.partial.open("wb")
        self._stream = ZipStream(classes=self.classes, card=self.card)

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        folder_name(label)

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        self._file.write(self._stream.add([record]))

    def close(self, summary: Mapping[str, object] | None = None) -> None:
        """As ``Writer.close``."""
        self._file.writelines(self._stream.close(summary))
        self._file.close()
        self.partial.rename(self.path)

    def abort(self) -> None:
        """Remove what was written so far."""
        self._file.close()
        self._stream.abort()
        super().abort()


def _describe(ledger: Ledger) -> str:
    """How the files lie, and which folders are one to file systems that ignore case."""
    doubled, count = ledger.alike()
    if not doubled:
        return _LAYOUT
    return (
        f"{_LAYOUT}\n\n**Folders differ in case alone** ({' and '.join(f'`{n}`' for n in doubled)}"
        f"{f' and {count - 1} more' if count > 1 else ''}): unpack this where `A` "
        "and `a` are two names, as on Linux; elsewhere one replaces the other's images. Other "
        "formats, such as csv, parquet and webdataset, have no such folders."
    )
