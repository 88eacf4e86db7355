"""What a data set can be made from and cut into: arrays, subsets, renamed classes, digests."""

import logging
from pathlib import Path

import numpy as np
import pytest

from augment.data.datasets import LabelledImages, open_data
from augment.errors import DataError


def test_subset_keeps_classes_and_order() -> None:
    data = open_data("digits:")
    part = data.subset([5, 1, 5])
    assert part.classes == data.classes
    assert part.labels.tolist() == data.labels[[5, 1, 5]].tolist()
    np.testing.assert_array_equal(part.images(), data.images([5, 1, 5]))


def test_relabel_merges_renames_and_leaves_out() -> None:
    data = open_data("digits:")
    part = data.relabel({"7": "seven", "1": "low", "0": "low"})
    assert part.classes == ("seven", "low")
    assert len(part) == int(np.isin(data.labels, [0, 1, 7]).sum())
    kept = data.subset(np.flatnonzero(np.isin(data.labels, [0, 1, 7])))
    assert ((kept.labels == 7) == (part.labels == 0)).all()
    np.testing.assert_array_equal(kept.images(), part.images())


def test_digest_sees_pixels_labels_and_names(tmp_path: Path) -> None:
    images = np.zeros((4, 3, 3, 1), np.uint8)
    labels = np.array([0, 1, 0, 1])
    digest = LabelledImages.from_arrays(images, labels, "AB").digest()
    assert digest == LabelledImages.from_arrays(images.copy(), labels, "AB").digest()
    changed = images.copy()
    changed[2, 1, 1] = 1
    others = [
        LabelledImages.from_arrays(changed, labels, "AB"),
        LabelledImages.from_arrays(images, labels[::-1].copy(), "AB"),
        LabelledImages.from_arrays(images, labels, "AC"),
        LabelledImages.from_arrays(images[:3], labels[:3], "AB"),
    ]
    assert len({digest, *(other.digest() for other in others)}) == 5


# Attributes


Rows = tuple[tuple[int, ...], ...]


def with_attributes(
    values: Rows = ((1, -1), (-1, -1), (1, 1)), names: str = "ab"
) -> LabelledImages:
    images = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    return LabelledImages.from_arrays(
        images,
        np.array([0, 1, 0]),
        "AB",
        splits=["train", "train", "test"],
        attributes=np.array(values),
        attribute_names=tuple(names),
    )


def test_attributes_follow_their_images_through_every_view() -> None:
    data = with_attributes()
    assert data.attributes is not None
    assert data.attributes.dtype == np.int8
    for view, expected in (
        (data.subset([2, 0]), [[1, 1], [1, -1]]),
        (data.split("test"), [[1, 1]]),
        (data.relabel({"B": "b"}), [[-1, -1]]),
    ):
        assert view.attributes is not None
        assert view.attributes.tolist() == expected
        assert view.attribute_names == ("a", "b")


def test_an_attribute_makes_two_classes_of_any_images() -> None:
    data = with_attributes()
    assert data.attributes is not None
    halves = data.by_attribute("b")
    assert halves.classes == ("no b", "b")
    assert halves.labels.tolist() == (data.attributes[:, 1] > 0).astype(int).tolist()
    np.testing.assert_array_equal(halves.images(), data.images())
    assert halves.attribute_names == ("a", "b")
    with pytest.raises(DataError, match="one of the attributes a, b; got 'c'"):
        data.by_attribute("c")


def test_images_without_attributes_say_so() -> None:
    data = open_data("digits:").subset([0, 1])
    assert data.attributes is None
    assert data.attribute_names == ()


def test_digest_sees_attributes_and_their_names() -> None:
    plain = LabelledImages.from_arrays(np.zeros((3, 4, 4, 1), np.uint8), np.array([0, 1, 0]), "AB")
    variants = [
        with_attributes(),
        with_attributes(((1, -1), (-1, -1), (1, -1))),
        with_attributes(names="ac"),
        plain,
    ]
    assert len({data.digest() for data in variants}) == 4


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        (((1, -1), (-1, 1)), "ab", r"shape \(3, 2\).*got \(2, 2\)"),
        (((1, -1), (-1, 1), (1, 1)), "a", r"shape \(3, 1\).*got \(3, 2\)"),
        (((1, -1), (-1, 1), (1, 1)), "aa", "unique names a, a"),
        (((1, -1), (-1, 0), (1, 7)), "ab", "must be -1 or 1, got 0, 7"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(values: Rows, names: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_attributes(values, names)


def test_attribute_names_without_attributes_are_refused() -> None:
    with pytest.raises(DataError, match="unique names a; got"):
        LabelledImages.from_arrays(
            np.zeros((1, 4, 4, 1), np.uint8), np.array([0]), "A", attribute_names=("a",)
        )


def test_hash_split_is_fixed_near_its_shares_and_by_group(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = np.zeros((4000, 2, 2, 1), np.uint8)
    groups = [f"plate{index // 4}" for index in range(4000)]
    data = LabelledImages.from_arrays(images, np.arange(4000) % 2, "AB", groups=groups)
    again = LabelledImages.from_arrays(images, np.arange(4000) % 2, "AB", groups=groups)
    assert data.splits.tolist() == again.splits.tolist()
    shares = [np.mean(data.splits == name) for name in ("train", "val", "test")]
    assert np.allclose(shares, (0.75, 0.10, 0.15), atol=0.03)
    splits_of: dict[str, set[str]] = {}
    for group, split in zip(data.groups, data.splits, strict=True):
        splits_of.setdefault(str(group), set()).add(str(split))
    assert all(len(splits) == 1 for splits in splits_of.values())
    with caplog.at_level(logging.INFO, "labelmint.data"):
        opened = open_data("digits:")
    assert opened.describe() in caplog.text
    assert opened.describe().startswith("digits: 1,797 images")
    assert "split by hash" in caplog.text


def test_hash_split_never_changes_between_versions() -> None:
    splits = open_data("digits:").splits[:8].tolist()
    assert splits == EXPECTED_DIGIT_SPLITS


EXPECTED_DIGIT_SPLITS = ["train", "val", "test", "train", "test", "val", "train", "train"]


def test_arrays_with_a_label_too_many_or_out_of_range_are_refused() -> None:
    images = np.zeros((2, 3, 3, 1), np.uint8)
    with pytest.raises(DataError, match="got 2 and 3"):
        LabelledImages.from_arrays(images, np.array([0, 1, 0]), "AB")
    with pytest.raises(DataError, match=r"\[0, 1\], got 0 to 2"):
        LabelledImages.from_arrays(images, np.array([0, 2]), "AB")


def test_parts_of_one_source_are_joined_as_splits_and_others_refused() -> None:
    pixels = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((8, 8, 1), np.uint8)
    data = LabelledImages.from_arrays(pixels, np.array([0, 1] * 3), "ab")
    parts = {"train": data.subset([4, 1]), "test": data.subset([0])}
    joined = LabelledImages.joined(parts, "two parts")
    assert joined.images()[:, 0, 0, 0].tolist() == [4, 1, 0]
    assert joined.labels.tolist() == [0, 1, 0]
    for split, part in parts.items():
        assert joined.split(split).digest() == part.digest()
        assert joined.split(split).groups.tolist() == part.groups.tolist()
    other = LabelledImages.from_arrays(pixels, np.array([0, 1] * 3), "ab")
    with pytest.raises(DataError, match="one source"):
        LabelledImages.joined({"train": data, "test": other}, "two sources")
