"""Images of classes in ``jobs.generate``: the labels asked for, and real images as records."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from augment.data.datasets import LabelledImages
from augment.data.listing import decode_text
from augment.errors import ConfigError
from augment.export import Record
from augment.images import encode_png
from jobs.cli import local_path

__all__ = ["choose_labels", "real_records"]


def choose_labels(text: str, classes: Sequence[str]) -> list[str]:
    """Read ``--labels``; each label once, in the order given.

    Raises:
        ConfigError: no label at all.
        DataError: a file that is not UTF-8.
    """
    if text == "all":
        return list(classes)
    path = local_path(text, "--labels") if text.endswith(".txt") else Path(text)
    is_file = os.path.isfile(path)  # Path.is_file raises where a list is too long for a name
    lines = (
        io.StringIO(decode_text(path.read_bytes(), text), newline=None)
        if is_file
        else text.split(",")
    )
    labels = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not labels:
        raise ConfigError(f"--labels names no label: got {text!r}; write all, A,B or a file.")
    return labels


def real_records(real: LabelledImages) -> Iterator[Record]:
    """Real images on their way into an export."""
    for index, label in enumerate(real.labels.tolist()):
        yield Record(
            png=encode_png(real.images([index])[0]),
            label=real.classes[label],
            index=index,
            origin="real",
            source=real.names[index],
        )
