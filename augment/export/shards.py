"""WebDataset: tar shards in which the members of a sample follow each other and share a name.

NUMBER.png      the image
NUMBER.txt      its label
NUMBER.cls      its class index, where labels are classes
NUMBER.json     its manifest row
"""

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from augment.errors import ConfigError
from augment.export.base import FolderExport
from augment.export.card import Card
from augment.export.records import Record, check_text

__all__ = ["WebDatasetWriter", "tar_end", "tar_entry"]

_BLOCK = 512


def tar_entry(name: str, data: bytes) -> bytes:
    """Return a member of a tar archive: dated 1970, owned by root."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    return header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % _BLOCK)


def tar_end() -> bytes:
    """Return the last bytes of a tar archive."""
    return bytes(2 * _BLOCK)


class WebDatasetWriter(FolderExport):
    """Writes train-000000.tar and on; any text can be a label."""

    layout = (
        "WebDataset: tar shards with the members png, txt (the label), json (its manifest row) "
        "and, where labels are classes, cls (the index). `webdataset.WebDataset"
        '("PATH/train-{000000..NNNNNN}.tar")` reads it.'
    )

    def __init__(
        self,
        path: str | Path,
        *,
        classes: Sequence[str] | None = None,
        card: Card | None = None,
        shard_size: int = 10_000,
    ) -> None:
        """As ``Writer``, with ``shard_size`` images in a shard; ConfigError if it is below 1."""
        if shard_size < 1:
            raise ConfigError(f"shard_size must be at least 1, got {shard_size}.")
        super().__init__(path, classes=classes, card=card)
        self.shard_size = shard_size
        self._shard: IO[bytes] | None = None
        self._shard_name = ""

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        check_text(record.label, "webdataset")
        number = self.ledger.count
        members = {"png": record.png, "txt": record.label.encode()}
        if self.classes is not None:
            members["cls"] = str(self.class_index(record.label)).encode()
        shard = f"train-{number // self.shard_size:06d}.tar"
        row = self.ledger.enter(record, f"{shard}/{number:09d}.png", record.png)
        members["json"] = json.dumps(row).encode()
        if self._shard is None or shard != self._shard_name:
            self.finish()
            self._shard, self._shard_name = (self.partial / shard).open("xb"), shard
        for kind, data in members.items():
            self._shard.write(tar_entry(f"{number:09d}.{kind}", data))

    def finish(self) -> None:
        """End the shard at hand."""
        if self._shard is not None:
            self._shard.write(tar_end())
            self.release()
            self.seal(self._shard_name)

    def release(self) -> None:
        """Close the shard at hand."""
        if self._shard is not None:
            self._shard.close()
