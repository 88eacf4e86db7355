"""The README tells the truth: its Python runs, its commands exist and parse.

A code block right after a line ``<!-- not executed: REASON -->`` is left out.
"""

import argparse
import contextlib
import importlib
import itertools
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from augment.config import with_overrides
from augment.generators import GENERATORS
from jobs.cli import read_settings
from jobs.evaluation import EvaluateSettings
from recognizers.text_plans import TEXT_PLAN

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"(?P<before>[^\n]*)\n```(?P<language>\w+)\n(?P<text>.*?)\n```", re.DOTALL)


def blocks(language: str) -> list[str]:
    if not README.exists():
        return []
    return [
        found["text"]
        for found in BLOCK.finditer("\n" + README.read_text(encoding="utf-8"))
        if found["language"] == language and not found["before"].startswith("<!-- not executed")
    ]


def commands() -> list[list[str]]:
    """Every command line of the bash blocks, in words, continuation lines joined."""
    text = "\n".join(blocks("bash") + blocks("sh") + blocks("console"))
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [words for line in lines if (words := shlex.split(line.lstrip("$ "), comments=True))]


def commands_of_results() -> list[list[str]]:
    """The same of docs/RESULTS.md, whose commands are indented; without those of placeholders."""
    text = (ROOT / "docs/RESULTS.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    (python -m jobs\.(?:[^\n]*\\\n)*[^\n]*)$", text, re.MULTILINE)
    found = [shlex.split(re.sub(r"\\\n\s*", " ", line)) for line in lines]
    return [words for words in found if not re.search(r"…| [A-Z]{2,}\b", " ".join(words))]


def job_commands(written: list[list[str]]) -> list[tuple[str, list[str]]]:
    """(job, arguments) of every ``python -m jobs.X``, also behind ``ray job submit … --``."""
    found = []
    for words in written:
        for position, word in enumerate(words):
            if word.startswith("jobs.") and words[position - 1] == "-m":
                found.append((word.removeprefix("jobs."), words[position + 1 :]))
    return found


def test_there_is_a_readme() -> None:
    assert README.exists()


def test_python_blocks_run_one_after_the_other(
    demo_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may use what ``make demo`` leaves behind: runs/demo/registry."""
    shutil.copytree(demo_registry, tmp_path / "runs/demo/registry")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    for text in blocks("python"):
        exec(compile(text, "README.md", "exec"), names)


JOBS = job_commands(commands() + commands_of_results())


@pytest.mark.parametrize("job", JOBS, ids=lambda job: " ".join([job[0], *job[1]]))
def test_job_commands_parse_and_their_settings_exist(job: tuple[str, list[str]]) -> None:
    name, words = job
    arguments = importlib.import_module(f"jobs.{name}").parser().parse_args(words)
    if arguments.overrides:
        with_overrides(preset_of(name, arguments), arguments.overrides)  # refuses unknown ones


def preset_of(job: str, arguments: argparse.Namespace) -> Any:
    """What the settings of a command are settings of."""
    match job:
        case "train":
            return read_settings(GENERATORS[arguments.architecture], arguments.config)
        case "evaluate":
            return EvaluateSettings()
        case "read_back":
            return TEXT_PLAN
        case _:
            raise AssertionError(f"say here what jobs.{job} --set changes")


def test_commands_of_results_are_found() -> None:
    assert len(commands_of_results()) > 30


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for words in commands() if words[0] == "make" for word in words[1:]}
    assert {name for name in named if "=" not in name} <= targets


def test_bodies_sent_by_curl_are_valid_requests() -> None:
    from serving.schemas import GenerateRequest

    for words in commands():
        if words[0] != "curl":
            continue
        for option, body in itertools.pairwise(words):
            if option in ("-d", "--data", "--json"):
                GenerateRequest.model_validate(json.loads(body))


def test_files_that_the_readme_links_to_exist() -> None:
    if README.exists():
        targets = re.findall(r"\]\(([^)#\s]+)", README.read_text(encoding="utf-8"))
        local = [target for target in targets if "://" not in target]
        assert [target for target in local if not (ROOT / target).exists()] == []


def test_every_job_has_the_common_options_and_explains_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("train", "generate", "benchmark", "evaluate", "read_back", "demo"):
        with contextlib.suppress(SystemExit):
            importlib.import_module(f"jobs.{name}").parser().parse_args(["--help"])
        text = capsys.readouterr().out
        for option in ("--config", "--set", "--seed", "--out", "--dry-run"):
            assert option in text, f"jobs.{name} lacks {option}"
