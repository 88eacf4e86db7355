"""What an export notes of its images while it is written, on disk: memory does not grow."""

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO

from augment.errors import DataError
from augment.export.records import Record, folder_name

__all__ = ["Ledger", "pieces", "spool"]

_SPOOL_BYTES = 2**20  # a note up to this size stays in memory
_PIECE_BYTES = 2**18


def spool() -> IO[bytes]:
    """Return a new file for notes, in memory while it is small; it vanishes when closed."""
    return tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Yield all of a file, a piece at a time."""
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        yield piece


def _folder_of(label: bytes) -> str:
    return folder_name(label.decode(errors="surrogatepass"))


class Ledger:
    """The manifest's rows, and an index of labels: no image comes twice.

    Args:
        manifest: where the rows go, one a line; a ``spool`` where None.
    """

    def __init__(self, manifest: IO[bytes] | None = None) -> None:
        self.manifest = spool() if manifest is None else manifest
        self.count = 0
        self._index = sqlite3.connect("", check_same_thread=False)  # a file of its own in /tmp
        self._index.create_function("folder", 1, _folder_of, deterministic=True)
        self._index.create_function("folded", 1, str.casefold, deterministic=True)
        self._index.executescript(
            "PRAGMA journal_mode = OFF;"
            "CREATE TABLE images (label BLOB, name TEXT, place INTEGER, PRIMARY KEY (label, name))"
            " WITHOUT ROWID;"
            "BEGIN"
        )

    def enter(self, record: Record, file: str, data: bytes, place: int = 0) -> dict[str, object]:
        """Note an image.

        Args:
            record: the image.
            file: where it lies in the export.
            data: the image file as it lies there.
            place: a number to find it by; see ``places``.

        Returns:
            The image's manifest row.

        Raises:
            DataError: the export has that image already.
        """
        label = record.label.encode(errors="surrogatepass")
        try:
            self._index.execute("INSERT INTO images VALUES (?, ?, ?)", (label, record.name, place))
        except sqlite3.IntegrityError:
            raise DataError(
                f"each image may be exported once, got {record.name} of the label "
                f"{record.label[:40]!r} twice; drop one of them."
            ) from None
        row = record.row(file, data)
        self.manifest.write(json.dumps(row).encode() + b"\n")
        self.count += 1
        return row

    def end(self, summary: Mapping[str, object] | None) -> None:
        """Write the manifest's last row, if there is a summary."""
        if summary is not None:
            self.manifest.write(json.dumps({"summary": dict(summary)}).encode() + b"\n")

    def labels(self) -> Iterator[tuple[str, int]]:
        """Yield every label and the number of its images, labels ascending."""
        rows = self._index.execute("SELECT label, COUNT(*) FROM images GROUP BY label")
        for label, count in rows:
            yield label.decode(errors="surrogatepass"), count

    def count_labels(self) -> int:
        """Number of different labels."""
        row = self._index.execute("SELECT COUNT(DISTINCT label) FROM images").fetchone()
        return int(row[0])

    def labels_by_folder(self) -> Iterator[str]:
        """Yield every label, the names of their folders ascending."""
        rows = self._index.execute("SELECT DISTINCT label FROM images ORDER BY folder(label)")
        return (label.decode(errors="surrogatepass") for (label,) in rows)

    def alike(self) -> tuple[list[str], int]:
        """The first folders whose names differ in case alone, and how many such names there are."""
        names = "(SELECT DISTINCT folder(label) AS name FROM images)"
        doubled = f"SELECT folded(name) AS one FROM {names} GROUP BY one HAVING COUNT(*) > 1"
        count = int(self._index.execute(f"SELECT COUNT(*) FROM ({doubled})").fetchone()[0])
        first = f"({doubled} ORDER BY one LIMIT 1)"
        rows = self._index.execute(f"SELECT name FROM {names} WHERE folded(name) = {first}")
        return sorted(name for (name,) in rows), count

    def places(self) -> Iterator[tuple[str, int]]:
        """Yield label and place of every image, labels ascending."""
        for label, place in self._index.execute("SELECT label, place FROM images ORDER BY label"):
            yield label.decode(errors="surrogatepass"), place

    def close(self) -> None:
        """Let go of the files."""
        self._index.close()
        self.manifest.close()
