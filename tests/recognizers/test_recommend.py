import shlex
from pathlib import Path

import numpy as np
import pytest

from recognizers.arms import Plan
from recognizers.gain import ArmResult, GainReport, measure_gain
from recognizers.recommend import recommend

LABELS = np.arange(200) % 2
PLACES = {
    "bundle": Path("runs/x y/bundle"),
    "data": "folder:/data/plates",
    "out": Path("runs/set"),
}


def gain_of(shares_wrong: dict[str, float]) -> GainReport:
    results = [
        ArmResult(arm, seed, np.where(np.arange(200) < 200 * share, 1 - LABELS, LABELS))
        for arm, share in shares_wrong.items()
        for seed in range(3)
    ]
    return measure_gain(results, LABELS, np.arange(200), metric="accuracy")


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
    words = shlex.split(found["command"])
    assert words[:4] == ["python", "-m", "jobs.generate", "runs/x y/bundle"]
    assert words[words.index("--with-real") + 1] == "folder:/data/plates"


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
