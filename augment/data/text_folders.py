"""Labelled lines in a folder or a zip: by the labels.csv in it, else by the folders' names."""

import posixpath
from functools import partial
from urllib.parse import unquote

from augment.data.formats import list_folders
from augment.data.listing import some
from augment.data.sources import Store
from augment.data.tables import LABELS, MANIFEST, check_all_listed, find_table
from augment.data.text_listing import TextListing, checked_texts, read_named
from augment.data.text_lists import PADDLE_PREFIX, list_table
from augment.errors import DataError

__all__ = ["list_store"]

_METADATA = "metadata.jsonl"


def list_store(store: Store, path: str) -> TextListing:
    """List all images of a store.

    A labels.csv at its root, or the only one further down, tells the texts; then every image has
    a row. Without any, the images lie in folders named after their texts.

    Args:
        store: what holds the images.
        path: what to call it in an error.

    Raises:
        DataError: as ``list_table`` or ``list_folders``, an image without a row, several
            labels.csv, lists of another layout, or folders that are named after nothing.
    """
    members = store.names()
    table = find_table(members, path)
    if table is not None:
        return _list_rows(store, members, table, path)
    if MANIFEST in members:
        return _list_folders(store, path, told=True)
    others = [
        name
        for name in members
        if posixpath.basename(name) == _METADATA
        or posixpath.basename(name).startswith(PADDLE_PREFIX)
    ]
    if others:
        raise DataError(
            f"expected folders named after the texts of their images in {path}, got {some(others)} "
            f"which tells other texts; read {PADDLE_PREFIX}*.txt by paddleocr:{path}, and write "
            f"other lists as a {LABELS} with the columns file and text."
        )
    return _list_folders(store, path, told=False)


def _list_rows(store: Store, members: list[str], file: str, path: str) -> TextListing:
    """List the rows of a labels.csv; its paths are relative to it."""
    where = f"{path}/{file}"
    folder = posixpath.dirname(file)
    present = set(members)
    listing = list_table(store.read(file), store, present.__contains__, where, folder=folder)
    check_all_listed(members, listing.names, file, path)
    return listing


def _list_folders(store: Store, path: str, *, told: bool) -> TextListing:
    """List an ImageFolder of texts, which its manifest tells or its folders' names."""
    found = list_folders(store)
    texts = list(found.labels) if told else [_text_of_folder(name) for name in found.labels]
    said = sorted(set(texts))
    if not told and len(texts) > len(said) == 1:
        raise DataError(
            f"expected folders named after the texts of their images in {path}, got "
            f"{said[0]} for {len(texts)} images; name their texts in a {LABELS} with "
            "the columns file and text."
        )
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
