import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from augment.data.texts import LineShape, TextImages, open_texts
from augment.errors import ConfigError, DataError, ImageError
from augment.images import Pixels, encode_png


def picture(height: int, width: int, seed: int = 0, channels: int = 3) -> Pixels:
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Words of three pictures, one of which has words in both splits."""
    rows = ["file,text,split,source"]
    rows += ["train/7_1.png,One,train,signs", "train/7_2.png,two,train,signs"]
    rows += ["test/7_3.png,three,test,signs", "test/9_1.png,ONE,test,shops"]
    with zipfile.ZipFile(tmp_path / "words.zip", "w") as file:
        file.writestr("labels.csv", "\n".join(rows))
        for row in rows[1:]:
            file.writestr(row.split(",")[0], encode_png(picture(20, 60)))
    return tmp_path / "words.zip"


def test_texts_splits_and_sources_are_those_of_the_table(archive: Path) -> None:
    data = open_texts(f"zip:{archive}")
    assert dict(zip(data.names, data.texts, strict=True))["train/7_1.png"] == "One"
    assert data.split("test").texts == ("three", "ONE")
    assert set(data.sources) == {"signs", "shops"}
    assert "4 images of text" in data.describe()


def test_groups_are_texts_or_source_pictures_across_folders_or_images(archive: Path) -> None:
    assert list(open_texts(f"zip:{archive}").groups) == ["One", "two", "three", "ONE"]
    by_picture = open_texts(f"zip:{archive}", group_by="picture")
    assert list(by_picture.groups) == ["7", "7", "7", "9"]
    alone = open_texts(f"zip:{archive}", group_by="image")
    assert tuple(alone.groups) == alone.names


def test_without_splits_no_group_crosses_one() -> None:
    texts = [f"T{index // 3}" for index in range(90)]
    data = TextImages.from_images([picture(8, 8)] * 90, texts)
    assert set(data.splits) == {"train", "val", "test"}
    for text in set(texts):
        assert len(set(data.splits[data.groups == text])) == 1


@pytest.mark.parametrize("uri", ["words.zip", "idx:somewhere", "zip"])
def test_another_scheme_is_refused_and_the_known_ones_named(uri: str) -> None:
    with pytest.raises(DataError, match=r"csv:.*zip:"):
        open_texts(uri)


def test_an_empty_split_is_refused_with_the_sizes_there_are(archive: Path) -> None:
    with pytest.raises(DataError, match="train 2, val 0, test 2"):
        open_texts(f"zip:{archive}").split("val")


def test_lines_are_resized_whatever_their_aspect() -> None:
    data = TextImages.from_images([picture(10, 30), picture(64, 64)], ["a", "b"])
    assert data.lines().shape == (2, 32, 96, 3)
    assert data.lines([1], (16, 40), channels=1).shape == (1, 16, 40, 1)


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(32, 80, 80), (20, 60, 96), (40, 20, 48), (10, 300, 160)]
)
def test_a_width_keeps_the_aspect_within_the_range(height: int, width: int, expected: int) -> None:
    assert LineShape().width_of(height, width) == expected


def test_padding_repeats_the_last_column_and_tells_the_width() -> None:
    images = [picture(32, 64, seed=1), picture(32, 160, seed=2)]
    lines = LineShape().stack(images)
    assert lines.pixels.shape == (2, 32, 160, 3)
    assert lines.widths.tolist() == [64, 160]
    np.testing.assert_array_equal(lines.pixels[0, :, :64], images[0])
    np.testing.assert_array_equal(lines.pixels[0, :, 64:], images[0][:, -1:].repeat(96, axis=1))


def test_equal_widths_make_every_line_alike() -> None:
    data = TextImages.from_images([picture(10, 30), picture(64, 64)], ["a", "b"])
    lines = data.shaped(LineShape(least_width=96, most_width=96))
    assert lines.widths.tolist() == [96, 96]
    np.testing.assert_array_equal(lines.pixels, data.lines())


@pytest.mark.parametrize(
    "settings",
    [
        {"least_width": 50},
        {"least_width": 168},
        {"least_width": 0},
        {"height": 4},
        {"channels": 2},
    ],
)
def test_shapes_out_of_range_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"expected|must"):
        LineShape(**settings)


def test_a_subset_keeps_what_belongs_to_its_images() -> None:
    images = [picture(8, 8, seed) for seed in range(4)]
    data = TextImages.from_images(images, list("abcd"), splits=["train"] * 4, sources=list("wxyz"))
    some = data.subset([3, 1]).subset([1, 0])
    assert some.texts == ("b", "d")
    assert list(some.sources) == ["x", "z"]
    np.testing.assert_array_equal(some.images()[1], images[3])


def test_the_digest_changes_with_texts_and_pixels_only() -> None:
    images = [picture(8, 8, seed) for seed in range(2)]
    data = TextImages.from_images(images, ["a", "b"], splits=["train", "val"])
    assert data.digest() == TextImages.from_images(images, ["a", "b"]).digest()
    assert data.digest() != TextImages.from_images(images, ["a", "c"]).digest()
    assert data.digest() != TextImages.from_images(images[::-1], ["a", "b"]).digest()
    assert data.digest() != data.subset([0]).digest()


def test_a_damaged_file_is_named(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in (contents | {"train/7_1.png": b"no picture"}).items():
            file.writestr(name, data)
    with pytest.raises(ImageError, match="7_1"):
        open_texts(f"zip:{archive}").images([0])


def test_texts_can_be_sent_to_another_process(archive: Path) -> None:
    data = open_texts(f"zip:{archive}")
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again.images([2])[0], data.images([2])[0])


def test_counts_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match=r"\[1, 2\]"):
        TextImages.from_images([picture(8, 8)], ["a", "b"])
