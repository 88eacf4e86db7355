"""The recognizer that a generator of lines listens to while it is trained, by its CTC term.

It is never one that reads lines back. A generator learns to please the recognizer it hears, also
where that is wrong; read back by the same weights, lines would only be told that they please.
So the listener is trained for this alone, from a seed of its own, and looks along the line by
convolutions where readers have an LSTM. It has read the same real lines as they have, so what
all recognizers of these lines get wrong stays unnoticed; compare without ``recognizer_weight``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from augment.models.line_saae import SILENT, UNREAD, LineSAAE
from recognizers.charset import Charset
from recognizers.scene_text import TextConfig, TextRecognizer

__all__ = ["Listener", "listener_size", "listens", "numbers_of"]


@dataclass(frozen=True)
class Listener:
    """A trained recognizer, and what it calls the characters of a generator.

    Attributes:
        recognizer: reads lines of the generator's height.
        numbers: see ``numbers_of``.
    """

    recognizer: TextRecognizer
    numbers: tuple[int, ...]

    def prepare(self, model: nn.Module) -> None:
        """Have a generator listen; for ``augment.generators.base.train_generator``."""
        assert isinstance(model, LineSAAE), "no other generator listens"
        model.listen_to(self.recognizer, self.numbers)


def listens(model: Any) -> bool:
    """Whether a generator's settings ask for a recognizer to listen to."""
    return getattr(model, "recognizer_weight", 0.0) > 0


def listener_size(reader: TextConfig) -> TextConfig:
    """The size of a listener beside readers of some size.

    Convolutions also because cuDNN's LSTM has no backward pass in eval mode.
    """
    return replace(reader, head="conv")


def numbers_of(characters: Sequence[str], charset: Charset) -> tuple[int, ...]:
    """Class of each character, above 0; SILENT of spaces, UNREAD of what the charset lacks."""
    return tuple(_number_of(character, charset) for character in characters)


def _number_of(character: str, charset: Charset) -> int:
    if character.isspace():
        return SILENT
    return int(charset.encode([character])[0][0][0]) if charset.knows(character) else UNREAD
