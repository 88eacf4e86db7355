"""Where the bytes of images lie, read one at a time and never kept.

A *store* holds files by name: a folder or a zip archive, on any fsspec file system.
A *source* turns item i into pixels: an encoded file, a row of an array, or a box cut out of
a larger picture. Both can be pickled and shared by forked processes: handles are opened anew
in each process.
"""

import os
import posixpath
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import fsspec
import numpy as np
from numpy.typing import NDArray

from augment.errors import DataError, ImageError
from augment.images import Pixels, decode_image

__all__ = [
    "ArrayImages",
    "CroppedImages",
    "EncodedImages",
    "FolderStore",
    "Source",
    "Store",
    "ZipStore",
    "open_file_system",
    "read_all",
]


def open_file_system(path: str) -> tuple[Any, str]:
    """Return the fsspec file system of ``path`` and the absolute path on it.

    Raises:
        DataError: unknown protocol, protocol whose package is not installed, or no such path.
    """
    try:
        file_system, absolute = fsspec.core.url_to_fs(path)
    except (ValueError, ImportError) as error:
        raise DataError(
            f"expected a local path or an fsspec URL such as s3://bucket/key, got {path!r} "
            f"({error}); correct it or install the package of its protocol."
        ) from error
    if not file_system.exists(absolute):
        raise DataError(f"expected an existing file or folder, got {path!r}; check the path.")
    return file_system, absolute


def read_all(file_system: Any, path: str) -> bytes:
    """Read one file whole.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        data: bytes = file_system.cat_file(path)
    except OSError as error:
        raise DataError(f"expected a readable file at {path}, got {error}; check it.") from error
    return data


class Store(Protocol):
    """Files by name."""

    path: str

    def names(self) -> list[str]:
        """Return the names of all files, and of empty folders with a trailing slash, sorted.

        What macOS leaves beside files of others, ``__MACOSX/`` and ``._NAME``, is left out.
        """
        ...

    def read(self, name: str) -> bytes:
        """Return a file's bytes; ImageError if it cannot be read."""
        ...


_LITTER = {"__MACOSX", ".AppleDouble", ".ipynb_checkpoints", ".thumbnails", "@eaDir"}
"""Folders of copies and forks: of macOS, Jupyter, file managers and network disks."""


def _without_litter(names: Sequence[str]) -> list[str]:
    """Sort names, without what systems and programs leave beside files of their users."""
    return sorted(
        name
        for name in names
        if not any(part in _LITTER or part.startswith("._") for part in name.split("/"))
    )


class FolderStore:
    """The files under a folder; names are relative to it, with forward slashes."""

    def __init__(self, file_system: Any, path: str) -> None:
        """Wrap the folder ``path`` on ``file_system``."""
        self.path = path
        self._file_system = file_system

    def names(self) -> list[str]:
        """Return the names of all files, and of folders with a trailing slash, sorted."""
        found = self._file_system.find(self.path, withdirs=True, detail=True)
        root = self.path.rstrip("/")
        names = []
        for path, info in found.items():
            name = path[len(root) :].strip("/")
            if name:
                names.append(f"{name}/" if info["type"] == "directory" else name)
        return _without_litter(names)

    def has(self, name: str) -> bool:
        """Whether the file ``name``, which may lead out of the folder, exists."""
        return bool(self._file_system.isfile(self._locate(name)))

    def read(self, name: str) -> bytes:
        """Return a file's bytes; ImageError if it cannot be read."""
        try:
            data: bytes = self._file_system.cat_file(self._locate(name))
        except OSError as error:
            raise ImageError(
                f"{name}: expected a readable file, got {error}; restore or remove it."
            ) from error
        return data

    def _locate(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self.path, name))


_UTF8 = 0x800  # flag of a member whose name is in UTF-8


class ZipStore:
    """The members of a zip archive, each read on demand."""

    def __init__(self, file_system: Any, path: str) -> None:
        """Open the archive ``path`` on ``file_system``; DataError if it is not a whole zip."""
        self.path = path
        self._file_system = file_system
        self._archive: zipfile.ZipFile | None = None
        self._process = 0
        self._open()

    def names(self) -> list[str]:
        """Return the names of all members, folders with a trailing slash, sorted.

        Raises:
            DataError: names that are not in UTF-8, lead out of the archive or occur twice.
        """
        members = self._open().infolist()
        names = _without_litter([member.filename for member in members])
        in_utf8 = {m.filename for m in members if m.flag_bits & _UTF8 or m.filename.isascii()}
        odd = [name for name in names if name not in in_utf8]
        if odd:
            raise DataError(
                f"expected names in UTF-8 in {self.path}, got others, such as {odd[0]!r} if they "
                "are read as a DOS archive's; pack it again by a program that writes UTF-8."
            )
        outside = [name for name in names if name.startswith("/") or ".." in name.split("/")]
        twice = [one for one, next_one in pairwise(names) if one == next_one]
        for unfit, told in ((outside, "inside the archive"), (twice, "once each")):
            if unfit:
                raise DataError(
                    f"expected members {told} in {self.path}, got {', '.join(unfit[:10])}; "
                    "pack it again."
                )
        return names

    def read(self, name: str) -> bytes:
        """Return a member's bytes; ImageError if it is damaged, encrypted or packed otherwise."""
        try:
            return self._open().read(name)
        except (
            KeyError,
            OSError,
            EOFError,
            RuntimeError,  # encrypted, or an unknown compression
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ImageError(
                f"{name}: expected a readable member of {self.path}, got {error}; "
                "copy the archive again, without a password."
            ) from error

    def _open(self) -> zipfile.ZipFile:
        if self._archive is None or self._process != os.getpid():
            try:
                handle = self._file_system.open(self.path, "rb")
                self._archive = zipfile.ZipFile(handle)
            except IsADirectoryError as error:
                raise DataError(
                    f"expected a zip archive, got the folder {self.path}; try folder: for zip:."
                ) from error
            except (OSError, zipfile.BadZipFile) as error:
                raise DataError(
                    f"expected a zip archive, got {self.path} ({error}); "
                    "it may be truncated: copy it again."
                ) from error
            self._process = os.getpid()
        return self._archive

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open handle out of a pickle."""
        return {**self.__dict__, "_archive": None}


class Source(Protocol):
    """Images by item number."""

    def pixels(self, item: int, channels: int) -> Pixels:
        """Return item ``item`` as (H, W, channels) at its own size; ImageError if unusable."""
        ...

    def fingerprint(self, item: int) -> bytes:
        """Return the bytes that define the item's picture, for a digest of the data."""
        ...


@dataclass(frozen=True)
class EncodedImages:
    """Image files in a store; item i is ``files[i]``."""

    store: Store
    files: tuple[str, ...]

    def pixels(self, item: int, channels: int) -> Pixels:
        """Decode the file."""
        name = self.files[item]
        return decode_image(self.store.read(name), channels=channels, name=name)

    def fingerprint(self, item: int) -> bytes:
        """Return the file's bytes."""
        return self.store.read(self.files[item])


@dataclass(frozen=True)
class ArrayImages:
    """Images held as one array (N, H, W, C) of uint8."""

    images: Pixels

    def pixels(self, item: int, channels: int) -> Pixels:
        """Return row ``item``, gray repeated or colour averaged to ``channels``."""
        image: Pixels = self.images[item]
        if image.shape[2] == channels:
            return image
        if channels == 3:
            return image.repeat(3, axis=2)
        luma = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        gray: Pixels = luma.round().astype(np.uint8)[:, :, None]
        return gray

    def fingerprint(self, item: int) -> bytes:
        """Return the row's raw bytes."""
        data: bytes = self.images[item].tobytes()
        return data


class CroppedImages:
    """Boxes cut out of larger pictures; neighbouring items share one decoded picture."""

    def __init__(
        self, pictures: EncodedImages, picture_of: NDArray[np.int64], boxes: NDArray[np.float32]
    ) -> None:
        """Cut ``boxes[i]`` = (left, top, right, bottom), pixels, out of ``picture_of[i]``."""
        self.pictures = pictures
        self.picture_of = picture_of
        self.boxes = boxes
        self._last: tuple[tuple[int, int], Pixels] | None = None

    def pixels(self, item: int, channels: int) -> Pixels:
        """Cut the box out, clipped to the picture; at least 2 pixels a side."""
        picture = self._picture(int(self.picture_of[item]), channels)
        height, width = picture.shape[:2]
        left, top, right, bottom = self.boxes[item]
        x = int(np.clip(round(float(left)), 0, width - 2))
        y = int(np.clip(round(float(top)), 0, height - 2))
        x_end = int(np.clip(round(float(right)), x + 2, width))
        y_end = int(np.clip(round(float(bottom)), y + 2, height))
        return picture[y:y_end, x:x_end]

    def fingerprint(self, item: int) -> bytes:
        """Return the box and the bytes of the picture it is cut from."""
        box: bytes = self.boxes[item].tobytes()
        return box + self.pictures.fingerprint(int(self.picture_of[item]))

    def _picture(self, number: int, channels: int) -> Pixels:
        if self._last is None or self._last[0] != (number, channels):
            self._last = ((number, channels), self.pictures.pixels(number, channels))
        return self._last[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the decoded picture out of a pickle."""
        return {**self.__dict__, "_last": None}
