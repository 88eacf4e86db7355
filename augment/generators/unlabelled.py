"""Draws that are asked for no label: from a VAE's prior, or from the bank of a VAE/GAN.

Some bundles tell their images apart by attributes, of which one image has many, or by nothing.
Sets of their draws can be compared with sets of real images all the same.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.bundle import BundleInfo, open_bundle
from augment.draws import Uniforms, to_normal
from augment.errors import RequestError
from augment.generate import Inputs, Origins, Sampler, Style
from augment.generators.base import ANYTHING
from augment.generators.vae_gan import VAEGANSampler

__all__ = ["BankSampler", "PriorSampler", "draws_unlabelled", "load_unlabelled_sampler"]


class _Decoder(nn.Module):
    """The half of an autoencoder that samples are drawn with."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.model.decode(z)  # type: ignore[operator]
        return images


class PriorSampler(Sampler):
    """Decodes z ~ N(0, I), or a style given; of the one class ANYTHING."""

    def __init__(self, info: BundleInfo, model: nn.Module, **how: Any) -> None:
        no_styles = torch.empty(0, model.latent_dim)  # type: ignore[call-overload]
        super().__init__(info, _Decoder(model), {"bank.styles": no_styles}, **how)
        self.classes = ANYTHING

    def encode_styles(self, images: Tensor) -> Tensor:
        """Mean of q(z|x)."""
        mu: Tensor = self.model.model.encode(images)[0]
        return mu

    def plan(
        self, labels: NDArray[np.int64], uniforms: Uniforms, style: Style | None
    ) -> tuple[Origins, Inputs]:
        """Choose z; it is made of no image."""
        z = to_normal(uniforms.table(0, self.styles.shape[1])).astype(np.float32)
        if style is not None:
            z[:] = style.vector
        none = np.full(len(labels), -1, np.int64)
        origins = Origins(none, np.stack([none, none], 1), np.zeros(len(labels), np.float32), none)
        return origins, lambda rows: (self.on_device(z[rows]),)


class BankSampler(VAEGANSampler):
    """Draws as the bundle does, from the latents of any training image; of the class ANYTHING."""

    def __init__(self, *what: Any, **how: Any) -> None:
        super().__init__(*what, **how)
        self.classes = ANYTHING

    def _choose(
        self, labels: NDArray[np.int64], uniforms: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """A bank row, each as likely."""
        rows: NDArray[np.int64] = (uniforms * self.num_styles).astype(np.int64)
        return rows


def draws_unlabelled(info: BundleInfo) -> bool:
    """Whether a bundle draws images, but none of a class."""
    match info.architecture:
        case "masked_vae":
            return True
        case "deepsim":
            return info.model.get("use") == "vae"
        case "vae_gan":  # its labels are attributes, where the data have any
            told_none = info.classes == ANYTHING
            return told_none or bool(info.attributes) or bool(info.model.get("conditional"))
        case _:
            return False


def load_unlabelled_sampler(folder: str | Path, **how: Any) -> Sampler:
    """Load a bundle's folder; keyword arguments as in ``Sampler``.

    Raises:
        BundleNotFoundError, BundleError: see ``augment.bundle.open_bundle``.
        RequestError: the bundle draws images of classes, or none.
    """
    info, model, banks = open_bundle(Path(folder))
    if not draws_unlabelled(info):
        raise RequestError(
            f"expected a bundle that draws images without labels, got one of {info.architecture}; "
            "load_sampler loads those that draw classes."
        )
    if info.architecture == "vae_gan":
        return BankSampler(info, model, banks, **how)
    return PriorSampler(info, model, **how)
