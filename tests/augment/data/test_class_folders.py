"""Folders and zips of CLASS/FILE and SPLIT/CLASS/FILE: what is a class, a split, or neither."""

import json
from pathlib import Path

import numpy as np
import pytest
from class_files import CLASS_FOLDERS, picture, write_files, write_zip

from augment.data.datasets import open_data
from augment.errors import DataError


def test_folder_of_classes_keeps_unicode_names_and_pixels(tmp_path: Path) -> None:
    data = open_data(f"folder:{write_files(tmp_path, CLASS_FOLDERS)}")
    assert data.classes == ("A", "皖")
    assert np.bincount(data.labels).tolist() == [6, 6]
    assert data.image_size == (8, 12)
    assert data.channels == 1
    index = data.names.index("皖/4.png")
    assert np.unique(data.images([index])).tolist() == [40 + ord("皖") % 7]


def test_folders_named_after_splits_are_splits(tmp_path: Path) -> None:
    files = {f"train/{name}": data for name, data in CLASS_FOLDERS.items()}
    files["validation/A/v.png"] = files["test/皖/t.png"] = picture(1)
    data = open_data(f"folder:{write_files(tmp_path, files)}")
    assert data.classes == ("A", "皖")
    assert [np.sum(data.splits == name) for name in ("train", "val", "test")] == [12, 1, 1]
    assert data.split("val").names == ("validation/A/v.png",)


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "testing")])
def test_splits_are_known_by_any_of_their_usual_names(tmp_path: Path, names: list[str]) -> None:
    train, test = names
    files = {f"{train}/{name}": data for name, data in CLASS_FOLDERS.items()}
    data = open_data(f"folder:{write_files(tmp_path, {**files, f'{test}/A/t.png': picture(1)})}")
    assert data.classes == ("A", "皖")
    assert [int(np.sum(data.splits == name)) for name in ("train", "test")] == [12, 1]


IN_SPLITS = {f"train/{name}": data for name, data in CLASS_FOLDERS.items()}
IN_SPLITS["Test/A/t.png"] = picture(1)
NO_CLASSES = {
    "as Hugging Face lays it out": (
        {"train/0.png": picture(0), "test/1.png": picture(1), "train/metadata.csv": "file_name"},
        "splits test, train where",
    ),
    "beside others": (
        {**IN_SPLITS, "unlabelled/0.png": picture(0)},
        "splits Test, train beside unlabelled where",
    ),
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("name", NO_CLASSES)
def test_folders_of_splits_are_no_classes(tmp_path: Path, name: str, kind: str) -> None:
    files, message = NO_CLASSES[name]
    write = write_zip if kind == "zip" else write_files
    with pytest.raises(DataError, match=message):
        open_data(f"{kind}:{write(tmp_path / 'data', files)}")


def test_a_train_is_a_class_beside_ships(tmp_path: Path) -> None:
    files = {
        f"{name}/{kind}/{i}.png": picture(i)
        for name in ("train", "ship")
        for i, kind in enumerate(("old", "new"))
    }
    assert open_data(f"folder:{write_files(tmp_path, files)}").classes == ("ship", "train")


def test_folders_that_hold_everything_are_passed_over(tmp_path: Path) -> None:
    files = {f"orl/images/{name}": data for name, data in CLASS_FOLDERS.items()}
    data = open_data(f"zip:{write_zip(tmp_path / 'z.zip', {'orl/README.txt': 'x', **files})}")
    assert data.classes == ("A", "皖")
    assert data.names[0] == "orl/images/A/0.png"
    split = {f"set/train/{name}": data for name, data in CLASS_FOLDERS.items()}
    split["set/test/A/t.png"] = picture(1)
    data = open_data(f"folder:{write_files(tmp_path / 'f', split)}")
    assert data.classes == ("A", "皖")
    assert [int(np.sum(data.splits == name)) for name in ("train", "test")] == [12, 1]
    (tmp_path / "f" / "set" / "train" / "京").mkdir()
    with pytest.raises(DataError, match="got none for 京"):
        open_data(f"folder:{tmp_path / 'f'}")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_systems_and_programs_leave_is_no_image(tmp_path: Path, kind: str) -> None:
    litter: dict[str, bytes | str] = {
        "__MACOSX/A/._0.png": b"fork",
        "A/._0.png": b"fork",
        "A/.DS_Store": b"store",
        "皖/__MACOSX/._1.png": b"fork",
        ".ipynb_checkpoints/0-checkpoint.png": picture(0),
        "A/.ipynb_checkpoints/0-checkpoint.png": picture(0),
        "A/@eaDir/0.png": picture(0),
    }
    write = write_zip if kind == "zip" else write_files
    plain = write(tmp_path / "plain", CLASS_FOLDERS)
    littered = write(tmp_path / "littered", CLASS_FOLDERS | litter)
    expected, data = open_data(f"{kind}:{plain}"), open_data(f"{kind}:{littered}")
    assert data.classes == expected.classes
    np.testing.assert_array_equal(data.images(range(12)), expected.images(range(12)))
    assert len(data) == 12


def test_zip_and_folder_of_the_same_files_agree_in_everything(tmp_path: Path) -> None:
    folder = open_data(f"folder:{write_files(tmp_path / 'f', CLASS_FOLDERS)}")
    archive = open_data(f"zip:{write_zip(tmp_path / 'z.zip', CLASS_FOLDERS)}")
    assert folder.names == archive.names
    assert folder.digest() == archive.digest()
    assert folder.splits.tolist() == archive.splits.tolist()
    np.testing.assert_array_equal(folder.images(), archive.images())


def test_manifest_of_an_export_tells_labels_that_are_no_folder_names(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"%2F/a.png": picture(1), "B/b.png": picture(2)}
    rows = [{"file": "%2F/a.png", "label": "/"}, {"file": "B/b.png", "label": "B"}]
    files["manifest.jsonl"] = "\n".join(map(json.dumps, rows))
    assert open_data(f"folder:{write_files(tmp_path, files)}").classes == ("/", "B")


BAD_FOLDERS: dict[str, tuple[dict[str, bytes | str], str]] = {
    "empty": ({"readme.txt": "nothing"}, "no image"),
    "one class": ({"A/1.png": picture(1), "A/2.png": picture(2)}, "at least two classes.*got 1"),
    "loose image": ({**CLASS_FOLDERS, "stray.png": picture(1)}, r"got stray\.png directly"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_an_unusable_folder_is_refused(tmp_path: Path, name: str) -> None:
    files, message = BAD_FOLDERS[name]
    with pytest.raises(DataError, match=message):
        open_data(f"folder:{write_files(tmp_path, files)}")


def test_a_truly_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got 0 entries and no image"):
        open_data(f"folder:{tmp_path}")


def test_a_class_folder_without_images_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, CLASS_FOLDERS)
    (tmp_path / "京").mkdir()
    with pytest.raises(DataError, match="got none for 京"):
        open_data(f"folder:{tmp_path}")
