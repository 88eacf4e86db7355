"""Readers of published data sets, in the layouts their publishers gave them.

Each takes the path of a folder or a zip archive; the set may lie at any depth in it.
"""

import posixpath
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from augment.data.attribute_tables import parse_celeba_attributes, parse_lfw_attributes
from augment.data.listing import Listing, files_of, is_image, open_store, read_text, some
from augment.data.sources import EncodedImages, Store
from augment.errors import DataError

__all__ = ["PUBLISHED"]

_LFW_NAME = re.compile(
    r"(?:.*/)?(?P<person>[^/]+)/(?P=person)_(?P<number>\d{4,})\.\w+", re.IGNORECASE
)
_CELEBA_LISTS = ("list_attr_celeba.txt", "CelebAMask-HQ-attribute-anno.txt")
_CELEBA_FOLDERS = ("images", "img_align_celeba", "CelebA-HQ-img")
_CELEBA_SPLITS = {"0": "train", "1": "val", "2": "test"}
_UNKNOWN_PERSON = "face"


def _read_lfw(path: str) -> Listing:
    """Labeled Faces in the Wild: Person_Name/Person_Name_0001.jpg; the label is the person.

    Items are named Person_Name/Person_Name_0001.jpg whatever lies above, so that the split by
    hash is the same for every copy and crop of the set. Where lfw_attributes.txt (Kumar et al.,
    "Attribute and Simile Classifiers for Face Verification", 2009) lies in it, the attributes
    are the signs of its values, and images without a row there are left out.
    """
    store = open_store(path)
    files = files_of(store)
    found: dict[str, str] = {}
    for file in filter(is_image, files):
        match = _LFW_NAME.fullmatch(file)
        if match is None:
            raise DataError(
                f"lfw: expects images such as Name/Name_0001.jpg in {path}, got {file}; move it "
                "away, or use folder: or zip: for another layout."
            )
        name = "/".join(file.split("/")[-2:])
        if name in found:
            raise DataError(
                f"lfw: expects each image once in {path}, got {found[name]} and {file}; "
                "name the folder of one copy."
            )
        found[name] = file
    if not found:
        raise DataError(f"lfw: expects images such as Name/Name_0001.jpg in {path}, got none.")
    names = sorted(found)
    table = _locate(files, "lfw_attributes.txt")
    attributes = None
    attribute_names: tuple[str, ...] = ()
    if table is not None:
        attribute_names, rows = parse_lfw_attributes(store, table)
        names = [name for name in names if _lfw_key(name) in rows]
        if not names:
            raise DataError(
                f"expected rows for images of {path} in {table}, got {len(rows)} rows of others; "
                "check that it belongs to this set."
            )
        attributes = np.stack([rows[_lfw_key(name)] for name in names])
    return Listing(
        source=EncodedImages(store, tuple(found[name] for name in names)),
        names=tuple(names),
        labels=[name.split("/")[0] for name in names],
        attributes=attributes,
        attribute_names=attribute_names,
    )


def _lfw_key(name: str) -> tuple[str, int]:
    match = _LFW_NAME.fullmatch(name)
    assert match is not None  # listed by this pattern
    return match["person"], int(match["number"])


def _read_celeba(path: str) -> Listing:
    """CelebA: list_attr_celeba.txt and pictures in images/ or img_align_celeba/.

    CelebAMask-HQ's CelebAMask-HQ-attribute-anno.txt and CelebA-HQ-img/ are read alike. The label
    is the number in identity_CelebA.txt, which is also the group; without that file nobody is
    known, so all images are of the one class "face" and are told apart by attributes only.
    The splits of list_eval_partition.txt are used where it is there. Every row of the attribute
    list must have its image and every image its row; the other lists may name more.
    """
    store = open_store(path)
    files = files_of(store)
    table = next(filter(None, (_locate(files, name) for name in _CELEBA_LISTS)), None)
    if table is None:
        raise DataError(
            f"celeba: expects {' or '.join(_CELEBA_LISTS)} in {path}, got neither; put the "
            "attribute list beside the images."
        )
    attribute_names, attributes = parse_celeba_attributes(store, table)
    names = tuple(attributes)
    pictures = {
        posixpath.basename(file): file
        for file in filter(is_image, files)
        if posixpath.basename(posixpath.dirname(file)) in _CELEBA_FOLDERS
    }
    _require_same(names, pictures, f"{path}/{table}")
    identities = _read_column(store, files, "identity_CelebA.txt", names)
    partition = _read_column(store, files, "list_eval_partition.txt", names)
    if partition is not None and not set(partition) <= set(_CELEBA_SPLITS):
        odd = sorted(set(partition) - set(_CELEBA_SPLITS))
        raise DataError(
            f"expected 0, 1 or 2 in list_eval_partition.txt of {path}, got {some(odd)}."
        )
    return Listing(
        source=EncodedImages(store, tuple(pictures[name] for name in names)),
        names=names,
        labels=[_UNKNOWN_PERSON] * len(names) if identities is None else identities,
        splits=None if partition is None else [_CELEBA_SPLITS[value] for value in partition],
        groups=identities,
        attributes=np.stack(list(attributes.values())),
        attribute_names=attribute_names,
    )


def _read_column(
    store: Store, files: Sequence[str], name: str, images: Sequence[str]
) -> list[str] | None:
    """Return the second column of a two-column text file for ``images``; None without file."""
    file = _locate(files, name)
    if file is None:
        return None
    rows = [line.split() for line in read_text(store, file).splitlines() if line.strip()]
    odd = [" ".join(row) for row in rows if len(row) != 2]
    if odd:
        raise DataError(f"expected two columns in {store.path}/{file}, got {some(odd)}.")
    value_of = dict(rows)
    missing = [image for image in images if image not in value_of]
    if missing:
        raise DataError(
            f"expected a row for every image in {store.path}/{file}, got none for {some(missing)}."
        )
    return [value_of[image] for image in images]


def _locate(files: Sequence[str], name: str) -> str | None:
    """Return the file called ``name`` that lies least deep."""
    found = [file for file in files if posixpath.basename(file) == name]
    return min(found, key=lambda file: (file.count("/"), file), default=None)


def _require_same(listed: Collection[str], pictures: Mapping[str, str], where: str) -> None:
    missing = sorted(set(listed) - set(pictures))
    unlisted = sorted(set(pictures) - set(listed))
    if missing:
        raise DataError(
            f"expected an image for every row of {where}, got none for {some(missing)}; "
            "remove the rows or add the files."
        )
    if unlisted:
        raise DataError(
            f"expected a row in {where} for every image, got none for {some(unlisted)}; "
            "add rows or remove the images."
        )


PUBLISHED: dict[str, Callable[[str], Listing]] = {
    "celeba": _read_celeba,
    "lfw": _read_lfw,
}
"""Data URI scheme -> reader of what follows the colon."""
