"""Training a recognizer on a stream of batches, and reading images with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.errors import ConfigError, NonFiniteLossError
from augment.images import Pixels, to_tensor
from augment.training import is_faster_in_bf16
from recognizers.base import Recognizer

__all__ = ["Batch", "Blend", "Budget", "Stream", "fit", "optimize", "predict"]

Network = TypeVar("Network", bound=nn.Module)


class Blend(NamedTuple):
    """What was blended into the images of a batch."""

    labels: NDArray[np.int64]  # (N,) of the second image
    shares: NDArray[np.float32]  # (N,) of the first image, in [0, 1]


class Batch(NamedTuple):
    """Images to train on."""

    images: Pixels  # (N, H, W, C)
    labels: NDArray[np.int64]  # (N,)
    blend: Blend | None = None  # None: every image is one image


Stream = Callable[[int], Batch]
"""Step to a batch: a pure function."""


@dataclass(frozen=True)
class Budget:
    """How long and how a recognizer is trained; the same in every arm."""

    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 3e-3  # peak of a one-cycle schedule
    weight_decay: float = 0.02

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.steps < 1 or self.batch_size < 2:
            raise ConfigError(
                f"expected at least 1 step and 2 images a batch, got {self.steps} and "
                f"{self.batch_size}."
            )


def fit(
    build: Callable[[], Recognizer],
    stream: Stream,
    budget: Budget,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    checkpoints: int = 0,
    on_checkpoint: Callable[[int, Recognizer], None] | None = None,
) -> Recognizer:
    """Train a recognizer of classes on ``stream``: batches by step.

    The other arguments, the result and the errors are those of ``optimize``.
    """
    device = torch.device(device)
    return optimize(
        build,
        lambda model, step: _loss(model, stream(step), device),
        budget,
        seed=seed,
        device=device,
        checkpoints=checkpoints,
        on_checkpoint=on_checkpoint,
    )


def optimize(
    build: Callable[[], Network],
    loss_at: Callable[[Network, int], Tensor],
    budget: Budget,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    checkpoints: int = 0,
    on_checkpoint: Callable[[int, Network], None] | None = None,
) -> Network:
    """Train a network by AdamW with a one-cycle schedule.

    Args:
        build: makes the untrained network; its weights come from ``seed``.
        loss_at: (network, step) to the losses (N,) of that step's batch.
        budget: steps and learning rate.
        seed: of weights and dropout.
        device: where to train.
        checkpoints: how often ``on_checkpoint`` is called, evenly spaced, the end included.
        on_checkpoint: receives (steps made, network in eval mode); it must not train it.

    Returns:
        The network, in eval mode.

    Raises:
        NonFiniteLossError: names the step.
    """
    device = torch.device(device)
    half = is_faster_in_bf16(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build().to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=budget.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, budget.learning_rate, total_steps=budget.steps, pct_start=0.15
        )
        stops = {round(budget.steps * (i + 1) / checkpoints) for i in range(checkpoints)}
        for step in range(budget.steps):
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                total = loss_at(model, step).mean()
            if not torch.isfinite(total):
                raise NonFiniteLossError(
                    f"recognizer loss is {float(total.detach())} at step {step}; "
                    "lower the learning rate."
                )
            optimizer.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if on_checkpoint and step + 1 in stops:
                on_checkpoint(step + 1, model.eval())
                model.train()
    trained: Network = model.eval()
    return trained


def _loss(model: Recognizer, batch: Batch, device: torch.device) -> Tensor:
    """Loss (N,) of a batch."""
    images = to_tensor(batch.images).to(device)
    labels = torch.from_numpy(batch.labels).to(device)
    if batch.blend is None:
        return model.loss(images, labels)
    others, shares = (torch.from_numpy(values).to(device) for values in batch.blend)
    return model.mixed_loss(images, labels, others, shares)


@torch.no_grad()
def predict(
    model: Recognizer, images: Pixels, *, batch_size: int = 256
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Read (N, H, W, C) uint8 images: labels (N,) and confidences (N,) in [0, 1]."""
    device = next(model.parameters()).device
    half = is_faster_in_bf16(device)
    labels, confidences = np.empty(len(images), np.int64), np.empty(len(images), np.float32)
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            outputs = model(to_tensor(images[rows]).to(device))
        read, confidence = model.decode(outputs)
        labels[rows], confidences[rows] = read.cpu().numpy(), confidence.cpu().numpy()
    return labels, confidences
