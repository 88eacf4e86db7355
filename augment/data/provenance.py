"""Which data are an export of our own, and hold images that were generated.

Tests, measures and exports of real images must not take generated ones for real; the manifest
that lies in every export tells them apart.
"""

import posixpath
import zipfile
from contextlib import ExitStack
from typing import IO

from augment.data.sources import open_file_system
from augment.data.tables import MANIFEST
from augment.errors import DataError

__all__ = ["refuse_generated"]

_GENERATED = b'"origin": "generated"'  # as our manifests have it; a quote in a label is escaped


def refuse_generated(uri: str) -> None:
    """Refuse data of which a manifest of ours says that some are generated.

    Args:
        uri: a data URI, ``scheme:path``; the manifest lies in the folder or zip that it names, or
            beside the file.

    Raises:
        DataError: says how many.
    """
    path = uri.partition(":")[2]
    if not path:
        return  # data that come with a library
    generated = images = 0
    with ExitStack() as stack:
        manifest = _open_manifest(path, stack)
        for row in manifest or ():
            generated += _GENERATED in row
            images += b'"origin": "' in row
    if generated:
        raise DataError(
            f"{uri}: expected real images, got {generated:,} generated ones among {images:,}, as "
            f"its {MANIFEST} tells; give the real images alone, or remove {MANIFEST} if all are "
            "to count as real."
        )


def _open_manifest(path: str, stack: ExitStack) -> IO[bytes] | None:
    """The manifest of the export that is, or holds, what is at a path."""
    try:
        file_system, found = open_file_system(path)
    except DataError:
        return None  # no such path, which its reader has words for
    if file_system.isdir(found):
        folder = found
    elif found.lower().endswith(".zip"):
        return _open_zipped(stack.enter_context(file_system.open(found, "rb")), stack)
    else:
        folder = posixpath.dirname(found)
    manifest = posixpath.join(folder, MANIFEST)
    if not file_system.isfile(manifest):
        return None
    opened: IO[bytes] = stack.enter_context(file_system.open(manifest, "rb"))
    return opened


def _open_zipped(archive: IO[bytes], stack: ExitStack) -> IO[bytes] | None:
    try:
        members = stack.enter_context(zipfile.ZipFile(archive))
        return stack.enter_context(members.open(MANIFEST))
    except (KeyError, OSError, zipfile.BadZipFile):
        return None  # none, or an archive that its reader has words for
