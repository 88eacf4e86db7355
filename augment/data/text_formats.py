"""Readers of labelled lines of text: words, plates, whole lines, one image each.

``TEXT_FORMATS["csv"]("words/labels.csv")`` returns a TextListing: names and texts in memory,
images read when they are asked for.

| URI | what lies there |
|---|---|
| ``csv:FILE`` | columns file and text (or filename and words) [, split][, source] |
| ``folder:DIR`` | an ImageFolder: TEXT/FILE or SPLIT/TEXT/FILE, as ``--format folder`` writes it |
| ``zip:FILE`` | as csv, by labels.csv at the root of a zip; without one, as folder |
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
from urllib.parse import unquote

import numpy as np

from augment.data.ccpd import PlateName, parse_name
from augment.data.formats import list_folders
from augment.data.key_value import LmdbStore
from augment.data.listing import is_image, some
from augment.data.sources import FolderStore, Store, ZipStore, open_file_system, read_all
from augment.data.tables import SPLIT_ALIASES, check_files, parse_splits, parse_words
from augment.data.text_listing import TextListing, checked_texts, read_named
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
    "read_paddleocr",
    "read_parquet",
    "read_zip",
]

_COLUMNS = (("file", "text"), ("filename", "words"))
_PADDLE_PREFIX = "rec_gt_"
_HDF5 = 2  # what scipy calls MATLAB's version 7.3, which it does not read
_IIIT5K_PARTS = {"train": "traindata", "test": "testdata"}


def read_csv(path: str) -> TextListing:
    """Read a csv beside its images.

    Raises:
        DataError: no such file, no csv in UTF-8, unknown columns, a repeated or missing file, an
            empty text, or an unknown split.
    """
    file_system, absolute = open_file_system(path)
    store = FolderStore(file_system, posixpath.dirname(absolute))
    present = set(store.names())
    return _list_table(
        read_all(file_system, absolute),
        store,
        lambda name: name in present or store.has(name),
        path,
    )


def read_zip(path: str) -> TextListing:
    """Read a zip with a labels.csv at its root and a row there for every image, or an ImageFolder.

    Raises:
        DataError: as ``read_csv`` or ``read_folder``, a damaged archive, or an image without a row.
    """
    store = ZipStore(*open_file_system(path))
    members = set(store.names())
    if "labels.csv" not in members:
        return _list_folders(store, path)
    where = f"{path}/labels.csv"
    listing = _list_table(store.read("labels.csv"), store, members.__contains__, where)
    unlabelled = sorted(set(filter(is_image, members)) - set(listing.names))
    if unlabelled:
        raise DataError(
            f"expected a row in labels.csv for every image of {path}, got none for "
            f"{some(unlabelled)}; add rows or remove the images."
        )
    return listing


def read_folder(path: str) -> TextListing:
    """Read an ImageFolder whose folders are named after the texts of their images.

    What no file name may hold is percent-encoded in these names, as our own exports do; their
    manifest.jsonl, where there is one, tells the texts instead.

    Raises:
        DataError: a file instead of a folder, no image, one outside the folders, a folder without
            any, a blank text, or a manifest that lacks an image.
    """
    file_system, root = open_file_system(path)
    if not file_system.isdir(root):
        raise DataError(f"folder: expects a folder, got the file {path!r}; try zip: or csv:.")
    return _list_folders(FolderStore(file_system, root), path)


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
    numbers = range(1, int(total) + 1)
    labels = [store.get(f"label-{number:09d}") for number in numbers]
    missing = [
        f"image-{number:09d} or its label"
        for number, label in zip(numbers, labels, strict=True)
        if label is None or store.get(f"image-{number:09d}") is None
    ]
    if missing or not labels:
        raise DataError(
            f"expected an image and a label for each of {len(labels)} numbers from 1 on in {path}, "
            f"got none for {some(missing) or 'any'}; make the database anew."
        )
    names = tuple(f"image-{number:09d}" for number in numbers)
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


def read_paddleocr(path: str) -> TextListing:
    """Read PaddleOCR's recognition layout: every rec_gt_SPLIT.txt, and what it names.

    Paths are relative to the lists. A split that is not train, val or test is an error, but
    where there is one list alone, it says nothing of a split.

    Raises:
        DataError: no list, a line without exactly one tab, a repeated or missing file, or an
            empty text.
    """
    tree = Tree(path)
    lists = [
        file
        for file in tree.files
        if posixpath.basename(file).startswith(_PADDLE_PREFIX) and file.endswith(".txt")
    ]
    if not lists:
        raise DataError(f"expected rec_gt_train.txt or its like in {path}, got none.")
    present = set(tree.files)
    files: list[str] = []
    texts: list[str] = []
    splits: list[str] = []
    for file in lists:
        where = f"{path}/{file}"
        for number, line in enumerate(tree.text(file).split("\n"), start=1):
            if not line.rstrip("\r"):
                continue
            cells = line.rstrip("\r").split("\t")
            if len(cells) != 2:
                raise DataError(
                    f"expected a path, a tab and a text in line {number} of {where}, got "
                    f"{len(cells) - 1} tabs."
                )
            files.append(posixpath.normpath(posixpath.join(posixpath.dirname(file), cells[0])))
            texts.append(cells[1])
            splits.append(posixpath.basename(file)[len(_PADDLE_PREFIX) : -len(".txt")])
    check_files(files, present.__contains__, path)
    names = tuple(files)
    return TextListing(
        names,
        checked_texts(names, texts, path),
        tuple(parse_splits(splits, path)) if len(lists) > 1 else None,
        None,
        partial(read_named, tree.store.read, names),
    )


def read_ccpd(path: str) -> TextListing:
    """Read pictures named as CCPD's; sources are their folders.

    Folders called train, val and test, if all pictures lie in such, are splits.

    Raises:
        DataError: no picture, or one whose name is another.
    """
    tree = Tree(path)
    files = tuple(tree.images().values())
    if not files:
        raise DataError(f"expected pictures with CCPD's names in {path}, got none.")
    plates = tuple(parse_name(file) for file in files)
    folders = [posixpath.basename(posixpath.dirname(file)) for file in files]
    given = all(folder in SPLIT_ALIASES for folder in folders)
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
    "paddleocr": read_paddleocr,
    "parquet": read_parquet,
    "zip": read_zip,
}
"""Data URI scheme -> reader of what follows the colon."""


def _list_folders(store: Store, path: str) -> TextListing:
    """List an ImageFolder of texts."""
    found = list_folders(store)
    texts = found.labels
    if "manifest.jsonl" not in store.names():
        texts = [_text_of_folder(folder) for folder in texts]
    return TextListing(
        names=found.names,
        texts=checked_texts(found.names, texts, path),
        splits=None if found.splits is None else tuple(found.splits),
        sources=None,
        read=partial(read_named, store.read, found.names),
    )


def _text_of_folder(folder: str) -> str:
    """The text that a folder is named after; its own name where it is not one of our exports'."""
    try:
        return unquote(folder, errors="surrogatepass")
    except UnicodeDecodeError:
        return folder


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


def _list_table(
    data: bytes, store: Store, exists: Callable[[str], bool], where: str
) -> TextListing:
    """List the rows of a csv whose images lie in ``store``."""
    columns, rows = parse_words(data, where)
    known = [pair for pair in _COLUMNS if set(pair) <= set(columns)]
    if not known:
        wanted = " or ".join(" and ".join(pair) for pair in _COLUMNS)
        raise DataError(f"expected the columns {wanted} in {where}, got {', '.join(columns)}.")
    file, text = known[0]
    files = tuple(row[file] for row in rows)
    check_files(files, exists, where)
    splits = parse_splits([row["split"] for row in rows], where) if "split" in columns else None
    return TextListing(
        names=files,
        texts=checked_texts(files, [row[text] for row in rows], where),
        splits=None if splits is None else tuple(splits),
        sources=tuple(row["source"] for row in rows) if "source" in columns else None,
        read=partial(read_named, store.read, files),
    )
