"""The report and the model card say what was measured, and nothing that was not."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from augment.bundle import CARD_FILE, MEASURES_FILE, BundleInfo
from augment.errors import BundleError
from recognizers.cards import card_files, read_measures
from recognizers.evaluation_pictures import BundlePictures, ReadPicture, Walk
from recognizers.evaluation_report import (
    TABLES,
    Column,
    format_measures,
    summarize,
    write_pages,
)
from recognizers.evaluation_words import in_words
from recognizers.report import ClassPictures, Neighbour

VOID = {"meta", "img", "br"}


def section(top1: float) -> dict[str, object]:
    return {"top1": top1, "by_class": {"a": top1}, "read_back": None}


def attack(auc: float, reach: float, real: float, **more: object) -> dict[str, object]:
    over = auc - real
    return {
        "space": "pixels", "calibrated": False, "auc": auc, "ci95": [auc - reach, auc + reach],
        "members": 20, "non_members": 20, "over_real": over,
        "over_real_ci95": [over - reach / 2, over + reach / 2], **more,
    }  # fmt: skip


def privacy(
    auc: float, real: float = 0.5, reach: float = 0.05, copies: tuple[float, float] = (0.0, 0.0)
) -> dict[str, object]:
    near = {"space": "pixels", "generated": 0.2, "held_out": 0.3, "limit": 0.1}
    in_pixels, in_features = ({**near, "near_copies": share} for share in copies)
    weaker = attack(auc - 0.1, 0.02, real, space="features", calibrated=True)
    return {
        "memorisation": {"pixels": in_pixels, "features": in_features},
        "attacks": {"pixels": attack(auc, reach, real), "features_calibrated": weaker},
    }


def report_of(*top1: float, **more: object) -> dict[str, object]:
    bundle = {
        "digest": "ab" * 32, "architecture": "saae", "classes": 2, "image_size": [16, 16],
        "trained_on": 60, "left_out": {"utility": "too few images."},
        "measures": {"labels": summarize([section(value) for value in top1]),
                     "privacy": summarize([privacy(0.8)])},
    }  # fmt: skip
    real = {"labels": summarize([section(0.98)]), "privacy": summarize([privacy(0.5)])}
    return {
        "data": "digits:", "n_train": 60, "n_held_out": 40, "left_out_classes": ["b"],
        "left_out": {}, "seeds": list(range(len(top1))), "recognizer": "character",
        "settings": {"judge_steps": 10, "generated": 20}, "real": real,
        "bundles": {"digits/1": bundle, "<other>": bundle}, "others": ["parzen"],
        "seconds": 61.0, "device": "2 CPU cores", "command": "evaluate a & b", **more,
    }  # fmt: skip


class Balanced(HTMLParser):
    """Fails on tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_seeds_become_means_with_each_value_beside_them():
    found = summarize([{"a": 1.0, "b": None, "c": "x", "d": [0, 2], "e": True, "f": 1},
                       {"a": 3.0, "b": 2.0, "c": "y", "d": [2, 4], "e": True}])  # fmt: skip
    assert found["a"] == {"mean": 2.0, "per_seed": [1.0, 3.0]}
    assert found["b"]["mean"] is None
    assert (found["c"], found["e"]) == ("x", True)
    assert found["d"]["mean"] == [1, 3]
    assert "f" not in found  # a class that one seed did not have


def test_a_cell_has_the_mean_its_deviation_and_its_interval():
    column = Column("top", ("top1",), "{:.1%}")
    assert column.cell(summarize([section(0.5)])) == "50.0 %"
    assert column.cell(summarize([section(0.4), section(0.6)])) == "50.0 % ± 14.1 %"
    assert Column("", ("read_back",), "{:.1%}").cell(summarize([section(0.5)])) == "–"
    auc = Column("AUC", ("attacks", "pixels", "auc"), "{:.2f}", "ci95")
    assert auc.cell(summarize([privacy(0.8)])) == "0.80 (0.75 to 0.85)"
    missing = Column("AUC", ("attacks", "pixels_calibrated", "auc"), "{:.2f}", "ci95")
    assert missing.cell(summarize([privacy(0.8)])) == "–"
    assert Column("", ("d",), "{:.1f}").cell(summarize([{"d": -1.0}])) == "−1.0"


def test_the_words_name_the_strongest_attack_and_whether_it_tells_anything():
    report = report_of(0.9)
    said = in_words(report["bundles"]["digits/1"]["measures"], report["real"])
    assert said[0] == "90.0 % of its images are read as asked (real images: 98.0 %)."
    assert said[-1] == (
        "The strongest of 2 attacks (pixels) gives training images away: AUC 0.80; other real "
        "images score 0.50."
    )
    harmless = in_words({"privacy": summarize([privacy(0.52)])}, report["real"])
    assert "tells no training images from others: AUC 0.52" in harmless[-1]


def test_the_words_tell_how_many_images_each_recognizer_learned():
    def utility(accuracy: float, **more: int) -> dict[str, object]:
        return {"utility": summarize([{"train_on_generated": accuracy, **more}])}

    assert in_words(utility(0.5, learned=2000), utility(0.9, learned=1500)) == [
        "A recognizer trained on 2,000 of them alone reads 50.0 % of real images right; trained "
        "on 1,500 of the real training images, 90.0 %."
    ]
    (before,) = in_words(utility(0.5), utility(0.9))
    assert "trained on them alone" in before
    assert "trained on the real training images, 90.0 %." in before


def verdict(found: float, real: float) -> str:
    """Intervals reach 0.05 either way, in pairs 0.025: 0.057 and 0.029 for the best of two."""
    sections = (
        {"privacy": summarize([privacy(found, real)])},
        {"privacy": summarize([privacy(real)])},
    )
    return in_words(*sections)[-1]


def test_an_attack_has_to_beat_both_chance_and_real_images():
    assert "gives training images away" in verdict(0.56, 0.5)
    assert "beats other real images but not surely chance" in verdict(0.555, 0.5)
    assert "tells no training images" in verdict(0.52, 0.5)
    assert "gives training images away" in verdict(0.62, 0.58)
    assert "beats chance but not surely other real images" in verdict(0.6, 0.58)
    assert "tells no training images" in verdict(0.5, 0.58)
    assert "gives training images away" in verdict(0.56, 0.42)
    assert "proves nothing either way" in verdict(0.5, 0.42)
    assert "score 0.42." in verdict(0.5, 0.42)


def test_an_attack_on_few_images_is_not_said_to_tell_nothing():
    real = {"privacy": summarize([privacy(0.5)])}
    few, some, many = (
        in_words({"privacy": summarize([privacy(0.55, reach=reach)])}, real)[-1]
        for reach in (0.25, 0.1, 0.01)
    )
    assert "proves nothing either way, for of so few images it may lead by up to 0.19: AUC" in few
    assert "proves nothing either way, for of so few images it may lead by up to 0.11: AUC" in some
    assert "gives training images away" in many


def test_near_copies_stand_beside_those_among_real_images():
    real, both, alone = (
        {"privacy": summarize([privacy(0.5, copies=copies)])}
        for copies in ((0.012, 0.004), (0.041, 0.02), (1.0, 0.0))
    )
    assert in_words(both, real)[0] == (
        "Near-copies of training images: 4.1 % by pixels (other real images: 1.2 %), 2.0 % by "
        "features (other real images: 0.4 %)."
    )
    assert in_words(alone, real)[0].endswith(
        "Near in pixels alone, they may be blurred and no copies."
    )


def test_measures_kept_from_before_attacks_were_paired_are_still_put_in_words():
    kept, real = privacy(0.8), privacy(0.5)
    for found in kept["attacks"].values():
        del found["over_real"], found["over_real_ci95"]
    said = in_words({"privacy": summarize([kept])}, {"privacy": summarize([real])})
    assert "gives training images away" in said[-1]


def test_tables_have_real_images_first_and_leave_out_what_was_not_measured():
    text = format_measures(report_of(0.9, 0.7))
    assert "| real, held out | 98.0 % |" in text
    assert "| digits/1 | 80.0 % ± 14.1 % |" in text
    assert "GAN-train" not in text
    assert text.count("| real, held out |") == 3  # labels, copies, attacks


FEW = "90 images do not determine a covariance in 128 dimensions, so there is no FID; read KID."


def fidelity(note: str | None) -> dict[str, object]:
    keys = ("kid_thousandfold", "kid_noise_thousandfold", "precision", "recall", "density")
    space = {**dict.fromkeys((*keys, "coverage"), 0.5), "fid": None, "note": note}
    return {"domain": space, "inception": {**space, "fid": 3.0, "note": None}}


def test_a_missing_distance_is_explained_once_under_its_table():
    found = {"fidelity": summarize([fidelity(FEW)])}
    text = format_measures({"real": found, "bundles": {"digits/1": {"measures": found}}})
    rows = "| digits/1 | – | 0.5 | 0.5 | 50.0 % | 50.0 % | 0.50 | 50.0 % |"
    assert f"{rows}\n\n{FEW}\n\nThe same in Inception's features" in text
    assert text.count(FEW) == 1
    enough = {"fidelity": summarize([fidelity(None)])}
    text = format_measures({"real": enough, "bundles": {"digits/1": {"measures": enough}}})
    assert "covariance" not in text


def test_what_was_not_measured_is_told_under_the_tables():
    text = format_measures(report_of(0.9, left_out={"fidelity": "too few."}))
    assert text.endswith(
        "\nFidelity was not measured: too few.\n"
        "digits/1: Utility was not measured: too few images.\n"
        "<other>: Utility was not measured: too few images.\n"
    )


@pytest.fixture
def pictures() -> BundlePictures:
    draws = np.random.default_rng(0)
    few = draws.integers(0, 256, (4, 16, 16, 1), dtype=np.uint8)
    one = few[0]
    return BundlePictures(
        by_class=[ClassPictures("a", few, few), ClassPictures("<b>", few[:0], few)],
        walks=[Walk("a", few)],
        neighbours=[Neighbour("a", one, one, 0.012)],
        usual_distance=0.321,
        best=[ReadPicture(one, "a", "a", 0.99)],
        worst=[ReadPicture(one, "a", "b", 0.01)],
    )


def test_the_page_shows_bundles_side_by_side_with_their_pictures(tmp_path: Path, pictures):
    page = write_pages(tmp_path, report_of(0.9), {"digits/1": pictures}).read_text()
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    for text in (
        "digits/1", "&lt;other&gt;", "Utility was not measured: too few images.", "0.321", "0.012",
        "1 classes (b)", "a &amp; b", 'href="parzen.md"', "from one style to another", "→ b",
    ):  # fmt: skip
        assert text in page
    assert "<other>" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert json.loads((tmp_path / "report.json").read_text())["seeds"] == [0]


def test_every_table_can_be_filled_and_says_how_to_read_it():
    for table in TABLES:
        assert table.says.endswith(".")
        assert len({column.path for column in table.columns}) == len(table.columns)


INFO = BundleInfo("saae", {}, {}, ("a", "b"), (16, 16), 1, data={"uri": "digits:", "images": 60})


def measured(top1: float, command: str) -> dict[str, dict[str, object]]:
    known = {"data": "digits:", "seeds": [0], "command": command}
    found, real = (summarize([section(value)]) for value in (top1, 0.98))
    return {"labels": {"section": found, "real": real, **known}}


def test_a_card_says_what_the_bundle_is_and_how_it_was_measured(tmp_path: Path):
    card = card_files("digits/1", INFO, tmp_path, measured(0.9, "python -m x"))[CARD_FILE]
    for text in (
        "# digits/1", INFO.digest, "| training images | 60 |", "2: a, b", "## Intended use",
        "| this bundle | 90.0 % |", "    python -m x", "not differentially private",
    ):  # fmt: skip
        assert text in card


def test_a_card_says_why_a_distance_is_missing(tmp_path: Path):
    found = summarize([fidelity(FEW)])
    new = {"fidelity": {"section": found, "real": found, "data": "digits:", "seeds": [0],
                        "command": "python -m x"}}  # fmt: skip
    card = card_files("digits/1", INFO, tmp_path, new)[CARD_FILE]
    assert f"50.0 % |\n\n{FEW}\n\nOn digits:" in card
    assert card.count(FEW) == 1


def test_a_card_tells_the_licence_of_the_training_images(tmp_path: Path):
    licensed = replace(INFO, data={**INFO.data, "licence": "CC BY 4.0 |\nby Jo"})
    for info, told in ((licensed, "CC BY 4.0 \\| by Jo"), (INFO, "not stated")):
        card = card_files("digits/1", info, tmp_path, {})[CARD_FILE]
        assert f"| licence of the training images | {told} |" in card


def test_a_card_keeps_earlier_measures_and_replaces_those_taken_again(tmp_path: Path):
    for name, text in card_files("d", INFO, tmp_path, measured(0.9, "first")).items():
        (tmp_path / name).write_text(text)
    known = {"data": "digits:", "seeds": [0], "command": "second"}
    new = {"privacy": {"section": summarize([privacy(0.8)]), "real": summarize([privacy(0.5)]),
                       **known}}  # fmt: skip
    files = card_files("d", INFO, tmp_path, new)
    assert "    first" in files[CARD_FILE]
    assert "    second" in files[CARD_FILE]
    assert "50.0 %" in card_files("d", INFO, tmp_path, measured(0.5, "third"))[CARD_FILE]
    assert json.loads(files[MEASURES_FILE]).keys() == {"labels", "privacy"}


def test_a_card_without_measures_says_how_to_take_some(tmp_path: Path):
    assert "None yet: `python -m jobs.evaluate`" in card_files("d", INFO, tmp_path, {})[CARD_FILE]


def test_measures_that_were_changed_into_something_else_are_an_error(tmp_path: Path):
    (tmp_path / MEASURES_FILE).write_text("{")
    with pytest.raises(BundleError, match="expected JSON"):
        read_measures(tmp_path)
