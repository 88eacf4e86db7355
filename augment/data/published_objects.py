"""Readers of published pictures of things: Oxford's flowers, Caltech's birds."""

import io
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from augment.data.cutouts import SegmentedImages, square_around
from augment.data.listing import SPLITS, Listing, some
from augment.data.sources import CroppedImages, EncodedImages
from augment.data.tree import Tree, check_same
from augment.errors import DataError

__all__ = ["PUBLISHED_OBJECTS"]


def _read_oxford102(path: str) -> Listing:
    """Oxford's 102 flowers: imagelabels.mat, setid.mat, jpg/image_00001.jpg and on.

    The label is the category's number. Where segmim/segmim_00001.jpg and on lie beside jpg/,
    each picture is cut to the square around its flower, as CVAE-GAN crops by the masks.
    """
    tree = Tree(path)
    (labels,) = _read_matlab(tree, "imagelabels.mat", ("labels",))
    parts = _read_matlab(tree, "setid.mat", ("trnid", "valid", "tstid"))
    numbers = np.concatenate(parts)
    if sorted(numbers) != list(range(1, len(labels) + 1)):
        raise DataError(
            f"expected setid.mat of {path} to name each of the {len(labels)} labelled images "
            f"once, got {len(numbers)} numbers, {len(set(numbers))} of them different; copy both "
            "files again."
        )
    split_of = {number: split for split, part in zip(SPLITS, parts, strict=True) for number in part}
    root = posixpath.dirname(tree.require("imagelabels.mat"))
    names = tuple(f"image_{number:05d}.jpg" for number in range(1, len(labels) + 1))
    pictures = tree.images(posixpath.join(root, "jpg"))
    check_same(names, pictures, f"{path}/imagelabels.mat")
    source = EncodedImages(tree.store, tuple(pictures[name] for name in names))
    listing = Listing(
        source=source,
        names=names,
        labels=[str(label) for label in labels],
        splits=[split_of[number] for number in range(1, len(labels) + 1)],
    )
    cuts = tree.images(posixpath.join(root, "segmim"))
    if not cuts:
        return listing
    cut_names = [name.replace("image", "segmim") for name in names]
    check_same(cut_names, cuts, f"{path}/imagelabels.mat, in segmim")
    segmentations = EncodedImages(tree.store, tuple(cuts[name] for name in cut_names))
    return replace(listing, source=SegmentedImages(source, segmentations))


def _read_matlab(tree: Tree, name: str, variables: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return ``variables`` of a MATLAB file, each flattened to whole numbers."""
    from scipy.io import loadmat  # slow to import; only this set needs it

    file = tree.require(name)
    try:
        content = loadmat(io.BytesIO(tree.store.read(file)), variable_names=variables)
        return [np.asarray(content[key]).ravel().astype(np.int64) for key in variables]
    except Exception as error:  # scipy raises many kinds; all mean another file
        raise DataError(
            f"expected a MATLAB file with {', '.join(variables)} in {tree.path}/{file}, got "
            f"{error!r}; copy it again."
        ) from error


def _read_cub200(path: str, *, cropped: bool) -> Listing:
    """Caltech-UCSD Birds 200-2011: images.txt, image_class_labels.txt, classes.txt, images/.

    The splits are train_test_split.txt's, which knows no validation. CVAE-GAN took the pictures
    whole; ``cropped`` cuts each to the square around its box in bounding_boxes.txt.
    """
    tree = Tree(path)
    table = tree.table("images.txt")
    numbers, names = list(table), tuple(name for (name,) in table.values())
    pictures = tree.images(posixpath.join(posixpath.dirname(tree.require("images.txt")), "images"))
    check_same(names, pictures, f"{path}/images.txt")
    is_training = tree.column("train_test_split.txt", numbers)
    odd = sorted(set(is_training) - {"0", "1"})
    if odd:
        raise DataError(f"expected 0 or 1 in train_test_split.txt of {path}, got {some(odd)}.")
    source = EncodedImages(tree.store, tuple(pictures[name] for name in names))
    return Listing(
        source=CroppedImages(source, np.arange(len(names)), _read_boxes(tree, numbers))
        if cropped
        else source,
        names=names,
        labels=tree.column("classes.txt", tree.column("image_class_labels.txt", numbers)),
        splits=["train" if flag == "1" else "test" for flag in is_training],
    )


def _read_boxes(tree: Tree, numbers: Sequence[str]) -> NDArray[np.float32]:
    """Return the squares around the boxes x, y, width, height of bounding_boxes.txt."""
    table = tree.table("bounding_boxes.txt", width=5)
    try:
        boxes = np.array([table[number] for number in numbers], np.float32)
    except (KeyError, ValueError) as error:
        raise DataError(
            f"expected four numbers for every image in bounding_boxes.txt of {tree.path}, got "
            f"{error}; copy it again."
        ) from error
    boxes[:, 2:] += boxes[:, :2]
    return square_around(boxes)


PUBLISHED_OBJECTS: dict[str, Callable[[str], Listing]] = {
    "cub200": partial(_read_cub200, cropped=False),
    "cub200boxes": partial(_read_cub200, cropped=True),
    "oxford102": _read_oxford102,
}
"""Data URI scheme -> reader of what follows the colon."""
