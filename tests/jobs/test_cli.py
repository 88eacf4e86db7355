import argparse
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from augment.bundle import Registry
from augment.config import to_mapping, with_overrides
from augment.data.texts import open_texts
from augment.errors import BundleNotFoundError, ConfigError
from augment.generators import GENERATORS
from jobs import benchmark, cli, demo, evaluate, generate, read_back


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class Settings:
    steps: int = 10
    inner: Inner = field(default_factory=Inner)


PRESETS = {"small": Settings(), "large": Settings(steps=1000)}


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")


def test_the_first_preset_is_the_default() -> None:
    assert cli.read_settings(PRESETS, None) == Settings()


def test_a_preset_is_chosen_by_name_and_then_overridden() -> None:
    settings = cli.read_settings(PRESETS, "large", ["inner.rate=0.25"])
    assert settings == Settings(1000, Inner(0.25))


def test_settings_are_read_from_a_json_file(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"inner": {"rate": 1}}')
    assert cli.read_settings(PRESETS, str(tmp_path / "mine.json")) == Settings(10, Inner(1.0))


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="small, large or a JSON file; got 'huge'"):
        cli.read_settings(PRESETS, "huge")


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("steps: 3")
    with pytest.raises(ConfigError, match=r"mine\.json: expected JSON"):
        cli.read_settings(PRESETS, str(tmp_path / "mine.json"))


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting inner\.speed.*rate"):
        cli.read_settings(PRESETS, None, ["inner.speed=3"])


def test_relative_paths_are_made_absolute_outside_of_submitted_jobs() -> None:
    assert cli.absolute_location("runs/x", "--out") == str(Path.cwd() / "runs/x")
    assert cli.absolute_location("s3://bucket/x", "--out") == "s3://bucket/x"
    assert cli.local_path("runs/x", "--out") == Path.cwd() / "runs/x"
    assert cli.absolute_uri("folder:plates") == f"folder:{Path.cwd() / 'plates'}"


@pytest.mark.usefixtures("submitted")
def test_a_submitted_job_refuses_relative_paths_and_says_why() -> None:
    with pytest.raises(ConfigError, match=r"--out must be an absolute path.*temporary copy"):
        cli.absolute_location("runs/x", "--out")
    with pytest.raises(ConfigError, match=r"--data must be an absolute path"):
        cli.absolute_uri("zip:plates.zip")
    with pytest.raises(ConfigError, match=r"--out must be an absolute path in a submitted Ray job"):
        cli.local_path("runs/x", "--out")


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (generate.main, ["reg/digits"]),
        (evaluate.main, ["reg/digits", "--data", "digits:"]),
        (benchmark.main, ["digits"]),
        (read_back.main, ["plates"]),
        (demo.main, []),
    ],
)
def test_jobs_that_write_to_this_machine_refuse_urls(
    job: Callable[[list[str]], None],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--out must be a path on this machine"):
        job([*words, "--out", "s3://bucket/x"])
    assert not list(tmp_path.iterdir())


def test_another_benchmark_is_compared_with_where_it_is_on_this_machine(tmp_path: Path) -> None:
    words = ["plates", "--against", "s3://bucket/x", "--out", str(tmp_path / "out"), "--dry-run"]
    with pytest.raises(ConfigError, match="--against must be a path on this machine"):
        benchmark.main(words)


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize(
    "uri",
    ["digits:", "olivetti:", "lfwpeople:", "folder:/data/plates", "zip:s3://bucket/plates.zip"],
)
def test_a_submitted_job_accepts_data_that_every_machine_finds(uri: str) -> None:
    assert cli.absolute_uri(uri) == uri


def test_a_data_uri_needs_a_scheme() -> None:
    with pytest.raises(ConfigError, match="got 'plates'"):
        cli.absolute_uri("plates")


@pytest.mark.parametrize(
    ("architecture", "setting", "path", "found"),
    [
        (
            "masked_vae",
            "face_masks=celebamaskhq:faces",
            ("face_masks",),
            "celebamaskhq:{cwd}/faces",
        ),
        ("masked_vae", "face_masks=grabcut:", ("face_masks",), "grabcut:"),
        ("saae", 'glyphs.font_files=["a.ttf"]', ("glyphs", "font_files"), ["{cwd}/a.ttf"]),
        ("deepsim", "model.network=exemplar:mine/1", ("model", "network"), "exemplar:{cwd}/mine/1"),
    ],
)
def test_paths_in_settings_are_absolute_before_workers_start(
    architecture: str,
    setting: str,
    path: tuple[str, ...],
    found: str | list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = with_overrides(next(iter(GENERATORS[architecture].values())), [setting])
    settings = to_mapping(cli.absolute_paths(given))
    for key in path:
        settings = settings[key]
    texts = [found] if isinstance(found, str) else found
    expected = [text.format(cwd=tmp_path) for text in texts]
    assert settings == (expected[0] if isinstance(found, str) else expected)


@pytest.mark.parametrize("architecture", sorted(GENERATORS))
def test_settings_without_paths_stay_as_they_are(architecture: str) -> None:
    for config in GENERATORS[architecture].values():
        assert cli.absolute_paths(config) == config


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize(
    ("architecture", "setting"),
    [("masked_vae", "face_masks=celebamaskhq:faces"), ("saae", 'glyphs.font_files=["a.ttf"]')],
)
def test_a_submitted_job_refuses_relative_paths_in_settings(
    architecture: str, setting: str
) -> None:
    config = with_overrides(next(iter(GENERATORS[architecture].values())), [setting])
    with pytest.raises(ConfigError, match="must be an absolute path"):
        cli.absolute_paths(config)


def test_a_bundle_that_is_not_there_is_an_error_that_lists_what_is(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="plates"):
        cli.find_bundle(str(tmp_path / "plates"))


def test_a_bundle_keeps_its_version_though_another_is_published_meanwhile(
    tmp_path: Path, demo_registry: Path
) -> None:
    registry = Registry(tmp_path)
    bundle = Registry(demo_registry).fetch("digits")
    registry.publish("digits", bundle)
    pinned = cli.pin_version(f"{tmp_path}/digits")
    registry.publish("digits", bundle)
    assert cli.find_bundle(pinned) == tmp_path / "digits/1"
    assert cli.find_bundle(f"{tmp_path}/digits") == tmp_path / "digits/2"
    assert cli.pin_version(f"{tmp_path}/digits/1") == pinned
    assert cli.pin_version(str(bundle)) == str(bundle)  # no registry need be around it
    with pytest.raises(BundleNotFoundError, match="versions there: 1, 2"):
        cli.pin_version(f"{tmp_path}/digits/7")


def test_bad_input_ends_a_job_with_code_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def job(argv: Sequence[str] | None) -> None:
        raise ConfigError("expected this, got that.")

    with pytest.raises(SystemExit) as ended:
        cli.run_job(job)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: expected this, got that.\n"


def test_a_file_in_the_way_ends_a_job_with_code_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    def job(argv: Sequence[str] | None) -> None:
        (tmp_path / "file" / "out").mkdir()

    with pytest.raises(SystemExit) as ended:
        cli.run_job(job)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert f"{tmp_path}/file/out'; check the path" in told


def test_a_fault_that_is_of_no_file_is_not_hidden() -> None:
    def job(argv: Sequence[str] | None) -> None:
        raise ConnectionResetError("peer went away")

    with pytest.raises(ConnectionResetError):
        cli.run_job(job)


def test_a_job_tells_once_how_the_data_are_split_that_it_opens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["file,text", *(f"{number}.png,A{number}" for number in range(40))]
    for number in range(40):
        (tmp_path / f"{number}.png").touch()
    (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    trained_on = list[int]()

    def job(argv: Sequence[str] | None) -> None:
        for _ in range(2):
            trained_on.append(len(open_texts(f"csv:{tmp_path}/labels.csv").split("train")))

    with pytest.raises(SystemExit):
        cli.run_job(job)
    told = capsys.readouterr().err
    assert told.count("40 images of text") == told.count("(split by hash of the text)") == 1
    assert f"train {trained_on[0]}, val " in told
    assert trained_on[0] < 40


def test_sigterm_unwinds_a_job_like_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def job(argv: Sequence[str] | None) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(True)

    try:
        with pytest.raises(SystemExit) as ended:
            cli.run_job(job)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (ended.value.code, cleaned) == (130, [True])
    assert capsys.readouterr().err == "interrupted\n"


def test_dry_run_prints_arguments_and_settings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = argparse.Namespace(seed=3, overrides=["steps=4"])
    cli.print_plan("train", arguments, Settings(steps=4))
    plan = json.loads(capsys.readouterr().out)
    assert plan == {"job": "train", "seed": 3, "settings": {"steps": 4, "inner": {"rate": 0.5}}}


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "ten"])
def test_counts_below_one_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        cli.at_least(1)(text)


def test_help_shows_defaults_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    parser = cli.job_parser("x", "Does x.", out="runs/x", config="a file")
    text = parser.format_help()
    assert "(default: runs/x)" in text
    assert "seed of all random draws (default: 0)" in text
    assert text.count("(default: ") == 2


def test_a_settings_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    default = Settings(steps=20, inner=Inner(rate=0.1))
    file.write_text('{"inner": {"rate": 0.3}}')
    assert cli.read_settings({"default": default}, str(file)) == Settings(20, Inner(0.3))
    file.write_text('{"steps": 7}')
    assert cli.read_settings({"default": default}, str(file)) == Settings(7, Inner(0.1))
