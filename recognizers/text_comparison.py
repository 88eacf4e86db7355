"""Two benchmarks of text against each other: another number of real lines, or another plan.

The test lines are the same, and for one seed the fewer real lines are among the more, so both are
paired as the arms of one benchmark are, and ``recognizers.gain`` measures the difference.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augment.errors import DataError
from recognizers.arrays import load_arrays
from recognizers.charset import Charset
from recognizers.gain import BASELINES, CANDIDATE, ArmResult, GainReport, measure_gain
from recognizers.text_arms import TEST
from recognizers.text_metrics import right_texts
from recognizers.text_scenarios import TextScenario

__all__ = ["compare_benchmarks", "real_lines"]


def compare_benchmarks(candidate: Path, baseline: Path, scenario: TextScenario) -> GainReport:
    """Measure the synthetic arm of one benchmark against classical and rendered of another.

    Args:
        candidate: OUT of the first.
        baseline: OUT of the second.
        scenario: that of both, on their data.

    Returns:
        The gain over the better of the two, for the seeds that both have; ``arms`` tells all
        three.

    Raises:
        DataError: they have no seed in common, an arm is missing, or either was tested on other
            lines than the scenario's.
    """
    numbers = [
        {int(folder.name) for folder in (out / "seeds").glob("*") if folder.name.isdigit()}
        for out in (candidate, baseline)
    ]
    seeds = sorted(numbers[0] & numbers[1])
    if not seeds:
        raise DataError(
            f"expected seeds that both benchmarks have, got {sorted(numbers[0])} in {candidate} "
            f"and {sorted(numbers[1])} in {baseline}; run them with the same --seed."
        )
    test = scenario.open().split("test")
    digest = test.digest()
    results = [
        _result(out, seed, name, test.texts, digest, scenario.charset)
        for seed in seeds
        for out, name in (
            (candidate, CANDIDATE),
            *((baseline, name) for name in BASELINES),
        )
    ]
    return measure_gain(results, np.zeros(len(test), np.int64), test.groups, metric="accuracy")


def real_lines(out: Path) -> int | None:
    """Real lines that a benchmark trained on; None where its report is not written yet."""
    report = out / "report.json"
    if not report.is_file():
        return None
    return int(json.loads(report.read_text(encoding="utf-8"))["n_train"])


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
