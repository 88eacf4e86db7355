"""The generators: an architecture, what it trains on, what its bundle holds, how it is sampled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from augment.bundle import open_bundle
from augment.errors import RequestError
from augment.generate import Sampler
from augment.generators import cvae_gan, deepsim, exemplar_cnn, line_saae, masked_vae, saae, vae_gan
from augment.generators.base import GeneratorConfig

__all__ = ["GENERATORS", "load_sampler"]

GENERATORS: dict[str, Mapping[str, GeneratorConfig[Any]]] = {
    "cvae_gan": cvae_gan.CONFIGS,
    "deepsim": deepsim.CONFIGS,
    "exemplar_cnn": exemplar_cnn.CONFIGS,
    "line_saae": line_saae.CONFIGS,
    "masked_vae": masked_vae.CONFIGS,
    "saae": saae.CONFIGS,
    "vae_gan": vae_gan.CONFIGS,
}
"""Configurations by architecture and name; the first of each is the default."""


def load_sampler(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 128,
    half: bool | None = None,
    compile: bool = False,
) -> Sampler:
    """Load a bundle's folder; arguments as in ``Sampler``.

    Raises:
        BundleNotFoundError, BundleError: see ``augment.bundle.open_bundle``.
        RequestError: the bundle's architecture draws no labelled images.
    """
    info, model, banks = open_bundle(Path(folder))
    sampler = next(iter(GENERATORS[info.architecture].values())).sampler
    if sampler is None:
        raise RequestError(
            f"a {info.architecture} bundle draws no labelled images; it repairs and edits those "
            "it is given."
        )
    return sampler(
        info, model, banks, device=device, batch_size=batch_size, half=half, compile=compile
    )
