"""Parquet with the images inside, as Hugging Face's datasets and our own exports have it.

A table is a file, or all ``*.parquet`` below a folder. Its column ``image`` (or ``img``) holds
image files: structs of ``bytes`` and ``path``, or the bytes alone. The labels are names, numbers,
or indices whose names stand in the schema's metadata. A file called ``train-…``, or in a folder
``train``, holds that split; files of one split alone say nothing of it.

An image is read with its row group. Those read last are kept, so that small tables are read once; a
larger one that is shuffled wants small row groups: 100 images, as ``datasets`` writes them, or our
200.
"""

import json
import posixpath
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from augment.data.listing import some
from augment.data.sources import FolderStore, open_file_system
from augment.data.tables import split_named
from augment.errors import DataError, ImageError

__all__ = ["HELD_BYTES", "ParquetStore", "ParquetTable", "open_table"]

HELD_BYTES = 64 * 2**20
"""Row groups read last are kept in memory up to this size, and one of any size."""

_IMAGE_COLUMNS = ("image", "img")


@dataclass(frozen=True)
class ParquetTable:
    """What a table holds, in its own order.

    Attributes:
        store: reads the image files.
        names: (N,) the images' paths where each has its own, else ``FILE#ROW``.
        labels: (N,) names, or texts.
        splits: (N,) train, val or test; None where the files' names tell none.
    """

    store: "ParquetStore"
    names: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...] | None


@dataclass(frozen=True)
class _Part:
    """One file: how many rows its row groups have, and all but its images."""

    file: str
    column: str
    sizes: tuple[int, ...]
    labels: list[str]
    paths: list[str | None]


class ParquetStore:
    """Image files in Parquet, read a row group at a time; no file stays open."""

    def __init__(self, file_system: Any, parts: Sequence[_Part], names: Sequence[str]) -> None:
        """Call the rows of ``parts``, in that order, ``names``."""
        self.path = posixpath.commonpath([part.file for part in parts])
        self._file_system = file_system
        self._groups = [(part, index) for part in parts for index in range(len(part.sizes))]
        sizes = [part.sizes[index] for part, index in self._groups]
        self._starts = list(accumulate(sizes, initial=0))[:-1]
        self._numbers = {name: number for number, name in enumerate(names)}
        self._held: dict[int, pa.ChunkedArray] = {}

    def names(self) -> list[str]:
        """Return the names of all images, sorted."""
        return sorted(self._numbers)

    def read(self, name: str) -> bytes:
        """Return an image's file; ImageError if it is not inside or cannot be read."""
        number = self._numbers[name]
        group = bisect_right(self._starts, number) - 1
        data: bytes | None = self._images(group)[number - self._starts[group]].as_py()
        if data is None:
            raise ImageError(
                f"{name}: expected the image inside {self._groups[group][0].file}, got a path at "
                "most; embed the images when you write it."
            )
        return data

    def _images(self, group: int) -> pa.ChunkedArray:
        images = self._held.pop(group, None)
        images = self._load(*self._groups[group]) if images is None else images
        self._held[group] = images  # the last one read stands last
        while len(self._held) > 1 and sum(held.nbytes for held in self._held.values()) > HELD_BYTES:
            self._held.pop(next(iter(self._held)))
        return images

    def _load(self, part: _Part, index: int) -> pa.ChunkedArray:
        try:
            with self._file_system.open(part.file, "rb") as handle:
                table = parquet.ParquetFile(handle).read_row_group(
                    index, columns=[part.column], use_threads=False
                )
        except (OSError, pa.ArrowException) as error:
            raise ImageError(
                f"{part.file}: expected a readable row group {index}, got {error}; copy it again."
            ) from error
        table = table.flatten() if "." in part.column else table
        return table.column(0)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the row groups out of a pickle."""
        return {**self.__dict__, "_held": {}}


def open_table(path: str, columns: Sequence[str]) -> ParquetTable:
    """Read names and labels; images are read when they are asked for.

    Args:
        path: a Parquet file, or a folder of them.
        columns: what the column of labels may be called, the first one there is taken.

    Raises:
        DataError: no such path or no Parquet, none of the columns, a row without a label, or
            files of which only some tell a split.
    """
    file_system, root = open_file_system(path)
    files = [root]
    if file_system.isdir(root):
        found = FolderStore(file_system, root).names()
        files = [posixpath.join(root, name) for name in found if name.endswith(".parquet")]
    if not files:
        raise DataError(f"expected files called *.parquet below {path}, got none.")
    parts = [_read_part(file_system, file, columns) for file in files]
    folder = posixpath.dirname(root) if files == [root] else root
    inside = [posixpath.relpath(file, folder) for file in files]
    names = _names(inside, parts)
    return ParquetTable(
        store=ParquetStore(file_system, parts, names),
        names=names,
        labels=tuple(label for part in parts for label in part.labels),
        splits=_splits(inside, parts, path),
    )


def _read_part(file_system: Any, file: str, columns: Sequence[str]) -> _Part:
    """Read all of a file but its images."""
    try:
        with file_system.open(file, "rb") as handle:
            opened = parquet.ParquetFile(handle)
            schema, metadata = opened.schema_arrow, opened.metadata
            image = _choose(schema, _IMAGE_COLUMNS, file)
            label = _choose(schema, columns, file)
            kind = schema.field(image).type
            inner = [kind.field(i).name for i in range(kind.num_fields)]
            paths = [f"{image}.path"] if "path" in inner else []
            table = opened.read(columns=[label, *paths], use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"expected a Parquet file, got {file} ({error}); copy it again.") from error
    found = table.flatten() if paths else table
    return _Part(
        file=file,
        column=f"{image}.bytes" if "bytes" in inner else image,
        sizes=tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)),
        labels=_labels(table.column(label).to_pylist(), _class_names(schema, label), file),
        paths=found.column(paths[0]).to_pylist() if paths else [None] * len(table),
    )


def _choose(schema: pa.Schema, columns: Sequence[str], file: str) -> str:
    for name in columns:
        if name in schema.names:
            return name
    raise DataError(
        f"expected a column {' or '.join(columns)} in {file}, got {', '.join(schema.names)}; "
        "rename yours."
    )


def _class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names of a ClassLabel of Hugging Face's datasets; None where there are none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[column]["names"]]
    except (KeyError, TypeError, ValueError):
        return None


def _labels(values: Sequence[Any], names: list[str] | None, file: str) -> list[str]:
    allowed = int | str if names is None else int
    for row, value in enumerate(values):
        if not isinstance(value, allowed) or (names and not 0 <= value < len(names)):
            expected = "a name or number" if names is None else f"an index below {len(names)}"
            raise DataError(
                f"expected {expected} as label of every image, got {value!r} in row {row} of "
                f"{file}; leave images without label out."
            )
    return [str(value) if names is None else names[value] for value in values]


def _names(inside: Sequence[str], parts: Sequence[_Part]) -> tuple[str, ...]:
    paths = [path for part in parts for path in part.paths if path]
    rows = [len(part.labels) for part in parts]
    if len(set(paths)) == sum(rows):
        return tuple(paths)
    return tuple(
        f"{file}#{row}" for file, count in zip(inside, rows, strict=True) for row in range(count)
    )


def _splits(inside: Sequence[str], parts: Sequence[_Part], path: str) -> tuple[str, ...] | None:
    found = [_split_of(file) for file in inside]
    if len(set(found)) < 2:
        return None
    unknown = [file for file, split in zip(inside, found, strict=True) if split is None]
    if unknown:
        raise DataError(
            f"expected train, val or test as first word of each file's name below {path}, as some "
            f"have it, got {some(unknown)}; rename or move them."
        )
    return tuple(
        str(split)
        for split, part in zip(found, parts, strict=True)
        for _ in range(len(part.labels))
    )


def _split_of(file: str) -> str | None:
    """The split of ``train-00000-of-00001.parquet`` or ``train/0000.parquet``."""
    folder, name = posixpath.split(file)
    words = re.split(r"[-_.]", name)[0], posixpath.basename(folder)
    return next(filter(None, map(split_named, words)), None)
