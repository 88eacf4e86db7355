import math

import numpy as np
import pytest
import torch

from augment.attributes import attribute_vectors, edit
from augment.data.datasets import LabelledImages
from augment.errors import DataError, RequestError

NAMES = ("Bright", "Red")


class Linear:
    """z = mean brightness of each channel; decoding paints each channel evenly."""

    def encode(self, images, labels=None):
        z = images.mean(dim=(2, 3))
        return z, torch.zeros_like(z)

    def decode(self, z, labels=None):
        return z[:, :, None, None].expand(-1, -1, 8, 8)


class Conditional(Linear):
    """Paints the attributes that decoding is told; encoding notes those it was told."""

    def encode(self, images, labels=None):
        self.told = labels
        return super().encode(images)

    def decode(self, z, labels=None):
        return super().decode(torch.nn.functional.pad(labels, (0, 1)))


def make_data(attributes, levels) -> LabelledImages:
    """Evenly painted images of RGB levels in [-1, 1]."""
    pixels = np.round((np.array(levels, float) + 1) * 127.5).astype(np.uint8)
    images = np.broadcast_to(pixels[:, None, None], (len(pixels), 8, 8, 3)).copy()
    return LabelledImages.from_arrays(
        images,
        np.zeros(len(images), np.int64),
        ("face",),
        attributes=None if attributes is None else np.array(attributes, np.int8),
        attribute_names=() if attributes is None else NAMES,
    )


def test_vectors_are_the_mean_with_minus_the_mean_without():
    data = make_data(
        [[1, 1], [1, -1], [-1, -1], [-1, -1]],
        [[1, 1, 1], [0.2, 0.2, 0.2], [-1, -1, -1], [-0.2, -0.2, -0.2]],
    )
    expected = [[1.2] * 3, [1 + 1 / 3] * 3]  # (1 + .2)/2 + (1 + .2)/2;  1 − (.2 − 1 − .2)/3
    for batch_size in (1, 3, 256):
        vectors = attribute_vectors(Linear(), data, batch_size=batch_size)
        torch.testing.assert_close(vectors, torch.tensor(expected), atol=5e-3, rtol=0)
        assert vectors.dtype == torch.float32


def test_vectors_need_attributes_that_some_images_have_and_some_lack():
    with pytest.raises(DataError, match="has none"):
        attribute_vectors(Linear(), make_data(None, [[0, 0, 0], [0, 0, 0]]))
    with pytest.raises(DataError, match="all or none have Bright:"):
        attribute_vectors(Linear(), make_data([[1, 1], [1, -1]], [[0, 0, 0], [0, 0, 0]]))


def test_edit_adds_strength_times_vector_to_the_latent():
    vectors = torch.tensor([[0.2, 0.2, 0.2], [0.4, 0.0, -0.4]])
    images = torch.zeros(2, 3, 8, 8)
    edited = edit(Linear(), images, {"Bright": 2.0, "Red": -0.5}, names=NAMES, vectors=vectors)
    torch.testing.assert_close(edited[1, :, 0, 0], torch.tensor([0.2, 0.4, 0.6]))


def test_no_strength_gives_the_reconstruction_or_with_detail_the_image():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain = edit(Linear(), images, {}, names=NAMES, vectors=torch.ones(2, 3))
    torch.testing.assert_close(plain, Linear().decode(Linear().encode(images)[0]))
    kept = edit(Linear(), images, {}, names=NAMES, vectors=torch.ones(2, 3), keep_detail=True)
    torch.testing.assert_close(kept, images)


def test_keeping_detail_adds_the_change_to_the_image_within_range():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    edited = edit(
        Linear(), images, {"Red": 1.0}, names=NAMES, vectors=torch.full((2, 3), 0.3),
        keep_detail=True,
    )  # fmt: skip
    torch.testing.assert_close(edited, (images + 0.3).clamp(max=1))


def test_a_conditional_model_is_told_attributes_that_went_their_share_of_the_way():
    model = Conditional()
    attributes = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
    edited = edit(
        model,
        torch.zeros(2, 3, 8, 8),
        {"Bright": 0.5, "Red": -1.0},
        names=NAMES,
        attributes=attributes,
    )
    assert torch.equal(model.told, attributes)
    assert edited[:, :2, 0, 0].tolist() == [[0.0, -1.0], [1.0, -1.0]]


@pytest.mark.parametrize("known", [-1.0, 0.0, 0.4, 1.0])
def test_the_stronger_an_edit_the_further_a_conditional_model_goes(known):
    strengths = torch.linspace(-1, 1, 21).tolist()
    attributes = None if known == 0 else torch.full((1, 2), known)
    reached = torch.stack([
        edit(
            Conditional(), torch.zeros(1, 3, 8, 8), {"Red": s}, names=NAMES, attributes=attributes
        )[0, 1, 0, 0]
        for s in strengths
    ])  # fmt: skip
    steps = reached.diff()
    torch.testing.assert_close(reached[[0, 10, 20]], torch.tensor([-1.0, known, 1.0]))
    assert (steps[:10] > 0).all() == (known > -1)
    assert (steps[10:] > 0).all() == (known < 1)
    assert (steps >= 0).all()


@pytest.mark.parametrize("strength", [1.01, -4.0])
def test_a_conditional_model_goes_no_further_than_it_was_trained_to(strength):
    with pytest.raises(RequestError, match=r"strength of Red must be in \[-1, 1\] with this model"):
        edit(Conditional(), torch.zeros(1, 3, 8, 8), {"Red": strength}, names=NAMES)


def test_a_conditional_model_takes_unknown_attributes_for_zero():
    model = Conditional()
    edited = edit(model, torch.zeros(1, 3, 8, 8), {"Red": -1.0}, names=NAMES)
    assert model.told.tolist() == [[0.0, 0.0]]
    assert edited[0, :2, 0, 0].tolist() == [0.0, -1.0]


def test_unknown_attributes_are_refused_with_the_known_ones():
    with pytest.raises(RequestError, match=r"'Beard'.*knows: Bright, Red"):
        edit(Linear(), torch.zeros(1, 3, 8, 8), {"Beard": 1.0}, names=NAMES)


@pytest.mark.parametrize("strength", [math.nan, math.inf, 1e9, -4.01])
def test_strengths_that_are_not_finite_or_absurd_are_refused_with_the_limit(strength):
    with pytest.raises(RequestError, match=r"strength of Red must be in \[-4, 4\]"):
        edit(
            Linear(), torch.zeros(1, 3, 8, 8), {"Red": strength}, names=NAMES,
            vectors=torch.ones(2, 3),
        )  # fmt: skip
