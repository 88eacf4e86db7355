from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from augment.bundle import load_bundle, open_bundle
from augment.config import with_overrides
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.lines import draw_contents, line_width
from augment.data.texts import LineShape, TextImages
from augment.errors import BundleError, ConfigError, RequestError
from augment.generators import GENERATORS, load_sampler
from augment.generators.base import train_generator, write_bundle
from augment.generators.line_form import LineForm
from augment.generators.line_saae import (
    CONFIGS,
    LineSAAEGenerator,
    folds_of_groups,
    line_folds,
    load_line_sampler,
    open_lines,
    shape_for,
)
from augment.generators.line_sampler import LineSampler, line_records
from augment.generators.line_styles import StyleSelection, measure_looks
from augment.training import PlainContext

PLATES, WORDS = load_layout("plates-cn"), load_layout("words")
GROUNDS = {"blue": (20, 60, 170), "yellow": (230, 180, 30)}
TEXTS = ("京A12345", "浙F8GH07", "苏E5K6L9", "浙B00001", "沪C77777", "粤D2345X")
SAID = ("Open", "COFFEE", "Street", "to", "Hotel", "Maple")


def written(texts, layout, widths) -> TextImages:
    """Lines as the renderer draws them, on blue and on yellow by turns."""
    images = []
    for number, (text, width) in enumerate(zip(texts, widths, strict=True)):
        ink = draw_contents([text], layout, size=(32, width), looks=[1])[0]
        ground = np.array(GROUNDS["yellow" if number % 2 else "blue"], np.float32)
        share = ink.astype(np.float32) / 255
        level = 250.0 if number % 2 == 0 else 10.0
        images.append((ground * (1 - share) + level * share).astype(np.uint8))
    sources = ["road", "street"] * (len(texts) // 2)
    return TextImages.from_images(images, texts, splits=["train"] * len(texts), sources=sources)


def tiny(config: LineSAAEGenerator) -> LineSAAEGenerator:
    return with_overrides(
        config,
        [
            "model.width=4",
            "model.style_dim=6",
            "model.discriminator_width=4",
            'model.steps={"reconstruct": 1, "discriminate": 1, "alternate": 1}',
            "training.batch_size=4",
        ],
    )


def publish(folder: Path, data: LineData, name: str = "labelmint", *changed: str) -> Path:
    config = with_overrides(tiny(CONFIGS[name]), changed)
    model = train_generator(data, config, PlainContext(), scratch=folder / "scratch")
    write_bundle(folder / "bundle", model, data, config)
    return folder / "bundle"


@pytest.fixture(scope="module")
def plates(tmp_path_factory) -> Path:
    """A bundle of plates after one step of each stage."""
    lines = written(TEXTS, PLATES, [96] * len(TEXTS))
    data = LineData.select(lines, PLATES, shape_for(PLATES))
    return publish(tmp_path_factory.mktemp("plates"), data)


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    """A bundle of words after one step of each stage."""
    lines = written(SAID, WORDS, map(line_width, SAID))
    data = LineData.select(lines, WORDS, shape_for(WORDS))
    return publish(tmp_path_factory.mktemp("words"), data)


@pytest.fixture(scope="module")
def sampler(plates) -> LineSampler:
    return load_line_sampler(plates, batch_size=4, half=False)


def test_a_bundle_says_how_many_lines_its_layout_could_not_write():
    lines = replace(written(TEXTS, PLATES, [96] * 6), texts=(*TEXTS[:4], "A", "TOO LONG"))
    data = LineData.select(lines, PLATES, shape_for(PLATES))
    described = CONFIGS["labelmint"].describe_data(data)
    assert (described["images"], described["left_out"]) == (4, 2)


def numbers(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64)


def test_both_configurations_are_offered_ours_first():
    assert list(GENERATORS["line_saae"]) == ["labelmint", "paper"]


def test_the_papers_configuration_trains_and_draws(tmp_path):
    lines = written(TEXTS[:2], PLATES, [96] * 2)
    folder = publish(tmp_path, LineData.select(lines, PLATES, shape_for(PLATES)), "paper")
    drawn = load_line_sampler(folder, half=False).draw_texts(["京A12345"], numbers(1), 0)
    assert drawn.images[0].shape == (32, 96, 3)


def test_plates_are_as_wide_as_their_layout_says(tmp_path):
    green = load_layout("plates-cn-green")
    german = replace(green, size=(650.0, 140.0))
    assert [shape_for(one).most_width for one in (PLATES, green, german)] == [96, 104, 144]
    assert shape_for(green, (48, 120)).most_width == 120
    lines = written(["京AD12345", "沪BF67890"], green, [120] * 2)
    folder = publish(tmp_path, LineData.select(lines, green, shape_for(green)))
    drawn = load_line_sampler(folder, half=False).draw_texts(["浙CD00001"], numbers(1), 0)
    assert drawn.images[0].shape == (32, 104, 3)


def test_a_recognizer_is_handed_to_the_model_before_training(tmp_path):
    lines = written(TEXTS[:2], PLATES, [96] * 2)
    data = LineData.select(lines, PLATES, shape_for(PLATES))
    config = with_overrides(tiny(CONFIGS["labelmint"]), ["model.recognizer_weight=0.1"])
    heard = []

    class Recognizer(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            heard.append(len(images))
            columns = images.float().mean(dim=(1, 2))[:, ::4, None]
            return torch.log_softmax(columns.expand(-1, -1, 3), dim=2)

    numbers_of = [1] * len(data.classes)
    train_generator(
        data,
        config,
        PlainContext(),
        scratch=tmp_path,
        prepare=lambda model: model.listen_to(Recognizer(), numbers_of),
    )
    assert heard == [4]
    with pytest.raises(ConfigError, match="listen_to"):
        train_generator(data, config, PlainContext(), scratch=tmp_path)


def test_the_bundle_holds_alphabet_layout_and_shape(plates):
    info = load_bundle(plates)
    assert set(info.classes) == set(PLATES.alphabet)
    assert info.image_size == (32, 96)
    loaded = load_line_sampler(plates)
    assert loaded.layout == PLATES
    assert loaded.shape == LineShape(32, 96, 96)
    assert loaded.sources == ("road", "street")


def test_it_is_no_sampler_of_classes_and_other_bundles_draw_no_lines(plates, tmp_path):
    with pytest.raises(RequestError, match="draws no labelled images"):
        load_sampler(plates)


def test_a_description_without_layout_is_refused(plates):
    info, model, banks = open_bundle(plates)
    del info.data["layout"]
    with pytest.raises(BundleError, match="layout"):
        LineSampler(info, model, banks)


def test_a_line_depends_on_seed_text_and_index_alone(sampler):
    texts = ["京A12345", "沪C77777", "京A12345", "浙B00001", "京Z99999"]
    indices = np.array([0, 0, 1, 5, 2])
    together = sampler.draw_texts(texts, indices, 7)
    for j, text in enumerate(texts):
        alone = sampler.draw_texts([text], indices[j : j + 1], 7)
        assert np.array_equal(alone.images[0], together.images[j])
        assert np.array_equal(alone.styles[0], together.styles[j])
    many = sampler.draw_texts(["京A12345"] * 16, numbers(16), 7)
    assert len({tuple(pair) for pair in many.styles.tolist()}) > 4
    other_seed = sampler.draw_texts(texts, indices, 8)
    assert not np.array_equal(other_seed.styles, together.styles)


def test_requests_with_seeds_of_their_own_may_share_a_batch(sampler):
    seeds = np.array([3, 4])
    both = sampler.draw_texts(["京A12345"] * 2, numbers(2), seeds)
    alone = sampler.draw_texts(["京A12345"], np.array([1]), 4)
    assert np.array_equal(both.images[1], alone.images[0])


def test_words_of_many_widths_come_in_one_request(words):
    loaded = load_line_sampler(words, batch_size=4, half=False)
    texts = ["I", "Hotel", "Constantinople", "no"]
    drawn = loaded.draw_texts(texts, numbers(4), 0)
    assert [image.shape[1] for image in drawn.images] == [line_width(text) for text in texts]
    assert np.array_equal(
        drawn.images[2], loaded.draw_texts(texts[2:3], np.array([2]), 0).images[0]
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "got 0"),
        ("京A1234", "7 characters"),
        ("京A123456", "7 characters"),
        ("AA12345", "position 1"),
        ("京A1234O", "position 7"),
    ],
)
def test_texts_that_the_layout_cannot_hold_are_refused(sampler, text, named):
    with pytest.raises(RequestError, match=named):
        sampler.draw_texts(["京A12345", text], numbers(2), 0)


def test_plates_that_lack_a_character_are_drawn_where_errors_are_planted_alone(sampler):
    gappy, texts = sampler.with_gaps(), ["京A12345", " A12345", "京A1234 "]
    full, *others = gappy.draw_texts(texts, numbers(3), 7).images
    assert np.array_equal(full, sampler.draw_texts(texts[:1], numbers(1), 7).images[0])
    assert [image.shape for image in others] == [full.shape] * 2
    with pytest.raises(RequestError, match="position 1"):
        sampler.draw_texts(texts[1:2], numbers(1), 7)
    with pytest.raises(RequestError, match="position 2"):
        gappy.draw_texts(["京O12345"], numbers(1), 7)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "''"),
        ("M" * 60, "pixels wide"),
        ("naïve", "position 3"),
        ("e\u0301", "combining"),
        ("שלום", "right-to-left"),
        ("a\tb", "position 2"),
        ("a,b", "position 2"),
    ],
)
def test_words_that_cannot_be_written_are_refused(words, text, named):
    with pytest.raises(RequestError, match=named):
        load_line_sampler(words, half=False).draw_texts([text], numbers(1), 0)


def test_random_texts_fit_and_are_a_function_of_seed_and_place(plates, words):
    for folder in (plates, words):
        form = LineForm.of(load_bundle(folder))
        drawn = form.random_texts(12, seed=5)
        assert len(set(drawn)) > 10
        assert all(form.width_of(text) for text in drawn)
        assert form.random_texts(3, seed=5, first=4) == drawn[4:7]
        assert form.random_texts(3, seed=6) != drawn[:3]


def test_free_text_may_be_as_wide_as_its_height_allows_unless_a_bundle_says_otherwise(words):
    info = load_bundle(words)
    tall = {**info.data, "shape": {**info.data["shape"], "height": 48}}
    form = LineForm.of(replace(info, data=tall))
    assert form.max_width == 8 * 48
    assert 256 < form.width_of("hIEQdLcWjxhIEQ") <= form.max_width
    old = replace(info, data=tall, sampling={**info.sampling, "max_width": 256})
    assert LineForm.of(old).max_width == 256


def test_a_limit_of_the_width_leaves_the_training_lines_on_the_sheet(tmp_path):
    """They are wider than it; the sheet is drawn when all is trained."""
    lines = written(SAID, WORDS, map(line_width, SAID))
    data = LineData.select(lines, WORDS, shape_for(WORDS))
    folder = publish(tmp_path, data, "labelmint", "sampling.max_width=48")
    sampler = load_line_sampler(folder, half=False)
    assert sampler.form.writes("to")
    assert not sampler.form.writes("Street")


def test_records_tell_text_index_seed_and_styles(sampler):
    samples = sampler.draw_texts(["京A12345", "沪C77777"], np.array([4, 0]), np.array([2, 3]))
    (record,) = line_records(samples, sampler.digest, [1])
    assert (record.label, record.index, record.seed) == ("沪C77777", 0, 3)
    assert record.styles == tuple(samples.styles[1])
    assert record.bundle == sampler.digest
    fixed = sampler.draw_texts(["京A12345"], numbers(1), 2, style=sampler.style(ids=[0]))
    assert line_records(fixed, sampler.digest, [0])[0].styles is None


def test_styles_are_selected_by_source_colour_brightness_and_sharpness(sampler):
    blue = sampler.select(StyleSelection(colours=("blue",)))
    road = sampler.select(StyleSelection(sources=("road",)))
    bright = sampler.select(StyleSelection(brightness=(0.5, 1.0)))
    assert blue.tolist() == road.tolist()  # lines from the road were drawn blue
    assert set(bright.tolist()).isdisjoint(blue.tolist())
    drawn = sampler.draw_texts(
        ["京A12345"] * 8, numbers(8), 0, select=StyleSelection(colours=("yellow",))
    )
    assert set(drawn.styles.ravel().tolist()) <= set(bright.tolist())
    sharp = sampler.select(StyleSelection(sharpness=(0.0, 0.5)))
    assert 0 < len(sharp) < sampler.num_styles


@pytest.mark.parametrize(
    "selection",
    [
        {"colours": ("pink",)},
        {"brightness": (0.6, 0.4)},
        {"sharpness": (0.0, 1.5)},
    ],
    ids=str,
)
def test_selections_that_mean_nothing_are_refused(selection):
    with pytest.raises(RequestError, match=next(iter(selection))):
        StyleSelection(**selection)


def test_a_selection_of_nothing_and_unknown_sources_are_refused(sampler):
    found = r"of the bank's \d \d come from road, \d are yellow; ask for less"
    with pytest.raises(RequestError, match=found):
        sampler.select(StyleSelection(sources=("road",), colours=("yellow",)))
    with pytest.raises(RequestError, match="road, street"):
        sampler.select(StyleSelection(sources=("moon",)))


def test_a_style_may_be_mixed_from_the_bank_and_from_images(sampler):
    image = np.full((50, 200, 3), 90, np.uint8)
    mixed = sampler.style(ids=[1], images=[image], weights=[3, 1])
    one, other = sampler.style(ids=[1]), sampler.style(images=[image])
    expected = 0.75 * np.array(one.vector) + 0.25 * np.array(other.vector)
    np.testing.assert_allclose(mixed.vector, expected, rtol=1e-6)
    assert mixed.pose == one.pose
    assert other.pose is None
    drawn = sampler.draw_texts(["京A12345"], numbers(1), 0, style=mixed)
    assert drawn.styles.tolist() == [[-1, -1]]


def test_the_pose_of_a_style_image_is_found_if_its_text_is_told(sampler):
    ink = draw_contents(["京A12345"], PLATES, size=(40, 120), looks=[0])[0]
    upright = np.repeat(ink, 3, axis=2)
    shifted = np.roll(upright, 6, axis=0)
    pose = np.array(sampler.style(images=[shifted], texts=["京A12345"]).pose).reshape(2, 3)
    assert pose[1, 2] == pytest.approx(-0.3, abs=0.1)  # 6 of 40 rows, of a half-height
    with pytest.raises(RequestError, match="7 characters"):
        sampler.style(images=[shifted], texts=["京"])


@pytest.mark.parametrize("size", [(5, 2000), (2000, 5), (8, 129), (7, 7)])
def test_style_images_of_unusable_size_are_refused(sampler, size):
    with pytest.raises(RequestError, match=f"{size[1]}×{size[0]}"):
        sampler.style(images=[np.zeros((*size, 3), np.uint8)])


def test_lines_of_one_group_share_a_fold_and_groups_take_turns():
    lines = written(TEXTS, PLATES, [96] * len(TEXTS))
    twice = TextImages.from_images(lines.images() * 2, TEXTS * 2)
    folds = line_folds(LineData.select(twice, PLATES, shape_for(PLATES)))
    assert folds[:6].tolist() == folds[6:].tolist()
    assert sorted(folds[:6].tolist()) == [0, 0, 0, 1, 1, 1]


def test_lines_left_out_change_no_fold_of_the_others():
    lines = written(TEXTS, PLATES, [96] * len(TEXTS))
    texts = ("京A12345", "B", "苏E5K6L9", "A", "沪C77777", "粤D2345X")
    data = LineData.select(replace(lines, texts=texts), PLATES, shape_for(PLATES))
    assert line_folds(data).tolist() == folds_of_groups(lines.groups)[[0, 2, 4, 5]].tolist()


def test_a_sample_tells_the_fold_that_its_style_was_taken_from(sampler, plates):
    samples = sampler.draw_texts(["京A12345"] * 64, numbers(64), 0)
    data = LineData.select(written(TEXTS, PLATES, [96] * 6), PLATES, shape_for(PLATES))
    assert sampler.folds.tolist() == line_folds(data)[data.found].tolist()
    first, second = sampler.folds[samples.styles.T]
    alone = (samples.mixes == 0) | (first == second)
    assert samples.folds[alone].tolist() == first[alone].tolist()
    assert set(samples.folds[~alone].tolist()) == {-1}
    given = sampler.draw_texts(["京A12345"], numbers(1), 0, style=sampler.style(ids=[0]))
    assert given.folds.tolist() == [-1]
    info, model, banks = open_bundle(plates)
    del banks["bank.folds"]
    old = LineSampler(info, model, banks, batch_size=4, half=False)
    assert set(old.draw_texts(["京A12345"] * 4, numbers(4), 0).folds.tolist()) == {-1}


def test_dark_letters_stay_dark(sampler):
    ids = sampler.bank["colours"].tolist()
    polarities = sampler.bank["polarities"].tolist()
    assert set(zip(ids, polarities, strict=True)) == {(6, 1.0), (4, -1.0)}  # blue, yellow
    dark = np.full((32, 96, 3), 200, np.uint8)
    dark[12:20, 10:30] = 20
    assert sampler.style(images=[dark]).polarity == -1
    assert sampler.style(images=[255 - dark]).polarity == 1
    assert sampler.style(ids=[polarities.index(-1.0)]).polarity == -1


def test_styles_of_dark_and_bright_letters_are_not_mixed(sampler):
    samples = sampler.draw_texts(["京A12345"] * 64, numbers(64), 0)
    bright = sampler.bank["polarities"][samples.styles] > 0
    differ = bright[:, 0] != bright[:, 1]
    assert differ.any()
    assert (samples.mixes[differ] == 0).all()
    assert (samples.mixes[~differ] > 0).any()


def test_unfit_styles_are_refused(sampler):
    with pytest.raises(RequestError, match="ids"):
        sampler.style(ids=[99])
    with pytest.raises(RequestError, match="weight"):
        sampler.style(ids=[0], weights=[0.0])
    with pytest.raises(RequestError, match="at least one"):
        sampler.style()
    with pytest.raises(RequestError, match="channels"):
        sampler.style(images=[np.zeros((32, 96, 1), np.uint8)])


def test_a_pose_keeps_its_angle_on_a_longer_line(words):
    loaded = load_line_sampler(words, half=False)
    style = loaded.style(ids=[0])
    leaning = type(style)(style.vector, (1.0, 0.1, 0.0, 0.2, 1.0, 0.0), 0, 64)
    poses = loaded._poses(np.array([-1, -1]), np.array([64, 128]), leaning)
    torch.testing.assert_close(poses[0].flatten(), torch.tensor(leaning.pose))
    assert poses[1, 0, 1] == pytest.approx(0.05)  # as many pixels aside in a height
    assert poses[1, 1, 0] == pytest.approx(0.4)  # twice as high at twice the width


def test_looks_are_measured():
    flat = np.full((32, 96, 3), (20, 60, 170), np.uint8)
    rough = np.full((32, 96, 3), 250, np.uint8)
    rough[::2] = 180
    measured = measure_looks([flat, rough])
    assert measured["colours"].tolist() == [6, 2]  # blue, white
    assert measured["brightness"][0] < measured["brightness"][1]
    assert measured["sharpness"][0] == 0 < measured["sharpness"][1]


def test_lines_open_from_files_in_the_shape_of_their_layout(tmp_path):
    import csv

    from augment.images import encode_png

    lines = written(TEXTS, PLATES, [96] * len(TEXTS))
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "text", "split"])
        for number, (image, text) in enumerate(zip(lines.images(), TEXTS, strict=True)):
            (tmp_path / f"{number}.png").write_bytes(encode_png(image))
            table.writerow([f"{number}.png", text, "train"])
    data = open_lines(f"csv:{tmp_path / 'labels.csv'}", "plates-cn", size=(24, 72))
    assert len(data) == 6
    assert data.image_size == (24, 72)
    assert {image.shape for image in data.images} == {(24, 72, 3)}
