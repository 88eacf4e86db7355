import numpy as np
import pytest

from augment.errors import DataError
from recognizers.metrics import accuracy, balanced_accuracy, confusion, score, worst_pairs

# Class 0: three of four right. Class 1: one of two right. Class 2: its only image is wrong.
LABELS = np.array([0, 0, 0, 0, 1, 1, 2])
READ = np.array([0, 0, 0, 1, 1, 0, 1])


def test_accuracy_counts_images():
    assert accuracy(READ, LABELS) == pytest.approx(4 / 7)


def test_balanced_accuracy_counts_classes():
    assert balanced_accuracy(READ, LABELS) == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)


def test_focus_leaves_the_other_classes_out():
    assert accuracy(READ, LABELS, focus=(0, 2)) == pytest.approx(3 / 5)
    assert balanced_accuracy(READ, LABELS, focus=(0, 2)) == pytest.approx((3 / 4 + 0) / 2)


def test_score_finds_the_metric_by_name():
    assert score("accuracy", READ, LABELS) == accuracy(READ, LABELS)
    assert score("balanced_accuracy", READ, LABELS) == balanced_accuracy(READ, LABELS)


def test_confusion_has_true_classes_in_rows():
    assert confusion(READ, LABELS, 4).tolist() == [
        [3, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
    ]


def test_worst_pairs_are_sorted_and_never_on_the_diagonal():
    matrix = np.array([[9, 2, 0], [5, 9, 0], [0, 1, 9]])
    assert worst_pairs(matrix, most=10) == [(1, 0), (0, 1), (2, 1)]
    assert worst_pairs(matrix, most=1) == [(1, 0)]


def test_predictions_of_another_length_are_refused():
    with pytest.raises(DataError, match="each of 7 labels, got 6"):
        accuracy(READ[:-1], LABELS)


def test_a_focus_without_images_is_refused():
    with pytest.raises(DataError, match="got none"):
        balanced_accuracy(READ, LABELS, focus=(3,))
