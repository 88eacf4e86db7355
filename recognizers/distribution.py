"""How a set of generated images differs from a set of real ones, measured on features.

Fréchet distance (Heusel et al., 2017) and kernel distance (Bińkowski et al., 2018) of the two
sets as wholes; precision and recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et
al., 2020) of their neighbourhoods. The features are a recognizer's of the domain or, where its
weights are at hand, Inception's. All of them depend on the number of images: compare sets of
one size only.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd
from torchvision.models import inception_v3

from augment.errors import ConfigError, DataError
from augment.images import Pixels, to_tensor

__all__ = [
    "NEIGHBOURS",
    "Distribution",
    "Features",
    "InceptionFeatures",
    "compare_sets",
    "describe_difference",
]

NEIGHBOURS = 5
"""k: an image's neighbourhood reaches to its k-th nearest in its own set (Naeem et al.)."""
CHUNK = 1024
"""Images whose distances to all others are held at a time."""
KID_SIZE, KID_HALVES = 1000, 20
"""Images a side that KID is computed on, at most, and pairs of halves that tell its noise."""

Features = NDArray[np.float32]
"""(N, D), one row an image."""


@dataclass(frozen=True)
class Distribution:
    """How generated images differ from real ones.

    Attributes:
        real: number of real images.
        generated: number of generated ones.
        dimension: of the features.
        fid: Fréchet distance, 0 for equal Gaussians; None where a set has no more images than
            the features have dimensions, for its covariance is then singular.
        kid: squared kernel distance, 0 on average for equal distributions; unbiased, so it may
            be below 0.
        kid_std: standard deviation over random halves of the sets; less is noise.
        precision: share of generated images inside the real ones' neighbourhoods.
        recall: share of real images inside the generated ones' neighbourhoods.
        density: real neighbourhoods that a generated image lies in, over k; 1 on average for
            equal distributions.
        coverage: share of real images with a generated one in their neighbourhood.
    """

    real: int
    generated: int
    dimension: int
    fid: float | None
    kid: float
    kid_std: float
    precision: float
    recall: float
    density: float
    coverage: float


def compare_sets(real: Features, generated: Features, seed: int = 0) -> Distribution:
    """Measure how two sets of features differ.

    Args:
        real: (N, D).
        generated: (M, D).
        seed: of KID's choices.

    Raises:
        DataError: features that are not finite or of different dimensions, or too few images.
    """
    for name, features in (("real", real), ("generated", generated)):
        _check(name, features)
    if real.shape[1] != generated.shape[1]:
        raise DataError(
            f"expected features of one dimension, got {real.shape[1]} of real and "
            f"{generated.shape[1]} of generated images; use one recognizer for both."
        )
    x, y = torch.from_numpy(real).double(), torch.from_numpy(generated).double()
    kid, kid_std = _kernel_distance(x, y, seed)
    enough = min(len(x), len(y)) > x.shape[1]
    return Distribution(
        real=len(x),
        generated=len(y),
        dimension=x.shape[1],
        fid=_frechet_distance(x, y) if enough else None,
        kid=kid,
        kid_std=kid_std,
        **_neighbourhoods(x, y),
    )


def describe_difference(found: Distribution) -> str | None:
    """What a reader has to know of the figures; None where there is nothing."""
    if found.fid is not None:
        return None
    return (
        f"{min(found.real, found.generated):,} images do not determine a covariance in "
        f"{found.dimension} dimensions, so there is no FID; read KID."
    )


class InceptionFeatures:
    """The 2,048 pooled features of torchvision's Inception v3.

    They rank generators as the Inception features of the literature do, but come from other
    weights: distances are not to be compared with published ones.

    Args:
        weights: file with torchvision's ``inception_v3`` state dict.
        device: where to run.

    Raises:
        ConfigError: no such file, or weights that do not fit.
    """

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        self.model = inception_v3(weights=None, init_weights=False)  # takes [-1, 1] as we do
        try:
            self.model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except Exception as error:  # unpickling raises many kinds; all mean another file
            what = str(error).partition("\n")[0] or type(error).__name__
            raise ConfigError(
                f"{weights}: expected the weights of torchvision's inception_v3, got something "
                f"else ({what}); download them by torchvision."
            ) from error
        self.model.fc = nn.Identity()
        self.model.eval().to(device)
        self.device = device

    @torch.no_grad()
    def __call__(self, images: Pixels) -> Features:
        """(N, H, W, 1 or 3) uint8 of any size to (N, 2048)."""
        features = []
        for start in range(0, len(images), 32):
            pixels = to_tensor(images[start : start + 32]).expand(-1, 3, -1, -1)
            pixels = F.interpolate(pixels, (299, 299), mode="bilinear", antialias=True)
            features.append(self.model(pixels.to(self.device)).cpu().numpy())
        return np.concatenate(features)


def _check(name: str, features: Features) -> None:
    if len(features) <= NEIGHBOURS:
        raise DataError(
            f"expected at least {NEIGHBOURS + 1} {name} images, got {len(features)}; a "
            f"neighbourhood reaches to the {NEIGHBOURS}th nearest other one."
        )
    unfit = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(unfit):
        raise DataError(
            f"expected finite features, got others of {len(unfit)} {name} images, the first at "
            f"index {unfit[0]}; check the recognizer that made them."
        )


class _Given(nn.Module):
    """Hands features on to torchmetrics as they are."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.num_features = dimension

    def forward(self, features: Tensor) -> Tensor:
        return features


def _frechet_distance(x: Tensor, y: Tensor) -> float:
    """|μ_x − μ_y|² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½)."""
    distance = FrechetInceptionDistance(feature=_Given(x.shape[1])).set_dtype(torch.float64)
    distance.update(x, real=True)
    distance.update(y, real=False)
    return float(distance.compute())


def _kernel_distance(x: Tensor, y: Tensor, seed: int) -> tuple[float, float]:
    """Unbiased MMD² by the kernel (a·b / D + 1)³, and its deviation over halves."""
    rng = np.random.default_rng(seed)
    size = min(len(x), len(y), KID_SIZE)

    def between(count: int) -> float:
        rows, others = rng.permutation(len(x))[:count], rng.permutation(len(y))[:count]
        return float(poly_mmd(x[rows], y[others]))

    return between(size), float(np.std([between(size // 2) for _ in range(KID_HALVES)]))


def _neighbourhoods(x: Tensor, y: Tensor) -> dict[str, float]:
    """Precision, recall, density and coverage of generated y for real x."""
    reach_x, reach_y = _reach(x), _reach(y)
    around = torch.zeros(len(y), dtype=torch.int64)  # neighbourhoods of x that each y is in
    recalled, covered = [], []
    for points, reach in zip(torch.split(x, CHUNK), torch.split(reach_x, CHUNK), strict=True):
        across = torch.cdist(points, y)
        around += (across < reach[:, None]).sum(dim=0)
        recalled.append((across < reach_y).any(dim=1))
        covered.append(across.min(dim=1).values < reach)
    return {
        "precision": float((around > 0).double().mean()),
        "recall": float(torch.cat(recalled).double().mean()),
        "density": float(around.double().mean() / NEIGHBOURS),
        "coverage": float(torch.cat(covered).double().mean()),
    }


def _reach(points: Tensor) -> Tensor:
    """(N,) distance of each to its k-th nearest other one."""
    parts = [
        torch.cdist(some, points).kthvalue(NEIGHBOURS + 1, dim=1).values
        for some in torch.split(points, CHUNK)
    ]
    return torch.cat(parts)
