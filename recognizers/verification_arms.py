"""The scenario faces-verify: generated images, of known and of new people, and LFW's View 1.

A recognizer is trained on people of peopleDevTrain.txt and measured on the pairs of
pairsDevTest.txt, nobody of whom it has met. ``synthetic_existing`` adds generated images of the
people it is trained on, ``synthetic_new`` adds generated people who do not exist, as further
classes, each a mix of three real ones (CVAE-GAN, Sec. 4.5). A seed draws which people are held
back to choose the threshold by; pairsDevTest chooses nothing.
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
from augment.generate import Sampler, draw_counts
from augment.generators import load_sampler
from augment.training import derive_seed
from recognizers.arms import SeedRun
from recognizers.arrays import load_arrays, save_arrays
from recognizers.face import FaceRecognizer
from recognizers.gain import ArmResult, GainReport, measure_gain
from recognizers.mixing import LabelledPixels
from recognizers.scenarios import Draw, Scenario, pick
from recognizers.verification import (
    Pairs,
    VerificationScore,
    best_threshold,
    pairs_among,
    parse_pairs,
    parse_people,
    read_list,
    score_pairs,
    similarities,
)

__all__ = [
    "CANDIDATES",
    "FACES_VERIFY",
    "VERIFICATION_ARMS",
    "Verification",
    "VerificationCell",
    "VerificationRun",
    "compare_arms",
    "format_scores",
    "score_table",
]

VERIFICATION_ARMS = ("real", "classical", "synthetic_existing", "synthetic_new")
CANDIDATES = ("synthetic_existing", "synthetic_new")
NEW_PEOPLE_FILE = "new_people.npz"
NEW_PEOPLE_STREAM = 3  # of a seed's derived seeds
TALLIED = ("made", "kept", "dropped")


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
        photographs = dict(zip(data.classes, np.bincount(data.labels).tolist(), strict=True))
        known = [name for row in np.sort(kept) if photographs.get(name := people[row], 0)]
        train = data.relabel({n: n for n in known if photographs[n] >= self.shots})
        if len(train.classes) < 2:
            raise DataError(
                f"{data.uri}: expected people with {self.shots} photographs or more to train on, "
                f"got {len(train.classes)}; ask for fewer --shots."
            )
        most = dict.fromkeys(range(len(train.classes)), self.most_shots)
        pairs = self.test_pairs(data)
        tested = {*pairs.first, *pairs.second}
        is_tested = [posixpath.splitext(name)[0] in tested for name in data.names]
        return Draw(
            train=train.subset(pick(train, np.arange(len(train)), most, seed)),
            test=data.subset(np.flatnonzero(is_tested)),
            focus=None,
            metric=self.metric,
            dev=data.relabel({people[row]: people[row] for row in np.sort(held_back)}),
        )

    def test_pairs(self, data: LabelledImages) -> Pairs:
        """The pairs of pairsDevTest.txt, which lies beside ``data``."""
        return parse_pairs(read_list(data, "pairsDevTest.txt"), "pairsDevTest.txt")


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
        ConfigError: a recognizer without embeddings.
    """

    def __init__(self, run: SeedRun, scenario: Verification) -> None:
        if not (isinstance(run.build, type) and issubclass(run.build, FaceRecognizer)):
            raise ConfigError(
                f"{scenario.name} compares embeddings: expected a recognizer derived from "
                f"recognizers.face.FaceRecognizer, got {run.build!r}."
            )
        assert run.draw.dev is not None, "a draw of Verification holds people back"
        self.run, self.held_back = run, run.draw.dev
        self.pairs = scenario.test_pairs(run.draw.test)

    @property
    def generated(self) -> Counter[str]:
        """Images made, kept and dropped for both synthetic arms, as far as they are finished."""
        count = Counter({name: getattr(self.run.tally, name) for name in TALLIED})
        path = self.run.folder / NEW_PEOPLE_FILE
        if path.exists():
            made = len(load_arrays(path)["labels"])
            count.update(made=made, kept=made)
        return count

    def cells(self) -> list[VerificationCell]:
        """Train and measure every arm that is not finished yet."""
        return [self._cell(arm) for arm in VERIFICATION_ARMS]

    def new_people(self) -> LabelledPixels:
        """Generated people who do not exist, as many as there are real ones.

        Their labels follow those of the real people. Nobody can read them back.

        Raises:
            ConfigError: the generator cannot mix people.
        """
        path = self.run.folder / NEW_PEOPLE_FILE
        if not path.exists():
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
            drawn = [
                image for chunk in draw_counts(mixed, wanted, self.run.seed) for image in chunk
            ]
            save_arrays(
                path,
                images=np.stack([image.image for image in drawn]),
                labels=np.array([count + image.label for image in drawn]),
            )
        arrays = load_arrays(path)
        return LabelledPixels(arrays["images"], arrays["labels"])

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
        recipe = self.run.plan.recipes["synthetic" if arm in CANDIDATES else arm]
        if arm == "synthetic_existing":
            extra: LabelledPixels | None = self.run.generated()
        else:
            extra = self.new_people() if arm == "synthetic_new" else None
        self.run.say(f"seed {self.run.seed}: arm {arm}")
        started = time.monotonic()
        model = self.run.train(recipe, seed=1, generated=extra)
        assert isinstance(model, FaceRecognizer), "checked at the start"
        choosing = pairs_among(self.held_back, np.random.default_rng(self.run.seed))
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
