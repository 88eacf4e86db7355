"""What a layout of plates is made of, and what must hold for its text to be seen and read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from augment.errors import ConfigError

__all__ = ["Border", "Dot", "Position", "Scheme", "check_plate_size", "check_positions"]

_MOST_RATIO = 16  # of a plate's sides
_MAX_POSITIONS = 64
_LEAST_SHARES = (0.01, 0.1)  # of the plate's width and height, of a character's box
_TOUCHING = 1e-6  # of a box, that may lie over its neighbour: 0.1 + 0.2 is more than 0.3
_LEAST_CONTRAST = 25  # levels between ground and ink, the mean of red, green and blue

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Position:
    """Where one character stands: ``box`` = (left, top, width, height), ``alphabet`` by name."""

    box: Box
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
        """Check ranges, and that the ink can be told from the ground."""
        grounds = [self.ground, self.ground_below or self.ground]
        for colour in (*grounds, self.ink):
            if not all(0 <= level <= 255 for level in colour):
                raise ConfigError(
                    f"scheme {self.name}: colours must be in [0, 255], got {colour}; correct it."
                )
        for ground in grounds:
            contrast = sum(abs(a - b) for a, b in zip(ground, self.ink, strict=True)) / 3
            if contrast < _LEAST_CONTRAST:
                raise ConfigError(
                    f"scheme {self.name}: ink must differ from the ground by at least "
                    f"{_LEAST_CONTRAST} levels on average, got {self.ink} on {ground}; nobody "
                    "could read it: change one of them."
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

    def meets(self, box: Box) -> bool:
        """Whether it covers any part of a box."""
        away = [
            max(low - place, 0.0, place - low - length)
            for place, low, length in zip(self.centre, box[:2], box[2:], strict=True)
        ]
        return math.hypot(*away) < self.radius


@dataclass(frozen=True)
class Border:
    """A line along the edge, ``inset`` away from it."""

    inset: float
    thickness: float


def check_plate_size(
    layout: str,
    size: tuple[float, float] | None,
    *,
    corner_radius: float,
    border: Border | None,
    dots: Sequence[Dot],
    bolts: Sequence[Dot],
) -> tuple[float, float]:
    """Refuse a plate of no size, and what is drawn around the characters where it is not on it.

    Args:
        layout: its name, for the message.
        size: (width, height).
        corner_radius: of the plate.
        border: along its edge.
        dots: in the ink's colour.
        bolts: screws.

    Returns:
        The size.

    Raises:
        ConfigError: says which.
    """
    if size is None or not all(0 < side < math.inf for side in size):
        raise ConfigError(
            f"layout {layout}: size = [width, height] must be above 0 and finite, got {size}."
        )
    if max(size) > _MOST_RATIO * min(size):
        raise ConfigError(
            f"layout {layout}: the longer side may be {_MOST_RATIO} times the shorter one, "
            f"got size = {list(size)}."
        )
    marks = [*dots, *bolts]
    edge = () if border is None else (border.inset, border.thickness)
    lengths = (corner_radius, *edge, *(mark.radius for mark in marks))
    inside = all(
        mark.radius <= place <= side - mark.radius
        for mark in marks
        for place, side in zip(mark.centre, size, strict=True)
    )
    fits = max(corner_radius, sum(edge)) <= min(size) / 2
    if not all(0 <= n < math.inf for n in lengths) or not inside or not fits:
        raise ConfigError(
            f"layout {layout}: corner_radius, border, dots and bolts must lie on a plate of "
            f"{size[0]:g} × {size[1]:g} and have lengths of at least 0, got {corner_radius}, "
            f"{border} and {marks}."
        )
    return size


def check_positions(
    layout: str,
    positions: Sequence[Position],
    size: tuple[float, float],
    *,
    alphabets: Mapping[str, str],
    dots: Sequence[Dot],
) -> None:
    """Refuse characters that could not be told apart, seen, or read in their order.

    Args:
        layout: its name, for the message.
        positions: of the characters.
        size: (width, height) of the plate.
        alphabets: that there are.
        dots: drawn in the ink's colour, over which no character may stand.

    Raises:
        ConfigError: names the position, by its number from 1 on.
    """
    if len(positions) > _MAX_POSITIONS:
        raise ConfigError(
            f"layout {layout}: at most {_MAX_POSITIONS} positions, got {len(positions)}."
        )
    for number, position in enumerate(positions, start=1):
        where = f"layout {layout}, position {number}"
        if position.alphabet not in alphabets:
            raise ConfigError(
                f"{where}: alphabet must be one of {', '.join(alphabets)}; "
                f"got {position.alphabet!r}."
            )
        _check_box(where, position.box, size)
        for other, earlier in enumerate(positions[: number - 1], start=1):
            if _overlap(position.box, earlier.box):
                raise ConfigError(
                    f"{where}: box {list(position.box)} overlaps that of position {other}, "
                    f"{list(earlier.box)}; move one of them."
                )
        if number > 1 and not _is_after(position.box, last := positions[number - 2].box):
            raise ConfigError(
                f"{where}: box {list(position.box)} must stand to the right of position "
                f"{number - 1}, {list(last)}, since texts are read from left to right in one row; "
                "put them in order. A plate of two rows is two layouts, one for each row."
            )
        for dot in dots:
            if dot.meets(position.box):
                raise ConfigError(
                    f"{where}: box {list(position.box)} is covered by a dot at "
                    f"{list(dot.centre)} of radius {dot.radius:g}; move or shrink one of them."
                )


def _check_box(where: str, box: Box, size: tuple[float, float]) -> None:
    left, top, width, height = box
    inside = left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1]
    if not (inside and width > 0 and height > 0):
        raise ConfigError(
            f"{where}: box = [left, top, width, height] must lie inside {size[0]} × {size[1]}, "
            f"got {list(box)}."
        )
    least = [share * side for share, side in zip(_LEAST_SHARES, size, strict=True)]
    if width < least[0] or height < least[1]:
        raise ConfigError(
            f"{where}: box must be at least {least[0]:g} wide and {least[1]:g} high on a plate of "
            f"{size[0]:g} × {size[1]:g}, got {list(box)}; nobody could read a smaller character."
        )


def _is_after(box: Box, other: Box, axis: int = 0) -> bool:
    """Whether a box begins where another ends, or later: across, or down (axis 1)."""
    return box[axis] >= other[axis] + (1 - _TOUCHING) * other[axis + 2]


def _overlap(first: Box, second: Box) -> bool:
    return not any(
        _is_after(*pair, axis) for pair in ((first, second), (second, first)) for axis in (0, 1)
    )
