"""Images a second of the sampler against the same network in eager fp32."""

import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from augment.generators import load_sampler
from augment.images import to_uint8
from benchmarks.untrained import write_untrained_bundle

__all__ = ["measure"]

IMAGES = 1024
BATCH = 128
CLASSES = 10
ROUNDS = 8
VARIANTS = {  # name: (bfloat16, compiled)
    "channels_last": (False, False),
    "bf16": (True, False),
    "compiled": (False, True),
    "compiled_bf16": (True, True),
}


def measure() -> dict[str, float]:
    """Images a second of eager fp32 and of every variant, and the best ratio."""
    labels = np.arange(IMAGES) % CLASSES
    indices = np.arange(IMAGES) // CLASSES
    with tempfile.TemporaryDirectory() as folder:
        write_untrained_bundle(Path(folder), (32, 32), 3)
        samplers = {
            name: load_sampler(folder, batch_size=BATCH, half=half, compile=compiled)
            for name, (half, compiled) in VARIANTS.items()
        }
        plain = load_sampler(folder, half=False)
    eager = plain.model.to(memory_format=torch.contiguous_format)
    contents = plain.contents[torch.from_numpy(labels)].float().div(127.5).sub(1)
    styles = plain.styles[torch.from_numpy(indices % plain.num_styles)]

    @torch.no_grad()
    def draw_eagerly() -> None:
        for start in range(0, IMAGES, BATCH):
            rows = slice(start, start + BATCH)
            to_uint8(eager(contents[rows], styles[rows]))

    draws: dict[str, Callable[[], object]] = {
        "eager_fp32": draw_eagerly,
        **{name: partial(sampler.draw, labels, indices, 0) for name, sampler in samplers.items()},
    }
    speeds = _images_per_s(draws)
    best = max(speeds[name] for name in VARIANTS)
    return {**speeds, "ratio": best / speeds["eager_fp32"]}


def _images_per_s(draws: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The best of some interleaved rounds; the first, which may compile, does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in draws}
    for _ in range(ROUNDS + 1):
        for name, draw in draws.items():
            started = time.perf_counter()
            draw()
            seconds[name].append(time.perf_counter() - started)
    return {name: IMAGES / min(times[1:]) for name, times in seconds.items()}
