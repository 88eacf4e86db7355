"""A zip file made from front to back: what was returned is gone, what follows is on disk.

Every entry is stored uncompressed with its size and checksum ahead of it, so the archive needs
no data descriptors and unzip programs can read it as a stream. The standard library's zipfile
keeps a description of every entry in memory until the end; here the directory waits in a file.
PKWARE's APPNOTE.TXT 6.3.10 has the structures (4.3.7, 4.3.12, 4.3.14 to 4.3.16).
"""

import struct
import zlib
from collections.abc import Iterator
from typing import IO

from augment.export.ledger import pieces, spool

__all__ = ["ZipFile"]

_LIMIT = _ELSEWHERE = 0xFFFFFFFF  # sizes and offsets from here on, and
_MANY = _MANY_ELSEWHERE = 0xFFFF  # this many entries, stand in the 64-bit records
_DATE = 1 << 5 | 1  # 1 January 1980, the earliest date that a zip can hold
_UTF8 = 1 << 11
_MODE = 0o644 << 16
_MADE_BY_UNIX = 3 << 8


class ZipFile:
    """Returns the bytes of a zip file, entry by entry; names are taken as they are."""

    def __init__(self) -> None:
        self._directory = spool()
        self._count = 0
        self._offset = 0

    def entry(self, name: str, data: bytes) -> bytes:
        """Return the next bytes of the file: the entry ``name``."""
        return self._begin(name, len(data), zlib.crc32(data)) + data

    def entry_of(self, name: str, file: IO[bytes]) -> Iterator[bytes]:
        """Yield the entry ``name``, which holds all of ``file``, in pieces."""
        crc = 0
        for piece in pieces(file):
            crc = zlib.crc32(piece, crc)
        yield self._begin(name, file.tell(), crc)
        yield from pieces(file)

    def end(self) -> Iterator[bytes]:
        """Yield the last bytes of the file: the directory of entries."""
        start, size = self._offset, self._directory.tell()
        yield from pieces(self._directory)
        self.close()
        counts = (self._count, self._count)
        sizes = (size, start)
        if self._count >= _MANY or max(sizes) >= _LIMIT:
            yield struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *counts, *sizes)
            yield struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size, 1)
            counts, sizes = (_MANY_ELSEWHERE,) * 2, (_ELSEWHERE,) * 2
        yield struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *counts, *sizes, 0)

    def close(self) -> None:
        """Let go of the directory."""
        self._directory.close()

    def _begin(self, name: str, size: int, crc: int) -> bytes:
        """Note an entry in the directory and return its header."""
        encoded = name.encode()
        flags = 0 if name.isascii() else _UTF8
        wide = max(size, self._offset) >= _LIMIT
        needed = 45 if wide else 20  # version of the format
        shown = _ELSEWHERE if wide else size
        general = struct.pack("<5H3L", needed, flags, 0, 0, _DATE, crc, shown, shown)
        extra = struct.pack("<2H2Q", 1, 16, size, size) if wide else b""
        header = b"PK\x03\x04" + general + struct.pack("<2H", len(encoded), len(extra))
        header += encoded + extra
        extra = struct.pack("<2H3Q", 1, 24, size, size, self._offset) if wide else b""
        offset = _ELSEWHERE if wide else self._offset
        self._directory.write(
            struct.pack("<4sH", b"PK\x01\x02", _MADE_BY_UNIX | needed)
            + general
            + struct.pack("<5H2L", len(encoded), len(extra), 0, 0, 0, _MODE, offset)
            + encoded
            + extra
        )
        self._count += 1
        self._offset += len(header) + size
        return header
