"""Masked VAE: reconstruction learned on face pixels only, and the face mask learned beside it.

Toledo and Antonelo, "Face Reconstruction with Variational Autoencoder and Face Masks", ENIAC
2021, arXiv:2112.02139, and the authors' code for what the paper leaves open. Symbols: x image,
m face mask, x̃ decoded image, m̃ predicted mask; the composite is x̂ = x̃ m + x (1 − m).

One player minimizes, every term a mean over the images of the batch,

    4·l1 or 100·l2 (or neither) + (2 − SSIM) (or not) + 1e-3·KL + BCE(m̃, m) + Dice(m̃, m)

with l1, l2 and SSIM between x̂ and x on [0, 1], averaged over channels and face pixels; SSIM in
9×9 windows, those that reach over the face's edge seeing the background of x in both images;
KL averaged over the latent dimensions; BCE averaged over pixels. Without masks (the paper's
ablation) the face is the whole image, and there is no m̃ to learn.

Departures from the authors' code:
    sampling    z = μ + exp(½ log σ²) ε. Theirs multiplies ε by the very output that their KL
                term takes for log σ.
    averages    theirs count the background, where x̂ = x, and so weigh small faces less; theirs
                sum Dice over the batch, ours over each image.
    clipping    theirs cuts each gradient to norm 1e-3, which Adam all but undoes; ours does not.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from augment.comparators import Comparator, perceptual_term
from augment.errors import ConfigError
from augment.losses.divergence import kl_to_standard_normal, sample_posterior
from augment.losses.structure import (
    dice_distance,
    l1_within,
    l2_within,
    region_cross_entropy,
    ssim_within,
)
from augment.models.masked_vae_config import LABELMINT, PAPER, MaskedVAEConfig
from augment.phases import Losses, Phase, Stage

__all__ = ["LABELMINT", "PAPER", "MaskedBatch", "MaskedVAE", "MaskedVAEConfig"]


class MaskedBatch(NamedTuple):
    """Faces and where they are."""

    images: Tensor  # (N, C, H, W) in [-1, 1]
    face_masks: Tensor  # (N, 1, H, W), 1 = face, 0 = not


class Encoder(nn.Module):
    """Levels of 3×3 convolutions, each ending in max pooling; a hidden layer; μ and log σ²."""

    def __init__(self, config: MaskedVAEConfig, channels: int, sizes: list[tuple[int, int]]):
        super().__init__()
        layers: list[nn.Module] = []
        for widths in config.encoder:
            for width in widths:
                layers.append(_activated(nn.Conv2d(channels, width, 3, 1, 1)))
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.levels = nn.Sequential(*layers)
        height, width = sizes[-1]
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * height * width, config.hidden_dim), nn.ELU()
        )
        self.to_mu = nn.Linear(config.hidden_dim, config.latent_dim)
        self.to_log_var = nn.Linear(config.hidden_dim, config.latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to μ and log σ², each (N, latent_dim)."""
        hidden = self.hidden(self.levels(images))
        return self.to_mu(hidden), self.to_log_var(hidden)


class Decoder(nn.Module):
    """Levels of one transposed convolution, twice as large, and one 3×3; logits at the end.

    The sizes are the encoder's in reverse: 144, 72, 36, 18, 9, 4, 2, 1 is decoded by making
    4 into 9, as published.
    """

    def __init__(
        self,
        config: MaskedVAEConfig,
        widths: tuple[int, ...],
        channels: int,
        sizes: list[tuple[int, int]],
    ) -> None:
        super().__init__()
        coarse = sizes[-1]
        if coarse == (1, 1):  # z itself is the first map
            self.to_map: nn.Module = nn.Unflatten(1, (config.latent_dim, 1, 1))
            before = config.latent_dim
        else:
            before = widths[0]
            self.to_map = nn.Sequential(
                nn.Linear(config.latent_dim, before * coarse[0] * coarse[1]),
                nn.Unflatten(1, (before, *coarse)),
            )
        layers: list[nn.Module] = []
        for width, small, large in zip(widths, sizes[:0:-1], sizes[-2::-1], strict=True):
            odd = [big - 2 * little for big, little in zip(large, small, strict=True)]  # 0 or 1
            padding = (1 - odd[0], 1 - odd[1])
            enlarge = nn.ConvTranspose2d(before, width, 3, 2, padding, output_padding=padding)
            layers += [_activated(enlarge), _activated(nn.Conv2d(width, width, 3, 1, 1))]
            before = width
        self.levels = nn.Sequential(*layers, nn.Conv2d(before, channels, 3, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        """(N, latent_dim) to logits (N, channels, H, W)."""
        logits: Tensor = self.levels(self.to_map(z))
        return logits.float()


class MaskedVAE(nn.Module):
    """Encoder, image decoder, and mask decoder unless ``config.masked`` is off.

    Args:
        config: architecture, losses and steps.
        num_classes: of the data; labels play no part here.
        image_size: (H, W), each side at least 2 to the number of levels.
        channels: 1 or 3.

    Raises:
        ConfigError: images too small for the levels or for SSIM's window.
    """

    def __init__(
        self,
        config: MaskedVAEConfig,
        *,
        num_classes: int,
        image_size: tuple[int, int],
        channels: int,
    ) -> None:
        super().__init__()
        self.config, self.image_size = config, image_size
        self.latent_dim = config.latent_dim
        self.comparator: Comparator | None = None  # of the perceptual term; not among the weights
        least = max(2 ** len(config.encoder), config.ssim_window if config.uses_ssim else 1)
        if min(image_size) < least:
            raise ConfigError(
                f"image sides must be at least {least} pixels for this configuration's levels and "
                f"SSIM window, got {image_size[0]}×{image_size[1]}; enlarge the images, or take "
                "fewer levels or a smaller window."
            )
        levels = range(len(config.encoder) + 1)
        sizes = [(image_size[0] >> level, image_size[1] >> level) for level in levels]
        self.encoder = Encoder(config, channels, sizes)
        self.decoder = Decoder(config, config.decoder, channels, sizes)
        self.mask_decoder = (
            Decoder(config, config.mask_decoder, 1, sizes) if config.masked else None
        )

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Posterior q(z|x); ``labels`` are ignored.

        Args:
            images: (N, C, H, W) in [-1, 1].
            labels: not used.

        Returns:
            mu, log_var: each (N, latent_dim); log_var is log σ².
        """
        mu, log_var = self.encoder(images)
        return mu.float(), log_var.float()

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """x̃: (N, latent_dim) to (N, C, H, W) in [-1, 1]; ``labels`` are ignored."""
        return 2 * torch.sigmoid(self.decoder(z)) - 1  # the paper's sigmoid, at the model's edge

    def predict_mask(self, z: Tensor) -> Tensor:
        """m̃: (N, latent_dim) to (N, 1, H, W), the probability that a pixel is face.

        Raises:
            ConfigError: the model was configured without masks.
        """
        return torch.sigmoid(self._mask_logits(z))

    def reconstruct(self, images: Tensor, face_masks: Tensor | None = None) -> Tensor:
        """x̂ with z = μ: faces as the model sees them, on their own backgrounds.

        Args:
            images: (N, C, H, W) in [-1, 1].
            face_masks: (N, 1, H, W) in [0, 1]; None predicts them, or where the model was
                configured without masks takes the whole image.

        Returns:
            (N, C, H, W) in [-1, 1].
        """
        mu, _ = self.encode(images)
        decoded = self.decode(mu)
        if face_masks is None:
            if self.mask_decoder is None:
                return decoded
            face_masks = self.predict_mask(mu)
        return _composite(decoded, images, face_masks)

    def forward(self, images: Tensor) -> Tensor:
        """``reconstruct`` with what the model itself knows of masks."""
        return self.reconstruct(images)

    def players(self) -> dict[str, list[nn.Module]]:
        """One player moves everything."""
        return {"autoencoder": list(self.children())}

    def stages(self) -> list[Stage]:
        """One stage of one phase."""
        phase = Phase(
            "autoencoder",
            "autoencoder",
            "reconstruction within the face, KL to the prior, and the error of the predicted mask",
            self._autoencode,
        )
        return [Stage("autoencode", self.config.steps, (phase,))]

    def _autoencode(self, batch: MaskedBatch, draws: torch.Generator) -> Losses:
        mu, log_var = self.encode(batch.images)
        z = sample_posterior(mu, log_var, draws)
        config, kl = self.config, kl_to_standard_normal(mu, log_var)
        total, terms = config.kl_weight * kl.mean() / config.latent_dim, {"kl": kl}
        face_masks = batch.face_masks
        if self.mask_decoder is None:
            face_masks = torch.ones_like(face_masks)
        else:
            logits = self._mask_logits(z)
            entropy = region_cross_entropy(logits, face_masks)
            dice = dice_distance(torch.sigmoid(logits), face_masks)
            total = total + entropy.mean() + dice.mean()
            terms |= {"mask_entropy": entropy, "mask_dice": dice}
        rebuilt = self.reconstruction_terms(self.decode(z), batch.images, face_masks)
        weights = {"l1": config.l1_weight, "l2": config.l2_weight, "ssim": 1.0}
        if config.perceptual is not None:
            weights["perceptual"] = config.perceptual.weight
        for name, values in rebuilt.items():
            total = total + weights[name] * values.mean()
        return Losses(total, terms | rebuilt)

    def reconstruction_terms(
        self, decoded: Tensor, images: Tensor, face_masks: Tensor
    ) -> dict[str, Tensor]:
        """The terms that ``config.reconstruction`` names, between composites and images.

        Args:
            decoded: (N, C, H, W) in [-1, 1].
            images: the same.
            face_masks: (N, 1, H, W), 1 = face.

        Returns:
            l1, l2 and ssim (2 − SSIM), as configured, each (N,), on [0, 1]; perceptual likewise.
        """
        x = (images.float() + 1) / 2
        x_hat = _composite((decoded.float() + 1) / 2, x, face_masks)
        terms = {}
        for name in self.config.reconstruction.split("+"):
            if name == "l1":
                terms[name] = l1_within(x_hat, x, face_masks)
            elif name == "l2":
                terms[name] = l2_within(x_hat, x, face_masks)
            else:
                similarity = ssim_within(x_hat, x, face_masks, window=self.config.ssim_window)
                terms[name] = 2 - similarity
        if self.config.perceptual is not None:
            terms["perceptual"] = perceptual_term(
                self.config.perceptual, self.comparator, 2 * x_hat - 1, images
            )
        return terms

    def _mask_logits(self, z: Tensor) -> Tensor:
        if self.mask_decoder is None:
            raise ConfigError(
                "expected a model with a mask decoder, got one configured with masked=False; "
                "train one with model.masked=true."
            )
        logits: Tensor = self.mask_decoder(z)
        return logits


def _activated(convolution: nn.Module) -> nn.Sequential:
    """A convolution, batch norm and ELU."""
    width: int = convolution.out_channels  # type: ignore[assignment]
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ELU())


def _composite(decoded: Tensor, images: Tensor, face_masks: Tensor) -> Tensor:
    """x̂ = x̃ m + x (1 − m); exactly x where m = 0."""
    return decoded * face_masks + images * (1 - face_masks)
