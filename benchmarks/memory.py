"""Peak resident memory of training on N and on 10 N images."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from augment.images import encode_png

__all__ = ["measure"]

FEW = 2_000
SIDE = 32
CLASSES = 10
SETTINGS = (
    "model.steps.reconstruct=10",
    "model.steps.discriminate=5",
    "model.steps.alternate=25",
)
TRAIN = f"""
import resource, sys, tempfile
from pathlib import Path
from augment.generators.base import train_generator
from augment.generators.saae import CONFIGS
from augment.config import with_overrides
from augment.data.datasets import open_data
from augment.training import PlainContext
config = with_overrides(CONFIGS["labelmint"], {list(SETTINGS)!r})
data = open_data(sys.argv[1], image_size=({SIDE}, {SIDE}), channels=3)
with tempfile.TemporaryDirectory() as scratch:
    train_generator(data, config, PlainContext(), scratch=Path(scratch))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure() -> dict[str, float]:
    """Peaks in MiB, each in a process of its own, and their ratio."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (FEW, 10 * FEW):
            path = Path(folder) / f"{count}.zip"
            _write(path, count)
            result = subprocess.run(
                [sys.executable, "-c", TRAIN, f"zip:{path}"],
                capture_output=True,
                text=True,
                check=True,
            )
            peaks[count] = int(result.stdout.split()[-1]) / 1024
    return {
        f"peak_mib_{FEW}": peaks[FEW],
        f"peak_mib_{10 * FEW}": peaks[10 * FEW],
        "ratio": peaks[10 * FEW] / peaks[FEW],
    }


def _write(path: Path, count: int) -> None:
    """An ImageFolder zip of simple pictures, all different."""
    base = np.add.outer(np.arange(SIDE), np.arange(SIDE))[:, :, None] * np.array([4, 2, 1])
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(count):
            image = ((base + index * np.array([1, 3, 7])) % 256).astype(np.uint8)
            archive.writestr(f"{index % CLASSES}/{index:06d}.png", encode_png(image))
