"""Lists of labelled lines beside their images: tables, and PaddleOCR's rec_gt_SPLIT.txt."""

import posixpath
from collections.abc import Callable, Sequence
from functools import partial

from augment.data.listing import some
from augment.data.sources import Store
from augment.data.tables import check_files, parse_splits, parse_words
from augment.data.text_listing import TextListing, checked_texts, read_named
from augment.data.tree import Tree
from augment.errors import DataError

__all__ = ["PADDLE_PREFIX", "list_paddleocr", "list_table"]

PADDLE_PREFIX = "rec_gt_"
"""How the lists of PaddleOCR begin; the split and .txt follow."""

_COLUMNS = (("file", "text"), ("filename", "words"), ("file", "label"))


def list_table(
    data: bytes, store: Store, exists: Callable[[str], bool], where: str, *, folder: str = ""
) -> TextListing:
    """List the rows of a csv.

    Args:
        data: the csv.
        store: what holds the images.
        exists: whether there is such a file.
        where: what to call the csv in an error.
        folder: of the store that the paths in the csv are relative to.

    Raises:
        DataError: no csv in UTF-8, unknown columns, a repeated or missing file, an empty text, or
            an unknown split.
    """
    given, written = parse_words(data, where)
    columns, rows = _plainly_named(given, written, where)
    known = [pair for pair in _COLUMNS if set(pair) <= set(columns)]
    if not known:
        wanted = " or ".join(" and ".join(pair) for pair in _COLUMNS)
        raise DataError(
            f"expected the columns {wanted} in {where}, got {', '.join(given)}; write file,text "
            "as its first line if it has none."
        )
    file, text = known[0]
    files = tuple(posixpath.normpath(posixpath.join(folder, row[file])) for row in rows)
    check_files(files, exists, where)
    splits = parse_splits([row["split"] for row in rows], where) if "split" in columns else None
    return TextListing(
        names=files,
        texts=checked_texts(files, [row[text] for row in rows], where),
        splits=None if splits is None else tuple(splits),
        sources=tuple(row["source"] for row in rows) if "source" in columns else None,
        read=partial(read_named, store.read, files),
    )


def _plainly_named(
    columns: list[str], rows: list[dict[str, str]], where: str
) -> tuple[list[str], list[dict[str, str]]]:
    """The same with names of columns in lower case and without white space around them.

    Cells below a name that begins with a space, as after a comma, lose theirs too.

    Raises:
        DataError: two columns of one name.
    """
    plain = {name: name.strip().lower() for name in columns}
    if len(set(plain.values())) < len(plain):
        raise DataError(f"expected each column once in {where}, got {', '.join(columns)}.")
    spaced = {name for name in columns if name.startswith(" ")}
    return list(plain.values()), [
        {plain[name]: cell.lstrip(" ") if name in spaced else cell for name, cell in row.items()}
        for row in rows
    ]


def list_paddleocr(path: str) -> TextListing:
    """Read PaddleOCR's recognition layout: every rec_gt_SPLIT.txt, and what it names.

    The path is their folder or zip; or a list of any name, which is then the only one.
    Paths are relative to their list, or as PaddleOCR documents them to a folder above it:
    train_data/rec/rec_gt_train.txt names train_data/rec/train/1.png. A split that is not train,
    val or test is an error, but where there is one list alone, it says nothing of a split.

    Raises:
        DataError: no list, a line without exactly one tab, a repeated or missing file, or an
            empty text.
    """
    listed = ""
    if path.endswith(".txt"):
        path, listed = posixpath.split(path)
    tree = Tree(path)
    lists = [
        file
        for file in tree.files
        if posixpath.basename(file).startswith(PADDLE_PREFIX) and file.endswith(".txt")
    ]
    if listed:
        lists = [tree.require(listed)]
    if not lists:
        raise DataError(
            f"expected rec_gt_train.txt or its like in {path}, got none; name the list: "
            f"paddleocr:{path}/NAME.txt."
        )
    files: list[str] = []
    texts: list[str] = []
    splits: list[str] = []
    for file in lists:
        rows = _paddle_rows(tree.text(file), f"{path}/{file}")
        files += _locate_rows(tree, file, [row[0] for row in rows])
        texts += [row[1] for row in rows]
        splits += [posixpath.basename(file)[len(PADDLE_PREFIX) : -len(".txt")]] * len(rows)
    check_files(files, set(tree.files).__contains__, path)
    names = tuple(files)
    return TextListing(
        names,
        checked_texts(names, texts, path),
        tuple(parse_splits(splits, path)) if len(lists) > 1 else None,
        None,
        partial(read_named, tree.store.read, names),
    )


def _paddle_rows(text: str, where: str) -> list[tuple[str, str]]:
    """Path and text of each row."""
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.rstrip("\r"):
            continue
        cells = line.rstrip("\r").split("\t")
        if len(cells) != 2:
            raise DataError(
                f"expected a path, a tab and a text in line {number} of {where}, got "
                f"{len(cells) - 1} tabs."
            )
        rows.append((posixpath.normpath(cells[0]), cells[1]))
    return rows


def _locate_rows(tree: Tree, file: str, rows: Sequence[str]) -> list[str]:
    """The files of a tree that a list names, all from one place.

    That is the list's own folder if all of them are there; else the only one of the places that
    ``_paddle_places`` tells of which this holds.

    Raises:
        DataError: no such place, or several.
    """
    present = set(tree.files)
    places = _paddle_places(tree, file, rows[0]) if rows else [("", "")]
    found = {}
    for place, dropped in places:
        files = [
            posixpath.normpath(posixpath.join(place, row[len(dropped) :]))
            for row in rows
            if row.startswith(dropped)
        ]
        if len(files) == len(rows) and present.issuperset(files):
            if (place, dropped) == places[0]:
                return files
            found[tuple(files)] = place
    if len(found) == 1:
        return list(next(iter(found)))
    where = f"{tree.path}/{file}"
    if found:
        raise DataError(
            f"expected one reading of the paths in {where}, got {len(found)}, from "
            f"{' and '.join(map(_told, found.values()))}; write them relative to the list."
        )
    missing = [row for row in rows if posixpath.join(places[0][0], row) not in present]
    tried = ", ".join(_told(place) + f" without {cut}" * bool(cut) for place, cut in places)
    raise DataError(
        f"expected an image for every row of {where}, got none for {some(missing)}, looked for "
        f"from {tried}; remove the rows or add the files."
    )


def _told(folder: str) -> str:
    """A folder of a tree in words."""
    return f"{folder or '.'}/"


def _paddle_places(tree: Tree, file: str, row: str) -> list[tuple[str, str]]:
    """Where the paths of a list may begin: (folder of the tree, what to leave out of each path).

    The list's folder first, then those above it; from each also without the leading folders of a
    path up to one of the folder's own name.

    Args:
        tree: what holds the list.
        file: the list.
        row: its first path.
    """
    root = tree.store.path.removesuffix(".zip")
    folders = [posixpath.dirname(file)]
    while folders[-1]:
        folders.append(posixpath.dirname(folders[-1]))
    parts = row.split("/")
    places = [(folder, "") for folder in folders]
    for folder in folders:
        name = posixpath.basename(posixpath.join(root, folder).rstrip("/"))
        places += [
            (folder, "".join(f"{part}/" for part in parts[:count]))
            for count in range(1, len(parts))
            if parts[count - 1] == name
        ]
    return places
