import json
import re
from pathlib import Path

import numpy as np
import pytest

from augment.data.layouts import LAYOUTS, Layout, load_layout
from augment.data.line_rendering import LineRenderer
from augment.errors import ConfigError, LabelError
from recognizers.text_sources import check_drawable

PLATE = """
name = "two"
size = [100, 40]

[alphabets]
letter = "AB"
digit = "0123456789"

[[positions]]
box = [10, 5, 30, 30]
alphabet = "letter"

[[positions]]
box = [50, 5, 30, 30]
alphabet = "digit"

[[schemes]]
name = "white"
ground = [255, 255, 255]
ink = [0, 0, 0]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_that_come_along_accept_what_they_draw(name: str) -> None:
    layout = load_layout(name)
    rng = np.random.default_rng(0)
    texts = [layout.random_text(rng) for _ in range(50)]
    assert len(set(texts)) > 40
    assert all(layout.allows(text) for text in texts)


def test_the_seven_boxes_of_a_blue_plate_are_symmetric_on_it() -> None:
    boxes = load_layout("plates-cn").boxes()
    assert boxes.shape == (7, 4)
    np.testing.assert_allclose(boxes[0, 0], 1 - boxes[-1, 2])
    np.testing.assert_allclose(boxes[:, 1] + boxes[:, 3], 1)
    assert (boxes[1:, 0] > boxes[:-1, 2]).all()


@pytest.mark.parametrize(
    ("name", "text"),
    [("plates-cn", "京A12345"), ("plates-cn-green", "粤BD12345"), ("plates-cn-white", "沪A1234警")],
)
def test_each_kind_of_plate_has_its_own_texts(name: str, text: str) -> None:
    assert [other for other in LAYOUTS[:-1] if load_layout(other).allows(text)] == [name]
    assert LAYOUTS[-1] == "words"


def test_random_texts_use_every_allowed_character_equally(tmp_path: Path) -> None:
    layout = load_layout(written(tmp_path, PLATE))
    rng = np.random.default_rng(1)
    first = [layout.random_text(rng)[0] for _ in range(2000)]
    assert set(first) == {"A", "B"}
    assert abs(first.count("A") - 1000) < 150


def test_the_alphabet_is_every_character_once_sorted(tmp_path: Path) -> None:
    assert load_layout(written(tmp_path, PLATE)).alphabet == "0123456789AB"


def test_a_json_layout_is_the_same_as_a_toml_one(tmp_path: Path) -> None:
    import tomllib

    path = tmp_path / "mine.json"
    path.write_text(json.dumps(tomllib.loads(PLATE)), encoding="utf-8")
    assert load_layout(path) == load_layout(written(tmp_path, PLATE))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A", ["2 characters", "got 1"]),
        ("C1", ["position 1", "AB", "'C'"]),
        ("AB", ["position 2", "0123456789", "'B'"]),
        ("", ["2 characters", "got 0"]),
    ],
)
def test_a_text_that_does_not_fit_is_told_where_and_what_may_stand_there(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    layout = load_layout(written(tmp_path, PLATE))
    assert not layout.allows(text)
    with pytest.raises(LabelError) as error:
        layout.check(text)
    assert all(word in str(error.value) for word in words)


def test_a_layout_with_gaps_lets_a_space_stand_for_a_character_and_nothing_else(
    tmp_path: Path,
) -> None:
    layout = load_layout(written(tmp_path, PLATE))
    gappy = layout.with_gaps()
    assert [gappy.allows(text) for text in ("A1", " 1", "A ", "A", "1A", "A  ")] == [
        *(True, True, True),
        *(False, False, False),
    ]
    assert not layout.allows(" 1")
    assert gappy.alphabet == layout.alphabet
    assert gappy.random_text(np.random.default_rng(0)) == layout.random_text(
        np.random.default_rng(0)
    )
    words = load_layout("words")
    assert words.with_gaps() is words


def test_free_text_takes_any_text_but_none() -> None:
    layout = load_layout("words")
    layout.check("it's 50%")
    assert layout.is_free
    assert layout.boxes().shape == (0, 4)
    with pytest.raises(LabelError, match="got an empty one"):
        layout.check("")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("box = [50, 5, 30, 30]", "box = [35, 5, 30, 30]", "position 2.*overlaps.*position 1"),
        ("box = [50, 5, 30, 30]", "box = [80, 5, 30, 30]", "position 2.*inside 100"),
        ("box = [50, 5, 30, 30]", "box = [50, 5, 0, 30]", "position 2.*inside"),
        ("box = [50, 5, 30, 30]", "box = [50, 5, 30]", "positions 2.box must have 4 entries"),
        ('letter = "AB"', 'letter = ""', "alphabet letter must have characters"),
        ('letter = "AB"', 'letter = "AA"', "each once"),
        ('alphabet = "letter"', 'alphabet = "vowel"', "must be one of letter, digit"),
        ("size = [100, 40]", "", "size = "),
        ("size = [100, 40]", "size = [100, 0]", "above 0"),
        ("size = [100, 40]", "size = [inf, 40]", "above 0 and finite"),
        ("size = [100, 40]", "size = [100, nan]", "above 0 and finite"),
        ("size = [100, 40]", "size = [100, 40]\ncorner_radius = nan", "corner_radius.*got nan"),
        ("size = [100, 40]", "size = [100, 40]\ncorner_radius = -1", "at least 0"),
        (
            "size = [100, 40]",
            "size = [100, 40]\ndots = [{ centre = [1, 2], radius = inf }]",
            "dots.*radius=inf",
        ),
        (
            "size = [100, 40]",
            "size = [100, 40]\nbolts = [{ centre = [nan, 2], radius = 1 }]",
            "bolts must lie on a plate of 100 × 40",
        ),
        (
            "size = [100, 40]",
            "size = [100, 40]\ndots = [{ centre = [1e7, 20], radius = 2 }]",
            "dots and bolts must lie on a plate",
        ),
        (
            "size = [100, 40]",
            "size = [100, 40]\nborder = { inset = 15, thickness = 6 }",
            "border.* must lie on a plate",
        ),
        ("size = [100, 40]", "size = [100, 40]\ncorner_radius = 21", "corner_radius.* must lie on"),
        ("size = [100, 40]", "size = [44000, 140]", "16 times the shorter"),
        (
            "size = [100, 40]",
            "size = [100, 40]\nborder = { inset = 1, thickness = inf }",
            "border.*thickness=inf",
        ),
        ("box = [50, 5, 30, 30]", "box = [50, nan, 30, 30]", "position 2.*inside"),
        ('letter = "AB"', 'letter = "A\u0301B"', r"letter must stand alone, got .*U\+0301"),
        ('letter = "AB"', 'letter = "A\u200bB"', r"must stand alone, got .*U\+200B"),
        ("size = [100, 40]", "size = [100, 40]\nfont = 3", "unknown setting font"),
        ("size = [100, 40]", "size = [100, 40]\nlengths = [1, 3]", "lengths"),
        ("ink = [0, 0, 0]", "ink = [0, 0, 256]", r"\[0, 255\]"),
        ("ink = [0, 0, 0]", "ink = [0, 0, 0]\nshare = 0", "share"),
        ("ink = [0, 0, 0]", "ink = [0, 0, 0]\nshare = inf", "share must be above 0 and finite"),
        ('name = "white"', "", "the setting schemes 1.name is missing; write it"),
        ('name = "two"', "", "the setting name is missing"),
        ("box = [50, 5, 30, 30]", "", "the setting positions 2.box is missing"),
        ("size = [100, 40]", "size = [100, 40]\nallowed = ['A']", "unknown setting allowed"),
        ("ground = [255, 255, 255]", "ground = [9.5, 0, 0]", "schemes 1.ground must be int"),
        ("ground = [255, 255, 255]", "ground = [9, 0, 60]", "ink must differ.*on average"),
        ("ink = [0, 0, 0]", "ink = [0, 0, 0]\nground_below = [9, 0, 60]", "ink must differ"),
        ("box = [50, 5, 30, 30]", "box = [0, 5, 9, 30]", "to the right of position 1.*in order"),
        ("box = [50, 5, 30, 30]", "box = [10, 36, 30, 4]", "two rows is two layouts"),
        ("box = [50, 5, 30, 30]", "box = [50, 5, 0.5, 30]", "at least 1 wide and 4 high"),
        ("box = [50, 5, 30, 30]", "box = [50, 5, 30, 3]", "at least 1 wide and 4 high"),
        (
            "size = [100, 40]",
            "size = [100, 40]\ndots = [{ centre = [84, 20], radius = 5 }]",
            r"position 2.*covered by a dot at \[84.0, 20.0\]",
        ),
        ("size = [100, 40]", "size = [100", "expected TOML"),
    ],
)
def test_a_faulty_layout_file_is_refused_with_what_is_wrong(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in PLATE
    with pytest.raises(ConfigError, match=message) as error:
        load_layout(written(tmp_path, PLATE.replace(old, new, 1)))
    assert "mine.toml" in str(error.value)


def test_a_layout_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert load_layout(written(tmp_path, "\ufeff" + PLATE)).name == "two"
    (tmp_path / "mine.toml").write_bytes(PLATE.encode("utf-16"))
    with pytest.raises(ConfigError, match="expected TOML in UTF-8"):
        load_layout(tmp_path / "mine.toml")


def test_a_dot_or_a_bolt_beside_the_characters_hides_none_and_a_bolt_never_does(
    tmp_path: Path,
) -> None:
    """Bolts are metal on the ground, over which ink is drawn."""
    dots, bolts = "[{ centre = [45, 20], radius = 5 }]", "[{ centre = [60, 20], radius = 5 }]"
    marks = f"dots = {dots}\nbolts = {bolts}"
    layout = load_layout(
        written(tmp_path, PLATE.replace("size = [100, 40]", f"size = [100, 40]\n{marks}"))
    )
    assert (len(layout.dots), len(layout.bolts)) == (1, 1)


def test_boxes_may_touch_in_any_unit(tmp_path: Path) -> None:
    """In binary 0.1 + 0.2 is more than 0.3."""
    small = PLATE.replace("[100, 40]", "[1.0, 0.4]")
    small = small.replace("[10, 5, 30, 30]", "[0.1, 0.05, 0.2, 0.3]")
    touching = small.replace("[50, 5, 30, 30]", "[0.3, 0.05, 0.2, 0.3]")
    assert load_layout(written(tmp_path, touching)).boxes()[1, 0] == 0.3
    overlapping = small.replace("[50, 5, 30, 30]", "[0.299, 0.05, 0.2, 0.3]")
    with pytest.raises(ConfigError, match="overlaps"):
        load_layout(written(tmp_path, overlapping))


def test_a_layout_file_that_nests_too_deep_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"deep\.json: expected JSON"):
        load_layout(deep)


def test_a_plate_without_colours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scheme"):
        load_layout(written(tmp_path, PLATE.partition("[[schemes]]")[0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lengths": None}, "lengths"),
        ({"lengths": (3, 2)}, "lengths"),
        ({"lengths": (1, 1_000_000_000)}, "most <= 256, got"),
        ({"alphabets": {"a": "x", "b": "y"}}, "one alphabet"),
        ({"size": (3.0, 2.0)}, "no positions"),
    ],
)
def test_free_text_needs_one_alphabet_lengths_and_nothing_of_a_plate(
    settings: dict[str, object], message: str
) -> None:
    good: dict[str, object] = {"name": "free", "alphabets": {"a": "xy"}, "lengths": (1, 2)}
    Layout(**good)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        Layout(**{**good, **settings})  # type: ignore[arg-type]


def test_a_layout_file_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(ConfigError, match=r"got /nowhere/de.toml, which is none; check the path"):
        load_layout("/nowhere/de.toml")


def test_the_layouts_of_the_documentation_can_be_drawn(tmp_path: Path) -> None:
    guide = Path(__file__).parents[3] / "docs" / "LAYOUTS.md"
    blocks = re.findall(r"```toml\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    for block, text in zip(blocks, ("A12", "Снег"), strict=True):
        path = tmp_path / "layout.toml"
        path.write_text(block, encoding="utf-8")
        layout = load_layout(path)
        check_drawable(text, layout)
        assert LineRenderer(layout)([text], 0, (32, 144))[0].shape == (32, 144, 3)


@pytest.mark.parametrize("name", ["plates-xx", "plates-cn.txt"])
def test_an_unknown_layout_is_refused_with_the_ones_at_hand(name: str) -> None:
    with pytest.raises(ConfigError, match="plates-cn, plates-cn-green, plates-cn-white, words"):
        load_layout(name)


def test_a_layout_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(ConfigError, match="table"):
        load_layout(path)
