"""Feature networks by name: what a configuration may compare images by, or have inverted.

| name | network |
|---|---|
| ``alexnet:conv5`` | torchvision's, weights from its cache or by download |
| ``alexnet:conv5@FILE`` | the same with the state dict in FILE, .pth or .safetensors |
| ``untrained:alexnet:conv5`` | the same with random weights, always the same ones |
| ``exemplar:BUNDLE[:LAYER]`` | an Exemplar-CNN's bundle; else its last convolution |
| ``reader:PATH:LAYER`` | a recognizer of ours (see ``recognizers.comparators``) |

Any classifier of torchvision may stand for alexnet. A layer is a submodule's name, ``output`` or
``probabilities``; AlexNet's also have the paper's names, conv1 to fc8, which include the pooling
and the rectifier that follow. Weights are never silently random.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from augment.bundle import open_bundle
from augment.comparators import FrozenNetwork
from augment.errors import ConfigError
from augment.models.exemplar_cnn import LAST_CONVOLUTION, ExemplarCNN

__all__ = ["OPENERS", "Opener", "open_comparator", "with_path"]

ALEXNET_LAYERS = {
    "conv1": "features.2",
    "conv2": "features.5",
    "conv3": "features.7",
    "conv4": "features.9",
    "conv5": "features.12",
    "fc6": "classifier.2",
    "fc7": "classifier.5",
    "fc8": "classifier.6",
}
"""The paper's names (its Sec. 4.3: pooling and non-linearity included)."""
LEAST_SIDE = 224
"""Smaller images are enlarged to it, in pixels, for torchvision's networks, as they were trained:
at 64 the last map of AlexNet is a single cell, which does not know where anything is."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
UNTRAINED_SEED = 0

Opener = Callable[[str], FrozenNetwork]
"""What follows ``KIND:`` in a name, to the network."""


def open_comparator(name: str, image_size: tuple[int, int], channels: int) -> FrozenNetwork:
    """Open a feature network and try it on an image.

    Args:
        name: see the table above.
        image_size: (H, W) of the images it will see.
        channels: 1 or 3.

    Raises:
        ConfigError: unknown name or layer, no weights or unfit ones, or images it cannot take.
        BundleError, BundleNotFoundError: a bundle that cannot be opened.
    """
    kind, sign, rest = name.partition(":")
    if not sign or not rest:
        raise ConfigError(
            f"expected the name of a feature network such as alexnet:conv5, got {name!r}; start it "
            f"with {', '.join(sorted(OPENERS))} or a classifier of torchvision."
        )
    network = OPENERS[kind](rest) if kind in OPENERS else _open_torchvision(name)
    network.shape_of_features(image_size, channels)
    return network


def with_path(name: str, change: Callable[[str], str]) -> str:
    """The name with its path, if it has one, changed."""
    kind, sign, rest = name.partition(":")
    if sign and kind in OPENERS and kind != "untrained":
        path, layer = split_layer(rest)
        return f"{kind}:{change(path)}" + (f":{layer}" if layer else "")
    spec, at, file = name.partition("@")
    return f"{spec}@{change(file)}" if at else name


def split_layer(rest: str) -> tuple[str, str]:
    """Split PATH[:LAYER]; a URL keeps its own colon, the layer is empty where none is named.

    Raises:
        ConfigError: nothing before or behind the colon.
    """
    scheme, sign, tail = rest.rpartition("://")
    path, colon, layer = tail.rpartition(":")
    if not colon:
        return rest, ""
    if not path or not layer:
        raise ConfigError(f"expected PATH:LAYER, got {rest!r}; say which layer.")
    return scheme + sign + path, layer


def local_folder(path: str, name: str) -> Path:
    """The folder of a feature network's weights.

    Raises:
        ConfigError: a URL.
    """
    if "://" in path:
        raise ConfigError(
            f"{name}: expected a folder on a disk that every worker sees, got the URL {path}; "
            "copy the bundle there and name the copy."
        )
    return Path(path)


def _open_torchvision(name: str) -> FrozenNetwork:
    """``alexnet:conv5`` or ``alexnet:conv5@FILE``."""
    spec, at, file = name.partition("@")
    architecture, _, layer = spec.partition(":")
    network = _build(name, architecture)
    state = _read_weights(Path(file)) if at else _published_weights(name, architecture)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(
            f"{name}: expected weights of {architecture}, got others "
            f"({'; '.join(str(error).split(chr(10))[:2])}); name the file of this architecture."
        ) from error
    return _frozen(name, architecture, network, layer)


def _open_untrained(rest: str) -> FrozenNetwork:
    """``untrained:alexnet:conv5``."""
    architecture, _, layer = rest.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        network = _build(f"untrained:{rest}", architecture)
    return _frozen(f"untrained:{rest}", architecture, network, layer)


def _open_exemplar(rest: str) -> FrozenNetwork:
    """``exemplar:BUNDLE[:LAYER]``."""
    path, layer = split_layer(rest)
    opened = open_bundle(local_folder(path, f"exemplar:{rest}"))
    if not isinstance(opened.model, ExemplarCNN):
        raise ConfigError(
            f"exemplar:{rest}: expected a bundle of exemplar_cnn, got one of "
            f"{opened.info.architecture}; train one with python -m jobs.train exemplar_cnn."
        )
    return FrozenNetwork(f"exemplar:{rest}", opened.model, layer or LAST_CONVOLUTION)


OPENERS: dict[str, Opener] = {"exemplar": _open_exemplar, "untrained": _open_untrained}
"""By the kind that a name starts with; ``recognizers.comparators`` adds ``reader``."""


def _build(name: str, architecture: str) -> nn.Module:
    from torchvision import models  # slow to import, and few need it

    known = models.list_models(module=models)
    if architecture not in known:
        raise ConfigError(
            f"{name}: unknown feature network {architecture!r}; expected "
            f"{', '.join(sorted(OPENERS))} or one of torchvision's: {', '.join(known)}."
        )
    options = {}
    if architecture in ("googlenet", "inception_v3"):  # as with torchvision's own weights
        options = {"init_weights": False, "transform_input": True}
    network: nn.Module = models.get_model(architecture, weights=None, **options)
    return network


def _frozen(name: str, architecture: str, network: nn.Module, layer: str) -> FrozenNetwork:
    if architecture == "alexnet":
        layer = ALEXNET_LAYERS.get(layer, layer)
    return FrozenNetwork(name, network, layer, prepare=_for_imagenet)


def _for_imagenet(images: Tensor) -> Tensor:
    """[-1, 1] to what torchvision's networks were trained on; gray becomes RGB."""
    side = min(images.shape[2:])
    if side < LEAST_SIDE:
        size = [round(length * LEAST_SIDE / side) for length in images.shape[2:]]
        images = F.interpolate(images, size, mode="bilinear", align_corners=False)
    mean = torch.tensor(IMAGENET_MEAN, device=images.device)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=images.device)[:, None, None]
    return ((images.float() + 1) / 2 - mean) / std


def _published_weights(name: str, architecture: str) -> dict[str, Tensor]:
    """Torchvision's default weights, from its cache or the internet."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(architecture).DEFAULT
    try:
        state: dict[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"{name}: cannot get the weights {weights.url} ({error}); name their file, "
            f"{name}@FILE, or use random ones knowingly, untrained:{name}."
        ) from error
    return state


def _read_weights(file: Path) -> dict[str, Tensor]:
    """A state dict in a file."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises many kinds; all mean another file
        raise ConfigError(
            f"{file}: expected a state dict, .pth or .safetensors, got none ({error!r}); check the "
            "path."
        ) from error
    if not isinstance(state, Mapping):
        raise ConfigError(
            f"{file}: expected a state dict, got {type(state).__name__}; save state_dict() there."
        )
    return state
