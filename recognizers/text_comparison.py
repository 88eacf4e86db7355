"""Two benchmarks of text against each other: another number of real lines, or another plan.

The test lines are the same, and for one seed the fewer real lines are among the more, so both are
paired as the arms of one benchmark are, and ``recognizers.gain`` measures the difference.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augment.data.texts import TextImages
from augment.errors import DataError
from recognizers.arrays import load_arrays
from recognizers.charset import Charset
from recognizers.gain import BASELINES, CANDIDATE, ArmResult, GainReport, measure_gain
from recognizers.text_arms import TEST
from recognizers.text_metrics import right_texts
from recognizers.text_scenarios import TextScenario

__all__ = ["check_baselines", "compare_benchmarks", "real_lines"]


def compare_benchmarks(
    candidate: Path, baseline: Path, seeds: Sequence[int], scenario: TextScenario
) -> GainReport:
    """Measure the synthetic arm of one benchmark against classical and rendered of another.

    Args:
        candidate: OUT of the first.
        baseline: OUT of the second.
        seeds: finished ones of the first.
        scenario: that of both, on their data.

    Returns:
        The gain over the better of the two, for those of the seeds that the second has too;
        ``arms`` tells all three.

    Raises:
        DataError: they have no seed in common, an arm is missing, or either was tested on other
            lines than the scenario's.
    """
    test = scenario.open().split("test")
    common = _common(seeds, baseline)
    results = _results(candidate, common, (CANDIDATE,), test, scenario.charset)
    results += _results(baseline, common, BASELINES, test, scenario.charset)
    return measure_gain(results, np.zeros(len(test), np.int64), test.groups, metric="accuracy")


def check_baselines(baseline: Path, seeds: Sequence[int], scenario: TextScenario) -> None:
    """Check that a benchmark can be compared with one that is still to be run.

    Args:
        baseline: OUT of the finished one.
        seeds: of the other.
        scenario: that of both, on their data.

    Raises:
        DataError: as of ``compare_benchmarks``.
    """
    test = scenario.open().split("test")
    _results(baseline, _common(seeds, baseline), BASELINES, test, scenario.charset)


def real_lines(out: Path) -> int | None:
    """Real lines that a benchmark trained on; None where its report is not written yet."""
    report = out / "report.json"
    if not report.is_file():
        return None
    return int(json.loads(report.read_text(encoding="utf-8"))["n_train"])


def _common(seeds: Sequence[int], baseline: Path) -> list[int]:
    """The seeds that a benchmark has too, sorted."""
    known = [int(one.name) for one in (baseline / "seeds").glob("*") if one.name.isdigit()]
    if not (common := sorted(set(seeds) & set(known))):
        raise DataError(
            f"expected seeds that both benchmarks have, got {sorted(seeds)} and, in {baseline}, "
            f"{sorted(known)}; run them with the same --seed."
        )
    return common


def _results(
    out: Path, seeds: Sequence[int], arms: Sequence[str], test: TextImages, charset: Charset
) -> list[ArmResult]:
    digest = test.digest()
    return [_result(out, seed, arm, test.texts, digest, charset) for seed in seeds for arm in arms]


def _result(
    out: Path, seed: int, arm: str, texts: Sequence[str], digest: str, charset: Charset
) -> ArmResult:
    """One finished arm; a mistake a line that was misread."""
    folder = out / "seeds" / str(seed)
    try:
        claim = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        read = load_arrays(folder / "cells" / f"{arm}.npz")[f"read {TEST}"].tolist()
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"expected a finished arm {arm} of a text scenario in {folder}, got: {error}."
        ) from error
    if claim.get(TEST) != digest:
        raise DataError(
            f"{folder}: expected results on the same test lines, got those on others; compare "
            "benchmarks of one scenario on the same data."
        )
    return ArmResult(arm, seed, (~right_texts(read, texts, charset)).astype(np.int64))
