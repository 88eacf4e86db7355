"""Readers of published face sets, in the layouts their publishers gave them.

Each takes the path of a folder or a zip archive, and the set may lie at any depth in it. The
two that scikit-learn downloads take the folder it keeps them in, or nothing for its default.
"""

import posixpath
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.data.attribute_tables import parse_celeba_attributes, parse_lfw_attributes
from augment.data.listing import Listing, some
from augment.data.published_objects import PUBLISHED_OBJECTS
from augment.data.sources import ArrayImages, EncodedImages
from augment.data.tree import Tree, check_same
from augment.errors import DataError

__all__ = ["OF_PEOPLE", "PUBLISHED"]

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
    tree = Tree(path)
    found: dict[str, str] = {}
    for file in tree.images():
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
    table = tree.locate("lfw_attributes.txt")
    attributes = None
    attribute_names: tuple[str, ...] = ()
    if table is not None:
        attribute_names, rows = parse_lfw_attributes(tree, table)
        names = [name for name in names if _lfw_key(name) in rows]
        if not names:
            raise DataError(
                f"expected rows for images of {path} in {table}, got {len(rows)} rows of others; "
                "check that it belongs to this set."
            )
        attributes = np.stack([rows[_lfw_key(name)] for name in names])
    return Listing(
        source=EncodedImages(tree.store, tuple(found[name] for name in names)),
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
    tree = Tree(path)
    table = next(filter(None, map(tree.locate, _CELEBA_LISTS)), None)
    if table is None:
        raise DataError(
            f"celeba: expects {' or '.join(_CELEBA_LISTS)} in {path}, got neither; put the "
            "attribute list beside the images."
        )
    attribute_names, attributes = parse_celeba_attributes(tree, table)
    names = tuple(attributes)
    pictures = {
        posixpath.basename(file): file
        for file in tree.images()
        if posixpath.basename(posixpath.dirname(file)) in _CELEBA_FOLDERS
    }
    check_same(names, pictures, f"{path}/{table}")
    identities = _optional_column(tree, "identity_CelebA.txt", names)
    partition = _optional_column(tree, "list_eval_partition.txt", names)
    if partition is not None and not set(partition) <= set(_CELEBA_SPLITS):
        odd = sorted(set(partition) - set(_CELEBA_SPLITS))
        raise DataError(
            f"expected 0, 1 or 2 in list_eval_partition.txt of {path}, got {some(odd)}."
        )
    return Listing(
        source=EncodedImages(tree.store, tuple(pictures[name] for name in names)),
        names=names,
        labels=[_UNKNOWN_PERSON] * len(names) if identities is None else identities,
        splits=None if partition is None else [_CELEBA_SPLITS[value] for value in partition],
        groups=identities,
        attributes=np.stack(list(attributes.values())),
        attribute_names=attribute_names,
    )


def _optional_column(tree: Tree, name: str, images: tuple[str, ...]) -> list[str] | None:
    return tree.column(name, images) if tree.locate(name) else None


def _read_facescrub(path: str) -> Listing:
    """FaceScrub as its lists are downloaded: Person Name/FILE, the label being the person.

    Where some images lie below a folder called faces, such as actors/faces/ beside the uncropped
    actors/images/, only those are listed.
    """
    tree = Tree(path)
    images = tuple(tree.images())
    cropped = tuple(name for name in images if "faces" in name.split("/")[:-2])
    names = cropped or images
    loose = [name for name in names if "/" not in name]
    if loose or not names:
        raise DataError(
            f"facescrub: expects images in a folder a person in {path}, got "
            f"{some(loose) or 'none'}; check the path."
        )
    return Listing(
        source=EncodedImages(tree.store, names),
        names=names,
        labels=[name.split("/")[-2] for name in names],
    )


def _read_olivetti(path: str) -> Listing:
    """The Olivetti faces, 40 people, 64×64 gray; ``path`` is scikit-learn's data_home."""
    from sklearn import datasets  # slow to import; only two schemes need it

    bunch = _fetch(datasets.fetch_olivetti_faces, path)
    return _list_bunch("olivetti", bunch, [f"s{number + 1:02d}" for number in bunch.target])


def _read_lfwpeople(path: str) -> Listing:
    """LFW, funneled, in scikit-learn's crop at half size; ``path`` is its data_home.

    The labels are those of ``lfw:``. Everybody is listed, as there.
    """
    from sklearn import datasets

    bunch = _fetch(datasets.fetch_lfw_people, path, color=True)
    people = [str(name).replace(" ", "_") for name in bunch.target_names]
    return _list_bunch("lfwpeople", bunch, [people[number] for number in bunch.target])


def _fetch(fetch: Callable[..., Any], data_home: str, **options: Any) -> Any:
    try:
        return fetch(data_home=data_home or None, **options)
    except OSError as error:  # urllib's errors among them
        raise DataError(
            f"expected {fetch.__name__} to find its data in {data_home or 'its data_home'} or to "
            f"download it, got {error}; connect to the internet or copy the folder from a machine "
            "that has it."
        ) from error


def _list_bunch(scheme: str, bunch: Any, labels: list[str]) -> Listing:
    """List scikit-learn's float images in [0, 1], (N, H, W) or (N, H, W, 3)."""
    images: NDArray[np.uint8] = np.rint(np.asarray(bunch.images) * 255).astype(np.uint8)
    return Listing(
        source=ArrayImages(images if images.ndim == 4 else images[..., None]),
        names=tuple(f"{scheme}{index:05d}" for index in range(len(images))),
        labels=labels,
    )


PUBLISHED: dict[str, Callable[[str], Listing]] = {
    "celeba": _read_celeba,
    "facescrub": _read_facescrub,
    "lfw": _read_lfw,
    "lfwpeople": _read_lfwpeople,
    "olivetti": _read_olivetti,
    **PUBLISHED_OBJECTS,
}
"""Data URI scheme -> reader of what follows the colon."""
OF_PEOPLE = frozenset({"celeba", "facescrub", "lfw", "lfwpeople", "olivetti"})
"""Those whose classes are people."""
