"""Classical augmentation: the one place that uses albumentations.

Its MIT line ends at 2.0.8; whatever replaces it has to offer ClassicalAugmentation only.
What is meant for text never mirrors an image: it must stay readable.
"""

import os
from typing import Literal, get_args

import cv2

from augment.errors import ConfigError, DataError
from augment.images import Pixels

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network on import
import albumentations as A

__all__ = ["ClassicalAugmentation", "Strength"]

_SHARING = 4  # images that share one draw
_BORDER = cv2.BORDER_REPLICATE
_SOFT = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}

Strength = Literal["none", "light", "strong", "mirror", "faces", "faces-erasing"]


class ClassicalAugmentation:
    """Geometric and photometric changes, drawn at random.

    ``light``: small shifts, turns and changes of light. ``strong``: turns to ±12°, scale, shear,
    shift, perspective, bending, light and colour, blur, noise, JPEG and lost resolution. For
    pictures that may be mirrored: ``mirror`` does nothing else, ``faces`` also turns, crops and
    changes light and colour, ``faces-erasing`` blots out a part of every other picture besides.

    Four neighbouring images share what was drawn, which halves the time an image takes: keep
    their order random.
    """

    def __init__(self, strength: Strength, image_size: tuple[int, int], channels: int) -> None:
        """Build the pipeline.

        Args:
            strength: one of the above, or "none".
            image_size: (H, W), pixels.
            channels: 1 or 3; colour changes need 3.

        Raises:
            ConfigError: unknown strength.
        """
        if strength not in get_args(Strength):
            raise ConfigError(
                f"strength must be one of {', '.join(get_args(Strength))}; got {strength!r}."
            )
        self.strength = strength
        self.image_size = image_size
        self.channels = channels
        steps: list[A.BasicTransform] = []
        if strength == "light":
            steps = _light()
        elif strength == "strong":
            steps = _strong(image_size, colour=channels == 3)
        elif strength != "none":
            steps = [A.HorizontalFlip(p=0.5)]
        if strength.startswith("faces"):
            steps += _faces(colour=channels == 3)
        if strength == "faces-erasing":
            steps.append(A.Erasing(scale=(0.02, 0.2), fill="random_uniform", p=0.5))
        self._pipeline = A.Compose(steps, is_check_shapes=False)

    def __call__(self, images: Pixels, seed: int) -> Pixels:
        """Augment images.

        Args:
            images: (N, H, W, C) uint8.
            seed: equal images and seed give equal results.

        Returns:
            (N, H, W, C) uint8; the input itself is not changed.

        Raises:
            DataError: images of another shape.
        """
        if images.shape[1:] != (*self.image_size, self.channels):
            raise DataError(
                f"expected images of shape (N, {self.image_size[0]}, {self.image_size[1]}, "
                f"{self.channels}), got {images.shape}."
            )
        self._pipeline.set_random_seed(seed)
        augmented = images.copy()
        if self.strength == "none":
            return augmented
        for start in range(0, len(images), _SHARING):
            some = slice(start, start + _SHARING)
            augmented[some] = self._pipeline(images=images[some])["images"]
        return augmented


def _light() -> list[A.BasicTransform]:
    return [
        A.Affine(
            scale=(0.95, 1.05),
            rotate=(-4, 4),
            translate_percent=(-0.04, 0.04),
            border_mode=_BORDER,
            p=0.8,
        ),
        A.RandomBrightnessContrast(brightness_limit=0.1, contrast_limit=0.1, p=0.5),
    ]


def _strong(image_size: tuple[int, int], *, colour: bool) -> list[A.BasicTransform]:
    side = min(image_size)
    geometry = [
        A.Affine(
            scale=(0.85, 1.12),
            rotate=(-12, 12),
            shear={"x": (-10, 10), "y": (-5, 5)},
            translate_percent=(-0.07, 0.07),
            border_mode=_BORDER,
            p=0.8,
        ),
        A.Perspective(scale=(0.02, 0.08), border_mode=_BORDER, p=0.25),
        A.ElasticTransform(alpha=1.2 * side, sigma=0.2 * side, border_mode=_BORDER, p=0.3),
    ]
    light = [
        A.RandomBrightnessContrast(brightness_limit=0.25, contrast_limit=0.3, p=0.6),
        A.RandomGamma(gamma_limit=(70, 140), p=0.3),
    ]
    if colour:
        light.append(
            A.HueSaturationValue(hue_shift_limit=12, sat_shift_limit=35, val_shift_limit=15, p=0.4)
        )
    camera = [
        A.Downscale(scale_range=(0.5, 0.9), interpolation_pair=_SOFT, p=0.15),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 0.04 * side), p=0.25),
        A.GaussNoise(std_range=(0.01, 0.06), p=0.25),
        A.ImageCompression(quality_range=(40, 90), p=0.15),
    ]
    return [*geometry, *light, *camera]


def _faces(*, colour: bool) -> list[A.BasicTransform]:
    light = [
        A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.25, p=0.6),
        A.RandomGamma(gamma_limit=(75, 133), p=0.3),
    ]
    if colour:
        light.append(
            A.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=35, val_shift_limit=0, p=0.4)
        )
    return [
        A.Affine(
            scale=(0.95, 1.2),  # crops more often than it shrinks
            rotate=(-10, 10),
            translate_percent=(-0.08, 0.08),
            border_mode=_BORDER,
            p=0.9,
        ),
        *light,
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.2), p=0.15),
    ]
