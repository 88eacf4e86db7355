"""Which texts to draw: any, a user's list or grammar, or those that a recognizer needs most.

A sampler is a function of the text's index. It depends on the seed it was made with and the
index alone, so shards that take different indices never repeat each other's draws.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augment.data.layouts import Layout
from augment.data.listing import decode_text
from augment.data.text_grammar import parse_grammar
from augment.data.text_listing import plain_text
from augment.errors import ConfigError, DataError, LabelError, RequestError

__all__ = [
    "Check",
    "TextSampler",
    "balanced",
    "from_list",
    "grammar",
    "read_list",
    "towards_confusions",
    "uniform",
]

TextSampler = Callable[[int], str]
Check = Callable[[str], object]
"""Raises LabelError or RequestError for a text that cannot be written."""

TRIES = 100
"""Random texts drawn for one that can be written."""

_LEAST_WEIGHT = 0.05
"""Of a character that is never confused, against one that always is."""
_PRIOR = 3.0
"""Occurrences at the mean rate of confusion that each character has besides its own: what was
rarely or never measured is neither never nor always confused."""


def uniform(layout: Layout, seed: int, check: Check | None = None) -> TextSampler:
    """Any text of a layout: each character equally likely.

    Args:
        layout: whose texts to draw.
        seed: of the draws.
        check: what it refuses is drawn again; a sampler raises LabelError if that does not help.
    """
    return _redrawn(layout.random_text, layout, seed, check)


def from_list(path: str | Path, seed: int | None, check: Check | None = None) -> TextSampler:
    """The texts of a file, in another random order each time they are used up.

    Args:
        path: as for ``read_list``.
        seed: of the order; None: the file's own, each time.
        check: sees every text once.

    Raises:
        DataError: as of ``read_list``.
        LabelError, RequestError: what ``check`` raises, with the number of the line.
    """
    numbered = read_list(path)
    if check is not None:
        _check_lines(path, numbered, check)
    texts = list(numbered.values())
    if seed is None:
        return lambda index: texts[index % len(texts)]

    @lru_cache(maxsize=2)
    def order(turn: int) -> NDArray[np.int64]:
        return _generator(seed, turn).permutation(len(texts))

    return lambda index: texts[order(index // len(texts))[index % len(texts)]]


def read_list(path: str | Path) -> dict[int, str]:
    """The texts of a file, a text a line, by the numbers of their lines.

    Args:
        path: of the file; texts are taken as by ``plain_text``, empty lines left out.

    Raises:
        DataError: no such file, not UTF-8, or no text in it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"expected uniform, grammar:…, rare:…, confused:… or a file with a text a line, got "
            f"{path} ({error})."
        ) from error
    lines = io.StringIO(decode_text(data, str(path)), newline=None)  # ends at \n, \r\n and \r alone
    texts = {number: plain_text(line) for number, line in enumerate(lines, start=1) if line.strip()}
    if not texts:
        raise DataError(f"{path}: expected a text a line, got none.")
    return texts


def _check_lines(path: str | Path, numbered: Mapping[int, str], check: Check) -> None:
    numbers: dict[str, int] = {}
    for number, text in numbered.items():
        numbers.setdefault(text, number)
    for text, number in numbers.items():
        try:
            check(text)
        except (LabelError, RequestError) as error:
            raise type(error)(f"{path}:{number}: {error}") from error


def grammar(pattern: str, seed: int) -> TextSampler:
    """Texts of a pattern; ``augment.data.text_grammar`` describes them.

    Raises:
        ConfigError: the pattern is faulty.
    """
    draw = parse_grammar(pattern)
    return lambda index: draw(_generator(seed, index))


def balanced(
    layout: Layout,
    counts: Mapping[str, int],
    seed: int,
    check: Check | None = None,
    *,
    strength: float = 0.5,
) -> TextSampler:
    """Texts of a layout in which characters that are rare in real data are frequent.

    Args:
        layout: whose texts to draw.
        counts: how often each character occurs in the real data; missing ones do not.
        seed: of the draws.
        check: as for ``uniform``.
        strength: a character's odds are (count + 1)^-strength: 0 is uniform, 1 makes up for the
            real data's frequencies.

    Raises:
        ConfigError: strength outside [0, 1], or a negative count.
    """
    if not 0 <= strength <= 1:
        raise ConfigError(f"strength must be in [0, 1], got {strength}.")
    if any(count < 0 for count in counts.values()):
        raise ConfigError(f"counts must not be negative, got {min(counts.values())}.")
    weights = {
        character: (counts.get(character, 0) + 1.0) ** -strength for character in layout.alphabet
    }
    return _weighted(layout, weights, seed, check)


def towards_confusions(
    layout: Layout,
    alphabet: Sequence[str],
    confusion: NDArray[np.integer],
    seed: int,
    check: Check | None = None,
) -> TextSampler:
    """Texts of a layout in which characters that a recognizer confuses are frequent.

    A character's odds are 0.05 + its rate of confusion: the times it was read as another or
    another as it, against its occurrences, shrunk to the mean rate of all as if three more
    occurrences had it. Measure the matrix on validation data.

    Args:
        layout: whose texts to draw.
        alphabet: the k characters of the matrix; those it lacks count as their lower case, or
            have the mean rate.
        confusion: (k, k), how often row i was read as column j.
        seed: of the draws.
        check: as for ``uniform``.

    Raises:
        LabelError: a matrix of another shape, or with negative entries.
    """
    matrix = np.asarray(confusion, np.float64)
    if matrix.shape != (len(alphabet), len(alphabet)) or (matrix < 0).any():
        raise LabelError(
            f"expected a matrix of counts, {len(alphabet)} × {len(alphabet)} as the alphabet, got "
            f"shape {matrix.shape}, least entry {matrix.min() if matrix.size else 'none'}."
        )
    right = np.diag(matrix)
    wrong = matrix.sum(axis=1) + matrix.sum(axis=0) - 2 * right
    written = matrix.sum(axis=1)
    mean = float(wrong.sum() / max(written.sum(), 1.0))
    rates = (wrong + _PRIOR * mean) / (written + _PRIOR)
    found = dict(zip(alphabet, rates.tolist(), strict=True))
    weights = {c: _LEAST_WEIGHT + found.get(c, found.get(c.lower(), mean)) for c in layout.alphabet}
    return _weighted(layout, weights, seed, check)


def _weighted(
    layout: Layout, weights: Mapping[str, float], seed: int, check: Check | None
) -> TextSampler:
    """Draw the characters of each position by their weights."""
    bounds = []
    for allowed in layout.allowed:
        sums = np.cumsum([weights[character] for character in allowed])
        bounds.append(sums / sums[-1])

    def draw(rng: np.random.Generator) -> str:
        positions = list(zip(layout.allowed, bounds, strict=True))
        if layout.lengths is not None:
            positions *= int(rng.integers(layout.lengths[0], layout.lengths[1] + 1))
        places = rng.random(len(positions))
        return "".join(
            allowed[int(np.searchsorted(bound, place, side="right"))]
            for (allowed, bound), place in zip(positions, places, strict=True)
        )

    return _redrawn(draw, layout, seed, check)


def _redrawn(
    draw: Callable[[np.random.Generator], str], layout: Layout, seed: int, check: Check | None
) -> TextSampler:
    """Draw until a text can be written."""

    def sample(index: int) -> str:
        rng = _generator(seed, index)
        for _ in range(TRIES):
            text = draw(rng)
            if check is None:
                return text
            try:
                check(text)
            except (LabelError, RequestError) as error:
                refused = error
            else:
                return text
        raise LabelError(
            f"none of {TRIES} random texts of layout {layout.name} can be written, the last as "
            f"{refused} Give texts of your own."
        )

    return sample


def _generator(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, index])
