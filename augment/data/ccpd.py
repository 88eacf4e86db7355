"""CCPD's file names, which say all there is to say of a picture of a Chinese plate.

Xu et al., "Towards End-to-End License Plate Detection and Recognition: A Large Dataset and
Baseline", ECCV 2018. Seven fields: area, tilt, box, vertices, characters, brightness, blur:

    025-95_113-154&383_386&473-386&473_177&454_154&383_363&402-0_0_22_27_27_33_16-37-15.jpg
"""

import posixpath
import re
from dataclasses import dataclass

from augment.errors import DataError, LabelError

__all__ = ["ALPHABETS", "PlateName", "parse_name", "plate_indices"]

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_PROVINCES = "皖沪津渝冀晋蒙辽吉黑苏浙京闽赣鲁豫鄂湘粤桂琼川贵云藏陕甘青宁新警学"
_NOTHING = "O"  # ends each list and stands for no character: plates have neither O nor I

ALPHABETS = tuple(
    letters + _NOTHING for letters in (_PROVINCES, _LETTERS, *[_LETTERS + "0123456789"] * 6)
)
"""The characters of a plate's first to eighth place, by index; ordinary plates have seven."""

_LENGTHS = (7, 8)
_NAME = re.compile(
    r"\d+-\d+_\d+-(?P<box>\d+&\d+_\d+&\d+)-\d+&\d+(?:_\d+&\d+){3}-(?P<indices>\d+(?:_\d+)*)"
    r"-\d+-\d+\.\w+"
)


@dataclass(frozen=True)
class PlateName:
    """What a name says: the plate's text, and its box (left, top, right, bottom) in pixels."""

    text: str
    box: tuple[int, int, int, int]


def parse_name(file: str) -> PlateName:
    """Read a file's name, wherever it lies.

    Raises:
        DataError: it has other fields, an index outside its alphabet or an empty box.
    """
    match = _NAME.fullmatch(posixpath.basename(file))
    if match is None:
        raise DataError(
            "expected a name of CCPD's seven fields (area-tilt-box-vertices-characters-"
            f"brightness-blur), got {file}; move it away."
        )
    indices = [int(number) for number in match["indices"].split("_")]
    fits = len(indices) in _LENGTHS and all(
        number < len(alphabet) for number, alphabet in zip(indices, ALPHABETS, strict=False)
    )
    left, top, right, bottom = (int(number) for number in re.split("[_&]", match["box"]))
    if not fits or right <= left or bottom <= top:
        raise DataError(
            f"expected 7 or 8 indices within CCPD's alphabets and a box that is not empty, got "
            f"{file}; move it away."
        )
    characters = (alphabet[number] for number, alphabet in zip(indices, ALPHABETS, strict=False))
    text = "".join(characters).replace(_NOTHING, "")
    return PlateName(text, (left, top, right, bottom))


def plate_indices(text: str) -> list[int]:
    """Return the index of each character of a plate.

    Raises:
        LabelError: not seven or eight characters, or one that its place does not know.
    """
    known = len(text) in _LENGTHS and all(
        character != _NOTHING and character in alphabet
        for character, alphabet in zip(text, ALPHABETS, strict=False)
    )
    if not known:
        raise LabelError(
            f"the layout ccpd names Chinese plates: a province ({_PROVINCES}), a letter and five "
            f"or six letters or digits, neither I nor O; got {text[:40]!r}."
        )
    return [alphabet.index(character) for character, alphabet in zip(text, ALPHABETS, strict=False)]
