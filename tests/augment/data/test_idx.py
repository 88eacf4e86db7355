import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from augment.data.datasets import open_data
from augment.errors import DataError


def write_idx(root: Path, *, zipped: bool) -> Path:
    rng = np.random.default_rng(0)
    files: dict[str, bytes] = {}
    for prefix, count in (("train", 24), ("t10k", 4)):
        images = rng.integers(0, 256, (count, 5, 4), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 3
        sizes = struct.pack(">3i", count, 5, 4)
        files[f"{prefix}-images-idx3-ubyte"] = b"\0\0\x08\x03" + sizes + images.tobytes()
        files[f"{prefix}-labels-idx1-ubyte"] = (
            b"\0\0\x08\x01" + struct.pack(">i", count) + labels.tobytes()
        )
    if zipped:
        files = {f"{name}.gz": gzip.compress(data) for name, data in files.items()}
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_holds_the_last_twelfth_of_the_training_file_back(tmp_path: Path, zipped: bool) -> None:
    data = open_data(f"idx:{write_idx(tmp_path, zipped=zipped)}", image_size=(5, 4))
    assert data.classes == ("0", "1", "2")
    assert data.splits.tolist() == ["train"] * 22 + ["val"] * 2 + ["test"] * 4
    first = np.random.default_rng(0).integers(0, 256, (24, 5, 4), dtype=np.uint8)[0]
    np.testing.assert_array_equal(data.images([0])[0, :, :, 0], first)


def test_an_empty_split_is_an_error_with_the_sizes(tmp_path: Path) -> None:
    data = open_data(f"idx:{write_idx(tmp_path, zipped=False)}").split("test")
    with pytest.raises(DataError, match="train 0, val 0, test 4"):
        data.split("val")


def cut(path: Path, data: bytes) -> None:
    path.write_bytes(data[:-3])


def unzip_cut(path: Path, data: bytes) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(data)[:-3]))


@pytest.mark.parametrize("damage", [cut, unzip_cut])
def test_a_truncated_idx_file_is_named(
    tmp_path: Path, damage: Callable[[Path, bytes], None]
) -> None:
    path = write_idx(tmp_path, zipped=True) / "t10k-images-idx3-ubyte.gz"
    damage(path, path.read_bytes())
    with pytest.raises(DataError, match="t10k-images"):
        open_data(f"idx:{tmp_path}")


def test_a_missing_idx_file_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path, zipped=False)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="train-labels-idx1-ubyte or"):
        open_data(f"idx:{tmp_path}")
