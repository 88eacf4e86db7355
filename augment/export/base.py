"""The one protocol of all writers, and what those share that fill a folder."""

import hashlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from augment.errors import DataError
from augment.export.card import Card
from augment.export.ledger import Ledger
from augment.export.records import CARD, CHECKSUMS, MANIFEST, ClassNumbers, Record

__all__ = ["FolderExport", "Writer"]


class Writer(ABC):
    """Takes records one by one; the result appears under its name when it is closed.

    As a context manager it closes at the end of the block, or aborts when the block raises.
    """

    layout: ClassVar[str]
    """How the files lie and how they are read, for the card."""
    front_matter: ClassVar[str | None] = None
    """Lines of YAML for the Hugging Face Hub, where the layout is theirs."""

    def __init__(
        self, path: str | Path, *, classes: Sequence[str] | None = None, card: Card | None = None
    ) -> None:
        """Start writing beside ``path``.

        Args:
            path: where nothing is yet.
            classes: what labels there may be, where labels are classes; None: labels are texts.
            card: what the card says.

        Raises:
            DataError: something is there already, or at PATH.partial what is no export begun; it
                stays as it is.
        """
        self.path = Path(path)
        self.classes = None if classes is None else tuple(classes)
        self.class_numbers = ClassNumbers(self.classes or ())
        self.card = Card() if card is None else card
        if self.path.exists():
            raise DataError(
                f"expected a new path to write to, but {self.path} exists; "
                "choose another or remove it."
            )
        self.partial = self.path.with_name(f"{self.path.name}.partial")
        if not _is_ours(self.partial):
            raise DataError(
                f"expected {self.partial} to be what an interrupted export left, got something "
                "else; move it away or choose another path."
            )
        self._clear()  # what an interrupted run left
        self.path.parent.mkdir(parents=True, exist_ok=True)

    @classmethod
    @abstractmethod
    def check_label(cls, label: str) -> None:
        """Refuse a label that the layout cannot hold.

        Raises:
            LabelError: it cannot.
        """

    @classmethod
    def check_texts(cls, texts: Iterable[str]) -> None:
        """Refuse texts that the layout cannot hold, before anything is made of them.

        Raises:
            LabelError: it cannot, or not together.
        """
        for text in texts:
            cls.check_label(text)

    @abstractmethod
    def add(self, record: Record) -> None:
        """Write one image.

        Raises:
            DataError: the image was written already.
            LabelError: the layout cannot hold its label.
        """

    @abstractmethod
    def close(self, summary: Mapping[str, object] | None = None) -> None:
        """Write manifest, card and checksums, and give the result its name.

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
        """Close the writer unless that is done; abort it when the block or closing raised."""
        if kind is not None:
            self.abort()
        elif self.partial.exists():
            try:
                self.close()
            except BaseException:
                self.abort()
                raise

    def _clear(self) -> None:
        if self.partial.is_dir():
            shutil.rmtree(self.partial)
        else:
            self.partial.unlink(missing_ok=True)


def _is_ours(partial: Path) -> bool:
    """Whether a path is free, or holds an export begun: a folder with its manifest, or a zip."""
    if partial.is_dir():
        return (partial / MANIFEST).exists() or not any(partial.iterdir())
    if not partial.exists():
        return True
    with partial.open("rb") as file:
        return file.read(2) in (b"", b"PK")


class FolderExport(Writer):
    """An export that is a folder.

    A layout's ``add`` calls ``check_label``, notes the image by ``ledger.enter`` and writes it by
    ``put``; its ``finish`` writes the lists. Manifest, card and checksums are written here.
    """

    def __init__(
        self, path: str | Path, *, classes: Sequence[str] | None = None, card: Card | None = None
    ) -> None:
        """As ``Writer``."""
        super().__init__(path, classes=classes, card=card)
        self.partial.mkdir()
        self.ledger = Ledger((self.partial / MANIFEST).open("wb"))
        self._sums = (self.partial / CHECKSUMS).open("w", encoding="utf-8")

    def finish(self) -> None:
        """Write what comes after the last image, with ``put`` and ``seal``."""

    def describe(self) -> str:
        """How the files lie, for the card; called after ``finish``."""
        return self.layout

    def release(self) -> None:
        """Close the layout's own files, whether it was finished or not."""

    def close(self, summary: Mapping[str, object] | None = None) -> None:
        """As ``Writer.close``."""
        self.finish()
        self.release()
        self.ledger.end(summary)
        card = self.card.render(
            self.describe(),
            images=self.ledger.count,
            labels=self.ledger.count_labels(),
            texts=self.classes is None,
            summary=summary,
            front_matter=self.front_matter,
        )
        self.put(CARD, card.encode())
        self.ledger.close()
        self.seal(MANIFEST)
        self._sums.close()
        self.partial.rename(self.path)

    def abort(self) -> None:
        """Remove what was written so far."""
        self.release()
        self.ledger.close()
        self._sums.close()
        super().abort()

    def put(self, name: str, data: bytes) -> None:
        """Write the file ``name``, which must be new, and its checksum."""
        file = self.partial / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as out:
            out.write(data)
        self._note(name, hashlib.sha256(data).hexdigest())

    def seal(self, name: str) -> None:
        """Write the checksum of the file ``name``, which was closed."""
        with (self.partial / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        self._note(name, digest.hexdigest())

    def _note(self, name: str, digest: str) -> None:
        self._sums.write(f"{digest}  {name}\n")
