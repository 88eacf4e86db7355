import numpy as np
import pytest

from augment.data.content import draw_glyphs
from augment.data.datasets import open_data
from augment.data.rendering import CharacterRenderer
from augment.data.style import measure_styles
from augment.errors import DataError, GlyphError, LabelError
from augment.images import Pixels

CLASSES = ("A", "B", "8", "T", "京", "皖")
SIZE = (24, 24)
LIGHT, BLUE = np.array([235, 235, 240]), np.array([20, 60, 190])


def plates(ink: np.ndarray, ground: np.ndarray, *, noise: float = 0.0, seed: int = 0) -> Pixels:
    """Characters in one colour on another, as if photographed: 8 of each class."""
    rng = np.random.default_rng(seed)
    glyphs = draw_glyphs(CLASSES, SIZE, margin=0.1).reshape(-1, *SIZE, 1) / 255.0
    images = ground + glyphs * (ink - ground)
    images = images + rng.normal(0, 1, images.shape) * noise
    return np.clip(images, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def renderer() -> CharacterRenderer:
    return CharacterRenderer(CLASSES, SIZE, 3, plates(LIGHT, BLUE, noise=2.0))


def labels_of(count: int) -> np.ndarray:
    return np.arange(count) % len(CLASSES)


def test_images_have_the_arms_shape_and_differ(renderer: CharacterRenderer) -> None:
    images = renderer(labels_of(60), seed=1)
    assert images.shape == (60, *SIZE, 3)
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 60
    assert renderer(labels_of(0), seed=1).shape == (0, *SIZE, 3)


def test_equal_seeds_give_equal_images_and_others_do_not(renderer: CharacterRenderer) -> None:
    first = renderer(labels_of(12), seed=5)
    np.testing.assert_array_equal(first, renderer(labels_of(12), seed=5))
    assert not np.array_equal(first, renderer(labels_of(12), seed=6))


@pytest.mark.parametrize(("ink", "ground"), [(LIGHT, BLUE), (BLUE, LIGHT)])
def test_colours_and_polarity_are_those_of_the_real_images(
    ink: np.ndarray, ground: np.ndarray
) -> None:
    rendered = CharacterRenderer(CLASSES, SIZE, 3, plates(ink, ground))(labels_of(120), seed=0)
    sheet = measure_styles(rendered)
    assert np.abs(np.median(sheet.ink, axis=0) - ink).max() < 30
    assert np.abs(np.median(sheet.grounds[:, 0, 0], axis=0) - ground).max() < 30


def test_placement_blur_and_noise_follow_the_real_images() -> None:
    real = plates(LIGHT, BLUE, noise=6.0)
    sheets = [
        measure_styles(real),
        measure_styles(CharacterRenderer(CLASSES, SIZE, 3, real)(labels_of(200), seed=0)),
    ]
    centres, sizes = (
        [sheet.boxes[:, part].mean(0) for sheet in sheets] for part in (slice(0, 2), slice(2, 4))
    )
    np.testing.assert_allclose(centres[1], centres[0], atol=2)
    np.testing.assert_allclose(sizes[1], sizes[0], rtol=0.2)
    noise = [float(np.median(sheet.noise)) for sheet in sheets]
    assert noise[1] == pytest.approx(noise[0], rel=0.35)


def test_rendered_characters_read_as_their_class(renderer: CharacterRenderer) -> None:
    """Nearest class mean of clean glyphs: far above the chance of one in six."""
    means = draw_glyphs(CLASSES, SIZE, margin=0.1).mean(axis=1).reshape(len(CLASSES), -1)
    means = means - means.mean(axis=1, keepdims=True)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    labels = labels_of(240)
    gray = renderer(labels, seed=3).mean(axis=-1).reshape(240, -1)
    gray -= gray.mean(axis=1, keepdims=True)
    assert np.mean((gray @ means.T).argmax(axis=1) == labels) > 0.75


def test_handwriting_is_white_on_black_and_bent_more_than_print(
    renderer: CharacterRenderer,
) -> None:
    data = open_data("digits:")
    handwriting = CharacterRenderer(data.classes, (16, 16), 1, data.images(range(50)))
    images = handwriting(np.arange(40) % 10, seed=0)
    assert images.shape == (40, 16, 16, 1)
    assert np.median(images[:, :, 0]) < 30
    assert np.median(images.max(axis=(1, 2, 3))) > 200
    assert handwriting._bend > 2 * renderer._bend


def test_images_of_one_colour_do_not_break_the_measurement() -> None:
    flat = np.full((5, *SIZE, 3), 90, np.uint8)
    images = CharacterRenderer(CLASSES, SIZE, 3, flat)(labels_of(6), seed=0)
    assert images.shape == (6, *SIZE, 3)


def test_one_real_image_is_enough() -> None:
    images = CharacterRenderer(CLASSES, SIZE, 3, plates(LIGHT, BLUE)[:1])(labels_of(6), seed=0)
    assert images.std() > 10


def test_unusable_arguments_are_refused(renderer: CharacterRenderer) -> None:
    style = plates(LIGHT, BLUE)
    with pytest.raises(DataError, match="with N > 0"):
        CharacterRenderer(CLASSES, SIZE, 3, style[:0])
    with pytest.raises(DataError, match="expected style images of shape"):
        CharacterRenderer(CLASSES, SIZE, 1, style)
    with pytest.raises(GlyphError, match="1F600"):
        CharacterRenderer(("A", "😀"), SIZE, 3, style)
    with pytest.raises(LabelError, match=r"\[0, 5\], got 0 to 6"):
        renderer(np.array([0, 6]), seed=0)
