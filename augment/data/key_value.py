"""The values of an LMDB, each read on demand."""

import os
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import lmdb

from augment.errors import DataError, ImageError

__all__ = ["LmdbStore"]

_ENVIRONMENTS: WeakValueDictionary[tuple[str, int], Any] = WeakValueDictionary()
"""Open databases by path and inode: LMDB opens each once a process."""


class LmdbStore:
    """The values of an LMDB by key; it can be pickled and shared by forked processes."""

    def __init__(self, path: str) -> None:
        """Open the database in the folder ``path``; DataError if there is none."""
        self.path = os.path.realpath(path)
        self._environment = self._open()

    def get(self, name: str) -> bytes | None:
        """Return the value of a key, None where it is missing."""
        with self._environment.begin() as transaction:
            value: bytes | None = transaction.get(name.encode())
        return value

    def get_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys, None for each that is missing; in one transaction."""
        with self._environment.begin() as transaction:
            return [transaction.get(name.encode()) for name in names]

    def has_all(self, names: Sequence[str]) -> list[bool]:
        """Whether there is each of the keys; in one transaction, which copies no value."""
        with self._environment.begin(buffers=True) as transaction:
            return [transaction.get(name.encode()) is not None for name in names]

    def read(self, name: str) -> bytes:
        """Return the value of a key; ImageError where it is missing."""
        data = self.get(name)
        if data is None:
            raise ImageError(f"{name}: expected it in {self.path}, got nothing; make it anew.")
        return data

    def _open(self) -> Any:
        try:
            key = (self.path, os.stat(f"{self.path}/data.mdb").st_ino)
            environment = _ENVIRONMENTS.get(key)
            if environment is None:
                environment = lmdb.open(self.path, readonly=True, lock=False, readahead=False)
                _ENVIRONMENTS[key] = environment
            return environment
        except (OSError, lmdb.Error) as error:
            raise DataError(f"expected an LMDB in {self.path}, got {error}.") from error

    def __reduce__(self) -> tuple[type["LmdbStore"], tuple[str]]:
        """Open it anew where it is unpickled."""
        return LmdbStore, (self.path,)
