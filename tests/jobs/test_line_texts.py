import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.config import with_overrides
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.lines import draw_contents, line_width
from augment.data.texts import TextImages
from augment.errors import BundleError, ConfigError, DataError, RequestError
from augment.generators.base import write_bundle
from augment.generators.line_reading import Judged, draw_lines
from augment.generators.line_saae import CONFIGS, load_line_sampler, shape_for
from augment.generators.line_sampler import LineSampler, LineSamples, line_records
from augment.images import Pixels, decode_image, encode_png
from jobs import generate, line_texts
from recognizers.charset import WORDS, Charset
from recognizers.scene_text import TextConfig, TextRecognizer
from recognizers.text_reader import CrossFittedTextReader, save_text_reader

SAID = ("Open", "Hotel")


def publish(folder: Path, *, reads: Charset | None = None) -> Path:
    """A bundle of words with the weights it starts from; ``reads``: with such a reader."""
    layout = load_layout("words")
    images = [
        np.repeat(draw_contents([text], size=(32, line_width(text)), looks=[0])[0], 3, axis=2)
        for text in SAID
    ]
    data = LineData.select(TextImages.from_images(images, SAID), layout, shape_for(layout))
    config = with_overrides(CONFIGS["labelmint"], ["model.width=4", "model.discriminator_width=4"])
    if reads is not None:
        little = TextConfig(width=4, hidden=4)
        member = TextRecognizer(reads, config=little)
        save_text_reader(folder / "reader", CrossFittedTextReader([member.eval()], data.shape))
    write_bundle(folder, config.build_model(data).eval(), data, config)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("words") / "1")


@pytest.fixture(scope="module")
def read_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("read") / "1", reads=WORDS)


class Only:
    """Keeps lines of one text."""

    band = (0.0, 1.0)

    def __init__(self, text: str) -> None:
        self.text = text

    def judge(
        self, images: Sequence[Pixels], texts: Sequence[str], folds: Any, bands: Any = None
    ) -> Judged:
        return Judged(np.array(texts) == self.text, np.ones(len(texts), np.float32))


class EveryOther:
    """Keeps the first, third, … line of those that are read together."""

    band = (0.0, 1.0)

    def judge(
        self, images: Sequence[Pixels], texts: Sequence[str], folds: Any, bands: Any = None
    ) -> Judged:
        assert len(folds) == len(texts)
        kept = np.arange(len(texts)) % 2 == 0
        return Judged(kept, np.full(len(texts), 0.75, np.float32))


def run(bundle: Path, out: Path, *options: str) -> list[dict[str, object]]:
    generate.main([str(bundle), "--out", str(out), "--seed", "3", *options])
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_lines_go_on_where_a_job_was_killed(
    read_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_texts, "load_text_reader", lambda *given, **named: EveryOther())
    monkeypatch.setattr(line_texts, "draw_lines", partial(draw_lines, chunk=3))
    wanted = ["--texts", "grammar:[A-Z]{2,6}", "--count", "8"]
    whole = run(read_bundle, tmp_path / "whole", *wanted)
    with monkeypatch.context() as killing:
        left = iter(range(4))
        killing.setattr(
            line_texts,
            "line_records",
            lambda *given: line_records(*given) if next(left, None) is not None else 1 / 0,
        )
        with pytest.raises(ZeroDivisionError):
            run(read_bundle, tmp_path / "set", *wanted, "--resume")
    draw, calls = LineSampler.draw_texts, []

    def counted(self: LineSampler, *given: Any, **named: Any) -> LineSamples:
        calls.append(given)
        return draw(self, *given, **named)

    monkeypatch.setattr(LineSampler, "draw_texts", counted)
    assert run(read_bundle, tmp_path / "set", *wanted, "--resume") == whole
    resumed, calls[:] = len(calls), []
    run(read_bundle, tmp_path / "again", *wanted)
    assert 0 < resumed < len(calls)
    for path in (tmp_path / "whole").rglob("*.png"):
        other = tmp_path / "set" / path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == other.read_bytes()


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


def test_without_a_count_every_text_of_a_file_is_written_once_in_its_order(
    bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("Maple\nI\n\nOak\nElm\n", encoding="utf-8")
    *rows, last = run(bundle, tmp_path / "set", "--texts", str(tmp_path / "texts.txt"))
    assert [row["label"] for row in rows] == ["Maple", "I", "Oak", "Elm"]
    assert last["summary"]["asked"] == 4  # type: ignore[index]


def test_real_lines_go_along_in_the_size_of_the_drawn_ones(bundle: Path, tmp_path: Path) -> None:
    for number, width in enumerate((300, 100)):
        picture = np.full((60, width, 3), 50 * number, np.uint8)
        (tmp_path / f"{number}.png").write_bytes(encode_png(picture))
    table = "file,text,split\n0.png,Market,train\n1.png,No 1,test\n"
    (tmp_path / "labels.csv").write_text(table)
    wanted = ["--texts", "uniform", "--count", "2", "--with-real", f"csv:{tmp_path}/labels.csv"]
    *rows, last = run(bundle, tmp_path / "set", *wanted)
    [real] = [row for row in rows if row["origin"] == "real"]
    assert (real["label"], real["source"]) == ("Market", "0.png")
    image = decode_image((tmp_path / "set" / str(real["file"])).read_bytes(), channels=3)
    assert image.shape == (32, 160, 3)
    assert last["summary"]["real"] == 1  # type: ignore[index]
    assert len(rows) == 3


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
        (["--texts", "uniform", "--per-label", "7"], "--per-label does not go with a bundle of l"),
        (["--texts", "uniform", "--read-back"], "--read-back asks the reader of a bundle"),
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


def test_styles_may_be_selected_as_in_the_service(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brightest = int(np.argmax(load_line_sampler(bundle).bank["brightness"]))
    wanted = ["--texts", "uniform", "--count", "8", "--select"]
    *rows, _ = run(bundle, tmp_path / "set", *wanted, "brightness=0.5:1")
    assert {tuple(row["styles"]) for row in rows} == {(brightest, brightest)}  # type: ignore[arg-type]
    assert "in 1 of 2 styles" in capsys.readouterr().out
    given = [str(bundle), "--out", str(tmp_path / "dry"), "--dry-run", *wanted, "brightness=0.5:1"]
    generate.main(given)
    plan = json.loads(capsys.readouterr().out)
    assert (plan["select"], plan["styles"]) == (["brightness=0.5:1"], "1 of 2")
    with pytest.raises(RequestError, match="unknown source 'web'"):
        run(bundle, tmp_path / "dry", *wanted, "sources=web", "--dry-run")


def test_lines_that_read_wrong_are_drawn_again(
    read_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_texts, "load_text_reader", lambda *given, **how: EveryOther())
    *rows, last = run(read_bundle, tmp_path / "set", "--texts", "uniform", "--count", "6")
    summary: Any = last["summary"]
    assert (summary["asked"], summary["made"], summary["kept"]) == (6, 10, 6)  # 6, then 3, then 1
    assert summary["dropped"] == 4
    assert summary["shortfall"] == {}
    assert sorted(int(str(row["index"])) for row in rows) == [0, 2, 4, 1 + 6, 5 + 6, 3 + 12]
    assert {row["confidence"] for row in rows} == {0.75}


def test_a_reader_that_is_not_asked_is_not_loaded(
    read_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_texts, "load_text_reader", None)
    wanted = ["--texts", "uniform", "--count", "2", "--no-read-back"]
    assert len(run(read_bundle, tmp_path / "set", *wanted)) == 3


def test_lines_outside_the_band_are_drawn_again(
    read_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = EveryOther()
    monkeypatch.setattr(line_texts, "load_text_reader", lambda *given, **how: reader)
    wanted = ["--texts", "uniform", "--count", "2", "--reader-band"]
    run(read_bundle, tmp_path / "set", *wanted, "0.2", "0.9")
    assert reader.band == (0.2, 0.9)
    with pytest.raises(ConfigError, match=r"must rise within \[0, 1\]"):
        run(read_bundle, tmp_path / "other", *wanted, "0.9", "0.2")
    with pytest.raises(ConfigError, match="here is none"):
        run(read_bundle, tmp_path / "other", *wanted, "0.2", "0.9", "--no-read-back")


def test_what_never_reads_right_is_missing_and_told(
    read_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(line_texts, "load_text_reader", lambda *given, **how: Only("Open"))
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(["Open", *(f"Shut{i}" for i in range(12))]), encoding="utf-8")
    wanted = ["--texts", str(texts), "--count", "26"]
    *rows, last = run(read_bundle, tmp_path / "set", *wanted)
    assert [row["label"] for row in rows] == ["Open", "Open"]
    summary: Any = last["summary"]
    assert (summary["made"], summary["dropped"]) == (2 + 4 * 24, 4 * 24)
    assert summary["shortfall"] == {f"Shut{i}": 2 for i in range(12)}
    counts = summary["by_character"]
    assert (counts["O"], counts["S"]) == ({"kept": 2, "made": 2}, {"kept": 0, "made": 96})
    told = capsys.readouterr().out
    assert told.count("fewer than asked for; too many were misread") == line_texts.MOST_TOLD
    assert "only 2% of the candidates read as their text" in told
    assert "S 0 of 96" in told
    assert "and 2 more texts" in told


def test_an_export_of_nothing_is_an_error_and_not_left_behind(
    read_bundle: Path, tmp_path: Path
) -> None:
    wanted = ["--texts", "grammar:(Open|Hotel)", "--count", "3"]
    with pytest.raises(DataError, match="got none of 12 made"):
        run(read_bundle, tmp_path / "set", *wanted)
    assert not list(tmp_path.glob("set*"))
    *rows, _ = run(read_bundle, tmp_path / "set", *wanted, "--no-read-back")
    assert [row["confidence"] for row in rows] == [None] * 3


def test_a_reader_of_another_alphabet_is_refused(tmp_path: Path) -> None:
    folder = publish(tmp_path / "1", reads=Charset("0123456789"))
    with pytest.raises(BundleError, match="does not know"):
        run(folder, tmp_path / "set", "--texts", "uniform")
    assert not list(tmp_path.glob("set*"))
