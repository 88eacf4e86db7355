"""The generators, one paper a file."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from augment.models import saae

__all__ = ["MODELS", "Architecture"]


@dataclass(frozen=True)
class Architecture:
    """What there is to know of a model: its configuration class and named configurations."""

    model: type[nn.Module]
    config: type[Any]
    configs: dict[str, Any]


MODELS: dict[str, Architecture] = {
    "saae": Architecture(
        saae.SAAE, saae.SAAEConfig, {"paper": saae.PAPER, "labelmint": saae.LABELMINT}
    ),
}
