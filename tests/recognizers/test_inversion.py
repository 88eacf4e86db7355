import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from augment.comparators import FrozenNetwork
from augment.errors import ConfigError, DataError
from recognizers import inversion
from recognizers.inversion import (
    PriorConfig,
    code_accuracy,
    draw_folds,
    encode_all,
    format_code_table,
    format_inversion_table,
    invert_by_optimization,
    normalized_error,
    reencode,
    score_inversion,
)


def some_images(count: int = 6) -> torch.Tensor:
    draws = torch.Generator().manual_seed(1)
    return F.avg_pool2d(torch.rand(count, 1, 12, 12, generator=draws) * 2 - 1, 3, 1, 1) * 2


def make_network() -> FrozenNetwork:
    torch.manual_seed(0)
    return FrozenNetwork("mine", nn.Sequential(nn.Conv2d(1, 12, 3, 2), nn.Tanh()), "output")


def test_normalized_error_of_a_case_worked_by_hand():
    targets = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])  # 5, 8 and 5 apart: mean 6
    estimates = torch.tensor([[0.0, 3.0], [3.0, 4.0], [0.0, 2.0]])  # 3, 0 and 6 off: mean 3
    assert normalized_error(estimates, targets) == pytest.approx(0.5)


def test_drawing_test_images_at_random_scores_about_1():
    draws = torch.Generator().manual_seed(0)
    targets = torch.randn(400, 10, generator=draws)
    assert normalized_error(targets.roll(1, 0), targets) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("estimates", "targets", "message"),
    [
        (torch.zeros(1, 2), torch.zeros(1, 2), "two or more"),
        (torch.zeros(2, 2), torch.zeros(2, 3), "of one shape"),
        (torch.zeros(2, 2), torch.ones(2, 2), "different targets, got 2 alike"),
        (torch.full((2, 2), torch.nan), torch.eye(2), "finite values"),
    ],
)
def test_errors_that_have_no_value_are_refused(estimates, targets, message):
    with pytest.raises(DataError, match=message):
        normalized_error(estimates, targets)


def test_a_perfect_inversion_scores_0_in_images_and_features():
    images = some_images()
    row = score_inversion("oracle", make_network(), images, images)
    assert (row.method, row.network, row.images) == ("oracle", "mine", 6)
    assert (row.image_error, row.feature_error) == (0, 0)
    elsewhere = make_network()
    elsewhere.name = "exemplar:/registry/eyes/1"
    assert score_inversion("oracle", elsewhere, images, images).network == "exemplar:1"
    worse = score_inversion("shifted", make_network(), images.roll(1, 3), images)
    assert worse.image_error > 0.2
    assert worse.feature_error > 0.2


def test_optimisation_finds_images_with_the_right_features():
    images, network = some_images(), make_network()
    found = invert_by_optimization(
        network, network(images), (1, 12, 12), PriorConfig(steps=150, variation_weight=0.01)
    )
    assert found.images.shape == images.shape
    assert found.images.abs().max() <= 1
    assert found.misses[-1] < 0.1 * found.misses[0]
    row = score_inversion("optimisation", network, found.images, images)
    assert row.feature_error < 0.35


def test_the_prior_makes_found_images_smoother():
    images, network = some_images(), make_network()

    def roughness(weight):
        prior = PriorConfig(steps=60, variation_weight=weight)
        x = invert_by_optimization(network, network(images), (1, 12, 12), prior).images
        return float((x[..., 1:] - x[..., :-1]).abs().mean())

    assert roughness(3.0) < 0.7 * roughness(0.0)


@pytest.mark.parametrize("batch", [2, 64])
def test_each_image_is_found_for_itself_and_by_the_seed(monkeypatch, batch):
    monkeypatch.setattr("recognizers.inversion.BATCH", batch)
    network, prior = make_network(), PriorConfig(steps=5, start_std=0.0)
    features = network(some_images())
    together = invert_by_optimization(network, features, (1, 12, 12), prior).images
    alone = invert_by_optimization(network, features[2:3], (1, 12, 12), prior).images
    torch.testing.assert_close(alone, together[2:3])
    noisy = PriorConfig(steps=1)
    one, two = (
        invert_by_optimization(network, features, (1, 12, 12), noisy, seed=s).images for s in (0, 1)
    )
    assert not torch.equal(one, two)


def test_reencoding_applies_the_reconstruction_again_and_again():
    rounds = reencode(lambda x: x / 2, torch.ones(70, 1, 2, 2), 3)
    assert [float(x.mean()) for x in rounds] == [0.5, 0.25, 0.125]
    assert len(rounds[0]) == 70


def test_codes_are_those_of_images_in_their_order():
    images = np.arange(70 * 4, dtype=np.uint8).reshape(70, 2, 2, 1)
    codes = encode_all(lambda x: 127.5 * (x + 1), images)
    assert codes.shape == (70, 4)
    np.testing.assert_allclose(codes, images.reshape(70, 4), atol=1e-3)


def separable(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    codes = rng.normal(0, 0.1, (count, 5)).astype(np.float32)
    codes[np.arange(count), labels] += 1
    return codes, labels


def test_a_linear_svm_reads_codes_that_tell_classes_and_no_others():
    train, test = separable(60), separable(90, seed=1)
    folds = draw_folds(train[1], 10, 2, seed=0)
    row = code_accuracy("good", train, test, folds)
    assert (row.dim, row.n_train, row.accuracy) == (5, 30, 1.0)
    rng = np.random.default_rng(2)
    noise = [rng.normal(size=codes.shape).astype(np.float32) for codes, _ in (train, test)]
    blind = code_accuracy("noise", (noise[0], train[1]), (noise[1], test[1]), folds)
    assert blind.accuracy < 0.6
    assert blind.deviation > 0


def test_the_strength_of_an_svm_is_chosen_once_and_its_codes_are_scaled(monkeypatch):
    strengths, fitted = (1e-4, 1e-2), []

    class Seen(SVC):
        def fit(self, codes, labels):
            fitted.append(self.C)
            return super().fit(codes, labels)

    rng = np.random.default_rng(3)
    labels = np.arange(90) % 3
    codes = (rng.normal(size=(90, 400)) + 0.25 * labels[:, None]).astype(np.float32)
    codes[:, :200] += 20 * rng.normal(size=(90, 1)).astype(np.float32)
    folds, test = [np.arange(30), np.arange(15, 45)], (codes[45:], labels[45:])
    monkeypatch.setattr(inversion, "SVC", Seen)
    monkeypatch.setattr(inversion, "STRENGTHS", strengths)
    row = code_accuracy("wide", (codes, labels), test, folds)
    assert len(fitted) == 2 * 3 + 2
    chosen = fitted[-1]
    assert fitted[-2] == chosen
    plain = make_pipeline(StandardScaler(), SVC(kernel="linear", C=chosen))
    scores = [plain.fit(codes[rows], labels[rows]).score(*test) for rows in folds]
    assert row.accuracy == pytest.approx(np.mean(scores))
    assert 0.4 < row.accuracy < 1


def test_folds_have_as_many_of_each_class_or_half_of_few_and_differ():
    labels = np.repeat([0, 1, 2], [10, 11, 6])
    one, two = draw_folds(labels, 5, 2, seed=0)
    assert np.bincount(labels[one]).tolist() == [5, 5, 3]
    assert len(np.unique(one)) == 13
    assert not np.array_equal(one, two)
    assert np.array_equal(draw_folds(labels, 5, 1, seed=0)[0], one)
    shared = len(np.intersect1d(*draw_folds(np.repeat([0, 1], 400), 1000, 2, seed=0)))
    assert shared == pytest.approx(200, abs=40)  # not all 400


def test_two_images_of_a_class_are_enough_to_choose_by():
    train = separable(12)
    row = code_accuracy("few", train, separable(90, seed=1), draw_folds(train[1], 50, 2, seed=0))
    assert row.n_train == 6
    assert row.accuracy > 0.9


def test_folds_too_small_to_choose_by_and_codes_that_are_not_finite_are_refused():
    train = separable(12)
    with pytest.raises(DataError, match="two images of each in a fold, got 3 and 1; take larger"):
        code_accuracy("m", train, train, draw_folds(train[1], 1, 1, seed=0))
    broken = (np.full_like(train[0], np.nan), train[1])
    with pytest.raises(DataError, match="m: expected finite codes"):
        code_accuracy("m", broken, train, draw_folds(train[1], 4, 1, seed=0))


def test_classes_that_nobody_learned_are_no_0_percent():
    codes, labels = separable(60)
    known = labels < 2
    folds = draw_folds(labels[known], 10, 1, seed=0)
    with pytest.raises(DataError, match="in a fold, got none of 1 classes"):
        code_accuracy("m", (codes[known], labels[known]), (codes, labels), folds)


def test_tables_show_errors_in_percent():
    images = some_images()
    row = score_inversion("oracle", make_network(), images, images)
    assert "| oracle | mine | 6 | 0 | 0 |" in format_inversion_table([row])
    train = separable(60)
    codes = code_accuracy("good", train, train, draw_folds(train[1], 10, 2, seed=0))
    assert "| good | 5 | 30 | 100.0% ± 0.0% |" in format_code_table([codes])


@pytest.mark.parametrize(
    "setting",
    [{"steps": 0}, {"learning_rate": 0.0}, {"alpha": 0.5}, {"variation_weight": -1.0}],
    ids=str,
)
def test_priors_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        PriorConfig(**setting)
