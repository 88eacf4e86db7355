"""Writing labelled images out in the layouts that trainers read.

``WRITERS[NAME]`` makes a writer; it takes records one by one, at constant memory:

    with WRITERS["webdataset"]("out", classes=classes, card=Card(licence="CC0")) as writer:
        for record in records:
            writer.add(record)
        writer.close({"made": 5, "kept": 4, "dropped": 1})

Every export holds, beside its images,

    manifest.jsonl      one JSON row per image, then a row {"summary": ...} if one is given
    README.md           the dataset card: what is in it, how it was made, under which terms
    SHA256SUMS          of every file, as ``sha256sum -c`` reads it

The manifest holds the true label beside seed, index, bundle digest, style, read-back confidence
and SHA-256 of the image. The same records give the same bytes. What is being written carries the
suffix ``.partial`` and gets its name at the end, so nothing half-written looks complete.
"""

from augment.export.base import FolderExport, Writer
from augment.export.card import Card
from augment.export.ccpd import CcpdWriter
from augment.export.folder_zip import FolderZip
from augment.export.image_folder import FolderWriter, ZipStream, ZipWriter, zip_stream
from augment.export.insightface import InsightFaceWriter
from augment.export.key_value import LmdbWriter
from augment.export.lfw import LfwWriter
from augment.export.lists import (
    CsvWriter,
    EasyOCRWriter,
    JsonlWriter,
    MMOCRWriter,
    PaddleOCRWriter,
)
from augment.export.parquet import ParquetWriter
from augment.export.records import (
    CARD,
    CHECKSUMS,
    CLASSES,
    MANIFEST,
    Record,
    folder_name,
    generated_record,
    label_of_folder,
)
from augment.export.shards import TarStream, WebDatasetWriter

__all__ = [
    "CARD",
    "CHECKSUMS",
    "CLASSES",
    "MANIFEST",
    "WRITERS",
    "Card",
    "FolderExport",
    "FolderWriter",
    "FolderZip",
    "Record",
    "TarStream",
    "Writer",
    "ZipStream",
    "ZipWriter",
    "folder_name",
    "generated_record",
    "label_of_folder",
    "zip_stream",
]

WRITERS: dict[str, type[Writer]] = {
    "ccpd": CcpdWriter,
    "csv": CsvWriter,
    "easyocr": EasyOCRWriter,
    "folder": FolderWriter,
    "insightface": InsightFaceWriter,
    "jsonl": JsonlWriter,
    "lfw": LfwWriter,
    "lmdb": LmdbWriter,
    "mmocr": MMOCRWriter,
    "paddleocr": PaddleOCRWriter,
    "parquet": ParquetWriter,
    "webdataset": WebDatasetWriter,
    "zip": ZipWriter,
}
"""The export formats by name; each class is called with the output path."""
