"""Images of classes in ``jobs.generate``: the labels asked for, and real images as records."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from augment.data.datasets import LabelledImages, open_data
from augment.data.listing import decode_text
from augment.errors import ConfigError
from augment.export import WRITERS, Record
from augment.images import encode_png
from jobs.cli import absolute_uri, local_path

__all__ = ["check_labels", "choose_labels", "open_train_split", "real_records"]


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


def open_train_split(
    uri: str, option: str, image_size: tuple[int, int] | None, channels: int | None
) -> LabelledImages:
    """The training images of a data URI.

    Args:
        uri: as the command line has it.
        option: which option named it, for errors.
        image_size: (H, W), pixels; None: chosen from the data.
        channels: 1 or 3; None: as the data.

    Raises:
        ConfigError, DataError: no such data, or generated images among them.
    """
    data = open_data(
        absolute_uri(uri, option), image_size=image_size, channels=channels, real_only=True
    )
    return data.split("train")


def check_labels(layout: str, labels: Sequence[str], real: LabelledImages | None) -> None:
    """Refuse labels that a layout cannot hold, before any image is drawn.

    Args:
        layout: name of one of ``WRITERS``.
        labels: of the images that are drawn.
        real: images that go along.

    Raises:
        LabelError: names the label.
    """
    shown = [real.classes[number] for number in np.unique(real.labels)] if real else []
    WRITERS[layout].check_texts(dict.fromkeys([*labels, *shown]))


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
