import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from recognizers.charts import Line, line_chart, shaded
from recognizers.gain import ArmResult, measure_gain
from recognizers.nearest import nearest_images
from recognizers.report import (
    ClassPictures,
    Neighbour,
    Pictures,
    build_report,
    confusion_section,
    format_table,
    write_report,
)
from recognizers.report_parts import misread_characters

CLASSES = ("0", "8", "皖")
LABELS = np.arange(300) % 3
VOID = {"meta", "img", "br", "line", "path", "circle", "rect"}


def results_with(share_wrong, seeds=3):
    """For each arm a recognizer that reads this share of the images as the next class."""
    rng = np.random.default_rng(0)
    results = []
    for seed in range(seeds):
        hard = rng.permutation(len(LABELS)) / len(LABELS)
        for arm, share in share_wrong.items():
            read = np.where(hard < share, (LABELS + 1) % 3, LABELS)
            curve = [(100, 0.5), (200, 1 - share)]
            results.append(ArmResult(arm, seed, read, curve))
    return results


HELPS = {"real": 0.5, "classical": 0.4, "rendered": 0.3, "synthetic": 0.05}
HURTS = {"classical": 0.1, "synthetic": 0.5}
SAME = {"classical": 0.3, "synthetic": 0.3}


def report_of(share_wrong, seeds=3, *, focus_by_seed=None, **extra):
    gain = measure_gain(
        results_with(share_wrong, seeds),
        LABELS,
        np.arange(300),
        metric="balanced_accuracy",
        focus_by_seed=focus_by_seed,
    )
    known = {
        "scenario": "chars",
        "describe": "some characters",
        "n_train": 1500,
        "steps": {"synthetic": 2000},
        "generated": {"made": 1200, "kept": 1000, "dropped": 200},
        "bundle": "chars/1",
        "seconds": 90.0,
        "device": "2 CPU cores",
    }
    return build_report(gain, **(known | extra))


class Page(HTMLParser):
    """Collects what a page says and loads, and checks that its tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.headings, self.words = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.sources += [value for key, value in attributes if key in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))


def page_of(folder, report, pictures=None):
    return Page(write_report(folder, report, pictures).read_text(encoding="utf-8"))


def full_report():
    recommended = {
        "mix": {"classical": 0.5, "rendered": 0.25, "generated": 0.25},
        "why": "Together they made the fewest mistakes.",
        "command": "python -m jobs.generate chars --per-label 100",
    }
    sweeps = {
        "real_per_class": [
            {"x": 5, "arms": {"classical": [0.6, 0.7], "synthetic": [0.8, 0.8]}},
            {"x": 10, "arms": {"classical": [0.7, 0.8]}},
        ],
        "ratio": [{"x": x, "arms": {"synthetic": [0.7, 0.8]}} for x in (0, 1)],
    }
    confusion = confusion_section(results_with(HELPS), LABELS, CLASSES, before="rendered")
    return report_of(
        HELPS,
        recommended=recommended,
        sweeps=sweeps,
        confusion=confusion,
        command="python -m jobs.benchmark chars --seeds 3",
    )


def report_of_text():
    """A report of lines of 14 characters: the first is misread often, an M now and then."""
    errors = {
        arm: {
            "by_class": {"A": [200, 0], "M": [20, m], "<": [1, lt]},
            "by_position": {"0": [100, first]} | {str(p): [20, p - 12] for p in (12, 13)},
            "confusions": [["M", "N", m], ["", "X", 7 + m]],
        }
        for arm, first, m, lt in (("rendered", 40, 10, 1), ("synthetic", 20, 5, 1))
    }
    shares = {"classical": 0.4, "rendered": 0.3, "synthetic": 0.35}
    results = results_with(shares, seeds=2)
    other = measure_gain(results, LABELS, np.arange(300), metric="accuracy").to_mapping()
    against = {"benchmark": "runs/<250>", "n_train": 1250, **other}
    return report_of(HELPS) | {"errors": errors, "against": against}


def full_pictures():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    return Pictures(
        by_class=[ClassPictures(name, images[:3], images[3:]) for name in CLASSES],
        neighbours=[Neighbour("8", images[0], images[1], 0.25)],
        usual_distance=0.3,
    )


@pytest.mark.parametrize(
    ("share_wrong", "seeds", "headline"),
    [
        (HELPS, 3, "generated images help"),
        (HURTS, 3, "generated images hurt"),
        (SAME, 3, "no evidence that generated images help"),
        (HELPS, 2, "no verdict, 3 seeds are needed"),
        (HELPS, 1, "no verdict, 3 seeds are needed"),
    ],
)
def test_the_page_leads_with_the_verdict(tmp_path, share_wrong, seeds, headline):
    page = page_of(tmp_path, report_of(share_wrong, seeds))
    assert page.headings[0] == headline
    assert headline in format_table(report_of(share_wrong, seeds))


def test_the_page_ends_with_the_training_set_to_make(tmp_path):
    page = page_of(tmp_path, full_report(), full_pictures())
    assert page.headings[-1] == "The training set to make"
    assert page.text.rstrip().endswith("python -m jobs.generate chars --per-label 100")


def test_a_full_report_shows_every_section(tmp_path):
    assert page_of(tmp_path, full_report(), full_pictures()).headings == [
        "generated images help",
        "Every arm, every seed",
        "Balanced accuracy",
        "Against real images a class",
        "Against synthetic images for each real one",
        "Against training steps",
        "Real and generated, by class",
        "What is confused, before and after",
        "rendered: 270 misread",
        "synthetic: 45 misread",
        "Is it copying?",
        "How this was measured",
        "To measure it again",
        "The training set to make",
    ]


def test_sections_without_data_are_left_out(tmp_path):
    report = report_of(SAME) | {"curves": {}, "generated": {}, "steps": {}, "bundle": None}
    assert page_of(tmp_path, report).headings == [
        "no evidence that generated images help",
        "Every arm, every seed",
        "How this was measured",
    ]


def test_the_page_loads_nothing_from_outside(tmp_path):
    page = page_of(tmp_path, full_report(), full_pictures())
    assert len(page.sources) == 3 + 2 * len(CLASSES) + 2
    assert all(source.startswith("data:image/") for source in page.sources)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import|<script", text)


def test_class_names_cannot_break_the_page(tmp_path):
    images = np.zeros((1, 8, 8, 1), np.uint8)
    pictures = Pictures(by_class=[ClassPictures("<b>&", images, images)])
    assert "<b>&" in page_of(tmp_path, report_of(SAME), pictures).text


def test_a_class_without_generated_images_says_so(tmp_path):
    images = np.zeros((2, 8, 8, 1), np.uint8)
    pictures = Pictures(by_class=[ClassPictures("8", images, images[:0])])
    assert "none" in page_of(tmp_path, report_of(SAME), pictures).text


def test_report_json_has_the_keys_of_the_design(tmp_path):
    write_report(tmp_path, report_of(HELPS))
    saved = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {
        "scenario",
        "metric",
        "n_train",
        "n_test",
        "seeds",
        "steps",
        "arms",
        "baseline",
        "gain",
        "gain_over_classical",
        "verdict",
        "generated",
        "bundle",
        "seconds",
        "device",
    } <= set(saved)
    assert {"error_reduction", "ci95", "points"} <= set(saved["gain"])
    assert set(saved["arms"]["real"]) == {"mean", "per_seed"}
    assert saved["verdict"] == "helps"


def test_a_saved_report_gives_the_same_page_and_table(tmp_path):
    report = full_report()
    first = write_report(tmp_path / "first", report).read_text(encoding="utf-8")
    saved = json.loads((tmp_path / "first" / "report.json").read_text(encoding="utf-8"))
    assert write_report(tmp_path / "again", saved).read_text(encoding="utf-8") == first
    assert format_table(saved) == format_table(report)


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path):
    write_report(tmp_path, report_of(SAME))
    before = (tmp_path / "report.json").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(tmp_path, report_of(SAME) | {"seconds": float("nan")})
    assert (tmp_path / "report.json").read_bytes() == before


def test_the_table_names_arms_baseline_gain_and_images():
    table = format_table(report_of(HELPS))
    assert re.search(r"rendered +\d\d\.\d\d %.* baseline", table)
    assert re.search(r"help: 83\.3 % fewer errors than rendered \(95 % interval: ", table)
    assert "generated and rendered together: " in table
    assert "1,200 made, 1,000 kept, 200 dropped" in table


def test_more_errors_are_told_in_words_and_not_by_a_sign():
    table = format_table(report_of(HURTS))
    assert re.search(r"hurt: \d+\.\d % more errors than classical", table)
    assert re.search(r"interval: \d+\.\d % to \d+\.\d % more\)", table)


def test_a_focus_adds_what_happened_over_all_classes(tmp_path):
    report = report_of(HELPS, focus_by_seed={0: (0,), 1: (1,), 2: (2,)})
    assert "over all classes" in format_table(report)
    assert "over all classes" in page_of(tmp_path, report).text
    assert "over all classes" not in format_table(report_of(HELPS))


def test_an_interval_far_below_zero_stays_inside_the_picture(tmp_path):
    report = report_of({"classical": 0.02, "synthetic": 0.9})
    assert report["gain"]["ci95"][0] < -1
    text = write_report(tmp_path, report).read_text(encoding="utf-8")
    places = [float(x) for x in re.findall(r'c?x[12]?="(-?[\d.]+)"', text)]
    assert min(places) >= 0


def test_confusions_are_counted_over_seeds_and_classes_in_focus():
    results = results_with(SAME)
    section = confusion_section(results, LABELS, CLASSES, before="classical")
    assert np.sum(section["before"]["counts"]) == 3 * len(LABELS)
    focused = confusion_section(
        results, LABELS, CLASSES, before="classical", focus_by_seed={0: (0,), 1: (1,), 2: None}
    )
    rows = np.sum(focused["before"]["counts"], axis=1)
    assert rows.tolist() == [200, 200, 100]


def test_a_chart_is_the_same_document_each_time():
    lines = {"classical": Line([1, 2], [0.5, 0.6]), "other": Line([1, 2], [0.5, 0.6])}
    assert line_chart(lines, "steps") == line_chart(lines, "steps")
    assert line_chart(lines, "steps").count("<svg") == 1


def test_shades_run_from_light_to_dark_in_the_order_of_the_lines():
    lines = shaded({str(n): Line([1, 2], [0.5, 0.6]) for n in range(4)})
    lightness = [sum(bytes.fromhex(line.colour[1:])) for line in lines.values()]
    assert lightness == sorted(lightness, reverse=True)
    assert len(set(lightness)) == 4
    assert lines["0"].colour in line_chart(lines, "steps")


def test_nearest_images_finds_the_same_picture_at_distance_zero():
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    indices, distances = nearest_images(images[[4, 2]], images)
    assert indices.tolist() == [4, 2]
    assert distances.tolist() == [0, 0]
    black, white = np.zeros_like(images[:1]), np.full_like(images[:1], 255)
    assert nearest_images(black, white)[1] == pytest.approx([1.0])


def test_a_report_without_curve_points_draws_no_curve(tmp_path):
    results = [dataclasses.replace(r, curve=[(100, 0.5)]) for r in results_with(SAME)]
    gain = measure_gain(results, LABELS, np.arange(300), metric="accuracy")
    report = report_of(SAME) | {"curves": gain.to_mapping()["curves"]}
    assert "Against training steps" not in page_of(tmp_path, report).headings


def test_a_second_test_set_is_reported_beside_the_first(tmp_path):
    other = measure_gain(results_with(SAME), LABELS, np.arange(300), metric="accuracy")
    report = report_of(HELPS, confirmation=("other signs", other))
    assert report["confirmation"]["n_test"] == 300
    assert "confirmed on other signs? 0.0 % fewer errors" in format_table(report)
    assert "on other signs (300 test images): 0.0 % fewer errors" in page_of(tmp_path, report).text


def test_a_report_without_a_rendered_arm_names_no_renderer(tmp_path):
    assert "classical and rendered + generated" in page_of(tmp_path / "a", report_of(HELPS)).text
    text = page_of(tmp_path / "b", report_of(HURTS)).text
    assert "classical + generated images" in text
    assert "classical and rendered" not in text


def test_long_class_names_stand_above_their_pictures(tmp_path):
    images = np.zeros((2, 8, 8, 3), np.uint8)
    pictures = Pictures([ClassPictures(name, images, images) for name in ("京", "George_W_Bush")])
    text = write_report(tmp_path, report_of(HELPS), pictures).read_text(encoding="utf-8")
    assert '<div class="class"><b>京' in text
    assert '<div class="class named"><b>George_W_Bush' in text


def test_a_report_of_text_says_where_characters_are_misread(tmp_path):
    page = page_of(tmp_path, report_of_text())
    assert "Where characters are misread" in page.headings
    assert " 1100 40.0 %20.0 % ▼ 20.0 " in page.text
    assert " M20 50.0 %25.0 % ▼ 25.0 " in page.text
    assert " <1 100.0 %100.0 % 0.0 " in page.text
    assert "17 of rendered, 12 of synthetic." in page.text
    assert " A200 " not in page.text, "what nobody misread needs no row"


def test_the_worst_characters_and_the_first_places_have_rows_and_further_places_share_one():
    count = 40
    of_one = {
        "by_class": {chr(65 + n): [100, n] for n in range(count)},
        "by_position": {str(n): [count - n, 1] for n in range(count)},
        "confusions": [],
    }
    found = misread_characters({"errors": {"classical": of_one, "synthetic": of_one}})
    assert [row["name"] for row in found["characters"]] == [
        chr(65 + n) for n in range(count - 1, count - 13, -1)
    ]
    assert [row["name"] for row in found["places"]] == [*map(str, range(1, 13)), "13+"]
    written = sum(range(1, count - 11))
    assert found["places"][-1] == {
        "name": "13+",
        "written": written,
        "before": 28 / written,
        "after": 28 / written,
    }
    assert sum(row["written"] for row in found["places"]) == sum(range(1, count + 1))
    assert misread_characters({}) is None


def test_the_page_compares_with_the_real_images_of_another_benchmark(tmp_path):
    report = report_of_text()
    page = page_of(tmp_path / "a", report)
    assert "Against the real images of another benchmark" in page.headings
    assert "in runs/<250>, which has 1,250 of them. The test images are the same" in page.text
    assert "seeds 0, 1. Fewer than 3 seeds give no verdict." in page.text
    low, high = report["against"]["gain"]["ci95"]
    assert low < 0 < high
    told = f"rendered there 70.00 % 16.7 % more {-100 * low:.1f} % more to {100 * high:.1f} % fewer"
    assert f"{told} −5.00" in page.text
    assert "classical there 60.00 % 12.5 % fewer" in page.text
    report["against"] |= {"n_train": None, "verdict": "hurts", "seeds": [4]}
    assert "in runs/<250>. The test images are the same; seed 4. arm" in (
        page_of(tmp_path / "b", report).text
    )
