import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augment.errors import DataError
from recognizers.arrays import save_arrays
from recognizers.text_comparison import compare_benchmarks, real_lines
from recognizers.text_scenarios import TextScenario


def finished(
    out: Path, scenario: TextScenario, right: dict[str, int], seeds: tuple[int, ...]
) -> Path:
    """A benchmark whose arms read so many of the test lines right, the first of them."""
    test = scenario.open().split("test")
    for seed in seeds:
        folder = out / "seeds" / str(seed)
        folder.mkdir(parents=True)
        (folder / "plan.json").write_text(json.dumps({"test": test.digest()}))
        for arm, count in right.items():
            read = [text if row < count else "" for row, text in enumerate(test.texts)]
            save_arrays(folder / "cells" / f"{arm}.npz", **{"read test": np.array(read, np.str_)})
    return out


def test_an_arm_is_compared_with_the_better_of_the_others_real_lines_over_common_seeds(
    plates_scenario: TextScenario, tmp_path: Path
) -> None:
    few = {"synthetic": 9, "classical": 2, "rendered": 3}
    many = {"synthetic": 11, "classical": 6, "rendered": 4}
    ours = finished(tmp_path / "few", plates_scenario, few, (1, 2, 3))
    theirs = finished(tmp_path / "many", plates_scenario, many, (2, 3, 4))
    assert compare_benchmarks(ours, theirs, [1, 2], plates_scenario).seeds == [2]
    gain = compare_benchmarks(ours, theirs, [1, 2, 3], plates_scenario)
    assert gain.seeds == [2, 3]
    assert gain.baseline == "classical"
    assert gain.gain.error_reduction == pytest.approx(1 - 3 / 6)
    assert gain.arms["synthetic"].mean == pytest.approx(9 / 12)
    assert gain.gain.ci95 is not None


def test_benchmarks_that_cannot_be_compared_are_refused(
    plates_scenario: TextScenario, tmp_path: Path
) -> None:
    right = {"synthetic": 9, "classical": 2, "rendered": 3}
    ours = finished(tmp_path / "ours", plates_scenario, right, (1,))
    theirs = finished(tmp_path / "a", plates_scenario, right, (7,))
    with pytest.raises(DataError, match="seeds that both benchmarks have"):
        compare_benchmarks(ours, theirs, [1], plates_scenario)
    lacking = finished(tmp_path / "b", plates_scenario, {"classical": 2}, (1,))
    with pytest.raises(DataError, match="a finished arm rendered"):
        compare_benchmarks(ours, lacking, [1], plates_scenario)
    other = finished(tmp_path / "c", plates_scenario, right, (1,))
    (other / "seeds" / "1" / "plan.json").write_text(json.dumps({"test": "another"}))
    with pytest.raises(DataError, match="same test lines"):
        compare_benchmarks(ours, other, [1], replace(plates_scenario, shots=10))


def test_real_lines_are_those_that_a_report_tells(tmp_path: Path) -> None:
    assert real_lines(tmp_path) is None
    (tmp_path / "report.json").write_text('{"n_train": 250}')
    assert real_lines(tmp_path) == 250
