"""VAE/GAN: reconstruction error measured inside the discriminator.

Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016,
arXiv:1512.09300. Names follow Algorithm 1; sizes, the equilibrium rule and who receives which
gradient follow the authors' code.

Departures from the paper, besides those of ``vae_gan_config``:
    Adam instead of RMSProp, and neither a falling learning rate nor weight decay: the one
    training loop of all models.
    The players move one after another, each on the weights the others have just left, where the
    authors' code moves all three on one set of gradients.
    Dis_l of x and x̃ for the decoder comes from the pass that judges x_p too, with which they
    share their batch statistics, and costs are computed from logits, not as log(Dis + 1e-3).
As in the authors' code, real images weigh as much in the discriminator's cost as reconstructions
and samples together. Reconstructions are judged as in the paper's Algorithm 1; the authors' scripts
for faces leave them out (``discriminate_ae_recon=False``).
"""

from collections.abc import Callable, Mapping
from math import gcd
from typing import NamedTuple

import torch
from torch import Tensor, nn

from augment.comparators import Comparator, perceptual_term
from augment.diffaugment import diff_augment
from augment.errors import ConfigError
from augment.losses.adversarial import real_or_fake
from augment.losses.divergence import kl_to_standard_normal, sample_posterior
from augment.losses.likelihood import gaussian_nll
from augment.models.vae_gan_config import VAEGANConfig
from augment.phases import Losses, Phase, Stage

__all__ = ["VAEGAN", "Batch", "who_moves"]

PAPER_FEATURES = 256 * 8 * 8
"""Elements of Dis_l at 64×64, for which γ is stated."""


class Batch(NamedTuple):
    """Images and what is known of them."""

    images: Tensor  # (N, C, H, W) in [-1, 1]
    attributes: Tensor  # (N, A) float, -1 or 1; (N, 0) where there are none


class Encoder(nn.Module):
    """Enc: three strided convolutions and a fully connected layer to q(z|x)."""

    def __init__(
        self, config: VAEGANConfig, attributes: int, channels: int, cells: tuple[int, int]
    ) -> None:
        super().__init__()
        width = config.width
        self.convolutions = nn.Sequential(
            *_halving(channels, width, config),
            *_halving(width, 2 * width, config),
            *_halving(2 * width, 4 * width, config),
        )
        inputs = 4 * width * cells[0] * cells[1] + attributes
        self.hidden = nn.Sequential(*_connected(inputs, config.hidden, config))
        self.to_mu = nn.Linear(config.hidden, config.latent_dim)
        self.to_log_var = nn.Linear(config.hidden, config.latent_dim)

    def forward(self, images: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W), (N, A) to mu and log_var, each (N, latent_dim)."""
        hidden = self.hidden(_beside(self.convolutions(images).flatten(1), attributes))
        return self.to_mu(hidden).float(), self.to_log_var(hidden).float()


class Decoder(nn.Module):
    """Dec: a fully connected layer, three transposed convolutions, a convolution, tanh."""

    def __init__(
        self, config: VAEGANConfig, attributes: int, channels: int, cells: tuple[int, int]
    ) -> None:
        super().__init__()
        width = config.width
        self.cells = cells
        self.hidden = nn.Sequential(
            *_connected(config.latent_dim + attributes, 4 * width * cells[0] * cells[1], config)
        )
        self.convolutions = nn.Sequential(
            *_doubling(4 * width, 4 * width, config),
            *_doubling(4 * width, 2 * width, config),
            *_doubling(2 * width, width // 2, config),
            _keeping(width // 2, channels, config),
        )

    def forward(self, z: Tensor, attributes: Tensor) -> Tensor:
        """(N, latent_dim), (N, A) to (N, C, H, W) in [-1, 1]."""
        maps = self.hidden(_beside(z, attributes)).unflatten(1, (-1, *self.cells))
        return torch.tanh(self.convolutions(maps).float())


class Discriminator(nn.Module):
    """Dis: four convolutions, the last three strided, and two fully connected layers."""

    def __init__(
        self, config: VAEGANConfig, attributes: int, channels: int, cells: tuple[int, int]
    ) -> None:
        super().__init__()
        width = config.width
        convolution, *activation = _halving(4 * width, 4 * width, config)
        self.to_features = nn.Sequential(  # ends before the norm of the last convolution
            _keeping(channels, width // 2, config),
            nn.ReLU(),
            *_halving(width // 2, 2 * width, config),
            *_halving(2 * width, 4 * width, config),
            convolution,
        )
        self.after_features = nn.Sequential(*activation, nn.Flatten())
        self.num_features = 4 * width * cells[0] * cells[1]
        self.head = nn.Sequential(
            *_connected(self.num_features + attributes, config.hidden // 2, config),
            nn.Linear(config.hidden // 2, 1),
        )

    def forward(self, images: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W), (N, A) to Dis_l (N, 4·width, H/8, W/8) and logits (N, 1)."""
        features = self.to_features(images)
        return features, self.head(_beside(self.after_features(features), attributes))


class VAEGAN(nn.Module):
    """The networks, what each player moves, and their training.

    With all terms summed over features, dimensions and images judged, and averaged over the
    batch, and L_GAN the discriminator's cross-entropy, Algorithm 1 is

        encoder:        L_prior + L_llike
        decoder:        γ L_llike − (1 − γ) L_GAN
        discriminator:  L_GAN

    γ weighs a sum over Dis_l against three logits. ``gamma`` is stated for the paper's 16,384
    features; with F of them it is multiplied by 16,384 / F, which leaves the weight of the mean
    feature as it was.

    Args:
        config: architecture, losses and steps.
        num_classes: A, the number of attributes; of use only if ``config.conditional``.
        image_size: (H, W), multiples of 8.
        channels: 1 or 3.

    Raises:
        ConfigError: another image size.
    """

    def __init__(
        self,
        config: VAEGANConfig,
        *,
        num_classes: int,
        image_size: tuple[int, int],
        channels: int,
    ) -> None:
        super().__init__()
        if min(image_size) < 8 or image_size[0] % 8 or image_size[1] % 8:
            raise ConfigError(
                f"VAE/GAN takes images whose sides are multiples of 8; got {image_size}: "
                "choose another image size."
            )
        self.config = config
        self.num_attributes = num_classes if config.conditional else 0
        cells = (image_size[0] // 8, image_size[1] // 8)
        sizes = (self.num_attributes, channels, cells)
        self.encoder = None if config.variant == "gan" else Encoder(config, *sizes)
        self.decoder = Decoder(config, *sizes)
        self.discriminator = None if config.variant == "vae" else Discriminator(config, *sizes)
        self.comparator: Comparator | None = None  # of the perceptual term; not among the weights

    def forward(self, z: Tensor, attributes: Tensor | None = None) -> Tensor:
        """``decode``, as sampling calls it."""
        return self.decode(z, attributes)

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Posterior q(z|x).

        Args:
            images: (N, C, H, W) in [-1, 1].
            labels: (N, A) attributes in [-1, 1], only for a conditional model; None there: all
                unknown, 0.

        Returns:
            mu, log_var: each (N, latent_dim); log_var is log σ².

        Raises:
            ConfigError: a GAN has no encoder.
        """
        if self.encoder is None:
            raise ConfigError("a GAN encodes no images; train the variant vae_gan or vae.")
        mu, log_var = self.encoder(images, self._attributes(labels, images))
        return mu, log_var

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of z (N, latent_dim); labels as in ``encode``."""
        images: Tensor = self.decoder(z, self._attributes(labels, z))
        return images

    def players(self) -> dict[str, list[nn.Module]]:
        """Which networks each player moves."""
        if self.encoder is None:
            return {"decoder": [self.decoder], "discriminator": [self._dis]}
        if self.discriminator is None:
            return {"autoencoder": [self.encoder, self.decoder]}
        return {
            "encoder": [self.encoder],
            "decoder": [self.decoder],
            "discriminator": [self.discriminator],
        }

    def stages(self) -> list[Stage]:
        """One stage; the players move in the order of Algorithm 1."""
        variant = self.config.variant
        encode = Phase("encoder", "encoder", "KL to the prior, and error in features", self._encode)
        decode = Phase(
            "decoder",
            "decoder",
            "γ times the error in features, and being told from real images",
            self._decode,
            moves_if=lambda terms: self._moves(terms)[0],
        )
        discriminate = Phase(
            "discriminator",
            "discriminator",
            "cross-entropy: real images against reconstructions and samples",
            self._discriminate,
            moves_if=lambda terms: self._moves(terms)[1],
        )
        autoencode = Phase(
            "autoencoder", "autoencoder", "KL to the prior, and error in pixels", self._autoencode
        )
        phases = {
            "vae_gan": (encode, decode, discriminate),
            "gan": (decode, discriminate),
            "vae": (autoencode,),
        }
        return [Stage("train", self.config.steps, phases[variant])]

    def _encode(self, batch: Batch, draws: torch.Generator) -> Losses:
        x, attributes = batch
        mu, log_var = self.encode(x, attributes)
        x_tilde = self.decode(sample_posterior(mu, log_var, draws), attributes)
        features, _ = self._judge([x, x_tilde], attributes, draws)
        prior = kl_to_standard_normal(mu, log_var)  # L_prior
        llike = gaussian_nll(features[1], features[0])  # L_llike of Dis_l
        pixels = gaussian_nll(x_tilde, x)
        terms = {"prior": prior, "llike": llike, "pixels": pixels}
        error = llike + self.config.pixel_weight * pixels + self._perceive(x_tilde, x, terms)
        return Losses((prior + error).mean(), terms)

    def _decode(self, batch: Batch, draws: torch.Generator) -> Losses:
        x, attributes = batch
        fakes = self._generate(batch, draws)
        features, logits = self._judge([x, *fakes], attributes, draws)
        real, fake = self._costs(logits)
        gan = fake  # L_GAN without the term of x
        if self.config.adversarial == "non_saturating":
            gan = -real_or_fake(torch.cat(logits[1:]), real=True)
        gan = gan.view(len(fakes), -1).sum(dim=0)
        if self.encoder is None:
            return Losses(-gan.mean(), {"real": real, "fake": fake})
        llike, pixels = gaussian_nll(features[1], features[0]), gaussian_nll(fakes[0], x)
        gamma = self.config.gamma * PAPER_FEATURES / self._dis.num_features
        terms = {"real": real, "fake": fake, "llike": llike, "pixels": pixels}
        error = llike + self.config.pixel_weight * pixels + self._perceive(fakes[0], x, terms)
        return Losses((gamma * error - (1 - gamma) * gan).mean(), terms)  # Alg. 1

    def _discriminate(self, batch: Batch, draws: torch.Generator) -> Losses:
        with torch.no_grad():
            fakes = self._generate(batch, draws)
        _, logits = self._judge([batch.images, *fakes], batch.attributes, draws)
        real, fake = self._costs(logits)
        return Losses(real.mean() + fake.mean(), {"real": real, "fake": fake})  # L_GAN

    def _autoencode(self, batch: Batch, draws: torch.Generator) -> Losses:
        mu, log_var = self.encode(*batch)
        x_tilde = self.decode(sample_posterior(mu, log_var, draws), batch.attributes)
        prior, pixels = kl_to_standard_normal(mu, log_var), gaussian_nll(x_tilde, batch.images)
        terms = {"prior": prior, "pixels": pixels}
        total = prior + pixels + self._perceive(x_tilde, batch.images, terms)
        return Losses(total.mean(), terms)

    def _perceive(self, x_tilde: Tensor, x: Tensor, terms: dict[str, Tensor]) -> Tensor | float:
        """The perceptual term, weighted, if there is one; also noted in ``terms``."""
        perceptual = self.config.perceptual
        if perceptual is None:
            return 0.0
        terms["perceptual"] = perceptual_term(perceptual, self.comparator, x_tilde, x)
        return perceptual.weight * x[0].numel() / 2 * terms["perceptual"]  # as ½‖x − x̃‖²

    def _generate(self, batch: Batch, draws: torch.Generator) -> list[Tensor]:
        """x̃ = Dec(Enc(x)), if there is an encoder, and x_p = Dec(z_p) with z_p ~ N(0, I)."""
        x, attributes = batch
        latents = []
        if self.encoder is not None:
            with torch.no_grad():  # the encoder never sees L_GAN
                latents.append(sample_posterior(*self.encode(x, attributes), draws))
        shape = (len(x), self.config.latent_dim)
        latents.append(torch.randn(shape, generator=draws).to(x.device))
        return [self.decode(z, attributes) for z in latents]

    def _judge(
        self, groups: list[Tensor], attributes: Tensor, draws: torch.Generator
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Dis_l and logits of each group of images, which share their batch statistics.

        Image i is augmented alike in all groups, so that Dis_l compares like with like.
        """
        if self.config.diff_augment:
            state = draws.get_state()
            groups = [diff_augment(group, draws.set_state(state)) for group in groups]
        count = len(groups)
        attributes = self._attributes(attributes, attributes).repeat(count, 1)
        features, logits = self._dis(torch.cat(groups), attributes)
        return list(features.chunk(count)), list(logits.chunk(count))

    def _costs(self, logits: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the discriminator: of real images (N,), of all others (2N,)."""
        fake = torch.cat(logits[1:])
        return real_or_fake(logits[0], real=True), real_or_fake(fake, real=False)

    def _moves(self, terms: Mapping[str, float]) -> tuple[bool, bool]:
        if self.config.margin is None:
            return True, True
        return who_moves(terms["real"], terms["fake"], self.config.equilibrium, self.config.margin)

    def _attributes(self, labels: Tensor | None, like: Tensor) -> Tensor:
        """(N, A) attributes on the device of ``like``; (N, 0) unless conditional."""
        if self.num_attributes == 0 or labels is None:
            return torch.zeros(len(like), self.num_attributes, device=like.device)
        return labels.to(like.device, torch.float32)

    @property
    def _dis(self) -> Discriminator:
        assert self.discriminator is not None, "a VAE has no discriminator"
        return self.discriminator


def who_moves(
    real_cost: float, fake_cost: float, equilibrium: float, margin: float
) -> tuple[bool, bool]:
    """The equilibrium rule of the authors' code: a player far ahead waits for the other.

    Args:
        real_cost: mean cross-entropy of the discriminator on real images, in nats.
        fake_cost: the same on generated images.
        equilibrium: cost around which both move; ln 2 = 0.69 is that of a coin toss.
        margin: how far from it a cost may be.

    Returns:
        Whether the decoder moves, and whether the discriminator does; at least one of them.
    """
    decoder = max(real_cost, fake_cost) <= equilibrium + margin
    discriminator = min(real_cost, fake_cost) >= equilibrium - margin
    return (decoder, discriminator) if decoder or discriminator else (True, True)


def _keeping(in_channels: int, out_channels: int, config: VAEGANConfig) -> nn.Conv2d:
    odd = (config.kernel_size - 1) | 1  # an even kernel has no middle
    return nn.Conv2d(in_channels, out_channels, odd, padding=odd // 2)


def _halving(in_channels: int, out_channels: int, config: VAEGANConfig) -> list[nn.Module]:
    kernel = config.kernel_size
    convolution = nn.Conv2d(in_channels, out_channels, kernel, 2, (kernel - 1) // 2, bias=False)
    return [convolution, _norm(nn.BatchNorm2d, out_channels, config), nn.ReLU()]


def _doubling(in_channels: int, out_channels: int, config: VAEGANConfig) -> list[nn.Module]:
    kernel = config.kernel_size
    convolution = nn.ConvTranspose2d(
        in_channels, out_channels, kernel, 2, (kernel - 1) // 2, kernel % 2, bias=False
    )
    return [convolution, _norm(nn.BatchNorm2d, out_channels, config), nn.ReLU()]


def _connected(inputs: int, outputs: int, config: VAEGANConfig) -> list[nn.Module]:
    layer = nn.Linear(inputs, outputs, bias=False)
    return [layer, _norm(nn.BatchNorm1d, outputs, config), nn.ReLU()]


def _norm(batch: Callable[[int], nn.Module], channels: int, config: VAEGANConfig) -> nn.Module:
    return batch(channels) if config.norm == "batch" else nn.GroupNorm(gcd(channels, 4), channels)


def _beside(vectors: Tensor, attributes: Tensor) -> Tensor:
    """(N, D), (N, A) to (N, D + A)."""
    return torch.cat([vectors, attributes.to(vectors.dtype)], dim=1)
