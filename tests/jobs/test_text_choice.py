from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.data.layouts import load_layout
from augment.data.texts import Lines, LineShape
from augment.errors import ConfigError, DataError, LabelError, RequestError
from augment.images import encode_png
from jobs.text_choice import choose_texts
from recognizers.charset import Charset
from recognizers.ctc import Readings

PLATES = load_layout("plates-cn")


def csv_of(folder: Path, split: str, texts: list[str]) -> str:
    """Lines without ink that say these texts."""
    rows = ["file,text,split"]
    for number, text in enumerate(texts):
        name = f"{split}{number}.png"
        (folder / name).write_bytes(encode_png(np.full((32, 96, 3), 90, np.uint8)))
        rows.append(f"{name},{text},{split}")
    (folder / f"{split}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return f"csv:{folder / f'{split}.csv'}"


class Misreader:
    """Reads every 8 as a B, loses every 1, and is right on the rest."""

    charset = Charset("".join(sorted(PLATES.alphabet)))
    shape = LineShape(height=32, least_width=96, most_width=96, channels=3)

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def read(self, lines: Lines) -> Readings:
        assert len(lines.pixels) == len(self.texts)
        read = [text.replace("8", "B").replace("1", "") for text in self.texts]
        return Readings(read, np.ones(len(read), np.float32))


def counted(source: str, reader: Any = None) -> Counter[str]:
    text_of = choose_texts(source, PLATES, 0, reader=reader)
    return Counter("".join(text_of(index) for index in range(600)))


def test_characters_that_are_rare_in_real_lines_are_written_more_often(tmp_path: Path) -> None:
    uri = csv_of(tmp_path, "train", ["京A01234", "京B56890", "京CDEFGH"] * 10)
    rare, usual = counted(f"rare:{uri}"), counted("uniform")
    assert rare["京"] < usual["京"] / 2
    assert rare["7"] / rare["8"] > 1.5 * usual["7"] / usual["8"]


def test_characters_that_the_bundles_reader_confuses_are_written_more_often(
    tmp_path: Path,
) -> None:
    texts = ["京A12345", "京A67890", "沪B24680", "沪B13579"]
    uri = csv_of(tmp_path, "val", texts)
    confused, usual = counted(f"confused:{uri}", Misreader(texts)), counted("uniform")
    for character in "81B":
        assert confused[character] > 1.5 * usual[character], character
    assert confused["7"] < usual["7"]


def test_a_character_that_was_read_though_never_written_counts_as_confused(tmp_path: Path) -> None:
    texts = ["京A88888", "京A80000"]
    confused = counted(f"confused:{csv_of(tmp_path, 'val', texts)}", Misreader(texts))
    assert confused["B"] > 2 * confused["C"] > 0
    assert confused["8"] > 1.5 * confused["0"]


def test_lines_of_other_characters_say_nothing_of_what_is_rare(tmp_path: Path) -> None:
    uri = csv_of(tmp_path, "train", ["Снег", "улица"])
    with pytest.raises(DataError, match=r"characters of layout plates-cn in .*, got 'Сагеилнуц'"):
        choose_texts(f"rare:{uri}", PLATES, 0)


def test_nothing_is_confused_where_there_is_no_reader(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="take rare:URI"):
        choose_texts("confused:csv:labels.csv", PLATES, 0)


def test_lines_without_the_split_that_is_looked_at_are_refused(tmp_path: Path) -> None:
    uri = csv_of(tmp_path, "train", ["京A12345"])
    with pytest.raises(DataError, match="val"):
        choose_texts(f"confused:{uri}", PLATES, 0, reader=Misreader([]))


def test_random_texts_that_cannot_be_written_are_drawn_again(tmp_path: Path) -> None:
    rare = f"rare:{csv_of(tmp_path, 'train', ['京A12345'])}"
    texts = ["京A12345", "沪B67890"]
    confused = f"confused:{csv_of(tmp_path, 'val', texts)}"

    def check(text: str) -> None:
        if "8" in text:
            raise RequestError("an 8.")

    for source in ("uniform", rare, confused):
        free = choose_texts(source, PLATES, 0, reader=Misreader(texts))
        text_of = choose_texts(source, PLATES, 0, check, Misreader(texts))
        drawn = [text_of(index) for index in range(60)]
        assert not any("8" in text for text in drawn)
        assert {free(i) == text for i, text in enumerate(drawn) if "8" not in free(i)} == {True}


def test_texts_that_can_never_be_written_are_an_error_that_says_why() -> None:
    def check(text: str) -> None:
        raise RequestError("too wide.")

    with pytest.raises(LabelError, match=r"none of 100 .* plates-cn .* the last as too wide\."):
        choose_texts("uniform", PLATES, 0, check)(0)
