import json
import os
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from augment.config import merged
from augment.errors import AugmentError, ConfigError
from augment.feature_networks import OPENERS
from jobs import benchmark, generate
from jobs.seeds import run_tasks
from jobs.tasks import SeedTask
from recognizers import arms, scenarios
from recognizers.arm_runs import ARMS
from recognizers.arms import Plan
from recognizers.character import CharacterRecognizer
from recognizers.gain import ArmResult, measure_gain
from recognizers.plans import plan_for
from recognizers.reader import CrossFittedReader, save_reader
from recognizers.recommend import recommend

TINY = (
    "budget.steps=10",
    "reader_steps=2",
    "generated_per_class=2",
    "rendered_per_class=2",
    "generator.model.width=8",
    "generator.model.style_dim=8",
    "generator.model.discriminator_width=8",
    "generator.model.steps.reconstruct=2",
    "generator.model.steps.discriminate=1",
    "generator.model.steps.alternate=2",
)


@pytest.fixture(autouse=True)
def small_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits of 8×8 pixels, two a class, with all digits to confirm on."""
    tiny = scenarios.FewShot(
        "tiny",
        "small digits",
        "digits:",
        shots=2,
        image_size=(8, 8),
        channels=1,
        half_for_test=True,
        confirm_uri="digits:",
    )
    monkeypatch.setitem(scenarios.SCENARIOS, "tiny", tiny)


def run(out: Path, *words: str, seeds: int = 1) -> None:
    sets = [word for setting in TINY for word in ("--set", setting)]
    device = ["--device", "cpu"]
    benchmark.main(["tiny", "--seeds", str(seeds), "--out", str(out), *device, *sets, *words])


def test_a_benchmark_reports_resumes_and_refuses_another_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["arms"]) == list(ARMS)
    assert report["n_train"] == 20
    assert (
        report["generated"]["made"] == report["generated"]["kept"] + report["generated"]["dropped"]
    )
    assert report["confirmation"]["on"] == "digits:"
    assert "arm real" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    for heading in ("Real and generated, by class", "Is it copying?", "The training set to make"):
        assert heading in page

    with pytest.raises(ConfigError, match="--resume"):
        run(tmp_path)
    run(tmp_path, "--resume")
    assert "arm real:" not in capsys.readouterr().out, "a finished cell was run again"
    again = json.loads((tmp_path / "report.json").read_text())
    for key in ("arms", "all_classes", "seconds", "generated", "confirmation"):
        assert again[key] == report[key]
    with pytest.raises(ConfigError, match="another plan"):
        run(tmp_path, "--resume", "--set", "budget.steps=11")


def test_a_benchmark_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as stopped:
        stopped.setattr(arms, "train_generator", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    assert not (tmp_path / "report.json").exists()
    assert "arm rendered:" in capsys.readouterr().out
    run(tmp_path, "--resume")
    told = capsys.readouterr().out
    assert "arm rendered:" not in told
    assert "arm synthetic:" in told


def interrupt(*values: object, **named: object) -> None:
    raise KeyboardInterrupt


def test_the_recommended_command_is_one_that_generate_takes(
    demo_registry: Path, tmp_path: Path
) -> None:
    labels = np.arange(20) % 2
    read = {"classical": 1 - labels, "synthetic": labels}
    gain = measure_gain(
        [ArmResult(arm, 0, labels_read) for arm, labels_read in read.items()],
        labels,
        np.arange(20),
        metric="accuracy",
    )
    bundle = demo_registry / "digits" / "1"
    found = recommend(
        gain,
        Plan(),
        bundle=bundle,
        data="digits:",
        classes=10,
        image_size=(16, 16),
        out=tmp_path / "set",
    )
    commands = [shlex.split(line) for line in found["command"].splitlines()]
    assert len(commands) == 2, "generated images, and rendered ones"
    for words in commands:
        assert words[:3] == ["python", "-m", "jobs.generate"]
        generate.main([*words[3:], "--dry-run"])


def test_a_sweep_draws_both_curves(tmp_path: Path) -> None:
    run(tmp_path, "--sweep")
    report = json.loads((tmp_path / "report.json").read_text())
    sweeps = report["sweeps"]
    assert [point["x"] for point in sweeps["real_per_class"]] == [2, 4, 8]
    assert list(sweeps["real_per_class"][2]["arms"]) == ["classical", "rendered", "synthetic"]
    assert len(sweeps["ratio"]) == 5
    first = sweeps["real_per_class"][0]["arms"]
    assert first["synthetic"] == pytest.approx(report["arms"]["synthetic"]["per_seed"])
    assert not any("verdict" in point for points in sweeps.values() for point in points)


def test_seeds_run_in_processes_and_a_failed_one_takes_nothing_from_the_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    claimed = tmp_path / "seeds" / "1" / "plan.json"
    claimed.parent.mkdir(parents=True)
    claimed.write_text('{"plan": "another"}')
    with pytest.raises(AugmentError, match=r"1 of 2 seeds failed: seed 1: .*--resume"):
        run(tmp_path, "--resume", "--parallel", "2", seeds=2)
    told = capfd.readouterr().out
    assert "seed 1: failed: " in told
    assert all(line.startswith("seed ") for line in told.splitlines())

    claimed.unlink()
    run(tmp_path, "--resume", seeds=2)
    told = capfd.readouterr().out
    assert "seed 0: arm" not in told, "a finished seed was run again"
    assert json.loads((tmp_path / "report.json").read_text())["seeds"] == [0, 1]


def killed_for_seed_one(task: SeedTask) -> None:
    """What a system short of memory does to a process."""
    if task.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    (task.out / str(task.seed)).touch()


def test_a_process_that_is_killed_takes_no_other_seed_along(tmp_path: Path) -> None:
    tasks = [
        SeedTask(scenarios.SCENARIOS["digits"], seed, plan_for("digits"), tmp_path)
        for seed in range(4)
    ]
    with pytest.raises(AugmentError, match="1 of 4 seeds failed: seed 1: its process was killed"):
        run_tasks(killed_for_seed_one, tasks, processes=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2", "3"]


def test_a_report_is_not_replaced_by_one_of_fewer_seeds(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"seeds": [0, 1, 2]}')
    with pytest.raises(ConfigError, match="tells of the seeds 0, 1, 2, and would be replaced"):
        run(tmp_path, "--resume", "--seed", "1", seeds=2)
    with pytest.raises(ConfigError, match="would be replaced by one of 0; ask for all"):
        benchmark.main(["plates", "--seeds", "1", "--out", str(tmp_path), "--resume", "--dry-run"])
    benchmark.main(["plates", "--seeds", "4", "--out", str(tmp_path), "--resume", "--dry-run"])


def test_a_recognizer_that_there_is_not_is_told_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot import recognizer 'nowhere:Mine'"):
        run(tmp_path, "--dry-run", "--recognizer", "nowhere:Mine")


def test_tuning_writes_a_table_and_settings_but_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "--tune")
    assert "test images are not read" in capsys.readouterr().out
    text = (tmp_path / "tune.json").read_text()
    found = json.loads(text)
    assert len(found["trials"]) == 12
    assert found["measured_on"].endswith("outside the draw")
    assert "verdict" not in text
    assert not (tmp_path / "report.json").exists()

    best = str(tmp_path / "recipes.json")
    benchmark.main(["tiny", "--out", str(tmp_path / "x"), "--config", best, "--dry-run"])
    settings = json.loads(capsys.readouterr().out)["settings"]
    for arm, recipe in found["best"].items():
        assert settings["recipes"][arm] == recipe
    assert settings["budget"]["steps"] == plan_for("tiny").budget.steps


def test_a_sweep_without_a_ratio_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    shares = ["recipes.synthetic.generated=0.5", "recipes.synthetic.rendered=0.5"]
    settings = [word for setting in shares for word in ("--set", setting)]
    with pytest.raises(ConfigError, match="needs real images in the synthetic arm"):
        run(tmp_path / "out", "--sweep", *settings)
    assert not (tmp_path / "out").exists()


def test_tuning_and_sweeping_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        run(tmp_path, "--tune", "--sweep")


def test_a_scenario_has_its_own_plan_and_set_changes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plate-chars-tail", "--out", str(tmp_path), "--dry-run"]
    benchmark.main(words)
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["generator"]["glyphs"]["stretch"] is True
    benchmark.main([*words, "--set", "generator.glyphs.stretch=false"])
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["generator"]["glyphs"]["stretch"] is False


def test_chars_needs_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs --data"):
        benchmark.main(["chars", "--out", str(tmp_path), "--dry-run"])


def test_shots_change_the_scenario(tmp_path: Path) -> None:
    words = ["digits", "--out", str(tmp_path), "--shots", "3"]
    arguments = benchmark.parser().parse_args(words)
    assert len(benchmark.choose_scenario(arguments).draw(0).train) == 30


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert benchmark.choose_device("auto") == "cpu"
    with pytest.raises(ConfigError, match="use cpu"):
        benchmark.main(["digits", "--out", str(tmp_path), "--device", "cuda"])


@pytest.fixture
def comparator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recognizer of ours for the small scenario, in ./mine; no process knows readers yet."""
    recognizer = CharacterRecognizer(10, (8, 8), 1).eval()
    save_reader(tmp_path / "mine", CrossFittedReader([recognizer], tuple("0123456789")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(OPENERS, "reader", raising=False)
    return "reader:mine:body"


def compare_by(name: str) -> list[str]:
    return ["--set", "generator.model.perceptual=" + json.dumps({"comparator": name})]


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("reader:mine:conv9", "its layers are body"),
        ("reader:other:body", "expected a reader"),
        ("alexnot:conv5", "alexnot"),
    ],
)
@pytest.mark.usefixtures("comparator")
def test_a_comparator_that_cannot_be_opened_is_refused_before_anything_is_trained(
    name: str, message: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(AugmentError, match=message):
        run(tmp_path / "out", *compare_by(name), *words)
    assert not (tmp_path / "out").exists()


def test_seeds_in_other_processes_and_folders_open_the_comparator(
    comparator: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(tmp_path / "out", *compare_by(comparator), "--dry-run")
    settings = json.loads(capsys.readouterr().out)["settings"]
    plan = merged(plan_for("tiny"), settings)
    found = f"reader:{tmp_path}/mine:body"
    assert plan.generator.model.perceptual.comparator == found
    monkeypatch.delitem(OPENERS, "reader")  # as in a process that has just started
    monkeypatch.chdir(tmp_path.parent)
    seed = SeedTask(scenarios.SCENARIOS["tiny"], 0, plan, tmp_path / "out").open()
    assert seed.plan.generator.build_model(seed.draw.train).comparator.name == found


def test_each_seed_may_compare_by_a_network_of_its_own(comparator: str, tmp_path: Path) -> None:
    (tmp_path / "mine").rename(tmp_path / "mine-0")
    own = compare_by("reader:mine-{seed}:body")
    run(tmp_path / "out", *own, "--dry-run", "--seeds", "1")
    with pytest.raises(AugmentError, match="mine-1"):
        run(tmp_path / "out", *own, "--dry-run", "--seeds", "2")
    plan = merged(
        plan_for("tiny"),
        {"generator": {"model": {"perceptual": {"comparator": "reader:mine-{seed}:body"}}}},
    )
    seeds = [SeedTask(scenarios.SCENARIOS["tiny"], seed, plan, tmp_path) for seed in (3, 4)]
    names = [seed.own_plan().generator.model.perceptual.comparator for seed in seeds]
    assert names == ["reader:mine-3:body", "reader:mine-4:body"]


def test_quick_divides_all_steps_by_ten() -> None:
    plan, quick = Plan(), benchmark.quicken(Plan())
    assert quick.budget.steps == plan.budget.steps // 10
    assert quick.reader_steps == plan.reader_steps // 10
    assert quick.generator.model.steps.alternate == plan.generator.model.steps.alternate // 10
