"""Read-back of texts: independent recognizers judge whether a line shows what its label says.

A generator of styled text fails in one known way: a character is missing or wrong though the
label has it. A line is kept if a recognizer reads exactly its text, with a confidence within a
band: doubtful ones are dropped below it, those too easy to teach anything above it. Where real
lines are few the recognizers are cross-fitted, as in ``recognizers.reader``. White space is no
ink, so it is not read.

``reader_quality`` measures a reader on planted errors: lines drawn with another text than their
label. A line's score is the probability that the recognizer gives the label's text; a threshold
on it trades wrong lines dropped for right ones lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from augment.bundle import BundleInfo
from augment.config import from_mapping
from augment.data.texts import Lines, LineShape
from augment.errors import BundleError, ConfigError, DataError
from augment.generators.line_reading import Judged
from augment.images import Pixels
from recognizers.charset import Charset, fold
from recognizers.cross_fitting import EVERYTHING, choose_judges, fit_members
from recognizers.ctc import Readings
from recognizers.reader_files import opened_reader, write_reader
from recognizers.scene_text import TextConfig, TextRecognizer
from recognizers.text_fit import probabilities_of, read_lines

__all__ = [
    "CrossFittedTextReader",
    "Planted",
    "ReaderQuality",
    "WrongLines",
    "load_text_reader",
    "plant_errors",
    "reader_quality",
    "save_text_reader",
    "train_text_reader",
]

WRONG_DROPPED = 0.95
"""Share of wrong lines that a threshold has to drop."""
MOST_CURVE_POINTS = 200
MOST_TRIES = 1000
KINDS = ("missing", "replaced", "doubled")
"""What may be wrong with a character of a planted line."""
KIND = "text"
"""What a bundle calls its reader of texts."""
READ_AT_ONCE = 32
"""Lines of one width that are judged together; fewer are filled up, so that company changes
nothing."""


class CrossFittedTextReader:
    """Reads lines by recognizers, each trained without one fold of the real lines.

    Args:
        members: member f was trained without fold f.
        shape: what the members' lines are brought to.
        band: least and greatest confidence of a line that is kept.

    Raises:
        ConfigError: no members, or a band that does not rise within [0, 1].
    """

    def __init__(
        self,
        members: Sequence[TextRecognizer],
        shape: LineShape,
        band: tuple[float, float] = EVERYTHING,
    ) -> None:
        if not members or not 0 <= band[0] < band[1] <= 1:
            raise ConfigError(
                f"expected one or more members and a band that rises within [0, 1], got "
                f"{len(members)} and {band}."
            )
        self.members, self.shape, self.band = list(members), shape, band

    @property
    def charset(self) -> Charset:
        """What the members read."""
        return self.members[0].charset

    def read(self, lines: Lines, folds: NDArray[np.int64] | None = None) -> Readings:
        """Read lines.

        Args:
            lines: N.
            folds: (N,) fold of the real line each was drawn from; see ``choose_judges``.
        """
        readings = [read_lines(member, lines) for member in self.members]
        confidences = np.stack([reading.confidences for reading in readings])  # (members, N)
        judge = choose_judges(confidences, folds)
        texts = [readings[j].texts[row] for row, j in enumerate(judge)]
        return Readings(texts, confidences[judge, np.arange(len(judge))])

    def judge(
        self,
        images: Sequence[Pixels],
        texts: Sequence[str],
        folds: NDArray[np.int64] | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> Judged:
        """Whether each line reads exactly as its text, within the band.

        Args:
            images: N of (h, w, C) uint8, of any size.
            texts: what they are to say.
            folds: as of ``read``.
            bands: (N, 2) the band of each line; the reader's where None.

        Returns:
            The same for a line whatever it is judged together with.
        """
        lines = self.shape.stack(images)
        folds = np.full(len(texts), -1) if folds is None else folds
        judged = Judged(np.empty(len(texts), np.bool_), np.empty(len(texts), np.float32))
        if bands is None:
            bands = np.full((len(texts), 2), self.band, np.float32)
        for width in np.unique(lines.widths):
            same = np.flatnonzero(lines.widths == width)
            for start in range(0, len(same), READ_AT_ONCE):
                part = same[start : start + READ_AT_ONCE]
                rows = np.resize(part, READ_AT_ONCE)  # repeated until full
                readings = self.read(Lines(lines.pixels[rows], lines.widths[rows]), folds[rows])
                right = _same(readings.texts, [texts[row] for row in rows.tolist()], self.charset)
                sure, (low, high) = readings.confidences, bands[rows].T
                judged.kept[rows] = right & (sure >= low) & (sure <= high)
                judged.confidences[rows] = sure
        return judged

    def scores(
        self, lines: Lines, texts: Sequence[str], folds: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """(N,) probability of each text given its line, in [0, 1]; arguments as of ``read``."""
        scores = np.stack([probabilities_of(member, lines, texts) for member in self.members])
        kept: NDArray[np.float32] = scores[choose_judges(scores, folds), np.arange(len(texts))]
        return kept


def train_text_reader(
    folds: NDArray[np.int64],
    fit_without: Callable[[NDArray[np.int64], int], TextRecognizer],
    shape: LineShape,
    band: tuple[float, float] = EVERYTHING,
) -> CrossFittedTextReader:
    """Train one member without each fold; a single fold trains one member on everything.

    Args:
        folds: (N,) fold of each real line, 0 to F - 1.
        fit_without: see ``fit_members``.
        shape: see ``CrossFittedTextReader``.
        band: the same.
    """
    return CrossFittedTextReader(fit_members(folds, fit_without), shape, band)


def save_text_reader(folder: Path, reader: CrossFittedTextReader) -> None:
    """Write weights and description of a reader's members to ``folder``."""
    description = {
        "charset": asdict(reader.charset),
        "shape": asdict(reader.shape),
        "recognizer": asdict(reader.members[0].config),
        "band": list(reader.band),
    }
    write_reader(folder, KIND, reader.members, description)


def load_text_reader(
    folder: str | Path, device: str | torch.device = "cpu", *, info: BundleInfo | None = None
) -> CrossFittedTextReader:
    """Load the reader of a bundle of lines (its folder ``reader/``).

    Args:
        folder: where it is.
        device: where to read.
        info: of the bundle whose lines it is to read; None: of no one.

    Raises:
        BundleError: it cannot be read, is no reader of texts, its weights do not fit its
            description, or it does not read what the bundle writes.
    """
    with opened_reader(folder, (KIND,)) as stored:
        described = stored.description
        charset, shape = (
            from_mapping(Charset, described["charset"]),
            from_mapping(LineShape, described["shape"]),
        )
        config, (low, high) = from_mapping(TextConfig, described["recognizer"]), described["band"]
        members = stored.members(
            lambda: TextRecognizer(
                charset, height=shape.height, channels=shape.channels, config=config
            ),
            device,
        )
        reader = CrossFittedTextReader(members, shape, (float(low), float(high)))
    if info is not None:
        _check_fit(reader, info, Path(folder))
    return reader


def _check_fit(reader: CrossFittedTextReader, info: BundleInfo, folder: Path) -> None:
    unread = [c for c in info.classes if not (c.isspace() or reader.charset.knows(c))]
    if unread or reader.shape.channels != info.channels:
        raise BundleError(
            f"{folder}: expected a reader of the bundle's {len(info.classes)} characters and "
            f"{info.channels} channels, got one of {reader.shape.channels} channels that does not "
            f"know {''.join(unread) or 'them'}; train the bundle again."
        )


class Planted(NamedTuple):
    """Texts to draw where some differ from their label."""

    drawn: list[str]  # what the lines will show
    is_wrong: NDArray[np.bool_]  # (N,) whether that is not the label
    kinds: NDArray[np.str_]  # (N,) how it is wrong: one of KINDS; "" where it is right


def plant_errors(
    texts: Sequence[str],
    alphabet: str,
    *,
    share: float = 0.05,
    seed: int = 0,
    allows: Callable[[str], bool] = bool,
    empty: str = "",
) -> Planted:
    """Spoil a share of the texts: a character is missing, another one, or doubled.

    What differs in case or in spaces alone counts as the same, as it does to readers.

    Args:
        texts: labels.
        alphabet: what a character is replaced by.
        share: of the texts that are spoilt; at least one is.
        seed: which ones and how.
        allows: whether a spoilt text can be drawn; ``Layout.allows``, say.
        empty: what takes the place of a missing character: nothing in free text, EMPTY_PLACE on a
            plate, where the others keep their places.

    Raises:
        ConfigError: a share outside (0, 1).
        DataError: no way to spoil a text was found that can be drawn.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share must be in (0, 1), got {share}.")
    rng = np.random.default_rng(seed)
    is_wrong = np.zeros(len(texts), bool)
    is_wrong[rng.permutation(len(texts))[: max(1, round(share * len(texts)))]] = True
    spoilt = [
        _spoilt(text, alphabet, rng, allows, empty) if wrong else (text, "")
        for text, wrong in zip(texts, is_wrong, strict=True)
    ]
    return Planted([text for text, _ in spoilt], is_wrong, np.array([kind for _, kind in spoilt]))


@dataclass(frozen=True)
class WrongLines:
    """How many wrong lines of one kind there are, and are dropped at the threshold or else."""

    n: int
    dropped: int
    exact_dropped: int  # by exact match instead


@dataclass(frozen=True)
class ReaderQuality:
    """How well a reader tells wrong lines from right ones.

    Attributes:
        n_right, n_wrong: lines of each kind.
        auc: area under the ROC curve, in [0, 1].
        right_lost: share of the right lines dropped at the threshold that drops 95 % of the
            wrong ones.
        threshold: that probability of the label's text.
        exact_wrong_dropped, exact_right_lost: shares dropped by exact match instead.
        by_kind: what becomes of the wrong lines, by what is wrong with them: one of KINDS.
        curve: (share of right lines lost, share of wrong lines dropped) pairs.
    """

    n_right: int
    n_wrong: int
    auc: float
    right_lost: float
    threshold: float
    exact_wrong_dropped: float
    exact_right_lost: float
    by_kind: dict[str, WrongLines]
    curve: list[tuple[float, float]]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def reader_quality(
    read: Sequence[str],
    scores: NDArray[np.float32],
    texts: Sequence[str],
    kinds: NDArray[np.str_],
    charset: Charset,
    *,
    dropped: float = WRONG_DROPPED,
) -> ReaderQuality:
    """Measure a reader on lines some of which do not show their text.

    Args:
        read: what the reader read on each of N lines; its band takes no part.
        scores: (N,) probabilities of the labels, by ``CrossFittedTextReader.scores``.
        texts: the labels.
        kinds: (N,) how each line is wrong, "" where it shows its text; see ``Planted``.
        charset: the reader's.
        dropped: share of the wrong lines that the threshold has to drop.

    Raises:
        DataError: no right or no wrong lines.
    """
    is_wrong = kinds != ""
    if is_wrong.all() or not is_wrong.any():
        raise DataError(
            f"expected right and wrong lines, got {int(is_wrong.sum())} wrong of {len(is_wrong)}."
        )
    right_lost, wrong_dropped, thresholds = roc_curve(is_wrong, -scores)
    at = int(np.argmax(wrong_dropped >= dropped))
    differs = ~_same(read, texts, charset)
    doubtful = -scores >= thresholds[at]
    shown = np.unique(np.linspace(0, len(right_lost) - 1, MOST_CURVE_POINTS).round().astype(int))
    return ReaderQuality(
        n_right=int((~is_wrong).sum()),
        n_wrong=int(is_wrong.sum()),
        auc=float(roc_auc_score(is_wrong, -scores)),
        right_lost=float(right_lost[at]),
        threshold=float(-thresholds[at]),
        exact_wrong_dropped=float(differs[is_wrong].mean()),
        exact_right_lost=float(differs[~is_wrong].mean()),
        by_kind={
            str(kind): WrongLines(
                n=int((kinds == kind).sum()),
                dropped=int(doubtful[kinds == kind].sum()),
                exact_dropped=int(differs[kinds == kind].sum()),
            )
            for kind in np.unique(kinds[is_wrong])
        },
        curve=[(float(right_lost[i]), float(wrong_dropped[i])) for i in shown],
    )


def _same(read: Sequence[str], texts: Sequence[str], charset: Charset) -> NDArray[np.bool_]:
    """(N,) whether texts are the same in what the reader is trained to tell apart."""
    exact = Charset(charset.training)
    pairs = zip(read, texts, strict=True)
    return np.array([r == exact.comparable(t) for r, t in pairs], bool)


def _spoilt(
    text: str, alphabet: str, rng: np.random.Generator, allows: Callable[[str], bool], empty: str
) -> tuple[str, str]:
    """A text that differs from ``text`` in what is read, and which of KINDS it is."""
    for _ in range(MOST_TRIES):
        place = int(rng.integers(len(text)))
        before, character, after = text[:place], text[place], text[place + 1 :]
        instead = (empty, alphabet[int(rng.integers(len(alphabet)))], 2 * character)
        kind = int(rng.integers(len(KINDS)))
        spoilt = before + instead[kind] + after
        if fold(spoilt) != fold(text) and allows(spoilt):
            return spoilt, KINDS[kind]
    raise DataError(
        f"expected a way to spoil {text!r} with characters of {alphabet!r}, found none that can be "
        "drawn; give more characters."
    )
