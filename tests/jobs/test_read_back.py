import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from augment.errors import ConfigError
from jobs.read_back import main
from recognizers.arrays import load_arrays

TINY = [
    "reader_steps=4",
    "budget.batch_size=8",
    "recognizer.width=4",
    "recognizer.hidden=4",
    "rendered_lines=6",
]


def tiny(uri: str, out: Path) -> list[str]:
    settings = [word for setting in TINY for word in ("--set", setting)]
    return ["words", "--data", uri, "--out", str(out), "--lines", "40", *settings]


def test_a_dry_run_prints_the_readers_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plates", "--out", str(tmp_path), "--dry-run"])
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["reader_folds"] == 1
    assert settings["reader_steps"] == settings["budget"]["steps"]


def test_the_roc_of_planted_errors_is_written_once(
    text_zip: Callable[[str, Sequence[str]], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = text_zip("words", ("One", "open", "STREET", "hotel", "Station", "no", "exit", "Maple"))
    main([*tiny(uri, tmp_path), "--share", "0.25"])
    assert "10 wrong among 40 lines" in capsys.readouterr().out
    found = json.loads((tmp_path / "reader.json").read_text())
    assert (found["n_wrong"], found["n_right"]) == (10, 30)
    assert found["curve"][-1] == [1.0, 1.0]
    lines = load_arrays(tmp_path / "lines.npz")
    assert {len(column) for column in lines.values()} == {40}
    assert (lines["labels"] != lines["drawn"]).sum() == 10
    assert ((lines["scores"] >= 0) & (lines["scores"] <= 1)).all()
    with pytest.raises(ConfigError, match="another --out"):
        main(tiny(uri, tmp_path))
