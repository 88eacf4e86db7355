"""The real lines of ``jobs.generate --with-real``, which an export holds beside drawn ones."""

from collections.abc import Callable, Iterator

from augment.data.texts import TextImages, open_texts
from augment.export import Record
from augment.images import Pixels, encode_png
from jobs.cli import absolute_uri

__all__ = ["open_real_lines", "real_line_records"]


def open_real_lines(uri: str | None) -> TextImages | None:
    """The train split of ``--with-real``; None without the option.

    Raises:
        ConfigError, DataError: no such data, or no such split.
    """
    if uri is None:
        return None
    return open_texts(absolute_uri(uri, "--with-real"), real_only=True).split("train")


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
