"""Small sets of labelled image files, in folders and zips."""

import io
import zipfile
from pathlib import Path

from PIL import Image

__all__ = ["CLASS_FOLDERS", "picture", "write_files", "write_zip"]


def picture(level: int, size: tuple[int, int] = (8, 12), *, colour: bool = False) -> bytes:
    """A flat PNG of (height, width)."""
    mode, value = ("RGB", (level, 0, 0)) if colour else ("L", level)
    buffer = io.BytesIO()
    Image.new(mode, size[::-1], value).save(buffer, "PNG")
    return buffer.getvalue()


def write_files(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def write_zip(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


CLASS_FOLDERS: dict[str, bytes | str] = {
    f"{label}/{index}.png": picture(10 * index + ord(label) % 7)
    for label in ("A", "皖")
    for index in range(6)
}
