import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from augment.errors import DataError
from recognizers import parzen
from recognizers.parzen import log_likelihoods, parzen_score


def random_images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 2, 3, 1), dtype=np.uint8)


def test_log_likelihood_is_that_of_the_mixture_of_gaussians() -> None:
    images, samples, sigma = random_images(4, 0), random_images(5, 1), 0.3
    densities = [
        np.mean(
            [
                multivariate_normal(sample.ravel() / 255, sigma**2).pdf(image.ravel() / 255)
                for sample in samples
            ]
        )
        for image in images
    ]
    scores = log_likelihoods(images, samples, [sigma])[0]
    np.testing.assert_allclose(scores, np.log(densities), rtol=1e-4)


def test_an_image_equal_to_the_only_sample_scores_the_peak_of_the_gaussian() -> None:
    image = random_images(1, 0)
    expected = -6 / 2 * math.log(2 * math.pi * 0.1**2)
    assert log_likelihoods(image, image, [0.1])[0, 0] == pytest.approx(expected, abs=1e-3)


def test_a_distant_sample_does_not_underflow() -> None:
    black, white = np.zeros((1, 2, 3, 1), np.uint8), np.full((1, 2, 3, 1), 255, np.uint8)
    score = log_likelihoods(black, white, [0.05])[0, 0]
    assert score == pytest.approx(
        -6 / (2 * 0.05**2) - 3 * math.log(2 * math.pi * 0.05**2), rel=1e-4
    )


def test_chunks_do_not_change_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    images, samples = random_images(7, 0), random_images(5, 1)
    whole = log_likelihoods(images, samples, [0.2, 0.5])
    monkeypatch.setattr(parzen, "CHUNK", 3)
    np.testing.assert_allclose(log_likelihoods(images, samples, [0.2, 0.5]), whole, rtol=1e-5)


def test_sigma_is_chosen_on_validation_images_and_not_on_test_images() -> None:
    samples, far = random_images(20, 0), random_images(6, 1)
    near = np.clip(samples.astype(int) + 3, 0, 255).astype(np.uint8)
    assert parzen_score(far, near, samples).sigma < parzen_score(near, far, samples).sigma


def test_standard_error_is_that_of_the_mean_over_test_images() -> None:
    test, samples = random_images(9, 0), random_images(5, 1)
    result = parzen_score(test, random_images(4, 2), samples)
    scores = log_likelihoods(test, samples, [result.sigma])[0]
    assert result.log_likelihood == pytest.approx(scores.mean())
    assert result.standard_error == pytest.approx(scores.std(ddof=1) / 3)
    assert (result.samples, result.test_images, result.validation_images) == (5, 9, 4)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match="one size"):
        log_likelihoods(random_images(1, 0), np.zeros((1, 4, 4, 1), np.uint8), [0.1])
    with pytest.raises(DataError, match="got 0 and 3"):
        log_likelihoods(random_images(0, 0), random_images(3, 0), [0.1])
