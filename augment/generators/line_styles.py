"""Real lines as styles: what they are selected by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augment.errors import RequestError
from augment.images import Pixels

__all__ = ["COLOURS", "StyleSelection", "measure_looks"]

COLOURS = ("black", "gray", "white", "red", "yellow", "green", "blue")
"""What the ground of a style image may be called."""


@dataclass(frozen=True)
class StyleSelection:
    """Which styles of the bank may be drawn; all conditions hold together.

    Attributes:
        sources: where the real lines came from; none: anywhere.
        colours: of COLOURS; none: any.
        brightness: (least, most) as shares of the bank: (0.5, 1.0) is its brighter half.
        sharpness: the same, from blurred to sharp.
    """

    sources: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    brightness: tuple[float, float] = (0.0, 1.0)
    sharpness: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("brightness", "sharpness"):
            least, most = getattr(self, name)
            if not 0 <= least < most <= 1:
                raise RequestError(
                    f"{name} must be two rising shares in [0, 1], got {least} and {most}."
                )
        for colour in self.colours:
            if colour not in COLOURS:
                raise RequestError(f"colours must be of {', '.join(COLOURS)}; got {colour[:40]!r}.")


def measure_looks(images: Sequence[Pixels]) -> dict[str, Tensor]:
    """Colour (an index into COLOURS), brightness and sharpness of lines, (N,) each.

    Colour is that of the median pixel, brightness the mean level, sharpness the standard
    deviation of the Laplacian; both in levels of 255.
    """
    colours, brightness, sharpness = [], [], []
    for image in images:
        rgb = image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        colours.append(COLOURS.index(_colour_name(np.median(rgb.reshape(-1, 3), axis=0))))
        brightness.append(float(gray.mean()))
        sharpness.append(float(cv2.Laplacian(gray, cv2.CV_32F).std()))
    return {
        "colours": torch.tensor(colours),
        "brightness": torch.tensor(brightness),
        "sharpness": torch.tensor(sharpness),
    }


def _colour_name(rgb: NDArray[np.floating[Any]]) -> str:
    pixel = np.array(rgb, np.uint8).reshape(1, 1, 3)
    hue, saturation, value = (int(part) for part in cv2.cvtColor(pixel, cv2.COLOR_RGB2HSV)[0, 0])
    if value < 50 or saturation < 60:
        return "black" if value < 70 else "white" if value > 180 else "gray"
    for name, most in (("red", 10), ("yellow", 35), ("green", 85), ("blue", 140)):
        if hue <= most:
            return name
    return "red"
