"""What a recognizer must offer, and how a user's own class is found.

A recognizer of your own is a subclass of ``Recognizer`` in any importable module; give it to a
job as ``--recognizer package.module:Class``.
"""

import importlib
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from augment.errors import ConfigError

__all__ = ["Recognizer", "find_recognizer"]


class Recognizer(nn.Module, ABC):
    """A network from images to labels.

    Args:
        num_classes: k.
        image_size: (H, W) of the images it will see.
        channels: 1 or 3.
    """

    def __init__(self, num_classes: int, image_size: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.num_classes, self.image_size, self.channels = num_classes, image_size, channels

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to outputs that ``loss`` and ``decode`` understand."""

    @abstractmethod
    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Per-sample training loss (N,) of labels (N,) int64."""

    def mixed_loss(self, images: Tensor, labels: Tensor, others: Tensor, shares: Tensor) -> Tensor:
        """Per-sample loss (N,) of images that blend two (mixup; Zhang et al., 2018, Sec. 2).

        Args:
            images: (N, C, H, W), each ``shares`` of one image and the rest of another.
            labels: (N,) of the first.
            others: (N,) of the second.
            shares: (N,) λ, in [0, 1].
        """
        return shares * self.loss(images, labels) + (1 - shares) * self.loss(images, others)

    @abstractmethod
    def decode(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs to labels (N,) int64 and confidences (N,) in [0, 1]."""


class ClassRecognizer(Recognizer):
    """Base of recognizers whose outputs are logits (N, k)."""

    label_smoothing = 0.0

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy (N,)."""
        return nn.functional.cross_entropy(
            self(images).float(), labels, reduction="none", label_smoothing=self.label_smoothing
        )

    def decode(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The most probable class and its probability."""
        confidences, labels = torch.softmax(outputs.float(), dim=1).max(dim=1)
        return labels, confidences


def find_recognizer(reference: str) -> type[Recognizer]:
    """Import ``package.module:Class``.

    Raises:
        ConfigError: no such module or class, or a class that is no ``Recognizer``.
    """
    module, sign, name = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), name) if sign else None
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot import recognizer {reference!r}: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, Recognizer)):
        raise ConfigError(
            f"expected module:Class naming a subclass of recognizers.base.Recognizer, "
            f"got {reference!r}."
        )
    return found
