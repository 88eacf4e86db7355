"""Connectionist temporal classification: loss, probability and decoding of texts.

Graves et al., "Connectionist Temporal Classification", ICML 2006. A recognizer gives each column
of an image a distribution over characters and a blank; a text's probability is the sum over all
paths that collapse to it. ``read_greedily`` takes the most probable path, ``read_by_beam`` sums
over the paths of each prefix (Graves, Sec. 3.2; Hannun et al., 2014, Alg. 1, without a language
model). Either way a text's confidence is its probability given the image.

``even_loss`` is what a training starts with: before anything is known of where characters stand,
the sum over all paths has little to say, and blanks everywhere are hard to leave.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from augment.errors import ConfigError, LabelError
from recognizers.charset import BLANK, Charset

__all__ = [
    "Readings",
    "columns_needed",
    "ctc_loss",
    "even_loss",
    "read_by_beam",
    "read_greedily",
    "text_probabilities",
]

_LEAST_PROBABILITY = 1e-5
"""Characters less probable than this in a column start no prefix there."""

Prefixes = dict[tuple[int, ...], tuple[float, float]]
"""Prefix to the log-probability of its paths that end in a blank, and of those that do not."""


class Readings(NamedTuple):
    """What was read on images."""

    texts: list[str]  # N
    confidences: NDArray[np.float32]  # (N,) probability of each text, in [0, 1]


def columns_needed(targets: Tensor) -> Tensor:
    """(N,) columns that texts (N, S), padded by blanks, take: repeats need a blank between."""
    repeats = (targets[:, 1:] == targets[:, :-1]) & (targets[:, 1:] != BLANK)
    return (targets != BLANK).sum(dim=1) + repeats.sum(dim=1)


def ctc_loss(log_probs: Tensor, columns: Tensor, targets: Tensor) -> Tensor:
    """-log p(text | image), (N,).

    Args:
        log_probs: (N, T, k) of each column over blank and characters.
        columns: (N,) columns of each image that are its own, at most T.
        targets: (N, S) classes, padded by blanks.

    Raises:
        LabelError: a text needs more columns than its image has.
    """
    needed = columns_needed(targets)
    if bool((needed > columns).any()):
        row = int((needed - columns).argmax())
        raise LabelError(
            f"expected a text that fits into {int(columns[row])} columns, got one that needs "
            f"{int(needed[row])} at index {row}; widen the images or leave the text out."
        )
    return _ctc(log_probs, columns, targets)


def even_loss(log_probs: Tensor, columns: Tensor, targets: Tensor) -> Tensor:
    """-log p of each text spread evenly over its image's columns, without blanks, (N,).

    The flat start of hidden Markov models in speech recognition (Young et al., "The HTK Book").
    The mean over a character's columns, summed over the characters: of the scale of ``ctc_loss``.

    Args:
        log_probs: (N, T, k) of each column over blank and characters.
        columns: (N,) columns of each image that are its own, at least 1 and at most T.
        targets: (N, S) classes, padded by blanks; none is empty.
    """
    lengths = (targets != BLANK).sum(dim=1)
    places = torch.arange(log_probs.shape[1], device=log_probs.device)  # (T,)
    characters = places * lengths[:, None] // columns[:, None]  # (N, T), beyond them past the end
    own = places < columns[:, None]
    even = targets.gather(1, characters.clamp(max=targets.shape[1] - 1))
    nats = -log_probs.gather(2, even[:, :, None]).squeeze(2)
    return torch.where(own, nats, 0.0).sum(dim=1) * lengths / columns


def text_probabilities(log_probs: Tensor, columns: Tensor, targets: Tensor) -> Tensor:
    """p(text | image), (N,) in [0, 1]; 0 for a text that does not fit. As ``ctc_loss`` else."""
    return (-_ctc(log_probs.detach(), columns, targets)).exp().clamp(0.0, 1.0)


def read_greedily(log_probs: Tensor, columns: Tensor, charset: Charset) -> Readings:
    """Read the most probable path of each image; arguments as of ``read_by_beam``."""
    paths = log_probs.argmax(dim=2).cpu().numpy()  # (N, T)
    lengths = columns.cpu().numpy()
    texts = [charset.collapse(path[:n]) for path, n in zip(paths, lengths, strict=True)]
    return Readings(texts, _probabilities(log_probs, columns, texts, charset))


def read_by_beam(
    log_probs: Tensor, columns: Tensor, charset: Charset, *, beam: int = 8
) -> Readings:
    """Read the text whose paths are most probable together.

    Args:
        log_probs: (N, T, k) of each column over blank and characters.
        columns: (N,) columns of each image that are its own, at most T.
        charset: says what the classes are.
        beam: prefixes kept after each column.

    Raises:
        ConfigError: a beam of less than 1.
    """
    if beam < 1:
        raise ConfigError(f"beam must keep at least 1 prefix, got {beam}.")
    values = log_probs.detach().float().cpu().numpy().astype(np.float64)
    lengths = columns.cpu().numpy()
    texts = [
        charset.decode(_best_prefix(image[:n], beam))
        for image, n in zip(values, lengths, strict=True)
    ]
    return Readings(texts, _probabilities(log_probs, columns, texts, charset))


def _best_prefix(log_probs: NDArray[np.float64], beam: int) -> tuple[int, ...]:
    """The prefix with the most probable paths through (T, k) log-probabilities."""
    kept: Prefixes = {(): (0.0, -np.inf)}
    for column in log_probs:
        likely = np.flatnonzero(column > np.log(_LEAST_PROBABILITY))
        grown: defaultdict[tuple[int, ...], tuple[float, float]] = defaultdict(
            lambda: (-np.inf, -np.inf)
        )
        for prefix, (blank, other) in kept.items():
            either = np.logaddexp(blank, other)
            last = prefix[-1] if prefix else BLANK
            stays = -np.inf if last == BLANK else other + column[last]  # the repeat is merged
            _add(grown, prefix, either + column[BLANK], stays)
            for character in likely[likely != BLANK].tolist():
                before = blank if character == last else either
                _add(grown, (*prefix, character), -np.inf, before + column[character])
        best = sorted(grown.items(), key=lambda item: -np.logaddexp(*item[1]))
        kept = dict(best[:beam])
    return next(iter(kept))


def _add(
    prefixes: defaultdict[tuple[int, ...], tuple[float, float]],
    prefix: tuple[int, ...],
    blank: float,
    other: float,
) -> None:
    """Add paths, by their log-probabilities, to those of a prefix."""
    had = prefixes[prefix]
    prefixes[prefix] = (float(np.logaddexp(had[0], blank)), float(np.logaddexp(had[1], other)))


def _probabilities(
    log_probs: Tensor, columns: Tensor, texts: list[str], charset: Charset
) -> NDArray[np.float32]:
    """(N,) probability of each text, the empty one too, which is read as nothing but blanks."""
    rows = [[charset.training.index(c) + 1 for c in text] for text in texts]
    longest = max((len(row) for row in rows), default=0)
    padded = [row + [BLANK] * (longest - len(row)) for row in rows]
    targets = columns.new_tensor(padded).reshape(len(rows), longest)
    values: NDArray[np.float32] = text_probabilities(log_probs, columns, targets).cpu().numpy()
    return values


def _ctc(log_probs: Tensor, columns: Tensor, targets: Tensor) -> Tensor:
    return F.ctc_loss(
        log_probs.float().transpose(0, 1),
        targets,
        columns,
        (targets != BLANK).sum(dim=1),
        blank=BLANK,
        reduction="none",
    )
