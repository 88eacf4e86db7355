"""``make bench`` runs nowhere but by hand: what it imports has to exist all the same."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_every_benchmark_can_be_imported(path: Path) -> None:
    assert importlib.import_module(f"benchmarks.{path.stem}").__doc__
