"""Which styles of a bundle's bank ``jobs.generate --select`` leaves to be drawn."""

from collections.abc import Sequence
from typing import Any

from augment.errors import ConfigError
from augment.generators.line_styles import COLOURS, StyleSelection

__all__ = ["SELECT_HELP", "choose_styles"]

SELECT_HELP = (
    "of bundles of lines, which styles are drawn: sources=A,B (where the real lines came from), "
    f"colours=A,B (of their ground: {', '.join(COLOURS)}), brightness=0.5:1 (the bank's brighter "
    "half) or sharpness=0.5:1; may be repeated, all hold together"
)

_WORDS, _SHARES = ("sources", "colours"), ("brightness", "sharpness")


def choose_styles(given: Sequence[str] | None) -> StyleSelection | None:
    """Read ``--select``; None without it.

    Raises:
        ConfigError: an unknown or repeated name, or shares that are no two numbers.
        RequestError: as ``StyleSelection``.
    """
    if given is None:
        return None
    chosen: dict[str, Any] = {}
    for condition in given:
        name, equals, value = condition.partition("=")
        if not equals or name not in _WORDS + _SHARES or name in chosen:
            raise ConfigError(
                f"--select must be {', '.join(_WORDS + _SHARES)}, each once at most, as in "
                f"colours=yellow,white; got {condition!r}."
            )
        words = tuple(map(str.strip, value.split(",")))
        chosen[name] = words if name in _WORDS else _shares(condition, value)
    return StyleSelection(**chosen)


def _shares(condition: str, value: str) -> tuple[float, float]:
    try:
        least, most = map(float, value.split(":"))
    except ValueError:
        raise ConfigError(
            f"--select expects two shares of the bank here, as in 0.5:1; got {condition!r}."
        ) from None
    return least, most
