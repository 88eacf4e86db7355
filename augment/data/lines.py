"""Whole lines of text drawn by fonts: the content images that say what a line must show.

On a plate each character fills its box of the layout. Free text runs across the image; how wide
an image it needs is a function of the text alone, ``line_width``. Its ink fills the height as the
words cut from photographs do, except that marks such as a hyphen keep their proportions.

Refused are the texts that ``augment.data.drawable`` refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.data.content import (
    DEFAULT_FONTS,
    Font,
    advance_width,
    book_fonts,
    draw_ink,
    draw_label,
    find_fault,
)
from augment.data.drawable import MOST_SHOWN, check_line, check_plate
from augment.data.layouts import EMPTY_PLACE, Layout
from augment.errors import LabelError
from augment.images import Pixels

__all__ = [
    "LONGEST_LINE",
    "PLATE_FONTS",
    "LineInk",
    "PlateInk",
    "draw_contents",
    "line_fonts",
    "line_ink",
    "line_width",
]

LONGEST_LINE = 8
"""Width of the longest free text, in heights: 256 pixels at a height of 32."""

PLATE_FONTS: tuple[Font, ...] = (
    Font(face="uni", weight=500),
    Font(face="sans", weight=400),
    Font(face="sans", weight=500),
    Font(face="sans", weight=600),
)
"""Faces whose strokes come near those of plates."""

_FONT_SIZE = 64  # pixels; free text is put together at it and shrunk to the image
_INK_HEIGHT = 0.76  # of a free text's image
_INK_MARGIN = 0.12  # heights, at either end of a free text
_WIDTH_STEP = 8  # pixels
_OVERSAMPLING = 2  # of plates
_UNI_IS_LIGHTER = 150  # its strokes at a weight, against those of the other faces
_WIDEST = 1.6  # how much wider than natural free text is spread over a given image
_NARROWEST = 0.5
_NARROWEST_LETTERS = 0.5  # of their natural width, in the longest texts
_NARROWEST_ROUNDED = 0.75  # the same, for the sake of whole steps


@dataclass(frozen=True)
class LineInk:
    """A free text's ink at the size that fonts are drawn, and its x-height, pixels."""

    coverage: Pixels  # (h, w)
    x_height: int


def line_fonts() -> tuple[Font, ...]:
    """The fonts of free text: built-in faces, and serif and sans files."""
    return (*DEFAULT_FONTS, *book_fonts())


@lru_cache(maxsize=4096)  # a line's width is asked for to choose its image and to draw it
def line_width(text: str, height: int = 32) -> int:
    """Width of the image that a free text needs, pixels: a multiple of 8.

    Raises:
        GlyphError: the text cannot be drawn.
        LabelError: it needs more than ``LONGEST_LINE`` heights.
    """
    check_line(text)
    glyphs = _glyphs(Font())
    _, (left, top, right, bottom) = _set_line(text, glyphs, 0.0)
    scale = _ink_scale(bottom - top, glyphs.x_height, height)
    ink, margins = (right - left) * scale, 2 * _INK_MARGIN * height
    natural, limit = ink + margins, LONGEST_LINE * height
    if natural > limit / _NARROWEST_LETTERS:
        raise LabelError(
            f"a text may be {limit} pixels wide at height {height}, got {text[:MOST_SHOWN]!r}, "
            f"which needs {round(natural * _NARROWEST_LETTERS)} with narrow letters; shorten it."
        )
    width = _WIDTH_STEP * max(1, round(natural / _WIDTH_STEP))
    if width - margins < _NARROWEST_ROUNDED * ink:  # next to nothing would be left of an i
        width += _WIDTH_STEP
    return min(width, limit)


def draw_contents(
    texts: Sequence[str],
    layout: Layout | None = None,
    *,
    size: tuple[int, int],
    seed: int = 0,
    looks: Sequence[int] | NDArray[np.integer] | None = None,
    fonts: Sequence[Font] | None = None,
) -> Pixels:
    """Draw texts as clean ink, white on black.

    Args:
        texts: N texts; for free text give those of one ``line_width`` together.
        layout: where characters stand; None or one without positions is free text.
        size: (H, W), pixels. Free text is spread over W, at most to 1.6 times its own width.
        seed: draws the font of each text, from (seed, its row).
        looks: (N,) instead: which of the fonts, counted round and round; so a text's content
            does not depend on its row.
        fonts: PLATE_FONTS or ``line_fonts()`` where None. A character that a font lacks is taken
            from the built-in ``uni``.

    Returns:
        (N, H, W, 1) uint8, ink coverage: 0 = none, 255 = full.

    Raises:
        LabelError: a text that the layout does not allow, or too long for W.
        GlyphError: a text that cannot be drawn.
    """
    height, width = size
    is_free = layout is None or layout.is_free
    chosen = tuple(fonts) if fonts is not None else line_fonts() if is_free else PLATE_FONTS
    if looks is None:
        looks = np.random.default_rng(seed).integers(len(chosen), size=len(texts))
    plates = None if layout is None or layout.is_free else PlateInk(layout, size)
    contents = np.empty((len(texts), height, width, 1), np.uint8)
    for row, (text, look) in enumerate(zip(texts, looks, strict=True)):
        font = chosen[int(look) % len(chosen)]
        if plates is None:
            check_line(text)
            contents[row, ..., 0] = _spread(text, font, height, width)
        else:
            check_plate(text, plates.layout)
            contents[row, ..., 0] = plates(text, font)
    return contents


class PlateInk:
    """Draws each character of a plate into its box, with the layout's dots.

    What it has drawn once it only puts together.
    """

    def __init__(self, layout: Layout, size: tuple[int, int]) -> None:
        """Draw the dots.

        Args:
            layout: with positions.
            size: (H, W) of the plates, pixels.
        """
        assert layout.size is not None
        self.layout = layout
        height, width = size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING
        edges = (layout.boxes() * (width, height, width, height)).round().astype(int)
        self._boxes: list[tuple[int, int, int, int]] = [tuple(box) for box in edges.tolist()]
        self._drawn: dict[Font, dict[tuple[int, str], _Patch]] = {}
        canvas = np.zeros((height, width), np.uint8)
        scale_x, scale_y = width / layout.size[0], height / layout.size[1]
        for dot in layout.dots:
            centre = (round(dot.centre[0] * scale_x), round(dot.centre[1] * scale_y))
            radii = (max(1, round(dot.radius * scale_x)), max(1, round(dot.radius * scale_y)))
            cv2.ellipse(canvas, centre, radii, 0, 0, 360, 255, cv2.FILLED)
        self._dots = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA)

    def __call__(self, text: str, font: Font) -> Pixels:
        """Draw a text that the layout allows: (H, W) uint8 coverage; nothing in an empty place."""
        drawn = self._drawn.setdefault(font, {})
        plate: Pixels = self._dots.copy()
        for item in enumerate(text):
            if item[1] == EMPTY_PLACE:
                continue
            patch = drawn.get(item)
            if patch is None:
                patch = drawn[item] = self._draw(*item, font)
            part = plate[patch.rows, patch.columns]
            cv2.add(part, patch.ink, dst=part)
        return plate

    def _draw(self, place: int, character: str, font: Font) -> "_Patch":
        left, top, right, bottom = self._boxes[place]
        box = (max(bottom - top, 1), max(right - left, 1))
        rows = slice(top // _OVERSAMPLING, -(-(top + box[0]) // _OVERSAMPLING))
        columns = slice(left // _OVERSAMPLING, -(-(left + box[1]) // _OVERSAMPLING))
        size = (rows.stop - rows.start, columns.stop - columns.start)
        canvas = np.zeros((size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING), np.uint8)
        above, before = top % _OVERSAMPLING, left % _OVERSAMPLING
        glyph = _plate_glyphs(font, box)[character]
        canvas[above : above + box[0], before : before + box[1]] = glyph
        return _Patch(rows, columns, cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA))


def line_ink(text: str, font: Font, spacing: float = 0.0) -> LineInk:
    """Put a free text together from its characters' ink.

    Args:
        text: a drawable one.
        font: what to draw with; characters that it lacks come from ``uni``.
        spacing: added between characters, as a share of the font size.

    Returns:
        The ink, cropped.
    """
    glyphs = _glyphs(font)
    placed, (left, top, right, bottom) = _set_line(text, glyphs, spacing)
    canvas = np.zeros((bottom - top, right - left), np.uint8)
    for x, glyph in placed:
        first = -glyph.above - top
        place = canvas[first : first + glyph.height, x - left : x - left + glyph.width]
        np.maximum(place, glyph.ink, out=place)
    return LineInk(canvas, glyphs.x_height)


def _set_line(
    text: str, glyphs: "_Glyphs", spacing: float
) -> tuple[list[tuple[int, "_Glyph"]], tuple[int, int, int, int]]:
    """Set a free text: the left edge of each character's ink, and left, top, right, bottom of all.

    Counted from the start of the baseline, pixels.
    """
    placed, origin, gap = [], 0.0, spacing * _FONT_SIZE
    rights, tops, bottoms = [], [], []
    for character in text:
        glyph = glyphs[character]
        if glyph.width:  # not a space
            x = round(origin + (glyph.advance - glyph.width) / 2)
            placed.append((x, glyph))
            rights.append(x + glyph.width)
            tops.append(-glyph.above)
            bottoms.append(glyph.height - glyph.above)
        origin += glyph.advance + gap
    left = min(x for x, _ in placed)
    return placed, (left, min(tops), max(rights), max(bottoms))


def _spread(text: str, font: Font, height: int, width: int) -> Pixels:
    """Draw free text over the width of an image, (height, width) uint8."""
    natural = line_width(text, height)
    if width < _NARROWEST * natural:
        raise LabelError(
            f"{text!r} needs {natural} pixels of width at height {height}, got {width}; "
            "shorten it or widen the image."
        )
    ink = line_ink(text, font)
    scale = _ink_scale(ink.coverage.shape[0], ink.x_height, height)
    taken = min(width, _WIDEST * natural)
    ink_height = int(np.clip(round(ink.coverage.shape[0] * scale), 1, height))
    ink_width = taken * (1 - 2 * _INK_MARGIN * height / natural)
    ink_width = min(ink_width, _WIDEST * scale * ink.coverage.shape[1])
    ink_width = max(1, round(ink_width))
    small = cv2.resize(ink.coverage, (ink_width, ink_height), interpolation=cv2.INTER_AREA)
    top, left = (height - ink_height) // 2, (width - ink_width) // 2
    picture = np.zeros((height, width), np.uint8)
    picture[top : top + ink_height, left : left + ink_width] = small
    return picture


def _ink_scale(ink_height: int, x_height: int, height: int) -> float:
    """Pixels of the image for one of the ink: full height, but marks no larger than letters."""
    return _INK_HEIGHT * height / max(ink_height, x_height)


class _Patch(NamedTuple):
    """A character of a plate, where it stands."""

    rows: slice
    columns: slice
    ink: Pixels  # (h, w)


class _Glyph(NamedTuple):
    """A character of free text."""

    ink: Pixels  # (h, w); (0, 0) of a space
    above: int  # rows above the baseline
    advance: int  # pixels to the next character
    height: int
    width: int


class _Glyphs(dict[str, _Glyph]):
    """The characters of one font, each drawn when it is first needed."""

    def __init__(self, font: Font) -> None:
        super().__init__()
        self.font = font
        self.x_height = draw_ink("x", _able("x", font), _FONT_SIZE)[0].shape[0]

    def __missing__(self, character: str) -> _Glyph:
        font = _able(character, self.font)
        advance = advance_width(character, font, _FONT_SIZE)
        ink, above = draw_ink(character, font, _FONT_SIZE)
        if character == " ":
            ink = np.zeros((0, 0), np.uint8)
        height, width = ink.shape
        glyph = _Glyph(ink, above, max(advance, width), height, width)
        return self.setdefault(character, glyph)


class _PlateGlyphs(dict[str, Pixels]):
    """The characters of one font filling boxes of one size (height, width)."""

    def __init__(self, font: Font, box: tuple[int, int]) -> None:
        super().__init__()
        self.font, self.box = font, box

    def __missing__(self, character: str) -> Pixels:
        font = _able(character, self.font)
        drawn = draw_label(character, self.box, font, margin=0.0, stretch=True)[..., 0]
        return self.setdefault(character, drawn)


_glyphs = lru_cache(maxsize=128)(_Glyphs)
_plate_glyphs = lru_cache(maxsize=1024)(_PlateGlyphs)


def _able(character: str, font: Font) -> Font:
    """The font, or the built-in ``uni`` where it lacks the character or slashes the zero."""
    if font.path is None and font.face != "uni" and character == "0":
        return Font(weight=min(font.weight + _UNI_IS_LIGHTER, 1000))
    if character == " ":
        return font
    return font if find_fault(character, font) is None else Font(weight=font.weight)
