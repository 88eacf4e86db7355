"""Unpack a zip of the service, checking what is in it."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from augment.errors import DataError
from augment.export import MANIFEST

__all__ = ["unpack"]


def unpack(archive: str | Path, folder: str | Path) -> list[dict[str, Any]]:
    """Unpack a zip of the service into a new folder, checking every image against the manifest.

    Args:
        archive: the zip.
        folder: a path where nothing is yet; it appears once complete.

    Returns:
        The manifest's rows, one per image.

    Raises:
        DataError: the folder exists, the zip is damaged, or an image differs from its SHA-256.
    """
    folder = Path(folder)
    if folder.exists():
        raise DataError(f"expected a new folder, but {folder} exists; choose another or remove it.")
    partial = folder.with_name(f".{folder.name}.labelmint-partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(partial)
        rows = [
            row
            for line in (partial / MANIFEST).read_text(encoding="utf-8").splitlines()
            if "file" in (row := json.loads(line))
        ]
        for row in rows:
            if hashlib.sha256((partial / row["file"]).read_bytes()).hexdigest() != row["sha256"]:
                raise DataError(
                    f"{archive}: {row['file']} differs from its SHA-256 in the manifest; "
                    "ask for the images again."
                )
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{archive}: expected a zip with {MANIFEST} from this service, got: {error}; "
            "ask for the images again."
        ) from error
    partial.rename(folder)
    return rows
