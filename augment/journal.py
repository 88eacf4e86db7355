"""Results of expensive calls kept in a file, so that a job that was killed repeats none of them.

A job that draws images calls its sampler and its reader in an order that follows from what it
was asked for. Run again, it makes the same calls; those that the journal has are answered by it,
and the job goes on where it was killed, whatever it writes and wherever.
"""

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import numpy as np

from augment.errors import ResumeError

__all__ = ["Journal"]

Thing = TypeVar("Thing")

_HEAD = struct.Struct("<QI")  # bytes of an entry, and their CRC-32
_QUICK = 1  # zlib's level
_ASKED = "asked"


class Journal:
    """What calls returned, in order; closed by its ``with`` block.

    A file that ends within an entry, as one of a killed job may, is cut back to its last whole one.

    Args:
        path: of the file; an existing one is continued.
        claim: what the results depend on besides the calls, as plain values.

    Raises:
        ResumeError: the file is of another claim.
    """

    def __init__(self, path: Path, claim: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self.path, self._file, self._replays = path, path.open("r+b"), True
        text = json.dumps(claim, sort_keys=True)
        begun = self._next()
        if begun is None:
            self._append(text.encode())
        elif begun.decode(errors="replace") != text:
            self._file.close()
            raise ResumeError(
                f"{path} was begun with other settings: expected {text}, got "
                f"{begun.decode(errors='replace')}; restore them, or remove the file to start anew."
            )

    def __enter__(self) -> Self:
        """Return the journal itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; once the block ended well nobody needs it, and it is removed."""
        self._file.close()
        if kind is None:
            self.path.unlink()

    def follow(
        self, thing: Thing, method: str, make: Callable[[Sequence[Any]], tuple[Any, ...]]
    ) -> Thing:
        """The thing, with calls of one of its methods answered from the file, or kept in it.

        Args:
            thing: whose other attributes stay.
            method: name of one that returns a tuple of arrays, lists of arrays and tuples of str.
            make: from these values to such a tuple.
        """
        original = getattr(thing, method)

        def call(*given: Any, **named: Any) -> tuple[Any, ...]:
            asked = _fingerprint([method, *given, *sorted(named), *map(named.get, sorted(named))])
            kept = self._next() if self._replays else None
            if kept is None:
                result: tuple[Any, ...] = original(*given, **named)
                self._append(_pack(result, asked))
                return result
            told, values = _unpack(kept)
            if told != asked:
                raise ResumeError(
                    f"{self.path} was begun by a job that drew other images; repeat its command "
                    "as it was, or remove the file to start anew."
                )
            return make(values)

        return cast(Thing, _Followed(thing, method, call))

    def _next(self) -> bytes | None:
        """The next entry; None at the end, from which on entries are added."""
        start = self._file.tell()
        head = self._file.read(_HEAD.size)
        if len(head) == _HEAD.size:
            size, checksum = _HEAD.unpack(head)
            entry = self._file.read(size)
            if len(entry) == size and zlib.crc32(entry) == checksum:
                return entry
        self._file.seek(start)
        self._file.truncate()
        self._replays = False
        return None

    def _append(self, entry: bytes) -> None:
        self._file.write(_HEAD.pack(len(entry), zlib.crc32(entry)) + entry)
        self._file.flush()


class _Followed:
    """Another object, but for one method."""

    def __init__(self, thing: Any, method: str, call: Callable[..., Any]) -> None:
        self._thing = thing
        setattr(self, method, call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thing, name)


def _fingerprint(values: Sequence[Any]) -> str:
    """SHA-256 over what a call was given."""
    total = hashlib.sha256()
    for value in values:
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, np.ndarray):
                total.update(f"{part.dtype}{part.shape}".encode())
                total.update(np.ascontiguousarray(part).data)
            else:
                total.update(repr(part).encode())
    return total.hexdigest()


def _pack(values: tuple[Any, ...], asked: str) -> bytes:
    """Values as the bytes of an .npz, a part of a list of arrays each."""
    arrays = {_ASKED: np.array(asked)}
    for place, value in enumerate(values):
        if isinstance(value, np.ndarray):
            arrays[f"{place}"] = value
        elif isinstance(value, list):
            arrays[f"{place} list"] = np.array(len(value))
            arrays |= {f"{place} {number}": part for number, part in enumerate(value)}
        else:
            arrays[f"{place} texts"] = np.array(value, np.str_)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return zlib.compress(buffer.getvalue(), _QUICK)


def _unpack(entry: bytes) -> tuple[str, list[Any]]:
    """What was asked, and the values of ``_pack``."""
    values: list[Any] = []
    with np.load(io.BytesIO(zlib.decompress(entry)), allow_pickle=False) as arrays:
        while True:
            place = len(values)
            if f"{place}" in arrays:
                values.append(arrays[f"{place}"])
            elif f"{place} list" in arrays:
                count = int(arrays[f"{place} list"])
                values.append([arrays[f"{place} {number}"] for number in range(count)])
            elif f"{place} texts" in arrays:
                values.append(tuple(arrays[f"{place} texts"].tolist()))
            else:
                return str(arrays[_ASKED]), values
