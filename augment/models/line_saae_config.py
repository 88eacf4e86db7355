"""SAAE on whole lines: architecture, losses and steps.

What differs from the paper's single characters, in every configuration:
    any width        all networks are convolutional along the width, so the style vector is an
                     average over the style image's pixels, and as a map it is constant.
    polarity         ink that is brighter than its ground is 1 in the content, darker ink -1.
    area             beside the ink the content tells where the rendered line's own picture lies,
                     which on a tilted plate is not the whole image.
    character boxes  D with its k+1 classes reads each character in its own box, whose place
                     follows from the content.
    the same image   an unpaired sample is another text in the style of the image itself, so that
                     what lies beside the letters is known.

Departures, all off in ``LineSAAEConfig()`` (the configuration ``paper``), on in ``LABELMINT``:
    style_injection "adain", content_skip, halvings, residual_blocks, diff_augment
                     as in ``augment.models.saae_config``.
    style_grid       the style carries a coarse map besides: light and shadow across the line,
                     and what surrounds it.
    line_weight      a second discriminator sees patches of the whole line: grain, borders and
                     what stands between the characters.
    ground_weight    in an unpaired sample pixels without ink, old or new, are to stay.
    recognizer_weight
                     CTC loss of a frozen recognizer that is handed to the model; not one that
                     reads its lines back, which would no longer be independent.
"""

from dataclasses import dataclass, field
from typing import Literal

from augment.errors import ConfigError
from augment.models.saae_config import Steps

__all__ = ["LABELMINT", "PAPER", "LineSAAEConfig", "LineSampling"]


@dataclass(frozen=True)
class LineSAAEConfig:
    """Architecture and losses; the defaults are the paper's, as far as it states them."""

    width: int = 32  # channels of z_c and of the style map; the paper gives none
    style_dim: int = 128  # length of the style vector; the paper gives none
    discriminator_width: int = 32
    box_size: tuple[int, int] = (24, 16)  # (h, w), pixels of a character as D sees it
    reconstruction: Literal["l1", "l2"] = "l2"
    reconstruction_weight: float = 10.0
    adversarial_weight: float = 1.0
    unpaired_share: float = 0.5  # of the images that D sees and G is judged on
    steps: Steps = field(default_factory=Steps)
    # Departures (see the module docstring).
    style_injection: Literal["map", "adain"] = "map"
    style_grid: tuple[int, int, int] | None = None  # channels, rows, columns
    content_skip: bool = False
    halvings: int = 0
    residual_blocks: int = 0
    diff_augment: bool = False
    line_weight: float = 0.0
    ground_weight: float = 0.0
    recognizer_weight: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.halvings not in (0, 1, 2):
            raise ConfigError(f"halvings must be 0, 1 or 2; got {self.halvings}.")
        if not 0 <= self.unpaired_share <= 1:
            raise ConfigError(f"unpaired_share must be in [0, 1]; got {self.unpaired_share}.")
        for name in ("width", "style_dim", "discriminator_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("box_size", "style_grid"):
            if min(getattr(self, name) or (1,)) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("line_weight", "ground_weight", "recognizer_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative; got {getattr(self, name)}.")

    @property
    def style_length(self) -> int:
        """Numbers that a style is made of: the vector, then the coarse map."""
        channels, rows, columns = self.style_grid or (0, 0, 0)
        return self.style_dim + channels * rows * columns


@dataclass(frozen=True)
class LineSampling:
    """How lines are drawn from a bundle's bank of styles."""

    style_mix: float = 0.25  # share of samples whose style is a mix of two
    align: bool = True  # texts take the pose of the line that lends the style
    max_width: int | None = None  # pixels, of free text; None: eight heights

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.style_mix <= 1:
            raise ConfigError(f"style_mix must be in [0, 1]; got {self.style_mix}.")
        if self.max_width is not None and self.max_width < 8:
            raise ConfigError(f"max_width must be at least 8 pixels; got {self.max_width}.")


PAPER = LineSAAEConfig()
LABELMINT = LineSAAEConfig(
    reconstruction="l1",
    steps=Steps(reconstruct=200, discriminate=60, alternate=1000),
    style_injection="adain",
    style_grid=(8, 4, 8),
    content_skip=True,
    halvings=2,
    residual_blocks=2,
    discriminator_width=48,
    diff_augment=True,
    line_weight=0.5,
    ground_weight=5.0,
)
