"""What lines of text look like: ground without its text, where the text stood, colour, blur, noise.

Looks are measured on real images, whose old text is found by thresholding and painted out, or
made up: plates from the layout's colours, words from random ones. Texts of the real images are
not needed. On a plate the place of the text is found by fitting the layout's boxes to the ink.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.data.layout_parts import Dot, Scheme
from augment.data.layouts import Layout
from augment.data.line_camera import from_unit
from augment.data.lines import PLATE_FONTS, PlateInk
from augment.data.style import edge_width, fine_noise, main_axis, solid_level
from augment.errors import DataError
from augment.images import Pixels, resize_image

__all__ = ["Look", "made_looks", "measure_looks"]

Floats = NDArray[np.float32]

LOOK_HEIGHT = 48
"""Pixels; grounds are kept at it."""

_CRISP_BLUR = 0.74  # pixels; what measuring the edges of a crisp image gives
_FIT_SIZE = (32, 96)  # pixels at which boxes are fitted to ink
_FIT_TEXTS = 24
_LEAST_FIT = 0.58  # correlation of ink and boxes below which a plate's text was not found
_REFINEMENT = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4)
_MOST_LEFT = 0.12  # of the contrast: roughness of a ground from which text was painted out
_LEAST_CONTRAST = 18.0  # levels between ink and ground
_WORD_INK = (0.06, 0.62)  # share of a word's image that is ink
_MOST_BORDER_INK = 0.3  # share of a word's border that its ink may touch
_WIDEST_LOOK = 8  # heights


@dataclass(frozen=True)
class Look:
    """How one line of text looks.

    Attributes:
        ground: (h, w, 3) uint8, the image without its text.
        pose: (3, 3) from the unit square of the text to that of the image.
        ink: (3,) colour of the strokes, 0..255.
        blur: standard deviation of the edges, as a share of the image's height.
        noise: standard deviation of fine noise, 0..255.
    """

    ground: Pixels
    pose: NDArray[np.float64]
    ink: Floats
    blur: float
    noise: float

    @cached_property
    def middle(self) -> Floats:
        """The ground's colour, (3,), along the image's middle row."""
        colour: Floats = self.ground[self.ground.shape[0] // 2].mean(axis=0, dtype=np.float32)
        return colour


def measure_looks(images: Sequence[Pixels], layout: Layout) -> list[Look]:
    """Measure real lines; those whose text is not found are left out.

    Args:
        images: (H, W, 3) uint8 each, of any size.
        layout: of the plates, or free text.

    Raises:
        DataError: an image of another shape.
    """
    fit = None if layout.is_free else _BoxFit(layout)
    looks = []
    for number, image in enumerate(images):
        if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < 4:
            raise DataError(
                f"expected style images of shape (H, W, 3) of at least 4 × 4 pixels, got "
                f"{image.shape} at index {number}; leave it out."
            )
        look = _measure_word(image) if fit is None else _measure_plate(image, fit)
        if look is not None:
            looks.append(look)
    return looks


def made_looks(layout: Layout, count: int, rng: np.random.Generator) -> list[Look]:
    """Make looks up: plates of the layout's colours as a camera may see them, or words."""
    if layout.is_free:
        return [_make_word(rng) for _ in range(count)]
    shares = np.array([scheme.share for scheme in layout.schemes])
    chosen = rng.choice(len(shares), size=count, p=shares / shares.sum())
    return [_make_plate(layout, layout.schemes[scheme], rng) for scheme in chosen]


class _BoxFit:
    """Finds the text of a plate: fits the layout's average ink to an image's ink."""

    def __init__(self, layout: Layout) -> None:
        assert layout.size is not None
        self.aspect = layout.size[0] / layout.size[1]
        rng = np.random.default_rng(0)
        texts = [layout.random_text(rng) for _ in range(_FIT_TEXTS)]
        draw = PlateInk(layout, _FIT_SIZE)
        inks = [draw(text, PLATE_FONTS[0]) for text in texts]
        self.template = cv2.GaussianBlur(np.mean(inks, axis=0).astype(np.float32), (0, 0), 1.0)
        self.boxes = layout.boxes()
        self.starts = [
            _about_centre(scale_x, scale_y, rise)
            for scale_x in (0.7, 0.8, 0.9, 1.0, 1.08)
            for scale_y in (0.7, 0.85, 1.0, 1.2)
            for rise in (-0.4, -0.25, -0.12, 0.0, 0.12, 0.25, 0.4)
        ]
        warped = [self._warp(start) for start in self.starts]
        self._rows = np.stack([_standardized(image) for image in warped])

    def __call__(self, ink: Floats) -> tuple[float, NDArray[np.float64]]:
        """Return the correlation and the pose, unit square of the plate to that of the image."""
        target = cv2.GaussianBlur(ink, (0, 0), 1.0)
        start = self.starts[int((self._rows @ _standardized(target)).argmax())]
        pixels = from_unit(_FIT_SIZE)
        matrix = (pixels @ start @ np.linalg.inv(pixels)).astype(np.float32)
        try:
            likeness, affine = cv2.findTransformECC(
                self.template, target, matrix[:2], cv2.MOTION_AFFINE, _REFINEMENT, None, 3
            )
        except cv2.error:  # it did not converge
            return 0.0, start
        fitted = np.vstack([affine, [0, 0, 1]]).astype(np.float64)
        return float(likeness), np.linalg.inv(pixels) @ fitted @ pixels

    def _warp(self, pose: NDArray[np.float64]) -> Floats:
        pixels = from_unit(_FIT_SIZE)
        matrix = pixels @ pose @ np.linalg.inv(pixels)
        warped: Floats = cv2.warpPerspective(self.template, matrix, _FIT_SIZE[::-1])
        return warped

    def text_area(self, pose: NDArray[np.float64], size: tuple[int, int]) -> Pixels:
        """Where characters may be: (h, w) of 0 and 1, the boxes a little widened."""
        left, top = self.boxes[:, 0].min() - 0.015, self.boxes[:, 1].min() - 0.05
        right, bottom = self.boxes[:, 2].max() + 0.015, self.boxes[:, 3].max() + 0.05
        corners = np.array([[[left, top], [right, top], [right, bottom], [left, bottom]]])
        moved = cv2.perspectiveTransform(corners, from_unit(size) @ pose)
        area = np.zeros(size, np.uint8)
        cv2.fillConvexPoly(area, moved[0].round().astype(np.int32), 1)
        return area


def _measure_plate(image: Pixels, fit: _BoxFit) -> Look | None:
    """Measure a plate; None where its text is not found."""
    size = (LOOK_HEIGHT, round(LOOK_HEIGHT * fit.aspect))
    small = resize_image(image, size)
    level = _level(small)
    even = level - cv2.GaussianBlur(level, (0, 0), LOOK_HEIGHT / 4)  # without shadows
    centre = even[LOOK_HEIGHT // 5 : -LOOK_HEIGHT // 5, size[1] // 12 : -size[1] // 12]
    threshold = _otsu(centre)
    side = 1.0 if (centre > threshold).mean() < 0.5 else -1.0  # letters cover less than half
    ink = side * even > side * threshold
    inked = side * centre > side * threshold
    if inked.all() or not inked.any():
        return None
    low, high = np.median(centre[~inked]), np.median(centre[inked])
    share = np.clip((even - low) / (high - low), 0, 1)  # unlike ``ink`` no wider for being blurred
    soft = cv2.resize(share, _FIT_SIZE[::-1], interpolation=cv2.INTER_AREA)
    likeness, pose = fit(soft)
    if likeness < _LEAST_FIT:
        return None
    area = fit.text_area(pose, size)
    return _finish(image, small, level, ink.astype(np.uint8) * area, area, pose)


def _measure_word(image: Pixels) -> Look | None:
    """Measure a word; None where its ink does not stand out."""
    height, width = image.shape[:2]
    wide = int(np.clip(round(LOOK_HEIGHT * width / height), 16, _WIDEST_LOOK * LOOK_HEIGHT))
    small = resize_image(image, (LOOK_HEIGHT, wide))
    level = _level(small)
    bright = level > _otsu(level)
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    ink = (bright if border.mean() < 0.5 else ~bright).astype(np.uint8)
    touching = min(border.mean(), 1 - border.mean())
    if not _WORD_INK[0] < ink.mean() < _WORD_INK[1] or touching > _MOST_BORDER_INK:
        return None
    rows = np.flatnonzero(ink.mean(axis=1) > 0.25 * ink.mean())
    top, bottom = rows[0] / LOOK_HEIGHT, (rows[-1] + 1) / LOOK_HEIGHT
    if bottom - top < 0.35:
        return None
    pose = np.array([[1, 0, 0], [0, bottom - top, top], [0, 0, 1.0]])
    return _finish(image, small, level, ink, np.ones_like(ink), pose)


def _finish(
    image: Pixels,
    small: Pixels,
    level: Floats,
    ink: Pixels,
    area: Pixels,
    pose: NDArray[np.float64],
) -> Look | None:
    """Measure ink and edges and paint the ink out; None where contrast is too weak."""
    free = (ink == 0) & (area == 1)
    if ink.sum() < 8 or free.sum() < 8:
        return None
    distance = np.abs(level - np.median(level[free]))
    contrast = solid_level(distance[ink == 1])
    if contrast < _LEAST_CONTRAST:
        return None
    colour = small[(ink == 1) & (distance >= contrast)].mean(axis=0)
    hole = cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    ground = cv2.inpaint(np.ascontiguousarray(small), hole, 3, cv2.INPAINT_TELEA)
    ground = np.where(hole[..., None], cv2.GaussianBlur(ground, (0, 0), 1.5), ground)
    if _roughness(_level(ground), area) > _MOST_LEFT * contrast:
        return None
    native = _level(image)
    blur = edge_width(native, contrast)  # in the image's own pixels
    blur = float(np.sqrt(max(min(blur, 3.0) ** 2 - _CRISP_BLUR**2, 0.0)))
    still = np.zeros(native.shape, np.uint8)
    return Look(
        ground=ground,
        pose=pose,
        ink=colour.astype(np.float32),
        blur=blur / image.shape[0],
        noise=min(fine_noise(image.astype(np.float32), still), 12.0),
    )


def _make_plate(layout: Layout, scheme: Scheme, rng: np.random.Generator) -> Look:
    """Draw an empty plate, tilted, before a car."""
    assert layout.size is not None
    height, width = LOOK_HEIGHT, round(LOOK_HEIGHT * layout.size[0] / layout.size[1])
    plate, alpha = _draw_plate(layout, scheme, (height, width), rng)
    light = rng.uniform(0.45, 1.1)
    colours = np.array([scheme.ground, scheme.ink], np.float32)
    tint = rng.normal(0, 14, 3).astype(np.float32)
    pose = _about_centre(rng.uniform(0.86, 1.02), rng.uniform(0.72, 1.0), rng.normal(0, 0.08))
    pose[0, 1] += rng.normal(0, 0.04)
    shift = np.eye(3)
    shift[:2, 2] = rng.normal(0, (0.01, 0.03))
    pose = shift @ pose
    pixels = from_unit((height, width))
    matrix = pixels @ pose @ np.linalg.inv(pixels)
    car = rng.uniform(10, 130) + rng.normal(0, 8, 3)
    behind = car + _clouds((height, width), rng)[..., None] * 25
    plate = cv2.warpPerspective(plate, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpPerspective(alpha, matrix, (width, height))[..., None] / 255
    seen = (plate + tint) * light + _clouds((height, width), rng)[..., None] * 6
    ground = behind + alpha * (seen - behind)
    return Look(
        ground=np.clip(ground, 0, 255).astype(np.uint8),
        pose=pose,
        ink=np.clip((colours[1] + tint) * light, 0, 255),
        blur=float(rng.uniform(0.0, 0.04)),
        noise=float(rng.uniform(0, 5)),
    )


def _draw_plate(
    layout: Layout, scheme: Scheme, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Floats, Pixels]:
    """Draw an empty plate (h, w, 3) and its shape (h, w)."""
    assert layout.size is not None
    height, width = size
    scale = height / layout.size[1]
    below = np.array(scheme.ground_below or scheme.ground, np.float32)
    fall = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    plate = np.broadcast_to((1 - fall) * scheme.ground + fall * below, (height, width, 3))
    plate = plate.astype(np.float32, order="C")
    alpha = _rounded(size, 0.0, layout.corner_radius * scale)
    if layout.border is not None:
        inset, thickness = layout.border.inset * scale, layout.border.thickness * scale
        radius = layout.corner_radius * scale - inset
        line = _rounded(size, inset, radius).astype(np.float32)
        line -= _rounded(size, inset + thickness, radius - thickness)
        plate += line[..., None] / 255 * (np.array(scheme.ink, np.float32) - plate)
    for bolt in layout.bolts:
        if rng.random() < 0.7:
            _draw_bolt(plate, bolt, scale, rng)
    return plate, alpha


def _draw_bolt(plate: Floats, bolt: Dot, scale: float, rng: np.random.Generator) -> None:
    colour = np.full(3, rng.uniform(40, 220)) + rng.normal(0, 10, 3)
    centre = (round(bolt.centre[0] * scale), round(bolt.centre[1] * scale))
    radius = max(1, round(bolt.radius * scale))
    cv2.circle(plate, centre, radius, colour.tolist(), cv2.FILLED, cv2.LINE_AA)


def _make_word(rng: np.random.Generator) -> Look:
    """Choose colours, and a ground that is even, shaded or cloudy."""
    height, width = LOOK_HEIGHT, 4 * LOOK_HEIGHT
    ground, ink = rng.uniform(0, 255, (2, 3))
    if rng.random() < 0.4:  # black or white with any other
        ink[:] = rng.uniform(0, 40) if ground.mean() > 128 else rng.uniform(215, 255)
    gap = ink.mean() - ground.mean()
    if abs(gap) < 60:
        ground = np.clip(ground - np.sign(gap or 1) * 60, 0, 255)
        ink = np.clip(ink + np.sign(gap or 1) * 40, 0, 255)
    rough = rng.choice([0.0, 4.0, 12.0, 25.0], p=[0.35, 0.3, 0.2, 0.15])
    picture = ground + _clouds((height, width), rng)[..., None] * rough
    ink_height = rng.uniform(0.6, 0.94)
    top = (1 - ink_height) * rng.uniform(0.25, 0.75)
    return Look(
        ground=np.clip(picture, 0, 255).astype(np.uint8),
        pose=np.array([[1, 0, 0], [0, ink_height, top], [0, 0, 1]]),
        ink=ink.astype(np.float32),
        blur=float(rng.uniform(0, 0.035)),
        noise=float(rng.uniform(0, 6)),
    )


def _clouds(size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Smooth noise of unit spread, (h, w)."""
    coarse = rng.standard_normal((4, 12)).astype(np.float32)
    fine = rng.standard_normal((16, 48)).astype(np.float32)
    clouds: Floats = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    clouds += 0.3 * cv2.resize(fine, size[::-1], interpolation=cv2.INTER_CUBIC)
    return clouds


def _rounded(size: tuple[int, int], inset: float, radius: float) -> Pixels:
    """A filled rectangle with round corners, drawn at four times the size, (h, w) 0..255."""
    height, width = 4 * size[0], 4 * size[1]
    inner, corner = round(4 * inset), max(round(4 * radius), 0)
    picture = np.zeros((height, width), np.uint8)
    left, right, top, bottom = inner, width - 1 - inner, inner, height - 1 - inner
    cv2.rectangle(picture, (left + corner, top), (right - corner, bottom), 255, cv2.FILLED)
    cv2.rectangle(picture, (left, top + corner), (right, bottom - corner), 255, cv2.FILLED)
    for x in (left + corner, right - corner):
        for y in (top + corner, bottom - corner):
            cv2.circle(picture, (x, y), corner, 255, cv2.FILLED)
    shape: Pixels = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    return shape


def _about_centre(scale_x: float, scale_y: float, rise: float) -> NDArray[np.float64]:
    """A pose in unit squares: scaled about the centre, the right side ``rise`` lower."""
    return np.array(
        [
            [scale_x, 0, (1 - scale_x) / 2],
            [rise, scale_y, (1 - scale_y) / 2 - rise / 2],
            [0, 0, 1.0],
        ]
    )


def _level(image: Pixels) -> Floats:
    """Brightness along the colours' main axis, (h, w) 0..255 or so."""
    values = image.astype(np.float32)
    level: Floats = values @ main_axis(values.reshape(-1, 3))
    return level


def _otsu(level: Floats) -> float:
    """Otsu's threshold."""
    low, high = float(level.min()), float(level.max())
    scale = max(high - low, 1.0) / 255
    scaled = ((level - low) / scale).astype(np.uint8)
    threshold, _ = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return low + (threshold + 0.5) * scale


def _roughness(level: Floats, area: Pixels) -> float:
    """How much (h, w) brightness varies over a stroke's width inside an area: what text leaves."""
    fine = level - cv2.GaussianBlur(level, (0, 0), LOOK_HEIGHT / 12)
    return float(fine[area == 1].std())


def _standardized(image: Floats) -> Floats:
    vector = image.ravel() - image.mean()
    standardized: Floats = vector / (np.linalg.norm(vector) + 1e-6)
    return standardized
