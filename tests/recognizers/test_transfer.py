from types import SimpleNamespace

import numpy as np
import pytest

from augment.errors import DataError
from recognizers import transfer
from recognizers.transfer import (
    draw_others,
    format_transfer_table,
    transfer_attribute,
    transfer_grid,
    transfer_rows,
)

COUNT = 40
HAS = np.arange(COUNT) % 2 == 0


@pytest.fixture
def faces() -> np.ndarray:
    """The upper half is who it is, the lower half 200 with the attribute and 50 without."""
    images = np.zeros((COUNT, 16, 16, 3), np.uint8)
    images[:, :8] = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 16, 3))
    images[:, 8:] = np.where(HAS, 200, 50)[:, None, None, None]
    return images


@pytest.fixture(autouse=True)
def reads_the_lower_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        transfer,
        "read_attributes",
        lambda regressor, images: np.where(images[:, 12, 8, 0] > 125, 1.0, -1.0)[:, None],
    )


def embed(images: np.ndarray) -> np.ndarray:
    vectors = images[:, :8].reshape(len(images), -1).astype(np.float32) - 127
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def move_attribute(contents: np.ndarray, styles: np.ndarray) -> np.ndarray:
    images = styles.copy()
    images[:, 8:] = contents[:, 8:]
    return images


def measure(combine, faces) -> dict[tuple[bool, bool], transfer.TransferRow]:
    rows = transfer_rows("saae", combine, faces, HAS, SimpleNamespace(), 0, embed)
    return {(row.content, row.style): row for row in rows}


def test_a_perfect_transfer_shows_the_contents_attribute_on_the_styles_face(faces):
    rows = measure(move_attribute, faces)
    assert len(rows) == 4
    for row in rows.values():
        assert row.images == COUNT // 2
        assert row.seen == row.seen_in_contents == 1
        assert row.to_style == pytest.approx(1, abs=1e-6)
        assert row.to_content == pytest.approx(row.strangers, abs=1e-6)
        assert abs(row.strangers) < 0.2


def test_copying_the_style_transfers_nothing(faces):
    rows = measure(lambda contents, styles: styles, faces)
    assert rows[True, False].seen == rows[False, True].seen == 0
    assert rows[True, True].seen == 1
    assert rows[True, False].seen_in_styles == 0


def test_copying_the_content_keeps_the_wrong_face(faces):
    rows = measure(lambda contents, styles: contents, faces)
    assert rows[True, False].seen == 1
    assert rows[True, False].to_content == pytest.approx(1, abs=1e-6)
    assert abs(rows[True, False].to_style) < 0.2


def test_no_image_is_its_own_content():
    rows = np.arange(3)
    for seed in range(20):
        assert (draw_others(rows, rows, np.random.default_rng(seed)) != rows).all()


def test_images_without_the_attribute_and_with_it_are_needed(faces):
    with pytest.raises(DataError, match="got 1 and 3"):
        transfer_rows(
            "saae", move_attribute, faces[:4], np.arange(4) == 0, SimpleNamespace(), 0, embed
        )


def test_a_grid_has_contents_above_styles_to_the_left_and_their_pairs_between(faces):
    contents, styles = faces[:3], faces[4:6]
    grid = transfer_grid(move_attribute, contents, styles)
    assert grid.shape == (3 * 18 - 2, 4 * 18 - 2, 3)
    at = lambda row, column: grid[18 * row : 18 * row + 16, 18 * column : 18 * column + 16]  # noqa: E731
    assert (at(0, 0) == 255).all()
    np.testing.assert_array_equal(at(0, 2), contents[1])
    np.testing.assert_array_equal(at(2, 0), styles[1])
    np.testing.assert_array_equal(at(2, 3), move_attribute(contents[2:], styles[1:])[0])


@pytest.mark.parametrize("classes", [("a", "b"), ("no Smiling", "Smiling"), ("Eyeglasses",), ()])
def test_only_classes_made_of_one_of_the_datas_attributes_are_transferred(classes):
    assert transfer_attribute(("no Hat", "Hat"), ["Hat"], "saae") == "Hat"
    with pytest.raises(DataError, match="--attribute NAME"):
        transfer_attribute(classes, ["Eyeglasses"], "saae")


def test_the_table_names_both_sides_of_each_row(faces):
    table = format_transfer_table(list(measure(move_attribute, faces).values()))
    assert "| saae | with | without | 20 | 100.0% | 100.0% | 0.0% |" in table
