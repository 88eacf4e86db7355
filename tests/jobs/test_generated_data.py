"""Jobs that learn from, test or certify real images do not take what was generated for real."""

from pathlib import Path

import numpy as np
import pytest

from augment.errors import DataError
from augment.export import WRITERS, Record
from augment.images import encode_png
from jobs import benchmark, evaluate, generate, train


@pytest.fixture
def mixed(tmp_path: Path) -> str:
    """A csv of real and generated images, whose labels are classes or texts alike."""
    with WRITERS["csv"](tmp_path / "mixed") as writer:
        for index in range(40):
            png = encode_png(np.full((32, 64, 3), index, np.uint8))
            origin = "real" if index % 2 else "generated"
            writer.add(Record(png=png, label=f"a{index % 4}", index=index, origin=origin))
    return f"csv:{tmp_path}/mixed/labels.csv"


def commands(registry: Path) -> dict[str, tuple[object, list[str]]]:
    bundle = f"{registry}/digits"
    return {
        "benchmark": (benchmark, ["chars", "--shots", "2", "--data"]),
        "benchmark of lines": (benchmark, ["lines", "--layout", "words", "--data"]),
        "benchmark of words": (benchmark, ["words", "--data"]),
        "evaluate": (evaluate, [bundle, "--data"]),
        "generate": (generate, [bundle, "--per-label", "1", "--with-real"]),
        "render": (generate, ["renderer:words", "--count", "1", "--with-real"]),
        "render in their style": (generate, ["renderer:words", "--count", "1", "--style-from"]),
        "train": (train, ["saae", "--data"]),
        "train on lines": (train, ["line_saae", "--layout", "words", "--data"]),
    }


@pytest.mark.parametrize("name", commands(Path()))
def test_generated_images_are_refused_where_real_ones_are_expected(
    name: str, mixed: str, demo_registry: Path, tmp_path: Path
) -> None:
    job, words = commands(demo_registry)[name]
    with pytest.raises(DataError, match="got 20 generated ones among 40"):
        job.main([*words, mixed, "--out", str(tmp_path / "out")])  # type: ignore[attr-defined]
    assert not (tmp_path / "out" / "report.json").exists()
