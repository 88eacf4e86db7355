from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from augment.data.layouts import Layout, load_layout
from augment.data.line_camera import Draws, keep_inside, photograph
from augment.data.line_looks import LOOK_HEIGHT, made_looks, measure_looks
from augment.data.line_rendering import LineRenderer
from augment.data.lines import draw_contents, line_width
from augment.errors import ConfigError, DataError, GlyphError, LabelError
from augment.images import Pixels

PLATES = load_layout("plates-cn")
WORDS = load_layout("words")


def plates(count: int, ground: tuple[int, int, int], ink: tuple[int, int, int]) -> list[Pixels]:
    """Real-looking plates of known colours."""
    rng = np.random.default_rng(0)
    texts = [PLATES.random_text(rng) for _ in range(count)]
    shares = draw_contents(texts, PLATES, size=(48, 150)) / 255
    pictures = np.array(ground) + shares * (np.array(ink) - np.array(ground))
    return list((pictures + rng.normal(0, 3, pictures.shape)).clip(0, 255).astype(np.uint8))


def word(text: str, ground: int, ink: int) -> Pixels:
    share = draw_contents([text], size=(40, line_width(text, 40)))[0] / 255
    return np.repeat(ground + share * (ink - ground), 3, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def renderer() -> LineRenderer:
    return LineRenderer(PLATES, plates(6, (120, 20, 30), (250, 240, 200)))


def test_the_text_of_a_real_plate_is_found_and_painted_out() -> None:
    images = plates(12, (120, 20, 30), (250, 240, 200))
    looks = measure_looks(images, PLATES)
    assert len(looks) == len(images)
    np.testing.assert_allclose(np.mean([look.pose for look in looks], axis=0), np.eye(3), atol=0.04)
    for look in looks:
        np.testing.assert_allclose(look.ink, (250, 240, 200), atol=25)
        assert np.abs(look.ground - np.array([120, 20, 30])).max() < 60


def test_a_tilted_plate_gives_a_tilted_pose() -> None:
    image = plates(1, (20, 40, 160), (240, 240, 240))[0]
    tilt = np.array([[0.85, 0.0, 11.0], [0.06, 0.8, 1.0]])
    image = cv2.warpAffine(image, tilt, (150, 48), borderMode=cv2.BORDER_REPLICATE)
    (look,) = measure_looks([image], PLATES)
    assert look.pose[0, 0] == pytest.approx(0.85, abs=0.05)
    assert look.pose[1, 0] == pytest.approx(0.06 * 150 / 48, abs=0.05)


def test_an_image_without_a_plate_is_left_out() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 150, 3)).astype(np.uint8)
    flat = np.full((48, 150, 3), 90, np.uint8)
    assert measure_looks([noise, flat], PLATES) == []


@pytest.mark.parametrize(("ground", "ink"), [(220, 30), (20, 200)])
def test_the_ink_of_a_word_is_found_whichever_is_brighter(ground: int, ink: int) -> None:
    (look,) = measure_looks([word("Street", ground, ink)], WORDS)
    np.testing.assert_allclose(look.ink, ink, atol=15)
    np.testing.assert_allclose(look.ground, ground, atol=25)
    assert 0.6 < look.pose[1, 1] < 0.9


def test_a_style_image_of_another_shape_is_refused() -> None:
    with pytest.raises(DataError, match="index 1"):
        measure_looks([word("a", 0, 200), np.zeros((20, 60), np.uint8)], WORDS)


def test_made_looks_have_the_colours_of_the_layout() -> None:
    looks = made_looks(load_layout("plates-cn-green"), 20, np.random.default_rng(0))
    assert all(look.ground.shape[0] == LOOK_HEIGHT for look in looks)
    centre = np.mean([look.middle for look in looks], axis=0)
    assert centre[1] > centre[0] + 15
    assert np.mean([look.ink.mean() for look in looks]) < 60


def test_an_image_depends_on_seed_index_and_text_alone(renderer: LineRenderer) -> None:
    texts = ["京A12345", "沪B67890", "皖C00000"]
    images = renderer(texts, 7, (32, 96))
    assert images.shape == (3, 32, 96, 3)
    np.testing.assert_array_equal(renderer(texts[1:], 7, (32, 96), first=1), images[1:])
    assert not np.array_equal(renderer(texts, 8, (32, 96)), images)
    assert not np.array_equal(renderer(texts[:1], 7, (32, 96), first=1), images[:1])


def test_a_rendered_plate_with_a_gap_differs_there_alone() -> None:
    gappy = LineRenderer(PLATES.with_gaps())
    full = gappy(["京A12345"] * 20, 3, (32, 96)).astype(float)
    np.testing.assert_array_equal(full, LineRenderer(PLATES)(["京A12345"] * 20, 3, (32, 96)))
    less = gappy([" A12345"] * 20, 3, (32, 96)).astype(float)
    change = np.abs(full - less).mean(axis=(0, 1, 3))  # of each column
    assert change[5:15].min() > 5 * change[48:].max()
    with pytest.raises(LabelError, match="position 1"):
        LineRenderer(PLATES)([" A12345"], 3, (32, 96))


def test_rendered_plates_have_the_colours_of_the_real_ones(renderer: LineRenderer) -> None:
    images = renderer(["京A12345"] * 200, 0, (32, 96)).astype(float)
    mean = images[:, 8:24, 10:-10].mean(axis=(1, 2))
    reddish = (mean[:, 0] > mean[:, 2] + 10).mean()
    assert 0.75 < reddish < 0.98  # all but the made-up ones, which are blue, yellow or white


def test_rendered_plates_show_their_text(renderer: LineRenderer) -> None:
    """On average over looks, brightness correlates with the text's own ink, not another's."""
    texts = ["京A11111", "京A88888"]
    content = draw_contents(texts, PLATES, size=(32, 96), looks=[0, 0])[..., 0].astype(float)
    difference = (content[1] - content[0]).ravel()
    means = [renderer([text] * 150, 0, (32, 96)).mean(axis=(0, 3)) for text in texts]
    seen = (means[1] - means[0]).ravel()
    assert np.corrcoef(difference, seen)[0, 1] > 0.5


@pytest.mark.parametrize(("layout", "text"), [(PLATES, "京A88888"), (WORDS, "Wonderful")])
def test_no_line_is_cut_at_the_border(
    layout: Layout, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A measured plate that fills its image is seen from elsewhere and still shown whole."""
    styles = plates(6, (120, 20, 30), (250, 240, 200)) if layout is PLATES else []
    renderer, covered = LineRenderer(layout, styles), []
    paint = LineRenderer._paint

    def spy(self: LineRenderer, ground: Pixels, coverage: Pixels, *others: Any) -> Any:
        covered.append(coverage)
        return paint(self, ground, coverage, *others)

    monkeypatch.setattr(LineRenderer, "_paint", spy)
    renderer([text] * 200, 0, (32, 96))
    border = np.zeros((32, 96), bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    assert max(coverage[border].max() for coverage in covered) < 128


def test_a_view_that_shows_the_whole_text_is_kept() -> None:
    view = np.array([[0.98, 0.01, 0.0], [0.02, 0.97, 0.01], [0.01, 0.0, 1.0]])
    pose = np.array([[0.9, 0.0, 0.04], [0.05, 0.8, 0.08], [0.0, 0.0, 1.0]])
    corners = np.array([[0, 1, 0, 1], [0.1, 0.1, 0.9, 0.9], [1, 1, 1, 1]])
    np.testing.assert_allclose(keep_inside(view, pose, corners), view)


def test_without_style_images_every_look_is_made_up() -> None:
    renderer = LineRenderer(PLATES)
    images = renderer(["京A12345"] * 30, 0, (32, 96))
    assert renderer.real_looks == []
    assert images.std(axis=0).mean() > 10


def test_a_line_is_about_as_wide_as_its_text_needs() -> None:
    renderer = LineRenderer(WORDS, [word("Street", 220, 30)])
    widths = [renderer.render_line("Wonderful", 0, 32, index=i).shape[1] for i in range(40)]
    assert np.mean(widths) == pytest.approx(line_width("Wonderful"), rel=0.15)
    assert len(set(widths)) > 10
    assert renderer.render_line("-", 0, 32).shape[1] >= 16
    long = renderer.render_line("www.shutterstock.com", 0, 32)
    assert long.shape[1] <= 256


def test_the_line_of_a_plate_has_its_proportions(renderer: LineRenderer) -> None:
    assert renderer.render_line("京A12345", 0, 32).shape == (32, 101, 3)


@pytest.mark.parametrize("text", ["a", "Hi", "Rd 5", "it's", "WWWWWWWW", "www.shutterstock.com"])
def test_words_of_any_length_fit_an_image_of_one_size(text: str) -> None:
    images = LineRenderer(WORDS)([text] * 8, 0, (32, 96))
    assert images.shape == (8, 32, 96, 3)
    assert (images.astype(float).std(axis=(1, 2, 3)) > 3).all()


def test_gray_renderers_take_and_give_one_channel() -> None:
    style = [word("Street", 220, 30)[..., :1]]
    images = LineRenderer(WORDS, style, channels=1)(["Hello"] * 3, 0, (32, 96))
    assert images.shape == (3, 32, 96, 1)


def test_large_images_have_noise_too() -> None:
    image = np.full((600, 600, 3), 128, np.float32)
    assert photograph(image, 12.0, Draws(0, 1)).std() > 1


@pytest.mark.parametrize(("layout", "text"), [(PLATES, "京A12345"), (WORDS, "Hello")])
def test_an_image_to_which_everything_happens_has_draws_enough(
    layout: Layout, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def happens(draws: Draws, odds: float) -> bool:
        return draws.uniform(0, 1) < 2

    monkeypatch.setattr(Draws, "happens", happens)
    assert LineRenderer(layout)([text] * 8, 0, (32, 96)).std() > 3


def test_draws_of_neighbours_are_not_alike() -> None:
    values = [Draws(seed, index).uniform(0, 1) for seed in (0, 1) for index in range(200)]
    assert len(set(values)) == 400
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)


def test_bad_texts_and_channels_are_refused(renderer: LineRenderer) -> None:
    with pytest.raises(LabelError, match="position 2"):
        renderer(["京I12345"], 0, (32, 96))
    with pytest.raises(GlyphError):
        LineRenderer(WORDS)(["e\u0301t\u0301"], 0, (32, 96))
    with pytest.raises(LabelError, match="256 pixels"):
        LineRenderer(WORDS).render_line("n" * 80, 0, 32)
    with pytest.raises(ConfigError, match="channels"):
        LineRenderer(WORDS, channels=4)


@pytest.mark.parametrize("character", ["😀", "ข", "\u1109"])
def test_a_layout_with_a_character_that_cannot_be_drawn_is_named_with_its_alphabet(
    character: str,
) -> None:
    plates = load_layout("plates-cn")
    odd = replace(plates, alphabets={**plates.alphabets, "extra": f"A{character}"})
    with pytest.raises(GlyphError, match=r"layout plates-cn, alphabet extra: .*; leave it out"):
        LineRenderer(odd)
