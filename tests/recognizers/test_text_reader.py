import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.bundle import BundleInfo
from augment.data.layouts import load_layout
from augment.data.texts import Lines, LineShape
from augment.errors import BundleError, ConfigError, DataError
from augment.images import Pixels
from recognizers.character import CharacterRecognizer
from recognizers.charset import Charset
from recognizers.fit import Budget
from recognizers.reader import CrossFittedReader, load_reader, save_reader
from recognizers.scene_text import TextConfig, TextRecognizer
from recognizers.text_fit import TextBatch, fit_texts
from recognizers.text_reader import (
    CrossFittedTextReader,
    ReaderQuality,
    load_text_reader,
    plant_errors,
    reader_quality,
    save_text_reader,
    train_text_reader,
)

CHARSET = Charset("abcd")
SHAPE = LineShape(height=16, least_width=16, most_width=64, channels=1)


def words(count: int, rng: np.random.Generator) -> list[str]:
    """Texts of one to three characters."""
    return ["".join(rng.choice(list("abcd"), rng.integers(1, 4))) for _ in range(count)]


TEXTS = words(40, np.random.default_rng(0))


def pictures(texts: Sequence[str], seed: int = 0) -> list[Pixels]:
    """A character is a bar of its own height, 16 pixels wide; a text fills its line."""
    rng = np.random.default_rng(seed)
    images = []
    for text in texts:
        image = rng.integers(0, 40, (16, 16 * len(text), 1))
        for place, character in enumerate(text):
            rows = 3 * (1 + CHARSET.training.index(character))
            image[:rows, 16 * place + 4 : 16 * place + 16] += 180
        images.append(image.astype(np.uint8))
    return images


def drawn(texts: Sequence[str], seed: int = 0) -> Lines:
    return SHAPE.stack(pictures(texts, seed))


def trained(rows: np.ndarray, seed: int) -> TextRecognizer:
    """Trained on drawn lines alone, of any text: a few texts are learned by heart."""

    def stream(step: int) -> TextBatch:
        texts = words(16, np.random.default_rng((seed, step)))
        return TextBatch(drawn(texts, seed=step), CHARSET.encode(texts)[0])

    config = TextConfig(width=8, hidden=16, dropout=0.0)
    return fit_texts(
        lambda: TextRecognizer(CHARSET, height=16, channels=1, config=config),
        stream,
        Budget(steps=200, learning_rate=1e-2),
        seed=seed,
    )


@pytest.fixture(scope="module")
def reader() -> CrossFittedTextReader:
    return train_text_reader(np.arange(len(TEXTS)) % 2, trained, SHAPE)


def test_members_are_trained_without_their_fold() -> None:
    seen: list[tuple[list[int], int]] = []
    model = TextRecognizer(CHARSET, height=16, channels=1, config=TextConfig(width=4, hidden=4))

    def fit_without(rows: np.ndarray, seed: int) -> TextRecognizer:
        seen.append((rows.tolist(), seed))
        return model

    assert len(train_text_reader(np.array([0, 1, 0, 2]), fit_without, SHAPE).members) == 3
    assert seen == [([1, 3], 0), ([0, 2, 3], 1), ([0, 1, 2], 2)]
    train_text_reader(np.zeros(3, int), fit_without, SHAPE)
    assert seen[-1] == ([0, 1, 2], 0)


def test_a_line_is_kept_if_it_reads_as_its_text(reader: CrossFittedTextReader) -> None:
    images = pictures(["ab", "cd", "da"], seed=5)
    assert reader.judge(images, ["ab", "cd", "da"]).kept.tolist() == [True] * 3
    assert reader.judge(images, ["ab", "cc", "d"]).kept.tolist() == [True, False, False]
    assert reader.judge(images, ["a b", "c d", "d\ta"]).kept.all(), "a space leaves no ink"


def test_lines_outside_the_band_are_dropped(reader: CrossFittedTextReader) -> None:
    texts = ["ab", "cd"]
    images = pictures(texts, seed=5)
    confidences = reader.judge(images, texts).confidences
    middle = float(confidences.mean())
    for band in ((0.0, middle), (middle, 1.0)):
        judged = CrossFittedTextReader(reader.members, SHAPE, band).judge(images, texts)
        expected = (confidences >= band[0]) & (confidences <= band[1])
        np.testing.assert_array_equal(judged.kept, expected)
        own = np.float32([band, (0.0, 1.0)])
        kept = CrossFittedTextReader(reader.members, SHAPE, (0.999, 1.0)).judge(
            images, texts, bands=own
        )
        assert kept.kept.tolist() == [expected[0], True], "each line's own band"


def test_company_changes_nothing_of_what_is_judged(reader: CrossFittedTextReader) -> None:
    wide, narrow = pictures(TEXTS, seed=3), [image[:, :16] for image in pictures(TEXTS, seed=4)]
    texts, images = TEXTS + [text[0] for text in TEXTS], wide + narrow
    folds = np.arange(len(texts)) % 3 - 1
    together = reader.judge(images, texts, folds)
    for row in (0, 1, 35, 39, 40, 61, 79):
        alone = reader.judge(images[row : row + 1], texts[row : row + 1], folds[row : row + 1])
        assert alone.kept.tolist() == [together.kept[row]]
        assert alone.confidences.tolist() == [together.confidences[row]]


def test_a_line_drawn_from_a_fold_is_read_by_the_member_without_it(
    reader: CrossFittedTextReader,
) -> None:
    lines = drawn(["ab", "cd"])
    for fold in (0, 1):
        only = CrossFittedTextReader([reader.members[fold]], SHAPE).read(lines)
        judged = reader.read(lines, np.array([fold, fold]))
        np.testing.assert_array_equal(judged.confidences, only.confidences)
    surest = reader.read(lines, np.array([-1, 2])).confidences
    assert (surest >= judged.confidences).all()


def test_planted_errors_are_as_many_as_asked_and_differ() -> None:
    planted = plant_errors(TEXTS * 5, "abcd", share=0.05, seed=3)
    assert planted.is_wrong.sum() == 10
    for text, shown, wrong in zip(TEXTS * 5, planted.drawn, planted.is_wrong, strict=True):
        assert (text != shown) == wrong
    assert planted.drawn == plant_errors(TEXTS * 5, "abcd", share=0.05, seed=3).drawn
    assert {len(t) for t, w in zip(planted.drawn, planted.is_wrong, strict=True) if w} > {2}


def test_planted_errors_are_told_apart_by_kind() -> None:
    planted = plant_errors(TEXTS * 5, "abcd", share=0.5, seed=3)
    longer = {"missing": -1, "replaced": 0, "doubled": 1, "": 0}
    assert set(planted.kinds.tolist()) == set(longer)
    for text, shown, kind in zip(TEXTS * 5, planted.drawn, planted.kinds, strict=True):
        assert len(shown) - len(text) == longer[kind]
    np.testing.assert_array_equal(planted.kinds != "", planted.is_wrong)


def test_a_character_missing_on_a_plate_leaves_its_place_empty() -> None:
    layout = load_layout("plates-cn")
    plates = ["京A12345", "沪B67890"] * 50
    planted = plant_errors(
        plates, layout.alphabet, share=0.9, allows=layout.with_gaps().allows, empty=" "
    )
    gaps = [" " in shown for shown in planted.drawn]
    assert {len(shown) for shown in planted.drawn} == {7}
    np.testing.assert_array_equal(gaps, planted.kinds == "missing")
    assert set(planted.kinds.tolist()) == {"missing", "replaced", ""}
    for text, shown in zip(plates, planted.drawn, strict=True):
        assert sum(a != b for a, b in zip(text, shown, strict=True)) <= 1


def test_planted_errors_can_be_drawn_and_are_no_mere_change_of_case() -> None:
    planted = plant_errors(["Ab"] * 40, "aAbB", share=0.9, allows=lambda text: len(text) == 2)
    wrong = [text for text, bad in zip(planted.drawn, planted.is_wrong, strict=True) if bad]
    assert all(len(text) == 2 and text.lower() != "ab" for text in wrong)
    with pytest.raises(DataError, match="none that can be drawn"):
        plant_errors(["ab"], "ab", share=0.5, allows=lambda text: False)


def test_a_space_more_or_less_is_no_planted_error() -> None:
    """Readers do not read spaces: nobody could tell such a line from a right one."""
    labels = ["a b", "no 7", "I am"] * 100
    planted = plant_errors(labels, "abcdefg", share=0.9)
    for text, shown, wrong in zip(labels, planted.drawn, planted.is_wrong, strict=True):
        assert ("".join(text.split()) != "".join(shown.split())) == wrong


def quality_of(
    reader: CrossFittedTextReader, lines: Lines, texts: list[str], kinds: np.ndarray
) -> ReaderQuality:
    read, scores = reader.read(lines).texts, reader.scores(lines, texts)
    return reader_quality(read, scores, texts, kinds, reader.charset)


def test_a_good_reader_loses_few_right_lines_with_the_wrong_ones(
    reader: CrossFittedTextReader,
) -> None:
    planted = plant_errors(TEXTS * 4, "abcd", share=0.2, seed=1)
    quality = quality_of(reader, drawn(planted.drawn, seed=9), TEXTS * 4, planted.kinds)
    assert (quality.n_right, quality.n_wrong) == (128, 32)
    assert quality.auc > 0.98
    assert quality.right_lost <= 0.05
    assert quality.exact_wrong_dropped > 0.9
    assert quality.curve[0][0] == 0
    assert quality.curve[-1] == (1.0, 1.0)
    told = quality.to_mapping()
    assert told["auc"] == quality.auc
    for kind, counts in told["by_kind"].items():
        assert counts["n"] == (planted.kinds == kind).sum()
        assert 0 < counts["dropped"] <= counts["n"] >= counts["exact_dropped"] > 0
    dropped, missed = (
        sum(counts[name] for counts in told["by_kind"].values())
        for name in ("dropped", "exact_dropped")
    )
    assert dropped >= 0.95 * 32
    assert missed == pytest.approx(quality.exact_wrong_dropped * 32)


def test_a_reader_that_knows_nothing_tells_nothing_apart() -> None:
    config = TextConfig(width=4, hidden=4)
    model = TextRecognizer(CHARSET, height=16, channels=1, config=config).eval()
    planted = plant_errors(TEXTS * 4, "abcd", share=0.3, seed=1, allows=lambda t: len(t) == 2)
    lines = drawn(planted.drawn)
    quality = quality_of(CrossFittedTextReader([model], SHAPE), lines, TEXTS * 4, planted.kinds)
    assert 0.3 < quality.auc < 0.7
    assert quality.right_lost > 0.5


def test_measuring_needs_lines_of_both_kinds(reader: CrossFittedTextReader) -> None:
    with pytest.raises(DataError, match="0 wrong of 2"):
        quality_of(reader, drawn(["ab", "cd"]), ["ab", "cd"], np.array(["", ""]))


@pytest.mark.parametrize("band", [(0.5, 0.5), (-0.1, 1.0), (0.2, 1.2)])
def test_bands_out_of_range_are_refused(
    reader: CrossFittedTextReader, band: tuple[float, float]
) -> None:
    with pytest.raises(ConfigError, match="band"):
        CrossFittedTextReader(reader.members, SHAPE, band)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_shares_out_of_range_are_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="share"):
        plant_errors(["ab"], "ab", share=share)


@pytest.fixture
def saved(reader: CrossFittedTextReader, tmp_path: Path) -> Path:
    banded = CrossFittedTextReader(reader.members, SHAPE, (0.01, 0.99))
    save_text_reader(tmp_path / "reader", banded)
    return tmp_path / "reader"


def bundle_of(classes: str, channels: int = 1) -> BundleInfo:
    return BundleInfo("line_saae", {}, {}, tuple(classes), (16, 32), channels)


def test_a_saved_reader_judges_the_same(reader: CrossFittedTextReader, saved: Path) -> None:
    loaded = load_text_reader(saved, info=bundle_of("ab cd"))  # a space needs no reading
    images, folds = pictures(TEXTS, seed=8), np.arange(len(TEXTS)) % 2
    ours, theirs = reader.judge(images, TEXTS, folds), loaded.judge(images, TEXTS, folds)
    np.testing.assert_array_equal(ours.confidences, theirs.confidences)
    assert loaded.band == (0.01, 0.99)
    assert (loaded.charset, loaded.shape) == (CHARSET, SHAPE)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "os:system"},
        {"kind": "character"},
        {"members": 3},
        {"members": 0},
        {"charset": {"training": "abc"}},
        {"charset": "abcd"},
        {"shape": {"height": 12}},
        {"recognizer": {"width": 16, "hidden": 16}},
        {"band": [0.9, 0.1]},
        {"band": None},
    ],
    ids=str,
)
def test_a_reader_that_does_not_fit_its_description_is_refused(
    saved: Path, changes: dict[str, Any]
) -> None:
    path = saved / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(BundleError, match="reader"):
        load_text_reader(saved)


@pytest.mark.parametrize(
    ("info", "told"), [(bundle_of("abcdé"), "know é"), (bundle_of("ab", channels=3), "3 channels")]
)
def test_a_reader_that_does_not_read_what_a_bundle_writes_is_refused(
    saved: Path, info: BundleInfo, told: str
) -> None:
    with pytest.raises(BundleError, match=told):
        load_text_reader(saved, info=info)


def test_readers_of_texts_and_of_classes_are_not_taken_for_each_other(
    saved: Path, tmp_path: Path
) -> None:
    members = [CharacterRecognizer(2, (16, 16), 1)]
    save_reader(tmp_path / "classes", CrossFittedReader(members, ("a", "b")))
    with pytest.raises(BundleError, match="'character' instead of text"):
        load_text_reader(tmp_path / "classes")
    with pytest.raises(BundleError, match="'text' instead of character or face"):
        load_reader(saved)
    with pytest.raises(BundleError, match="expected a reader"):
        load_text_reader(tmp_path)
