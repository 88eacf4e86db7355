"""Readers of the layouts that publishers and trainers of text recognizers use."""

import os
import pickle
import zipfile
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from scipy.io import savemat

from augment.data.key_value import LmdbStore
from augment.data.text_formats import (
    TextListing,
    read_ccpd,
    read_csv,
    read_folder,
    read_iiit5k,
    read_lmdb,
    read_zip,
)
from augment.data.text_lists import list_paddleocr
from augment.errors import DataError, ImageError
from augment.export import WRITERS, Record
from augment.images import decode_image


def png(level: int, width: int = 30, height: int = 10) -> bytes:
    _, data = cv2.imencode(".png", np.full((height, width, 3), level, np.uint8))
    return bytes(data.tobytes())


def lay_out(root: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def put(path: Path, values: dict[str, bytes]) -> Path:
    environment = lmdb.open(str(path), map_size=2**24)
    with environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    environment.close()
    return path


def levels(listing: TextListing) -> list[int]:
    """Mean gray value of each item, by a reader that went to another process."""
    read = pickle.loads(pickle.dumps(listing.read))
    images = [decode_image(read(item), channels=1) for item in range(len(listing.names))]
    return [round(float(image.mean())) for image in images]


@pytest.mark.parametrize("kind", ["csv", "lmdb", "paddleocr"])
def test_what_we_write_is_what_we_read(kind: str, tmp_path: Path) -> None:
    texts = ("Straße", 'a "b", c', "שלום", "京A12345")
    with WRITERS[kind](tmp_path / "out") as writer:
        for index, text in enumerate(texts):
            writer.add(Record(png(50 * index), text, index, seed=1))
    readers = {"csv": read_csv, "lmdb": read_lmdb, "paddleocr": list_paddleocr}
    path = tmp_path / "out" / "labels.csv" if kind == "csv" else tmp_path / "out"
    listing = readers[kind](str(path))
    assert listing.texts == texts
    assert levels(listing) == [0, 50, 100, 150]
    assert (listing.splits, listing.sources) == (None, None)
    assert len(set(listing.names)) == 4


@pytest.mark.parametrize("told", [True, False], ids=["by its manifest", "by its folders"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_an_exported_image_folder_gives_its_texts_back(
    kind: str, told: bool, tmp_path: Path
) -> None:
    texts = (
        "a/b",
        "..",
        "100%",
        "100%41",
        "Straße 5",
        "京A12345",
        "שלום",
        "manifest.jsonl",
        "CON?",
    )
    with WRITERS[kind](tmp_path / "out") as writer:
        for index, text in enumerate(texts):
            writer.add(Record(png(20 * index), text, index, seed=1))
    if not told:
        forget_manifest(tmp_path / "out")
    listing = {"folder": read_folder, "zip": read_zip}[kind](str(tmp_path / "out"))
    assert sorted(zip(listing.texts, levels(listing), strict=True)) == sorted(
        (text, 20 * index) for index, text in enumerate(texts)
    )
    assert (listing.splits, listing.sources) == (None, None)


def forget_manifest(path: Path) -> None:
    """Leave the names of the folders alone to tell the texts."""
    if path.is_dir():
        (path / "manifest.jsonl").unlink()
        return
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if "manifest" not in name}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in kept.items():
            archive.writestr(name, data)


def test_an_image_folder_may_have_splits_and_names_that_only_look_escaped(tmp_path: Path) -> None:
    lay_out(tmp_path, {"train/50%FF/1.png": png(1), "valid/No 5/2.png": png(2)})
    listing = read_folder(str(tmp_path))
    assert (listing.texts, listing.splits) == (("50%FF", "No 5"), ("train", "val"))


BAD_FOLDERS = {
    "no image": ({"a/readme.txt": b""}, "expected images in class folders"),
    "loose": ({"a/1.png": b"", "2.png": b""}, "every image in a class folder, got 2.png"),
    "blank": ({"a/1.png": b"", "%20/2.png": b""}, "a text for every image of .* none for %20/2"),
    "manifest": ({"a/1.png": b"", "manifest.jsonl": b"{}"}, "file and label of every image"),
}


@pytest.mark.parametrize("name", sorted(BAD_FOLDERS))
def test_a_bad_image_folder_is_a_clear_error(name: str, tmp_path: Path) -> None:
    contents, message = BAD_FOLDERS[name]
    with pytest.raises(DataError, match=message):
        read_folder(str(lay_out(tmp_path, contents)))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", ["", "plates/", "sets/plates/"])
def test_a_list_in_a_folder_or_zip_tells_the_texts_not_the_folders_that_hold_the_images(
    inside: str, packed: bool, tmp_path: Path
) -> None:
    files = {
        f"{inside}labels.csv": b"file,text\nimages/0.png,A1\nimages/1.png,B2\n",
        f"{inside}images/0.png": png(0),
        f"{inside}images/1.png": png(90),
    }
    listing = read_somewhere(files, tmp_path, packed)
    assert listing.texts == ("A1", "B2")
    assert listing.names == (f"{inside}images/0.png", f"{inside}images/1.png")
    assert levels(listing) == [0, 90]


def read_somewhere(files: dict[str, bytes], root: Path, packed: bool) -> TextListing:
    """Read files as a folder, or as a zip of them."""
    if not packed:
        return read_folder(str(lay_out(root / "set", files)))
    with zipfile.ZipFile(root / "set.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return read_zip(str(root / "set.zip"))


UNFIT_LISTS = {
    "two tables": (
        {"a/labels.csv": b"file,text\n0.png,A\n", "b/labels.csv": b"", "a/0.png": b""},
        "one labels.csv in .*, got a/labels.csv, b/labels.csv",
    ),
    "an image without a row": (
        {"a/labels.csv": b"file,text\n0.png,A\n", "a/0.png": b"", "a/1.png": b""},
        "a row in a/labels.csv for every image of .* none for a/1.png",
    ),
    "PaddleOCR's": (
        {"rec/rec_gt_train.txt": b"a/0.png\tA\n", "rec/a/0.png": b"", "rec/b/0.png": b""},
        "got rec/rec_gt_train.txt which tells other texts; .* paddleocr:",
    ),
    "Hugging Face's": (
        {"set/metadata.jsonl": b"{}", "set/a/0.png": b"", "set/b/0.png": b""},
        "got set/metadata.jsonl which tells other texts",
    ),
    "none, and one text": (
        {"images/0.png": b"", "images/1.png": b""},
        "named after the texts of their images in .*, got images for 2 images",
    ),
    "none, and splits": (
        {"train/0.png": b"", "train/1.png": b"", "val/2.png": b""},
        "got the folders of splits train, val where the folders of classes",
    ),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", sorted(UNFIT_LISTS))
def test_lists_that_would_not_be_read_are_named_not_passed_over(
    name: str, packed: bool, tmp_path: Path
) -> None:
    files, message = UNFIT_LISTS[name]
    with pytest.raises(DataError, match=message):
        read_somewhere(files, tmp_path, packed)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    lay_out(tmp_path, {"out.zip": b""})
    with pytest.raises(DataError, match=r"expects a folder, got the file .*; try zip:"):
        read_folder(str(tmp_path / "out.zip"))


def test_lmdb_reads_on_after_a_fork(tmp_path: Path) -> None:
    values = {"image-000000001": png(9), "label-000000001": b"A", "num-samples": b"1"}
    listing = read_lmdb(str(put(tmp_path / "db", values)))
    child = os.fork()
    if child == 0:
        os._exit(0 if listing.read(0) == png(9) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert listing.read(0) == png(9)


def test_an_lmdb_is_listed_without_a_transaction_or_a_copy_for_each_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"num-samples": b"20"}
    for number in range(1, 21):
        values |= {f"image-{number:09d}": png(number), f"label-{number:09d}": f"A{number}".encode()}
    path, get, asked = put(tmp_path / "db", values), LmdbStore.get, list[str]()
    monkeypatch.setattr(LmdbStore, "get", lambda self, key: asked.append(key) or get(self, key))
    assert read_lmdb(str(path)).texts == tuple(f"A{number}" for number in range(1, 21))
    assert asked == ["num-samples"]


BAD_LMDB = {
    "no number": ({"image-000000001": b"x", "label-000000001": b"A"}, "num-samples"),
    "from zero": (
        {"image-000000000": b"x", "label-000000000": b"A", "num-samples": b"1"},
        "none for image-000000001 or its label",
    ),
    "no image": ({"label-000000001": b"A", "num-samples": b"1"}, "none for image-000000001"),
    "empty": ({"num-samples": b"0"}, "none for any"),
    "empty text": (
        {"image-000000001": b"x", "label-000000001": b"", "num-samples": b"1"},
        "a text for every image",
    ),
    "not UTF-8": (
        {"image-000000001": b"x", "label-000000001": b"\xff", "num-samples": b"1"},
        "UTF-8 labels",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD_LMDB))
def test_a_bad_lmdb_is_a_clear_error(name: str, tmp_path: Path) -> None:
    values, message = BAD_LMDB[name]
    with pytest.raises(DataError, match=message):
        read_lmdb(str(put(tmp_path / "db", values)))


def test_a_folder_without_a_database_is_a_clear_error_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected an LMDB in"):
        read_lmdb(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_paddleocr_lists_of_several_splits_are_told_apart(tmp_path: Path) -> None:
    files = {
        "rec/train/1.png": png(1),
        "rec/test/2.png": png(2),
        "rec/rec_gt_train.txt": "train/1.png\t简单 可\r\n\n".encode(),
        "rec/rec_gt_test.txt": b"test/2.png\tB",
    }
    listing = list_paddleocr(str(lay_out(tmp_path, files)))
    assert dict(zip(listing.names, listing.texts, strict=True)) == {
        "rec/train/1.png": "简单 可",
        "rec/test/2.png": "B",
    }
    assert dict(zip(listing.names, listing.splits or (), strict=True)) == {
        "rec/train/1.png": "train",
        "rec/test/2.png": "test",
    }
    assert levels(listing) == ([1, 2] if "train" in listing.names[0] else [2, 1])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("1.png A", "line 1 of .*rec_gt_train.txt, got 0 tabs"),
        ("1.png\tA\n1.png\tA\tB", "line 2 of .* got 2 tabs"),
        ("1.png\tA\n1.png\tB", "repeats of 1.png"),
        ("1.png\tA\n2.png\tB", "none for 2.png"),
        ("../1.png\tA", r"none for \.\./1.png"),
        ("1.png\t", "a text for every image"),
    ],
)
def test_a_bad_paddleocr_list_is_a_clear_error(lines: str, message: str, tmp_path: Path) -> None:
    lay_out(tmp_path, {"1.png": png(1), "rec_gt_train.txt": lines.encode()})
    with pytest.raises(DataError, match=message):
        list_paddleocr(str(tmp_path))


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("root", ["", "train_data", "train_data/rec"])
@pytest.mark.parametrize("begins", ["", "rec/", "train_data/rec/"])
def test_paths_of_paddleocr_may_begin_at_a_folder_above_their_list(
    begins: str, root: str, kind: str, tmp_path: Path
) -> None:
    names = ("1.png", "2.png")
    rows = [f"{begins}train/{name}\t{text}" for name, text in zip(names, "AB", strict=True)]
    files = {f"train/{name}": png(int(name[0])) for name in names}
    files = {f"train_data/rec/{name}": data for name, data in files.items()}
    files["train_data/rec/rec_gt_train.txt"] = "\n".join(rows).encode()
    path = lay_out(tmp_path, files) / root
    if kind == "zip":
        whole, path = path, tmp_path / f"{path.name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in files:
                archive.write(tmp_path / name, (tmp_path / name).relative_to(whole))
    listing = list_paddleocr(str(path))
    assert listing.texts == ("A", "B")
    assert levels(listing) == [1, 2]


def test_paths_of_paddleocr_that_may_begin_at_several_folders_are_refused(tmp_path: Path) -> None:
    files = {
        "a/b/rec_gt_train.txt": b"c/1.png\tA",
        "a/c/1.png": png(1),
        "c/1.png": png(2),
    }
    with pytest.raises(DataError, match=r"got 2, from a/ and \./; write"):
        list_paddleocr(str(lay_out(tmp_path, files)))


def test_places_where_an_image_of_paddleocr_was_looked_for_are_named(tmp_path: Path) -> None:
    files = {"a/b/rec_gt_train.txt": b"b/1.png\tA\nb/2.png\tB", "a/b/1.png": png(1)}
    with pytest.raises(DataError, match=r"for b/1.png, b/2.png, looked .* a/b/, a/, ./, a/b/ with"):
        list_paddleocr(str(lay_out(tmp_path, files)))


def test_a_folder_without_a_paddleocr_list_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rec_gt_train.txt or its like .* name the list: paddle"):
        list_paddleocr(str(lay_out(tmp_path, {"labels.txt": b"1.png\tA"})))


def test_a_paddleocr_list_of_any_name_may_be_named_itself(tmp_path: Path) -> None:
    files = {"rec/train_list.txt": b"rec/1.png\tA", "rec/1.png": png(1)}
    files["rec/rec_gt_test.txt"] = b"no.png\tB"
    folder = lay_out(tmp_path, files)
    listing = list_paddleocr(f"{folder}/rec/train_list.txt")
    assert (listing.names, listing.texts, listing.splits) == (("1.png",), ("A",), None)
    assert listing.read(0) is not None
    with pytest.raises(DataError, match=r"expected .*nothing.txt"):
        list_paddleocr(f"{folder}/rec/nothing.txt")


def test_ccpd_items_are_plates_cut_out_of_their_pictures(tmp_path: Path) -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[30:50, 60:130] = 200
    _, data = cv2.imencode(".png", picture)
    box = "025-95_113-60&30_130&50-130&50_60&50_60&30_130&30-0_0_22_27_27_33_16-37-15.png"
    whole = "1000-90_90-0&0_30&10-30&10_0&10_0&0_30&0-12_0_3_25_26_27_28_29-37-15.png"
    files = {f"ccpd_green/train/{box}": bytes(data.tobytes()), f"ccpd_green/val/{whole}": png(7)}
    listing = read_ccpd(str(lay_out(tmp_path, files)))
    assert listing.texts == ("皖AY339S", "京AD12345")
    assert listing.splits == listing.sources == ("train", "val")
    assert decode_image(listing.read(0), channels=3).shape == (20, 70, 3)
    assert levels(listing) == [200, 7]
    assert listing.read(1) == png(7), "a plate that fills its picture is not encoded anew"


def test_ccpd_pictures_without_a_plate_are_passed_over(tmp_path: Path) -> None:
    with WRITERS["ccpd"](tmp_path / "out" / "ccpd_base") as writer:
        writer.add(Record(png(1), "京A12345", 0))
    (tmp_path / "out" / "ccpd_np").mkdir()
    (tmp_path / "out" / "ccpd_np" / "1003.jpg").write_bytes(png(2))
    assert read_ccpd(str(tmp_path / "out")).texts == ("京A12345",)
    with pytest.raises(DataError, match="expected pictures with CCPD's names"):
        read_ccpd(str(lay_out(tmp_path / "np", {"ccpd_np/1.png": png(1)})))


def test_ccpd_folders_of_other_names_are_sources_only(tmp_path: Path) -> None:
    with WRITERS["ccpd"](tmp_path / "out") as writer:
        writer.add(Record(png(80), "皖AY339S", 0, seed=1))
        writer.add(Record(png(80), "皖AY339S", 1, seed=1))
    listing = read_ccpd(str(tmp_path / "out"))
    assert (listing.splits, listing.sources) == (None, ("0", "1"))
    assert levels(listing) == [80, 80]


def test_a_ccpd_box_outside_its_picture_is_named_when_it_is_read(tmp_path: Path) -> None:
    name = "025-95_113-60&30_130&50-130&50_60&50_60&30_130&30-0_0_22_27_27_33_16-37-15.png"
    listing = read_ccpd(str(lay_out(tmp_path, {name: png(7)})))
    with pytest.raises(ImageError, match=r"box inside the picture of 30×10 pixels"):
        listing.read(0)


def test_a_folder_without_ccpd_pictures_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pictures with CCPD's names in .* got none"):
        read_ccpd(str(tmp_path))


def iiit5k(root: Path, **changes: object) -> Path:
    """The authors' layout with two training words and one test word."""
    fields = [("ImgName", object), ("GroundTruth", object), ("smallLexi", object)]
    parts = {
        "traindata": [("train/1_1.png", "You", "A"), ("train/1_2.png", "7", "A")],
        "testdata": [("test/2_1.png", "Salutes", "B")],
        **changes,
    }
    for variable, rows in parts.items():
        array = np.array(rows, dtype=fields) if isinstance(rows, list) else rows
        savemat(root / f"{variable}.mat", {variable: array})
    images = {"train/1_1.png": png(1), "train/1_2.png": png(2), "test/2_1.png": png(3)}
    return lay_out(root, images)


def test_iiit5k_is_read_by_its_mat_files_in_a_folder_or_zip(tmp_path: Path) -> None:
    root = tmp_path / "IIIT5K"
    root.mkdir()
    iiit5k(root)
    with zipfile.ZipFile(tmp_path / "IIIT5K.zip", "w") as archive:
        for file in root.rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path))
    for path, prefix in ((root, ""), (tmp_path / "IIIT5K.zip", "IIIT5K/")):
        listing = read_iiit5k(str(path))
        assert listing.names == tuple(
            f"{prefix}{name}" for name in ("train/1_1.png", "train/1_2.png", "test/2_1.png")
        )
        assert listing.texts == ("You", "7", "Salutes")
        assert listing.splits == ("train", "train", "test")
        assert levels(listing) == [1, 2, 3]


BAD_IIIT5K: dict[str, tuple[dict[str, object], str]] = {
    "another variable": ({"traindata": np.zeros(3)}, "struct array traindata"),
    "missing image": ({"testdata": [("test/9_9.png", "A", "B")]}, "none for test/9_9.png"),
    "repeat": ({"testdata": [("train/1_1.png", "A", "B")]}, "repeats of train/1_1.png"),
    "empty text": ({"testdata": [("test/2_1.png", "", "B")]}, "a text for every image"),
    "number": ({"testdata": [("test/2_1.png", 7, "B")]}, "struct array testdata"),
}


@pytest.mark.parametrize("name", sorted(BAD_IIIT5K))
def test_a_bad_iiit5k_is_a_clear_error(name: str, tmp_path: Path) -> None:
    changes, message = BAD_IIIT5K[name]
    with pytest.raises(DataError, match=message):
        read_iiit5k(str(iiit5k(tmp_path, **changes)))


def test_an_iiit5k_without_its_lists_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected traindata.mat"):
        read_iiit5k(str(tmp_path))


def test_an_iiit5k_with_an_empty_file_is_a_clear_error(tmp_path: Path) -> None:
    root = iiit5k(tmp_path)
    (root / "testdata.mat").write_bytes(b"")
    with pytest.raises(DataError, match=r"testdata\.mat, got .*truncated.*download it again"):
        read_iiit5k(str(root))


def test_an_iiit5k_saved_as_matlab_7_3_is_told_to_be_saved_anew(tmp_path: Path) -> None:
    """Such files are HDF5, which scipy does not read: the header alone tells."""
    root = iiit5k(tmp_path)
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (root / "traindata.mat").write_bytes(header + bytes(512))
    with pytest.raises(DataError, match=r"version 7 or older, got 7\.3; save it again"):
        read_iiit5k(str(root))
