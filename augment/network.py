"""How a trained network is run for sampling: precision, memory layout, compilation."""

import copy
import logging
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo.config
import torch._inductor.config
from torch import Tensor, nn
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler
from torch.utils._triton import has_triton

from augment.errors import ConfigError
from augment.images import to_levels
from augment.layers import unblock

__all__ = ["can_compile", "sampling_network", "should_compile"]

logger = logging.getLogger("labelmint.sampling")

MAX_COMPILED = 256
"""Networks of one process that can be compiled; the next one would be an error."""
COMPILED_FROM = 20_000
"""Images from which on compiling, some ten seconds, has paid for itself."""


def sampling_network(
    model: nn.Module, device: torch.device, *, half: bool, compiled: bool
) -> Callable[..., Tensor]:
    """The network as one call without gradients, in one batch shape if compiled.

    Args:
        model: in eval mode on ``device``; stays as it is.
        device: where to run.
        half: compute in bfloat16.
        compiled: let TorchInductor compile the network, its weights as constants, at the first
            call.

    Returns:
        The model's inputs, each (N, ...), to (N, H, W, C) uint8.

    Raises:
        ConfigError: ``compiled`` where nothing can be compiled.
    """
    if compiled:
        if not can_compile(device):
            raise ConfigError(
                "compile needs a C++ compiler and Python's headers (on a GPU: Triton), and found "
                "none; install them, or leave compile off."
            )
        model = copy.deepcopy(model)
    draw_in_blocks: Callable[[], bool] | None = getattr(model, "draw_in_blocks", None)
    in_blocks = compiled and draw_in_blocks is not None and draw_in_blocks()

    def draw(*inputs: Tensor) -> Tensor:
        return to_levels(model(*map(_channels_last, inputs)))

    draw_fast: Callable[..., Tensor] = torch.compile(draw, dynamic=False) if compiled else draw

    @torch.no_grad()
    def run(*inputs: Tensor) -> Tensor:
        with (
            _patch(torch._inductor.config, freezing=True),
            _patch(
                torch._dynamo.config,
                recompile_limit=MAX_COMPILED,
                fail_on_recompile_limit_hit=True,  # rather than draw slowly without a word
            ),
            torch.autocast(device.type, torch.bfloat16, enabled=half),
        ):
            images = draw_fast(*inputs)
        return unblock(images) if in_blocks else images

    return run


def can_compile(device: torch.device) -> bool:
    """Whether this machine has what TorchInductor needs."""
    if device.type == "cuda":
        return bool(has_triton())
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return Path(sysconfig.get_path("include"), "Python.h").exists()


def should_compile(device: str | torch.device, images: int | None = None) -> bool:
    """Whether to compile for that many images, None being many; logs why not if it would pay."""
    if images is not None and images < COMPILED_FROM:
        return False
    possible = can_compile(torch.device(device))
    if not possible:
        logger.warning(
            "drawing at about half the speed: a compiled generator needs a C++ compiler and "
            "Python's headers (on a GPU: Triton)."
        )
    return possible


def _channels_last(values: Tensor) -> Tensor:
    """Maps in the layout that convolutions like; vectors as they are."""
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


def _patch(config: Any, **settings: object) -> Any:
    """Torch's own context manager, which it leaves untyped."""
    return config.patch(**settings)
