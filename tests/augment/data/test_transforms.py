import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

from augment.data.content import Font, draw_label
from augment.data.transforms import ClassicalAugmentation, Strength
from augment.errors import ConfigError, DataError
from augment.images import Pixels


def letters(count: int, channels: int, size: tuple[int, int] = (24, 24)) -> Pixels:
    letter = draw_label("F", size, Font(), margin=0.2)
    return np.repeat(letter[None], count, axis=0).repeat(channels, axis=3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strength", get_args(Strength))
@pytest.mark.parametrize("size", [(24, 24), (32, 16)])
def test_shape_and_kind_stay(strength: Strength, channels: int, size: tuple[int, int]) -> None:
    images = letters(9, channels, size)
    augmented = ClassicalAugmentation(strength, size, channels)(images, seed=0)
    assert augmented.shape == images.shape
    assert augmented.dtype == np.uint8


def test_the_input_is_left_alone() -> None:
    images = letters(8, 3)
    before = images.copy()
    for strength in ("none", "strong"):
        augmented = ClassicalAugmentation(strength, (24, 24), 3)(images, seed=0)
        augmented[:] = 0
        np.testing.assert_array_equal(images, before)


def test_none_changes_nothing() -> None:
    images = letters(5, 1)
    augmented = ClassicalAugmentation("none", (24, 24), 1)(images, seed=3)
    np.testing.assert_array_equal(augmented, images)


def test_equal_seeds_give_equal_images_whatever_came_before() -> None:
    images = letters(20, 3)
    augment = ClassicalAugmentation("strong", (24, 24), 3)
    first = augment(images, seed=7)
    other = augment(images, seed=8)
    np.testing.assert_array_equal(augment(images, seed=7), first)
    fresh = ClassicalAugmentation("strong", (24, 24), 3)
    np.testing.assert_array_equal(fresh(images, seed=7), first)
    assert not np.array_equal(first, other)


def test_strong_changes_more_than_light_and_in_many_ways() -> None:
    images = letters(80, 3)
    changes = {}
    for strength in ("light", "strong"):
        augmented = ClassicalAugmentation(strength, (24, 24), 3)(images, seed=0)
        changes[strength] = np.abs(augmented.astype(float) - images).mean()
        assert len({image.tobytes() for image in augmented}) >= 15
    assert 0 < changes["light"] < changes["strong"] < 60


def test_text_is_never_mirrored() -> None:
    images = letters(200, 1)
    augmented = ClassicalAugmentation("strong", (24, 24), 1)(images, seed=0)

    def likeness(pattern: Pixels) -> np.ndarray:
        centred = pattern.astype(float).ravel() - pattern.mean()
        return (augmented.reshape(200, -1) - augmented.mean(axis=(1, 2, 3))[:, None]) @ centred

    original = images[0]
    upright = likeness(original)
    assert np.mean(upright > likeness(original[:, ::-1])) > 0.9  # mirroring at random: about 0.5
    assert np.mean(upright > likeness(original[::-1])) > 0.9


def test_mirror_turns_half_of_the_images_over_and_does_nothing_else() -> None:
    images = letters(400, 3)
    augmented = ClassicalAugmentation("mirror", (24, 24), 3)(images, seed=0)
    upright = (augmented == images).all(axis=(1, 2, 3))
    mirrored = (augmented == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (upright ^ mirrored).all()
    assert 0.35 < mirrored.mean() < 0.65


def test_faces_are_turned_cropped_and_lit_and_only_faces_erasing_blots_out() -> None:
    images = np.full((400, 32, 32, 3), 128, np.uint8)
    plain = ClassicalAugmentation("faces", (32, 32), 3)(images, seed=0)
    assert len({image.tobytes() for image in plain}) > 20, "light and colour must change"
    assert max(np.ptp(image.reshape(-1, 3), axis=0).max() for image in plain) <= 1
    erased = ClassicalAugmentation("faces-erasing", (32, 32), 3)(images, seed=0)
    blotted = [np.ptp(image.reshape(-1, 3), axis=0).max() > 1 for image in erased]
    assert 0.35 < np.mean(blotted) < 0.65


def test_unusable_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"none, light, strong, .*; got 'extreme'"):
        ClassicalAugmentation("extreme", (24, 24), 3)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"\(N, 24, 24, 3\), got \(2, 24, 24, 1\)"):
        ClassicalAugmentation("light", (24, 24), 3)(letters(2, 1), seed=0)


def test_importing_asks_nothing_of_the_network() -> None:
    code = (
        "import socket\n"
        "def refuse(*args, **kwargs): raise AssertionError('network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import augment.data.transforms\n"
    )
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "network" not in done.stderr
