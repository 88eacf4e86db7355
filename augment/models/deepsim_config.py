"""DeePSiM's architecture, losses and steps: the paper's, ours, and the ablations.

Reductions. The paper's losses are sums over features and pixels, and so is ``reduction="sum"``,
with pixels on Caffe's scale of 0 to 255; λ_feat goes with the scale of the features it was chosen
for. With ``"relative"`` each distance is a share of the mean squared norm (with ``pixels="l1"``, of
the mean l1 norm) of the real features or images it is taken to, whatever the comparator. The
weights, re-derived: with λ_img = 2e-6 an image of 227² pixels whose mean square is some 3,000
weighs 2e-6 · 154,587 · 3,000 ≈ 900, the adversarial term 100 a nat, so that shares of 1 go with
about 0.1 a nat. What λ_feat = 0.01 comes to depends on the norm of Caffe's features, which
was not at hand; features weigh 1, as pixels do. Averages over the batch instead of sums leave the
proportions as they are.

Departures, all off in ``DeePSiMConfig()`` and each a field of its own that ``LABELMINT`` turns on:
    norm "group"    group norm (Wu & He, 2018) in encoder and generator, which the paper's lack:
                    a few thousand steps have to do.
    diff_augment    a discriminator that does not memorize a few thousand images.
"""

from dataclasses import dataclass, replace
from typing import Literal

from augment.errors import ConfigError

__all__ = ["ABLATIONS", "DISCRIMINATOR", "LABELMINT", "PAPER", "DeePSiMConfig", "DeePSiMSampling"]

DISCRIMINATOR = "discriminator"
"""Comparator that is the discriminator's own last convolution, as it learns."""

Use = Literal["autoencoder", "vae", "inversion"]


@dataclass(frozen=True)
class DeePSiMConfig:
    """Architecture and losses; the defaults are the paper's, as far as they are known."""

    use: Use = "autoencoder"
    comparator: str = "alexnet:conv5"  # see ``augment.feature_networks``; or "discriminator"
    network: str | None = None  # Φ, whose features are inverted; named like a comparator
    features: tuple[int, ...] | None = None  # shape of Φ(x); found out from the network
    network_digest: str | None = None  # SHA-256 of Φ's weights; found out as well
    code_channels: int = 8  # Sec. 4.1: of the autoencoder's code, a map 8 times smaller
    latent_dim: int = 128  # of the VAE
    width: int = 32  # maps at full size; twice as many at each halving
    feature_weight: float = 0.01  # λ_feat
    adversarial_weight: float = 100.0  # λ_adv
    image_weight: float = 2e-6  # λ_img
    kl_weight: float = 1.0  # of the VAE's KL, a mean over its dimensions; by hand in the paper too
    pixels: Literal["l2", "l1"] = "l2"  # l1: a baseline
    reduction: Literal["sum", "relative"] = "sum"
    least_ratio: float | None = 0.1  # the discriminator waits while L_discr / L_adv is below it
    steps: int = 500_000
    # Departures (see the module docstring).
    norm: Literal["none", "group"] = "none"
    diff_augment: bool = False

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("code_channels", "latent_dim", "width", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("feature_weight", "adversarial_weight", "image_weight", "kl_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative; got {getattr(self, name)}.")
        if not (self.feature_weight or self.adversarial_weight or self.image_weight):
            raise ConfigError("expected a loss, got feature, adversarial and image weight 0.")
        if self.least_ratio is not None and self.least_ratio < 0:
            raise ConfigError(
                f"least_ratio must not be negative, null never waits; got {self.least_ratio}."
            )
        if self.features is not None and (len(self.features) not in (1, 3) or 0 in self.features):
            raise ConfigError(f"features must be (D,) or (C, H, W); got {self.features}.")
        if self.features is not None and self.use != "inversion":
            raise ConfigError(f"only an inversion has features; got them with use={self.use}.")

    @property
    def compares_by_discriminator(self) -> bool:
        """Whether the feature loss is taken in the discriminator."""
        return self.feature_weight > 0 and self.comparator == DISCRIMINATOR

    @property
    def needs_comparator(self) -> bool:
        """Whether the feature loss is taken in a frozen network."""
        return self.feature_weight > 0 and self.comparator != DISCRIMINATOR

    @property
    def discriminates(self) -> bool:
        """Whether there is a discriminator."""
        return self.adversarial_weight > 0 or self.compares_by_discriminator


@dataclass(frozen=True)
class DeePSiMSampling:
    """No settings: DeePSiM draws no labelled images."""


PAPER = DeePSiMConfig(use="inversion", network="alexnet:fc6")
LABELMINT = DeePSiMConfig(
    comparator=DISCRIMINATOR,
    width=24,
    feature_weight=1.0,
    adversarial_weight=0.1,
    image_weight=1.0,
    kl_weight=0.05,
    reduction="relative",
    steps=3000,
    norm="group",
    diff_augment=True,
)
ABLATIONS: dict[str, DeePSiMConfig] = {
    "no-feature": replace(LABELMINT, feature_weight=0.0),
    "no-adversarial": replace(LABELMINT, adversarial_weight=0.0),
    "no-image": replace(LABELMINT, image_weight=0.0),
    "image-l2": replace(LABELMINT, feature_weight=0.0, adversarial_weight=0.0),
    "image-l1": replace(LABELMINT, feature_weight=0.0, adversarial_weight=0.0, pixels="l1"),
}
"""Without one of the three terms, and with the distance of images alone, squared or absolute."""
