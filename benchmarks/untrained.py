"""A bundle with random weights: as fast as a trained one."""

from pathlib import Path

import torch

from augment.build import CONFIGS, write_bundle
from augment.data.datasets import open_data
from augment.models import MODELS

__all__ = ["write_untrained_bundle"]


def write_untrained_bundle(folder: Path, image_size: tuple[int, int], channels: int) -> None:
    """Write a bundle of the ten digits with the configuration ``labelmint``."""
    data = open_data("digits:", image_size=image_size, channels=channels)
    data = data.split("train").subset(range(100))
    config = CONFIGS["labelmint"]
    torch.manual_seed(0)
    model = MODELS["saae"].model(
        config.model, num_classes=10, image_size=image_size, channels=channels
    )
    write_bundle(folder, model.eval(), data, config)
