"""Seconds a step of Ray Train with one worker against the bare loop."""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from augment.config import with_overrides
from augment.data.datasets import open_data
from augment.generators.base import train_generator
from augment.generators.saae import CONFIGS
from augment.training import PlainContext
from jobs.ray_context import RayContext, ray_cluster, ray_train

__all__ = ["measure"]

STEPS = 200
ROUNDS = 2
SETTINGS = (
    "model.steps.reconstruct=0",
    "model.steps.discriminate=0",
    f"model.steps.alternate={STEPS}",
    "training.log_every=25",
    f"training.checkpoint_every={STEPS // 2}",
)


class _Clocked:
    """Notes the time of every report of a context."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.times: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)

    def report(self, metrics: Any, checkpoint: Path | None) -> None:
        self.context.report(metrics, checkpoint)
        self.times.append(time.perf_counter())


def measure() -> dict[str, float]:
    """The fastest of interleaved runs, with checkpoints and reports, start-up left out."""
    threads = torch.get_num_threads()
    bare, ray_seconds = [], []
    with tempfile.TemporaryDirectory() as folder, ray_cluster():
        for number in range(ROUNDS):
            bare.append(_train({"threads": threads, "folder": f"{folder}/bare{number}"}))
            ray_seconds.append(
                ray_train(
                    _train, {"threads": threads}, workers=1, storage=folder, name=f"r{number}"
                )
            )
    return {
        "bare_s": min(bare),
        "ray_s": min(ray_seconds),
        "ratio": min(ray_seconds) / min(bare),
    }


def _train(settings: dict[str, Any]) -> float:
    """Seconds a step between the first report and the last."""
    torch.set_num_threads(settings["threads"])
    data = open_data("digits:").split("train")
    config = with_overrides(CONFIGS["labelmint"], SETTINGS)
    progress = settings.get("progress")
    plain = progress is None
    context = _Clocked(PlainContext(Path(settings["folder"])) if plain else RayContext(progress))
    with tempfile.TemporaryDirectory() as scratch:
        train_generator(data, config, context, scratch=Path(scratch))
    seconds = context.times[-1] - context.times[0]
    return seconds / (STEPS - config.training.log_every)
