"""Layouts of text as data: where the characters of a license plate stand, and which they may be.

A layout is a TOML (or JSON) file; those beside this module are known by their names. Lengths
are in units of the file's own, for plates millimetres:

    name = "plates-xy"
    size = [440, 140]                     # width, height
    border = { inset = 5, thickness = 2 } # a line in the ink's colour; optional, as the next three
    corner_radius = 10
    dots = [{ centre = [134, 70], radius = 5 }]     # in the ink's colour
    bolts = [{ centre = [110, 12], radius = 6 }]    # metal, not always there

    [alphabets]                           # named, since positions share them
    letter = "ABCDEFGH"

    [[positions]]                         # one for each character, from left to right, in one row
    box = [15, 25, 45, 90]                # left, top, width, height
    alphabet = "letter"

    [[schemes]]                           # colours, red, green and blue, 0 to 255
    name = "blue"
    share = 1.0                           # how often
    ground = [20, 60, 170]
    ground_below = [20, 60, 170]          # optional: the ground turns to it downwards
    ink = [240, 240, 240]

A layout without positions is free text, one alphabet and ``lengths`` of random texts.
"""

import json
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from augment.config import from_mapping
from augment.data.layout_parts import (
    Border,
    Dot,
    Position,
    Scheme,
    check_plate_size,
    check_positions,
)
from augment.errors import ConfigError, LabelError

__all__ = ["EMPTY_PLACE", "LAYOUTS", "Layout", "load_layout"]

_FOLDER = Path(__file__).with_name("layouts")

LAYOUTS: tuple[str, ...] = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
"""The names of the layouts that come along."""

EMPTY_PLACE = " "
"""What stands in a text for a place of the plate that is left empty; see ``Layout.with_gaps``."""

_LONGEST_RANDOM = 256  # characters of random free text
_DEPENDENT = ("Cc", "Cf", "Cs", "Mc", "Me", "Mn", "Zl", "Zp", "Zs")
"""Categories of characters that cannot be drawn by themselves: combining or invisible."""


@dataclass(frozen=True)
class Layout:
    """A plate's geometry, alphabets and colours; or free text, which has no positions.

    Attributes:
        name: what it is called.
        alphabets: the characters of each named alphabet.
        size: (width, height), in the unit of all lengths; None for free text.
        positions: of the characters, from left to right; none for free text.
        schemes: colours; at least one where there are positions.
        dots: separators in the ink's colour.
        bolts: screws that hold the plate.
        border: a line along the edge, in the ink's colour.
        corner_radius: of the plate.
        lengths: least and most characters of random free text.
    """

    also_allowed: ClassVar[str] = ""
    """What any position allows besides its alphabet."""

    name: str
    alphabets: dict[str, str]
    size: tuple[float, float] | None = None
    positions: tuple[Position, ...] = ()
    schemes: tuple[Scheme, ...] = ()
    dots: tuple[Dot, ...] = ()
    bolts: tuple[Dot, ...] = ()
    border: Border | None = None
    corner_radius: float = 0.0
    lengths: tuple[int, int] | None = None
    allowed: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The alphabet of each position; of free text, of any position."""

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for name, alphabet in self.alphabets.items():
            if not alphabet or len(set(alphabet)) < len(alphabet) or " " in alphabet:
                raise ConfigError(
                    f"layout {self.name}: alphabet {name} must have characters, each once and no "
                    f"space, got {alphabet!r}; correct it."
                )
            dependent = [c for c in alphabet if unicodedata.category(c) in _DEPENDENT]
            if dependent:
                raise ConfigError(
                    f"layout {self.name}: characters of alphabet {name} must stand alone, got "
                    f"{dependent[0]!a} (U+{ord(dependent[0]):04X}); write composed characters "
                    "(Unicode NFC) and none that is invisible."
                )
        if self.positions:
            _check_plate(self)
            names = [position.alphabet for position in self.positions]
        else:
            _check_free(self)
            names = list(self.alphabets)
        object.__setattr__(self, "allowed", tuple(self.alphabets[name] for name in names))

    @property
    def is_free(self) -> bool:
        """Whether texts are of any length and place."""
        return not self.positions

    @property
    def alphabet(self) -> str:
        """Every character of the layout once, sorted."""
        return "".join(sorted(set("".join(self.allowed))))

    def boxes(self) -> NDArray[np.float64]:
        """Boxes of the characters: (k, 4) = left, top, right, bottom as shares of the sides."""
        return self._boxes

    @cached_property
    def _boxes(self) -> NDArray[np.float64]:
        if self.size is None:
            return np.zeros((0, 4))
        boxes = np.array([position.box for position in self.positions])
        boxes[:, 2:] += boxes[:, :2]
        boxes /= np.tile(self.size, 2)
        boxes.flags.writeable = False
        return boxes

    def random_text(self, rng: np.random.Generator) -> str:
        """Draw a text: each character uniform over what its position allows."""
        allowed = self.allowed
        if self.lengths is not None:
            allowed *= int(rng.integers(self.lengths[0], self.lengths[1] + 1))
        places = rng.random(len(allowed))
        return "".join(
            characters[int(place * len(characters))]
            for characters, place in zip(allowed, places, strict=True)
        )

    def with_gaps(self) -> "Layout":
        """The same, but texts may have ``EMPTY_PLACE`` in a position, of which nothing is drawn.

        For planting what a generator may do wrong: a character missing though the label has it.
        Random texts have no gaps; free text has no positions that could be empty.
        """
        if self.is_free:
            return self
        given = {part.name: getattr(self, part.name) for part in fields(self) if part.init}
        return _GappyLayout(**given)

    def allows(self, text: str) -> bool:
        """Whether ``check`` accepts a text."""
        return self._complaint(text) is None

    def check(self, text: str) -> None:
        """Refuse a text that the layout cannot hold; free text takes any that is not empty.

        Raises:
            LabelError: names the position, what came and what is allowed.
        """
        complaint = self._complaint(text)
        if complaint is not None:
            raise LabelError(complaint)

    def _complaint(self, text: str) -> str | None:
        if self.is_free:
            return (
                None if text else f"{self.name}: expected a text, got an empty one; leave it out."
            )
        if len(text) != len(self.positions):
            return (
                f"{self.name} has {len(self.positions)} characters, got {len(text)} in {text!r}; "
                "correct the text or choose another layout, and a bundle trained for it."
            )
        for place, (character, allowed) in enumerate(zip(text, self.allowed, strict=True)):
            if character not in allowed and character not in self.also_allowed:
                return (
                    f"{self.name}: position {place + 1} must be one of {allowed}, got "
                    f"{character!r} in {text!r}; correct the text or choose another layout, and a "
                    "bundle trained for it."
                )
        return None


class _GappyLayout(Layout):
    """A layout whose texts may leave positions empty."""

    also_allowed = EMPTY_PLACE


def load_layout(name_or_path: str | Path) -> Layout:
    """Load a layout that comes along, by its name, or the user's TOML or JSON file.

    Raises:
        ConfigError: no such layout, an unreadable file, an unknown or missing key, an empty
            alphabet, boxes that overlap, leave the plate, are not in order or cannot be seen.
    """
    known = str(name_or_path) in LAYOUTS
    path = _FOLDER / f"{name_or_path}.toml" if known else Path(name_or_path)
    if path.suffix in (".toml", ".json") and not path.is_file():
        raise ConfigError(f"expected a layout file, got {path}, which is none; check the path.")
    if path.suffix not in (".toml", ".json"):
        raise ConfigError(
            f"expected a layout, {', '.join(LAYOUTS)}, or a .toml or .json file; "
            f"got {str(name_or_path)!r}."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        mapping: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise ConfigError(f"expected a layout that can be read, got {error}.") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not in its language
        kind = path.suffix[1:].upper()
        raise ConfigError(f"{path}: expected {kind} in UTF-8, got {error}.") from error
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{path}: expected a table of settings, got {mapping!r}.")
    try:
        return from_mapping(Layout, mapping)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _check_free(layout: Layout) -> None:
    least, most = layout.lengths or (0, 0)
    if not 1 <= least <= most <= _LONGEST_RANDOM:
        raise ConfigError(
            f"layout {layout.name} has no positions, so it is free text and needs lengths = "
            f"[least, most] with 1 <= least <= most <= {_LONGEST_RANDOM}, got {layout.lengths}."
        )
    if len(layout.alphabets) != 1:
        raise ConfigError(
            f"layout {layout.name}: free text needs one alphabet, got {len(layout.alphabets)}."
        )
    if layout.size or layout.schemes or layout.dots or layout.bolts or layout.border:
        raise ConfigError(
            f"layout {layout.name} has no positions; size, schemes, dots, bolts and border are for "
            "layouts that have. Add positions or leave them out."
        )


def _check_plate(layout: Layout) -> None:
    if layout.lengths is not None:
        raise ConfigError(
            f"layout {layout.name}: lengths is for free text, but there are positions; drop one."
        )
    size = check_plate_size(
        layout.name,
        layout.size,
        corner_radius=layout.corner_radius,
        border=layout.border,
        dots=layout.dots,
        bolts=layout.bolts,
    )
    if not layout.schemes:
        raise ConfigError(f"layout {layout.name} needs a scheme of colours; write [[schemes]].")
    check_positions(
        layout.name, layout.positions, size, alphabets=layout.alphabets, dots=layout.dots
    )
