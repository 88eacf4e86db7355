"""The scenario faces-verify: generated images, of known and of new people, and LFW's two views.

A recognizer is trained on people of peopleDevTrain.txt and measured on the pairs of
pairsDevTest.txt, nobody of whom it has met. ``synthetic_existing`` adds generated images of the
people it is trained on, ``synthetic_new`` adds generated people who do not exist, as further
classes, each a mix of three real ones (CVAE-GAN, Sec. 4.5). A seed draws which people are held
back to choose the threshold by; pairsDevTest chooses nothing. View 2 measures the same arms
ten times, once a set of people.txt; there the set takes the place of the seed.
"""

import posixpath
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, DataError
from augment.generate import Sampler, Tally, draw_counts
from augment.generators import load_sampler
from augment.training import derive_seed
from recognizers.arms import SeedRun
from recognizers.arrays import load_array, load_arrays, save_arrays
from recognizers.draws import Draw
from recognizers.face import FaceRecognizer
from recognizers.gain import ArmResult, GainReport, measure_gain
from recognizers.mixing import LabelledPixels, Recipe
from recognizers.scenarios import Scenario, pick
from recognizers.verification import (
    Fold,
    Pairs,
    VerificationScore,
    View2,
    best_threshold,
    pairs_among,
    parse_pairs,
    parse_people,
    read_list,
    score_pairs,
    similarities,
    view2_fold,
)

__all__ = [
    "CANDIDATES",
    "FACES_VERIFY",
    "FACES_VERIFY_VIEW_2",
    "VERIFICATION_ARMS",
    "ReportingView",
    "Verification",
    "VerificationCell",
    "VerificationRun",
    "compare_arms",
    "format_scores",
    "format_view2",
    "score_table",
    "view2_table",
]

VERIFICATION_ARMS = ("real", "classical", "synthetic_existing", "synthetic_new")
CANDIDATES = ("synthetic_existing", "synthetic_new")
NEW_PEOPLE_FILE = "new_people.npz"
NEW_PEOPLE_STREAM = 3  # of a seed's derived seeds
TALLIED = ("made", "kept", "dropped", "copies")


@runtime_checkable
class MixesIdentities(Protocol):
    """A sampler that offers classes which do not exist."""

    def new_identities(self, count: int, seed: int) -> Sampler:
        """A sampler of ``count`` new classes."""


@dataclass(frozen=True)
class Verification(Scenario):
    """View 1 of Labeled Faces in the Wild.

    ``shots`` is the fewest photographs of a person who is trained on.

    Attributes:
        held_back: share of the people who choose the threshold.
        most_shots: most photographs of one person that are trained on.
    """

    held_back: float = 0.2
    most_shots: int = 20

    def draw(self, seed: int) -> Draw:
        """Hold people back to choose by; the test is every photograph of pairsDevTest.txt.

        Raises:
            DataError: the data or one of LFW's lists are missing, or nobody is left to train on.
        """
        data = self.open()
        (people,) = parse_people(read_list(data, "peopleDevTrain.txt"), "peopleDevTrain.txt")
        order = np.random.default_rng(seed).permutation(len(people))
        held_back, kept = np.split(order, [round(self.held_back * len(people))])
        return Draw(
            train=self._train_on(data, [people[row] for row in np.sort(kept)], seed),
            test=_photographs_of(data, self.test_pairs(data, seed)),
            focus=None,
            metric=self.metric,
            dev=data.relabel({people[row]: people[row] for row in np.sort(held_back)}),
        )

    def choosing_pairs(self, held_back: LabelledImages, seed: int) -> Pairs:
        """Pairs of people held back, who choose the threshold."""
        return pairs_among(held_back, np.random.default_rng(seed))

    def test_pairs(self, data: LabelledImages, seed: int) -> Pairs:
        """The pairs of pairsDevTest.txt, which lies beside ``data``; the same for every seed."""
        return parse_pairs(read_list(data, "pairsDevTest.txt"), "pairsDevTest.txt")

    def _train_on(self, data: LabelledImages, people: Sequence[str], seed: int) -> LabelledImages:
        """Some of the photographs of those who have enough."""
        photographs = dict(zip(data.classes, np.bincount(data.labels).tolist(), strict=True))
        train = data.relabel({n: n for n in people if photographs.get(n, 0) >= self.shots})
        if len(train.classes) < 2:
            raise DataError(
                f"{data.uri}: expected people with {self.shots} photographs or more to train on, "
                f"got {len(train.classes)}; ask for fewer --shots."
            )
        most = dict.fromkeys(range(len(train.classes)), self.most_shots)
        return train.subset(pick(train, np.arange(len(train)), most, seed))


@dataclass(frozen=True)
class ReportingView(Verification):
    """View 2 of Labeled Faces in the Wild: seed s measures set s of pairs.txt.

    A recognizer is trained on the people of the other sets of people.txt, but for the next one,
    which chooses the threshold in place of people held back.
    """

    def draw(self, seed: int) -> Draw:
        """Part the sets for measuring set ``seed``; errors as in ``Verification.draw``."""
        data = self.open()
        people, choosing, testing = self._fold(data, seed)
        return Draw(
            train=self._train_on(data, people, seed),
            test=_photographs_of(data, testing),
            focus=None,
            metric=self.metric,
            dev=_photographs_of(data, choosing),
        )

    def num_sets(self) -> int:
        """Sets of people.txt: ten, as published."""
        return len(self._people(self.open()))

    def choosing_pairs(self, held_back: LabelledImages, seed: int) -> Pairs:
        """The pairs of the set after the one that is measured."""
        return self._fold(held_back, seed).choosing

    def test_pairs(self, data: LabelledImages, seed: int) -> Pairs:
        """The pairs of set ``seed``."""
        return self._fold(data, seed).testing

    def _fold(self, data: LabelledImages, measured: int) -> Fold:
        pairs = parse_pairs(read_list(data, "pairs.txt"), "pairs.txt")
        return view2_fold(pairs, self._people(data), measured)

    def _people(self, data: LabelledImages) -> list[tuple[str, ...]]:
        return parse_people(read_list(data, "people.txt"), "people.txt")


FACES_VERIFY = Verification(
    "faces-verify",
    "Labeled Faces in the Wild, View 1: are two photographs of one person? Trained on people of "
    "its development set, measured on pairs of others",
    "lfw:{data}/faces/lfw_all_64.zip",
    shots=2,
    rendered=False,
    image_size=(64, 64),
    channels=3,
)
FACES_VERIFY_VIEW_2 = ReportingView(
    FACES_VERIFY.name,
    "Labeled Faces in the Wild, View 2: are two photographs of one person? Ten times trained on "
    "people of eight sets and measured on the pairs of another",
    FACES_VERIFY.uri,
    shots=FACES_VERIFY.shots,
    rendered=False,
    image_size=FACES_VERIFY.image_size,
    channels=FACES_VERIFY.channels,
)


@dataclass(frozen=True)
class VerificationCell(ArmResult):
    """One arm of one seed: ``predictions`` are 1 for pairs taken for one person.

    Attributes:
        score: at the threshold chosen on people held back.
        seconds: training and measuring.
    """

    score: VerificationScore = field(kw_only=True)
    seconds: float = 0.0


class VerificationRun:
    """One seed of faces-verify; whatever is finished is kept in the seed's folder.

    Args:
        run: the seed's, on a draw of ``scenario``; its generator is shared by both synthetic arms.
        scenario: knows the test pairs.

    Raises:
        ConfigError: a recognizer without embeddings, or a plan without an arm's recipe.
    """

    def __init__(self, run: SeedRun, scenario: Verification) -> None:
        if not (isinstance(run.build, type) and issubclass(run.build, FaceRecognizer)):
            raise ConfigError(
                f"{scenario.name} compares embeddings: expected a recognizer derived from "
                f"recognizers.face.FaceRecognizer, got {run.build!r}."
            )
        if missing := [arm for arm in VERIFICATION_ARMS if arm not in run.plan.recipes]:
            raise ConfigError(
                f"expected a recipe for every arm, got none for {', '.join(missing)}."
            )
        assert run.draw.dev is not None, "a draw of Verification holds people back"
        self.run, self.held_back, self.scenario = run, run.draw.dev, scenario
        self.pairs = scenario.test_pairs(run.draw.test, run.seed)

    @property
    def generated(self) -> Counter[str]:
        """Images made, kept and dropped for both synthetic arms, as far as they are finished.

        "copies" of those dropped were near-copies of training images; told where the plan looks
        for them.
        """
        count = Counter({name: getattr(self.run.tally, name) for name in TALLIED})
        path = self.run.folder / NEW_PEOPLE_FILE
        if path.exists():
            count.update(dict(zip(TALLIED, load_array(path, "tally").tolist(), strict=True)))
        if not self.run.plan.drop_copies:
            del count["copies"]
        return count

    def cells(self) -> list[VerificationCell]:
        """Train and measure every arm that is not finished yet."""
        return [self._cell(arm) for arm in VERIFICATION_ARMS]

    def new_people(self) -> LabelledPixels:
        """Generated people who do not exist, as many as there are real ones.

        Their labels follow those of the real people. Nobody can read them back, but near-copies
        of training images are dropped as of known people.

        Raises:
            ConfigError: the generator cannot mix people.
            DataError: everything it drew was a near-copy.
        """
        path = self.run.folder / NEW_PEOPLE_FILE
        if not path.exists():
            started = time.monotonic()
            self.run.bundle()
            sampler = load_sampler(self.run.bundle_folder, device=self.run.device)
            if not isinstance(sampler, MixesIdentities):
                raise ConfigError(
                    f"synthetic_new needs a generator that mixes people, such as cvae_gan; got "
                    f"{sampler.info.architecture}."
                )
            count = len(self.run.real.classes)
            mixed = sampler.new_identities(count, derive_seed(self.run.seed, NEW_PEOPLE_STREAM))
            wanted = dict.fromkeys(range(count), self.run.plan.generated_per_class)
            drawn = draw_counts(
                mixed, wanted, self.run.seed, is_copy=self.run.is_copy, tally=(tally := Tally())
            )
            kept = [image for chunk in drawn for image in chunk]
            if not kept:
                raise DataError(
                    f"seed {self.run.seed}: expected new people who are no copies of photographs, "
                    f"got {tally.made} near-copies; train the generator longer."
                )
            save_arrays(
                path,
                images=np.stack([image.image for image in kept]),
                labels=np.array([count + image.label for image in kept]),
                tally=np.array([getattr(tally, name) for name in TALLIED]),
                seconds=np.array(time.monotonic() - started),
            )
        arrays = load_arrays(path)
        return LabelledPixels(arrays["images"], arrays["labels"])

    def extra_people(self, arm: str) -> LabelledPixels | None:
        """What an arm has besides real photographs; None: nothing. Drawn if it is not yet."""
        if arm == "synthetic_existing":
            return self.run.generated()
        return self.new_people() if arm == "synthetic_new" else None

    def train(self, recipe: Recipe, extra: LabelledPixels | None) -> FaceRecognizer:
        """Train a recognizer by a recipe on real photographs and on ``extra_people``."""
        model = self.run.train(recipe, seed=1, generated=extra)
        assert isinstance(model, FaceRecognizer), "checked at the start"
        return model

    def _cell(self, arm: str) -> VerificationCell:
        path = self.run.folder / "cells" / f"{arm}.npz"
        if not path.exists():
            self._finish(path, arm)
        arrays = load_arrays(path)
        cosines, threshold = arrays["cosines"], float(arrays["threshold"])
        return VerificationCell(
            arm,
            self.run.seed,
            (cosines > threshold).astype(np.int64),
            score=score_pairs(cosines, self.pairs.same, threshold),
            seconds=float(arrays["seconds"]),
        )

    def _finish(self, path: Path, arm: str) -> None:
        """Train an arm, choose its threshold, compare the test pairs and keep the result."""
        extra = self.extra_people(arm)
        self.run.say(f"seed {self.run.seed}: arm {arm}")
        started = time.monotonic()
        model = self.train(self.run.plan.recipes[arm], extra)
        choosing = self.scenario.choosing_pairs(self.held_back, self.run.seed)
        threshold = best_threshold(similarities(model, self.held_back, choosing), choosing.same)
        cosines = similarities(model, self.run.draw.test, self.pairs)
        save_arrays(
            path,
            cosines=cosines,
            threshold=np.array(threshold),
            seconds=np.array(time.monotonic() - started),
        )


def compare_arms(runs: Sequence[VerificationRun]) -> dict[str, GainReport]:
    """Each synthetic arm against the classical one; arms not finished yet are run.

    A pair stands or falls with the person it names first: an interval resamples these.
    """
    cells = [cell for run in runs for cell in run.cells()]
    pairs = runs[0].pairs
    return {
        arm: measure_gain(
            cells, pairs.same.astype(np.int64), pairs.people, metric="accuracy", candidate=arm
        )
        for arm in CANDIDATES
    }


def score_table(runs: Sequence[VerificationRun]) -> dict[str, dict[str, list[float]]]:
    """Accuracy, TAR at FAR 1e-2, AUC and threshold of each arm, one value a seed."""
    cells = [cell for run in runs for cell in run.cells()]
    return {
        arm: {
            name: [asdict(cell.score)[name] for cell in cells if cell.arm == arm]
            for name in ("accuracy", "tar_at_far", "auc", "threshold")
        }
        for arm in VERIFICATION_ARMS
    }


def format_scores(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """``score_table`` for a console: means over the seeds, in percent."""
    lines = [f"  {'arm':<20}{'accuracy':>10}{'TAR@FAR 1e-2':>14}{'AUC':>8}"]
    for arm, values in scores.items():
        accuracy, tar, auc = (100 * np.mean(values[n]) for n in ("accuracy", "tar_at_far", "auc"))
        lines.append(f"  {arm:<20}{accuracy:10.2f}{tar:14.2f}{auc:8.2f}")
    return "\n".join(lines)


def view2_table(runs: Sequence[VerificationRun]) -> dict[str, View2]:
    """View 2's scores of each arm from a run a set; arms not finished yet are run."""
    cells = [cell for run in runs for cell in run.cells()]
    return {
        arm: View2.of([cell.score for cell in cells if cell.arm == arm])
        for arm in VERIFICATION_ARMS
    }


def format_view2(table: Mapping[str, View2]) -> str:
    """``view2_table`` for a console, in percent; each arm beside the classical one, set by set."""
    lines = [f"  {'arm':<20}{'accuracy ± s.e.':>18}{'over classical ± s.e.':>24}"]
    classical = np.array([score.accuracy for score in table["classical"].sets])
    for arm, scores in table.items():
        line = f"  {arm:<20}{100 * scores.mean:11.2f} ± {100 * scores.standard_error:.2f}"
        if arm in CANDIDATES:
            more = 100 * (np.array([score.accuracy for score in scores.sets]) - classical)
            line += f"{more.mean():+17.2f} ± {more.std(ddof=1) / np.sqrt(len(more)):.2f}"
        lines.append(line)
    return "\n".join(lines)


def _photographs_of(data: LabelledImages, pairs: Pairs) -> LabelledImages:
    """Those of ``data`` that are in a pair."""
    named = {*pairs.first, *pairs.second}
    return data.subset([i for i, n in enumerate(data.names) if posixpath.splitext(n)[0] in named])
