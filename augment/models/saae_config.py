"""SAAE's architecture, losses and steps: the paper's, and ours.

Departures, all off in ``SAAEConfig()`` (the configuration ``paper``) and each a field of its
own that ``LABELMINT`` turns on:
    style_injection "adain"   the style scales and shifts every decoder map, so that it cannot
                              carry strokes from place to place as a full-size map can.
    style_pooling             the style map is averaged over its pixels before its fully connected
                              layer: any style size, and no layout leaks into the style.
    content_transform         the style tilts, shears, scales and shifts the content before Enc_c
                              (a spatial transformer, Jaderberg et al., 2015): photographed
                              characters lean as their plate or sign does.
    content_skip              encoder maps and the content image join the decoder again: strokes
                              survive (dropped strokes are what users report of styled text).
    halvings                  the inner convolutions work at 1/2 or 1/4 of the size: a receptive
                              field as wide as a character.
    residual_blocks           extra capacity at the smallest size, where it is cheap.
    spectral_norm, r1_weight, diff_augment
                              a discriminator that does not memorize a few images a class; its
                              last layer stays free, for bounded logits cannot tell k classes.
    style_weight              the style read from an image of content and style that differ in
                              origin should be the style asked for.
    perceptual                reconstruction is also measured in the features of a frozen network.

What is known of the paper names three steps of training and does not specify them; ours are an
interpretation. In particular ``unpaired_share`` of the images that D sees and G is judged on in
the third step combine contents and styles of different images, as sampling does. Without them G
learns to copy the style image and never looks at the content (EXPERIMENTS.md).
"""

from dataclasses import dataclass, field
from typing import Literal

from augment.comparators import PerceptualConfig
from augment.errors import ConfigError

__all__ = ["LABELMINT", "PAPER", "SAAEConfig", "SAAESampling", "Steps"]


@dataclass(frozen=True)
class Steps:
    """Optimizer steps of the three stages."""

    reconstruct: int = 1000
    discriminate: int = 200
    alternate: int = 4000

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, count in vars(self).items():
            if count < 0:
                raise ConfigError(f"steps.{name} must not be negative; got {count}.")


@dataclass(frozen=True)
class SAAEConfig:
    """Architecture and losses; the defaults are the paper's, as far as it states them."""

    width: int = 32  # channels of z_c and of the style map; the paper gives none
    style_dim: int = 128  # length of the style vector; the paper gives none
    style_size: tuple[int, int] | None = None  # (Hs, Ws); None: the size of the images
    discriminator: Literal["multi", "binary"] = "multi"  # Sec. 2.2
    discriminator_width: int = 32
    reconstruction: Literal["l1", "l2"] = "l2"
    reconstruction_weight: float = 10.0
    adversarial_weight: float = 1.0
    unpaired_share: float = 0.5  # see the module docstring; the paper gives none
    steps: Steps = field(default_factory=Steps)
    # Departures (see the module docstring).
    style_injection: Literal["map", "adain"] = "map"
    style_pooling: bool = False
    content_transform: bool = False
    content_skip: bool = False
    halvings: int = 0
    residual_blocks: int = 0
    spectral_norm: bool = False
    r1_weight: float = 0.0
    diff_augment: bool = False
    style_weight: float = 0.0
    perceptual: PerceptualConfig | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.halvings not in (0, 1, 2):
            raise ConfigError(f"halvings must be 0, 1 or 2; got {self.halvings}.")
        if not 0 <= self.unpaired_share <= 1:
            raise ConfigError(f"unpaired_share must be in [0, 1]; got {self.unpaired_share}.")
        for name in ("width", "style_dim", "discriminator_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")


@dataclass(frozen=True)
class SAAESampling:
    """How contents and styles are drawn from a bundle's banks."""

    align: bool = False  # contents take the pose of the style image
    glyph_share: float = 1.0  # of the contents; the rest is ink of real images, where there is any
    style_mix: float = 0.5  # share of samples whose style is a mix of two
    warp: float = 0.0  # typical displacement of the content's strokes, as a share of the side

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("glyph_share", "style_mix", "warp"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1]; got {getattr(self, name)}.")


PAPER = SAAEConfig()
LABELMINT = SAAEConfig(
    reconstruction="l1",
    steps=Steps(reconstruct=300, discriminate=100, alternate=1600),
    style_injection="adain",
    style_pooling=True,
    content_skip=True,
    halvings=2,
    residual_blocks=2,
    discriminator_width=64,
    diff_augment=True,
    style_weight=1.0,
)
