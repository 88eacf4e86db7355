"""Writing labelled images out: a folder or a zip that trainers read as an ImageFolder.

    LABEL/NAME.png      one image; the folder is its label, escaped where it is no safe file name
    manifest.jsonl      one JSON row per image, then a row {"summary": ...} if one is given
    classes.txt         the folder names, sorted: line i is class index i of an ImageFolder

The manifest holds the true label beside seed, index, bundle digest, style, read-back
confidence and SHA-256 of the file. The same records give the same bytes: zip entries are
stored with a fixed date. What is being written carries the suffix ``.partial`` and gets its
name at the end, so nothing half-written looks complete.
"""

import hashlib
import io
import json
import re
import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import unquote

from augment.errors import DataError, LabelError
from augment.generate import Drawn
from augment.images import encode_png

__all__ = [
    "WRITERS",
    "FolderWriter",
    "Record",
    "Writer",
    "ZipStream",
    "ZipWriter",
    "folder_name",
    "generated_record",
    "label_of_folder",
    "zip_stream",
]

MANIFEST = "manifest.jsonl"
CLASSES = "classes.txt"

_UNSAFE = re.compile(r'[/\\:*?"<>|%\x00-\x1f\x7f-\x9f\ud800-\udfff]|^\.|[. ]$')
_MAX_NAME_BYTES = 200  # file systems take 255 bytes; leaves room for a suffix
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


@dataclass(frozen=True)
class Record:
    """One image on its way out.

    Attributes:
        png: the encoded image.
        label: its true label, any text.
        index: its index among the request's images of this label, or in the real data set.
        seed: the request's seed; None for a real image.
        bundle: digest of the generator bundle; None for a real image.
        confidence: the reader's confidence in the label, in [0, 1]; None if it was not read back.
        origin: ``generated`` or ``real``.
        content: index into the bundle's content bank; None where it has none.
        styles: indices of the one or two styles of the bundle's bank; None if it was given or drawn
            from the prior.
        mix: share of the second style, in [0, 1].
        source: name of a real image in the data set it comes from.
    """

    png: bytes
    label: str
    index: int
    seed: int | None = None
    bundle: str | None = None
    confidence: float | None = None
    origin: Literal["generated", "real"] = "generated"
    content: int | None = None
    styles: tuple[int, int] | None = None
    mix: float | None = None
    source: str | None = None

    @property
    def file(self) -> str:
        """Path inside the export, unique for one bundle: ``LABEL/generated-SEED-INDEX.png``."""
        middle = "" if self.seed is None else f"{self.seed}-"
        return f"{folder_name(self.label)}/{self.origin}-{middle}{self.index:06d}.png"

    def row(self) -> dict[str, object]:
        """The image's manifest row."""
        row: dict[str, object] = {
            "file": self.file,
            "label": self.label,
            "origin": self.origin,
            "seed": self.seed,
            "index": self.index,
            "bundle": self.bundle,
            "content": self.content,
            "styles": self.styles,
            "mix": None if self.mix is None else round(self.mix, 4),
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "sha256": hashlib.sha256(self.png).hexdigest(),
        }
        return row if self.source is None else {**row, "source": self.source}


def folder_name(label: str) -> str:
    """Return ``label`` as a folder name, with unsafe characters percent-encoded.

    Safe in every export: never empty, never a path, never one of the export's own files.

    Raises:
        LabelError: the label is empty, or too long for a file name.
    """
    name = _UNSAFE.sub(lambda found: _percent(found.group()), label)
    if name in (MANIFEST, CLASSES):
        name = _percent(name[0]) + name[1:]
    size = len(name.encode())
    if not 0 < size <= _MAX_NAME_BYTES:
        raise LabelError(
            f"a label must have 1 to {_MAX_NAME_BYTES} bytes to name a folder, got {size} "
            f"({label[:20]!r}…); shorten it."
        )
    return name


def label_of_folder(name: str) -> str:
    """Undo ``folder_name``."""
    return unquote(name, errors="surrogatepass")


def _percent(text: str) -> str:
    """Percent-encode every byte."""
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="surrogatepass"))


class _Ledger:
    """What an export has to say about its images at the end."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._rows: list[str] = []

    def enter(self, record: Record) -> str:
        """Note a record and return its path inside the export.

        Raises:
            DataError: the export has that image already.
        """
        row = record.row()
        file = record.file
        if file in self._files:
            raise DataError(f"each image may be exported once, got {file} twice; drop one of them.")
        self._files.add(file)
        self._folders.add(file.partition("/")[0])
        self._rows.append(json.dumps(row) + "\n")
        return file

    def close(self, summary: Mapping[str, object] | None) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of the manifest and of the list of classes."""
        last = [] if summary is None else [json.dumps({"summary": dict(summary)}) + "\n"]
        yield MANIFEST, "".join(self._rows + last).encode()
        yield CLASSES, "".join(f"{name}\n" for name in sorted(self._folders)).encode()


class _Window(io.RawIOBase):
    """The end of a growing file: what was drained is gone, what follows can still be changed.

    ``zipfile`` goes back to complete each entry's header; with the entry still in the window
    the archive needs no data descriptors, and every unzip program can read it as a stream.
    """

    def __init__(self) -> None:
        self._start = 0
        self._buffer = io.BytesIO()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self._buffer.write(data)

    def tell(self) -> int:
        return self._start + self._buffer.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            offset -= self._start
        return self._start + self._buffer.seek(offset, whence)

    def seekable(self) -> bool:
        return True

    def drain(self) -> bytes:
        data = self._buffer.getvalue()
        self._start += len(data)
        self._buffer = io.BytesIO()
        return data


class ZipStream:
    """A zip made piece by piece: each call returns the next bytes of the file."""

    def __init__(self) -> None:
        """Start an empty archive."""
        self._window = _Window()
        self._zip = zipfile.ZipFile(self._window, "w", zipfile.ZIP_STORED)
        self._ledger = _Ledger()

    def add(self, records: Iterable[Record]) -> bytes:
        """Append images.

        Raises:
            DataError: an image comes twice.
            LabelError: a label cannot name a folder.
        """
        for record in records:
            self._write(self._ledger.enter(record), record.png)
        return self._window.drain()

    def close(self, summary: Mapping[str, object] | None = None) -> bytes:
        """Append manifest, classes and the zip's directory: the last bytes of the file."""
        for name, content in self._ledger.close(summary):
            self._write(name, content)
        self._zip.close()
        return self._window.drain()

    def _write(self, name: str, content: bytes) -> None:
        entry = zipfile.ZipInfo(name, _ZIP_DATE)
        entry.external_attr = 0o644 << 16
        self._zip.writestr(entry, content)


def zip_stream(
    records: Iterable[Record], summary: Mapping[str, object] | None = None
) -> Iterator[bytes]:
    """Yield the bytes of an ImageFolder zip of ``records``, as they come.

    ``summary`` is read after the last record, so it may be filled while they are drawn.
    """
    stream = ZipStream()
    for record in records:
        yield stream.add([record])
    yield stream.close(summary)


def generated_record(drawn: Drawn, classes: Sequence[str], seed: int, bundle: str) -> Record:
    """Return a generated image as a record.

    Args:
        drawn: the image.
        classes: the bundle's class names.
        seed: of the request.
        bundle: the bundle's digest.
    """
    given = drawn.styles[0] < 0
    return Record(
        png=encode_png(drawn.image),
        label=classes[drawn.label],
        index=drawn.index,
        seed=seed,
        bundle=bundle,
        confidence=drawn.confidence,
        content=None if drawn.content < 0 else drawn.content,
        styles=None if given else drawn.styles,
        mix=None if given else drawn.mix,
    )


class Writer(ABC):
    """Takes records one by one; the result appears under its name when it is closed.

    As a context manager it closes at the end of the block, or aborts when the block raises.
    """

    def __init__(self, path: str | Path) -> None:
        """Start writing beside ``path``.

        Raises:
            DataError: something is there already; it stays as it is.
        """
        self.path = Path(path)
        if self.path.exists():
            raise DataError(
                f"expected a new path to write to, but {self.path} exists; "
                "choose another or remove it."
            )
        self.partial = self.path.with_name(f"{self.path.name}.partial")
        self._clear()  # what an interrupted run left
        self.path.parent.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def add(self, record: Record) -> None:
        """Write one image.

        Raises:
            DataError: the image was written already.
            LabelError: its label cannot name a folder.
        """

    @abstractmethod
    def close(self, summary: Mapping[str, object] | None = None) -> None:
        """Write manifest and classes, and give the result its name.

        Args:
            summary: what was asked, made, kept, dropped; becomes the manifest's last row.
        """

    def abort(self) -> None:
        """Remove what was written so far."""
        self._clear()

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the writer unless that is done; abort it when the block raised."""
        if kind is not None:
            self.abort()
        elif self.partial.exists():
            self.close()

    def _clear(self) -> None:
        if self.partial.is_dir():
            shutil.rmtree(self.partial)
        else:
            self.partial.unlink(missing_ok=True)


class FolderWriter(Writer):
    """Writes an ImageFolder."""

    def __init__(self, path: str | Path) -> None:
        """As ``Writer``."""
        super().__init__(path)
        self.partial.mkdir()
        self._ledger = _Ledger()

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        file = self.partial / self._ledger.enter(record)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(record.png)

    def close(self, summary: Mapping[str, object] | None = None) -> None:
        """As ``Writer.close``."""
        for name, content in self._ledger.close(summary):
            (self.partial / name).write_bytes(content)
        self.partial.rename(self.path)


class ZipWriter(Writer):
    """Writes a zip of an ImageFolder."""

    def __init__(self, path: str | Path) -> None:
        """As ``Writer``."""
        super().__init__(path)
        self._file = self.partial.open("wb")
        self._stream = ZipStream()

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        self._file.write(self._stream.add([record]))

    def close(self, summary: Mapping[str, object] | None = None) -> None:
        """As ``Writer.close``."""
        self._file.write(self._stream.close(summary))
        self._file.close()
        self.partial.rename(self.path)

    def abort(self) -> None:
        """Remove what was written so far."""
        self._file.close()
        super().abort()


WRITERS: dict[str, type[FolderWriter] | type[ZipWriter]] = {
    "folder": FolderWriter,
    "zip": ZipWriter,
}
"""The export formats by name; each class is called with the output path."""
