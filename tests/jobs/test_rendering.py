import json
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from augment.data.datasets import open_data
from augment.data.layouts import load_layout
from augment.data.line_rendering import LineRenderer
from augment.errors import AugmentError, ConfigError, DataError, GlyphError
from augment.images import Pixels, encode_png, resize_image
from jobs import generate


def rows(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if "file" in row]


def run(layout: str, out: Path, *options: str) -> None:
    generate.main([f"renderer:{layout}", "--out", str(out), *options])


def test_plates_are_rendered_with_texts_of_their_layout(tmp_path: Path) -> None:
    run("plates-cn", tmp_path / "set", "--count", "5", "--format", "csv")
    found = rows(tmp_path / "set")
    assert len(found) == 5
    assert all(load_layout("plates-cn").allows(str(row["label"])) for row in found)
    picture = cv2.imread(str(tmp_path / "set" / str(found[0]["file"])))
    assert picture.shape == (32, 101, 3)


def test_words_are_rendered_of_a_grammar_and_a_file(tmp_path: Path) -> None:
    run("words", tmp_path / "a", "--count", "4", "--format", "csv", "--texts", r"grammar:No\d{2}")
    assert all(re.fullmatch(r"No\d{2}", str(row["label"])) for row in rows(tmp_path / "a"))
    texts = tmp_path / "texts.txt"
    texts.write_text("one\ntwo\n", encoding="utf-8")
    run("words", tmp_path / "b", "--count", "4", "--format", "csv", "--texts", str(texts))
    assert sorted(str(row["label"]) for row in rows(tmp_path / "b")) == ["one", "one", "two", "two"]


def test_without_a_count_every_text_of_a_file_is_rendered_once_in_its_order(tmp_path: Path) -> None:
    texts = [f"No{number}" for number in range(120)]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts), encoding="utf-8")
    run("words", tmp_path / "set", "--format", "csv", "--texts", str(file))
    assert [row["label"] for row in rows(tmp_path / "set")] == texts


def style_images(folder: Path, images: Sequence[Pixels], text: str) -> str:
    """Training images that all say the same; returns their URI."""
    folder.mkdir()
    lines = ["file,text,split"]
    for number, image in enumerate(images):
        (folder / f"{number}.png").write_bytes(encode_png(image))
        lines.append(f"{number}.png,{text},train")
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return f"csv:{folder}/labels.csv"


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("layout", "text"), [("plates-cn", "京A12345"), ("words", "one")])
def test_style_images_without_a_look_are_an_error_not_made_up_looks(
    tmp_path: Path, layout: str, text: str
) -> None:
    uri = style_images(tmp_path / "real", [noise(5, 2000), noise(32, 96)], text)
    with pytest.raises(DataError, match=r"csv:.* none among 2; give other images"):
        run(layout, tmp_path / "set", "--count", "2", "--style-from", uri)
    assert not list(tmp_path.glob("set*"))


def test_style_images_without_a_look_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    word = LineRenderer(load_layout("words"))(["Street"], 0, (48, 144))[0]
    thin = resize_image(word, (7, 200))
    uri = style_images(tmp_path / "real", [noise(32, 96), word, thin], "Street")
    run("words", tmp_path / "set", "--count", "1", "--format", "csv", "--style-from", uri)
    told = "the looks of 1 real images (2 more have none)"
    assert told in capsys.readouterr().out
    assert told in (tmp_path / "set" / "README.md").read_text(encoding="utf-8")


def test_style_images_and_real_lines_of_another_layout_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plates, green = load_layout("plates-cn"), load_layout("plates-cn-green")
    wide = LineRenderer(green)(["京AD12345"], 0, (48, 160))[0]
    line = LineRenderer(plates)(["京A12345"], 0, (48, 144))[0]
    green_alone = style_images(tmp_path / "green", [wide], "京AD12345")
    both = style_images(tmp_path / "both", [line, wide, noise(3, 3)], "京A12345")
    table = tmp_path / "both" / "labels.csv"
    rewritten = table.read_text(encoding="utf-8").replace("1.png,京A12345", "1.png,京AD12345")
    table.write_text(rewritten, encoding="utf-8")
    how = ("--count", "1", "--format", "csv")
    run("plates-cn", tmp_path / "styled", *how, "--style-from", both)
    assert "1 of 3 real lines are no texts of layout plates-cn: '京AD12345' (1.png)" in caplog.text
    run("plates-cn", tmp_path / "with", *how, "--with-real", both)
    assert "1 of 2 real lines are no single line: '京A12345' (2.png)" in caplog.text
    assert [row["label"] for row in rows(tmp_path / "with")][:-1] == ["京A12345"]
    for option in ("--style-from", "--with-real"):
        with pytest.raises(DataError, match="1 of 1 real lines are no texts of layout plates-cn"):
            run("plates-cn", tmp_path / "none", *how, option, green_alone)
    assert not list(tmp_path.glob("none*"))


def test_looks_come_from_the_style_images_given_and_real_lines_go_along(tmp_path: Path) -> None:
    source = tmp_path / "real"
    source.mkdir()
    texts = ["京A12345", "沪B67890", "皖C00000", "浙D11111"]
    images = LineRenderer(load_layout("plates-cn"))(texts, 0, (48, 144))
    lines = ["file,text,split"]
    for number, (text, image) in enumerate(zip(texts, images, strict=True)):
        (source / f"{number}.png").write_bytes(encode_png(image))
        lines.append(f"{number}.png,{text},train")
    (source / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    uri = f"csv:{source}/labels.csv"
    for out, options in (("plain", ()), ("styled", ("--style-from", uri))):
        run("plates-cn", tmp_path / out, "--count", "3", "--format", "csv", *options)
    run("plates-cn", tmp_path / "both", "--count", "3", "--format", "csv", "--with-real", uri)
    real = [row for row in rows(tmp_path / "both") if row["origin"] == "real"]
    assert [row["label"] for row in real] == texts
    assert cv2.imread(str(tmp_path / "both" / str(real[0]["file"]))).shape == (32, 96, 3)
    assert len(rows(tmp_path / "both")) == 4 + 3
    assert "looks of" in (tmp_path / "styled" / "README.md").read_text(encoding="utf-8")
    first, second = (rows(tmp_path / out) for out in ("plain", "styled"))
    assert [row["label"] for row in first] == [row["label"] for row in second]
    assert [row["sha256"] for row in first] != [row["sha256"] for row in second]


@pytest.mark.parametrize(
    ("layout", "options", "message"),
    [
        ("plates-xx", (), "expected a layout"),
        ("plates-cn", ("--labels", "A"), "--labels does not go with a renderer"),
        ("plates-cn", ("--reader-band", "0.1", "1"), "--reader-band does not go"),
        ("plates-cn", ("--read-back",), "--read-back does not go with a renderer"),
        ("plates-cn", ("--no-read-back",), "--no-read-back does not go with a renderer"),
        ("plates-cn", ("--texts", "grammar:[A"), "grammar"),
        ("plates-cn", ("--texts", "grammar:ABC"), "7 characters"),
        ("words", ("--texts", "missing.txt"), "a text a line"),
        ("words", ("--set", "height=4"), "height"),
    ],
)
def test_what_cannot_be_rendered_is_refused_and_leaves_nothing(
    tmp_path: Path, layout: str, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(AugmentError, match=message):
        run(layout, tmp_path / "set", "--count", "2", *options)
    assert not list(tmp_path.glob("set*"))


@pytest.mark.parametrize(
    ("layout", "lines", "options", "message"),
    [
        ("words", "one\n\ntwo\n\u200d\n", (), r"texts.txt:4: "),
        ("plates-cn", "京A12345\n京A1234\n", (), r"texts.txt:2: plates-cn has 7 characters, got 6"),
        ("words", "1\n2.5\n", ("--format", "easyocr"), "cannot hold labels all of which"),
    ],
    ids=["no glyph", "no plate", "numbers"],
)
def test_texts_that_cannot_be_written_are_told_before_anything_is_drawn(
    tmp_path: Path, layout: str, lines: str, options: tuple[str, ...], message: str
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text(lines, encoding="utf-8")
    with pytest.raises(AugmentError, match=message):
        run(layout, tmp_path / "set", "--texts", str(texts), "--dry-run", *options)


@pytest.mark.parametrize(
    ("pattern", "options", "message"),
    [
        (r"grammar:(one|W{60})", (), "may be 256 pixels wide"),
        (r"grammar:\d{6}", ("--format", "easyocr"), "cannot hold labels all of which"),
    ],
)
def test_patterns_are_tried_before_anything_is_drawn(
    tmp_path: Path, pattern: str, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(AugmentError, match=message):
        run("words", tmp_path / "set", "--texts", pattern, "--dry-run", *options)


def test_numbers_are_no_trouble_beside_a_text_with_letters(tmp_path: Path) -> None:
    run("words", tmp_path / "set", "--texts", r"grammar:(1|a)2", "--format", "easyocr", "--dry-run")


def test_a_dry_run_prints_the_settings_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("words", tmp_path / "set", "--dry-run")
    assert json.loads(capsys.readouterr().out)["settings"] == {"height": 32, "channels": 3}
    assert not (tmp_path / "set").exists()


def test_characters_are_rendered_in_the_looks_of_real_ones(tmp_path: Path) -> None:
    style = ["--style-from", "digits:"]
    run("chars", tmp_path / "all", *style, "--per-label", "2", "--format", "csv")
    found = rows(tmp_path / "all")
    assert [row["label"] for row in found] == sorted([*"0123456789"] * 2)
    assert [row["origin"] for row in found] == ["generated"] * 20
    shape = cv2.imread(str(tmp_path / "all" / str(found[0]["file"]))).shape[:2]
    assert shape == open_data("digits:").image_size
    some = ["--labels", "7,3", "--per-label", "3", "--set", "image_size=[20, 24]"]
    run("chars", tmp_path / "some", *style, *some, "--with-real", "digits:", "--format", "csv")
    found = rows(tmp_path / "some")
    rendered = [row for row in found if row["origin"] == "generated"]
    assert [row["label"] for row in rendered] == ["7"] * 3 + ["3"] * 3
    assert len(found) - len(rendered) == len(open_data("digits:").split("train"))
    assert cv2.imread(str(tmp_path / "some" / str(found[0]["file"]))).shape[:2] == (20, 24)


def test_rendered_characters_depend_on_seed_label_and_index_alone(tmp_path: Path) -> None:
    wanted = ["--style-from", "digits:", "--format", "csv"]
    several = ["--labels", "3,7", "--per-label", "4"]
    for name, options in {
        "a": several,
        "b": ["--labels", "7", "--per-label", "4"],
        "c": ["--labels", "7", "--per-label", "2"],
        "d": [*several, "--seed", "1"],
    }.items():
        run("chars", tmp_path / name, *wanted, *options)
    sevens = {
        name: [row["sha256"] for row in rows(tmp_path / name) if row["label"] == "7"]
        for name in "abcd"
    }
    assert len(set(sevens["a"])) == 4
    assert sevens["a"] == sevens["b"]
    assert sevens["a"][:2] == sevens["c"]
    assert not set(sevens["a"]) & set(sevens["d"])


def test_characters_want_real_ones_to_look_like_and_labels_that_can_be_drawn(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="expected --style-from URI beside renderer:chars"):
        run("chars", tmp_path / "set")
    with pytest.raises(GlyphError, match=r"U\+E000|no glyph"):
        run("chars", tmp_path / "set", "--style-from", "digits:", "--labels", "\ue000")
    with pytest.raises(ConfigError, match="--texts does not go with a renderer of characters"):
        run("chars", tmp_path / "set", "--style-from", "digits:", "--texts", "uniform")
    assert not list(tmp_path.iterdir())
