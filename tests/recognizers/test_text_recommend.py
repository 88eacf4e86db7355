import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recognizers.arm_runs import ARMS
from recognizers.gain import ArmResult, GainReport, measure_gain
from recognizers.text_arms import TextPlan, TextRun
from recognizers.text_mixing import TextRecipe
from recognizers.text_recommend import recommend_lines, training_texts
from recognizers.text_scenarios import TextScenario


@pytest.fixture
def run(plates_scenario: TextScenario, tiny_text_plan: TextPlan, tmp_path: Path) -> TextRun:
    plan = replace(tiny_text_plan, rendered_lines=9)
    return TextRun(plates_scenario, plates_scenario.draw(1), 1, plan, tmp_path / "seed")


def won_by(arm: str) -> GainReport:
    """A gain where one arm reads all of four lines and the others none."""
    none, every = np.ones(4, np.int64), np.zeros(4, np.int64)
    results = [ArmResult(name, 0, every if name == arm else none) for name in ARMS]
    return measure_gain(results, every, np.arange(4), metric="accuracy", bootstrap=10)


def commands_of(told: str) -> list[list[str]]:
    return [shlex.split(command) for command in told.split(" && ")]


def test_what_a_mix_holds_is_made_of_the_texts_of_the_arms_and_the_real_lines_go_with_the_first(
    run: TextRun,
) -> None:
    told = recommend_lines(run, won_by("synthetic"), Path("/out"))
    assert told["mix"] == {"real": 0.25, "rendered": 0.5, "generated": 0.25}
    rendered, generated = commands_of(told["command"])
    assert rendered[3] == "renderer:plates-cn"
    assert rendered[rendered.index("--count") + 1] == "9"
    assert rendered[rendered.index("--with-real") + 1] == "memory:"
    assert generated[3] == str(run.bundle_folder)
    assert "--with-real" not in generated
    for command, source in ((rendered, "rendered"), (generated, "generated")):
        assert command[:3] == ["python", "-m", "jobs.generate"]
        assert command[command.index("--texts") + 1] == "/out/texts.txt"
        assert command[command.index("--out") + 1] == f"/out/training-set-{source}"
    assert training_texts(run) == run.texts(9)


def test_an_arm_of_generated_lines_alone_wants_no_real_ones(run: TextRun) -> None:
    told = recommend_lines(run, won_by("synthetic_only"), Path("/out"))
    [command] = commands_of(told["command"])
    assert command[3] == str(run.bundle_folder)
    assert "--with-real" not in command


def test_nothing_is_to_be_made_where_real_lines_alone_are_best(run: TextRun) -> None:
    told = recommend_lines(run, won_by("classical"), Path("/out"))
    assert told["mix"] == {"real": 1.0}
    assert "command" not in told


def test_lines_that_come_first_are_told(run: TextRun) -> None:
    first = TextRecipe(rendered=1.0, real_only_after=0.6)
    run.plan = replace(run.plan, recipes=run.plan.recipes | {"rendered": first})
    told = recommend_lines(run, won_by("rendered"), Path("/out"))
    assert told["mix"] == {"rendered": 1.0}
    assert "After 60% of the steps only real lines come." in told["why"]
    assert "--with-real" in told["command"]
