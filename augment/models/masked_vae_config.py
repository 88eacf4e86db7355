"""The masked VAE's architecture and losses: the published ones, and a size for two cores."""

from dataclasses import dataclass
from typing import Literal

from augment.comparators import PerceptualConfig
from augment.errors import ConfigError

__all__ = ["LABELMINT", "PAPER", "MaskedVAEConfig", "MaskedVAESampling"]


@dataclass(frozen=True)
class MaskedVAEConfig:
    """Architecture and losses; the defaults are those of the authors' code, for 144×144 images."""

    latent_dim: int = 512
    encoder: tuple[tuple[int, ...], ...] = (
        (32, 32),
        (64, 64),
        (128, 128),
        (256, 256),
        (256,),
        (256,),
        (512,),
    )  # channels of the convolutions of each level, largest images first; each level halves
    hidden_dim: int = 512  # of the layer before μ and log σ²
    decoder: tuple[int, ...] = (256, 256, 256, 128, 64, 32, 32)  # each level doubles
    mask_decoder: tuple[int, ...] = (32, 32, 32, 32, 32, 32, 32)
    reconstruction: Literal["l1", "l2", "ssim", "l1+ssim", "l2+ssim"] = "l2+ssim"  # their best
    masked: bool = True  # off: their ablation, the whole image and no mask decoder
    kl_weight: float = 1e-3  # of the mean over latent dimensions
    l1_weight: float = 4.0
    l2_weight: float = 100.0
    ssim_window: int = 9  # pixels a side
    steps: int = 400_000  # 100 epochs of 4,000
    perceptual: PerceptualConfig | None = None  # between composites, beside the other terms

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("latent_dim", "hidden_dim"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("decoder", "mask_decoder"):
            if not len(getattr(self, name)) == len(self.encoder) > 0:
                raise ConfigError(
                    f"encoder, decoder and mask_decoder must have equally many levels, at least "
                    f"one; got {len(self.encoder)}, {len(self.decoder)}, {len(self.mask_decoder)}."
                )
        widths = [*self.decoder, *self.mask_decoder, *(w for level in self.encoder for w in level)]
        if not all(self.encoder) or min(widths) < 1:
            raise ConfigError("every level must have convolutions of at least 1 channel.")
        for name in ("kl_weight", "l1_weight", "l2_weight", "steps"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative; got {getattr(self, name)}.")
        if self.ssim_window < 3 or self.ssim_window % 2 == 0:
            raise ConfigError(
                f"ssim_window must be odd and at least 3 pixels; got {self.ssim_window}."
            )

    @property
    def uses_ssim(self) -> bool:
        """Whether SSIM is among the reconstruction terms."""
        return "ssim" in self.reconstruction


@dataclass(frozen=True)
class MaskedVAESampling:
    """No settings: a masked VAE draws no labelled images."""


PAPER = MaskedVAEConfig()
LABELMINT = MaskedVAEConfig(
    latent_dim=256,
    encoder=((32,), (64,), (128,), (256,)),
    decoder=(128, 64, 32, 16),
    mask_decoder=(32, 16, 8, 8),
    steps=6000,
)
"""For 64×64: four levels, one convolution each; 20 minutes on two cores."""
