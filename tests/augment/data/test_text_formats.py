import pickle
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from augment.data.text_formats import TEXT_FORMATS, TextListing, read_csv, read_zip
from augment.errors import DataError, ImageError

TEXTS = {"a.png": "Straße", "sub/b.png": '"quoted", with a comma', "sub/c.png": "京A12345"}


def png(level: int, width: int = 12, height: int = 8) -> bytes:
    _, data = cv2.imencode(".png", np.full((height, width, 3), level, np.uint8))
    return bytes(data.tobytes())


def files() -> dict[str, bytes]:
    return {name: png(40 * index) for index, name in enumerate(TEXTS)}


def lay_out(root: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pack(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def table(header: str = "file,text,split,source,width") -> bytes:
    quoted = ['"' + text.replace('"', '""') + '"' for text in TEXTS.values()]
    rows = [f"{name},{text},valid,web,12" for name, text in zip(TEXTS, quoted, strict=True)]
    return "\n".join([header, *rows, ""]).encode("utf-8-sig")


def assert_lists_the_texts(listing: TextListing) -> None:
    assert dict(zip(listing.names, listing.texts, strict=True)) == TEXTS
    assert listing.splits == ("val",) * 3
    assert listing.sources == ("web",) * 3
    read = pickle.loads(pickle.dumps(listing.read))
    assert [read(item) for item in range(3)] == [files()[name] for name in listing.names]


def test_a_csv_lists_quoted_texts_with_splits_and_sources(tmp_path: Path) -> None:
    lay_out(tmp_path, {**files(), "labels.csv": table()})
    assert_lists_the_texts(read_csv(str(tmp_path / "labels.csv")))


def test_a_zip_lists_the_same_by_its_labels_csv(tmp_path: Path) -> None:
    path = pack(tmp_path / "words.zip", {**files(), "labels.csv": table()})
    assert_lists_the_texts(read_zip(str(path)))


def test_filename_and_words_are_columns_too(tmp_path: Path) -> None:
    lay_out(tmp_path, {"a.png": png(0), "labels.csv": b"filename,words\na.png,two words\n"})
    listing = TEXT_FORMATS["csv"](str(tmp_path / "labels.csv"))
    assert (listing.texts, listing.splits, listing.sources) == (("two words",), None, None)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_table_of_filename_and_words_is_split_at_the_first_comma_and_not_unquoted(
    newline: str, tmp_path: Path
) -> None:
    texts = ('"OPEN" 24h', "a,b", '"quoted, with a comma"', '"', "京A12345")
    names = [f"{number}.png" for number in range(5)]
    rows = ["filename,words", *map(",".join, zip(names, texts, strict=True)), "", ""]
    table = newline.join(rows).encode("utf-8-sig")
    contents = {**dict.fromkeys(names, png(0)), "labels.csv": table}
    lay_out(tmp_path, contents)
    assert read_csv(str(tmp_path / "labels.csv")).texts == texts
    assert read_zip(str(pack(tmp_path / "words.zip", contents))).texts == texts


def test_filename_and_words_beside_other_columns_are_an_ordinary_csv(tmp_path: Path) -> None:
    table = b'filename,words,split\na.png,"""OPEN"" 24h, a",test\n'
    lay_out(tmp_path, {"a.png": png(0), "labels.csv": table})
    listing = read_csv(str(tmp_path / "labels.csv"))
    assert (listing.texts, listing.splits) == (('"OPEN" 24h, a',), ("test",))


@pytest.mark.parametrize(
    "table", ["file, text\na.png, A1\n", "File,Text\na.png,A1\n", "file,label\na.png,A1\n"]
)
def test_a_header_may_have_capitals_and_spaces_and_call_texts_labels(
    table: str, tmp_path: Path
) -> None:
    lay_out(tmp_path, {"a.png": png(0), "labels.csv": table.encode()})
    assert read_csv(str(tmp_path / "labels.csv")).texts == ("A1",)


def test_a_folder_is_no_csv(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got the folder .*; try csv:.*/labels\.csv or folder:"):
        read_csv(str(tmp_path))


BAD_TABLES = {
    "unknown columns": (
        b"path,transcript\na.png,A\n",
        "columns file and text or filename .* got path, transcript",
    ),
    "no header": (b"a.png,A1\nb.png,B2\n", "got a.png, A1; write file,text as its first line"),
    "semicolons": (b"file;text\na.png;A, B\n", "separated by commas in .*, got 'file;text'"),
    "tabs": (b"file\ttext\na.png\tA\n", r"separated by commas in .*, got 'file\\ttext'"),
    "names that differ in case": (b"file,text,Text\na.png,A,B\n", "each column once .*, Text"),
    "missing file": (b"file,text\na.png,A\ngone.png,B\n", "got none for gone.png"),
    "a folder": (b"file,text\n.,A\n", "got none for ."),
    "no file": (b"file,text\n,A\n", "an image for every row"),
    "repeat": (b"file,text\na.png,A\na.png,B\n", "repeats of a.png"),
    "two spellings": (b"file,text\na.png,A\n./a.png,B\n", "repeats of a.png"),
    "repeated column": (b"file,text,text\na.png,A,B\n", "each column once .* text repeated"),
    "empty text": (b"file,text\na.png,\n", "a text for every image of .* none for a.png"),
    "blank text": (b"file,text\na.png, \n", "a text for every image"),
    "unknown split": (b"file,text,split\na.png,A,eval\n", "splits train, val, test .* got 'eval'"),
    "short row": (b"file,text\na.png\n", "2 cells in the row at line 2"),
    "short row after a long one": (b'file,text\na.png,"A\nB"\nb.png\n', "the row at line 4"),
    "open quote": (
        b'file,text\na.png,"A\nb.png,B\n',
        "got unexpected end .* at line 2; a cell with",
    ),
    "quote amid a cell": (
        b'file,text\na.png,"A" B\n',
        "a csv in .* at line 2; a cell with",
    ),
    "backslash": (b"file,text\nsub\\a.png,A\n", "Paths have / between folders"),
    "no rows": (b"file,text\n", "header only"),
    "not UTF-8": (b"file,text\na.png,\xff\xfe\n", "UTF-8"),
    "words without a comma": (b"filename,words\na.png\n", "a comma and words in line 2"),
    "words without a name": (b"filename,words\na.png,A\n\n,B\n", "a name, .* in line 4"),
    "words that are empty": (b"filename,words\na.png,\n", "a text for every image"),
    "no words": (b"filename,words\n\n", "header only"),
    "words not in UTF-8": (b"filename,words\na.png,\xff\n", "UTF-8"),
}


@pytest.mark.parametrize("name", sorted(BAD_TABLES))
def test_a_bad_table_is_a_clear_error(name: str, tmp_path: Path) -> None:
    data, message = BAD_TABLES[name]
    lay_out(tmp_path, {"a.png": png(0), "labels.csv": data})
    with pytest.raises(DataError, match=message):
        read_csv(str(tmp_path / "labels.csv"))


def test_texts_are_composed_and_trimmed_however_they_were_typed(tmp_path: Path) -> None:
    rows = "file,text\na.png,cafe\u0301 \nb.png,caf\u00e9\n".encode()
    lay_out(tmp_path, {"a.png": png(0), "b.png": png(1), "labels.csv": rows})
    assert set(read_csv(str(tmp_path / "labels.csv")).texts) == {"caf\u00e9"}


def test_a_folder_for_a_zip_and_a_zip_for_a_table_are_told_from_each_other(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a zip archive, got the folder .*; try folder:"):
        read_zip(str(lay_out(tmp_path / "words", {"a/1.png": png(0)})))
    archive = pack(tmp_path / "words.zip", {"a/1.png": png(0)})
    with pytest.raises(DataError, match=r"got a zip archive; try zip:"):
        read_csv(str(archive))


def test_a_zip_of_names_in_a_local_encoding_is_refused_and_not_misread(tmp_path: Path) -> None:
    path = pack(tmp_path / "plates.zip", {"京A1/a.png": png(0)})
    name, flag = "京A1/a.png".encode(), 0x800.to_bytes(2, "little")
    local = "京A".encode("gbk") + b"11/a.png"
    data = path.read_bytes().replace(flag + b"\0\0", b"\0\0\0\0").replace(name, local)
    assert len(name) == len(local)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"names in UTF-8 in .*plates.zip, got others"):
        read_zip(str(path))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["HELLO/a.png", "HELLO/a.png"], "members once each in .*, got HELLO/a.png"),
        (["../a.png"], r"members inside the archive in .*, got \.\./a.png"),
        (["/A/a.png"], "members inside the archive in .*, got /A/a.png"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_whose_members_hide_each_other_or_lead_out_of_it_is_refused(
    names: list[str], message: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, png(number))
    with pytest.raises(DataError, match=message):
        read_zip(str(tmp_path / "odd.zip"))


def test_a_zip_needs_a_table_and_a_row_for_every_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got a.png directly under .*bare.zip; .* in a csv"):
        read_zip(str(pack(tmp_path / "bare.zip", {"a.png": png(0)})))
    contents = {"a.png": png(0), "b.png": png(1), "labels.csv": b"file,text\na.png,A\n"}
    with pytest.raises(DataError, match=r"every image of .* none for b.png"):
        read_zip(str(pack(tmp_path / "more.zip", contents)))


def test_a_file_that_vanished_is_named_when_it_is_read(tmp_path: Path) -> None:
    lay_out(tmp_path, {**files(), "labels.csv": table()})
    listing = read_csv(str(tmp_path / "labels.csv"))
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a.png"):
        listing.read(0)


@pytest.mark.parametrize("scheme", sorted(TEXT_FORMATS))
def test_a_path_that_does_not_exist_is_a_clear_error(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected an existing file or folder"):
        TEXT_FORMATS[scheme](str(tmp_path / "nowhere"))
