import pytest
import torch
from torch import Tensor

from augment.errors import RequestError
from augment.restoration.autoencoder import rebuild
from augment.restoration.inpainting import inpaint

MANY = {"iterations": 3000, "tolerance": 1e-7}


def least_squares_fill(linear, images: Tensor, holes: Tensor) -> Tensor:
    """The model's image that fits the known pixels best: where the iteration ends."""
    filled = images.clone()
    for row, hole in enumerate(holes.bool().expand_as(images)):
        known = ~hole.flatten()
        target = (images[row].flatten() - linear.mean)[known]
        z = torch.linalg.lstsq(linear.basis[known].double(), target.double()[:, None]).solution
        filled[row][hole] = linear.decode(z.T.float())[0][hole]
    return filled


def test_a_linear_model_settles_at_the_least_squares_fit_of_the_known_pixels(linear, faces, holes):
    inpainted = inpaint(linear, faces, holes, blend="none", **MANY)
    assert inpainted.settled.all()
    expected = least_squares_fill(linear, faces, holes)
    torch.testing.assert_close(inpainted.images, expected, atol=1e-4, rtol=0)


def test_an_image_that_the_model_draws_is_restored(linear, holes):
    images = linear.decode(torch.randn(6, 5, generator=torch.Generator().manual_seed(2)) / 4)
    for blend in ("none", "poisson"):
        restored = inpaint(linear, images, holes, blend=blend, **MANY).images
        torch.testing.assert_close(restored, images, atol=1e-4, rtol=0)


@pytest.mark.parametrize("blend", ["none", "poisson"])
def test_known_pixels_come_back_bit_for_bit(linear, faces, holes, blend):
    restored = inpaint(linear, faces, holes, iterations=3, blend=blend).images
    known = ~holes.bool().expand_as(faces)
    assert torch.equal(restored[known], faces[known])
    assert not torch.equal(restored, faces)


def test_what_lies_in_the_hole_is_not_looked_at(linear, faces, holes):
    painted = torch.where(holes.bool(), torch.ones(()), faces)
    ours, theirs = (inpaint(linear, images, holes).images for images in (faces, painted))
    assert torch.equal(ours, theirs)


def test_a_sample_does_not_depend_on_its_neighbours(linear, faces, holes):
    together = inpaint(linear, faces, holes, tolerance=0.05)
    assert len(set(together.steps.tolist())) > 1  # they settle at different times
    for row in range(len(faces)):
        alone = inpaint(linear, faces[row : row + 1], holes[row : row + 1], tolerance=0.05)
        assert alone.steps == together.steps[row]
        torch.testing.assert_close(alone.images[0], together.images[row], atol=1e-6, rtol=0)


def test_a_settled_sample_stays_as_it_is(linear, faces, holes):
    early = inpaint(linear, faces, holes, tolerance=0.05)
    first = int(early.steps.argmin())
    stopped = inpaint(linear, faces, holes, iterations=int(early.steps.min()), tolerance=0.05)
    assert early.steps.max() > early.steps.min()
    assert torch.equal(early.images[first], stopped.images[first])


def test_passes_end_at_the_limit_and_as_soon_as_all_have_settled(linear, faces, holes):
    stopped = inpaint(linear, faces, holes, iterations=4, tolerance=0.0)
    assert linear.calls == 4
    assert stopped.steps.tolist() == [4] * 6
    assert not stopped.settled.any()
    linear.calls = 0
    done = inpaint(linear, faces, holes, iterations=500, tolerance=0.01)
    assert done.settled.all()
    assert linear.calls == done.steps.max() < 500


def test_labels_reach_the_encoder_and_the_decoder(linear, faces, holes):
    labels = torch.full((6,), 0.2)
    without = rebuild(linear, faces)
    assert not torch.allclose(rebuild(linear, faces, labels), without)
    plain = inpaint(linear, faces, holes).images
    assert not torch.allclose(inpaint(linear, faces, holes, labels).images, plain)


@pytest.mark.parametrize(("value", "said"), [(0.0, "hole 2 is empty"), (1.0, "the whole image")])
def test_empty_and_full_holes_are_refused(linear, faces, holes, value, said):
    holes[2] = value
    with pytest.raises(RequestError, match=said):
        inpaint(linear, faces, holes)


def test_holes_of_another_size_are_refused_naming_both(linear, faces, holes):
    with pytest.raises(RequestError, match=r"6 of 16×16, got 6 of 7×16"):
        inpaint(linear, faces, holes[..., :7])
    with pytest.raises(RequestError, match=r"6 of 16×16, got 5 of 16×16"):
        inpaint(linear, faces, holes[:5])


@pytest.mark.parametrize("bad", [{"iterations": 0}, {"tolerance": -1.0}])
def test_passes_that_cannot_be_are_refused(linear, faces, holes, bad):
    with pytest.raises(RequestError, match="at least 1 iteration"):
        inpaint(linear, faces, holes, **bad)
