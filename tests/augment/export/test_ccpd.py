from pathlib import Path

import cv2
import numpy as np
import pytest

from augment.data.ccpd import PlateName, parse_name, plate_indices
from augment.errors import DataError, LabelError
from augment.export import WRITERS, Record

PUBLISHED = (
    "025-95_113-154&383_386&473-386&473_177&454_154&383_363&402-0_0_22_27_27_33_16-37-15.jpg"
)


def plate(level: int) -> bytes:
    _, data = cv2.imencode(".png", np.full((24, 94, 3), level, np.uint8))
    return bytes(data.tobytes())


def test_the_published_example_reads_as_its_plate() -> None:
    assert parse_name(f"ccpd_base/{PUBLISHED}") == PlateName("皖AY339S", (154, 383, 386, 473))


def test_a_plate_is_named_with_the_whole_image_as_its_box(tmp_path: Path) -> None:
    with WRITERS["ccpd"](tmp_path / "out") as writer:
        writer.add(Record(plate(131), "皖AY339S", 0, seed=1))
        writer.add(Record(plate(131), "皖AY339S", 1, seed=1))
        writer.add(Record(plate(10), "京AD12345", 0, seed=1))
    box = "1000-90_90-0&0_94&24-94&24_0&24_0&0_94&0"
    name = f"{box}-0_0_22_27_27_33_16-131-0.jpg"
    green = f"{box}-12_0_3_25_26_27_28_29-10-0.jpg"
    files = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").glob("*/*.jpg"))
    assert [str(file) for file in files] == [f"0/{name}", f"0/{green}", f"1/{name}"]
    assert parse_name(name) == PlateName("皖AY339S", (0, 0, 94, 24))
    assert parse_name(green).text == "京AD12345"


@pytest.mark.parametrize(
    "text",
    ["", "皖A", "皖AY339", "皖AY339S12", "XAY339S", "皖AY339O", "皖AI339S", "皖01339S", "皖Ay339S"],
)
def test_what_is_no_plate_of_its_alphabets_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"ccpd names Chinese plates: a province \(皖沪"):
        plate_indices(text)
    with pytest.raises(LabelError), WRITERS["ccpd"](tmp_path / "out") as writer:
        writer.add(Record(plate(0), text, 0, seed=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("-37-15", "-37"), "seven fields"),
        (("0_0_22", "34_0_22"), "within CCPD's alphabets"),
        (("_33_16", "_33"), "7 or 8 indices"),
        (("386&473-", "154&473-"), "not empty"),
    ],
)
def test_a_name_that_breaks_the_rules_is_named(change: tuple[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_name(PUBLISHED.replace(*change))
