"""What real character images look like, measured: colours, background, placement, blur, noise.

Each image is parted into ink and ground by Otsu's threshold on its main colour axis; ground is
what most of the border shows. No label is needed.
"""

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.images import Pixels

__all__ = [
    "StyleSheet",
    "edge_width",
    "fine_noise",
    "main_axis",
    "measure_styles",
    "solid_level",
    "to_template",
]

Floats = NDArray[np.float32]

TEMPLATE_SIDE = 16
_KEPT_CONTRAST = 0.05  # the share of images with the weakest contrast that is left out
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # norm 6
_CENTRE = (0.22, 0.78)  # ink whose centre lies outside these shares of the width is a neighbour's


@dataclass(frozen=True)
class StyleSheet:
    """Measurements of n real images of H × W × C.

    Attributes:
        ink: (n, C) colour of the strokes, 0..255.
        grounds: (n, H, W, C) uint8, the image with its ink smoothed away.
        boxes: (n, 4) centre x, centre y, width, height of the ink, pixels.
        blur: (n,) standard deviation of the edges, pixels.
        noise: (n,) standard deviation of fine noise, 0..255.
        density: (n,) share of the ink box that is ink.
        neighbours: (n, 2) whether foreign ink shows at the left and right border.
        templates: (n, 256) the ink box at 16 × 16, centred and of unit norm.
    """

    ink: Floats
    grounds: Pixels
    boxes: Floats
    blur: Floats
    noise: Floats
    density: Floats
    neighbours: NDArray[np.bool_]
    templates: Floats

    def keep(self, chosen: NDArray[np.bool_]) -> "StyleSheet":
        """Return the rows where ``chosen`` (n,) is true."""
        return StyleSheet(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def __len__(self) -> int:
        """Return the number of images measured."""
        return len(self.ink)


def measure_styles(images: Pixels) -> StyleSheet:
    """Measure (N, H, W, C) real images; those of weakest contrast are left out."""
    measured = [_measure(image) for image in images]
    contrasts = np.array([contrast for contrast, _ in measured])
    floor = max(np.quantile(contrasts, _KEPT_CONTRAST), 1.0)
    kept = [sheet for contrast, sheet in measured if contrast >= floor]
    kept = kept or [sheet for _, sheet in measured]
    columns = (np.stack(column) for column in zip(*kept, strict=True))
    return StyleSheet(*columns)


def to_template(ink: NDArray[np.uint8]) -> Floats:
    """Shrink an (h, w) ink picture to a (256,) vector for comparing shapes by dot product."""
    small = cv2.resize(ink, (TEMPLATE_SIDE, TEMPLATE_SIDE), interpolation=cv2.INTER_AREA)
    vector = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 0.8).ravel()
    vector -= vector.mean()
    template: Floats = vector / (np.linalg.norm(vector) + 1e-6)
    return template


def _measure(image: Pixels) -> tuple[float, tuple[Any, ...]]:
    """Return an image's contrast and the columns of its row in a StyleSheet."""
    height, width, channels = image.shape
    values = image.astype(np.float32)
    axis = main_axis(values.reshape(-1, channels))
    level = values @ axis
    low, high = float(level.min()), float(level.max())
    scaled = ((level - low) * (255 / max(high - low, 1.0))).astype(np.uint8)
    _, bright = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    ink = bright if border.mean() < 0.5 else 1 - bright
    centred, neighbours = _part_neighbours(ink)
    left, top, box_width, box_height = cv2.boundingRect(centred)
    if box_width == 0:
        left, top, box_width, box_height = 0, 0, width, height
    box = centred[top : top + box_height, left : left + box_width]
    ground_level = float(np.median(level[ink == 0])) if (ink == 0).any() else low
    distance = np.abs(level - ground_level)
    contrast = solid_level(distance[centred == 1])
    solid = values[(centred == 1) & (distance >= contrast)]
    colour = solid.mean(axis=0) if len(solid) else values.mean(axis=(0, 1))
    row = (
        colour.astype(np.float32),
        _smooth_ground(values, ink),
        np.array([left + box_width / 2, top + box_height / 2, box_width, box_height], np.float32),
        np.float32(edge_width(level, contrast)),
        np.float32(fine_noise(values, ink)),
        np.float32(box.mean()),
        neighbours,
        to_template(box * np.uint8(255)),
    )
    return contrast, row


def main_axis(colours: Floats) -> Floats:
    """The direction of largest variance of (P, C) colours, pointing to brighter."""
    if colours.shape[1] == 1:
        return np.ones(1, np.float32)
    spread = np.cov(colours.T)
    axis = np.linalg.eigh(spread)[1][:, -1]
    return (axis * (1 if axis.sum() >= 0 else -1)).astype(np.float32)


def solid_level(distances: Floats) -> float:
    """The distance of solid strokes from the ground: beyond the soft edges of thin ones."""
    return float(np.quantile(distances, 0.7)) if len(distances) else 0.0


def _part_neighbours(ink: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Drop connected ink at the sides; return what stays and whether left and right had any."""
    height, width = ink.shape
    count, parts, stats, centres = cv2.connectedComponentsWithStats(ink, connectivity=8)
    kept = np.zeros(count, np.uint8)
    neighbours = np.zeros(2, np.bool_)
    for part in range(1, count):
        left, _, part_width, part_height, area = stats[part]
        middle = centres[part][0] / width
        if _CENTRE[0] <= middle <= _CENTRE[1]:
            kept[part] = area >= 0.004 * height * width or area >= 4
        elif part_height >= 0.2 * height:
            neighbours[0] |= left == 0
            neighbours[1] |= left + part_width == width
    if not kept.any():
        kept[1:] = 1
    centred: NDArray[np.uint8] = kept[parts]
    return centred, neighbours


def _smooth_ground(values: Floats, ink: NDArray[np.uint8]) -> Pixels:
    """Fill the ink from the ground around it: a blur that ignores inked pixels."""
    height, width, channels = values.shape
    free = 1 - cv2.dilate(ink, np.ones((3, 3), np.uint8)).astype(np.float32)
    sigma = 0.08 * max(height, width)
    weight = cv2.GaussianBlur(free, (0, 0), sigma)[..., None] + 1e-4
    total = cv2.GaussianBlur(values * free[..., None], (0, 0), sigma)
    mean = values[ink == 0].mean(axis=0) if (ink == 0).any() else values.mean(axis=(0, 1))
    smooth = (total.reshape(height, width, channels) + 1e-4 * mean) / weight
    ground: Pixels = np.clip(smooth.round(), 0, 255).astype(np.uint8)
    return ground


def edge_width(level: Floats, contrast: float) -> float:
    """Standard deviation, pixels, of the blur: a blurred step's slope is contrast / (σ·√2π)."""
    slope_x = cv2.Sobel(level, cv2.CV_32F, 1, 0, ksize=3) / 8
    slope_y = cv2.Sobel(level, cv2.CV_32F, 0, 1, ksize=3) / 8
    steepest = float(np.quantile(np.hypot(slope_x, slope_y), 0.97))
    return contrast / (steepest * float(np.sqrt(2 * np.pi)) + 1e-3)


def fine_noise(values: Floats, ink: NDArray[np.uint8]) -> float:
    """Standard deviation of fine noise away from the ink (Immerkær's kernel, median form)."""
    ground = cv2.dilate(ink, np.ones((5, 5), np.uint8)) == 0
    if ground.sum() < 8:
        return 0.0
    response = cv2.filter2D(values, cv2.CV_32F, _NOISE_KERNEL).reshape(values.shape)
    return float(np.median(np.abs(response[ground])) * 1.48 / 6)
