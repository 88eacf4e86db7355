"""Attribute lists as their publishers wrote them: rows of -1 and 1 an image."""

import math

import numpy as np
from numpy.typing import NDArray

from augment.data.tree import Tree
from augment.errors import DataError

__all__ = ["parse_celeba_attributes", "parse_lfw_attributes"]


def parse_celeba_attributes(
    tree: Tree, file: str
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int8]]]:
    """Parse CelebA's list: a count, the attributes' names, then a file and ±1 values a line.

    Returns:
        The A names, and for each image file its (A,) values, -1 or 1, in the list's order.

    Raises:
        DataError: another format, a value that is neither 1 nor -1, or not as many rows as the
            first line says.
    """
    where = f"{tree.path}/{file}"
    lines = tree.text(file).rstrip().splitlines()
    if len(lines) < 3 or not lines[0].strip().isdigit():
        raise DataError(
            f"expected a count, attribute names and one row an image in {where}, got "
            f"{len(lines)} lines; copy it again."
        )
    names = tuple(lines[1].split())
    value_of = {"1": 1, "-1": -1}
    rows: dict[str, NDArray[np.int8]] = {}
    for number, line in enumerate(lines[2:], start=3):
        name, *values = line.split() or [""]
        if len(values) != len(names) or not set(values) <= set(value_of):
            raise DataError(
                f"expected a file name and {len(names)} values, each 1 or -1, in line {number} of "
                f"{where}, got {line[:60]!r}."
            )
        rows[name] = np.array([value_of[value] for value in values], np.int8)
    if len(rows) != int(lines[0]):
        raise DataError(
            f"expected {lines[0].strip()} images in {where}, as its first line says, got "
            f"{len(rows)}; copy it again or correct the line."
        )
    return names, rows


def parse_lfw_attributes(
    tree: Tree, file: str
) -> tuple[tuple[str, ...], dict[tuple[str, int], NDArray[np.int8]]]:
    """Parse LFW's attributes: person, image number and real values, separated by tabs.

    Lines starting with # are comments; the one naming the columns is the header.

    Returns:
        The A names, and for each (Person_Name, image number) the (A,) signs, -1 or 1, of its
        values: positive where the publishers' classifier saw the attribute.

    Raises:
        DataError: a row that does not fit the header or holds no finite numbers.
    """
    columns: list[str] = []
    rows: dict[tuple[str, int], NDArray[np.int8]] = {}
    for number, line in enumerate(tree.text(file).splitlines(), start=1):
        cells = [cell.strip() for cell in line.lstrip("#").strip().split("\t")]
        if cells[:2] == ["person", "imagenum"]:
            columns = cells[2:]
        if line.startswith(("#", "person\t")) or not line.strip():
            continue
        try:
            key, values = (cells[0].replace(" ", "_"), int(cells[1])), list(map(float, cells[2:]))
        except (IndexError, ValueError):
            values = []
        if not values or len(values) != len(columns) or not all(map(math.isfinite, values)):
            raise DataError(
                f"expected person, imagenum and {len(columns)} numbers, as its header says, in "
                f"line {number} of {tree.path}/{file}, got {len(cells)} cells; copy it again."
            )
        rows[key] = np.where(np.array(values) > 0, 1, -1).astype(np.int8)
    return tuple(columns), rows
