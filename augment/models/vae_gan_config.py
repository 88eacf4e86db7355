"""VAE/GAN's architecture, losses and steps: the paper's, and ours.

Departures, all off in ``VAEGANConfig()`` (the configuration ``paper``) and each a field of its
own that ``LABELMINT`` turns on:
    adversarial "non_saturating"
                        the decoder minimizes -log Dis instead of log(1 - Dis), whose gradient
                        vanishes while the discriminator is ahead, as it is on little data.
    norm "group"        group norm (Wu & He, 2018) for batch norm: what a network does to an image
                        never depends on its neighbours, nor on statistics that lag behind
                        averaged weights.
    diff_augment        a discriminator that does not memorize a few thousand images.
    perceptual          part of the reconstruction is measured in the features of a frozen network:
                        weight times the share that is missed, times the numbers of an image, to
                        stand beside sums.
    pixel_weight        part of the reconstruction is measured in pixels: Dis_l says little of
                        colours before the discriminator has learned to tell them apart.

``LABELMINT`` is also a quarter as wide as the paper, with 4×4 kernels, which divide evenly by the
stride: about 54 images a second of one core's time in bfloat16, so that its 3,000 steps of 32 take
some 20 minutes of two cores. It weighs reconstruction more, since γ = 1e-6 goes with the 4 million
images of the paper's training. A GPU can afford ``width`` 64 and ten times the steps.
"""

from dataclasses import dataclass, replace
from typing import Literal

from augment.comparators import PerceptualConfig
from augment.errors import ConfigError

__all__ = ["ABLATIONS", "DCGAN", "LABELMINT", "PAPER", "VAEGANConfig", "VAEGANSampling"]


@dataclass(frozen=True)
class VAEGANConfig:
    """Architecture and losses; the defaults are the paper's and its authors' code's."""

    variant: Literal["vae_gan", "vae", "gan"] = "vae_gan"  # the others are ablations
    conditional: bool = False  # on attribute vectors, told to all networks
    latent_dim: int = 128
    width: int = 64  # maps of the encoder's first layer; the other layers are in proportion
    kernel_size: Literal[3, 4, 5] = 5  # pixels; of the convolutions that change the size
    hidden: int = 1024  # units of the encoder's fully connected layer; half in the discriminator
    gamma: float = 1e-6  # γ for 16,384 features in Dis_l; see ``VAEGAN``
    equilibrium: float = 0.68  # authors' code; about ln 2, the cost of a coin toss
    margin: float | None = 0.35  # authors' code; None: both players move in every step
    steps: int = 62_500  # 250 epochs of 250 batches
    # Departures (see the module docstring).
    adversarial: Literal["saturating", "non_saturating"] = "saturating"
    norm: Literal["batch", "group"] = "batch"
    diff_augment: bool = False
    pixel_weight: float = 0.0
    perceptual: PerceptualConfig | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("latent_dim", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("width", "hidden"):
            if getattr(self, name) < 2 or getattr(self, name) % 2:
                raise ConfigError(f"{name} must be even, from 2 on; got {getattr(self, name)}.")
        if not 0 <= self.gamma < 1:
            raise ConfigError(f"gamma must be in [0, 1); got {self.gamma}.")
        if self.margin is not None and not 0 <= self.margin <= self.equilibrium:
            raise ConfigError(
                f"margin must be in [0, equilibrium = {self.equilibrium}]; got {self.margin}."
            )
        if self.variant == "gan" and self.perceptual is not None:
            raise ConfigError("a GAN reconstructs nothing: set perceptual to null.")
        if self.pixel_weight < 0:
            raise ConfigError(f"pixel_weight must not be negative; got {self.pixel_weight}.")

    @property
    def knows_labels(self) -> bool:
        """Whether images can be told apart by label: a GAN that is told none has none."""
        return self.variant != "gan" or self.conditional


@dataclass(frozen=True)
class VAEGANSampling:
    """How a sample's z is made of the training images that have its label."""

    mix_share: float = 0.5  # of the samples; their z lies between those of two images
    noise_std: float = 0.3  # of the normal noise added to z, whose prior has 1

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.mix_share <= 1:
            raise ConfigError(f"mix_share must be in [0, 1]; got {self.mix_share}.")
        if not 0 <= self.noise_std <= 2:
            raise ConfigError(f"noise_std must be in [0, 2]; got {self.noise_std}.")


PAPER = VAEGANConfig()
LABELMINT = VAEGANConfig(
    width=16,
    kernel_size=4,
    hidden=256,
    gamma=1e-3,
    steps=3000,
    adversarial="non_saturating",
    norm="group",
    diff_augment=True,
    pixel_weight=1.0,
)
ABLATIONS: dict[str, VAEGANConfig] = {
    "conditional": replace(LABELMINT, conditional=True),
    "vae": replace(LABELMINT, conditional=True, variant="vae"),
    "gan": replace(LABELMINT, conditional=True, variant="gan"),
}
"""The rows of the paper's attribute similarity: VAE/GAN, VAE and GAN told attributes."""
DCGAN = replace(LABELMINT, variant="gan")
"""The GAN told nothing: a convolutional GAN as SAAE's paper sets beside its own samples."""
