"""VAE/GAN as a generator: its batches, its banks, what its labels are and how it is sampled.

Where the data have attributes, these are the labels: sample i of "Smiling" is decoded from the
latent of a training image of somebody who smiles. Otherwise labels are the classes; a GAN that is
told neither draws ANYTHING.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augment.attributes import attribute_vectors
from augment.bundle import BundleInfo
from augment.config import from_mapping
from augment.data.batches import ImageBatches, ImagesConfig
from augment.data.datasets import LabelledImages
from augment.data.pairs import folds_of
from augment.draws import Uniforms, to_normal
from augment.errors import ConfigError, DataError, RequestError
from augment.generate import Inputs, Origins, Sampler, Style
from augment.generators.base import ANYTHING, SHEET_COLUMNS, GeneratorConfig, sample_sheet
from augment.images import Pixels, tile, to_tensor
from augment.models.vae_gan import Batch
from augment.models.vae_gan_config import (
    ABLATIONS,
    DCGAN,
    LABELMINT,
    PAPER,
    VAEGANConfig,
    VAEGANSampling,
)
from augment.training import TrainingConfig

__all__ = ["CONFIGS", "VAEGANGenerator", "VAEGANSampler"]

MAX_STYLES = 4096
"""Encodings kept in a bundle's bank; of larger sets every n-th image, and one of each label."""

_STYLE_A, _STYLE_B, _MIX, _MIXES, _NOISE = range(5)


class VAEGANSampler(Sampler):
    """Draws Dec(z), with z made of the latents of training images that have the label.

    A conditional model is told the attributes of the first of these images. In a given style,
    z is that style; the label's attribute vector is added, or the model told of an image's.
    Classes have neither, and take no style.

    Banks: ``bank.styles`` (S, latent_dim) are the means of q(z|x) of training images (of a GAN:
    draws from the prior), ``bank.has_label`` (S, k) uint8 which labels each has,
    ``bank.style_folds`` (S,) its fold, -1 for a draw, and ``bank.attribute_vectors``
    (A, latent_dim), where there are attributes and the model is not conditioned on them.
    """

    def __init__(
        self, info: BundleInfo, model: nn.Module, banks: Mapping[str, Tensor], **how: Any
    ) -> None:
        super().__init__(info, model, banks, **how)
        self.sampling = from_mapping(VAEGANSampling, info.sampling)
        has_label = banks["bank.has_label"].numpy()
        self.rows = np.nonzero(has_label.T)[1]  # label after label
        self.counts = has_label.astype(np.int64).sum(axis=0)
        self.starts = np.cumsum(self.counts) - self.counts
        self.folds = banks["bank.style_folds"].numpy()
        self.conditional = bool(self.model.num_attributes)
        self.attributes = torch.from_numpy(has_label.astype(np.float32) * 2 - 1).to(self.device)
        vectors = banks.get("bank.attribute_vectors")
        self.vectors = None if vectors is None else vectors.to(self.device)

    @property
    def takes_styles(self) -> bool:
        """Whether something besides the style tells the decoder of the label."""
        return self.vectors is not None or self.conditional or len(self.classes) == 1

    def encode_styles(self, images: Tensor) -> Tensor:
        """Mean of q(z|x)."""
        mu: Tensor = self.model.encode(images)[0]
        return mu

    def plan(
        self, labels: NDArray[np.int64], uniforms: Uniforms, style: Style | None
    ) -> tuple[Origins, Inputs]:
        """Choose two images that have the label, and how their latents mix."""
        count, sampling = len(labels), self.sampling
        lenders = np.stack([self._choose(labels, uniforms(s)) for s in (_STYLE_A, _STYLE_B)], 1)
        mixed = uniforms(_MIXES) < sampling.mix_share
        mixes = np.where(mixed, uniforms(_MIX), 0.0).astype(np.float32)
        noise = sampling.noise_std * to_normal(uniforms.table(_NOISE, self.styles.shape[1]))

        def inputs(rows: NDArray[np.int64]) -> tuple[Tensor, ...]:
            z = self.style_vectors(lenders[rows], mixes[rows], style)
            if style is not None and self.vectors is not None:
                z = z + self.vectors[self.on_device(labels[rows])]
            z = z + self.on_device(noise[rows].astype(np.float32))
            if not self.conditional:
                return (z,)
            return z, self.attributes[self.on_device(lenders[rows, 0])]

        if style is not None:
            nothing = np.full(count, -1, np.int64)
            return Origins(nothing, np.full((count, 2), -1), np.zeros_like(mixes), nothing), inputs
        folds = np.where(mixed, -1, self.folds[lenders[:, 0]])
        return Origins(np.full(count, -1, np.int64), lenders, mixes, folds), inputs

    def draw_for(self, attributes: NDArray[np.int8], seed: int) -> Pixels:
        """Draw Dec(z_p, attributes), z_p ~ N(0, I), as for the paper's attribute similarity.

        Args:
            attributes: (N, A), -1 or 1.
            seed: image i depends on it, on i and on its attributes alone.

        Returns:
            (N, H, W, C) uint8.

        Raises:
            RequestError: the model is not conditioned on attributes, or on others.
        """
        expected = self.attributes.shape[1] if self.conditional else 0
        if not expected or attributes.shape[1] != expected:
            raise RequestError(
                f"expected {expected} attributes an image, got {attributes.shape[1]}; only a "
                "model trained with model.conditional is told attributes."
            )
        count, size = len(attributes), self.batch_size
        numbers = Uniforms(seed, np.zeros(count, np.int64), np.arange(count))
        z = to_normal(numbers.table(_NOISE, self.styles.shape[1])).astype(np.float32)
        images = np.empty((count, *self.image_size, self.channels), np.uint8)
        for start in range(0, count, size):
            end = min(start + size, count)
            rows = np.arange(start, start + size).clip(max=end - 1)  # padded
            told = self.on_device(attributes[rows].astype(np.float32))
            drawn = self.network(self.on_device(z[rows]), told)
            images[start:end] = drawn[: end - start].cpu().numpy()
        return images

    def _choose(
        self, labels: NDArray[np.int64], uniforms: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """A bank row that has each label."""
        places = (uniforms * self.counts[labels]).astype(np.int64)
        rows: NDArray[np.int64] = self.rows[self.starts[labels] + places]
        return rows


@dataclass(frozen=True)
class VAEGANGenerator(GeneratorConfig):
    """Settings of VAE/GAN and of its batches."""

    architecture: ClassVar[str] = "vae_gan"
    sampler: ClassVar[type[Sampler]] = VAEGANSampler
    model: VAEGANConfig = field(default_factory=VAEGANConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    images: ImagesConfig = field(default_factory=lambda: ImagesConfig(towards_rare=0.0))
    sampling: VAEGANSampling = field(default_factory=VAEGANSampling)

    def __post_init__(self) -> None:
        """Check that a GAN that is told nothing draws from its prior."""
        if not self.model.knows_labels and self.sampling.noise_std != 1:
            raise ConfigError(
                "expected sampling.noise_std=1 of a GAN that is told no labels, for it draws from "
                f"its prior; got {self.sampling.noise_std}. Take --config dcgan, or set "
                "model.conditional=true."
            )

    def classes(self, data: LabelledImages) -> tuple[str, ...]:
        """The attributes of the data, else their classes; ANYTHING of a GAN that is told none."""
        if not self.model.knows_labels:
            return ANYTHING
        return data.attribute_names or data.classes

    def attributes(self, data: LabelledImages) -> tuple[str, ...]:
        """All attributes of the data, unless a GAN cannot encode what is to be edited."""
        return () if self.model.variant == "gan" else data.attribute_names

    def build_model(self, data: LabelledImages) -> nn.Module:
        """The network for ``data``.

        Raises:
            DataError: a label that no image has, an attribute that all have, or a conditional
                model without attributes.
        """
        if self.model.conditional and data.attributes is None:
            raise DataError(
                f"expected images with attributes for a conditional model, {data.uri} has none; "
                "use celeba: data, or set model.conditional=false."
            )
        if not self.model.knows_labels:
            return super().build_model(data)
        counts = _has_label(data).sum(axis=0)
        everywhere = counts == len(data) if data.attributes is not None else counts < 0
        unfit = np.flatnonzero((counts == 0) | everywhere)
        if len(unfit):
            names = ", ".join(self.classes(data)[i] for i in unfit)
            raise DataError(
                f"expected images with and without each label, all or none of {len(data)} have "
                f"{names}: add images, or leave these out."
            )
        return super().build_model(data)

    def batches(self, data: LabelledImages) -> Callable[[int, int, int], Batch]:
        """Images with their attributes."""
        source = ImageBatches(
            data, self.images, batch_size=self.training.batch_size, seed=self.training.seed
        )
        attributes = np.empty((len(data), 0)) if data.attributes is None else data.attributes

        def batch(step: int, rank: int, world_size: int) -> Batch:
            choice = source.choose(step, rank, world_size)
            known = torch.from_numpy(attributes[choice.rows].astype(np.float32))
            return Batch(source.images(choice), known)

        return batch

    def validate(self, model: nn.Module, batch: Batch) -> float:
        """Mean absolute error: of the reconstruction; of a GAN, of the mean image."""
        if self.model.variant == "gan":
            draws = torch.Generator().manual_seed(0)
            z = torch.randn(len(batch.images), self.model.latent_dim, generator=draws)
            images = model.decode(z.to(batch.images.device), batch.attributes)  # type: ignore[operator]
            return float((images.mean(dim=0) - batch.images.mean(dim=0)).abs().mean())
        mu, _ = model.encode(*batch)  # type: ignore[operator]
        images = model.decode(mu, batch.attributes)  # type: ignore[operator]
        return float((images - batch.images).abs().mean())

    def banks(self, model: nn.Module, data: LabelledImages) -> dict[str, Tensor]:
        """Latents of training images, the labels these have, and the vectors of attributes.

        Of a GAN that is told nothing the one latent to which noise is added, 0.
        """
        if not self.model.knows_labels:
            return {
                "bank.styles": torch.zeros(1, self.model.latent_dim),
                "bank.has_label": torch.ones(1, 1, dtype=torch.uint8),
                "bank.style_folds": torch.full((1,), -1),
            }
        has_label = _has_label(data)
        rows = np.union1d(np.arange(0, len(data), -(-len(data) // MAX_STYLES)), has_label.argmax(0))
        banks = {
            "bank.has_label": torch.from_numpy(has_label[rows].astype(np.uint8)),
            "bank.style_folds": torch.from_numpy(folds_of(data.labels)[rows]),
        }
        if self.model.variant == "gan":
            draws = torch.Generator().manual_seed(self.training.seed)
            banks["bank.styles"] = torch.randn(len(rows), self.model.latent_dim, generator=draws)
            banks["bank.style_folds"] = torch.full((len(rows),), -1)
            return banks
        banks["bank.styles"] = _encode(model, data.subset(rows), self.model.conditional)
        if data.attributes is not None and not self.model.conditional:
            device = next(model.parameters()).device
            banks["bank.attribute_vectors"] = attribute_vectors(model, data, device=device)  # type: ignore[arg-type]
        return banks

    def samples(
        self, info: BundleInfo, model: nn.Module, banks: dict[str, Tensor], data: LabelledImages
    ) -> Pixels:
        """One row a label: a training image that has it, then samples; else samples alone."""
        sampler = self.sampler(info, model, banks)
        if not self.model.knows_labels:
            numbers = np.arange(SHEET_COLUMNS**2)
            return tile(sampler.draw(np.zeros_like(numbers), numbers, 0).images, SHEET_COLUMNS)
        examples = LabelledImages.from_arrays(
            data.images(_has_label(data).argmax(axis=0)), np.arange(len(info.classes)), info.classes
        )
        return sample_sheet(sampler, examples)


def _config(model: VAEGANConfig, **sampling: float) -> VAEGANGenerator:
    training = TrainingConfig(learning_rate=5e-4)
    return VAEGANGenerator(model, training, sampling=VAEGANSampling(**sampling))


CONFIGS: dict[str, VAEGANGenerator] = {
    "labelmint": _config(LABELMINT),
    "paper": VAEGANGenerator(
        model=PAPER,
        training=TrainingConfig(batch_size=64, learning_rate=0.025 / 64, ema_decay=0.0),
    ),
    **{name: _config(model) for name, model in ABLATIONS.items()},
    "dcgan": _config(DCGAN, mix_share=0.0, noise_std=1.0),
}


def _has_label(data: LabelledImages) -> NDArray[np.bool_]:
    """(N, k) whether each image has each attribute, or is of each class."""
    if data.attributes is not None:
        return data.attributes > 0
    one_hot: NDArray[np.bool_] = data.labels[:, None] == np.arange(len(data.classes))
    return one_hot


@torch.no_grad()
def _encode(model: nn.Module, data: LabelledImages, conditional: bool) -> Tensor:
    """Means (N, latent_dim) of q(z|x) of all images, on the CPU."""
    device = next(model.parameters()).device
    codes = []
    for start in range(0, len(data), 256):
        rows = np.arange(start, min(start + 256, len(data)))
        images = to_tensor(data.images(rows)).to(device)
        attributes = None
        if conditional and data.attributes is not None:
            attributes = torch.from_numpy(data.attributes[rows]).float()
        codes.append(model.encode(images, attributes)[0].cpu())  # type: ignore[operator]
    return torch.cat(codes)
