import numpy as np
import pytest
import torch

from augment.errors import ConfigError, NonFiniteLossError
from recognizers.character import CharacterConfig, CharacterRecognizer
from recognizers.fit import Batch, Blend, Budget, fit, predict

CLASSES, SIZE = 3, (8, 8)


def build() -> CharacterRecognizer:
    return CharacterRecognizer(CLASSES, SIZE, 1, CharacterConfig(width=8, dropout=0.0))


def bars(step: int, count: int = 24):
    """Class c is a bright bar in row 2c + 1."""
    rng = np.random.default_rng(step)
    labels = rng.integers(CLASSES, size=count)
    images = rng.integers(0, 60, (count, *SIZE, 1), dtype=np.uint8)
    images[np.arange(count), 2 * labels + 1] += 150
    return Batch(images, labels)


def test_a_recognizer_learns_what_it_is_shown():
    model = fit(build, bars, Budget(steps=40, batch_size=24), seed=0)
    images, labels, _ = bars(10**6, 200)
    read, confidences = predict(model, images)
    assert (read == labels).mean() > 0.95
    assert ((confidences > 1 / CLASSES) & (confidences <= 1)).all()


def test_equal_seeds_give_equal_weights_and_leave_the_global_state_alone():
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    first, second = (fit(build, bars, Budget(steps=3, batch_size=24), seed=7) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_checkpoints_come_evenly_and_at_the_end_in_eval_mode():
    seen = []
    fit(
        build,
        bars,
        Budget(steps=10, batch_size=24),
        seed=0,
        checkpoints=4,
        on_checkpoint=lambda step, model: seen.append((step, model.training)),
    )
    assert seen == [(2, False), (5, False), (8, False), (10, False)]


def test_looking_at_checkpoints_does_not_change_the_training():
    budget = Budget(steps=6, batch_size=24)
    watched = fit(build, bars, budget, seed=0, checkpoints=3, on_checkpoint=lambda *_: None)
    alone = fit(build, bars, budget, seed=0)
    for ours, theirs in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_step():
    class Broken(CharacterRecognizer):
        def loss(self, images, labels):
            return super().loss(images, labels) * torch.nan

    with pytest.raises(NonFiniteLossError, match="step 0"):
        fit(lambda: Broken(CLASSES, SIZE, 1), bars, Budget(steps=3, batch_size=24), seed=0)


def test_a_blend_weighs_the_losses_of_both_labels_by_their_shares():
    class Noted(CharacterRecognizer):
        """Its loss of a label is the label."""

        def loss(self, images, labels):
            return labels.float() + 0 * self(images).sum()

        def mixed_loss(self, *blend):
            losses.append(super().mixed_loss(*blend))
            return losses[-1]

    losses = []

    def blended(step):
        images = bars(step, 4).images
        others, shares = np.array([2, 2, 0, 1]), np.float32([0.25, 1.0, 0.0, 0.5])
        return Batch(images, np.array([0, 1, 2, 1]), Blend(others, shares))

    fit(lambda: Noted(CLASSES, SIZE, 1), blended, Budget(steps=2, batch_size=4), seed=0)
    assert losses[0].tolist() == [1.5, 1.0, 0.0, 1.0]


def test_predictions_do_not_depend_on_the_batch_size():
    model = fit(build, bars, Budget(steps=3, batch_size=24), seed=0)
    images = bars(1, 50).images
    assert np.array_equal(predict(model, images)[0], predict(model, images, batch_size=7)[0])


@pytest.mark.parametrize("setting", [{"steps": 0}, {"batch_size": 1}])
def test_budgets_that_train_nothing_are_refused(setting):
    with pytest.raises(ConfigError):
        Budget(**setting)
