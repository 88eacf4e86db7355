"""A rendered line photographed: view, light, shadow, blur, noise, lost resolution, JPEG."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.images import Pixels

__all__ = ["Draws", "from_unit", "keep_inside", "photograph", "random_view", "to_unit"]

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

_NOISE_POOL = np.random.default_rng(1).standard_normal(1 << 18, np.float32)
_MOST_DRAWN = 40
_EDGE = 0.02  # of the image's sides, kept free of ink


class Draws:
    """Random numbers of one image, made many at a time: a numpy call for each would be slow."""

    def __init__(self, seed: int, index: int) -> None:
        """Start the draws of image ``index`` of ``seed``."""
        self._rng = np.random.default_rng([seed, index])
        self._uniforms: list[float] = []
        self._normals: list[float] = []

    def uniform(self, low: float, high: float) -> float:
        """Draw from [low, high)."""
        if not self._uniforms:
            self._uniforms = self._rng.random(_MOST_DRAWN).tolist()
        return low + (high - low) * self._uniforms.pop()

    def normal(self, mean: float, spread: float) -> float:
        """Draw from the normal distribution."""
        if not self._normals:
            self._normals = self._rng.standard_normal(_MOST_DRAWN).tolist()
        return mean + spread * self._normals.pop()

    def below(self, limit: int) -> int:
        """Draw from 0, …, limit - 1."""
        return int(self.uniform(0.0, limit))

    def happens(self, odds: float) -> bool:
        """Whether something of these odds happens."""
        return self.uniform(0.0, 1.0) < odds

    def noise(self, shape: tuple[int, ...]) -> Floats:
        """Fine noise of unit spread: a piece of a fixed pool, or new where that is too small."""
        size = int(np.prod(shape))
        if size >= _NOISE_POOL.size:
            return self._rng.standard_normal(shape, np.float32)
        start = self.below(_NOISE_POOL.size - size)
        return _NOISE_POOL[start : start + size].reshape(shape)


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
    image += np.float32(draws.normal(0, 8))
    if draws.happens(0.2):
        spread = draws.uniform(0.3, 0.9) * height / 32
        image = cv2.GaussianBlur(image, (0, 0), spread)
    elif draws.happens(0.08):  # of a moving camera
        length = max(2, round(draws.uniform(0.06, 0.14) * height))
        image = cv2.blur(image, (length, 1))
    if draws.happens(0.25):
        share = draws.uniform(0.45, 0.85)
        small = (max(4, round(width * share)), max(4, round(height * share)))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    amount = noise * draws.uniform(0.2, 1.0)
    if amount > 0.5:
        image += np.float32(amount) * draws.noise(image.shape)
    picture = cv2.convertScaleAbs(np.maximum(image, 0, out=image))
    if draws.happens(0.4):
        quality = int(draws.uniform(25, 90))
        _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    taken: Pixels = picture
    return taken


def random_view(spread: float, draws: Draws) -> Matrix:
    """Draw a slight change of the view, unit square to unit square."""
    about = np.array(
        [
            [1 + draws.normal(0, spread), draws.normal(0, spread), draws.normal(0, 0.4 * spread)],
            [draws.normal(0, spread), 1 + draws.normal(0, spread), draws.normal(0, 0.4 * spread)],
            [draws.normal(0, 0.8 * spread), draws.normal(0, 0.8 * spread), 1.0],
        ]
    )
    view: Matrix = _FROM_CENTRE @ about @ _TO_CENTRE
    return view


def keep_inside(view: Matrix, pose: Matrix, box: tuple[float, float, float, float]) -> Matrix:
    """Shift, and where need be shrink, a view that would push a text over the image's border.

    Args:
        view: (3, 3) of the image, unit square to unit square.
        pose: (3, 3) from the unit square of the text to that of the image before the view.
        box: left, top, right and bottom of the ink in the text's unit square.

    Returns:
        (3, 3) a view that shows the whole box; the same where it did.
    """
    left, top, right, bottom = box
    corners = np.array([[left, right, left, right], [top, top, bottom, bottom], [1, 1, 1, 1]])
    across, down, depth = view @ pose @ corners
    scale_x, shift_x = _fit_inside(across / depth)
    scale_y, shift_y = _fit_inside(down / depth)
    inside: Matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y], [0, 0, 1]]) @ view
    return inside


def from_unit(size: tuple[int, ...]) -> Matrix:
    """The matrix from the unit square to pixel indices of an (h, w, …) image."""
    height, width = size[:2]
    return np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1.0]])


def to_unit(size: tuple[int, ...]) -> Matrix:
    """The inverse of ``from_unit``."""
    height, width = size[:2]
    return np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1.0]])


_TO_CENTRE = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
_FROM_CENTRE = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])


def _fit_inside(places: NDArray[np.float64]) -> tuple[float, float]:
    """Scale and shift that bring places in [0, 1] away from its ends; 1 and 0 where they are."""
    low, high = min(places.tolist()), max(places.tolist())
    scale = min(1.0, (1 - 2 * _EDGE) / (high - low))
    half, middle = scale * (high - low) / 2, (low + high) / 2
    moved = min(max(middle, _EDGE + half), 1 - _EDGE - half)
    return scale, moved - scale * middle


def _light(size: tuple[int, int], draws: Draws) -> Floats:
    """Brightness factors (H, W, 3): a gradient, and sometimes the edge of a shadow."""
    across, down = _grid(size)
    level, slope_x = draws.normal(1.0, 0.1), draws.normal(0, 0.08)
    light = np.float32(draws.normal(0, 0.05)) * down
    light += np.float32(slope_x) * across
    light += np.float32(level)
    if draws.happens(0.12):
        angle, place = draws.uniform(0, 2 * np.pi), draws.uniform(-0.6, 0.6)
        distance = np.float32(np.cos(angle)) * across + np.float32(np.sin(angle)) * down
        edge = (distance - np.float32(place)) * np.float32(draws.uniform(4, 30))
        darkness = np.float32(draws.uniform(0.2, 0.55))
        light *= 1 - darkness * np.clip(edge + np.float32(0.5), 0, 1)
    lit: Floats = cv2.merge((light, light, light))
    return lit


@lru_cache(maxsize=512)
def _grid(size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Places across and down in [-1, 1], (H, W) each."""
    height, width = size
    across = np.broadcast_to(np.linspace(-1, 1, width, dtype=np.float32), size)
    down = np.broadcast_to(np.linspace(-1, 1, height, dtype=np.float32)[:, None], size)
    return across.copy(), down.copy()
