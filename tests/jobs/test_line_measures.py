"""``python -m jobs.evaluate`` on bundles that write lines."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from augment.bundle import Registry
from augment.config import with_overrides
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.line_rendering import LineRenderer
from augment.data.texts import TextImages
from augment.errors import ConfigError, DataError
from augment.generators.base import write_bundle
from augment.generators.line_saae import CONFIGS, shape_for
from augment.images import encode_png
from jobs import evaluate
from jobs.line_measures import open_lines
from recognizers.line_fidelity import FIGURES
from recognizers.line_report import MEANINGS

QUICK = ("--set", "judge_steps=2", "--set", "generated=24")


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered plates with labels.csv: 40 to train on, 30 held out."""
    root = tmp_path_factory.mktemp("plates")
    layout, rng = load_layout("plates-cn"), np.random.default_rng(0)
    texts = [layout.random_text(rng) for _ in range(70)]
    rows = ["file,text,split"]
    for number, image in enumerate(LineRenderer(layout)(texts, 0, (32, 96))):
        (root / f"{number}.png").write_bytes(encode_png(image))
        split = "train" if number < 40 else "test"
        rows.append(f"{number}.png,{texts[number]},{split}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root / "labels.csv"


@pytest.fixture(scope="module")
def registry(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bundle with the weights it starts from."""
    root = tmp_path_factory.mktemp("registry")
    layout = load_layout("plates-cn")
    train = open_lines(f"csv:{plates}")[0]
    data = LineData.select(train, layout, shape_for(layout))
    config = with_overrides(CONFIGS["labelmint"], ["model.width=4", "model.discriminator_width=4"])
    folder = tmp_path_factory.mktemp("fresh") / "1"
    write_bundle(folder, config.build_model(data).eval(), data, config)
    Registry(str(root)).publish("plates", folder)
    return root


def test_lines_of_which_none_is_held_out_are_refused(plates: Path, tmp_path: Path) -> None:
    rows = plates.read_text(encoding="utf-8").replace(",test", ",train")
    (plates.parent / "train.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(DataError, match=r"expected val or test lines .* got 70 of train alone"):
        open_lines(f"csv:{plates.parent}/train.csv")


def test_too_few_lines_held_out_are_told_before_anything_is_trained(
    plates: Path, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recognizers.line_fidelity.train_on_lines", None)
    head, *rows = plates.read_text(encoding="utf-8").splitlines()
    (plates.parent / "few.csv").write_text("\n".join([head, *rows[:48]]), encoding="utf-8")
    with pytest.raises(DataError, match=r"6 or more held-out lines .* got 4; give more val or"):
        evaluate.main(
            [f"{registry}/plates", "--data", f"csv:{plates.parent}/few.csv", "--out", str(tmp_path)]
        )


def test_lines_are_measured_beside_held_out_ones_and_kept_in_the_card(
    plates: Path, registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [f"{registry}/plates", "--data", f"csv:{plates}", *QUICK]
    evaluate.main([*command, "--out", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out/report.json").read_text())
    real, row = report["rows"]
    assert (real["name"], row["drawn"]) == ("real, held out", 24)
    assert row["lines"] == real["lines"] == 15
    assert (row["learned"], row["tested"]) == (40, 30)
    assert row["attack"]["members"] == 40
    assert real["attack"]["calibrated"] is False
    told = capsys.readouterr().out
    assert told.startswith("| lines | n | read |")
    assert told.endswith(f"{tmp_path / 'out/report.html'}\n")
    assert told.startswith((tmp_path / "out/lines.md").read_text())
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("<img") == 2
    assert "://" not in page.replace("http://www.w3.org", "")
    assert f"{row['read']:.1%}" in page
    assert f"({row['read_ci95'][0]:.1%} to {row['read_ci95'][1]:.1%})" in page
    assert len(FIGURES) == len(re.findall(r'<th scope="row">', page))
    card = (registry / "plates" / "1" / "MODEL_CARD.md").read_text()
    assert "### Lines" in card
    assert "--data csv:" in card
    note = "15 images do not determine a covariance"
    for text in (told, page, card, (tmp_path / "out/lines.md").read_text()):
        assert text.count(note) == 1


def test_other_measures_do_not_go_with_lines(plates: Path, registry: Path, tmp_path: Path) -> None:
    command = [f"{registry}/plates", "--data", f"csv:{plates}", "--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match="have the measure lines and no other"):
        evaluate.main([*command, "--only", "fidelity"])
    evaluate.main([*command, "--dry-run"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--seeds", "--workers"])
def test_lines_are_measured_on_one_seed_by_one_worker(
    plates: Path, registry: Path, tmp_path: Path, option: str
) -> None:
    command = [f"{registry}/plates", "--data", f"csv:{plates}", "--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match=r"expected --seeds 1 and --workers 1, got .*2"):
        evaluate.main([*command, option, "2", "--dry-run"])
    assert not (tmp_path / "out").exists()


def test_images_of_classes_are_no_lines(demo_registry: Path, tmp_path: Path) -> None:
    command = [f"{demo_registry}/digits", "--data", "digits:", "--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match="these write lines: none"):
        evaluate.main([*command, "--only", "lines"])


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("draw:digits/0", "a seed of plates, words"),
        ("draw:plates/x", "a number as seed"),
        ("draw:plates", "a number as seed"),
    ],
)
def test_draws_of_lines_are_named_by_scenario_and_seed(uri: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        open_lines(uri)


def texts_of(data: TextImages) -> set[str]:
    return set(data.texts)


def test_training_lines_and_those_held_out_are_parted(plates: Path) -> None:
    train, held_out = open_lines(f"csv:{plates}")
    assert (len(train), len(held_out)) == (40, 30)
    assert texts_of(train).isdisjoint(texts_of(held_out))


def test_every_figure_of_lines_is_explained() -> None:
    assert MEANINGS.keys() == FIGURES.keys()
