"""The named benchmarks of text: which real lines are drawn for a seed, and which are the test.

As in ``recognizers.scenarios``, test images are the same for every seed and choose nothing; what
a draw leaves over of the training images is ``dev``. Where a draw takes all of them nothing is
left over: recipes are tried by cross-validation, and seeds change the training alone, so that an
interval says nothing of other training images.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from augment.data.layouts import Layout, load_layout
from augment.data.texts import GroupBy, LineShape, TextImages, open_texts
from augment.errors import ConfigError, DataError
from augment.generators.line_saae import shape_for
from recognizers.charset import PLATES_CN, WORDS, Charset, fold
from recognizers.scenarios import locate_data
from recognizers.text_sources import check_columns, is_drawable

__all__ = [
    "LINES",
    "TEXT_SCENARIOS",
    "OwnLines",
    "Plates",
    "TextDraw",
    "TextScenario",
    "Words",
    "lines_scenario",
]

LINES = "lines"
"""The scenario of anybody's lines; see ``lines_scenario``."""

RARE_PROVINCES = "rare provinces"
UNSEEN_PICTURES = "pictures without a word in train"
_RARE = 20  # plates in the training split: provinces with fewer are rare
_LEAST_LETTERS = 3  # of a word in the usual protocol of ICDAR 2013
_LEAST_DRAWN = 2


@dataclass(frozen=True)
class TextDraw:
    """What one seed of a scenario works with.

    Attributes:
        train: the real lines that every arm shares, and all that a generator or reader sees.
        test: measures every arm; the same lines for each seed.
        dev: training lines outside the draw, of other groups than ``train``; None when nothing
            is left.
        others: further test sets by name, which share lines with ``test`` or have their own.
    """

    train: TextImages
    test: TextImages
    dev: TextImages | None = None
    others: Mapping[str, TextImages] = field(default_factory=dict)


@dataclass(frozen=True)
class TextScenario(ABC):
    """A named benchmark of text.

    Attributes:
        name: what the command line calls it.
        describe: one sentence for reports.
        uri: the data; ``{data}`` stands for ``recognizers.scenarios.data_root()``.
        layout: what texts may be; see ``augment.data.layouts``.
        charset: what is read, and what counts.
        shape: of the lines.
        shots: real lines that are drawn; None = all training lines.
        group_by: what ``dev`` and an interval take as one: a text, or a source picture.
        confirm: which of the draw's ``others`` a report shows beside the test.
    """

    name: str
    describe: str
    uri: str
    layout: str
    charset: Charset
    shape: LineShape
    shots: int | None = None
    group_by: GroupBy = "text"
    confirm: str | None = None

    def __post_init__(self) -> None:
        """Check the number of shots."""
        if self.shots is not None and self.shots < 2:
            raise ConfigError(f"{self.name}: shots must be at least 2 lines, got {self.shots}.")

    def draw(self, seed: int) -> TextDraw:
        """Draw the real lines of one seed; more shots contain fewer shots.

        Raises:
            DataError: the data are missing or have too few training lines or no test lines, or
                test lines whose text is all of characters that do not count.
        """
        data = self.open()
        pool = np.flatnonzero(data.splits == "train")
        count = len(pool) if self.shots is None else self.shots
        if not 2 <= count <= len(pool):
            raise DataError(
                f"{data.uri}: expected {max(count, 2):,} training lines, got {len(pool):,}; "
                "ask for fewer --shots or give more data."
            )
        order = np.random.default_rng([seed, len(pool)]).permutation(len(pool))
        drawn = np.sort(pool[order[:count]])
        free = pool[~np.isin(data.groups[pool], data.groups[drawn])]
        others = self.others(data)
        for tested in (test := data.split("test"), *others.values()):
            self._check_counted(tested)
        return TextDraw(
            train=data.subset(drawn),
            test=test,
            dev=data.subset(free) if len(free) else None,
            others=others,
        )

    def _check_counted(self, tested: TextImages) -> None:
        nothing = [text for text in tested.texts if not self.charset.comparable(text)]
        if nothing:
            raise DataError(
                f"{tested.uri}: expected test texts of which something is compared, letters or "
                f"digits of {self.charset.evaluation or self.charset.training}, got "
                f"{', '.join(map(repr, nothing[:3]))}; leave these images out."
            )

    @property
    def ungrouped(self) -> frozenset[str]:
        """Further test sets of which nobody knows what belongs together: they get no interval."""
        return frozenset()

    @abstractmethod
    def others(self, data: TextImages) -> dict[str, TextImages]:
        """Further test sets; those without a line are left out."""

    def with_shots(self, shots: int | None) -> "TextScenario":
        """The same scenario with another number of real lines; None: with all."""
        return replace(self, shots=shots)

    def with_data(self, uri: str) -> "TextScenario":
        """The same scenario on another copy of its data."""
        return replace(self, uri=uri)

    def open(self, uri: str | None = None, group_by: GroupBy | None = None) -> TextImages:
        """Open the scenario's data; or ``uri``, in groups of another kind.

        Raises:
            DataError: there are no such data; or they name no splits and would be parted in other
                groups than ``jobs.generate --with-real`` parts them.
        """
        resolved = locate_data(uri or self.uri, self.name)
        data = open_texts(resolved, group_by=group_by or self.group_by, real_only=True)
        if data.split_origin not in ("as given", "by hash of the text"):
            raise DataError(
                f"{resolved}: expected lines of which each has its split, train, val or test, as "
                f"{self.name} parts {self.group_by}s; got none. Name them, or choose {LINES}."
            )
        return data


@dataclass(frozen=True)
class Plates(TextScenario):
    """License plates; besides the test, provinces with few training plates by themselves."""

    def others(self, data: TextImages) -> dict[str, TextImages]:
        """Plates of val and test whose province has fewer than 20 in the training split."""
        provinces = np.array([text[:1] for text in data.texts])
        known = Counter(provinces[data.splits == "train"].tolist())
        rare = np.array([known[province] < _RARE for province in provinces.tolist()])
        return _sets(data, {RARE_PROVINCES: rare & (data.splits != "train")})


@dataclass(frozen=True)
class Words(TextScenario):
    """Scene-text words; besides the test, its words of unseen pictures, and other test sets.

    Attributes:
        others_uri: words of other sources; None = none.
        other_sources: those that are read.
    """

    others_uri: str | None = None
    other_sources: tuple[str, ...] = ()

    def with_data(self, uri: str) -> "Words":
        """The same scenario on other data, and no other sources."""
        return replace(self, uri=uri, others_uri=None)

    @property
    def ungrouped(self) -> frozenset[str]:
        """The other sources: their lists do not tell which words are of one photograph."""
        return frozenset(self.other_sources)

    def others(self, data: TextImages) -> dict[str, TextImages]:
        """Test words whose picture has no word in train, and the other sources' usual sets."""
        is_test = data.splits == "test"
        seen = np.isin(data.groups, data.groups[~is_test])
        found = _sets(data, {UNSEEN_PICTURES: is_test & ~seen})
        if self.others_uri is None:
            return found
        other = self.open(self.others_uri, "image")
        usual = {
            source: (other.sources == source) & _is_usual(other, source)
            for source in self.other_sources
        }
        return found | _sets(other, usual)


@dataclass(frozen=True)
class OwnLines(TextScenario):
    """Anybody's lines; there are no other test sets."""

    def others(self, data: TextImages) -> dict[str, TextImages]:
        """None."""
        return {}


def lines_scenario(
    uri: str, layout_name: str, image_size: tuple[int, int] | None = None
) -> OwnLines:
    """The scenario ``lines``: any labelled lines of one layout, all training lines drawn.

    Read are the characters of the layout and of the training lines, of free text in either case
    alike; whatever else test lines show counts as misread. Spaces are not read.

    Args:
        uri: as for ``open_texts``; where it names no splits, texts are parted by their hash.
        layout_name: name or file, as for ``augment.data.layouts.load_layout``.
        image_size: as for ``augment.generators.line_saae.shape_for``.

    Raises:
        ConfigError: see ``load_layout``, ``LineShape``, ``check_columns``.
        DataError: see ``open_texts``; no test line, or fewer than two training lines that the
            layout can write.
    """
    layout, data = load_layout(layout_name), open_texts(uri, real_only=True)
    train, test = data.split("train"), data.split("test")
    if sum(is_drawable(text, layout) for text in train.texts) < _LEAST_DRAWN:
        raise DataError(
            f"{uri}: expected at least {_LEAST_DRAWN} training lines that layout {layout.name} "
            f"can write, got texts such as {', '.join(map(repr, train.texts[:3]))}; choose another "
            "--layout or correct the labels."
        )
    shape = shape_for(layout, image_size)
    check_columns(layout, shape)
    if layout.is_free:
        shape = replace(shape, least_width=min(LineShape().least_width, shape.most_width))
    return OwnLines(
        LINES,
        f"{uri}, layout {layout.name}; share of test lines with every character right",
        uri,
        layout=layout_name,
        charset=_charset_of(layout, train.texts, test.texts),
        shape=shape,
    )


def _charset_of(layout: Layout, train: Sequence[str], test: Sequence[str]) -> Charset:
    """Characters that are read, and beside them those of test lines, which count as misread."""
    read = "".join([*train, layout.alphabet])
    counted = read + "".join(test)
    if layout.is_free:
        read, counted = fold(read), fold(counted)
    return Charset(*("".join(sorted(set("".join(some.split())))) for some in (read, counted)))


def _is_usual(data: TextImages, source: str) -> NDArray[np.bool_]:
    """Words of the usual protocol: of ICDAR's, letters and digits, and no fewer than three."""
    if not source.startswith("icdar"):
        return np.ones(len(data), bool)
    return np.array([t.isascii() and t.isalnum() and len(t) >= _LEAST_LETTERS for t in data.texts])


def _sets(data: TextImages, chosen: Mapping[str, NDArray[np.bool_]]) -> dict[str, TextImages]:
    return {name: data.subset(np.flatnonzero(rows)) for name, rows in chosen.items() if rows.any()}


TEXT_SCENARIOS: dict[str, TextScenario] = {
    scenario.name: scenario
    for scenario in (
        Plates(
            "plates",
            "Chinese license plates; share of test plates with every character right",
            "zip:{data}/text/cn_plates.zip",
            layout="plates-cn",
            charset=PLATES_CN,
            shape=LineShape(least_width=96, most_width=96),
            shots=300,
        ),
        Words(
            "words",
            "IIIT 5K-Word; share of test words right, without regard to case; with all training "
            "words drawn, seeds change the training alone",
            "zip:{data}/text/iiit5k_words.zip",
            layout="words",
            charset=WORDS,
            shape=LineShape(),
            group_by="picture",
            confirm=UNSEEN_PICTURES,
            others_uri="zip:{data}/text/icdar_svt_words.zip",
            other_sources=("svt_test", "icdar2013_test"),
        ),
    )
}
