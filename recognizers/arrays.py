"""Finished pieces of a benchmark on disk: named arrays, whole or not there at all."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_array", "load_arrays", "save_arrays"]


def save_arrays(path: Path, **arrays: NDArray[np.generic]) -> None:
    """Write an .npz so that an interrupted write leaves nothing that looks finished."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.rename(path)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what ``save_arrays`` wrote."""
    with np.load(path) as arrays:
        return dict(arrays)


def load_array(path: Path, name: str) -> NDArray[Any]:
    """Read one of its arrays and none of the others, however large."""
    with np.load(path) as arrays:
        array: NDArray[Any] = arrays[name]
    return array
