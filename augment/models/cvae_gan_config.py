"""CVAE-GAN's architecture, losses and steps: the paper's, ours, and the ablations of its Table 1.

Reductions. The paper's norms are sums over pixels or features, and so is ``reduction="sum"``
(``PAPER``). With ``"relative"`` each squared distance is divided by the mean squared norm of the
real images or features it is taken between, KL by the number of pixels. Then λ2 and λ3 weigh
shares of what there is to match, whatever the width of a network and however small spectral norm
keeps its features: with means of elements L_GD never reached 0.0005 and counted for nothing. f_C is
of length one in the compact networks, so that L_GC is a share by itself.

L_GC is a sum over the classes of a step, whatever the number of workers: the mean over the workers
of what each minimizes counts every class once. Of a class that several hold, each worker compares
the mean of its own images, as it does in L_GD. Only what the newest batch adds to a generated
centre has a gradient: for a class met before it carries the factor (1 - ``centre_momentum``), so
that λ4 acts by a tenth of its value at the default of 0.9.

Departures, all off in ``CVAEGANConfig()`` (the configuration ``paper``) and each a field of its
own that ``LABELMINT`` turns on:
    networks "compact"   residual generator with conditional batch norm, strided encoder and
                         discriminator, residual classifier: 64×64 trains on two cores. The
                         classifier's features are unit vectors and its logits scaled cosines, so
                         that centres of different classes are comparable.
    label_dim            a learned vector for each class instead of one-hot labels: hundreds of
                         classes share what they have in common, and vectors can be mixed.
    adversarial_weight   G is also judged by D itself, -log D(G(z, c)): two means that match leave
                         images smooth. The paper's G never minimizes a cross-entropy.
    classifier_weight    and by C, -log C(c | G(z, c)): with three photographs a class its centre
                         alone is a weak teacher.
    projection           D also sees the class (Miyato & Koyama, 2018).
    spectral_norm, diff_augment
                         a D that does not memorize a few images a class.
    joint                E moves together with G, on one forward pass, instead of after it: the
                         same terms in less time.
    classifier_steps     C first learns alone, at a tenth of the cost of a step of all: what G is to
                         match are the features of a network that knows the classes.
    perceptual           L_G also compares the features of a frozen network, by a weight of its own.
    swap_share           of the z that G is trained on without a target, part are encodings of
                         other images of the batch, as in sampling, instead of draws from N(0, I).

``FULL`` is ``LABELMINT`` three times as wide, for 128×128 images of hundreds of people on a GPU.
In every configuration log σ² of q(z|x, c) is kept within [-10, 4], so that it cannot overflow.
"""

from dataclasses import dataclass, replace
from typing import Literal

from augment.comparators import PerceptualConfig
from augment.errors import ConfigError

__all__ = ["ABLATIONS", "FULL", "LABELMINT", "PAPER", "CVAEGANConfig", "CVAEGANSampling"]


@dataclass(frozen=True)
class CVAEGANConfig:
    """Architecture and losses; the defaults are the paper's, as far as it is known."""

    networks: Literal["paper", "compact"] = "paper"  # Sec. 4
    width: int = 32  # channels of the compact networks at the full size
    latent_dim: int = 256  # Sec. 4
    encodes: bool = True  # off: a generator without E, all z from N(0, I)
    kl_weight: float = 3.0  # λ1
    pairwise_weight: float = 1.0  # λ2
    pairwise_features: bool = True  # off: L_G compares pixels alone
    mean_weight: float = 1e-3  # λ3
    class_mean_weight: float = 1e-3  # λ4
    reduction: Literal["sum", "relative"] = "sum"
    centre_momentum: float = 0.9  # the paper says "moving average" and no more
    steps: int = 100_000
    # Departures (see the module docstring).
    label_dim: int | None = None  # None: one-hot
    adversarial_weight: float = 0.0
    classifier_weight: float = 0.0
    projection: bool = False
    spectral_norm: bool = False
    diff_augment: bool = False
    joint: bool = False
    classifier_steps: int = 0
    swap_share: float = 0.0
    perceptual: PerceptualConfig | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("width", "latent_dim", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if self.label_dim is not None and self.label_dim < 1:
            raise ConfigError(f"label_dim must be at least 1 or null; got {self.label_dim}.")
        if self.classifier_steps < 0:
            raise ConfigError(f"classifier_steps must be >= 0; got {self.classifier_steps}.")
        for name in ("centre_momentum", "swap_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1]; got {getattr(self, name)}.")
        if not self.encodes and self.perceptual is not None:
            raise ConfigError("perceptual needs an encoder: set encodes, or perceptual to null.")
        if not self.encodes and self.swap_share:
            raise ConfigError("swap_share needs an encoder: set encodes, or swap_share to 0.")


@dataclass(frozen=True)
class CVAEGANSampling:
    """Where z comes from."""

    lend: float = 1.0  # share of z that are encodings of training images; the rest is N(0, I)
    style_mix: float = 0.3  # share of the lent z that are a mix of two
    noise: float = 0.3  # standard deviation added to a lent z
    spread: float = 1.0  # standard deviation of a z that is not lent

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("lend", "style_mix"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1]; got {getattr(self, name)}.")
        for name in ("noise", "spread"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative; got {getattr(self, name)}.")


PAPER = CVAEGANConfig()
LABELMINT = CVAEGANConfig(
    networks="compact",
    latent_dim=64,
    kl_weight=6.0,
    pairwise_weight=3.0,
    mean_weight=1.0,
    class_mean_weight=1.0,
    reduction="relative",
    steps=1400,
    label_dim=128,
    adversarial_weight=0.3,
    classifier_weight=0.2,
    projection=True,
    spectral_norm=True,
    diff_augment=True,
    joint=True,
    classifier_steps=1000,
    swap_share=0.5,
)
FULL = replace(
    LABELMINT, width=96, latent_dim=128, label_dim=256, steps=60_000, classifier_steps=8_000
)
ABLATIONS: dict[str, CVAEGANConfig] = {
    "cvae": replace(
        LABELMINT,
        pairwise_features=False,
        mean_weight=0.0,
        class_mean_weight=0.0,
        adversarial_weight=0.0,
        classifier_weight=0.0,
        classifier_steps=0,
    ),
    "cgan": replace(
        LABELMINT,
        encodes=False,
        swap_share=0.0,
        mean_weight=0.0,
        class_mean_weight=0.0,
        adversarial_weight=1.0,
        classifier_weight=0.0,
        classifier_steps=0,
    ),
    "fm-cgan": replace(
        LABELMINT,
        encodes=False,
        swap_share=0.0,
        adversarial_weight=0.0,
        classifier_weight=0.0,
    ),
}
"""The rows of Table 1 below CVAE-GAN, of the same networks: without D and C; without E and with
the adversarial term alone; without E and with mean feature matching alone."""
