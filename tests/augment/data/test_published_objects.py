"""Readers of Oxford's flowers and Caltech's birds, on small sets written in their layouts."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from augment.data.cutouts import square_around
from augment.data.datasets import LabelledImages, open_data
from augment.errors import DataError, ImageError

Files = dict[str, bytes | str]


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write(root: Path, files: Files) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def class_names(data: LabelledImages) -> list[str]:
    return [data.classes[label] for label in data.labels]


# Oxford-102


def matlab(**variables: list[int]) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, {name: np.array([values], np.uint16) for name, values in variables.items()})
    return buffer.getvalue()


def flower(*, painted: bool) -> bytes:
    """A 40×60 picture, gray but for a white 12×8 flower at row 10, column 30; or its cut."""
    pixels = np.full((40, 60, 3), (0, 0, 254) if painted else (90, 90, 90), np.uint8)
    pixels[10:22, 30:38] = 250
    return jpeg(pixels)


FLOWERS: Files = {
    **{f"jpg/image_0000{number}.jpg": flower(painted=False) for number in range(1, 5)},
    "imagelabels.mat": matlab(labels=[77, 77, 5, 5]),
    "setid.mat": matlab(trnid=[4, 1], valid=[3], tstid=[2]),
}
CUTS: Files = {f"segmim/segmim_0000{number}.jpg": flower(painted=True) for number in range(1, 5)}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_flowers_have_their_numbers_and_splits(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path = write(tmp_path, FLOWERS)
    else:
        path = tmp_path / "z.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in FLOWERS.items():
                archive.writestr(f"102flowers/{name}", content)
    data = open_data(f"oxford102:{path}", image_size=(40, 60))
    assert data.names[0] == "image_00001.jpg"
    assert class_names(data) == ["77", "77", "5", "5"]
    assert data.splits.tolist() == ["train", "test", "val", "train"]
    assert data.images([0])[0, 2, 2, 0] == pytest.approx(90, abs=3)


def test_segmentations_cut_the_square_around_the_flower(tmp_path: Path) -> None:
    data = open_data(f"oxford102:{write(tmp_path, {**FLOWERS, **CUTS})}", image_size=(12, 12))
    image = data.images([0])[0].astype(int)
    assert image[:, 3:9].min() > 220  # 12 rows of flower, 8 columns of it in the middle
    assert image[:, 0].max() < 130
    assert image[:, 11].max() < 130
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data)).images([0])[0], image)
    plain = open_data(f"oxford102:{write(tmp_path / 'plain', FLOWERS)}", image_size=(12, 12))
    assert data.digest() != plain.digest()


def test_a_segmentation_without_a_flower_leaves_the_picture_whole(tmp_path: Path) -> None:
    ground = jpeg(np.full((40, 60, 3), (0, 0, 254), np.uint8))
    files = {**FLOWERS, **CUTS, "segmim/segmim_00001.jpg": ground}
    data = open_data(f"oxford102:{write(tmp_path, files)}", image_size=(40, 60))
    whole = open_data(f"oxford102:{write(tmp_path / 'plain', FLOWERS)}", image_size=(40, 60))
    np.testing.assert_array_equal(data.images([0]), whole.images([0]))


def test_a_segmentation_of_another_size_is_named_when_it_is_read(tmp_path: Path) -> None:
    files = {**FLOWERS, **CUTS, "segmim/segmim_00003.jpg": jpeg(np.zeros((40, 50, 3), np.uint8))}
    data = open_data(f"oxford102:{write(tmp_path, files)}", image_size=(8, 8), channels=3)
    with pytest.raises(ImageError, match=r"segmim_00003\.jpg.*\(40, 60\), got \(40, 50\)"):
        data.images([2])


BAD_FLOWERS: dict[str, tuple[Files, str]] = {
    "no labels": ({"setid.mat": FLOWERS["setid.mat"]}, r"expected imagelabels\.mat"),
    "labels of another name": (
        FLOWERS | {"imagelabels.mat": matlab(classes=[1, 2, 3, 4])},
        r"with labels in .*imagelabels\.mat",
    ),
    "not a MATLAB file": (FLOWERS | {"setid.mat": b"PNG"}, r"MATLAB file with trnid, valid, tstid"),
    "image in two splits": (
        FLOWERS | {"setid.mat": matlab(trnid=[1, 2], valid=[2], tstid=[3])},
        "each of the 4 labelled images once, got 4 numbers, 3 of them",
    ),
    "image beyond the labels": (
        FLOWERS | {"setid.mat": matlab(trnid=[1, 2], valid=[3], tstid=[5])},
        "each of the 4 labelled images once",
    ),
    "image missing": (
        {name: data for name, data in FLOWERS.items() if "00003" not in name},
        r"got none for image_00003\.jpg",
    ),
    "image too many": (
        FLOWERS | {"jpg/image_00009.jpg": flower(painted=False)},
        r"for every image, got none for image_00009\.jpg",
    ),
    "segmentation missing": (
        FLOWERS | {"segmim/segmim_00001.jpg": flower(painted=True)},
        r"in segmim, got none for segmim_00002\.jpg",
    ),
}


@pytest.mark.parametrize("name", BAD_FLOWERS)
def test_unusable_flowers_are_refused(tmp_path: Path, name: str) -> None:
    files, message = BAD_FLOWERS[name]
    with pytest.raises(DataError, match=message):
        open_data(f"oxford102:{write(tmp_path, files)}")


# CUB-200


def bird() -> bytes:
    """A 30×50 picture, gray but for a white 10×10 bird at row 5, column 20."""
    pixels = np.full((30, 50, 3), 90, np.uint8)
    pixels[5:15, 20:30] = 250
    return jpeg(pixels)


FIRST = "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg"
SECOND = "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg"
THIRD = "002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg"
BIRDS: Files = {
    **{f"CUB_200_2011/images/{name}": bird() for name in (FIRST, SECOND, THIRD)},
    "CUB_200_2011/images.txt": f"1 {FIRST}\n2 {SECOND}\n3 {THIRD}\n",
    "CUB_200_2011/image_class_labels.txt": "1 1\n2 1\n3 2\n",
    "CUB_200_2011/classes.txt": "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n",
    "CUB_200_2011/train_test_split.txt": "1 0\n2 1\n3 1\n",
    "CUB_200_2011/bounding_boxes.txt": (
        "1 20.0 5.0 10.0 10.0\n2 20.0 8.0 10.0 4.0\n3 46.0 0.0 4.0 30.0\n"
    ),
}


def test_birds_are_whole_with_the_names_and_splits_of_their_lists(tmp_path: Path) -> None:
    data = open_data(f"cub200:{write(tmp_path, BIRDS)}", image_size=(30, 50))
    assert data.names == (FIRST, SECOND, THIRD)
    assert class_names(data) == ["001.Black_footed_Albatross"] * 2 + ["002.Laysan_Albatross"]
    assert data.splits.tolist() == ["test", "train", "train"]
    assert data.images([0])[0, 2, 2, 0] == pytest.approx(90, abs=3)


def test_birds_are_cut_to_the_square_around_their_boxes(tmp_path: Path) -> None:
    data = open_data(f"cub200boxes:{write(tmp_path, BIRDS)}", image_size=(10, 10))
    images = data.images()
    assert images[0].min() > 220  # the box is the bird
    assert images[1].min() > 220  # 10×4 at its middle, made 10×10
    assert images[2].max() < 130  # leads out of the picture and is clipped to it


@pytest.mark.parametrize("square", [False, True])
def test_square_around_keeps_the_centre(square: bool) -> None:
    box = np.array([[3, 4, 13, 14 if square else 6]], np.float32)
    left, top, right, bottom = square_around(box)[0]
    assert right - left == bottom - top == 10
    assert (left + right, top + bottom) == (16, 18 if square else 10)


def birds_with(name: str, content: str) -> Files:
    return BIRDS | {f"CUB_200_2011/{name}": content}


BAD_BIRDS: dict[str, tuple[Files, str]] = {
    "no list": (
        {name: data for name, data in BIRDS.items() if not name.endswith("images.txt")},
        r"expected images\.txt",
    ),
    "empty list": (birds_with("images.txt", ""), r"images\.txt, got no rows"),
    "repeated row": (
        birds_with("images.txt", f"1 {FIRST}\n1 {SECOND}\n3 {THIRD}\n"),
        "one row for each of the 2 entries",
    ),
    "image missing": (
        {name: data for name, data in BIRDS.items() if not name.endswith("1027.jpg")},
        r"got none for 002\.Laysan",
    ),
    "image without row": (
        BIRDS | {"CUB_200_2011/images/003.Gull/x.jpg": bird()},
        r"for every image, got none for 003\.Gull/x\.jpg",
    ),
    "label missing": (birds_with("image_class_labels.txt", "1 1\n2 1\n"), "got none for 3"),
    "class without name": (
        birds_with("classes.txt", "1 001.Black_footed_Albatross\n"),
        r"row in classes\.txt.*got none for 2",
    ),
    "split of 2": (birds_with("train_test_split.txt", "1 0\n2 1\n3 2\n"), "0 or 1.*got 2"),
}


@pytest.mark.parametrize("name", BAD_BIRDS)
def test_unusable_birds_are_refused(tmp_path: Path, name: str) -> None:
    files, message = BAD_BIRDS[name]
    with pytest.raises(DataError, match=message):
        open_data(f"cub200:{write(tmp_path, files)}")


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ("1 2 3 4 5\n2 2 3 4 wide\n3 2 3 4 5\n", "four numbers"),
        ("1 2 3 4 5\n2 2 3 4 5\n", "four numbers for every image.*'3'"),
        ("1 2 3 4\n", "expected 5 columns"),
    ],
)
def test_unusable_boxes_are_refused(tmp_path: Path, boxes: str, message: str) -> None:
    files = birds_with("bounding_boxes.txt", boxes)
    with pytest.raises(DataError, match=message):
        open_data(f"cub200boxes:{write(tmp_path, files)}")
