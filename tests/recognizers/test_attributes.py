import numpy as np
import pytest
import torch

from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, DataError
from recognizers.attributes import (
    AttributeRegressor,
    RegressorConfig,
    attribute_similarity,
    balanced_accuracies,
    edit_success,
    read_attributes,
    train_regressor,
)
from recognizers.fit import Budget

SIZE = (16, 16)


class Levels(AttributeRegressor):
    """Reads attribute 0 off the red channel and attribute 1 off the green: logits as given."""

    def __init__(self) -> None:
        super().__init__(2, SIZE, 3, RegressorConfig(width=1))
        self.eval()

    def forward(self, images):
        return images.mean(dim=(2, 3))[:, :2] * 10


def paint(*colours: tuple[int, int, int]) -> np.ndarray:
    """(N, 16, 16, 3) evenly painted images."""
    return np.broadcast_to(
        np.array(colours, np.uint8)[:, None, None], (len(colours), *SIZE, 3)
    ).copy()


def striped_data(count: int = 64) -> LabelledImages:
    """Attribute "Top": upper half bright. Attribute "Blue": a blue tint. Both in noise."""
    rng = np.random.default_rng(0)
    attributes = rng.choice([-1, 1], size=(count, 2), p=[0.7, 0.3]).astype(np.int8)
    images = rng.integers(60, 140, (count, *SIZE, 3))
    images[:, :8] += 80 * (attributes[:, 0] > 0)[:, None, None, None]
    images[..., 2] += 80 * (attributes[:, 1] > 0)[:, None, None]
    return LabelledImages.from_arrays(
        images.astype(np.uint8),
        np.zeros(count, np.int64),
        ("face",),
        attributes=attributes,
        attribute_names=("Top", "Blue"),
    )


def test_a_trained_regressor_reads_attributes_it_was_trained_on():
    data = striped_data()
    budget = Budget(steps=25, batch_size=32, learning_rate=1e-2)
    regressor = train_regressor(data, budget, config=RegressorConfig(width=4))
    readings = read_attributes(regressor, data.images(), batch_size=10)
    assert readings.shape == (64, 2)
    assert np.abs(readings).max() <= 1
    assert balanced_accuracies(readings, data.attributes).min() > 0.9


def test_training_twice_gives_the_same_regressor():
    budget = Budget(steps=2, batch_size=4)
    first, second = (
        train_regressor(striped_data(8), budget, config=RegressorConfig(width=2)).state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_images_with_and_without_an_attribute_weigh_the_same():
    shares = torch.tensor([0.1, 0.5])
    model = AttributeRegressor(2, SIZE, 3, RegressorConfig(width=1), shares).eval()
    torch.nn.init.zeros_(model.head[-1].weight)
    torch.nn.init.zeros_(model.head[-1].bias)
    labels = torch.tensor([[1, 1]] + [[-1, -1]] * 9)
    losses = model.loss(torch.zeros(10, 3, *SIZE), labels)
    ln2 = float(np.log(2))
    assert losses[0].item() == pytest.approx(ln2 * (5 + 1) / 2)
    assert losses[1].item() == pytest.approx(ln2 * (5 / 9 + 1) / 2)
    assert losses.mean().item() == pytest.approx(ln2)


def test_decode_gives_attributes_and_their_probabilities():
    attributes, confidences = Levels().decode(torch.tensor([[0.0, np.log(3)], [-np.log(4), 9.0]]))
    assert attributes.tolist() == [[1, 1], [-1, 1]]
    assert confidences[:, 0].tolist() == pytest.approx([0.5, 0.8])
    assert confidences[0, 1].item() == pytest.approx(0.75)


def test_balanced_accuracy_of_each_attribute_by_hand():
    readings = np.array([[0.9, -1], [-0.1, 1], [-0.5, 1], [0.3, 1]], np.float32)
    attributes = np.array([[1, 1], [1, 1], [-1, 1], [-1, 1]], np.int8)
    first, second = balanced_accuracies(readings, attributes)
    assert first == 0.5  # one of two right on both sides
    assert np.isnan(second)


def test_similarity_is_the_cosine_and_the_summed_square_between_asked_and_read():
    images = paint((255, 0, 0), (255, 255, 0))  # read as (1, -1) and (1, 1)
    result = attribute_similarity(Levels(), images, np.array([[1, -1], [1, -1]], np.int8))
    assert result.cosine == pytest.approx(0.5, abs=1e-3)  # 1 and 0
    assert result.squared_error == pytest.approx(2.0, abs=1e-2)  # 0 and 4
    assert result.images == 2


@pytest.mark.parametrize("shape", [(1, 2), (2, 3)])
def test_similarity_refuses_attributes_that_do_not_fit(shape):
    with pytest.raises(DataError, match=r"expected attributes of shape \(2, 2\)"):
        attribute_similarity(Levels(), paint((0, 0, 0), (9, 9, 9)), np.ones(shape, np.int8))


def test_edits_are_counted_where_the_attribute_was_missing_before():
    before = paint((0, 0, 0), (0, 0, 0), (0, 0, 255), (255, 0, 0))
    after = paint((255, 0, 0), (0, 0, 0), (255, 0, 0), (255, 0, 0))

    def embed(images):
        """Black and blue people differ; red ones are like the blue."""
        dark = images.reshape(len(images), -1).max(axis=1) == 0
        return np.where(dark[:, None], [3.0, 0.0], [0.0, 2.0])

    result = edit_success(Levels(), embed, before, after, 0, on=True)
    assert result.edits == 3
    assert result.seen == pytest.approx(2 / 3)
    assert result.identity == pytest.approx(2 / 3)  # 0, 1 and 1
    assert result.strangers == pytest.approx(1 / 3)  # black–black 1, black–blue 0 twice


def test_taking_an_attribute_away_is_counted_where_it_was_there():
    before, after = paint((255, 0, 0), (255, 0, 0), (0, 0, 0)), paint(*[(0, 0, 0)] * 3)
    result = edit_success(Levels(), lambda x: np.ones((len(x), 2)), before, after, 0, on=False)
    assert (result.edits, result.seen) == (2, 1.0)


def test_edits_of_images_that_all_show_the_attribute_are_refused():
    red = paint((255, 0, 0), (255, 0, 0))
    with pytest.raises(DataError, match="images without the attribute"):
        edit_success(Levels(), lambda x: np.ones((len(x), 2)), red, red, 0, on=True)
    with pytest.raises(DataError, match="expected edited images of shape"):
        edit_success(Levels(), lambda x: np.ones((len(x), 2)), red, red[:1], 0, on=True)


def test_data_without_usable_attributes_are_refused():
    data = striped_data(8)
    data.attributes[:, 1] = 1
    with pytest.raises(DataError, match="all or none have Blue"):
        train_regressor(data, Budget(steps=1))
    data.attributes = None
    with pytest.raises(DataError, match="has none"):
        train_regressor(data, Budget(steps=1))


@pytest.mark.parametrize("setting", [{"width": 0}, {"dropout": 1.0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        RegressorConfig(**setting)


def test_images_too_small_for_the_network_are_refused():
    with pytest.raises(ConfigError, match="16×16"):
        AttributeRegressor(2, (8, 16), 3)
