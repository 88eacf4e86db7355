"""The training loop: stages of phases in, trained weights and metrics out. Plain torch.

Whatever runs it (a test, a notebook, Ray Train) hands in a ``Context`` that says which worker
this is, averages tensors over the workers and takes reports. Every random draw of step t comes
from a generator seeded by (seed, t, worker), and batch t is a function of (t, worker), so the
position in a run is just the step: a resumed run continues bit for bit where it stood.
"""

import copy
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from augment.config import to_mapping
from augment.errors import ConfigError, NonFiniteLossError, ResumeError
from augment.phases import Losses, Phase, Stage

__all__ = [
    "Context",
    "PlainContext",
    "Trainable",
    "TrainingConfig",
    "derive_seed",
    "train",
]

CHECKPOINT_FILE = "checkpoint.pt"


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the loop that are not the model's own."""

    batch_size: int = 32  # images a step over all workers
    learning_rate: float = 3e-4
    discriminator_rate: float = 1.0  # times learning_rate, for a player "discriminator"
    betas: tuple[float, float] = (0.5, 0.99)  # Adam
    ema_decay: float = 0.995  # 0 switches the moving average off
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # bf16: autocast with channels_last
    checkpoint_every: int = 500  # steps
    log_every: int = 50  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("batch_size", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay must be in [0, 1); got {self.ema_decay}.")
        for name in ("learning_rate", "discriminator_rate"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive; got {getattr(self, name)}.")

    def rate_of(self, player: str) -> float:
        """Learning rate of a player; a faster discriminator is Heusel et al.'s two-rate rule."""
        return self.learning_rate * (self.discriminator_rate if player == "discriminator" else 1)


class Context(Protocol):
    """What the loop asks of whatever runs it."""

    rank: int
    world_size: int
    device: torch.device

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the workers, in place."""

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        """Take metrics and, on checkpoint steps, a folder with the checkpoint to copy."""

    def latest_checkpoint(self) -> AbstractContextManager[Path | None]:
        """Checkpoint folder to resume from, valid inside the ``with``; None starts anew."""


class Trainable(Protocol):
    """What the loop asks of a model (an ``nn.Module``)."""

    def players(self) -> dict[str, list[nn.Module]]:
        """Networks moved by each player."""

    def stages(self) -> list[Stage]:
        """Stages, in order."""


class PlainContext:
    """One worker, no cluster: the latest checkpoint goes to ``folder``/last.

    Args:
        folder: where the checkpoint is kept; None keeps none.
        device: where to train.
        resume: continue from ``folder``/last if it exists.
        on_report: called with the metrics of every report.
    """

    rank = 0
    world_size = 1

    def __init__(
        self,
        folder: Path | None = None,
        *,
        device: str | torch.device = "cpu",
        resume: bool = False,
        on_report: Callable[[Mapping[str, float]], None] | None = None,
    ) -> None:
        self.folder, self.device, self.resume = folder, torch.device(device), resume
        self.on_report = on_report

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Nothing to average with."""

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        """Keep the checkpoint as ``last``."""
        if self.on_report:
            self.on_report(metrics)
        if checkpoint is not None and self.folder is not None:
            _replace_folder(checkpoint, self.folder / "last")

    def latest_checkpoint(self) -> AbstractContextManager[Path | None]:
        """``folder``/last, when resuming and present."""
        last = self.folder / "last" if self.folder else None
        return nullcontext(last if self.resume and last and last.exists() else None)


def derive_seed(*parts: int) -> int:
    """Mix integers into a seed for ``torch.Generator`` (64-bit FNV-1a over their bytes)."""
    state = 0xCBF29CE484222325
    for part in parts:
        for byte in (part & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little"):
            state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return state >> 1


def train(
    model: nn.Module,
    batches: Callable[[int, int, int], Any],
    config: TrainingConfig,
    context: Context,
    *,
    scratch: Path,
    validate: Callable[[nn.Module], float] | None = None,
    identity: str = "",
) -> nn.Module:
    """Train ``model`` through its stages.

    Args:
        model: a ``Trainable``; moved to the context's device and trained in place.
        batches: (step, rank, world_size) to a NamedTuple of tensors, a pure function.
        config: settings of the loop.
        context: the worker this is.
        scratch: folder for a checkpoint until the context has taken it.
        validate: scores the averaged weights at each checkpoint; smaller is better.
        identity: digest of whatever else must not change on resume (data, architecture).

    Returns:
        The model with averaged weights (EMA), in eval mode; ``model`` itself without EMA.

    Raises:
        NonFiniteLossError: a loss became NaN or infinite; names stage, step, phase and terms.
        ResumeError: the checkpoint belongs to another configuration.
    """
    run = _Run(model, config, context, identity)
    with context.latest_checkpoint() as folder:
        if folder is not None:
            run.load(folder)
    stages: list[Stage] = model.stages()  # type: ignore[operator]
    total, clock, since = sum(stage.steps for stage in stages), time.monotonic(), run.step
    if run.step == total and run.reported:
        context.report(run.reported, None)  # once more, for no step is left to tell of
    for stage in _remaining(stages, run):
        batch = batches(run.step, context.rank, context.world_size)
        batch = type(batch)(*(values.to(context.device) for values in batch))
        metrics = run.advance(stage, batch)
        ends = run.step == total
        if run.step % config.log_every == 0 or ends:
            seconds = time.monotonic() - clock
            progress = {
                "step": float(run.step),
                "steps": float(total),
                "images": float(run.step * config.batch_size),
                "images_per_s": (run.step - since) * config.batch_size / max(seconds, 1e-9),
            }
            saves = run.step % config.checkpoint_every == 0 or ends
            if saves and validate:
                run.average_buffers()
                metrics["validation"] = validate(run.averaged)
            run.reported = {**progress, **metrics}
            context.report(run.reported, run.save(scratch) if saves else None)
    run.average_buffers()
    return run.averaged.eval()


def _remaining(stages: list[Stage], run: "_Run") -> Iterator[Stage]:
    """The stage of each step still to be made."""
    first = 0
    for stage in stages:
        while run.step < first + stage.steps:
            yield stage
        first += stage.steps


class _Run:
    """Everything that changes while training, and how it is saved."""

    def __init__(
        self, model: nn.Module, config: TrainingConfig, context: Context, identity: str
    ) -> None:
        self.config, self.context, self.identity = config, context, identity
        self.step = 0
        self.reported: dict[str, float] = {}
        self.half = config.precision == "bf16" or (
            config.precision == "auto" and is_faster_in_bf16(context.device)
        )
        layout = torch.channels_last if self.half else torch.contiguous_format
        self.model = model.to(context.device, memory_format=layout).train()  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(model).eval() if config.ema_decay else model
        self.players: dict[str, list[nn.Module]] = model.players()  # type: ignore[operator]
        self.optimizers = {
            player: torch.optim.Adam(
                self.parameters(player), lr=config.rate_of(player), betas=config.betas
            )
            for player in self.players
        }
        with torch.no_grad():
            context.average([p.data for p in model.parameters()])  # all workers start alike

    def parameters(self, player: str) -> list[nn.Parameter]:
        return [p for network in self.players[player] for p in network.parameters()]

    def advance(self, stage: Stage, batch: Any) -> dict[str, float]:
        """Run one step of ``stage``; returns the mean of every loss term."""
        metrics = {}
        for order, phase in enumerate(stage.phases):
            seed = derive_seed(self.config.seed, self.step, self.context.rank, order)
            losses = self.move(phase, batch, torch.Generator().manual_seed(seed), stage.name)
            if phase.agree is not None:
                phase.agree(self.context.average)
            for name, values in losses.terms.items():
                if len(values):
                    metrics[f"loss/{phase.name}/{name}"] = values.detach().mean()
        self.step += 1
        self.update_average()
        return {name: float(value) for name, value in metrics.items()}

    def move(self, phase: Phase, batch: Any, draws: torch.Generator, stage: str) -> Losses:
        """Let one player take one optimizer step; nobody else receives a gradient."""
        for player in self.players:
            for parameter in self.parameters(player):
                parameter.requires_grad_(player == phase.player)
        optimizer = self.optimizers[phase.player]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.context.device.type, torch.bfloat16, enabled=self.half):
            losses = phase.losses(batch, draws)
        if not torch.isfinite(losses.total):
            terms = ", ".join(
                f"{k} = {float(v.detach().mean()):g}" for k, v in losses.terms.items()
            )
            raise NonFiniteLossError(
                f"loss of phase {phase.name!r} is not finite at step {self.step} of stage "
                f"{stage!r}: {terms}; lower the learning rate or use precision fp32. "
                "The last checkpoint stays."
            )
        if phase.moves_if is not None and not phase.moves_if(self.average_terms(losses)):
            return losses
        losses.total.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.parameters(phase.player) if p.grad is not None]
        self.context.average(gradients)
        optimizer.step()
        return losses

    def average_terms(self, losses: Losses) -> dict[str, float]:
        """Mean of each term over the samples of all workers, who thus decide alike."""
        means = [values.detach().mean() for values in losses.terms.values()]
        self.context.average(means)
        return {name: float(mean) for name, mean in zip(losses.terms, means, strict=True)}

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged weights towards the current ones, faster at the start."""
        if self.averaged is self.model:
            return
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        current: list[Tensor] = list(self.model.parameters())
        averaged: list[Tensor] = list(self.averaged.parameters())
        torch._foreach_lerp_(averaged, current, 1 - decay)
        for ours, theirs in zip(self.averaged.buffers(), self.model.buffers(), strict=True):
            ours.copy_(theirs)

    @torch.no_grad()
    def average_buffers(self) -> None:
        """Average batch-norm statistics over the workers before anybody uses them."""
        self.context.average([b for b in self.averaged.buffers() if b.is_floating_point()])

    def save(self, folder: Path) -> Path | None:
        """Write the checkpoint; only the first worker does."""
        if self.context.rank != 0:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "reported": self.reported,
            "identity": self.identity,
            "config": to_mapping(self.config),
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
        }
        torch.save(state, folder / CHECKPOINT_FILE)
        return folder

    def load(self, folder: Path) -> None:
        """Continue from a checkpoint of the same configuration."""
        state = torch.load(
            folder / CHECKPOINT_FILE, map_location=self.context.device, weights_only=True
        )
        ours, theirs = to_mapping(self.config), state["config"]
        changed = [f"{k}: was {theirs.get(k)}, now {ours[k]}" for k in ours if ours[k] != theirs[k]]
        if state["identity"] != self.identity:
            changed.append("model or data: its digest differs")
        if changed:
            raise ResumeError(
                "a run must be resumed with the configuration it started with; "
                f"changed: {'; '.join(changed)}. Restore it, or start a new run."
            )
        self.step = state["step"]
        self.reported = state.get("reported", {})  # which checkpoints of old lack
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


def is_faster_in_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively, at about twice the speed of float32."""
    if device.type == "cuda":
        native: bool = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return native


def _replace_folder(source: Path, target: Path) -> None:
    """Copy ``source`` over ``target`` so that a reader never sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
