"""Parquet with the images inside, in the layout of Hugging Face's datasets."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from augment.errors import ConfigError
from augment.export.base import FolderExport
from augment.export.card import Card
from augment.export.records import Record, check_text

__all__ = ["ParquetWriter"]


class ParquetWriter(FolderExport):
    """Writes data/train-00000.parquet and on; any text can be a label.

    The columns are ``image``, a struct of bytes and path, and ``label``, an index whose names stand
    in the schema's metadata, where labels are classes, else ``text``.
    """

    layout = (
        "Parquet with the images inside. `datasets.load_dataset(PATH)` reads it: the column "
        "`image` is decoded, `label` knows its names."
    )
    front_matter = (
        "configs:\n- config_name: default\n  data_files:\n  - split: train\n"
        "    path: data/train-*.parquet"
    )

    def __init__(
        self,
        path: str | Path,
        *,
        classes: Sequence[str] | None = None,
        card: Card | None = None,
        shard_size: int = 50_000,
        group_size: int = 200,
    ) -> None:
        """As ``Writer``.

        Args:
            path: as there.
            classes: as there.
            card: as there.
            shard_size: images in a file.
            group_size: images in a row group, which is held in memory.

        Raises:
            ConfigError: a size below 1.
        """
        if min(shard_size, group_size) < 1:
            raise ConfigError(f"sizes must be at least 1, got {shard_size} and {group_size}.")
        super().__init__(path, classes=classes, card=card)
        (self.partial / "data").mkdir()
        self.shard_size, self.group_size = shard_size, group_size
        self._column = "text" if self.classes is None else "label"
        self._schema = _schema(self._column, self.classes)
        self._images: list[dict[str, object]] = []
        self._labels: list[str | int] = []
        self._shard: parquet.ParquetWriter | None = None
        self._shard_name = ""
        self._shard_count = 0

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        check_text(label, "parquet")

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        self.check_label(record.label)
        label = record.label if self.classes is None else self.class_numbers[record.label]
        number = self.ledger.count
        shard = f"data/train-{number // self.shard_size:05d}.parquet"
        name = f"{number:09d}.png"
        self.ledger.enter(record, f"{shard}/{name}", record.png)
        if shard != self._shard_name:
            self.finish()
            self._shard_name = shard
            self._shard = parquet.ParquetWriter(self.partial / shard, self._schema)
        self._images.append({"bytes": record.png, "path": name})
        self._labels.append(label)
        if len(self._labels) == self.group_size:
            self._flush()

    def finish(self) -> None:
        """End the file at hand."""
        if self._shard is not None:
            self._flush()
            self.release()
            self.seal(self._shard_name)
            self._shard = None

    def release(self) -> None:
        """Close the file at hand."""
        if self._shard is not None:
            self._shard.close()

    def _flush(self) -> None:
        """Write the images at hand as a row group."""
        if self._labels and self._shard is not None:
            columns = {"image": self._images, self._column: self._labels}
            self._shard.write_table(pa.table(columns, schema=self._schema))
            self._images, self._labels = [], []


def _schema(column: str, classes: Sequence[str] | None) -> pa.Schema:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    feature: dict[str, object]
    if classes is None:
        kind, feature = pa.string(), {"dtype": "string", "_type": "Value"}
    else:
        kind, feature = pa.int64(), {"names": list(classes), "_type": "ClassLabel"}
    features = {"image": {"_type": "Image"}, column: feature}
    return pa.schema(
        [("image", image), (column, kind)],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
