import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from augment.data.datasets import LabelledImages
from augment.errors import ConfigError
from jobs import benchmark, tuning, verification
from recognizers.mixing import LabelledPixels, Recipe
from recognizers.plans import VERIFICATION_CANDIDATES
from recognizers.tuning import Trial
from recognizers.verification import Pairs, score_pairs
from recognizers.verification_arms import (
    CANDIDATES,
    VERIFICATION_ARMS,
    ReportingView,
    VerificationCell,
)

SAME = np.arange(40) % 2 == 0


def finished(task) -> SimpleNamespace:
    """A seed in which every arm mistakes two pairs less than the one before."""
    cells = []
    for place, arm in enumerate(VERIFICATION_ARMS):
        cosines = np.where(SAME, 0.8, 0.2).astype(np.float32)
        wrong = 10 - 2 * place
        cosines[:wrong] = 1 - cosines[:wrong]
        read = (cosines > 0.5).astype(np.int64)
        score = score_pairs(cosines, SAME, 0.5)
        cells.append(VerificationCell(arm, task.seed, read, score=score, seconds=2.0))
    faces = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    names = tuple(f"Person_{i}/Person_{i}_0001" for i in range(40))
    return SimpleNamespace(
        cells=lambda: cells,
        pairs=Pairs(names, names, SAME, np.zeros(40, np.int64)),
        generated=Counter(made=9, kept=7, dropped=2),
        new_people=lambda: None,
        run=SimpleNamespace(
            seconds=11.0,
            real=LabelledImages.from_arrays(faces, np.arange(50) % 5, tuple("abcde")),
            seed=task.seed,
            generated=lambda: LabelledPixels(faces[:5], np.arange(5)),
            bundle=lambda: SimpleNamespace(digest="d" * 64),
            bundle_folder=Path("runs/bundle"),
        ),
    )


def test_the_report_leads_with_new_people_and_holds_both_gains_and_all_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verification, "open_run", finished)
    benchmark.main(["faces-verify", "--device", "cpu", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["seeds"] == [0, 1, 2], "three seeds unless told otherwise"
    assert list(report["arms"]) == list(VERIFICATION_ARMS)
    assert report["arms"]["classical"]["mean"] == pytest.approx(0.8)
    assert set(report["gains"]) == set(CANDIDATES)
    assert report["gains"]["synthetic_existing"]["error_reduction"] == pytest.approx(1 - 6 / 8)
    assert report["gain"]["error_reduction"] == pytest.approx(1 - 4 / 8)
    assert report["gain"]["over"] == "classical"
    assert len(report["scores"]["real"]["auc"]) == 3
    assert report["generated"] == {"made": 27, "kept": 21, "dropped": 6}
    told = capsys.readouterr().out
    assert "TAR@FAR 1e-2" in told
    assert str(tmp_path / "report.html") in told
    page = (tmp_path / "report.html").read_text()
    assert "synthetic new" in page
    assert "40 test pairs" in told
    assert "40 test pairs" in page
    assert "generated images of a" in page, "pictures of the people"
    assert "--new-identities 5" in report["recommended"]["command"]


def test_tuning_writes_recipes_that_a_benchmark_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tried(runs: Mapping[int, Any]) -> list[Trial[Recipe]]:
        assert list(runs) == [100], "one draw unless told otherwise"
        return [
            Trial(arm, recipe, [0.5 + recipe.real_only_after / 10], {}, 1.0)
            for arm, recipes in VERIFICATION_CANDIDATES.items()
            for recipe in recipes
        ]

    monkeypatch.setattr(tuning, "open_run", finished)
    monkeypatch.setattr(tuning, "run_verification_trials", lambda run: None)
    monkeypatch.setattr(tuning, "summarize_verification", tried)
    command = ["faces-verify", "--device", "cpu", "--out", str(tmp_path)]
    benchmark.main([*command, "--tune", "--seed", "100"])
    found = json.loads((tmp_path / "tune.json").read_text())
    assert found["measured_on"] == "pairs of the people held back"
    assert len(found["trials"]) == 12
    capsys.readouterr()
    recipes = str(tmp_path / "recipes.json")
    benchmark.main([*command, "--resume", "--dry-run", "--config", recipes])
    chosen = json.loads(capsys.readouterr().out)["settings"]["recipes"]["synthetic_new"]
    assert (chosen["generated"], chosen["real_only_after"]) == (0.15, 0.8)


def test_curves_and_tuning_on_the_second_view_are_refused(tmp_path: Path) -> None:
    command = ["faces-verify", "--out", str(tmp_path)]
    with pytest.raises(ConfigError, match="leave --sweep out"):
        benchmark.main([*command, "--sweep"])
    with pytest.raises(ConfigError, match="tried on the first view"):
        benchmark.main([*command, "--view", "2", "--tune"])


def test_view_2_is_told_set_by_set_and_takes_no_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verification, "open_run", finished)
    monkeypatch.setattr(ReportingView, "num_sets", lambda scenario: 10)
    command = ["faces-verify", "--view", "2", "--device", "cpu"]
    benchmark.main([*command, "--out", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out" / "view2.json").read_text())
    assert list(report["arms"]) == list(VERIFICATION_ARMS)
    assert report["arms"]["real"]["mean"] == pytest.approx(0.75)
    assert report["arms"]["synthetic_new"]["standard_error"] == pytest.approx(0)
    assert len(report["arms"]["real"]["sets"]) == 10
    assert report["generated"] == {"made": 90, "kept": 70, "dropped": 20}
    assert "--view 2" in report["command"]
    told = capsys.readouterr().out
    assert "+10.00 ± 0.00" in told
    assert str(tmp_path / "out" / "view2.json") in told
    for more in (["--seeds", "3"], ["--seed", "1"]):
        with pytest.raises(ConfigError, match="sets in place of seeds"):
            benchmark.main([*command, *more, "--out", str(tmp_path)])


def test_only_faces_verify_has_a_second_view(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="goes with faces-verify, got digits"):
        benchmark.main(["digits", "--view", "2", "--out", str(tmp_path)])
