"""The folder of any layout as a zip, for those who get an export as one file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from augment.export.base import Writer
from augment.export.card import Card
from augment.export.records import Record
from augment.export.zip_file import ZipFile

__all__ = ["FolderZip"]


class FolderZip:
    """A zip of what a writer lays out, taken and given as by ``ZipStream``.

    Images wait on disk until the last of them is there: no byte of the file comes before.

    Args:
        layout: the writer of a folder.
        classes: as for ``Writer``.
        card: what the card says.
    """

    def __init__(
        self,
        layout: type[Writer],
        *,
        classes: Sequence[str] | None = None,
        card: Card | None = None,
    ) -> None:
        self._scratch = TemporaryDirectory(prefix="labelmint-")
        self._writer = layout(Path(self._scratch.name) / "export", classes=classes, card=card)
        self._zip = ZipFile()

    def add(self, records: Iterable[Record]) -> bytes:
        """Write images; returns no byte yet.

        Raises:
            DataError: an image comes twice.
            LabelError: the layout cannot hold a label.
        """
        for record in records:
            self._writer.add(record)
        return b""

    def close(self, summary: Mapping[str, object] | None = None) -> Iterator[bytes]:
        """Yield the bytes of the file."""
        self._writer.close(summary)
        folder = self._writer.path
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            with path.open("rb") as file:
                yield from self._zip.entry_of(path.relative_to(folder).as_posix(), file)
        yield from self._zip.end()
        self.abort()

    def abort(self) -> None:
        """Remove what waits on disk."""
        if not self._writer.path.exists():
            self._writer.abort()
        self._zip.close()
        self._scratch.cleanup()
