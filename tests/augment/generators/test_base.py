"""What every generator's training shares."""

from pathlib import Path

import numpy as np
import pytest
from tiny_generators import SAAE

from augment.config import with_overrides
from augment.data.datasets import open_data
from augment.errors import ResumeError
from augment.generators import GENERATORS
from augment.generators.base import train_generator
from augment.images import encode_png
from augment.training import PlainContext

TINY = (
    *SAAE,
    "model.steps.alternate=2",
    "training.batch_size=4",
)


def test_training_does_not_go_on_with_the_same_images_in_another_size(tmp_path: Path) -> None:
    for label in "AB":
        for number in range(4):
            file = tmp_path / "data" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_png(np.full((24, 24, 1), 60 * number, np.uint8)))
    config = with_overrides(GENERATORS["saae"]["labelmint"], TINY)

    def train(side: int) -> None:
        data = open_data(f"folder:{tmp_path / 'data'}", image_size=(side, side), channels=1)
        context = PlainContext(tmp_path / "run", resume=True)
        train_generator(data, config, context, scratch=tmp_path / "scratch")

    train(16)
    with pytest.raises(ResumeError, match="digest differs"):
        train(24)
    train(16)
