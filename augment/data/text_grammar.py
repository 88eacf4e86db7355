r"""Patterns of texts, in a small part of the language of regular expressions.

    abc          these characters; any other than \ [ ] { } ( ) | ? * + . ^ $ stands for itself
    \d           a digit; before any other character \ takes away its meaning: \? \[ \\
    [A-Z05]      one of a set of characters and ranges
    (RED|BLUE)   one of several patterns
    X{3} X{2,4}  the character, set or group before it three times, two to four times
    X?           once or not at all

Other habits of regular expressions, unescaped * + . ^ $ and a set that begins with ^, are refused.
``[A-Z]{2}-\d{3,4}`` gives HK-201 or AB-9314. Alternatives, numbers of repeats and characters
of a set are equally likely.
"""

from collections.abc import Callable

import numpy as np

from augment.errors import ConfigError

__all__ = ["DEEPEST", "LONGEST_TEXT", "parse_grammar"]

LONGEST_TEXT = 256
"""Characters that a pattern may give at most."""

DEEPEST = 32
"""Brackets that a pattern may have inside one another."""

_DIGITS = "0123456789"
_MOST_DIGITS = 6  # of a number of repeats
_SPECIAL = "\\[]{}()|?"
_FOREIGN = "*+.^$"  # of regular expressions, not of these patterns

Draw = Callable[[np.random.Generator], str]
Part = tuple[Draw, int, int]  # how to draw it, the lengths of its shortest and longest text


def parse_grammar(pattern: str) -> Draw:
    """Read a pattern.

    Args:
        pattern: as above.

    Returns:
        A function that draws a text of the pattern.

    Raises:
        ConfigError: names the place and what is wrong there.
    """
    parser = _Parser(pattern)
    draw, shortest, longest = parser.alternatives()
    if parser.place < len(pattern):
        raise parser.error("closes nothing")
    if not 0 < shortest <= longest <= LONGEST_TEXT:
        raise ConfigError(
            f"grammar {pattern!r} must give texts of 1 to {LONGEST_TEXT} characters, its shortest "
            f"has {shortest} and its longest {longest}; correct it."
        )
    return draw


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.place = 0
        self.depth = 0

    def error(self, what: str) -> ConfigError:
        shown = self.pattern[self.place : self.place + 1] or "the end"
        return ConfigError(
            f"grammar {self.pattern!r}, position {self.place + 1}: {shown} {what}; write \\ before "
            "a character that stands for itself."
        )

    def next(self) -> str:
        """The character at hand; empty at the end."""
        return self.pattern[self.place : self.place + 1]

    def take(self) -> str:
        character = self.next()
        self.place += 1
        return character

    def alternatives(self) -> Part:
        parts = [self.sequence()]
        while self.next() == "|":
            self.take()
            parts.append(self.sequence())
        if len(parts) == 1:
            return parts[0]
        draws, least, most = zip(*parts, strict=True)
        return lambda rng: draws[rng.integers(len(draws))](rng), min(least), max(most)

    def sequence(self) -> Part:
        parts = []
        while self.next() not in ("", "|", ")"):
            parts.append(self.repeated())
        draws = [draw for draw, _, _ in parts]
        shortest, longest = sum(least for _, least, _ in parts), sum(most for _, _, most in parts)
        return lambda rng: "".join(draw(rng) for draw in draws), shortest, longest

    def repeated(self) -> Part:
        draw, shortest, longest = part = self.single()
        if self.next() == "?":
            self.take()
            least, most = 0, 1
        elif self.next() == "{":
            least, most = self.counts()
        else:
            return part

        if not longest:
            return part  # nothing, however often

        def draw_all(rng: np.random.Generator) -> str:
            return "".join(draw(rng) for _ in range(rng.integers(least, most + 1)))

        return draw_all, least * shortest, most * longest

    def counts(self) -> tuple[int, int]:
        end = self.pattern.find("}", self.place)
        inside = self.pattern[self.place + 1 : end] if end >= 0 else ""
        numbers = inside.split(",")
        plain = all(
            number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
            for number in numbers
        )
        if not plain or len(numbers) > 2 or int(numbers[0]) > int(numbers[-1]):
            raise self.error(f"must begin {{n}} or {{n,m}} with n <= m < {10**_MOST_DIGITS}")
        self.place = end + 1
        return int(numbers[0]), int(numbers[-1])

    def single(self) -> Part:
        character = self.next()
        if character == "(":
            if self.depth == DEEPEST:
                raise self.error(f"is one bracket too many inside {DEEPEST} others")
            self.depth += 1
            self.take()
            part = self.alternatives()
            if self.next() != ")":
                raise self.error("comes where ) is missing")
            self.take()
            self.depth -= 1
            return part
        if character == "[":
            return _one_of(self.set())
        if character == "\\":
            return _one_of(self.escaped())
        if character in _SPECIAL:
            raise self.error("has nothing to belong to")
        if character in _FOREIGN:
            raise self.error("has no meaning in these patterns")
        return _one_of(self.take())

    def escaped(self) -> str:
        self.take()
        if not self.next():
            raise self.error("must be the character that \\ belongs to")
        character = self.take()
        if character == "d":
            return _DIGITS
        if character.isalnum():
            self.place -= 1
            raise self.error("means nothing after \\")
        return character

    def set(self) -> str:
        """The characters between [ and ], each once."""
        self.take()
        if self.next() == "^":
            raise self.error("cannot begin a set, which names what it allows")
        found = ""
        while self.next() != "]":
            if not self.next():
                raise self.error("comes where ] is missing")
            first = self.escaped() if self.next() == "\\" else self.take()
            following = self.pattern[self.place + 1 : self.place + 2]
            if self.next() == "-" and following not in ("", "]"):
                self.take()
                last = self.escaped() if self.next() == "\\" else self.take()
                if len(first + last) > 2:
                    self.place -= 1
                    raise self.error("ends a range of which an end is \\d, ten digits")
                if ord(first) > ord(last):
                    self.place -= 1
                    raise self.error("ends a range that does not rise")
                first = "".join(map(chr, range(ord(first), ord(last) + 1)))
            found += first
        if not found:
            raise self.error("closes a set of nothing")
        self.take()
        return "".join(dict.fromkeys(found))


def _one_of(characters: str) -> Part:
    if len(characters) == 1:
        return lambda rng: characters, 1, 1
    return lambda rng: characters[rng.integers(len(characters))], 1, 1
