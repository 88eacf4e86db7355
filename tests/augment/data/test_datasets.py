import io
import json
import pickle
import tracemalloc
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from class_files import CLASS_FOLDERS, picture, write_files, write_zip
from PIL import Image

from augment.data.datasets import open_data
from augment.errors import DataError, ImageError


@pytest.fixture
def table() -> dict[str, bytes | str]:
    return {
        "labels.csv": "file,label,split,group\n"
        "x/1.png,A,train,g1\nx/2.png,B,test,g2\nx/3.png,B,valid,g3\n",
        **{f"x/{number}.png": picture(number) for number in (1, 2, 3)},
    }


# What comes out


def test_digits_are_white_strokes_on_black_with_names_of_their_classes() -> None:
    data = open_data("digits:")
    assert data.classes == tuple("0123456789")
    assert (len(data), data.image_size, data.channels) == (1797, (16, 16), 1)
    images = data.images(range(50))
    assert images.max() == 255
    assert np.median(images[:, :, 0]) == 0  # the border is ground
    image, label = data[3]
    assert image.shape == (1, 16, 16)
    assert image.dtype == torch.float32
    assert (float(image.min()), label) == (-1.0, 3)


@pytest.mark.parametrize("kind", ["zip", "folder", "csv"])
@pytest.mark.parametrize("nested", [False, True])
def test_table_gives_labels_splits_and_groups(
    tmp_path: Path, table: dict[str, bytes | str], kind: str, nested: bool
) -> None:
    if nested:
        table = {f"set/{name}": data for name, data in table.items()}
    if kind == "zip":
        uri = f"zip:{write_zip(tmp_path / 'z.zip', table)}"
    elif kind == "folder":
        uri = f"folder:{write_files(tmp_path, table)}"
    else:
        uri = f"csv:{write_files(tmp_path, table)}/{'set/' if nested else ''}labels.csv"
    data = open_data(uri)
    assert [data.classes[label] for label in data.labels] == ["A", "B", "B"]
    assert data.splits.tolist() == ["train", "test", "val"]
    assert data.groups.tolist() == ["g1", "g2", "g3"]
    assert data.images()[:, 0, 0, 0].tolist() == [1, 2, 3]


def test_csv_paths_may_lead_out_of_its_folder(tmp_path: Path) -> None:
    files = {"pictures/1.png": picture(1), "pictures/2.png": picture(2)}
    files["tables/t.csv"] = "file,text\n../pictures/1.png,one\n../pictures/2.png,two\n"
    data = open_data(f"csv:{write_files(tmp_path, files)}/tables/t.csv")
    assert data.classes == ("one", "two")
    assert data.images()[:, 0, 0, 0].tolist() == [1, 2]


def plates_zip(path: Path, agree: object = 4) -> Path:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 20:] = 255
    buffer = io.BytesIO()
    Image.fromarray(wide).save(buffer, "PNG")
    boxes = {
        "text": "皖A",
        "boxes_xyxy": [[2, 2, 17.6, 8], [22, 2, 38, 8]],
        "agree": [1, 1],
    }
    return write_zip(
        path,
        {
            "p/1.png": buffer.getvalue(),
            "p/2.png": buffer.getvalue(),
            "p/3.png": buffer.getvalue(),
            "labels.csv": "file,text,split,chars_agree\n"
            f"p/1.png,皖A,train,7\np/2.png,皖A,test,{agree}\np/3.png,皖A,test,7\n",
            "char_boxes.json": json.dumps({"p/1.png": boxes, "p/2.png": boxes}),
        },
    )


def test_an_agreement_that_is_no_number_is_a_clear_error(tmp_path: Path) -> None:
    path = plates_zip(tmp_path / "p.zip", agree="all")
    with pytest.raises(DataError, match=r"whole number as chars_agree of p/2.png, got 'all'"):
        open_data(f"charboxes:{path}")


def test_charboxes_cuts_plate_characters_and_leaves_doubtful_plates_out(tmp_path: Path) -> None:
    data = open_data(f"charboxes:{plates_zip(tmp_path / 'p.zip')}", image_size=(8, 8))
    assert data.names == ("p/1.png#0", "p/1.png#1")
    assert [data.classes[label] for label in data.labels] == ["皖", "A"]
    assert data.groups.tolist() == ["皖A", "皖A"]
    assert data.splits.tolist() == ["train", "train"]
    dark, light = data.images()
    assert dark.max() == 0
    assert light.min() == 255


def test_charboxes_groups_word_characters_by_source_picture(tmp_path: Path) -> None:
    boxes = {"chars": "ab", "boxes": [[0, 0, 5, 8], [6, 0, 6, 8]]}
    files = {
        "labels.csv": "file,text,split\ntrain/31_1.png,ab,train\ntrain/31_2.png,ab,train\n",
        "char_boxes.json": json.dumps({"train/31_1.png": boxes, "train/31_2.png": boxes}),
        "train/31_1.png": picture(9),
        "train/31_2.png": picture(9),
    }
    data = open_data(f"charboxes:{write_zip(tmp_path / 'w.zip', files)}")
    assert data.groups.tolist() == ["31"] * 4
    assert data.names[1] == "train/31_1.png#1"


def test_remote_file_systems_are_read_alike(tmp_path: Path) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    for name, data in CLASS_FOLDERS.items():
        with fsspec.open(f"{root}/{name}", "wb") as file:
            file.write(data)
    remote = open_data(f"folder:{root}")
    local = open_data(f"folder:{write_files(tmp_path, CLASS_FOLDERS)}")
    assert remote.names == local.names
    assert remote.digest() == local.digest()


# Size, channels, splits


def test_size_and_channels_are_chosen_from_images_of_all_classes(tmp_path: Path) -> None:
    files = {f"A/{index:03d}.png": picture(1, (100, 6)) for index in range(3)}
    files |= {f"B/{index:03d}.png": picture(1, (20, 30), colour=True) for index in range(97)}
    data = open_data(f"folder:{write_files(tmp_path, files)}")
    assert data.image_size == (20, 30)
    assert data.channels == 3
    small = open_data(f"folder:{tmp_path}", image_size=(9, 7), channels=1)
    assert small.images([0]).shape == (1, 9, 7, 1)


def test_chosen_size_is_clipped(tmp_path: Path) -> None:
    files = {f"{label}/1.png": picture(1, (3, 200)) for label in "AB"}
    assert open_data(f"folder:{write_files(tmp_path, files)}").image_size == (8, 64)


# Views


@pytest.mark.parametrize("kind", ["folder", "zip", "charboxes"])
def test_pickled_data_reads_the_same_images(tmp_path: Path, kind: str) -> None:
    if kind == "charboxes":
        uri = f"charboxes:{plates_zip(tmp_path / 'p.zip')}"
    elif kind == "zip":
        uri = f"zip:{write_zip(tmp_path / 'z.zip', CLASS_FOLDERS)}"
    else:
        uri = f"folder:{write_files(tmp_path, CLASS_FOLDERS)}"
    data = open_data(uri)
    before = data.images()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data)).images(), before)


def test_forked_loader_workers_each_read_the_archive(tmp_path: Path) -> None:
    data = open_data(f"zip:{write_zip(tmp_path / 'z.zip', CLASS_FOLDERS)}")
    expected = torch.stack([data[index][0] for index in range(len(data))])
    loader = torch.utils.data.DataLoader(
        data, batch_size=3, num_workers=2, multiprocessing_context="fork"
    )
    assert torch.equal(torch.cat([images for images, _ in loader]), expected)


def test_relative_paths_still_work_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "data", CLASS_FOLDERS)
    monkeypatch.chdir(tmp_path)
    data = open_data("folder:data")
    monkeypatch.chdir("/")
    assert len(data.images()) == 12


def test_pixels_are_not_kept(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    files = {f"{index % 2}/{index}.png": buffer.getvalue() for index in range(300)}
    data = open_data(f"zip:{write_zip(tmp_path / 'z.zip', dict(files))}")
    data.images([0])
    tracemalloc.start()
    for index in range(len(data)):
        data.images([index])
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    one_image = noise.nbytes
    assert kept < 10 * one_image  # all 300 would be 3.7 MB
    assert peak < 40 * one_image


# Bad input


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("lmdb:somewhere", "celeba:, charboxes:, csv:"),
        ("somewhere", "expected a data URI"),
        ("digits:5", "takes no path"),
        ("folder:/no/such/folder", "existing file or folder"),
        ("zip:/no/such/file.zip", "existing file or folder"),
        ("folder:nosuch://bucket", "fsspec URL"),
    ],
)
def test_an_unusable_uri_is_refused(uri: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data(uri)


BAD_TABLES: dict[str, tuple[str, str]] = {
    "label without image": ("file,label\nx/1.png,A\nx/9.png,B\n", r"got none for x/9\.png"),
    "image without label": ("file,label\nx/1.png,A\nx/2.png,B\n", r"got none for x/3\.png"),
    "repeated row": ("file,label\nx/1.png,A\nx/1.png,B\n", r"repeats of x/1\.png"),
    "repeated column": ("file,label,file\nx/1.png,A,x/2.png\n", "each column once .* file rep"),
    "no label column": ("file,name\nx/1.png,A\n", "columns file and label"),
    "no label": ("file,label\nx/1.png,A\nx/2.png,\nx/3.png,B\n", "label in line 3"),
    "unknown split": ("file,label,split\nx/1.png,A,dev\n", "got 'dev'; write one"),
    "blank split": ("file,label,split\nx/1.png,A,\n", "got ''; write one of them in every row"),
    "short row": ("file,label,split\nx/1.png,A\n", "3 cells in the row at line 2 of .*, got 2; "),
    "long row": ("file,label\nx/1.png,A,B\n", "2 cells in the row at line 2 of .*, got 3; "),
    "no rows": ("file,label\n", "expected rows"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_an_unusable_table_is_refused(
    tmp_path: Path, table: dict[str, bytes | str], name: str
) -> None:
    table["labels.csv"], message = BAD_TABLES[name]
    with pytest.raises(DataError, match=message):
        open_data(f"zip:{write_zip(tmp_path / 'z.zip', table)}")


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_images_beside_a_table_without_a_row_and_two_tables_are_refused(
    tmp_path: Path, table: dict[str, bytes | str], kind: str
) -> None:
    def open_files(files: dict[str, bytes | str], name: str) -> None:
        path = tmp_path / name
        open_data(f"{kind}:{(write_zip if kind == 'zip' else write_files)(path, files)}")

    with pytest.raises(DataError, match=r"a row in labels\.csv for every image .* x/4\.png"):
        open_files({**table, "x/4.png": picture(4)}, "unlisted")
    parts = {f"{part}/{name}": data for part in "ab" for name, data in table.items()}
    with pytest.raises(DataError, match=r"expected one labels\.csv .* a/labels\.csv, b/labels"):
        open_files(parts, "parts")


def test_one_file_under_two_spellings_is_a_repeat(tmp_path: Path) -> None:
    files = {"1.png": picture(1), "labels.csv": "file,label\n1.png,A\n./x/../1.png,B\n"}
    with pytest.raises(DataError, match=r"one row a file .* repeats of 1\.png"):
        open_data(f"csv:{write_files(tmp_path, files) / 'labels.csv'}")


def test_a_table_that_is_not_utf8_is_refused(tmp_path: Path, table: dict[str, bytes | str]) -> None:
    table["labels.csv"] = "file,label\nx/1.png,é\n".encode("latin-1")
    with pytest.raises(DataError, match="UTF-8"):
        open_data(f"zip:{write_zip(tmp_path / 'z.zip', table)}")


def test_a_corrupt_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    write_files(tmp_path, CLASS_FOLDERS)
    data = open_data(f"folder:{tmp_path}")
    broken = tmp_path / "A" / "3.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(ImageError, match=r"A/3\.png"):
        data.images()
    broken.unlink()
    with pytest.raises(ImageError, match=r"A/3\.png.*readable file"):
        data[data.names.index("A/3.png")]
    assert data.images([data.names.index("A/2.png")]).shape == (1, 8, 12, 1)


@pytest.mark.parametrize(("side", "message"), [(1, "1×1"), (20_000, "20000×20000|400000000")])
def test_an_image_of_unusable_size_is_named(tmp_path: Path, side: int, message: str) -> None:
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    files = {**CLASS_FOLDERS, "A/odd.png": buffer.getvalue()}
    with pytest.raises(ImageError, match=rf"A/odd\.png.*({message})"):
        open_data(f"folder:{write_files(tmp_path, files)}").images()


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", CLASS_FOLDERS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"zip archive.*truncated"):
        open_data(f"zip:{path}")


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", CLASS_FOLDERS)
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := data.find(signature, place + 1)) >= 0:
            data[place + flags] |= 1  # encrypted
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"encrypted.*without a password"):
        open_data(f"zip:{path}").images()


def test_a_damaged_member_of_a_zip_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", CLASS_FOLDERS)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match=r"A/0\.png.*CRC"):
        open_data(f"zip:{path}")


def test_charboxes_without_boxes_points_to_zip(
    tmp_path: Path, table: dict[str, bytes | str]
) -> None:
    with pytest.raises(DataError, match=r"char_boxes\.json.*use zip:"):
        open_data(f"charboxes:{write_zip(tmp_path / 'z.zip', table)}")


@pytest.mark.parametrize("twin", [" A", "A ", "cafe\u0301"])
def test_classes_that_look_alike_are_refused(tmp_path: Path, twin: str) -> None:
    names = ("A", "caf\xe9", "a", twin)
    files = {f"x/{index}.png": picture(index) for index in range(len(names))}
    rows = "".join(f"x/{index}.png,{name}\n" for index, name in enumerate(names))
    table = write_files(tmp_path, {**files, "labels.csv": f"file,label\n{rows}"})
    with pytest.raises(DataError, match="differ in more than white space"):
        open_data(f"csv:{table}/labels.csv")
