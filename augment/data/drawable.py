"""Which texts can be drawn as a line.

Refused are those that would come out wrong: empty ones, spaces at the ends, characters that no
font has, combining characters, right-to-left ones.
"""

import unicodedata
from functools import lru_cache

from augment.data.content import Font, find_fault
from augment.data.layouts import EMPTY_PLACE, Layout
from augment.errors import GlyphError

__all__ = ["MOST_SHOWN", "check_alphabets", "check_line", "check_plate"]

MOST_SHOWN = 80
"""Characters of a text in a message."""


def check_line(text: str) -> None:
    """Refuse a text that cannot be drawn as one line.

    Raises:
        GlyphError: names the character and its place, and what to do.
    """
    if not text or text != text.strip():
        raise GlyphError(
            f"expected a text without spaces at its ends, got {_shown(text)}; trim it or leave it "
            "out."
        )
    for place, character in enumerate(text, start=1):
        complaint = _complaint(character)
        if complaint is not None:
            raise GlyphError(f"position {place} of {_shown(text)}: {complaint}")


def check_plate(text: str, layout: Layout) -> None:
    """Refuse a text that cannot be drawn on a plate.

    Raises:
        LabelError: the layout, which has positions, does not allow it.
        GlyphError: as ``check_line``.
    """
    layout.check(text)
    check_line(text.replace(EMPTY_PLACE, ""))


def check_alphabets(layout: Layout) -> None:
    """Refuse a layout with characters that cannot be drawn.

    Raises:
        GlyphError: names the alphabet and the first of them.
    """
    for name, alphabet in layout.alphabets.items():
        complaint = next(filter(None, map(_complaint, alphabet)), None)
        if complaint is not None:
            raise GlyphError(f"layout {layout.name}, alphabet {name}: {complaint}")


def _shown(text: str) -> str:
    """A text as a message shows it: in ASCII, and not the whole of a very long one."""
    return ascii(text) if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]!a}…"


@lru_cache(maxsize=65536)
def _complaint(character: str) -> str | None:
    """What is wrong with a character in a line; None if nothing."""
    shown = f"{character!a} (U+{ord(character):04X})"
    if unicodedata.category(character) == "Cc":
        return f"expected printable characters, got {shown}; remove it."
    if unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf"):
        return (
            f"expected characters that stand alone, got {shown}; combining and invisible ones "
            "cannot be drawn: write composed characters (Unicode NFC)."
        )
    if unicodedata.bidirectional(character) in ("R", "AL", "AN"):
        return f"expected left-to-right text, got {shown}; right-to-left lines cannot be drawn."
    if character != " " and (fault := find_fault(character, Font())) is not None:
        return f"{fault.what}; leave it out or write another character."
    return None
