"""A rendered line photographed: view, light, shadow, blur, noise, lost resolution, JPEG."""

import math
from functools import lru_cache
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.images import Pixels

__all__ = ["Draws", "from_unit", "keep_inside", "photograph", "random_view", "soften", "to_unit"]

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

_NOISE_POOL = np.random.default_rng(1).standard_normal(1 << 18, np.float32)
_UNIFORMS, _NORMALS = 64, 32  # that an image may draw
_BLOCK = 64  # images whose draws are made at once
_EDGE = 0.02  # of the image's sides, kept free of ink


class Draws:
    """Random numbers of one image, made for many images at once: a call for each would be slow."""

    def __init__(self, seed: int, index: int) -> None:
        """Start the draws of image ``index`` of ``seed``."""
        block, row = divmod(index, _BLOCK)
        uniforms, normals = _block(seed, block)
        self._uniforms, self._normals = iter(uniforms[row]), iter(normals[row])

    def uniform(self, low: float, high: float) -> float:
        """Draw from [low, high)."""
        return low + (high - low) * next(self._uniforms)

    def normal(self, mean: float, spread: float) -> float:
        """Draw from the normal distribution."""
        return mean + spread * next(self._normals)

    def normals(self, count: int) -> list[float]:
        """Draw several from the standard normal distribution."""
        return list(islice(self._normals, count))

    def below(self, limit: int) -> int:
        """Draw from 0, …, limit - 1."""
        return int(limit * next(self._uniforms))

    def happens(self, odds: float) -> bool:
        """Whether something of these odds happens."""
        return next(self._uniforms) < odds

    def noise(self, shape: tuple[int, ...]) -> Floats:
        """Fine noise of unit spread: a piece of a fixed pool, over and over where it is small."""
        size = math.prod(shape)
        if size < _NOISE_POOL.size:
            start = self.below(_NOISE_POOL.size - size)
            return _NOISE_POOL[start : start + size].reshape(shape)
        return np.resize(np.roll(_NOISE_POOL, self.below(_NOISE_POOL.size)), shape)


@lru_cache(maxsize=64)
def _block(seed: int, block: int) -> tuple[list[list[float]], list[list[float]]]:
    """Uniform and normal draws of the images of a block."""
    rng = np.random.default_rng([seed, block])
    uniforms = rng.random((_BLOCK, _UNIFORMS))
    return uniforms.tolist(), rng.standard_normal((_BLOCK, _NORMALS)).tolist()


def photograph(image: Floats, noise: float, draws: Draws) -> Pixels:
    """Take a picture of (H, W, 3) in 0..255, which is overwritten.

    Args:
        image: what is seen.
        noise: standard deviation of fine noise, about.
        draws: of the circumstances.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = image.shape[:2]
    image *= _light((height, width), draws)
    if draws.happens(0.2):
        image = soften(image, draws.uniform(0.3, 0.9) * height / 32)
    elif draws.happens(0.08):  # of a moving camera
        length = max(2, round(draws.uniform(0.06, 0.14) * height))
        image = cv2.blur(image, (length, 1))
    if draws.happens(0.25):
        share = draws.uniform(0.45, 0.85)
        small = (max(4, round(width * share)), max(4, round(height * share)))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    brighter, amount = draws.normal(0, 8), noise * draws.uniform(0.2, 1.0)
    fine = draws.noise(image.shape)
    picture = cv2.addWeighted(image, 1, fine, amount, brighter, dtype=cv2.CV_8U)
    if draws.happens(0.4):
        quality = int(draws.uniform(25, 90))
        _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    taken: Pixels = picture
    return taken


def soften(image: Floats, spread: float) -> Floats:
    """Blur (H, W) or (H, W, 3) by a Gaussian of some pixels, cut off at twice its spread."""
    size = 2 * max(1, round(2 * spread)) + 1
    soft: Floats = cv2.GaussianBlur(image, (size, size), spread)
    return soft


def random_view(spread: float, draws: Draws) -> Matrix:
    """Draw a slight change of the view, unit square to unit square."""
    a, b, c, d, e, f, g, h = draws.normals(8)
    about = np.array(
        [
            [1 + spread * a, spread * b, 0.4 * spread * c],
            [spread * d, 1 + spread * e, 0.4 * spread * f],
            [0.8 * spread * g, 0.8 * spread * h, 1.0],
        ]
    )
    view: Matrix = _FROM_CENTRE @ about @ _TO_CENTRE
    return view


def keep_inside(view: Matrix, pose: Matrix, corners: Matrix) -> Matrix:
    """Shift, and where need be shrink, a view that would push a text over the image's border.

    Args:
        view: (3, 3) of the image, unit square to unit square.
        pose: (3, 3) from the unit square of the text to that of the image before the view.
        corners: (3, 4) of the ink in the text's unit square: across, down and 1.

    Returns:
        (3, 3) a view that shows all corners; the same where it did.
    """
    across, down, depth = (view @ pose @ corners).tolist()
    scale_x, shift_x = _fit_inside([x / z for x, z in zip(across, depth, strict=True)])
    scale_y, shift_y = _fit_inside([y / z for y, z in zip(down, depth, strict=True)])
    if (scale_x, shift_x, scale_y, shift_y) == (1.0, 0.0, 1.0, 0.0):
        return view
    inside: Matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y], [0, 0, 1]]) @ view
    return inside


@lru_cache(maxsize=4096)
def from_unit(size: tuple[int, ...]) -> Matrix:
    """The matrix from the unit square to pixel indices of an (h, w, …) image."""
    height, width = size[:2]
    return _constant([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1]])


@lru_cache(maxsize=4096)
def to_unit(size: tuple[int, ...]) -> Matrix:
    """The inverse of ``from_unit``."""
    height, width = size[:2]
    return _constant([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])


def _constant(rows: list[list[float]]) -> Matrix:
    matrix = np.array(rows, np.float64)
    matrix.flags.writeable = False
    return matrix


_TO_CENTRE = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
_FROM_CENTRE = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])


def _fit_inside(places: list[float]) -> tuple[float, float]:
    """Scale and shift that bring places to [0, 1] without its ends; 1 and 0 where they are in."""
    low, high = min(places), max(places)
    if low >= _EDGE and high <= 1 - _EDGE:
        return 1.0, 0.0
    scale = min(1.0, (1 - 2 * _EDGE) / (high - low))
    half, middle = scale * (high - low) / 2, (low + high) / 2
    moved = min(max(middle, _EDGE + half), 1 - _EDGE - half)
    return scale, moved - scale * middle


def _light(size: tuple[int, int], draws: Draws) -> Floats:
    """Brightness factors (H, W, 3): a gradient, and sometimes the edge of a shadow."""
    across, down = _ruler(size[1]), _ruler(size[0])[:, None]
    level, slope_x, slope_y = draws.normal(1.0, 0.1), draws.normal(0, 0.08), draws.normal(0, 0.05)
    light: Floats = (level + slope_x * across) + slope_y * down
    if draws.happens(0.12):
        angle, place = draws.uniform(0, 2 * math.pi), draws.uniform(-0.6, 0.6)
        sharpness, darkness = draws.uniform(4, 30), draws.uniform(0.2, 0.55)
        distance = (math.cos(angle) * across - place) + math.sin(angle) * down
        light *= 1 - darkness * np.clip(sharpness * distance + 0.5, 0, 1)
    lit: Floats = cv2.cvtColor(light, cv2.COLOR_GRAY2RGB)
    return lit


@lru_cache(maxsize=512)
def _ruler(length: int) -> Floats:
    """Places along a side in [-1, 1], (length,)."""
    return np.linspace(-1, 1, length, dtype=np.float32)
