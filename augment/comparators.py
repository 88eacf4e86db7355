"""Comparators: networks in whose features images are compared, instead of in pixels.

A comparator (DeePSiM, arXiv:1602.02644, Sec. 3) is any map from images to features that gradients
pass through. ``augment.feature_networks`` opens the frozen ones by name; a model may also compare
by a network that it trains itself, such as its discriminator.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from augment.errors import ConfigError
from augment.losses.perceptual import perceptual_share

__all__ = [
    "OUTPUT",
    "PROBABILITIES",
    "Comparator",
    "FrozenNetwork",
    "LearningNetwork",
    "PerceptualConfig",
    "perceptual_term",
]

OUTPUT = "output"
"""Layer name of what a network returns."""
PROBABILITIES = "probabilities"
"""Layer name of the softmax of what it returns."""


class Comparator(Protocol):
    """Images to features."""

    @property
    def name(self) -> str:
        """As a configuration spells it."""

    @property
    def learns(self) -> bool:
        """Whether it is still being trained; else it is frozen."""

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to features (N, …)."""


@dataclass(frozen=True)
class PerceptualConfig:
    """A feature distance as one more reconstruction term of a generator.

    Weight 1: missing all of the real features' squared norm costs what the generator's own
    reconstruction term, with its weight and its reduction, asks for a mean squared error of 1 in
    pixels on [-1, 1]; where that term is relative, or a mean, a share of 1.
    """

    comparator: str  # see ``augment.feature_networks``
    weight: float = 1.0  # see above

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.weight <= 0:
            raise ConfigError(
                f"perceptual.weight must be positive; got {self.weight}: set perceptual to null "
                "to leave the term out."
            )


@dataclass(frozen=True)
class LearningNetwork:
    """A part of a model that the model trains for a purpose of its own, as a comparator."""

    name: str
    network: nn.Module
    learns = True

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to what the part makes of them (N, …)."""
        features: Tensor = self.network(images)
        return features


def perceptual_term(
    config: PerceptualConfig, comparator: Comparator | None, images: Tensor, targets: Tensor
) -> Tensor:
    """A generator's perceptual term, before weighting: the share of features that is missed.

    Args:
        config: which comparator.
        comparator: the one it names.
        images: (N, C, H, W) in [-1, 1].
        targets: the same; constants.

    Returns:
        (N,).

    Raises:
        ConfigError: no comparator.
    """
    if comparator is None:
        raise ConfigError(
            f"expected the comparator {config.comparator} to train with, got none; set the "
            "model's attribute comparator, as build_model of its generator does."
        )
    return perceptual_share(comparator, images, targets)


class FrozenNetwork(nn.Module):
    """A trained network up to one of its layers.

    It moves between devices with the model that holds it, but is no part of its weights: it is
    neither saved nor trained nor averaged, is always in eval mode, and copies of the model share
    it. Gradients reach the images.

    Args:
        name: as a configuration spells it.
        network: images to outputs.
        layer: a submodule's name, whose output counts; or OUTPUT, or PROBABILITIES.
        prepare: images (N, C, H, W) in [-1, 1] to what the network expects.

    Raises:
        ConfigError: no such layer; the valid ones are listed.
    """

    learns = False

    def __init__(
        self,
        name: str,
        network: nn.Module,
        layer: str,
        prepare: Callable[[Tensor], Tensor] = lambda images: images,
    ) -> None:
        super().__init__()
        layers = layers_of(network)
        if layer not in layers:
            raise ConfigError(
                f"{name}: expected a layer of {type(network).__name__}, got {layer!r}; its layers "
                f"are {', '.join(layers)}."
            )
        self.name, self.layer, self.prepare = name, layer, prepare
        self._held = (network.eval().requires_grad_(False),)  # a tuple hides it from nn.Module

    @property
    def network(self) -> nn.Module:
        """The network, whole."""
        return self._held[0]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the network's weights, in hexadecimal; which layer counts plays no part."""
        found = hashlib.sha256()
        for name, weights in sorted(self.network.state_dict().items()):
            found.update(name.encode())
            found.update(weights.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return found.hexdigest()

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to the layer's output (N, …)."""
        network, inputs = self.network, self.prepare(images)
        if self.layer in (OUTPUT, PROBABILITIES):
            outputs: Tensor = network(inputs)
            return outputs if self.layer == OUTPUT else outputs.float().softmax(dim=1)
        handle = network.get_submodule(self.layer).register_forward_hook(_leave)
        try:
            network(inputs)
        except _ReachedError as reached:
            return reached.features
        finally:
            handle.remove()
        raise ConfigError(f"{self.name}: images do not pass through {self.layer}; name another.")

    def shape_of_features(self, image_size: tuple[int, int], channels: int) -> tuple[int, ...]:
        """Shape of the features of one image.

        Raises:
            ConfigError: the network cannot take such images, they pass the layer several times, or
                it gives no tensor or one that is not finite.
        """
        device = next(self.network.parameters()).device
        gray = torch.zeros(1, channels, *image_size, device=device)
        try:
            with torch.no_grad():
                features = self(gray)
        except (AssertionError, RuntimeError, ValueError) as error:  # as the network refuses
            raise ConfigError(
                f"{self.name} does not take images of {image_size[0]}×{image_size[1]}×{channels}: "
                f"{error}; choose another layer or image size."
            ) from error
        if not isinstance(features, Tensor) or features.ndim < 2:
            raise ConfigError(f"{self.name}: {self.layer} gives no features; name another layer.")
        if not features.isfinite().all():
            raise ConfigError(
                f"{self.name}: expected finite features of {self.layer}, got others of a gray "
                "image; its weights are damaged."
            )
        if (passes := self._passes(gray)) > 1:
            raise ConfigError(
                f"{self.name}: expected a layer that images pass once, got {self.layer}, which "
                f"they pass {passes} times; name the block around it, or another."
            )
        return tuple(features.shape[1:])

    @torch.no_grad()
    def _passes(self, images: Tensor) -> int:
        """How often images pass the layer on their way through the whole network."""
        if self.layer in (OUTPUT, PROBABILITIES):
            return 1
        passed: list[None] = []
        handle = self.network.get_submodule(self.layer).register_forward_hook(
            lambda *_: passed.append(None)
        )
        with suppress(AssertionError, RuntimeError, ValueError):  # of layers behind that count not
            self.network(self.prepare(images))
        handle.remove()
        return len(passed)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the network wherever the model goes."""
        self.network._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenNetwork":
        """Return itself: what never changes is shared."""
        return self


def layers_of(network: nn.Module) -> list[str]:
    """Names that ``FrozenNetwork`` takes for a layer."""
    named = [name for name, part in network.named_modules() if name and _is_called(part)]
    return [*named, OUTPUT, PROBABILITIES]


class _ReachedError(Exception):
    """Leaves a network as soon as the layer asked for has been computed."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


def _leave(module: nn.Module, inputs: Any, features: Tensor) -> None:
    raise _ReachedError(features)


def _is_called(part: nn.Module) -> bool:
    return not isinstance(part, nn.ModuleList | nn.ModuleDict)
