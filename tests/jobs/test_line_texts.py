import json
from pathlib import Path

import numpy as np
import pytest

from augment.config import with_overrides
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.lines import draw_contents, line_width
from augment.data.texts import TextImages
from augment.errors import ConfigError, RequestError
from augment.generators.base import write_bundle
from augment.generators.line_saae import CONFIGS, load_line_sampler, shape_for
from augment.images import decode_image
from jobs import generate

SAID = ("Open", "Hotel")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of words with the weights it starts from."""
    layout = load_layout("words")
    images = [
        np.repeat(draw_contents([text], size=(32, line_width(text)), looks=[0])[0], 3, axis=2)
        for text in SAID
    ]
    data = LineData.select(TextImages.from_images(images, SAID), layout, shape_for(layout))
    config = with_overrides(CONFIGS["labelmint"], ["model.width=4", "model.discriminator_width=4"])
    folder = tmp_path_factory.mktemp("words") / "1"
    write_bundle(folder, config.build_model(data).eval(), data, config)
    return folder


def run(bundle: Path, out: Path, *options: str) -> list[dict[str, object]]:
    generate.main([str(bundle), "--out", str(out), "--seed", "3", *options])
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_the_texts_of_a_file_are_written(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("Maple\nI\n", encoding="utf-8")
    wanted = ["--texts", str(tmp_path / "texts.txt"), "--count", "4"]
    *rows, last = run(bundle, tmp_path / "set", *wanted)
    assert sorted(str(row["label"]) for row in rows) == ["I", "I", "Maple", "Maple"]
    assert last["summary"]["kept"] == 4  # type: ignore[index]
    row = rows[-1]
    image = decode_image((tmp_path / "set" / str(row["file"])).read_bytes(), channels=3)
    index = np.array([row["index"]], np.int64)
    expected = load_line_sampler(bundle).draw_texts([str(row["label"])], index, 3).images[0]
    assert np.array_equal(image, expected)


def test_random_texts_are_the_same_for_the_same_seed(bundle: Path, tmp_path: Path) -> None:
    first = run(bundle, tmp_path / "a", "--texts", "uniform", "--count", "6")
    again = run(bundle, tmp_path / "b", "--texts", "uniform", "--count", "6")
    assert first == again
    assert len({row["label"] for row in first[:-1]}) == 6


def test_a_text_that_cannot_be_written_is_named_and_nothing_is_left(
    bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("Maple\na,b\n", encoding="utf-8")
    with pytest.raises(RequestError, match="position 2"):
        run(bundle, tmp_path / "set", "--texts", str(tmp_path / "texts.txt"))
    assert not list(tmp_path.glob("set*"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "no --texts"),
        (["--texts", "uniform", "--labels", "A"], "--labels"),
    ],
    ids=str,
)
def test_options_that_do_not_go_with_lines_are_refused(
    bundle: Path, tmp_path: Path, options: list[str], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        run(bundle, tmp_path / "set", *options)


def test_dry_run_writes_nothing(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "set"), "--texts", "uniform", "--dry-run"]
    generate.main([str(bundle), *out])
    assert json.loads(capsys.readouterr().out)["texts"] == "uniform"
    assert not (tmp_path / "set").exists()
