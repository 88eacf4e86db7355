"""Folders of numbered images beside a list that names their labels.

| format | list | a row |
|---|---|---|
| csv | labels.csv | file,label (or file,text), quoted as RFC 4180 has it |
| jsonl | metadata.jsonl | {"file_name": ..., "label": ...}: Hugging Face's ImageFolder |
| paddleocr | rec_gt_train.txt | train/FILE, a tab, text; dict.txt has a character a line |
| mmocr | textrecog_train.json and train_label.jsonl | of its releases 1.x and 0.x |
| easyocr | labels.csv | filename,words, all after the first comma being the words |
"""

import csv
import io
import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from augment.errors import LabelError
from augment.export.base import FolderExport
from augment.export.card import Card
from augment.export.records import Record, check_text

__all__ = ["CsvWriter", "EasyOCRWriter", "JsonlWriter", "MMOCRWriter", "PaddleOCRWriter"]

_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)
_TRUTH = re.compile("true|false", re.IGNORECASE)


class _ListedExport(FolderExport):
    """Images by number and lists of a row an image."""

    name: ClassVar[str]
    lists: ClassVar[tuple[str, ...]]
    folder: ClassVar[str] = "images/"
    forbidden: ClassVar[str] = ""

    def __init__(
        self, path: str | Path, *, classes: Sequence[str] | None = None, card: Card | None = None
    ) -> None:
        super().__init__(path, classes=classes, card=card)
        self.column = "label" if classes is not None else "text"
        self._open = [
            (self.partial / name).open("x", encoding="utf-8", newline="") for name in self.lists
        ]
        for file, head in zip(self._open, self.heads(), strict=True):
            file.write(head)

    def heads(self) -> tuple[str, ...]:
        """What each list begins with."""
        return ("",) * len(self.lists)

    @abstractmethod
    def rows(self, file: str, label: str) -> tuple[str, ...]:
        """Return the row of an image for each list."""

    def tails(self) -> tuple[str, ...]:
        """What each list ends with."""
        return ("",) * len(self.lists)

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        check_text(label, cls.name, cls.forbidden)

    def add(self, record: Record) -> None:
        """As ``Writer.add``."""
        self.check_label(record.label)
        file = f"{self.folder}{self.ledger.count:08d}.png"
        rows = self.rows(file, record.label)
        self.ledger.enter(record, file, record.png)
        self.put(file, record.png)
        for out, row in zip(self._open, rows, strict=True):
            out.write(row)

    def finish(self) -> None:
        """End the lists."""
        for out, tail in zip(self._open, self.tails(), strict=True):
            out.write(tail)
        self.release()
        for name in self.lists:
            self.seal(name)

    def release(self) -> None:
        """Close the lists."""
        for out in self._open:
            out.close()


class CsvWriter(_ListedExport):
    """Writes labels.csv; any text can be a label."""

    name = "csv"
    lists = ("labels.csv",)
    layout = (
        "`labels.csv` has a row an image: file, and its label or text, quoted where need be. "
        "`csv:PATH/labels.csv` names the data for Labelmint."
    )

    def heads(self) -> tuple[str, ...]:
        """The header."""
        return (_csv_row("file", self.column),)

    def rows(self, file: str, label: str) -> tuple[str, ...]:
        """One csv row."""
        return (_csv_row(file, label),)


class JsonlWriter(_ListedExport):
    """Writes Hugging Face's ImageFolder with metadata; any text can be a label."""

    name = "jsonl"
    lists = ("metadata.jsonl",)
    layout = (
        "Hugging Face's ImageFolder: `metadata.jsonl` has a row an image. "
        '`datasets.load_dataset("imagefolder", data_dir=PATH)` reads it.'
    )
    front_matter = (
        "configs:\n- config_name: default\n  data_files:\n  - split: train\n"
        "    path:\n    - metadata.jsonl\n    - images/*.png"
    )

    def rows(self, file: str, label: str) -> tuple[str, ...]:
        """One JSON row."""
        return (_json_row({"file_name": file, self.column: label}),)


class PaddleOCRWriter(_ListedExport):
    """Writes PaddleOCR's recognition layout; a label holds no tab and no line break."""

    name = "paddleocr"
    lists = ("rec_gt_train.txt",)
    folder = "train/"
    forbidden = "\t\r\n"
    layout = (
        "PaddleOCR's recognition layout: set `data_dir` to this folder, `label_file_list` to its "
        "`rec_gt_train.txt` and `character_dict_path` to its `dict.txt`, which leaves the space "
        "to `use_space_char`."
    )

    def rows(self, file: str, label: str) -> tuple[str, ...]:
        """Path, tab, text."""
        return (f"{file}\t{label}\n",)

    def finish(self) -> None:
        """End the list and write the dictionary: every character but the space, a line each."""
        super().finish()
        characters = {character for label, _ in self.ledger.labels() for character in label}
        self.put("dict.txt", "".join(f"{c}\n" for c in sorted(characters - {" "})).encode())


class MMOCRWriter(_ListedExport):
    """Writes MMOCR's recognition layouts; any text can be a label."""

    name = "mmocr"
    lists = ("textrecog_train.json", "train_label.jsonl")
    layout = (
        "MMOCR's recognition layout: `textrecog_train.json` for its releases 1.x (`data_root` is "
        "this folder, `ann_file` that file), `train_label.jsonl` for 0.x."
    )

    def heads(self) -> tuple[str, ...]:
        """The metadata of 1.x."""
        about = {"dataset_type": "TextRecogDataset", "task_name": "textrecog"}
        return (f'{{"metainfo": {json.dumps(about)}, "data_list": [', "")

    def rows(self, file: str, label: str) -> tuple[str, ...]:
        """One entry of each kind."""
        entry = _json_row({"img_path": file, "instances": [{"text": label}]}).rstrip("\n")
        separator = ",\n" if self.ledger.count else "\n"
        return (separator + entry, _json_row({"filename": file, "text": label}))

    def tails(self) -> tuple[str, ...]:
        """The end of the list of 1.x."""
        return ("\n]}\n", "")


class EasyOCRWriter(_ListedExport):
    r"""Writes EasyOCR's layout; a label holds no line break and no white space at its end.

    Its trainer reads by ``pandas.read_csv`` with the separator ``^([^,]+),``: nothing is quoted,
    rows are stripped, and words all of which are numbers, or true and false, are no longer texts.
    """

    name = "easyocr"
    lists = ("labels.csv",)
    folder = ""
    forbidden = "\r\n"
    layout = (
        "EasyOCR's layout: `labels.csv` with the columns filename and words beside the images. As "
        "its trainer reads it, the words are all that follows the first comma, unquoted."
    )

    def __init__(
        self, path: str | Path, *, classes: Sequence[str] | None = None, card: Card | None = None
    ) -> None:
        """As ``Writer``; LabelError if all classes are numbers."""
        self.check_texts(classes or ())
        super().__init__(path, classes=classes, card=card)

    @classmethod
    def check_texts(cls, texts: Iterable[str]) -> None:
        """As ``Writer.check_texts``: refuse what pandas takes for numbers or truth values."""
        kinds, text = [_NUMBER, _TRUTH], None
        for text in texts:
            cls.check_label(text)
            kinds = [kind for kind in kinds if kind.fullmatch(text.strip())]  # as pandas does
        if text is not None and kinds:
            raise LabelError(
                f"the layout easyocr cannot hold labels all of which are like {text[:40]!r}: its "
                "trainer takes them for numbers, not for texts; add a label with letters or choose "
                "another layout, such as paddleocr."
            )

    def heads(self) -> tuple[str, ...]:
        """The header."""
        return ("filename,words\n",)

    @classmethod
    def check_label(cls, label: str) -> None:
        """As ``Writer.check_label``."""
        super().check_label(label)
        if label != label.rstrip():
            raise LabelError(
                f"the layout easyocr cannot hold the label {label[:40]!r}, whose white space at "
                "the end its trainer strips; trim it or choose another layout, such as paddleocr."
            )

    def rows(self, file: str, label: str) -> tuple[str, ...]:
        """Name, comma, text as it is."""
        return (f"{file},{label}\n",)

    def finish(self) -> None:
        """End the list, unless it would not be read as texts."""
        self.check_texts(label for label, _ in self.ledger.labels())
        super().finish()


def _csv_row(*cells: str) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)  # so that both ends are quoted
    return out.getvalue().removesuffix("\r\n") + "\n"


def _json_row(row: dict[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
