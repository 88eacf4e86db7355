import json
from pathlib import Path

import pytest

from augment.errors import ConfigError
from jobs import benchmark
from recognizers.arms import Plan

TINY = (
    "budget.steps=10",
    "reader_steps=2",
    "generated_per_class=2",
    "rendered_per_class=2",
    "generator.model.steps.reconstruct=2",
    "generator.model.steps.discriminate=1",
    "generator.model.steps.alternate=2",
)


def run(out: Path, *words: str) -> None:
    sets = [word for setting in TINY for word in ("--set", setting)]
    benchmark.main(["digits", "--seeds", "1", "--out", str(out), *sets, *words])


def test_a_benchmark_reports_resumes_and_refuses_another_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["arms"]) == ["real", "classical", "rendered", "synthetic", "synthetic_only"]
    assert report["n_train"] == 50
    assert (tmp_path / "report.html").exists()
    assert "arm real" in capsys.readouterr().out

    with pytest.raises(ConfigError, match="--resume"):
        run(tmp_path)
    run(tmp_path, "--resume")
    assert "arm real:" not in capsys.readouterr().out, "a finished cell was run again"
    assert json.loads((tmp_path / "report.json").read_text())["arms"] == report["arms"]
    with pytest.raises(ConfigError, match="another plan"):
        run(tmp_path, "--resume", "--set", "budget.steps=11")


def test_chars_needs_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs --data"):
        benchmark.main(["chars", "--out", str(tmp_path), "--dry-run"])


def test_shots_change_the_scenario(tmp_path: Path) -> None:
    words = ["digits", "--out", str(tmp_path), "--shots", "3"]
    arguments = benchmark.parser().parse_args(words)
    assert len(benchmark.choose_scenario(arguments).draw(0).train) == 30


def test_quick_divides_all_steps_by_ten() -> None:
    plan, quick = Plan(), benchmark.quicken(Plan())
    assert quick.budget.steps == plan.budget.steps // 10
    assert quick.reader_steps == plan.reader_steps // 10
    assert quick.generator.model.steps.alternate == plan.generator.model.steps.alternate // 10
