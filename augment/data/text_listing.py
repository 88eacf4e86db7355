"""What a reader of labelled lines of text returns, and what such readers share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from augment.data.listing import some
from augment.errors import DataError

__all__ = ["TextListing", "checked_texts", "read_named"]


@dataclass(frozen=True)
class TextListing:
    """Images of text found somewhere, in a fixed order.

    Attributes:
        names: (N,) unique names.
        texts: (N,) what each image says; never empty.
        splits: (N,) train, val or test; None where none are given.
        sources: (N,) where each image comes from; None where nothing is said.
        read: item number -> the bytes of its image file. It can be pickled; ImageError if the
            file is missing or damaged.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    splits: tuple[str, ...] | None
    sources: tuple[str, ...] | None
    read: Callable[[int], bytes]


def checked_texts(names: Sequence[str], texts: Sequence[str], where: str) -> tuple[str, ...]:
    """The texts as ``plain_text`` has them.

    Raises:
        DataError: one is blank; it names the images, ``where`` what lists them.
    """
    empty = [name for name, text in zip(names, texts, strict=True) if not text.strip()]
    if empty:
        raise DataError(
            f"expected a text for every image of {where}, got none for {some(empty)}; "
            "write one or leave the image out."
        )
    return tuple(map(plain_text, texts))


def plain_text(text: str) -> str:
    """A text in Unicode's composed form (NFC), which fonts have and most keyboards write.

    White space around it is left out: no image shows it.
    """
    return normalize("NFC", text.strip())


def read_named(read: Callable[[str], bytes], files: tuple[str, ...], item: int) -> bytes:
    """Read item ``item`` of ``files``: with the first two bound, a TextListing's ``read``."""
    return read(files[item])
