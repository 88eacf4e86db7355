"""The real lines of ``jobs.generate --with-real``, which an export holds beside drawn ones."""

import logging
from collections.abc import Callable, Iterator

import numpy as np

from augment.data.layouts import Layout
from augment.data.texts import TextImages, find_size_fault, open_texts
from augment.errors import DataError
from augment.export import Record
from augment.images import Pixels, encode_png
from jobs.cli import absolute_uri

__all__ = ["allowed_lines", "open_real_lines", "real_line_records"]

_LOG = logging.getLogger(__name__)
_MOST_TOLD = 5


def open_real_lines(uri: str | None, layout: Layout) -> TextImages | None:
    """The train split of ``--with-real``; None without the option.

    Left out, with a warning, is what a generator of the layout would not be trained on: texts
    that it does not allow, and images that are no single line.

    Raises:
        ConfigError, DataError: no such data, no such split, or nothing is left of it.
    """
    if uri is None:
        return None
    data = open_texts(absolute_uri(uri, "--with-real"), real_only=True).split("train")
    data = allowed_lines(data, layout)
    sizes = (image.shape[:2] for row in range(len(data)) for image in data.images([row]))
    return _without(data, [find_size_fault(*size) is not None for size in sizes], "no single line")


def allowed_lines(data: TextImages, layout: Layout) -> TextImages:
    """The lines whose text the layout allows; a warning names the others.

    Raises:
        DataError: it allows none.
    """
    unfit = [not layout.allows(text) for text in data.texts]
    return _without(data, unfit, f"no texts of layout {layout.name}")


def _without(data: TextImages, unfit: list[bool], what: str) -> TextImages:
    rows = np.flatnonzero(unfit)
    shown = ", ".join(f"{data.texts[row]!r} ({data.names[row]})" for row in rows[:_MOST_TOLD])
    told = f"{data.uri}: {len(rows)} of {len(data)} real lines are {what}: {shown}"
    if len(rows) == len(data):
        raise DataError(f"{told}; correct the labels or give other lines.")
    if not len(rows):
        return data
    _LOG.warning(f"{told}{', …' if len(rows) > _MOST_TOLD else ''}; they are left out")
    return data.subset(np.flatnonzero(np.logical_not(unfit)))


def real_line_records(
    lines: TextImages, fit: Callable[[Pixels], Pixels], *, channels: int
) -> Iterator[Record]:
    """Real lines on their way out, in their own order.

    Args:
        lines: decoded one by one.
        fit: (h, w, C) uint8 to the size of the drawn lines.
        channels: 1 (gray) or 3 (RGB).
    """
    for index, (name, text) in enumerate(zip(lines.names, lines.texts, strict=True)):
        image = fit(lines.images([index], channels=channels)[0])
        yield Record(png=encode_png(image), label=text, index=index, origin="real", source=name)
