import argparse
import json
import shlex
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.data.layouts import load_layout
from augment.errors import ConfigError, DataError
from augment.images import encode_png
from jobs import generate, texts
from jobs.benchmark import main
from recognizers.arrays import load_arrays, save_arrays
from recognizers.text_plans import TEXT_PLAN
from recognizers.text_scenarios import TEXT_SCENARIOS

TINY = [
    "budget.steps=4",
    "budget.batch_size=8",
    "read_back=false",
    "recognizer.width=4",
    "recognizer.hidden=4",
    "generated_lines=6",
    "rendered_lines=6",
    "generator.model.width=4",
    "generator.model.style_dim=6",
    "generator.model.discriminator_width=4",
    "generator.training.batch_size=4",
    'generator.model.steps={"reconstruct": 1, "discriminate": 1, "alternate": 1}',
]
Zip = Callable[[str, Sequence[str]], str]
WORDS = ("One", "open", "STREET", "hotel", "Station", "no", "exit", "Maple", "sale", "bar9")


def tiny(name: str, uri: str, out: Path, *more: str) -> list[str]:
    settings = [word for setting in TINY for word in ("--set", setting)]
    return [name, "--data", uri, "--out", str(out), "--device", "cpu", *settings, *more]


@pytest.mark.parametrize("name", ["plates", "words"])
def test_a_dry_run_prints_the_plan_and_reads_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([name, "--data", "zip:/nowhere.zip", "--out", str(tmp_path), "--dry-run", "--quick"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["settings"]["budget"]["steps"] == 300
    expected = TEXT_PLAN.recipes["rendered"].rendered
    assert printed["settings"]["recipes"]["rendered"]["rendered"] == expected
    assert not list(tmp_path.iterdir())


def test_plates_are_measured_and_resumed_without_training_anything_again(
    text_zip: Zip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, rng = load_layout("plates-cn"), np.random.default_rng(0)
    texts = [layout.random_text(rng) for _ in range(30)]
    uri = text_zip("plates-cn", texts)
    command = tiny("plates", uri, tmp_path / "out", "--shots", "12", "--seeds", "1")
    main(command)
    first = capsys.readouterr().out
    assert "plates: accuracy on 10 test images, 12 real training images, 1 seed" in first
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["scenario"] == "plates"
    assert "--resume" not in report["command"]
    assert (tmp_path / "out" / "report.html").exists()

    with pytest.raises(ConfigError, match="--resume"):
        main(command)
    main([*command, "--resume"])
    assert "arm" not in capsys.readouterr().out.split("plates: accuracy")[0]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["arms"] == report["arms"]


def test_the_command_that_a_report_ends_with_makes_the_training_set(
    text_zip: Zip, tmp_path: Path
) -> None:
    uri = text_zip("words", WORDS)
    mix = ["--set", "recipes.real.rendered=0.5", "--set", "recipes.real.generated=0.25"]
    main(tiny("words", uri, tmp_path / "out", "--seeds", "1", *mix))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["recommended"]["mix"] == {"real": 0.25, "rendered": 0.5, "generated": 0.25}
    written = (tmp_path / "out" / "texts.txt").read_text().splitlines()
    real = sorted(text for number, text in enumerate(WORDS) if number % 3)
    for command, source in zip(
        report["recommended"]["command"].split(" && "), ("rendered", "generated"), strict=True
    ):
        words = shlex.split(command)
        assert words[:3] == ["python", "-m", "jobs.generate"]
        generate.main(words[3:])
        manifest = tmp_path / "out" / f"training-set-{source}" / "manifest.jsonl"
        *rows, _ = map(json.loads, manifest.read_text().splitlines())
        made = [row["label"] for row in rows if row["origin"] == "generated"]
        assert sorted(made) == sorted(written)
        kept = sorted(row["label"] for row in rows if row["origin"] == "real")
        assert kept == (real if source == "rendered" else [])


def test_words_are_tuned_by_cross_validation_and_measured_with_what_was_best(
    text_zip: Zip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = text_zip("words", WORDS)
    main(tiny("words", uri, tmp_path / "tune", "--tune"))
    said = capsys.readouterr().out
    assert said.count("   best\n") == 3
    assert "4 recipes for each of classical, rendered, synthetic" in said
    tuned: dict[str, Any] = json.loads((tmp_path / "tune" / "tune.json").read_text())
    assert tuned["measured_on"] == "3-fold cross-validation inside the draw's 6 training lines"

    recipes = str(tmp_path / "tune" / "recipes.json")
    main(tiny("words", uri, tmp_path / "out", "--seeds", "1", "--config", recipes, "--sweep"))
    told = capsys.readouterr().out
    assert "pictures without a word in train, 4 lines" in told
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["confirmation"]["on"] == "pictures without a word in train"
    assert next(iter(report["amounts"])) == "0"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Against training steps, by lines generated" in page


def test_all_training_lines_can_be_asked_for_without_knowing_their_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []
    monkeypatch.setattr(
        texts, "measure_texts", lambda tasks, **how: str(asked.append(tasks[0].scenario.shots))
    )
    for shots in ("all", "1000"):
        main(["plates", "--out", str(tmp_path), "--shots", shots])
    assert asked == [None, 1000]
    with pytest.raises(ConfigError, match="--shots all goes with text"):
        main(["scene-chars", "--out", str(tmp_path), "--shots", "all"])
    with pytest.raises(SystemExit):
        main(["plates", "--out", str(tmp_path), "--shots", "most"])


@pytest.mark.parametrize("option", [["--view", "2"], ["--recognizer", "a:B"]])
def test_options_that_text_has_not_are_refused(option: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave them out"):
        main(["plates", "--out", str(tmp_path), *option])


def test_generated_lines_are_compared_with_the_real_ones_of_another_benchmark(
    text_zip: Zip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, rng = load_layout("plates-cn"), np.random.default_rng(0)
    uri = text_zip("plates-cn", [layout.random_text(rng) for _ in range(30)])
    out, others = tmp_path / "out", tmp_path / "others"
    main(tiny("plates", uri, others, "--shots", "15", "--seeds", "1"))
    command = tiny("plates", uri, out, "--shots", "12", "--seeds", "2", "--resume")
    main(command)
    test = TEXT_SCENARIOS["plates"].with_data(uri).open().split("test")
    for seed, right in ((0, 4), (1, 9)):
        cell = out / "seeds" / str(seed) / "cells" / "synthetic.npz"
        read = [text if row < right else "" for row, text in enumerate(test.texts)]
        save_arrays(cell, **load_arrays(cell) | {"read test": np.array(read, np.str_)})
    capsys.readouterr()
    main([*command, "--against", str(others)])
    said = capsys.readouterr().out
    assert f"synthetic against {others}, seeds 0: " in said, "the seed that both have"
    assert "40.0 % fewer errors than classical" in said
    report = json.loads((out / "report.json").read_text())
    assert report["against"]["benchmark"] == str(others)
    assert report["against"]["n_train"] == 15
    assert report["against"]["gain"]["error_reduction"] == pytest.approx(0.4)
    assert "Against the real images of another benchmark" in (out / "report.html").read_text()


def test_what_cannot_be_compared_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    against = ["--out", str(tmp_path / "out"), "--against", str(tmp_path / "none")]
    with pytest.raises(ConfigError, match="must be the --out of a benchmark"):
        main(["plates", *against])
    with pytest.raises(ConfigError, match="goes with plates, words, lines"):
        main(["scene-chars", *against])
    with pytest.raises(ConfigError, match="--tune and --against exclude each other"):
        main(["plates", "--tune", *against])


def test_a_benchmark_of_other_seeds_or_lines_is_refused_before_anything_is_trained(
    text_zip: Zip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "run_tasks", lambda *given, **how: pytest.fail("was trained"))
    others, uri = tmp_path / "others", text_zip("words", WORDS)
    command = tiny("words", uri, tmp_path / "out", "--seeds", "1", "--against", str(others))
    (others / "seeds" / "7").mkdir(parents=True)
    with pytest.raises(DataError, match=r"got \[0\] and, in .*others, \[7\]"):
        main(command)
    (others / "seeds" / "0").mkdir()
    with pytest.raises(DataError, match="expected a finished arm classical"):
        main(command)


def test_a_sweep_without_amounts_is_refused_before_anything_is_trained(
    text_zip: Zip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "run_tasks", lambda *given, **how: pytest.fail("was trained"))
    command = tiny("words", text_zip("words", WORDS), tmp_path / "out", "--sweep")
    with pytest.raises(ConfigError, match="generated and other lines"):
        main([*command, "--set", "recipes.synthetic.generated=0"])


SHORT_PLATE = """
name = "short"
size = [200, 100]
[alphabets]
letter = "ABÄ"
digit = "0123456789"
[[positions]]
box = [10, 20, 50, 60]
alphabet = "letter"
[[positions]]
box = [75, 20, 50, 60]
alphabet = "digit"
[[positions]]
box = [140, 20, 50, 60]
alphabet = "digit"
[[schemes]]
name = "white"
ground = [240, 240, 240]
ink = [20, 20, 20]
"""


def test_anybodys_plates_are_measured_with_a_layout_of_ones_own(
    text_zip: Zip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.toml").write_text(SHORT_PLATE, encoding="utf-8")
    layout = str(tmp_path / "short.toml")
    uri = text_zip(layout, [f"{'ABÄ'[number % 3]}{number}" for number in range(10, 34)])
    command = tiny("lines", uri, tmp_path / "out", "--layout", layout, "--image-size", "32", "64")
    main([*command, "--seeds", "1"])
    assert "lines: accuracy on 8 test images, 16 real training images" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert set(report["arms"]) == {"real", "classical", "rendered", "synthetic", "synthetic_only"}
    assert f"renderer:{layout}" in report["recommended"].get("command", f"renderer:{layout}")


def test_anybodys_words_may_lack_letters_and_hold_what_no_generator_learns(
    text_zip: Zip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = text_zip("words", [str(number) for number in range(10, 34)])
    whole, odd = tmp_path / "whole.zip", "\nflat.png,CAFÉ,train\nsliver.png,1,train".encode()
    with zipfile.ZipFile(uri.removeprefix("zip:")) as old, zipfile.ZipFile(whole, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (odd if name == "labels.csv" else b""))
        for name, height in (("flat.png", 6), ("sliver.png", 3)):
            new.writestr(name, encode_png(np.full((height, 90, 3), 90, np.uint8)))
    command = tiny("lines", f"zip:{whole}", tmp_path / "out", "--layout", "words")
    main([*command, "--seeds", "1", "--set", "generated_lines=40"])
    assert "lines: accuracy on 8 test images, 18 real training" in capsys.readouterr().out
    assert "É" not in (tmp_path / "out" / "texts.txt").read_text(encoding="utf-8")
    reads = ["--set", "read_back=true", "--set", "reader_steps=2", "--out", str(tmp_path / "read")]
    with pytest.raises(DataError, match="that are read as their text, got none of"):
        main([*command, "--seeds", "1", *reads])


def test_a_layout_of_ones_own_is_named_by_its_whole_path(
    text_zip: Zip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "short.toml").write_text(SHORT_PLATE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    uri = text_zip("short.toml", [f"{'ABÄ'[number % 3]}{number}" for number in range(10, 34)])
    options = argparse.ArgumentParser()
    texts.add_text_options(options)
    arguments = options.parse_args(["--layout", "short.toml"])
    arguments.scenario, arguments.data = "lines", uri
    assert texts.choose_text_scenario(arguments).layout == str(tmp_path / "short.toml")


def test_the_scenario_of_anybodys_lines_needs_data_and_a_layout(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match="needs --data URI and --layout"):
        main(["lines", *out, "--layout", "words"])
    with pytest.raises(ConfigError, match="needs --data URI and --layout"):
        main(["lines", *out, "--data", "zip:/x.zip"])
    for other in ("plates", "scene-chars"):
        with pytest.raises(ConfigError, match="leave"):
            main([other, *out, "--layout", "words"])


def test_too_few_real_lines_are_an_error(text_zip: Zip, tmp_path: Path) -> None:
    uri = text_zip("words", WORDS)
    with pytest.raises(DataError, match="expected 50 training lines, got 6"):
        main(tiny("words", uri, tmp_path / "out", "--shots", "50"))
