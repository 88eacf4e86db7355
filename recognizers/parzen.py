"""Log-likelihood of images under a Gaussian Parzen window on a generator's samples.

The measure of Goodfellow et al. 2014 (Sec. 5), used by the adversarial autoencoder and SAAE:
each of M samples carries an isotropic Gaussian, log p(x) = log 1/M Σ_i N(x; s_i, σ² I), with σ
chosen on validation images. Images are flattened, in [0, 1].
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augment.errors import DataError
from augment.images import Pixels

__all__ = ["SIGMAS", "ParzenResult", "log_likelihoods", "parzen_score"]

SIGMAS: tuple[float, ...] = tuple(float(s) for s in np.logspace(-1.3, 0, 27))
"""Widths tried on the validation images: 0.05 to 1."""

CHUNK = 500
"""Images compared at a time; bounds the memory at CHUNK × M distances."""


@dataclass(frozen=True)
class ParzenResult:
    """Mean log-likelihood in nats, over test images.

    Attributes:
        log_likelihood: mean over the test images.
        standard_error: of that mean, over test images.
        sigma: width of the window, chosen on validation images.
        samples: M, generated images.
        test_images: images scored.
        validation_images: images that chose sigma.
    """

    log_likelihood: float
    standard_error: float
    sigma: float
    samples: int
    test_images: int
    validation_images: int


def log_likelihoods(
    images: Pixels, samples: Pixels, sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """Score images under windows of several widths.

    Args:
        images: (N, H, W, C) uint8, to be scored.
        samples: (M, H, W, C) uint8, centres of the Gaussians.
        sigmas: widths on the [0, 1] scale of pixel values, each above 0.

    Returns:
        (len(sigmas), N) log-likelihoods in nats.

    Raises:
        DataError: no images, or of another size than the samples.
    """
    _check_sizes(images, samples)
    dimensions = samples[0].size
    scores = np.empty((len(sigmas), len(images)))
    for rows, distances in _squared_distances(images, samples):
        for row, sigma in enumerate(sigmas):
            log_sum = torch.logsumexp(distances / (-2 * sigma**2), dim=1).double()
            norm = math.log(len(samples)) + dimensions / 2 * math.log(2 * math.pi * sigma**2)
            scores[row, rows] = (log_sum - norm).numpy()
    return scores


def parzen_score(
    test: Pixels, validation: Pixels, samples: Pixels, sigmas: Sequence[float] = SIGMAS
) -> ParzenResult:
    """Choose sigma on validation images, then score the test images; all (·, H, W, C) uint8.

    Raises:
        DataError: a set is empty, or sizes differ.
    """
    best = int(log_likelihoods(validation, samples, sigmas).mean(axis=1).argmax())
    scores = log_likelihoods(test, samples, [sigmas[best]])[0]
    return ParzenResult(
        log_likelihood=float(scores.mean()),
        standard_error=float(scores.std(ddof=1) / math.sqrt(len(scores))) if len(scores) > 1 else 0,
        sigma=sigmas[best],
        samples=len(samples),
        test_images=len(test),
        validation_images=len(validation),
    )


def _squared_distances(images: Pixels, centres: Pixels) -> Iterator[tuple[slice, Tensor]]:
    """Yield (rows, squared distances (n, M)), a chunk of images at a time."""
    to = _flatten(centres)
    to_norms = to.square().sum(dim=1)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        part = _flatten(images[rows])
        norms = part.square().sum(dim=1, keepdim=True)
        distances = torch.addmm(norms + to_norms, part, to.T, alpha=-2)
        yield rows, distances.clamp_min_(0)


def _flatten(images: Pixels) -> Tensor:
    """(N, H, W, C) uint8 to (N, H·W·C) float32 in [0, 1]."""
    return torch.from_numpy(images.reshape(len(images), -1)).float().div_(255)


def _check_sizes(images: Pixels, others: Pixels) -> None:
    if not len(images) or not len(others):
        raise DataError(f"expected images on both sides, got {len(images)} and {len(others)}.")
    if images.shape[1:] != others.shape[1:]:
        raise DataError(
            f"expected images of one size, got {images.shape[1:]} and {others.shape[1:]}; "
            "open the data in the generator's image size."
        )
