"""DeePSiM: images compared by features, by a discriminator and by pixels, all three at once.

Dosovitskiy and Brox, "Generating Images with Perceptual Similarity Metrics based on Deep
Networks", NIPS 2016, arXiv:1602.02644. Symbols follow Sec. 3: G generator, D discriminator,
C comparator, y the image wanted; Φ the network that is inverted. Its three uses:

    autoencoder   G decodes a code 8 times smaller than y, made by an encoder that learns with it
    vae           the encoder predicts μ and log σ²; a KL term, weighed by hand, joins the sum
    inversion     G decodes Φ(y), the features of a frozen network, which D is told as well

Departures from the paper, besides those of ``deepsim_config``:
    Layer widths are our own, the encoder of the VAE is ours instead of AlexNet, and its code is a
    vector, as the training images are smaller and far fewer.
    D waits for a step when L_discr / L_adv of that very step is below the threshold.
"""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from augment.comparators import Comparator, FrozenNetwork, LearningNetwork
from augment.diffaugment import diff_augment
from augment.errors import ConfigError
from augment.losses.adversarial import real_or_fake
from augment.losses.divergence import kl_to_standard_normal, sample_posterior
from augment.losses.perceptual import Distance, absolute_error, share_of, squared_error
from augment.models.deepsim_config import DISCRIMINATOR, DeePSiMConfig
from augment.models.deepsim_networks import (
    HALVINGS,
    Discriminator,
    Encoder,
    Generator,
    PosteriorEncoder,
)
from augment.phases import Losses, Phase, Stage

__all__ = ["Batch", "DeePSiM"]

CAFFE_SCALE = 127.5
"""Levels of the paper's pixels in one unit of ours."""


class Batch(NamedTuple):
    """Images, and nothing else."""

    images: Tensor  # (N, C, H, W) in [-1, 1]


class DeePSiM(nn.Module):
    """Encoder or Φ, generator, discriminator, and the loss of three terms.

    Frozen networks are handed over by ``attach``; they are no part of the weights. Without them
    a trained model decodes, and encodes unless it inverts a network.

    Args:
        config: use, architecture, losses and steps.
        num_classes: of the data; labels play no part here.
        image_size: (H, W), each side at least 8.
        channels: 1 or 3.

    Raises:
        ConfigError: smaller images, or an inversion that does not know what features it gets.
    """

    def __init__(
        self,
        config: DeePSiMConfig,
        *,
        num_classes: int,
        image_size: tuple[int, int],
        channels: int,
    ) -> None:
        super().__init__()
        if min(image_size) < 2**HALVINGS:
            raise ConfigError(
                f"DeePSiM takes images of at least {2**HALVINGS} pixels a side, got "
                f"{image_size[0]}×{image_size[1]}; enlarge them."
            )
        self.config = config
        cells = (image_size[0] >> HALVINGS, image_size[1] >> HALVINGS)
        self.encoder: nn.Module | None = None
        if config.use == "autoencoder":
            self.encoder = Encoder(config, channels)
            self.code_shape: tuple[int, ...] = (config.code_channels, *cells)
        elif config.use == "vae":
            self.encoder = PosteriorEncoder(config, channels, cells)
            self.code_shape = (config.latent_dim,)
        elif config.features is None:
            raise ConfigError(
                "expected model.features, the shape of what the network gives, got null; train "
                "with model.network, which fills it in."
            )
        else:
            self.code_shape = config.features
        self.latent_dim = prod(self.code_shape)
        self.generator = Generator(config, self.code_shape, image_size, channels)
        told = self.latent_dim if config.use == "inversion" else 0
        self.discriminator = Discriminator(config, channels, told) if config.discriminates else None
        self.comparator: Comparator | None = None
        self.network: Comparator | None = None

    def attach(
        self, *, comparator: Comparator | None = None, network: Comparator | None = None
    ) -> Self:
        """Hand over the frozen networks: C to train with, Φ to invert. None leaves one as it is.

        Raises:
            ConfigError: a Φ with other weights than the one that the model was trained to invert.
        """
        wanted = self.config.network_digest
        if wanted is not None and isinstance(network, FrozenNetwork) and network.digest != wanted:
            raise ConfigError(
                f"expected {network.name} with the weights that this model learned to invert, "
                f"{wanted[:12]}…, got {network.digest[:12]}…: they have changed since; give the "
                "old ones, or train the inversion again."
            )
        self.comparator = comparator or self.comparator
        self.network = network or self.network
        return self

    def forward(self, images: Tensor) -> Tensor:
        """``reconstruct``."""
        return self.reconstruct(images)

    def reconstruct(self, images: Tensor) -> Tensor:
        """G of the code of images (N, C, H, W) in [-1, 1], of a VAE of its mean: as large."""
        return self.decode(self.encode(images)[0])

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The code, as a posterior; ``labels`` are ignored.

        Args:
            images: (N, C, H, W) in [-1, 1].
            labels: not used.

        Returns:
            mu, log_var: each (N, latent_dim); log_var is log σ², −∞ where the code is certain.

        Raises:
            ConfigError: an inversion without its network.
        """
        if isinstance(self.encoder, PosteriorEncoder):
            mu, log_var = self.encoder(images)
            return mu, log_var
        if self.encoder is not None:
            code = self.encoder(images)
        elif self.network is not None:
            with torch.no_grad():
                code = self.network(images).float()
        else:
            raise ConfigError(
                f"this model inverts {self.config.network}, which it does not hold; open that "
                "network and attach it, or give its features to decode."
            )
        mu = code.flatten(1)
        return mu, torch.full_like(mu, -torch.inf)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """G: (N, latent_dim) to images (N, C, H, W) in [-1, 1]; ``labels`` are ignored."""
        images: Tensor = self.generator(z)
        return images

    def players(self) -> dict[str, list[nn.Module]]:
        """Which networks each player moves."""
        players: dict[str, list[nn.Module]] = {"generator": [self.generator]}
        if self.encoder is not None:
            players["generator"].append(self.encoder)
        if self.discriminator is not None:
            players["discriminator"] = [self.discriminator]
        return players

    def stages(self) -> list[Stage]:
        """One stage; D and G in turn."""
        kl = " + λ_kl KL" if self.config.use == "vae" else ""
        phases = [
            Phase(
                "discriminator",
                "discriminator",
                "L_discr: cross-entropy; real images to 1, generated ones to 0",
                self._discriminate,
                moves_if=self._discriminator_moves,
            ),
            Phase(
                "generator",
                "generator",
                f"λ_feat L_feat + λ_adv L_adv + λ_img L_img{kl}",
                self._generate,
            ),
        ]
        return [Stage("train", self.config.steps, tuple(phases[0 if self.discriminator else 1 :]))]

    def _generate(self, batch: Batch, draws: torch.Generator) -> Losses:
        config, y = self.config, batch.images
        mu, log_var = self.encode(y)
        z = sample_posterior(mu, log_var, draws)
        images = self.decode(z)
        image = self._image_distance(images, y)
        total, terms = config.image_weight * image.mean(), {"image": image}
        if config.feature_weight:
            feature = self._feature_distance(images, y)
            total, terms["feature"] = total + config.feature_weight * feature.mean(), feature
        if config.adversarial_weight:
            adversarial = real_or_fake(self._judge(images, z, draws), real=True)
            total = total + config.adversarial_weight * adversarial.mean()
            terms["adversarial"] = adversarial
        if config.use == "vae":
            kl = kl_to_standard_normal(mu, log_var) / config.latent_dim
            total, terms["kl"] = total + config.kl_weight * kl.mean(), kl
        return Losses(total, terms)  # λ_feat L_feat + λ_adv L_adv + λ_img L_img (+ λ_kl KL)

    def _discriminate(self, batch: Batch, draws: torch.Generator) -> Losses:
        with torch.no_grad():
            z = sample_posterior(*self.encode(batch.images), draws)
            images = self.decode(z)
        real = real_or_fake(self._judge(batch.images, z, draws), real=True)
        logits = self._judge(images, z, draws)
        fake, adversarial = (
            real_or_fake(logits, real=False),
            real_or_fake(logits.detach(), real=True),
        )
        total = real.mean() + fake.mean()  # L_discr
        return Losses(total, {"real": real, "fake": fake, "adversarial": adversarial})

    def _discriminator_moves(self, terms: Mapping[str, float]) -> bool:
        """Not while it is far ahead: L_discr / L_adv ≥ the threshold."""
        least = self.config.least_ratio
        return least is None or terms["real"] + terms["fake"] >= least * terms["adversarial"]

    def _judge(self, images: Tensor, z: Tensor, draws: torch.Generator) -> Tensor:
        """D's logits (N, 1); an inversion's D is told the features too."""
        assert self.discriminator is not None
        seen = diff_augment(images, draws) if self.config.diff_augment else images
        features = z if self.config.use == "inversion" else None
        logits: Tensor = self.discriminator(seen, features, draws)
        return logits

    def _image_distance(self, images: Tensor, y: Tensor) -> Tensor:
        measure: Distance = absolute_error if self.config.pixels == "l1" else squared_error
        if self.config.reduction == "relative":
            return share_of(measure, images, y)
        return measure(images * CAFFE_SCALE, y * CAFFE_SCALE)

    def _feature_distance(self, images: Tensor, y: Tensor) -> Tensor:
        """‖C(G) − C(y)‖²; gradients reach G alone, C stands still."""
        compare = self._comparator()
        with torch.no_grad():
            wanted = compare(y)
        features = compare(images)
        if self.config.reduction == "relative":
            return share_of(squared_error, features, wanted)
        return squared_error(features, wanted)

    def _comparator(self) -> Comparator:
        if self.config.comparator == DISCRIMINATOR:
            assert self.discriminator is not None
            return LearningNetwork(DISCRIMINATOR, self.discriminator.convolutions)
        if self.comparator is None:
            raise ConfigError(
                f"expected the comparator {self.config.comparator} to train with, got none; "
                "attach it."
            )
        return self.comparator
