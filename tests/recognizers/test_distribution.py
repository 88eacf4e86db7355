"""Distances of sets whose values are known in closed form, and input that has none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import Inception_V3_Weights, inception_v3

from augment.errors import ConfigError, DataError
from recognizers import distribution
from recognizers.distribution import (
    NEIGHBOURS,
    InceptionFeatures,
    compare_sets,
    describe_difference,
)


def normal(count: int, seed: int, dimension: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def standardized(count: int, seed: int, dimension: int = 4) -> np.ndarray:
    """Points whose mean is 0 and whose covariance is the identity, exactly."""
    points = normal(count, seed, dimension).astype(np.float64)
    points -= points.mean(axis=0)
    points @= np.linalg.inv(np.linalg.cholesky(np.cov(points.T))).T
    return points.astype(np.float32)


def test_frechet_distance_of_gaussians_is_the_closed_form():
    x = standardized(300, seed=1)
    moved = compare_sets(x, standardized(300, seed=2) + 2)
    wider = compare_sets(x, 3 * standardized(300, seed=2))
    assert moved.fid == pytest.approx(4 * 2**2, rel=1e-4)  # |μ|²
    assert wider.fid == pytest.approx(4 * (3 - 1) ** 2, rel=1e-4)  # tr(1 + 9 − 2·3)


def test_kernel_distance_is_the_unbiased_sum_written_out():
    x, y = normal(7, 1, 3).astype(np.float64), normal(7, 2, 3).astype(np.float64)
    xx, yy, xy = ((a @ b.T / 3 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    pairs = 7 * 6
    by_hand = (xx.sum() - np.trace(xx)) / pairs + (yy.sum() - np.trace(yy)) / pairs - 2 * xy.mean()
    found = compare_sets(x.astype(np.float32), y.astype(np.float32))
    assert found.kid == pytest.approx(by_hand, rel=1e-5)
    assert found.kid_std > 0


def test_the_noise_of_the_kernel_distance_is_what_other_draws_would_have_changed():
    found = [compare_sets(normal(100, 2 * i), normal(100, 2 * i + 1)) for i in range(20)]
    apart = np.std([one.kid for one in found])
    told = np.mean([one.kid_std for one in found])
    assert apart < told < 4 * apart  # halves are noisier than the whole


def test_a_set_beside_another_of_its_distribution_is_near_it_and_beside_a_far_one_is_not():
    real = normal(400, 1)
    same, far = compare_sets(real, normal(400, 2)), compare_sets(real, normal(400, 3) + 50)
    assert abs(same.kid) < 0.1
    assert same.fid is not None
    assert same.fid < 0.1
    assert min(same.precision, same.recall, same.coverage) > 0.85
    assert same.density == pytest.approx(1, abs=0.15)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)


def test_one_repeated_real_image_is_precise_and_covers_nothing():
    real = normal(200, 1)
    found = compare_sets(real, np.repeat(real[:1], 200, axis=0))
    assert found.precision == 1
    assert found.recall < 0.05
    assert found.coverage < 0.1


@pytest.mark.parametrize("chunk", [2, 4, 1024])
def test_neighbourhoods_on_a_line_are_as_counted_by_hand(monkeypatch, chunk):
    monkeypatch.setattr(distribution, "CHUNK", chunk)
    real = np.arange(6, dtype=np.float32)[:, None]  # reaching to their farthest: 5, 4, 3, 3, 4, 5
    generated = np.array([[0.5], [9], [9], [9], [9], [10.5]], np.float32)
    found = compare_sets(real, generated)
    assert found.precision == pytest.approx(5 / 6)  # 10.5 is 5.5 from 5
    assert found.density == pytest.approx((6 + 4 * 1) / (NEIGHBOURS * 6))  # 9 is near 5 alone
    assert found.recall == 1
    assert found.coverage == 1


def test_sets_no_larger_than_the_dimension_have_no_frechet_distance_and_say_so():
    found = compare_sets(normal(8, 1, 16), normal(8, 2, 16))
    assert found.fid is None
    assert np.isfinite(found.kid)
    assert describe_difference(found) == (
        "8 images do not determine a covariance in 16 dimensions, so there is no FID; read KID."
    )
    assert describe_difference(compare_sets(normal(40, 1), normal(40, 2))) is None


def test_features_that_cannot_be_compared_are_refused():
    fine, broken = normal(20, 1), normal(20, 2)
    broken[7, 2] = np.nan
    with pytest.raises(DataError, match="1 generated images, the first at index 7"):
        compare_sets(fine, broken)
    with pytest.raises(DataError, match="got 4 of real and 5 of generated"):
        compare_sets(fine, normal(20, 1, 5))
    with pytest.raises(DataError, match="at least 6 real images, got 5"):
        compare_sets(fine[:5], fine)


def test_inception_sees_images_as_torchvision_shows_them_to_these_weights(tmp_path: Path):
    network = inception_v3(weights=None, init_weights=False, transform_input=True)  # as published
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    features = InceptionFeatures(tmp_path / "weights.pth")
    seen = []
    for model in (network.eval(), features.model):
        model.Conv2d_1a_3x3.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = np.random.default_rng(0).integers(0, 256, (1, 299, 299, 3), dtype=np.uint8)
    show = Inception_V3_Weights.IMAGENET1K_V1.transforms(crop_size=299, resize_size=299)
    with torch.no_grad():
        network(show(torch.from_numpy(images).permute(0, 3, 1, 2)))
    features(images)
    torch.testing.assert_close(seen[1], seen[0], atol=1e-5, rtol=1e-4)


def test_inception_reads_gray_and_colour_images_and_refuses_other_weights(tmp_path: Path):
    path = tmp_path / "weights.pth"
    torch.save(inception_v3(weights=None, init_weights=False).state_dict(), path)
    features = InceptionFeatures(path)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    gray = features(images)
    assert gray.shape == (2, 2048)
    np.testing.assert_allclose(gray, features(images.repeat(3, axis=3)), rtol=1e-4, atol=1e-5)
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match="torchvision's inception_v3"):
        InceptionFeatures(path)
    with pytest.raises(ConfigError, match="torchvision's inception_v3"):
        InceptionFeatures(tmp_path / "none.pth")
    for content in (b"", b"hello, world"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="torchvision's inception_v3"):
            InceptionFeatures(path)
