"""The characters a text recognizer is trained to read, and those that its mistakes are counted in.

The two alphabets are kept apart: a recognizer may read 62 characters and be compared in 36. An
alphabet without capital letters stands for both cases: texts are put in lower case first. White
space between words is not read.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from augment.errors import ConfigError, LabelError

__all__ = ["ALPHANUMERIC", "BLANK", "PLATES_CN", "WORDS", "Charset", "fold"]

BLANK = 0
"""The class that says nothing (CTC); character i of an alphabet is class i + 1."""

ALPHANUMERIC = string.digits + string.ascii_lowercase
"""Ten digits, and 26 letters in either case."""
_PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"
_OTHERS_ON_PLATES = "港澳使领学警挂军空海未甲"


@dataclass(frozen=True)
class Charset:
    """The alphabets of training and of evaluation.

    Attributes:
        training: characters that are read; a text with any other cannot be trained on.
        evaluation: characters that count when texts are compared, others are passed over; "" =
            those of ``training``.
    """

    training: str
    evaluation: str = ""

    def __post_init__(self) -> None:
        """Check that there are characters, each once, that can be told apart."""
        for name in ("training", "evaluation"):
            alphabet = getattr(self, name)
            doubled = sorted({c for c in alphabet if alphabet.count(c) > 1})
            if doubled or any(c.isspace() for c in alphabet):
                told = f"{''.join(doubled)!r} twice" if doubled else "white space"
                raise ConfigError(f"expected different, visible characters in {name}, got {told}.")
        if not self.training:
            raise ConfigError("expected characters in training, got none; list what is read.")

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Charset":
        """The characters that occur in ``texts``, told apart in case."""
        return cls("".join(sorted(set("".join(texts)))))

    @property
    def num_classes(self) -> int:
        """Characters that are read, and the blank."""
        return 1 + len(self.training)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Texts to classes.

        Returns:
            targets: (N, longest) classes, the blank after a text's end.
            lengths: (N,) characters of each text.

        Raises:
            LabelError: a text is empty or has a character outside the training alphabet.
        """
        number = {character: index for index, character in enumerate(self.training, start=1)}
        folded = [_folded(text, self.training) for text in texts]
        lengths = np.array([len(text) for text in folded], np.int64)
        targets = np.full((len(folded), int(lengths.max(initial=0))), BLANK, np.int64)
        for row, text in enumerate(folded):
            if not text:
                raise LabelError(f"expected a text, got an empty one at index {row}; leave it out.")
            if unknown := sorted(set(text) - number.keys()):
                raise LabelError(
                    f"expected characters of {self.training!r}, got {''.join(unknown)!r} in "
                    f"{texts[row]!r} at index {row}; leave the text out or add to the alphabet."
                )
            targets[row, : len(text)] = [number[character] for character in text]
        return targets, lengths

    def knows(self, text: str) -> bool:
        """Whether ``encode`` takes the text."""
        folded = _folded(text, self.training)
        return bool(folded) and set(folded) <= set(self.training)

    def decode(self, classes: Sequence[int] | NDArray[np.int64]) -> str:
        """Classes to text; blanks are left out."""
        return "".join(self.training[index - 1] for index in classes if index != BLANK)

    def collapse(self, path: Sequence[int] | NDArray[np.int64]) -> str:
        """One class a column to text: repeats are merged, then blanks left out (CTC's B)."""
        return self.decode([index for index, _ in groupby(path)])

    def comparable(self, text: str) -> str:
        """What counts of a text when it is compared with another."""
        counted = self.evaluation or self.training
        return "".join(character for character in _folded(text, counted) if character in counted)


def fold(text: str) -> str:
    """Text without white space and in lower case, each character by itself.

    Unlike ``str.lower`` this does not look at neighbours: a final sigma is a sigma as any other,
    so that texts and the alphabet gathered from them agree.
    """
    return "".join(character.lower().replace("ς", "σ") for character in "".join(text.split()))


def _folded(text: str, alphabet: str) -> str:
    return fold(text) if alphabet == fold(alphabet) else "".join(text.split())


WORDS = Charset(ALPHANUMERIC)
"""The protocol of scene-text benchmarks: letters in either case and digits."""
PLATES_CN = Charset(string.digits + string.ascii_uppercase + _PROVINCES + _OTHERS_ON_PLATES)
"""What Chinese plates show."""
