"""Lines of text rendered by fonts in the look of real ones: the arm a line generator has to beat.

A text is drawn into the place that a real line's text had, in its colour and blur, over its
ground, then photographed again. Part of the looks is made up, so that colours without real
images occur too.

An image depends on (seed, index, text, size) alone, not on what is rendered beside it.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.data.content import Font
from augment.data.drawable import check_alphabets, check_plate
from augment.data.layouts import Layout
from augment.data.line_camera import (
    Draws,
    from_unit,
    keep_inside,
    photograph,
    random_view,
    soften,
    to_unit,
)
from augment.data.line_looks import Look, made_looks, measure_looks
from augment.data.lines import (
    LONGEST_LINE,
    PLATE_FONTS,
    PlateInk,
    line_fonts,
    line_ink,
    line_width,
)
from augment.errors import ConfigError
from augment.images import Pixels

__all__ = ["LineRenderer"]

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

_MADE_LOOKS = 256
_MADE_SHARE = 0.15  # of images whose look is made up although there are real ones
_WORD_VIEW, _PLATE_VIEW = 0.02, 0.03  # spread of the changes of view
_WORD_MARGIN = 0.08  # heights
_LEAST_CONTRAST = 25.0  # levels between ink and ground
_TURNS = np.array([[2, 0, 1], [1, 2, 0]])  # of the three channels
_SQUARE = np.ones((2, 2), np.uint8)
_DISK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


class LineRenderer:
    """Draws any text of a layout in the look of given real images."""

    def __init__(
        self,
        layout: Layout,
        style_images: Sequence[Pixels] = (),
        *,
        channels: int = 3,
        fonts: Sequence[Font] | None = None,
    ) -> None:
        """Measure the real images.

        Args:
            layout: of plates, or free text.
            style_images: (H, W, channels) uint8 each, of any size: real training images, of
                which only the look is used. Without any, all looks are made up.
            channels: 1 or 3.
            fonts: PLATE_FONTS or ``line_fonts()`` where None.

        Raises:
            ConfigError: another number of channels.
            DataError: a style image of another shape.
            GlyphError: the layout has characters that cannot be drawn.
        """
        if channels not in (1, 3):
            raise ConfigError(f"channels must be 1 or 3, got {channels}.")
        check_alphabets(layout)
        self.layout = layout
        self.channels = channels
        self.fonts = tuple(fonts or (line_fonts() if layout.is_free else PLATE_FONTS))
        if channels == 1:
            style_images = [np.repeat(image, 3, axis=-1) for image in style_images]
        self.real_looks = measure_looks(style_images, layout)
        self._corners = _ink_corners(layout)
        self._plates: dict[tuple[int, int], PlateInk] = {}
        self._made_looks = made_looks(layout, _MADE_LOOKS, np.random.default_rng(0))

    def __call__(
        self, texts: Sequence[str], seed: int, size: tuple[int, int], *, first: int = 0
    ) -> Pixels:
        """Render one image a text, all of one size.

        Args:
            texts: N texts.
            seed: equal seed, index and text give equal images.
            size: (H, W), pixels.
            first: index of the first text; the others follow.

        Returns:
            (N, H, W, channels) uint8.

        Raises:
            LabelError: a text that the layout does not allow, or too long for a line.
            GlyphError: a text that cannot be drawn.
        """
        images = np.empty((len(texts), *size, self.channels), np.uint8)
        for row, text in enumerate(texts):
            self._check(text, size[0])
            images[row] = self._render(text, size, Draws(seed, first + row))
        return images

    def render_line(self, text: str, seed: int, height: int, *, index: int = 0) -> Pixels:
        """Render one text at about the width it needs, as ``__call__`` otherwise.

        Args:
            text: what to draw.
            seed: with ``index``, of the random draws.
            height: pixels.
            index: of the image.

        Returns:
            (height, w, channels) uint8; of a plate, w follows from the layout.
        """
        natural = self._check(text, height)
        draws = Draws(seed, index)
        if self.layout.size is not None:
            width = round(height * self.layout.size[0] / self.layout.size[1])
        else:
            natural = round(natural * math.exp(draws.normal(0.0, 0.18)))
            width = min(max(natural, height // 2), LONGEST_LINE * height)
        return self._render(text, (height, width), draws)

    def _check(self, text: str, height: int) -> int:
        """Check a text; return the width that it needs as free text, else 0."""
        if self.layout.is_free:
            return line_width(text, height)
        check_plate(text, self.layout)
        return 0

    def _render(self, text: str, size: tuple[int, int], draws: Draws) -> Pixels:
        """Draw one image, (H, W, channels)."""
        made = not self.real_looks or draws.happens(_MADE_SHARE)
        looks = self._made_looks if made else self.real_looks
        look = looks[draws.below(len(looks))]
        font = self.fonts[draws.below(len(self.fonts))]
        if self.layout.is_free:
            ink, x_height = _set_word(text, font, draws)
            pose = look.pose @ _word_place(ink, x_height, look.pose[1, 1], size, draws)
            view = random_view(_WORD_VIEW, draws)
        else:
            ink = self._plate_ink(size)(text, font)
            pose = look.pose
            view = random_view(_PLATE_VIEW, draws)
        seen = from_unit(size) @ keep_inside(view, pose, self._corners)
        ground = cv2.warpPerspective(
            look.ground,
            seen @ to_unit(look.ground.shape),
            size[::-1],
            borderMode=cv2.BORDER_REPLICATE,
        )
        ink = _change_strokes(ink, draws)
        coverage = cv2.warpPerspective(ink, seen @ pose @ to_unit(ink.shape), size[::-1])
        picture = photograph(self._paint(ground, coverage, look, draws), look.noise, draws)
        if self.channels == 1:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
        return picture

    def _paint(self, ground: Pixels, coverage: Pixels, look: Look, draws: Draws) -> Floats:
        """Lay the ink, and under words now and then a rim or a shadow, over the ground."""
        behind = look.middle
        # Blur has dimmed the strokes that were measured: it will dim these once more.
        colour = behind + (look.ink - behind) * draws.uniform(1.0, 1.3)
        colour += [8 * change for change in draws.normals(3)]
        blur = look.blur * ground.shape[0] * draws.uniform(0.5, 1.1)
        if self.layout.is_free and draws.happens(0.25):  # other colours, as far from each other
            order = _TURNS[draws.below(2)]
            ground, colour, behind = ground.take(order, axis=2), colour[order], behind[order]
        if cv2.norm(colour, behind, cv2.NORM_L1) < 3 * _LEAST_CONTRAST:
            colour += np.sign(colour.mean() - behind.mean()) * 1.5 * _LEAST_CONTRAST
        image = ground.astype(np.float32)
        if self.layout.is_free and draws.happens(0.12):
            if draws.happens(0.5):
                below = cv2.dilate(coverage, _DISK)
            else:
                below = np.roll(coverage, (1 + draws.below(2), 1 + draws.below(2)), (0, 1))
            rim = behind + (behind - colour) * draws.uniform(0.3, 0.9)
            image = _blend(image, below, np.clip(rim, 0, 255), blur)
        return _blend(image, coverage, colour, blur)

    def _plate_ink(self, size: tuple[int, int]) -> PlateInk:
        """What draws the ink of plates of one size: at twice that size, as it will be tilted."""
        drawer = self._plates.get(size)
        if drawer is None:
            drawer = self._plates[size] = PlateInk(self.layout, (2 * size[0], 2 * size[1]))
        return drawer


def _ink_corners(layout: Layout) -> Matrix:
    """Corners (3, 4) of the ink in the unit square that a text is drawn in: across, down and 1."""
    left, top, right, bottom = 0.0, 0.0, 1.0, 1.0  # of a word, whose ink is cropped
    if not layout.is_free:
        boxes = layout.boxes()
        (left, top), (right, bottom) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return np.array([[left, right, left, right], [top, top, bottom, bottom], [1, 1, 1, 1]])


def _blend(image: Floats, coverage: Pixels, colour: Floats, blur: float) -> Floats:
    """Paint (H, W, 3) with a colour where (H, W) coverage, blurred by some pixels, says so."""
    share = coverage.astype(np.float32)
    if blur > 0.25:
        share = soften(share, blur)
    change = cv2.subtract(image, (*colour.tolist(), 0.0))
    change *= cv2.cvtColor(share, cv2.COLOR_GRAY2RGB)
    painted: Floats = cv2.scaleAdd(change, -1 / 255, image)
    return painted


def _change_strokes(ink: Pixels, draws: Draws) -> Pixels:
    """Widen or thin strokes now and then."""
    choice = draws.uniform(0, 1)
    if choice < 0.15:
        ink = cv2.erode(ink, _SQUARE)
    elif choice > 0.7:
        ink = cv2.dilate(ink, _SQUARE)
    return ink


def _set_word(text: str, font: Font, draws: Draws) -> tuple[Pixels, int]:
    """Set a word with some spacing, slant and bow: its ink (h, w), and the x-height, pixels."""
    spacing = max(draws.normal(0.0, 0.06), -0.05)
    if draws.happens(0.12):
        spacing += draws.uniform(0.1, 0.5)
    ink = line_ink(text, font, spacing)
    coverage = ink.coverage
    if draws.happens(0.2):
        coverage = _slant(coverage, draws.uniform(-0.15, 0.3))
    if draws.happens(0.12):
        coverage = _bow(coverage, draws.uniform(-0.35, 0.35))
    return coverage, ink.x_height


def _slant(ink: Pixels, shear: float) -> Pixels:
    """Shear (h, w) by shares of its height."""
    height, width = ink.shape
    wide = width + round(abs(shear) * height)
    move = np.array([[1, -shear, max(shear, 0) * height], [0, 1, 0]])
    slanted: Pixels = cv2.warpAffine(ink, move, (wide, height))
    return slanted


def _bow(ink: Pixels, rise: float) -> Pixels:
    """Bend a line (h, w) up or down in its middle, by shares of its height."""
    height, width = ink.shape
    tall = height + round(abs(rise) * height)
    along = np.linspace(-1, 1, width, dtype=np.float32) ** 2
    fall = np.float32(rise * height) * along + np.float32(max(-rise, 0.0) * height)
    map_x = np.tile(np.arange(width, dtype=np.float32), (tall, 1))
    map_y = np.arange(tall, dtype=np.float32)[:, None] - fall
    bowed: Pixels = cv2.remap(ink, map_x, map_y, cv2.INTER_LINEAR)
    return bowed


def _word_place(
    ink: Pixels, x_height: int, share: float, size: tuple[int, int], draws: Draws
) -> Matrix:
    """Place a word in the unit square of its look's text: as wide as reads well, marks small.

    Args:
        ink: (h, w).
        x_height: of its font, pixels of the ink.
        share: of the image's height that the look's text has.
        size: (H, W) of the image.
        draws: of the place, where there is room.
    """
    height, width = size
    tall = min(1.0, ink.shape[0] / max(x_height, 1))
    natural = ink.shape[1] / ink.shape[0] * tall * share * height
    room = width - 2 * _WORD_MARGIN * height
    wide = min(max(room, 0.5 * natural), 1.4 * natural, room) / width
    free = room / width - wide
    left = (1 - wide) / 2 + draws.uniform(-0.5, 0.5) * free
    top = (1 - tall) * draws.uniform(0.3, 0.9)
    return np.array([[wide, 0, left], [0, tall, top], [0, 0, 1.0]])
