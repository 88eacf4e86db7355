"""What DeePSiM is measured by: features inverted, and codes read by a linear SVM.

Dosovitskiy and Brox, 2016, arXiv:1602.02644. An error is a mean Euclidean distance, as a share of
the mean distance between two different test images (or their features), so that 100 % is what
drawing a test image at random would get. The rival that needs no training is the optimisation of
Mahendran and Vedaldi, 2015, arXiv:1412.0035: the image whose features are the right ones, under
the prior that neighbouring pixels are alike.
"""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from augment.comparators import Comparator
from augment.errors import ConfigError, DataError
from augment.feature_networks import with_path
from augment.images import Pixels, to_tensor
from augment.losses.perceptual import alpha_norm, squared_error, total_variation
from recognizers.tables import markdown_table

__all__ = [
    "LEAST_IMAGES",
    "CodeRow",
    "InversionRow",
    "PriorConfig",
    "code_accuracy",
    "draw_folds",
    "encode_all",
    "format_code_table",
    "format_inversion_table",
    "invert_by_optimization",
    "normalized_error",
    "reencode",
    "score_inversion",
]

BATCH = 64
"""Images that run through a network at a time."""
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""C of the linear SVM, chosen among these by cross-validation inside the training images."""
CV_FOLDS = 3
"""Of this cross-validation; as many as images of a class, where these are fewer."""
LEAST_IMAGES = 4
"""Training images of a class, of which ``draw_folds`` puts two into a fold."""


@dataclass(frozen=True)
class PriorConfig:
    """Mahendran and Vedaldi's objective, its terms divided so that sizes do not matter.

    ‖Φ(x) − Φ₀‖² / ‖Φ₀‖² + λ_α Σ|x|^α / n + λ_V TV_β(x) / n, with n numbers in an image. Departure:
    minimized by Adam instead of gradient descent with momentum and hand-set step sizes.
    """

    steps: int = 300
    learning_rate: float = 0.05
    alpha: float = 6.0  # their Sec. 3.1
    alpha_weight: float = 0.01  # λ_α
    beta: float = 2.0
    variation_weight: float = 0.5  # λ_V, by a sweep on digits (EXPERIMENTS.md)
    start_std: float = 0.1  # of the noise that the image starts from

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.steps < 1 or self.learning_rate <= 0:
            raise ConfigError(
                "expected steps to be at least 1 and learning_rate above 0; got "
                f"{self.steps} and {self.learning_rate}."
            )
        if self.alpha < 1 or self.beta < 1:
            raise ConfigError(f"alpha and beta must be at least 1; got {self.alpha}, {self.beta}.")
        for name in ("alpha_weight", "variation_weight", "start_std"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative; got {getattr(self, name)}.")


@dataclass(frozen=True)
class InversionRow:
    """How well one method inverts a network's layer.

    Attributes:
        method: of the inversion.
        network: and its layer, as a configuration spells it, with the last part of a path alone.
        images: test images.
        image_error: share of 1 = the distance of two test images.
        feature_error: the same of features, in the layer that was inverted.
    """

    method: str
    network: str
    images: int
    image_error: float
    feature_error: float


@dataclass(frozen=True)
class CodeRow:
    """How well a linear SVM tells classes by the codes of images.

    Attributes:
        model: that encodes.
        dim: numbers in a code.
        n_train: labelled images a fold.
        accuracy: mean over the folds, on the same test images.
        deviation: standard deviation over the folds.
    """

    model: str
    dim: int
    n_train: int
    accuracy: float
    deviation: float


class Found(NamedTuple):
    """An image found by optimisation."""

    images: Tensor  # (N, C, H, W) in [-1, 1]
    misses: NDArray[np.float64]  # (steps,) mean ‖Φ(x) − Φ₀‖² / ‖Φ₀‖² before each step


def normalized_error(estimates: Tensor, targets: Tensor) -> float:
    """Mean ‖a − b‖ over the mean ‖b − b'‖ of all pairs of different targets (Sec. 3).

    Args:
        estimates: (N, …).
        targets: of the same shape.

    Raises:
        DataError: fewer than two targets, targets that are all the same, or values that are not
            finite.
    """
    a, b = (values.detach().double().flatten(1).cpu() for values in (estimates, targets))
    if a.shape != b.shape or len(b) < 2:
        raise DataError(
            f"expected as many estimates as targets, two or more, of one shape; got "
            f"{tuple(a.shape)} and {tuple(b.shape)}."
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise DataError("expected finite values, got NaN or infinity; check the network.")
    between = float(torch.pdist(b).mean())
    if between == 0:
        raise DataError(f"expected different targets, got {len(b)} alike; use other images.")
    return float((a - b).norm(dim=1).mean()) / between


def score_inversion(
    method: str, network: Comparator, inverted: Tensor, images: Tensor
) -> InversionRow:
    """Compare what was inverted with the images it should be, in pixels and in features.

    Args:
        method: of the inversion.
        network: Φ.
        inverted: (N, C, H, W) in [-1, 1].
        images: the same.
    """
    found, wanted = _in_batches(network, inverted), _in_batches(network, images)
    return InversionRow(
        method=method,
        network=with_path(network.name, posixpath.basename),
        images=len(images),
        image_error=normalized_error(inverted, images),
        feature_error=normalized_error(found, wanted),
    )


def invert_by_optimization(
    network: Comparator,
    features: Tensor,
    shape: tuple[int, int, int],
    config: PriorConfig,
    *,
    seed: int = 0,
) -> Found:
    """Find images with the given features by gradient descent on their pixels.

    Args:
        network: Φ; gradients must pass through it.
        features: Φ₀ (N, …); each image is found for itself.
        shape: (C, H, W) of the images.
        config: the prior, and how long to look.
        seed: of the noise that images start from.
    """
    draws = torch.Generator().manual_seed(seed)
    start = config.start_std * torch.randn(len(features), *shape, generator=draws)
    found = [
        _optimize(network, some.detach().float(), noise.to(features.device), config)
        for some, noise in zip(torch.split(features, BATCH), torch.split(start, BATCH), strict=True)
    ]
    weights = [len(part.images) for part in found]
    misses = np.average([part.misses for part in found], axis=0, weights=weights)
    return Found(torch.cat([part.images for part in found]), misses)


def _optimize(network: Comparator, wanted: Tensor, start: Tensor, config: PriorConfig) -> Found:
    """The same for a few images, from where they start."""
    x = start.requires_grad_(True)
    norm = wanted.flatten(1).square().sum(dim=1).clamp(min=1e-12)
    numbers = float(x[0].numel())
    optimizer = torch.optim.Adam([x], lr=config.learning_rate)
    misses = np.empty(config.steps)
    for step in range(config.steps):
        miss = squared_error(network(x), wanted) / norm
        prior = (
            config.alpha_weight * alpha_norm(x, config.alpha)
            + config.variation_weight * total_variation(x, config.beta)
        ) / numbers
        optimizer.zero_grad()
        (miss + prior).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        misses[step] = float(miss.detach().mean())
    return Found(x.detach().clamp(-1, 1), misses)


@torch.no_grad()
def reencode(reconstruct: Callable[[Tensor], Tensor], images: Tensor, times: int) -> list[Tensor]:
    """Reconstruct images, then what came out, and so on (Sec. 4.3, iterative re-encoding).

    Args:
        reconstruct: (N, C, H, W) in [-1, 1] to the same.
        images: (N, C, H, W).
        times: at least 1.

    Returns:
        The images after 1, 2, … ``times`` rounds.
    """
    rounds = []
    for _ in range(times):
        images = _in_batches(reconstruct, images)
        rounds.append(images)
    return rounds


@torch.no_grad()
def encode_all(
    encode: Callable[[Tensor], Tensor], images: Pixels, device: str | torch.device = "cpu"
) -> NDArray[np.float32]:
    """Codes (N, D) of (N, H, W, C) uint8 images."""
    codes = [
        encode(to_tensor(images[start : start + BATCH]).to(device)).flatten(1).float().cpu()
        for start in range(0, len(images), BATCH)
    ]
    return torch.cat(codes).numpy()


def code_accuracy(
    model: str,
    train: tuple[NDArray[np.float32], NDArray[np.int64]],
    test: tuple[NDArray[np.float32], NDArray[np.int64]],
    folds: Sequence[NDArray[np.int64]],
) -> CodeRow:
    """Train a linear SVM on the codes of each fold, and test it on those of all test images.

    Codes are scaled to mean 0 and variance 1; C is chosen by cross-validation inside the first
    fold. Pairs of classes have an SVM each, which vote.

    Args:
        model: that encoded.
        train: codes (N, D) and labels (N,).
        test: the same of the test images.
        folds: rows of ``train``, for each SVM.

    Raises:
        DataError: a fold with one image of a class or with none of a class that is tested, or
            codes that are not finite.
    """
    codes, labels = train
    if not (np.isfinite(codes).all() and np.isfinite(test[0]).all()):
        raise DataError(f"{model}: expected finite codes, got NaN or infinity; train it again.")
    accuracies: list[float] = []
    strength: float | None = None
    for rows in folds:
        known, counts = np.unique(labels[rows], return_counts=True)
        missing = np.setdiff1d(test[1], known)
        if len(missing):
            raise DataError(
                f"expected images of every class that is tested in a fold, got none of "
                f"{len(missing)} classes; use data with {LEAST_IMAGES} or more training images of "
                "each class of the test images."
            )
        if len(counts) < 2 or counts.min() < 2:
            raise DataError(
                f"expected two classes and two images of each in a fold, got {len(counts)} and "
                f"{counts.min()}; take larger folds of classes of {LEAST_IMAGES} images or more."
            )
        scale = StandardScaler()
        scaled = scale.fit_transform(codes[rows])
        if strength is None:
            search = GridSearchCV(
                SVC(kernel="linear"),
                {"C": STRENGTHS},
                cv=StratifiedKFold(min(CV_FOLDS, counts.min()), shuffle=True, random_state=0),
                refit=False,
            )
            strength = search.fit(scaled, labels[rows]).best_params_["C"]
        svm = SVC(kernel="linear", C=strength).fit(scaled, labels[rows])
        accuracies.append(svm.score(scale.transform(test[0]), test[1]))
    return CodeRow(
        model=model,
        dim=codes.shape[1],
        n_train=len(folds[0]),
        accuracy=float(np.mean(accuracies)),
        deviation=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
    )


def draw_folds(
    labels: NDArray[np.int64], per_class: int, count: int, seed: int
) -> list[NDArray[np.int64]]:
    """Draw ``count`` folds of images of each class.

    A fold has at most half of a class's images: with more, the folds would be the same images and
    the deviation over them would mean nothing.

    Args:
        labels: (N,) of the images to draw from.
        per_class: images of a class, in a class of twice as many or more.
        count: of folds.
        seed: of the draws.

    Returns:
        Rows of each fold, sorted.
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return [
        np.sort(
            np.concatenate(
                [rng.permutation(rows)[: min(per_class, len(rows) // 2)] for rows in groups]
            )
        )
        for _ in range(count)
    ]


def format_inversion_table(rows: Sequence[InversionRow]) -> str:
    """The rows as a Markdown table, ending in a line break; errors in %, as in the paper."""
    cells = [
        (
            row.method,
            row.network,
            row.images,
            f"{100 * row.image_error:.0f}",
            f"{100 * row.feature_error:.0f}",
        )
        for row in rows
    ]
    columns = ("inversion", "of", "n", "error in image space, %", "in feature space, %")
    return markdown_table(columns, cells)


def format_code_table(rows: Sequence[CodeRow]) -> str:
    """The rows as a Markdown table, ending in a line break."""
    cells = [
        (row.model, row.dim, row.n_train, f"{row.accuracy:.1%} ± {row.deviation:.1%}")
        for row in rows
    ]
    return markdown_table(("codes of", "numbers", "labelled images", "linear SVM"), cells)


@torch.no_grad()
def _in_batches(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    parts = [network(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return torch.cat(parts)
