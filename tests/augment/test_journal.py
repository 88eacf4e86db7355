from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from augment.errors import ResumeError
from augment.journal import Journal


class Lines(NamedTuple):
    images: list[NDArray[np.uint8]]
    texts: tuple[str, ...]
    numbers: NDArray[np.int64]


class Drawer:
    """Draws noise, and counts how often it is asked."""

    name = "noise"

    def __init__(self) -> None:
        self.calls = 0

    def draw(self, texts: tuple[str, ...], numbers: NDArray[np.int64], *, seed: int = 0) -> Lines:
        self.calls += 1
        rng = np.random.default_rng([seed, *numbers.tolist()])
        images = [rng.integers(0, 256, (4, 3 + len(text), 1), np.uint8) for text in texts]
        return Lines(images, texts, numbers)


CLAIM = {"bundle": "abc", "seed": 1}
TEXTS = ("京A1", "", "open")


def run(path: Path, drawer: Drawer, rounds: int, stop: int | None = None) -> list[Lines]:
    """Draw some rounds; killed before round ``stop``."""
    results = []
    with Journal(path, CLAIM) as journal:
        followed = journal.follow(drawer, "draw", Lines._make)
        assert followed.name == "noise"
        for number in range(rounds):
            if number == stop:
                raise KeyboardInterrupt
            results.append(followed.draw(TEXTS, np.arange(3) + number, seed=7))
    return results


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "set.journal"
    with pytest.raises(KeyboardInterrupt):
        run(path, Drawer(), 5, stop=3)
    assert path.exists()
    return path


def assert_alike(first: list[Lines], second: list[Lines]) -> None:
    for one, other in zip(first, second, strict=True):
        assert type(one) is type(other) is Lines
        assert one.texts == other.texts
        np.testing.assert_array_equal(one.numbers, other.numbers)
        for image, again in zip(one.images, other.images, strict=True):
            np.testing.assert_array_equal(image, again)


def test_a_killed_job_goes_on_and_repeats_no_call(killed: Path) -> None:
    drawer, unbroken = Drawer(), run(killed.with_name("other"), Drawer(), 5)
    assert_alike(run(killed, drawer, 5), unbroken)
    assert drawer.calls == 2, "three of five calls were answered by the file"


def test_a_job_that_ends_well_leaves_no_file(killed: Path) -> None:
    run(killed, Drawer(), 5)
    assert not killed.exists()


@pytest.mark.parametrize("cut", [1, 8, 40])
def test_an_entry_that_was_cut_off_is_made_again(killed: Path, cut: int) -> None:
    killed.write_bytes(killed.read_bytes()[:-cut])
    drawer, unbroken = Drawer(), run(killed.with_name("other"), Drawer(), 5)
    assert_alike(run(killed, drawer, 5), unbroken)
    assert drawer.calls == 3


def test_what_stands_behind_a_damaged_entry_is_made_again(killed: Path) -> None:
    data = bytearray(killed.read_bytes())
    data[len(data) // 2] ^= 255
    killed.write_bytes(data)
    drawer, unbroken = Drawer(), run(killed.with_name("other"), Drawer(), 5)
    assert_alike(run(killed, drawer, 5), unbroken)
    assert drawer.calls > 2


def test_other_settings_and_other_calls_are_refused_and_nothing_is_lost(killed: Path) -> None:
    before = killed.read_bytes()
    with pytest.raises(ResumeError, match=r'expected \{"bundle": "other"\}, got .*"abc"'):
        Journal(killed, {"bundle": "other"})
    with (
        pytest.raises(ResumeError, match="drew other images"),
        Journal(killed, CLAIM) as journal,
    ):
        journal.follow(Drawer(), "draw", Lines._make).draw(TEXTS, np.arange(3), seed=8)
    assert killed.read_bytes() == before
