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

    [[positions]]                         # one for each character, from left to right
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
import math
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
from augment.errors import ConfigError, LabelError

__all__ = ["EMPTY_PLACE", "LAYOUTS", "Border", "Dot", "Layout", "Position", "Scheme", "load_layout"]

_FOLDER = Path(__file__).with_name("layouts")

LAYOUTS: tuple[str, ...] = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
"""The names of the layouts that come along."""

EMPTY_PLACE = " "
"""What stands in a text for a place of the plate that is left empty; see ``Layout.with_gaps``."""

_MOST_RATIO = 16  # of a plate's sides
_MAX_POSITIONS = 64
_DEPENDENT = ("Cc", "Cf", "Cs", "Mc", "Me", "Mn", "Zl", "Zp", "Zs")
"""Categories of characters that cannot be drawn by themselves: combining or invisible."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Position:
    """Where one character stands: ``box`` = (left, top, width, height), ``alphabet`` by name."""

    box: tuple[float, float, float, float]
    alphabet: str


@dataclass(frozen=True)
class Scheme:
    """Colours of a plate, red, green and blue in 0..255, and how often it has them.

    ``ground_below`` is the ground's colour at the lower edge where that differs.
    """

    name: str
    ground: Colour
    ink: Colour
    share: float = 1.0
    ground_below: Colour | None = None

    def __post_init__(self) -> None:
        """Check ranges."""
        for colour in (self.ground, self.ink, self.ground_below or self.ground):
            if not all(0 <= level <= 255 for level in colour):
                raise ConfigError(
                    f"scheme {self.name}: colours must be in [0, 255], got {colour}; correct it."
                )
        if not 0 < self.share < math.inf:
            raise ConfigError(
                f"scheme {self.name}: share must be above 0 and finite, got {self.share}."
            )


@dataclass(frozen=True)
class Dot:
    """A round mark: ``centre`` = (x, y)."""

    centre: tuple[float, float]
    radius: float


@dataclass(frozen=True)
class Border:
    """A line along the edge, ``inset`` away from it."""

    inset: float
    thickness: float


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
                "correct the text or choose another layout."
            )
        for place, (character, allowed) in enumerate(zip(text, self.allowed, strict=True)):
            if character not in allowed and character not in self.also_allowed:
                return (
                    f"{self.name}: position {place + 1} must be one of {allowed}, got "
                    f"{character!r} in {text!r}; correct the text or choose another layout."
                )
        return None


class _GappyLayout(Layout):
    """A layout whose texts may leave positions empty."""

    also_allowed = EMPTY_PLACE


def load_layout(name_or_path: str | Path) -> Layout:
    """Load a layout that comes along, by its name, or the user's TOML or JSON file.

    Raises:
        ConfigError: no such layout, an unreadable file, an unknown key, boxes that overlap or
            leave the plate, an empty alphabet.
    """
    known = str(name_or_path) in LAYOUTS
    path = _FOLDER / f"{name_or_path}.toml" if known else Path(name_or_path)
    if path.suffix not in (".toml", ".json") or not path.is_file():
        raise ConfigError(
            f"expected a layout, {', '.join(LAYOUTS)}, or a .toml or .json file; "
            f"got {str(name_or_path)!r}."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        mapping: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        kind = path.suffix[1:].upper()
        raise ConfigError(f"{path}: expected {kind} in UTF-8, got {error}.") from error
    missing = [key for key in ("name", "alphabets") if key not in _as_mapping(mapping, path)]
    if missing:
        raise ConfigError(f"{path}: {' and '.join(missing)} missing; write them.")
    try:
        return from_mapping(Layout, mapping)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except TypeError as error:  # a part without one of its fields
        raise ConfigError(f"{path}: a part lacks a setting ({error}); write it.") from error


def _as_mapping(value: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}: expected a table of settings, got {value!r}.")
    return value


def _check_free(layout: Layout) -> None:
    if layout.lengths is None or not 1 <= layout.lengths[0] <= layout.lengths[1]:
        raise ConfigError(
            f"layout {layout.name} has no positions, so it is free text and needs "
            f"lengths = [least, most] with 1 <= least <= most, got {layout.lengths}."
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
    if layout.size is None or not all(0 < side < math.inf for side in layout.size):
        raise ConfigError(
            f"layout {layout.name}: size = [width, height] must be above 0 and finite, got "
            f"{layout.size}."
        )
    if max(layout.size) > _MOST_RATIO * min(layout.size):
        raise ConfigError(
            f"layout {layout.name}: the longer side may be {_MOST_RATIO} times the shorter one, "
            f"got size = {list(layout.size)}."
        )
    _check_lengths(layout, *layout.size)
    if len(layout.positions) > _MAX_POSITIONS:
        raise ConfigError(
            f"layout {layout.name}: at most {_MAX_POSITIONS} positions, got "
            f"{len(layout.positions)}."
        )
    if not layout.schemes:
        raise ConfigError(f"layout {layout.name} needs a scheme of colours; write [[schemes]].")
    width, height = layout.size
    for number, position in enumerate(layout.positions, start=1):
        where = f"layout {layout.name}, position {number}"
        if position.alphabet not in layout.alphabets:
            raise ConfigError(
                f"{where}: alphabet must be one of {', '.join(layout.alphabets)}; "
                f"got {position.alphabet!r}."
            )
        left, top, box_width, box_height = position.box
        inside = left >= 0 and top >= 0 and left + box_width <= width and top + box_height <= height
        if not (inside and box_width > 0 and box_height > 0):
            raise ConfigError(
                f"{where}: box = [left, top, width, height] must lie inside {width} × {height}, "
                f"got {list(position.box)}."
            )
        for other, earlier in enumerate(layout.positions[: number - 1], start=1):
            if _overlap(position.box, earlier.box):
                raise ConfigError(
                    f"{where}: box {list(position.box)} overlaps that of position {other}, "
                    f"{list(earlier.box)}; move one of them."
                )


def _check_lengths(layout: Layout, width: float, height: float) -> None:
    """Refuse what is drawn around the characters where it is not on the plate."""
    marks = [*layout.dots, *layout.bolts]
    border = () if layout.border is None else (layout.border.inset, layout.border.thickness)
    lengths = (layout.corner_radius, *border, *(mark.radius for mark in marks))
    inside = all(
        mark.radius <= place <= side - mark.radius
        for mark in marks
        for place, side in zip(mark.centre, (width, height), strict=True)
    )
    fits = max(layout.corner_radius, sum(border)) <= min(width, height) / 2
    if not all(0 <= n < math.inf for n in lengths) or not inside or not fits:
        raise ConfigError(
            f"layout {layout.name}: corner_radius, border, dots and bolts must lie on a plate of "
            f"{width:g} × {height:g} and have lengths of at least 0, got {layout.corner_radius}, "
            f"{layout.border} and {marks}."
        )


def _overlap(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> bool:
    return (
        first[0] < second[0] + second[2]
        and second[0] < first[0] + first[2]
        and first[1] < second[1] + second[3]
        and second[1] < first[1] + first[3]
    )
