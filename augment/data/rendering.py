"""Characters rendered by fonts in the look of real ones: the arm a generator has to beat.

Everything a font engine can imitate is measured on real training images and drawn from there:
which fonts, slants and stroke widths fit, where the glyph lies, colours, background, blur,
noise, neighbouring letters at the sides. Labels of those images are not needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.data.content import DEFAULT_FONTS, Font, book_fonts, check_drawable, draw_ink
from augment.data.style import measure_styles, to_template
from augment.errors import DataError, LabelError
from augment.images import Pixels

__all__ = ["CharacterRenderer"]

Floats = NDArray[np.float32]

_FONT_SIZE = 96  # pixels; glyphs are kept at half of it and shrunk to the image
_MASTER_SIDE = 64  # pixels of a kept glyph, whatever its proportions
_PAD = 8  # pixels of nothing round a kept glyph, for widened strokes
_SHEARS = (-0.3, -0.15, 0.0, 0.15, 0.3)  # slants tried: shift of the top by shares of the height
_TILTS = (-0.2, 0.0, 0.2)  # fall of the right side by shares of the width
_SAME_TYPEFACE = 0.7  # chance that font and strokes come from the image that gives the colours
_ANY_FONT = 0.1  # chance of a font that need not fit
_POPULARITY = 0.02  # likeness that an e-fold more frequent font or slant is worth
_MAX_STYLE_BYTES = 8 << 20  # real images beyond this are left out of the measurement
_FONT_LIKENESS = 0.945  # likeness that well segmented print reaches and handwriting does not
_BEND_RANGE = (0.008, 0.045)  # share of the height by which strokes are displaced
_DISTRUSTED = 0.35  # share of real images, those least like any glyph, whose ink was not found
_MAX_FITTED_CLASSES = 64
_CRISP_BLUR = 0.74  # pixels; what measuring the edges of a crisp image gives
_BLUR_GAIN = 1.5  # thin strokes fade when blurred, so that their edges measure too steep


class CharacterRenderer:
    """Draws any of its classes in the look of given real images."""

    def __init__(
        self,
        classes: Sequence[str],
        image_size: tuple[int, int],
        channels: int,
        style_images: Pixels,
        *,
        fonts: Sequence[Font] | None = None,
    ) -> None:
        """Measure the real images and draw the glyphs.

        Args:
            classes: label texts.
            image_size: (H, W), pixels.
            channels: 1 or 3.
            style_images: (N, H, W, channels) real training images; only their look is used.
            fonts: candidates; DEFAULT_FONTS and ``book_fonts()`` where None.

        Raises:
            GlyphError: a class that no font can draw.
            DataError: no style images, or of another shape.
        """
        if style_images.shape[1:] != (*image_size, channels) or not len(style_images):
            raise DataError(
                f"expected style images of shape (N, {image_size[0]}, {image_size[1]}, {channels}) "
                f"with N > 0, got {style_images.shape}."
            )
        self.classes = tuple(classes)
        self.image_size = image_size
        self.channels = channels
        chosen = (*DEFAULT_FONTS, *book_fonts()) if fonts is None else tuple(fonts)
        for label in self.classes:
            check_drawable(label, Font())
        inks = [[draw_ink(label, font, _FONT_SIZE)[0] for font in chosen] for label in self.classes]
        self._aspects = np.array([[ink.shape[1] / ink.shape[0] for ink in row] for row in inks])
        self._masters = np.stack([np.stack([_to_master(ink) for ink in row]) for row in inks])
        height, width = image_size
        self._across = ((np.arange(2 * width, dtype=np.float32) + 0.5) / 2)[None]
        self._down = ((np.arange(2 * height, dtype=np.float32) + 0.5) / 2)[:, None]
        step = -(-style_images.nbytes // _MAX_STYLE_BYTES)
        self._style = measure_styles(style_images[::step])
        self._fit(inks)

    def __call__(self, labels: NDArray[np.int64], seed: int) -> Pixels:
        """Render one image a label.

        Args:
            labels: (N,) indices into the classes.
            seed: equal labels and seed give equal images.

        Returns:
            (N, H, W, C) uint8.

        Raises:
            LabelError: a label outside the classes.
        """
        labels = np.asarray(labels, np.int64)
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(self.classes)):
            raise LabelError(
                f"labels must be in [0, {len(self.classes) - 1}], "
                f"got {labels.min()} to {labels.max()}."
            )
        rng = np.random.default_rng(seed)
        images = np.empty((len(labels), *self.image_size, self.channels), np.uint8)
        for row, label in enumerate(labels):
            images[row] = self._render(int(label), rng)
        return images

    def _fit(self, inks: list[list[NDArray[np.uint8]]]) -> None:
        """Learn from the real images which fonts, slants, widths and strokes to use."""
        step = -(-len(inks) // _MAX_FITTED_CLASSES)
        masters = self._masters[::step]
        slants = [(shear, tilt) for shear in _SHEARS for tilt in _TILTS]
        templates = np.stack(
            [
                to_template(_slanted(ink, *slant))
                for row in inks[::step]
                for ink in row
                for slant in slants
            ]
        )
        shape = (*masters.shape[:2], len(slants))
        likeness = self._style.templates @ templates.T
        best = likeness.max(axis=1)
        trusted = best >= np.quantile(best, _DISTRUSTED)
        self._style = self._style.keep(trusted)
        label, font, slant = np.unravel_index(_most_plausible(likeness[trusted], shape), shape)
        self._fonts = font
        self._slants = np.array(slants)[slant]
        self._widening = _stroke_change(masters[label, font], self._style.density)
        self._least_height = 0.75 * float(np.median(self._style.boxes[:, 3]))
        self._neighbour_odds = self._style.neighbours.mean(axis=0)
        # Glyph proportions, on the log scale: the real images' centre and spread.
        real = np.log(self._style.boxes[:, 2] / self._style.boxes[:, 3])
        drawn = np.log(self._aspects)
        spread = np.clip(_middle_half(real) / _middle_half(drawn), 0.3, 1.0)
        self._log_aspects = np.median(real) + spread * (drawn - np.median(drawn))
        # No font resembles handwriting: bend strokes the more, the poorer even good fits are.
        good_fit = float(np.quantile(best[trusted], 0.85))
        self._bend = float(np.clip(_FONT_LIKENESS - good_fit, *_BEND_RANGE))

    def _render(self, label: int, rng: np.random.Generator) -> Pixels:
        """Draw one character, and now and then its neighbours, in the look of one real image."""
        look = int(rng.integers(len(self._style)))
        pose = self._draw_pose(label, look, rng)
        coverage = self._place(label, pose, rng)
        for side, odds in zip((-1, 1), self._neighbour_odds, strict=True):
            if rng.random() < odds:
                other = int(rng.integers(len(self.classes)))
                width = self._width(other, pose.font, pose.height)
                distance = side * ((pose.width + width) / 2 + rng.uniform(0.05, 0.25) * pose.height)
                beside = replace(
                    pose, x=pose.x + distance, y=pose.y + distance * pose.tilt, width=width
                )
                coverage = np.maximum(coverage, self._place(other, beside, rng))
        return self._paint(coverage, look, rng)

    def _draw_pose(self, label: int, look: int, rng: np.random.Generator) -> "_Pose":
        """Choose font, strokes, slant and place as in real image ``look``, a little varied."""
        rows, columns = self.image_size
        typeface = look if rng.random() < _SAME_TYPEFACE else int(rng.integers(len(self._fonts)))
        font = int(self._fonts[typeface])
        if rng.random() < _ANY_FONT:
            font = int(rng.integers(self._masters.shape[1]))
        shear, tilt = self._slants[look] + rng.normal(0, 0.05, 2)
        centre_x, centre_y, _, ink_height = self._style.boxes[look]
        height = float(np.clip(ink_height, self._least_height, rows)) * rng.uniform(0.94, 1.04)
        width = self._width(label, font, height) * float(np.exp(rng.normal(0, 0.08)))
        width = float(np.clip(width, 2.0, 1.02 * columns))
        slack = max(0.0, (columns - width) / 2)
        x = float(np.clip(centre_x, columns / 2 - slack, columns / 2 + slack))
        y = float(np.clip(centre_y, 0.42 * rows, 0.58 * rows))
        return _Pose(
            font=font,
            x=x + rng.normal(0, 0.015) * columns,
            y=y + rng.normal(0, 0.01) * rows,
            width=width,
            height=height,
            shear=float(shear),
            tilt=float(tilt),
            widening=float(self._widening[typeface]),
            bend=self._bend * rng.uniform(0.3, 1.3) * rows,
        )

    def _width(self, label: int, font: int, height: float) -> float:
        return height * float(np.exp(self._log_aspects[label, font]))

    def _place(self, label: int, pose: "_Pose", rng: np.random.Generator) -> Floats:
        """Coverage 0..1 of (H, W) by a glyph: sampled at twice the size, then averaged."""
        height, width = self.image_size
        master: NDArray[np.uint8] = self._masters[label, pose.font]
        amount = int(np.floor(pose.widening + rng.random()))
        if amount:
            side = abs(amount) + 1
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
            master = (cv2.dilate if amount > 0 else cv2.erode)(master, kernel)
        glyph_width = max(pose.width - 0.7 * abs(pose.shear) * pose.height, 0.5 * pose.width)
        glyph_height = max(pose.height - 0.7 * abs(pose.tilt) * pose.width, 0.5 * pose.height)
        forward = np.array(
            [[glyph_width, -pose.shear * glyph_height], [pose.tilt * glyph_width, glyph_height]]
        )
        backward = (np.linalg.inv(forward) * _MASTER_SIDE).astype(np.float32)
        waves = rng.normal(0, pose.bend, (2, 4, 4)).astype(np.float32)
        double = (2 * width, 2 * height)
        across = self._across + cv2.resize(waves[0], double, interpolation=cv2.INTER_CUBIC)
        down = self._down + cv2.resize(waves[1], double, interpolation=cv2.INTER_CUBIC)
        across -= np.float32(pose.x)
        down -= np.float32(pose.y)
        offset = np.float32(_MASTER_SIDE / 2 - 0.5 + _PAD)
        map_x = backward[0, 0] * across + backward[0, 1] * down + offset
        map_y = backward[1, 0] * across + backward[1, 1] * down + offset
        large = cv2.remap(master, map_x, map_y, cv2.INTER_LINEAR)
        small = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
        coverage: Floats = small.astype(np.float32) / 255
        return coverage

    def _paint(self, coverage: Floats, look: int, rng: np.random.Generator) -> Pixels:
        """Lay ink over the ground of a real image, with its blur, and shading and noise."""
        style, (height, width) = self._style, self.image_size
        ground = style.grounds[look].astype(np.float32) + np.float32(rng.normal(0, 4))
        ink = style.ink[look] + rng.normal(0, 6, self.channels).astype(np.float32)
        image = ground + coverage[..., None] * (ink - ground)
        measured = min(float(style.blur[look]), 0.12 * height)
        blur = _BLUR_GAIN * float(np.sqrt(max(measured**2 - _CRISP_BLUR**2, 0.0)))
        if blur > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), blur).reshape(ground.shape)
        slope_x, slope_y = rng.normal(0, 0.06, 2)
        shade = 1 + np.add.outer(
            slope_y * np.linspace(-1, 1, height), slope_x * np.linspace(-1, 1, width)
        )
        noise = rng.standard_normal(image.shape, np.float32) * style.noise[look]
        painted = image * shade[..., None].astype(np.float32) + noise
        finished: Pixels = np.clip(painted.round(), 0, 255).astype(np.uint8)
        return finished


@dataclass(frozen=True)
class _Pose:
    """How one glyph stands in an image; lengths in pixels, slants as ``_SHEARS``, ``_TILTS``."""

    font: int
    x: float
    y: float
    width: float
    height: float
    shear: float
    tilt: float
    widening: float  # of strokes, in pixels of the kept glyph
    bend: float  # standard deviation of random displacement


def _to_master(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring a glyph's ink to the common size, whatever its proportions."""
    side = (_MASTER_SIDE, _MASTER_SIDE)
    return np.pad(cv2.resize(ink, side, interpolation=cv2.INTER_AREA), _PAD)


def _slanted(ink: NDArray[np.uint8], shear: float, tilt: float) -> NDArray[np.uint8]:
    """Shear an ink picture and crop it to its ink again."""
    height, width = ink.shape
    pad_x, pad_y = int(abs(shear) * height) + 1, int(abs(tilt) * width) + 1
    move = np.array(
        [
            [1, -shear, pad_x + shear * height / 2],
            [tilt, 1, pad_y - tilt * width / 2],
        ]
    )
    canvas: NDArray[np.uint8] = cv2.warpAffine(ink, move, (width + 2 * pad_x, height + 2 * pad_y))
    left, top, ink_width, ink_height = cv2.boundingRect(canvas)
    return canvas[top : top + ink_height, left : left + ink_width]


def _most_plausible(likeness: Floats, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Choose a (label, font, slant) for each real image, favouring fonts and slants often chosen.

    Args:
        likeness: (n, product of shape) how like each candidate is to each image.
        shape: labels, fonts, slants.

    Returns:
        (n,) flat index into ``shape``.
    """
    _, fonts, slants = np.unravel_index(likeness.argmax(axis=1), shape)
    bonus = np.zeros(shape, np.float32)
    bonus += _POPULARITY * np.log(np.bincount(fonts, minlength=shape[1]) + 1)[None, :, None]
    bonus += _POPULARITY * np.log(np.bincount(slants, minlength=shape[2]) + 1)
    return np.asarray((likeness + bonus.ravel()).argmax(axis=1))


def _stroke_change(masters: NDArray[np.uint8], density: Floats) -> Floats:
    """Pixels by which strokes are wider than the font's: the missing ink along its outline."""
    ink = masters.astype(np.float32) / 255
    outline = np.abs(np.diff(ink, axis=1)).sum((1, 2)) + np.abs(np.diff(ink)).sum((1, 2))
    missing = density * _MASTER_SIDE**2 - ink.sum((1, 2))
    change: Floats = np.clip(missing / outline, -2.5, 5.0)
    return change


def _middle_half(values: NDArray[np.floating]) -> float:
    """The range of the middle half of the values, never quite zero."""
    low, high = np.quantile(values, (0.25, 0.75))
    return float(high - low) + 0.02
