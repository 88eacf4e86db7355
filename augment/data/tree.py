"""The files of a published data set, wherever in a folder or zip archive it lies."""

import posixpath
from collections.abc import Collection, Sequence

from augment.data.listing import decode_text, is_image, some
from augment.data.sources import FolderStore, Store, ZipStore, open_file_system
from augment.errors import DataError

__all__ = ["Tree", "check_same"]


class Tree:
    """The files below a path, found by their names.

    Attributes:
        path: the folder or zip archive.
        store: reads its files.
        files: names of all files, sorted, without folders and a Mac's shadow files.
    """

    def __init__(self, path: str) -> None:
        """Open ``path``; DataError if there is none or it is a file but not a whole zip."""
        file_system, root = open_file_system(path)
        self.path = path
        self.store: Store = (
            FolderStore(file_system, root)
            if file_system.isdir(root)
            else ZipStore(file_system, root)
        )
        self.files = [name for name in self.store.names() if not name.endswith("/")]

    def images(self, folder: str = "") -> dict[str, str]:
        """Return the image files below ``folder``: name relative to it -> file."""
        prefix = f"{folder}/" if folder else ""
        return {
            file[len(prefix) :]: file
            for file in self.files
            if file.startswith(prefix) and is_image(file)
        }

    def locate(self, name: str) -> str | None:
        """Return the file called ``name`` that lies least deep, None without any."""
        found = [file for file in self.files if posixpath.basename(file) == name]
        return min(found, key=lambda file: (file.count("/"), file), default=None)

    def require(self, name: str) -> str:
        """Return the file called ``name`` that lies least deep; DataError without any."""
        file = self.locate(name)
        if file is None:
            raise DataError(
                f"expected {name} in {self.path}, got none; put it where its publishers do."
            )
        return file

    def text(self, file: str) -> str:
        """Read a text file; DataError if it is not UTF-8."""
        return decode_text(self.store.read(file), f"{self.path}/{file}")

    def table(self, name: str, width: int = 2) -> dict[str, list[str]]:
        """Read the file called ``name``, ``width`` columns a row: first column -> the others.

        Raises:
            DataError: no such file, or a row of another width or repeated.
        """
        file = self.require(name)
        rows = [line.split() for line in self.text(file).splitlines() if line.strip()]
        odd = [" ".join(row) for row in rows if len(row) != width]
        if odd or not rows:
            raise DataError(
                f"expected {width} columns in {self.path}/{file}, got {some(odd) or 'no rows'}; "
                "copy it again."
            )
        table = {row[0]: row[1:] for row in rows}
        if len(table) != len(rows):
            raise DataError(
                f"expected one row for each of the {len(table)} entries of {self.path}/{file}, "
                f"got {len(rows)} rows; remove the repeats."
            )
        return table

    def column(self, name: str, keys: Sequence[str]) -> list[str]:
        """Return the second column of the file called ``name`` for ``keys``.

        Raises:
            DataError: as ``table``, or a key has no row; there may be rows of other keys.
        """
        table = self.table(name)
        missing = [key for key in keys if key not in table]
        if missing:
            raise DataError(
                f"expected a row in {name} of {self.path} for every entry of the other lists, "
                f"got none for {some(missing)}; copy it again."
            )
        return [table[key][0] for key in keys]


def check_same(listed: Collection[str], found: Collection[str], where: str) -> None:
    """Check that the images a list names and the images there are agree.

    Raises:
        DataError: one is missing on either side; ``where`` says what the list is.
    """
    missing = sorted(set(listed) - set(found))
    if missing:
        raise DataError(
            f"expected an image for every row of {where}, got none for {some(missing)}; "
            "remove the rows or add the files."
        )
    unlisted = sorted(set(found) - set(listed))
    if unlisted:
        raise DataError(
            f"expected a row in {where} for every image, got none for {some(unlisted)}; "
            "add rows or remove the images."
        )
