"""LMDB as the deep-text-recognition benchmark lays it out; PaddleOCR and PARSeq read it too.

Baek et al., "What Is Wrong With Scene Text Recognition Model Comparisons?", 2019,
create_lmdb_dataset.py: ``image-%09d`` and ``label-%09d`` from 1 on, ``num-samples`` last.
"""

from collections.abc import Sequence
from pathlib import Path

import lmdb

from augment.export.base import FolderExport
from augment.export.card import Card
from augment.export.records import Record, check_text

__all__ = ["LmdbWriter"]

_MAP_BYTES = 2**40  # address space, not memory or disk
_COMMIT_EVERY = 200


class LmdbWriter(FolderExport):
    """Writes data.mdb; any text can be a label."""

    layout = (
        "LMDB: the keys `image-%09d` and `label-%09d`, from 1 on, and `num-samples`. The trainers "
        "of the deep-text-recognition benchmark, PARSeq and PaddleOCR read it."
    )

    def __init__(
        self, path: str | Path, *, classes: Sequence[str] | None = None, card: Card | None = None
    ) -> None:
        """As ``Writer``."""
        super().__init__(path, classes=classes, card=card)
        self._environment = lmdb.open(str(self.partial), map_size=_MAP_BYTES, lock=False)
        self._waiting: dict[bytes, bytes] = {}

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        check_text(label, "lmdb")

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        self.check_label(record.label)
        number = self.ledger.count + 1
        self.ledger.enter(record, f"image-{number:09d}", record.png)
        self._waiting[f"image-{number:09d}".encode()] = record.png
        self._waiting[f"label-{number:09d}".encode()] = record.label.encode()
        if number % _COMMIT_EVERY == 0:
            self._commit()

    def finish(self) -> None:
        """Write what is left and the number of images."""
        self._waiting[b"num-samples"] = str(self.ledger.count).encode()
        self._commit()
        self.release()
        self.seal("data.mdb")

    def release(self) -> None:
        """Close the database."""
        self._environment.close()

    def _commit(self) -> None:
        with self._environment.begin(write=True) as transaction:
            for key, value in self._waiting.items():
                transaction.put(key, value)
        self._waiting.clear()
