"""A bundle with random weights: as fast as a trained one."""

from pathlib import Path

from augment.data.datasets import open_data
from augment.generators.base import write_bundle
from augment.generators.saae import CONFIGS

__all__ = ["write_untrained_bundle"]


def write_untrained_bundle(folder: Path, image_size: tuple[int, int], channels: int) -> None:
    """Write a bundle of the ten digits with the configuration ``labelmint``."""
    data = open_data("digits:", image_size=image_size, channels=channels)
    data = data.split("train").subset(range(100))
    config = CONFIGS["labelmint"]
    write_bundle(folder, config.build_model(data).eval(), data, config)
