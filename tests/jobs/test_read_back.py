import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from augment.errors import ConfigError
from jobs.read_back import format_errors, main
from recognizers.arrays import load_arrays
from recognizers.charset import Charset
from recognizers.text_metrics import report_errors

TINY = [
    "reader_steps=4",
    "budget.batch_size=8",
    "recognizer.width=4",
    "recognizer.hidden=4",
    "rendered_lines=6",
]


def tiny(uri: str, out: Path, scenario: str = "words") -> list[str]:
    settings = [word for setting in TINY for word in ("--set", setting)]
    return [scenario, "--data", uri, "--out", str(out), "--lines", "40", *settings]


def test_a_dry_run_prints_the_readers_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plates", "--out", str(tmp_path), "--dry-run"])
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["reader_folds"] == 1
    assert settings["reader_steps"] == settings["budget"]["steps"]
    with pytest.raises(ConfigError, match="needs --data URI and --layout"):
        main(["lines", "--out", str(tmp_path), "--dry-run"])


def test_errors_are_shown_worst_characters_first_and_by_place() -> None:
    errors = report_errors(["AX", "AB", "A"], ["AB", "AB", "AB"], Charset("ABX"))
    characters, places = format_errors(errors).split("\n\n")
    assert [line.split() for line in characters.splitlines()[1:]] == [
        ["B", "3", "66.7", "%"],
        ["A", "3", "0.0", "%"],
    ]
    assert [line.split() for line in places.splitlines()[1:]] == [
        ["1", "3", "0.0", "%"],
        ["2", "3", "66.7", "%"],
    ]


def test_the_roc_of_planted_errors_is_written_once(
    text_zip: Callable[[str, Sequence[str]], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = text_zip("words", ("One", "open", "STREET", "hotel", "Station", "no", "exit", "Maple"))
    main([*tiny(uri, tmp_path), "--share", "0.25"])
    told = capsys.readouterr().out
    assert "10 wrong among 40 lines" in told
    assert "character" in told
    assert "place" in told
    found = json.loads((tmp_path / "reader.json").read_text())
    assert (found["n_wrong"], found["n_right"]) == (10, 30)
    assert found["curve"][-1] == [1.0, 1.0]
    lines = load_arrays(tmp_path / "lines.npz")
    assert {len(column) for column in lines.values()} == {40}
    assert (lines["labels"] != lines["drawn"]).sum() == 10
    right = lines["labels"][lines["labels"] == lines["drawn"]]
    at = found["errors"]["by_position"]
    assert at["0"][0] == len(right) == 30, "what was planted is no error of the drawing"
    assert sum(times for times, _ in at.values()) == sum(map(len, right))
    assert ((lines["scores"] >= 0) & (lines["scores"] <= 1)).all()
    with pytest.raises(ConfigError, match="another --out"):
        main(tiny(uri, tmp_path))


def test_characters_of_plates_are_missing_and_replaced_and_both_are_counted(
    text_zip: Callable[[str, Sequence[str]], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = ("京A12345", "沪B67890", "皖C00000", "浙D11111", "苏E5K6L9", "粤D2345X")
    uri = text_zip("plates-cn", texts)
    main([*tiny(uri, tmp_path, "plates"), "--share", "0.4"])
    kinds = json.loads((tmp_path / "reader.json").read_text())["by_kind"]
    assert set(kinds) == {"missing", "replaced"}
    lines = load_arrays(tmp_path / "lines.npz")
    assert kinds["missing"]["n"] == sum(" " in text for text in lines["drawn"].tolist())
    assert sum(counts["n"] for counts in kinds.values()) == 16
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    for kind, counts in kinds.items():
        assert [kind, *map(str, counts.values())] in told
