"""Readers of labelled lines of text: words, plates, whole lines, one image each.

``TEXT_FORMATS["csv"]("words/labels.csv")`` returns a TextListing: names and texts in memory,
images read when they are asked for.

| URI | what lies there |
|---|---|
| ``csv:FILE`` | columns file and text (or label; or filename and words) [, split][, source] |
| ``folder:DIR`` | as csv, by the labels.csv in it with a row for every image; without one, an |
| | ImageFolder: TEXT/FILE or SPLIT/TEXT/FILE, as ``--format folder`` writes it |
| ``zip:FILE`` | the same, packed |
| ``lmdb:DIR`` | the deep-text-recognition benchmark's keys, from 1 on; local |
| ``paddleocr:PATH`` | rec_gt_train.txt and its like: a path, a tab and a text in each line |
| ``ccpd:PATH`` | pictures with CCPD's names; an item is the plate, cut out by its box |
| ``iiit5k:PATH`` | IIIT 5K-Word: traindata.mat, testdata.mat and the images they name |
| ``parquet:PATH`` | columns image and text, or label; a file or a folder of them |

PATH is a folder or a zip; for parquet see ``augment.data.parquet``. Paths in a csv are relative to
it; its other columns are left alone. One of filename and words alone is EasyOCR's: unquoted, words
being all that follows the first comma. A path may be an fsspec URL (s3://, gs://) unless it says
otherwise.
"""

import io
import posixpath
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from augment.data.ccpd import PlateName, parse_name
from augment.data.key_value import LmdbStore
from augment.data.listing import some
from augment.data.sources import FolderStore, Store, ZipStore, open_file_system, read_all
from augment.data.tables import LABELS, check_files, parse_splits, split_named
from augment.data.text_folders import list_store
from augment.data.text_listing import TextListing, checked_texts, read_named
from augment.data.text_lists import list_paddleocr, list_table
from augment.data.tree import Tree
from augment.errors import DataError, ImageError
from augment.images import MIN_SIDE, decode_image, encode_png

__all__ = [
    "TEXT_FORMATS",
    "TextListing",
    "read_ccpd",
    "read_csv",
    "read_folder",
    "read_iiit5k",
    "read_lmdb",
    "read_parquet",
    "read_zip",
]

_HDF5 = 2  # what scipy calls MATLAB's version 7.3, which it does not read
_WITHOUT_PLATE = "ccpd_np"  # a folder of CCPD
_IIIT5K_PARTS = {"train": "traindata", "test": "testdata"}


def read_csv(path: str) -> TextListing:
    """Read a csv beside its images.

    Raises:
        DataError: no such file, a folder, no csv in UTF-8, unknown columns, a repeated or missing
            file, an empty text, or an unknown split.
    """
    file_system, absolute = open_file_system(path)
    if file_system.isdir(absolute):
        raise DataError(
            f"csv: expects a file, got the folder {path!r}; try csv:{posixpath.join(path, LABELS)} "
            "or folder:."
        )
    store = FolderStore(file_system, posixpath.dirname(absolute))
    present = set(store.names())
    return list_table(
        read_all(file_system, absolute),
        store,
        lambda name: name in present or store.has(name),
        path,
    )


def read_zip(path: str) -> TextListing:
    """Read a zip by the labels.csv in it, or as an ImageFolder; see ``list_store``.

    Raises:
        DataError: as ``list_store``, or a damaged archive.
    """
    return list_store(ZipStore(*open_file_system(path)), path)


def read_folder(path: str) -> TextListing:
    """Read an ImageFolder whose folders are named after the texts of their images.

    What no file name may hold is percent-encoded in these names, as our own exports do; their
    manifest.jsonl, where there is one, tells the texts instead, and so does a labels.csv.

    Raises:
        DataError: a file instead of a folder, or as ``list_store``.
    """
    file_system, root = open_file_system(path)
    if not file_system.isdir(root):
        raise DataError(f"folder: expects a folder, got the file {path!r}; try zip: or csv:.")
    return list_store(FolderStore(file_system, root), path)


def read_lmdb(path: str) -> TextListing:
    """Read an LMDB of ``num-samples``, ``image-%09d`` and ``label-%09d``, from 1 on.

    Names are the images' keys.

    Raises:
        DataError: not such a database, a label or image is missing, or a text empty.
    """
    file_system, root = open_file_system(path)
    if file_system.protocol[0] != "file":
        raise DataError(f"expected an LMDB on this machine, got {path!r}; copy it here.")
    store = LmdbStore(root)
    total = store.get("num-samples")
    if total is None or not total.isdigit():
        raise DataError(
            f"expected the key num-samples with a number in {path}, got {total!r}; the database "
            "may lack its last transaction: make it anew."
        )
    numbers = [f"{number:09d}" for number in range(1, int(total) + 1)]
    names = tuple(f"image-{number}" for number in numbers)
    labels = store.get_all([f"label-{number}" for number in numbers])
    missing = [
        f"{name} or its label"
        for name, label, there in zip(names, labels, store.has_all(names), strict=True)
        if label is None or not there
    ]
    if missing or not labels:
        raise DataError(
            f"expected an image and a label for each of {len(labels)} numbers from 1 on in {path}, "
            f"got none for {some(missing) or 'any'}; make the database anew."
        )
    try:
        texts = [(label or b"").decode() for label in labels]
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8 labels in {path}, got {error}.") from error
    return TextListing(
        names,
        checked_texts(names, texts, path),
        None,
        None,
        partial(read_named, store.read, names),
    )


def read_ccpd(path: str) -> TextListing:
    """Read pictures named as CCPD's; sources are their folders.

    Those in CCPD's folder ccpd_np show no plate, and are passed over. Folders called train, val
    and test, if all pictures lie in such, are splits.

    Raises:
        DataError: no picture, or one whose name is another.
    """
    tree = Tree(path)
    files = tuple(
        file
        for file in tree.images().values()
        if posixpath.basename(posixpath.dirname(file)) != _WITHOUT_PLATE
    )
    if not files:
        raise DataError(f"expected pictures with CCPD's names in {path}, got none.")
    plates = tuple(parse_name(file) for file in files)
    folders = [posixpath.basename(posixpath.dirname(file)) for file in files]
    given = all(map(split_named, folders))
    return TextListing(
        names=files,
        texts=tuple(plate.text for plate in plates),
        splits=tuple(parse_splits(folders, path)) if given else None,
        sources=tuple(folders),
        read=partial(_read_plate, tree.store, files, plates),
    )


def read_iiit5k(path: str) -> TextListing:
    """Read IIIT 5K-Word as its authors laid it out.

    Mishra et al., "Scene Text Recognition using Higher Order Language Priors", BMVC 2012:
    traindata.mat and testdata.mat hold a struct array with ImgName and GroundTruth each.

    Raises:
        DataError: a file is missing or has another form, a repeat, or a text is empty.
    """
    tree = Tree(path)
    images: list[str] = []
    texts: list[str] = []
    splits: list[str] = []
    for split, variable in _IIIT5K_PARTS.items():
        file = tree.require(f"{variable}.mat")
        for name, text in _read_mat(tree, file, variable):
            images.append(posixpath.join(posixpath.dirname(file), name))
            texts.append(text)
            splits.append(split)
    check_files(images, set(tree.files).__contains__, path)
    names = tuple(images)
    return TextListing(
        names,
        checked_texts(names, texts, path),
        tuple(splits),
        None,
        partial(read_named, tree.store.read, names),
    )


def read_parquet(path: str) -> TextListing:
    """Read Parquet with the images inside; see ``augment.data.parquet``.

    Raises:
        DataError: as ``open_table``, or an empty text.
    """
    from augment.data.parquet import open_table  # a second to import; only this scheme needs it

    table = open_table(path, ("text", "label"))
    return TextListing(
        table.names,
        checked_texts(table.names, table.labels, path),
        table.splits,
        None,
        partial(read_named, table.store.read, table.names),
    )


TEXT_FORMATS: dict[str, Callable[[str], TextListing]] = {
    "ccpd": read_ccpd,
    "csv": read_csv,
    "folder": read_folder,
    "iiit5k": read_iiit5k,
    "lmdb": read_lmdb,
    "paddleocr": list_paddleocr,
    "parquet": read_parquet,
    "zip": read_zip,
}
"""Data URI scheme -> reader of what follows the colon."""


def _read_plate(
    store: Store, files: tuple[str, ...], plates: tuple[PlateName, ...], item: int
) -> bytes:
    """Return the plate as a file: the picture's own where the box is all of it, else a PNG."""
    name = files[item]
    data = store.read(name)
    picture = decode_image(data, channels=3, name=name)
    left, top, right, bottom = plates[item].box
    plate = picture[top:bottom, left:right]
    if plate.shape == picture.shape:
        return data
    if min(plate.shape[:2]) < MIN_SIDE:
        height, width = picture.shape[:2]
        raise ImageError(
            f"{name}: expected its box inside the picture of {width}×{height} pixels, got "
            f"{plates[item].box}; remove the file."
        )
    return encode_png(plate)


def _read_mat(tree: Tree, file: str, variable: str) -> list[tuple[str, str]]:
    """Return ImgName and GroundTruth of every entry of a .mat file's struct array."""
    from scipy.io import loadmat  # only this scheme needs it
    from scipy.io.matlab import MatReadError, matfile_version

    data = io.BytesIO(tree.store.read(file))
    try:
        if matfile_version(data)[0] < _HDF5:
            entries = loadmat(data, squeeze_me=True)[variable]
            return [
                (_text_of(entry["ImgName"]), _text_of(entry["GroundTruth"]))
                for entry in entries.reshape(-1)
            ]
    except (LookupError, ValueError, TypeError, MatReadError) as error:
        raise DataError(
            f"expected a struct array {variable} with ImgName and GroundTruth in "
            f"{tree.path}/{file}, got {error!r}; download it again."
        ) from error
    raise DataError(
        f"expected {tree.path}/{file} in MATLAB's format of version 7 or older, got 7.3; "
        "save it again by save(…, '-v7')."
    )


def _text_of(cell: Any) -> str:
    """What a .mat file's cell says: a text, or an empty array for one that is empty."""
    return "".join(np.atleast_1d(cell))
