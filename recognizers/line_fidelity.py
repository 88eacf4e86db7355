"""How good generated lines of text are: readable, varied, new, useful, and what they give away.

A judge, a recognizer trained on the real training lines alone and no part of any generator, reads
lines that show texts of real held-out ones. These are dealt into two halves, as in
``recognizers.evaluation``: one is what sets are compared with, the other is measured like a
generated set and tells what a perfect generator would score. Of a generator as many lines are
compared, of the same texts; near-copies and members are looked for among all that are drawn.

What lines teach is told by pupils, recognizers that learn as many lines of the same texts, those
of the training lines: one of them sees the real lines, which is the judge, the other generated
ones. Both are tested on held-out lines whose texts are not among these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from augment.data.line_pairs import LineData
from augment.data.texts import TextImages
from augment.errors import DataError
from augment.generators.line_sampler import LineSampler
from augment.images import Pixels, resize_image, tile
from recognizers.distribution import compare_sets, describe_difference
from recognizers.fit import Budget
from recognizers.line_readers import charset_of
from recognizers.nearest import NearestImages, nearest_distances
from recognizers.privacy import (
    Attack,
    Floats,
    Sides,
    attack_members,
    measure_memorisation,
    target_distances,
)
from recognizers.scene_text import TextRecognizer
from recognizers.tables import markdown_table
from recognizers.text_fit import embed_lines, read_lines
from recognizers.text_metrics import right_texts, score_texts, share_interval
from recognizers.text_mixing import LabelledLines, TextRecipe
from recognizers.text_sources import line_shape
from recognizers.text_training import train_on_lines

__all__ = [
    "FIGURES",
    "LineJudge",
    "LineRow",
    "format_line_table",
    "line_notes",
    "nearest_grid",
    "style_grid",
]

PICTURE = (32, 96)
"""Size, in pixels, at which lines of all widths are compared as pictures."""


@dataclass(frozen=True)
class LineRow:
    """What is found of a set of lines.

    Attributes:
        name: of the generator, or "real, held out".
        lines: how many were read and compared, of a generator as many as of the real row.
        read: share whose every character the judge reads as it should be.
        read_ci95: its 95 % interval over groups of the real lines that have these texts.
        characters: 1 - edits / characters.
        fid: Fréchet distance from real held-out lines in the judge's features; None where one set
            has no more lines than these have dimensions.
        note: why there is no ``fid``; None where there is one.
        kid_thousandfold: squared kernel distance from real held-out lines, times 1,000.
        precision, recall, density, coverage: see ``recognizers.distribution``.
        drawn: how many lines near-copies were looked for in, and the attack was made with.
        near_copies: share nearer to a training line, as pictures, than all but 1 % of the
            held-out lines are.
        attack: how well training lines are told from others by their distance to the set; None
            where the generator was trained on other lines.
        learned: how many lines a pupil had.
        tested: how many lines pupils were tested on.
        teaches: share of these that a recognizer reads which is trained on one generated line of
            each training text; of the real row, on the training lines.
        teaches_ci95: its 95 % interval over groups of the lines tested on.
    """

    name: str
    lines: int
    read: float
    read_ci95: tuple[float, float]
    characters: float
    fid: float | None
    note: str | None
    kid_thousandfold: float
    precision: float
    recall: float
    density: float
    coverage: float
    drawn: int
    near_copies: float
    attack: Attack | None
    learned: int
    tested: int
    teaches: float
    teaches_ci95: tuple[float, float]


class LineJudge:
    """A trained recognizer with what it has to compare lines with.

    Args:
        train: the real lines that generators were trained on.
        held_out: real lines that nobody was trained on; those that the layout cannot write are
            left out.
        budget: of each recognizer.
        seed: of everything random.
        device: where to train and read.
        writes: whether every generator that is judged can write a text; lines of other texts are
            left out, of the training lines as lessons too.

    Raises:
        DataError: held-out lines of fewer than two groups, or none of a text that no training
            line has.
    """

    def __init__(
        self,
        train: LineData,
        held_out: TextImages,
        budget: Budget,
        *,
        seed: int = 0,
        device: str = "cpu",
        writes: Callable[[str], bool] = bool,
    ) -> None:
        self.train, self.budget, self.seed, self.device = train, budget, seed, device
        self.charset, self.shape = charset_of(train), line_shape(train)
        written = LineData.select(held_out, train.layout, train.shape).texts
        known = [self.charset.knows(_solid(text)) and writes(text) for text in written.texts]
        self.lessons = train.texts.subset(
            np.flatnonzero([writes(text) for text in train.texts.texts])
        )
        if not len(self.lessons):
            raise DataError(
                f"expected training lines of {train.texts.uri} with texts that the generators can "
                f"write, got none among {len(train)}; evaluate them on data like their own."
            )
        self.held_out = written.subset(np.flatnonzero(known))
        groups, of_group = np.unique(self.held_out.groups, return_inverse=True)
        if len(groups) < 2:
            raise DataError(
                f"expected held-out lines of {held_out.uri} in two groups or more, got "
                f"{len(groups)}; move lines to the test split."
            )
        learned = {self._counted(text) for text in train.texts.texts}
        new = [self._counted(text) not in learned for text in self.held_out.texts]
        self.tested = self.held_out.subset(np.flatnonzero(new))
        if not len(self.tested):
            raise DataError(
                f"expected held-out lines of {held_out.uri} with texts that no training line has, "
                f"got none among {len(new)}; move all lines of some texts to the test split."
            )
        first = np.random.default_rng(seed).permutation(len(groups)) < len(groups) // 2
        self.compared, self.other = (
            self.held_out.subset(np.flatnonzero(first[of_group] == half)) for half in (True, False)
        )

    @cached_property
    def model(self) -> TextRecognizer:
        """The judge."""
        return self._trained(self._labelled(self.lessons))

    def real_row(self) -> LineRow:
        """The other half of the held-out lines, judged like generated ones."""
        images = self.other.images(channels=self.shape.channels)
        return self._row("real, held out", images, self.model, is_real=True)

    def row(self, name: str, sampler: LineSampler, count: int) -> LineRow:
        """Judge a generator's lines.

        Args:
            name: what the row is called.
            sampler: the generator.
            count: lines that are drawn, of the other half's texts in turn; at least one of each.
        """
        count = max(count, len(self.other))
        texts = [self.other.texts[row % len(self.other)] for row in range(count)]
        drawn = sampler.draw_texts(texts, np.arange(count), self.seed)
        learned = self.lessons.texts
        lessons = sampler.draw_texts(learned, np.arange(len(learned)), self.seed)
        pupil = self._trained(LabelledLines.stacked(lessons.images, _solids(learned), self.shape))
        knows = sampler.info.data.get("digest") == self.train.digest()
        return self._row(name, drawn.images, pupil, knows_members=knows)

    def _row(
        self,
        name: str,
        images: Sequence[Pixels],
        pupil: TextRecognizer,
        *,
        is_real: bool = False,
        knows_members: bool = True,
    ) -> LineRow:
        alike = images[: len(self.other)]  # as many as real ones, of the same texts
        read = read_lines(self.model, self.shape.stack(alike)).texts
        score = score_texts(read, _solids(self.other.texts), self.charset)
        found = compare_sets(self._features, self._embedded(alike), self.seed)
        shown, attack = _pictured(images), None
        copied = nearest_distances(shown, self._members)
        if knows_members:
            groups = self.train.texts.groups, self.compared.groups
            if is_real:  # the real half cannot be its own reference
                attack = attack_members(self._usual, "pixels", groups=groups)
            else:
                near = target_distances(self._members, self._others, shown)
                attack = attack_members(
                    near, "pixels", real=self._usual, calibrated=True, groups=groups
                )
        tested = self._tested
        learned = read_lines(pupil, tested.lines).texts
        taught = score_texts(learned, tested.texts, self.charset)
        return LineRow(
            name=name,
            lines=len(alike),
            read=score.text_accuracy,
            read_ci95=self._interval(read, self.other),
            characters=score.character_accuracy,
            fid=found.fid,
            note=describe_difference(found),
            kid_thousandfold=1000 * found.kid,
            precision=found.precision,
            recall=found.recall,
            density=found.density,
            coverage=found.coverage,
            drawn=len(images),
            near_copies=measure_memorisation(copied, self._apart, "pixels").near_copies,
            attack=attack,
            learned=len(self.lessons),
            tested=len(self.tested),
            teaches=taught.text_accuracy,
            teaches_ci95=self._interval(learned, self.tested),
        )

    def _interval(self, read: Sequence[str], written: TextImages) -> tuple[float, float]:
        """Of the share of lines read right, over the groups of the real lines with these texts."""
        right = right_texts(read, _solids(written.texts), self.charset)
        return share_interval(right.astype(np.float64), written.groups)

    @cached_property
    def _compared(self) -> list[Pixels]:
        return self._pictures(self.compared)

    @cached_property
    def _members(self) -> Pixels:
        return _pictured(self._pictures(self.train.texts))

    @cached_property
    def _others(self) -> Pixels:
        return _pictured(self._compared)

    @cached_property
    def _apart(self) -> Floats:
        """(K,) distances of the half compared with to the nearest training line."""
        return nearest_distances(self._others, self._members)

    @cached_property
    def _usual(self) -> Sides:
        """Distances of training lines, and of that half, to the nearest of the other half."""
        other = _pictured(self._pictures(self.other))
        return target_distances(self._members, self._others, other)

    @cached_property
    def _tested(self) -> LabelledLines:
        return self._labelled(self.tested)

    @cached_property
    def _features(self) -> NDArray[np.float32]:
        return self._embedded(self._compared)

    def _embedded(self, images: Sequence[Pixels]) -> NDArray[np.float32]:
        """The judge's features, of mean square 1, as KID's kernel wants them."""
        embeddings = embed_lines(self.model, self.shape.stack(images))
        return embeddings * np.float32(np.sqrt(embeddings.shape[1]))

    def _pictures(self, data: TextImages) -> list[Pixels]:
        return data.images(channels=self.shape.channels)

    def _counted(self, text: str) -> str:
        """What tells texts apart to a reader."""
        return self.charset.comparable(_solid(text))

    def _labelled(self, data: TextImages) -> LabelledLines:
        return LabelledLines.of(replace(data, texts=tuple(_solids(data.texts))), self.shape)

    def _trained(self, lines: LabelledLines) -> TextRecognizer:
        """A recognizer trained on these lines alone, with classical augmentation."""
        return train_on_lines(
            TextRecipe(augmentation="strong"),
            {"real": lines},
            self.charset,
            self.shape,
            self.budget,
            seed=self.seed,
            device=self.device,
        )


def style_grid(sampler: LineSampler, texts: Sequence[str], styles: Sequence[int]) -> Pixels:
    """Each style of the bank (rows) over each text (columns): SAAE's Figure 6 for lines.

    Args:
        sampler: the generator.
        texts: n texts of its layout.
        styles: m indices into its bank.

    Returns:
        (H', W', C) uint8.
    """
    rows = np.arange(len(texts))
    drawn = [
        image
        for index in styles
        for image in sampler.draw_texts(texts, rows, 0, style=sampler.style(ids=[index])).images
    ]
    return tile(_padded(drawn), len(texts))


def nearest_grid(drawn: Sequence[Pixels], train: Sequence[Pixels], columns: int = 4) -> Pixels:
    """Lines, each with the training line most like it as a picture to the right: (H', W', C)."""
    shown, known = _pictured(drawn), _pictured(train)
    nearest, _ = NearestImages(known)(shown)
    pairs = np.stack([shown, known[nearest]], axis=1)
    return tile(pairs.reshape(-1, *shown.shape[1:]), 2 * columns)


def _in_words(attack: Attack | None) -> str:
    if attack is None:
        return "trained on others"
    return f"{attack.auc:.3f} ({attack.ci95[0]:.3f} to {attack.ci95[1]:.3f})"


def _share(share: float, ci95: tuple[float, float]) -> str:
    return f"{share:.1%} ({ci95[0]:.1%} to {ci95[1]:.1%})"


FIGURES: dict[str, Callable[[LineRow], str]] = {
    "n": lambda row: f"{row.lines:,}",
    "read": lambda row: _share(row.read, row.read_ci95),
    "characters": lambda row: f"{row.characters:.1%}",
    "FID": lambda row: "–" if row.fid is None else f"{row.fid:.2f}",
    "KID × 1,000": lambda row: f"{row.kid_thousandfold:.2f}",
    "precision": lambda row: f"{row.precision:.2f}",
    "recall": lambda row: f"{row.recall:.2f}",
    "density": lambda row: f"{row.density:.2f}",
    "coverage": lambda row: f"{row.coverage:.2f}",
    "drawn": lambda row: f"{row.drawn:,}",
    "near-copies": lambda row: f"{row.near_copies:.1%}",
    "attack, AUC": lambda row: _in_words(row.attack),
    "pupil's n": lambda row: f"{row.learned:,}",
    "teaches": lambda row: f"{_share(row.teaches, row.teaches_ci95)} of {row.tested:,}",
}
"""What is told of a row, by title, in the order told."""


def format_line_table(rows: Sequence[LineRow]) -> str:
    """The rows as a Markdown table, and what has to be known of it."""
    table = markdown_table(
        ("lines", *FIGURES),
        [(row.name, *(show(row) for show in FIGURES.values())) for row in rows],
    )
    return table + "".join(f"\n{note}\n" for note in line_notes(rows))


def line_notes(rows: Sequence[LineRow]) -> list[str]:
    """What has to be known of the rows' figures, each once."""
    return list(dict.fromkeys(row.note for row in rows if row.note is not None))


def _solid(text: str) -> str:
    """The text without white space, which is no ink."""
    return "".join(text.split())


def _solids(texts: Sequence[str]) -> list[str]:
    return [_solid(text) for text in texts]


def _pictured(images: Sequence[Pixels]) -> Pixels:
    return np.stack([resize_image(image, PICTURE) for image in images])


def _padded(lines: Sequence[Pixels]) -> Pixels:
    """Lines of one height side by side with white to one width, (N, H, W, C)."""
    width = max(line.shape[1] for line in lines)
    tiles = np.full((len(lines), lines[0].shape[0], width, lines[0].shape[2]), 255, np.uint8)
    for place, line in zip(tiles, lines, strict=True):
        place[:, : line.shape[1]] = line
    return tiles
