import numpy as np
import pytest
import torch

from augment.errors import ConfigError
from augment.losses.margin import angular_margin
from recognizers.face import FaceConfig, FaceRecognizer
from recognizers.fit import Batch, Budget, fit, predict

SMALL = FaceConfig(width=4, embedding_dim=6, dropout=0.0)


@pytest.fixture
def model() -> FaceRecognizer:
    torch.manual_seed(0)
    return FaceRecognizer(5, (16, 16), 3, SMALL).eval()


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(("size", "channels"), [((16, 16), 1), ((64, 64), 3), ((40, 33), 3)])
def test_embeddings_are_unit_vectors_of_any_image_size(size, channels):
    model = FaceRecognizer(7, size, channels, SMALL).eval()
    images = torch.rand(4, channels, *size)
    assert model.embed(images).shape == (4, 6)
    torch.testing.assert_close(model.embed(images).norm(dim=1), torch.ones(4))
    assert model(images).shape == (4, 7)


def test_logits_are_scaled_cosines_between_embedding_and_centre(model):
    embeddings = model.embed(pictures(3))
    centres = model.centres / model.centres.norm(dim=1, keepdim=True)
    torch.testing.assert_close(model(pictures(3)), SMALL.scale * embeddings @ centres.T)


def test_the_loss_holds_the_right_person_to_the_margin(model):
    images, labels = pictures(3), torch.tensor([0, 4, 2])
    cosines = model(images) / SMALL.scale
    expected = angular_margin(cosines, labels, scale=SMALL.scale, margin=SMALL.margin)
    torch.testing.assert_close(model.loss(images, labels), expected)
    free = torch.nn.functional.cross_entropy(model(images), labels, reduction="none")
    assert (expected > free).all()


def test_a_blend_costs_one_pass_and_is_the_mean_of_both_losses(model):
    images, labels, others = pictures(3), torch.tensor([0, 1, 2]), torch.tensor([3, 4, 2])
    shares = torch.tensor([0.25, 1.0, 0.5])
    passes = []
    model.body.register_forward_hook(lambda *_: passes.append(1))
    blended = model.mixed_loss(images, labels, others, shares)
    assert len(passes) == 1
    expected = shares * model.loss(images, labels) + (1 - shares) * model.loss(images, others)
    torch.testing.assert_close(blended, expected)


def test_decode_names_the_nearest_person_and_how_near(model):
    labels, confidences = model.decode(SMALL.scale * torch.tensor([[0.0, 1.0], [-0.5, -1.0]]))
    assert labels.tolist() == [1, 0]
    assert confidences.tolist() == pytest.approx([1.0, 0.25])


def test_an_image_is_embedded_alike_beside_any_neighbours(model):
    images = pictures(6)
    torch.testing.assert_close(model.embed(images)[2:3], model.embed(images[2:3]))


def test_it_learns_whom_it_is_shown():
    rng = np.random.default_rng(0)
    people = rng.integers(0, 256, (4, 16, 16, 1), dtype=np.uint8)

    def stream(step: int) -> Batch:
        rng = np.random.default_rng(step)
        labels = rng.integers(4, size=16)
        noise = rng.integers(-60, 60, (16, 16, 16, 1))
        return Batch(np.clip(people[labels] + noise, 0, 255).astype(np.uint8), labels)

    model = fit(
        lambda: FaceRecognizer(4, (16, 16), 1, FaceConfig(width=4)),
        stream,
        Budget(steps=40, batch_size=16),
        seed=0,
    )
    images, labels, _ = stream(10**6)
    read, confidences = predict(model, images)
    assert (read == labels).mean() > 0.9
    assert confidences.min() > 0.5


def test_images_too_small_to_be_halved_four_times_are_refused():
    with pytest.raises(ConfigError, match="16×16"):
        FaceRecognizer(3, (15, 20), 1)


@pytest.mark.parametrize(
    "setting",
    [
        {"width": 0},
        {"embedding_dim": 0},
        {"dropout": 1.0},
        {"scale": 0.0},
        {"margin": -0.1},
        {"margin": 2.0},
    ],
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError):
        FaceConfig(**setting)
