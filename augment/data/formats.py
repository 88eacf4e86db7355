"""One reader per data URI scheme: what items there are, what they show, how they are split.

A reader returns a Listing; it reads names and labels, never pixels (``digits:`` and ``idx:``
are arrays and the exception). ``augment.data.datasets`` lists the schemes; the readers of
published data sets are in ``augment.data.published``.
"""

import gzip
import json
import posixpath
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augment.data.listing import Listing, is_image, some
from augment.data.published import PUBLISHED
from augment.data.sources import (
    ArrayImages,
    CroppedImages,
    EncodedImages,
    FolderStore,
    Store,
    ZipStore,
    open_file_system,
    read_all,
)
from augment.data.tables import (
    MANIFEST,
    check_all_listed,
    check_files,
    find_table,
    parse_csv,
    parse_splits,
    split_named,
)
from augment.errors import DataError

__all__ = ["READERS", "list_folders"]

_MIN_AGREEMENT = 5  # of 7 characters: below it the automatic boxes of a plate are doubtful
_BOX_MARGIN = 0.06  # of the box's height, added on every side


def _read_digits(path: str) -> Listing:
    """scikit-learn's 1,797 handwritten digits, 8×8 with 17 levels, white ink on black."""
    from sklearn.datasets import load_digits  # a second to import; only this scheme needs it

    if path:
        raise DataError(f"digits: is embedded and takes no path, got {path!r}; leave it out.")
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return Listing(
        source=ArrayImages(images),
        names=tuple(f"digit{index:04d}" for index in range(len(images))),
        labels=[str(label) for label in bunch.target],
        image_size=(16, 16),
    )


def _read_folder(path: str) -> Listing:
    file_system, root = open_file_system(path)
    if not file_system.isdir(root):
        raise DataError(f"folder: expects a folder, got the file {path!r}; try zip: or csv:.")
    return _list_store(FolderStore(file_system, root), path)


def _read_zip(path: str) -> Listing:
    return _list_store(ZipStore(*open_file_system(path)), path)


def _list_store(store: Store, path: str) -> Listing:
    """List all images of a store: by the labels.csv in it, else by the folders' names."""
    members = set(store.names())
    table = find_table(members, path)
    if table is None:
        return list_folders(store)
    where = f"{path}/{table}"
    rows = _parse_labels(store.read(table), where)
    folder = posixpath.dirname(table)
    listing = _list_rows(rows, store, members.__contains__, where, folder=folder)
    check_all_listed(members, listing.names, table, path)
    return listing


def _read_csv(path: str) -> Listing:
    file_system, absolute = open_file_system(path)
    rows = _parse_labels(read_all(file_system, absolute), path)
    store = FolderStore(file_system, posixpath.dirname(absolute))
    present = set(store.names())
    return _list_rows(rows, store, lambda name: name in present or store.has(name), path)


def _read_idx(path: str) -> Listing:
    """MNIST's four files, gzipped or not.

    The test file is the test split; the last twelfth of the training file, 5,000 of MNIST's
    60,000, is the customary validation split.
    """
    file_system, root = open_file_system(path)
    parts = []
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx_file(file_system, root, f"{prefix}-images-idx3-ubyte", 3)
        labels = _read_idx_file(file_system, root, f"{prefix}-labels-idx1-ubyte", 1)
        if len(images) != len(labels):
            raise DataError(
                f"expected one label an image in {path}, got {len(images)} {split} images and "
                f"{len(labels)} labels; copy the files again."
            )
        parts.append((split, images, labels))
    given = len(parts[0][1])
    held_back = given // 12
    names = [f"{split}{index:05d}" for split, images, _ in parts for index in range(len(images))]
    return Listing(
        source=ArrayImages(np.concatenate([images for _, images, _ in parts])[..., None]),
        names=tuple(names),
        labels=[str(label) for _, _, labels in parts for label in labels],
        splits=["train"] * (given - held_back) + ["val"] * held_back + ["test"] * len(parts[1][1]),
    )


def _read_charboxes(path: str) -> Listing:
    """Characters cut out of plates or words by the boxes in char_boxes.json."""
    store = ZipStore(*open_file_system(path))
    members = set(store.names())
    for needed in ("labels.csv", "char_boxes.json"):
        if needed not in members:
            raise DataError(f"charboxes: expects {needed} inside {path}, got none; use zip:.")
    rows = _parse_labels(store.read("labels.csv"), f"{path}/labels.csv")
    try:
        boxes_of: Mapping[str, Any] = json.loads(store.read("char_boxes.json"))
    except ValueError as error:
        raise DataError(f"expected JSON in {path}/char_boxes.json, got {error}.") from error
    files: list[str] = []
    picture_of: list[int] = []
    boxes: list[NDArray[np.float32]] = []
    names: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    groups: list[str] = []
    for row in rows:
        file, entry = row["file"], boxes_of.get(row["file"])
        if entry is None or _agreement(row, path) < _MIN_AGREEMENT:
            continue
        if file not in members:
            raise DataError(f"{path}/labels.csv names {file}, which is missing; remove the row.")
        text, character_boxes, group = _parse_boxes(file, entry)
        for index, (character, box) in enumerate(zip(text, character_boxes, strict=True)):
            picture_of.append(len(files))
            boxes.append(box)
            names.append(f"{file}#{index}")
            labels.append(character)
            groups.append(group)
            splits.append(row.get("split", ""))
        files.append(file)
    return Listing(
        source=CroppedImages(
            EncodedImages(store, tuple(files)),
            np.array(picture_of, np.int64),
            np.array(boxes, np.float32).reshape(-1, 4),
        ),
        names=tuple(names),
        labels=labels,
        splits=parse_splits(splits, path) if rows and "split" in rows[0] else None,
        groups=groups,
    )


def _read_parquet(path: str) -> Listing:
    """Images in Parquet, each with a label of its own."""
    from augment.data.parquet import open_table  # a second to import; only this scheme needs it

    table = open_table(path, ("label", "text"))
    return Listing(
        source=EncodedImages(table.store, table.names),
        names=table.names,
        labels=table.labels,
        splits=table.splits,
    )


READERS: dict[str, Callable[[str], Listing]] = {
    "charboxes": _read_charboxes,
    "csv": _read_csv,
    "digits": _read_digits,
    "folder": _read_folder,
    "idx": _read_idx,
    "parquet": _read_parquet,
    "zip": _read_zip,
    **PUBLISHED,
}
"""Data URI scheme -> reader of what follows the colon."""


def _agreement(row: Mapping[str, str], path: str) -> int:
    """How many characters of a line were read as its text says, if that is known."""
    told = row.get("chars_agree") or str(_MIN_AGREEMENT)
    try:
        return int(told)
    except ValueError:
        raise DataError(
            f"{path}/labels.csv: expected a whole number as chars_agree of {row['file']}, got "
            f"{told!r}; correct it or leave the column out."
        ) from None


def _parse_boxes(file: str, entry: Any) -> tuple[str, NDArray[np.float32], str]:
    """Return text, boxes (n, 4) with a margin, and the group: the plate or source picture."""
    try:
        if "boxes_xyxy" in entry:
            text, group = str(entry["text"]), str(entry["text"])
            boxes = np.array(entry["boxes_xyxy"], np.float32).reshape(-1, 4)
        else:
            text, group = str(entry["chars"]), posixpath.basename(file).split("_")[0]
            boxes = np.array(entry["boxes"], np.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"char_boxes.json: expected text with boxes_xyxy, or chars with boxes, for {file}; "
            f"got {error!r}."
        ) from error
    if len(text) != len(boxes):
        raise DataError(
            f"char_boxes.json: expected a box a character for {file}, got {len(boxes)} boxes for "
            f"{len(text)} characters."
        )
    margin = _BOX_MARGIN * (boxes[:, 3:] - boxes[:, 1:2])
    boxes[:, :2] -= margin
    boxes[:, 2:] += margin
    return text, boxes, group


def list_folders(store: Store) -> Listing:
    """List an ImageFolder: CLASS/FILE or SPLIT/CLASS/FILE; a manifest.jsonl tells the labels.

    Folders that hold all images between them and the root are passed over: in an archive of
    orl/images/s01/s01_01.png and its like, the classes are s01 and on.

    Raises:
        DataError: no image, one in no folder, an empty folder, or a manifest that lacks an image.
    """
    names = store.names()
    images = [name for name in names if is_image(name)]
    if not images:
        raise DataError(
            f"expected images in class folders under {store.path}, got {len(names)} entries and "
            "no image; check the path."
        )
    loose = [name for name in images if "/" not in name]
    if loose:
        raise DataError(
            f"expected every image in a class folder, got {some(loose)} directly under "
            f"{store.path}; move them into CLASS/ or describe them in a csv."
        )
    top = _count_shared_folders(images)
    split_first = all(
        split_named(name.split("/")[top]) and name.count("/") >= top + 2 for name in images
    )
    depth = top + 1 if split_first else top
    labels = [name.split("/")[depth] for name in images]
    if MANIFEST not in names:
        _check_no_splits(images, depth, store.path)
    shared = "".join(f"{part}/" for part in images[0].split("/")[:top])
    folders = (
        name.split("/")
        for name in names
        if name.endswith("/") and name.startswith(shared) and name.count("/") > depth
    )
    empty = sorted({parts[depth] for parts in folders} - set(labels))
    if empty:
        raise DataError(
            f"expected images of every class under {store.path}, got none for {some(empty)}; "
            "add images or remove the folder."
        )
    if MANIFEST in names:
        labels = _labels_from_manifest(store, images)
    return Listing(
        source=EncodedImages(store, tuple(images)),
        names=tuple(images),
        labels=labels,
        splits=parse_splits([name.split("/")[top] for name in images], store.path)
        if split_first
        else None,
    )


def _check_no_splits(images: Sequence[str], depth: int, where: str) -> None:
    """Refuse labels that are names of splits, unless one of them may well be a class.

    A class may be called train, beside bus and ship. Where nothing else is a label, or two of
    them hold folders of their own, they are splits that are laid out otherwise than is read.
    """
    parts = [name.split("/") for name in images]
    labels = sorted({part[depth] for part in parts})
    splits = [label for label in labels if split_named(label)]
    holding = {part[depth] for part in parts if len(part) > depth + 2} & set(splits)
    if splits == labels or len(holding) > 1:
        others = sorted(set(labels) - set(splits))
        beside = f" beside {some(others)}" if others else ""
        raise DataError(
            f"expected CLASS/FILE or SPLIT/CLASS/FILE under {where}, got the folders of splits "
            f"{', '.join(splits)}{beside} where the folders of classes (or texts) should be; move "
            "the images into such folders, or describe them in a labels.csv with the columns file, "
            "label (or text) and split."
        )


def _count_shared_folders(images: Sequence[str]) -> int:
    """Count the leading folders that all images share, up to a split's or the last two parts."""
    count = 0
    for part in images[0].split("/"):
        shared = all(
            name.count("/") >= count + 2 and name.split("/")[count] == part for name in images
        )
        if not shared or split_named(part):
            break
        count += 1
    return count


def _labels_from_manifest(store: Store, images: Sequence[str]) -> list[str]:
    """Read the labels Labelmint's own export wrote: folder names there are escaped."""
    try:
        rows = [json.loads(line) for line in store.read(MANIFEST).splitlines() if line]
        labels = {row["file"]: str(row["label"]) for row in rows if "file" in row}
        return [labels[name] for name in images]
    except (KeyError, ValueError) as error:
        raise DataError(
            f"expected file and label of every image in {store.path}/{MANIFEST}, got "
            f"{error!r}; remove the manifest to use the folder names."
        ) from error


def _list_rows(
    rows: Sequence[Mapping[str, str]],
    store: Store,
    exists: Callable[[str], bool],
    where: str,
    *,
    folder: str = "",
) -> Listing:
    """List the rows of a labels.csv in ``folder`` of ``store``; its paths are relative to it."""
    files = tuple(posixpath.normpath(posixpath.join(folder, row["file"])) for row in rows)
    check_files(files, exists, where)
    column = "label" if "label" in rows[0] else "text"
    for number, row in enumerate(rows, start=2):
        if not row[column]:
            raise DataError(f"expected a {column} in line {number} of {where}, got nothing.")
    return Listing(
        source=EncodedImages(store, files),
        names=files,
        labels=[row[column] for row in rows],
        splits=parse_splits([row["split"] for row in rows], where) if "split" in rows[0] else None,
        groups=[row["group"] or row["file"] for row in rows] if "group" in rows[0] else None,
    )


def _parse_labels(data: bytes, where: str) -> list[dict[str, str]]:
    """Parse a labels.csv; every row has file and label or text."""
    columns, rows = parse_csv(data, where)
    if "file" not in columns or not {"label", "text"} & set(columns):
        raise DataError(
            f"expected the columns file and label (or text) in {where}, got {', '.join(columns)}."
        )
    return rows


def _read_idx_file(file_system: Any, root: str, name: str, axes: int) -> NDArray[np.uint8]:
    """Read one idx file of unsigned bytes: magic 0 0 8 axes, sizes as big-endian int32, data."""
    path = posixpath.join(root, name)
    zipped = not file_system.exists(path)
    path = f"{path}.gz" if zipped else path
    if not file_system.exists(path):
        raise DataError(f"idx: expects {name} or {name}.gz in {root}, got neither.")
    data = read_all(file_system, path)
    try:
        data = gzip.decompress(data) if zipped else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"expected a whole gzip file, got {path} ({error}); copy it.") from error
    header = 4 + 4 * axes
    sizes = tuple(int(size) for size in np.frombuffer(data[4:header], ">u4"))
    if data[:4] != bytes([0, 0, 8, axes]) or len(data) - header != int(np.prod(sizes)):
        raise DataError(
            f"expected an idx file of {axes} axes of bytes, got {path} with {len(data)} bytes and "
            f"sizes {sizes}; it is damaged or truncated: copy it again."
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(sizes)
