from pathlib import Path

import cv2
import numpy as np
import pytest

from augment.data.datasets import open_data
from augment.errors import LabelError
from augment.export import WRITERS, Record
from augment.export.lfw import draw_pairs


def png() -> bytes:
    _, data = cv2.imencode(".png", np.full((20, 20, 3), 90, np.uint8))
    return bytes(data.tobytes())


def export(path: Path, counts: dict[str, int]) -> Path:
    with WRITERS["lfw"](path, classes=tuple(counts)) as writer:
        for name, count in counts.items():
            for index in range(count):
                writer.add(Record(png(), name, index, seed=1))
    return path


def test_people_lie_in_folders_that_the_reader_of_lfw_takes(tmp_path: Path) -> None:
    root = export(tmp_path / "out", {"Ann_Lee": 3, "Zoë": 2})
    assert (root / "Ann_Lee" / "Ann_Lee_0003.jpg").is_file()
    data = open_data(f"lfw:{root}")
    assert data.classes == ("Ann_Lee", "Zoë")
    assert len(data) == 5


def test_pairs_are_read_as_scikit_learn_reads_them(tmp_path: Path) -> None:
    root = export(tmp_path / "out", {f"P{i}": 3 for i in range(20)})
    lines = [line.strip().split("\t") for line in (root / "pairs.txt").read_text().splitlines()]
    assert lines[0] == ["10", "6"]
    pairs = [line for line in lines if len(line) > 2]  # as sklearn.datasets._lfw
    assert len(pairs) == 10 * 12
    for fold in range(10):
        matched, mismatched = pairs[12 * fold :][:6], pairs[12 * fold + 6 :][:6]
        assert all(len(pair) == 3 and pair[1] != pair[2] for pair in matched)
        assert all(len(pair) == 4 and pair[0] != pair[2] for pair in mismatched)
        for name, number in [(p[0], n) for p in matched for n in p[1:]]:
            assert (root / name / f"{name}_{int(number):04d}.jpg").is_file()
    assert "10 folds of 6 matched, 6 mismatched" in (root / "README.md").read_text()


def test_folds_share_nobody_and_repeat_no_pair() -> None:
    counts = {f"P{i:02d}": 1 + i % 4 for i in range(50)} | {"Many": 400}
    folds = draw_pairs(counts)
    assert folds == draw_pairs(dict(reversed(counts.items())))
    assert len(folds) == 10
    seen: set[str] = set()
    for matched, mismatched in folds:
        people = {pair[0] for pair in matched} | {p for m in mismatched for p in (m[0], m[2])}
        assert not people & seen
        seen |= people
        assert len(set(matched)) == len(matched) == len(set(mismatched)) == len(mismatched)
        assert all(a != b for a, _, b, _ in mismatched)
        numbers = [(p, n) for p, *rest in matched for n in rest]
        numbers += [(p, n) for a, i, b, j in mismatched for p, n in ((a, i), (b, j))]
        assert all(1 <= number <= counts[person] for person, number in numbers)


@pytest.mark.parametrize(
    ("counts", "folds", "size"),
    [
        ({"a": 2, "b": 1}, 1, 1),
        ({"a": 2, "b": 2, "c": 1, "d": 1}, 2, 1),
        ({f"p{i}": 60 for i in range(20)}, 10, 300),
    ],
)
def test_there_are_as_many_folds_as_the_people_allow(
    counts: dict[str, int], folds: int, size: int
) -> None:
    drawn = draw_pairs(counts)
    assert [(len(matched), len(mismatched)) for matched, mismatched in drawn] == [
        (size, size)
    ] * folds


@pytest.mark.parametrize("counts", [{"a": 5}, {"a": 1, "b": 1, "c": 1}])
def test_people_who_make_no_pairs_get_no_list_and_the_card_says_so(
    counts: dict[str, int], tmp_path: Path
) -> None:
    root = export(tmp_path / "out", counts)
    assert not (root / "pairs.txt").exists()
    assert "No `pairs.txt`" in (root / "README.md").read_text()


@pytest.mark.parametrize("name", ["George W Bush", "tab\there", "a/b", "con:", "pairs.txt"])
def test_a_name_that_cannot_be_one_of_lfw_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="layout lfw takes names"):
        export(tmp_path / "out", {name: 2, "Ann_Lee": 2})
    assert list(tmp_path.iterdir()) == []
