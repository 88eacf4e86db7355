"""The vocabulary of training: stages made of phases, each with one player and one loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Average", "Losses", "Phase", "Stage"]

Average = Callable[[Sequence[Tensor]], None]
"""Replaces each tensor by its mean over the workers, in place."""


class Losses(NamedTuple):
    """What a phase returns."""

    total: Tensor  # scalar: the weighted, reduced sum that is minimized
    terms: dict[str, Tensor]  # per-sample terms (N,) before weighting, for logs and checks


@dataclass(frozen=True)
class Phase:
    """One player's turn."""

    name: str
    player: str
    """Key of the model's ``players()``; only its parameters receive gradients."""
    minimizes: str
    """What the player minimizes, in words."""
    losses: Callable[[Any, torch.Generator], Losses]
    """(batch, random draws) to losses."""
    moves_if: Callable[[Mapping[str, float]], bool] | None = None
    """Whether the player moves in this step, by the mean of each term over all workers' samples;
    None: always."""
    agree: Callable[[Average], None] | None = None
    """Called after the player's turn: moves statistics that all workers must have in common."""


@dataclass(frozen=True)
class Stage:
    """A number of steps; each step runs the phases in order on one batch."""

    name: str
    steps: int
    phases: tuple[Phase, ...]
