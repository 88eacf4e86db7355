import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recognizers.arms import Plan
from recognizers.gain import ArmResult, GainReport, measure_gain
from recognizers.recommend import recommend

LABELS = np.arange(200) % 2
PLACES: dict[str, Any] = {
    "bundle": Path("runs/x y/bundle"),
    "data": "folder:/data/plates",
    "classes": 31,
    "image_size": (24, 24),
    "out": Path("runs/set"),
}


def gain_of(shares_wrong: dict[str, float], candidate: str = "synthetic") -> GainReport:
    results = [
        ArmResult(arm, seed, np.where(np.arange(200) < 200 * share, 1 - LABELS, LABELS))
        for arm, share in shares_wrong.items()
        for seed in range(3)
    ]
    return measure_gain(results, LABELS, np.arange(200), metric="accuracy", candidate=candidate)


def test_the_best_arms_mix_comes_with_its_reason_and_command() -> None:
    found = recommend(gain_of({"classical": 0.3, "synthetic": 0.1}), Plan(), **PLACES)
    synthetic = Plan().recipes["synthetic"]
    assert found["mix"] == {
        "real": synthetic.real,
        "rendered": synthetic.rendered,
        "generated": synthetic.generated,
    }
    assert "90.00 %" in found["why"]
    assert "classical with 70.00 %" in found["why"]
    assert "not shown yet" not in found["why"]
    words, rendering = map(shlex.split, found["command"].splitlines())
    assert words[:4] == ["python", "-m", "jobs.generate", "runs/x y/bundle"]
    assert words[words.index("--with-real") + 1] == "folder:/data/plates"
    assert rendering[2:6] == ["jobs.generate", "renderer:chars", "--style-from", PLACES["data"]]
    assert rendering[-3:] == ["image_size=[24, 24]", "--out", "runs/set-rendered"]


def test_a_lead_without_evidence_is_told_as_such() -> None:
    found = recommend(gain_of({"classical": 0.1, "synthetic": 0.1}), Plan(), **PLACES)
    assert "command" not in found, "of equal arms the simpler is recommended"
    found = recommend(gain_of({"classical": 0.105, "synthetic": 0.1}), Plan(), **PLACES)
    assert "not shown yet" in found["why"]


@pytest.mark.parametrize("best", ["real", "classical", "rendered"])
def test_without_a_gain_no_generated_images_are_recommended(best: str) -> None:
    shares = {arm: 0.4 for arm in ("real", "classical", "rendered", "synthetic")} | {best: 0.1}
    found = recommend(gain_of(shares), Plan(), **PLACES)
    assert "generated" not in found["mix"]
    assert "command" not in found
    assert "not recommended" in found["why"]


def test_generated_images_alone_are_written_without_real_ones() -> None:
    shares = {"classical": 0.4, "synthetic": 0.4, "synthetic_only": 0.1}
    found = recommend(gain_of(shares), Plan(), **PLACES)
    assert found["mix"] == {"generated": 1.0}
    assert "--with-real" not in found["command"]


def test_people_who_do_not_exist_are_made_by_the_command_where_they_are_best() -> None:
    shares = {"classical": 0.4, "synthetic_existing": 0.3, "synthetic_new": 0.1}
    plan = replace(Plan(), drop_copies=True)
    gain = gain_of(shares, "synthetic_new")
    found = recommend(gain, plan, **PLACES, candidate="synthetic_new")
    words = shlex.split(found["command"])
    assert words[words.index("--new-identities") + 1] == "31"
    assert words[words.index("--drop-copies") + 1] == "folder:/data/plates"
    assert "not shown yet" not in found["why"]
    shares["synthetic_new"] = 0.35
    found = recommend(gain_of(shares, "synthetic_new"), plan, **PLACES, candidate="synthetic_new")
    assert "--new-identities" not in found["command"], "the known people are best"
    assert "not shown yet" in found["why"], "of them there is no verdict"
