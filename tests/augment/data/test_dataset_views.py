"""What a data set can be made from and cut into: arrays, subsets, renamed classes, digests."""

from pathlib import Path

import numpy as np

from augment.data.datasets import LabelledImages, open_data


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
