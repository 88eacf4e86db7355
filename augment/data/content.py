"""Labels drawn by fonts: the content images that say what a generated image must show.

OpenCV 5 carries fonts for Latin, Greek, Cyrillic, Chinese, Japanese, Korean and Arabic letters;
a user may name font files. What a font lacks OpenCV takes from its built-in ``uni``. Where
a face has one weight only (all built-in Chinese characters), other weights are imitated by
widening or thinning the strokes. Their zeros come from ``uni``, which does not slash them.

A character that no font has would come out as a question mark or an empty box: it is a
GlyphError instead. So is a right-to-left word, whose letters OpenCV 5 puts in the wrong order;
single right-to-left letters are drawn.
"""

import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import matplotlib
import numpy as np
from PIL import ImageFont

from augment.errors import ConfigError, GlyphError
from augment.images import Pixels

__all__ = [
    "DEFAULT_FONTS",
    "Fault",
    "Font",
    "advance_width",
    "book_fonts",
    "check_drawable",
    "draw_glyphs",
    "draw_ink",
    "draw_label",
    "find_fault",
]

_FACES = ("uni", "sans", "italic")
_UNASSIGNED = "\U000e1234"  # no font has a glyph for it: its picture is the missing-glyph sign
_SUPERSAMPLING = 4
_STRETCH_LIMIT = 1.1  # a stretched glyph is widened at most this much more than an 8
_REGULAR = 400
_WIDENING = 0.06  # of the font size: stroke width imitated weight 900 has more than 400
_DRAWING = threading.Lock()  # a FontFace holds its current weight, so it is not thread-safe


@dataclass(frozen=True)
class Font:
    """A font file or a face built into OpenCV, at one weight.

    Attributes:
        path: a local TrueType or OpenType file; None for a built-in face.
        face: "uni", "sans" or "italic", where ``path`` is None.
        weight: 100 (thin) to 1000 (black); 400 is regular, 700 bold.
    """

    path: str | None = None
    face: str = "uni"
    weight: int = _REGULAR

    def __post_init__(self) -> None:
        """Check face and weight."""
        if self.face not in _FACES:
            raise ConfigError(f"face must be one of {', '.join(_FACES)}; got {self.face!r}.")
        if not 100 <= self.weight <= 1000:
            raise ConfigError(f"weight must be in [100, 1000], got {self.weight}.")


DEFAULT_FONTS: tuple[Font, ...] = (
    Font(face="uni", weight=400),
    Font(face="uni", weight=700),
    Font(face="sans", weight=300),
    Font(face="sans", weight=500),
    Font(face="sans", weight=800),
    Font(face="italic", weight=500),
)
"""Built-in faces of several weights and slants."""

_BOOK_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
)


def book_fonts() -> tuple[Font, ...]:
    """Serif and sans font files that are installed along with matplotlib."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return tuple(Font(path=str(folder / f"{stem}.ttf")) for stem in _BOOK_FONTS)


def draw_label(
    label: str, size: tuple[int, int], font: Font, *, margin: float = 0.08, stretch: bool = False
) -> Pixels:
    """Draw a label as large as fits, centred.

    Args:
        label: one or more characters.
        size: (H, W), pixels.
        font: what to draw with.
        margin: free border, as a share of each side.
        stretch: fill the height and, but for narrow glyphs such as 1, the width; otherwise
            proportions stay and small letters stay on their line.

    Returns:
        (H, W, 1) uint8, ink coverage: 0 = none, 255 = full.

    Raises:
        GlyphError: the label cannot be drawn.
    """
    check_drawable(label, font)
    height, width = size
    box_height, box_width = height * (1 - 2 * margin), width * (1 - 2 * margin)
    font_size = _SUPERSAMPLING * max(height, 16)
    ink, above = draw_ink(unicodedata.normalize("NFC", label), font, font_size)
    reference = draw_ink("8", font, font_size)[0]
    below = ink.shape[0] - above
    if stretch:
        line_top = above
        vertical = min(box_height / ink.shape[0], _STRETCH_LIMIT * box_height / reference.shape[0])
        per_width = _STRETCH_LIMIT * box_width / reference.shape[1]
        horizontal = min(box_width / ink.shape[1], per_width)
        line_height = ink.shape[0]
    else:
        line_top = max(above, reference.shape[0])
        line_height = line_top + max(below, 0)
        vertical = horizontal = min(box_height / line_height, box_width / ink.shape[1])
    ink_height = int(np.clip(round(ink.shape[0] * vertical), 1, height))
    ink_width = int(np.clip(round(ink.shape[1] * horizontal), 1, width))
    scaled = cv2.resize(ink, (ink_width, ink_height), interpolation=cv2.INTER_AREA)
    top = round((height - line_height * vertical) / 2 + (line_top - above) * vertical)
    top = int(np.clip(top, 0, height - ink_height))
    left = (width - ink_width) // 2
    picture = np.zeros((height, width, 1), np.uint8)
    picture[top : top + ink_height, left : left + ink_width, 0] = scaled
    return picture


def draw_glyphs(
    labels: Sequence[str],
    size: tuple[int, int],
    fonts: Sequence[Font] | None = None,
    *,
    margin: float = 0.08,
    stretch: bool = False,
) -> Pixels:
    """Draw every label in every font.

    A font that cannot draw a label is replaced, for that label, by the built-in ``uni``.

    Args:
        labels: k labels.
        size: (H, W), pixels.
        fonts: F fonts; DEFAULT_FONTS where None.
        margin: as for ``draw_label``.
        stretch: as for ``draw_label``.

    Returns:
        (k, F, H, W, 1) uint8 ink coverage.

    Raises:
        GlyphError: no font at hand can draw a label; it is named.
    """
    chosen = DEFAULT_FONTS if fonts is None else tuple(fonts)
    glyphs = np.empty((len(labels), len(chosen), *size, 1), np.uint8)
    for row, label in enumerate(labels):
        for column, font in enumerate(chosen):
            usable = font if find_fault(label, font) is None else Font(weight=font.weight)
            glyphs[row, column] = draw_label(label, size, usable, margin=margin, stretch=stretch)
    return glyphs


def check_drawable(label: str, font: Font) -> None:
    """Refuse a label that would come out empty, as a missing-glyph sign, or in wrong order.

    Raises:
        GlyphError: names the label and the character, and what to do.
    """
    fault = find_fault(label, font)
    if fault is not None:
        raise GlyphError(f"{fault.what}; {fault.remedy}.")


class Fault(NamedTuple):
    """Why a label would come out wrong, and what can be done where it is the name of a class."""

    what: str
    remedy: str


@lru_cache(maxsize=65536)
def find_fault(label: str, font: Font) -> Fault | None:
    """What is wrong with drawing a label, for callers with an advice of their own.

    Args:
        label: any text.
        font: what to draw with.

    Returns:
        None if nothing is wrong.
    """
    if not label or label.isspace():
        return Fault(f"expected visible characters, got {label!a}", "rename the class")
    for character in unicodedata.normalize("NFC", label):
        shown = f"{character!a} (U+{ord(character):04X})"
        if label != character:
            shown += f" in label {label!a}"
        if unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs"):
            return Fault(f"expected printable characters, got {shown}", "rename the class")
        if len(label) > 1 and unicodedata.bidirectional(character) in ("R", "AL"):
            return Fault(
                f"expected left-to-right text or one character, got {shown}: right-to-left words "
                "cannot be drawn",
                "label their characters one by one",
            )
        if character != "?" and not character.isspace() and _is_missing(character, font):
            name = font.path or f"the built-in font {font.face}"
            return Fault(
                f"{name} has no glyph for {character} {shown}",
                "rename the class or name a font file that has it",
            )
    if not draw_ink(label, font, 64)[0].any():
        return Fault(f"expected visible characters, got {label!a}", "rename the class")
    return None


def draw_ink(label: str, font: Font, font_size: int) -> tuple[Pixels, int]:
    """Draw a label's ink alone, in the font's weight, real or imitated.

    Nothing is checked: a character that no font has comes out as a question mark.

    Args:
        label: one or more characters.
        font: what to draw with.
        font_size: pixels; a capital letter is about 0.75 of it high.

    Returns:
        (h, w) uint8 coverage cropped to the ink, and how many of its rows lie above the baseline.
    """
    if font.path is None and "0" in label:
        font = replace(font, face="uni")  # the zero of the other faces is slashed, rare in print
    picture, above = _put_text(label, font, font.weight, font_size)
    if font.weight == _REGULAR:
        return picture, above
    regular, regular_above = _put_text(label, font, _REGULAR, font_size)
    if not np.array_equal(picture, regular):
        return picture, above
    change = round((font.weight - _REGULAR) / 500 * _WIDENING * font_size)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(change) + 1, abs(change) + 1))
    padded = np.pad(regular, abs(change))
    changed = cv2.dilate(padded, kernel) if change > 0 else cv2.erode(padded, kernel)
    return _crop(changed, regular_above + abs(change))


def advance_width(label: str, font: Font, font_size: int) -> int:
    """Pixels from a label's origin to that of what follows it; as ``draw_ink`` otherwise."""
    face = _load_face(font.path, font.face)
    with _DRAWING:
        width: int = cv2.getTextSize((0, 0), label, (0, 0), face, font_size, font.weight)[2]
    return width


def _is_missing(character: str, font: Font) -> bool:
    return np.array_equal(draw_ink(character, font, 64)[0], draw_ink(_UNASSIGNED, font, 64)[0])


@lru_cache(maxsize=4096)
def _put_text(label: str, font: Font, weight: int, font_size: int) -> tuple[Pixels, int]:
    """Draw text with OpenCV; return the ink, cropped, and its rows above the baseline."""
    face = _load_face(font.path, font.face)
    with _DRAWING:
        _, _, width, _ = cv2.getTextSize((0, 0), label, (0, 0), face, font_size, weight)
        canvas = np.zeros((4 * font_size, width + 2 * font_size), np.uint8)
        baseline = 2 * font_size
        cv2.putText(canvas, label, (font_size, baseline), 255, face, font_size, weight)
    return _crop(canvas, baseline)


def _crop(picture: Pixels, baseline: int) -> tuple[Pixels, int]:
    """Crop to the ink; return it and how many of its rows lie above the baseline."""
    left, top, width, height = cv2.boundingRect(picture)
    if width == 0:
        return np.zeros((1, 1), np.uint8), 0
    return picture[top : top + height, left : left + width], baseline - top


@cache
def _load_face(path: str | None, face: str) -> Any:
    """Load a font once and keep it: OpenCV's glyph cache mixes up faces whose memory is reused."""
    if path is not None:
        try:
            ImageFont.truetype(path)  # cv2.FontFace crashes the process on a file that is no font
        except OSError as error:
            raise ConfigError(
                f"expected a TrueType or OpenType font file, got {path} ({error}); check the path."
            ) from error
    return cv2.FontFace(path or face)
