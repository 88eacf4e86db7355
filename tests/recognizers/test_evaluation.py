"""The five measures of planted generators: one that copies, one that draws real images, one bad."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from augment.data.datasets import LabelledImages, open_data
from augment.errors import DataError, RequestError
from augment.generate import Samples
from recognizers import evaluation
from recognizers import referee as referees
from recognizers.evaluation import MEASURES, Evaluated, draw_evenly
from recognizers.evaluation_pictures import take_bundle_pictures
from recognizers.evaluation_report import format_measures, summarize
from recognizers.evaluation_words import in_words
from recognizers.fit import Budget
from recognizers.referee import Referee, that_can_be_told

CLASSES = ("a", "b", "c")


def images_of(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bars in three places under noise: hard to copy by chance, easy to read."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    pixels = rng.integers(0, 120, (count, 16, 16, 1))
    for row, label in enumerate(labels):
        pixels[row, :, 5 * label : 5 * label + 4] += 130
    return pixels.astype(np.uint8), labels


@pytest.fixture(scope="module")
def data() -> LabelledImages:
    pixels, labels = images_of(360, 0)
    splits = ["train"] * 180 + ["val"] * 90 + ["test"] * 90
    return LabelledImages.from_arrays(pixels, labels, CLASSES, splits=splits)


@pytest.fixture(scope="module")
def referee(data: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Referee:
    folder = tmp_path_factory.mktemp("judges")
    return Referee(data, "character", Budget(steps=25, batch_size=24), 0, folder)


class Planted:
    """A sampler that hands out given images of the label asked for."""

    num_styles, takes_styles = 0, True

    def __init__(self, data: LabelledImages, source: LabelledImages, *, shift: int = 0) -> None:
        self.images, self.labels, self.shift = source.images(), source.labels, shift
        self.info = SimpleNamespace(data={"digest": data.split("train").digest()})

    def draw(self, labels, indices, seed, style=None) -> Samples:
        rows = []
        for label, index in zip((labels + self.shift) % len(CLASSES), indices, strict=True):
            of_class = np.flatnonzero(self.labels == label)
            rows.append(of_class[index % len(of_class)])
        none = np.full(len(labels), -1)
        return Samples(self.images[rows], none, np.stack([none, none], 1), none, none)


@pytest.fixture(scope="module")
def generators(data: LabelledImages) -> dict[str, Planted]:
    pixels, labels = images_of(240, 7)
    fresh = LabelledImages.from_arrays(pixels, labels, CLASSES)
    return {
        "copies": Planted(data, data.split("train")),
        "honest": Planted(data, fresh),
        "mislabelled": Planted(data, fresh, shift=1),
        "one image": Planted(data, fresh.subset(range(3))),
    }


@pytest.fixture(scope="module")
def evaluated(generators, referee) -> dict[str, Evaluated]:
    found = {name: Evaluated(one, referee, 240) for name, one in generators.items()}
    return {**found, "real": Evaluated(None, referee, 240)}


def test_privacy_tells_a_memoriser_from_an_honest_generator(evaluated):
    copies, honest = (MEASURES["privacy"](evaluated[name]) for name in ("copies", "honest"))
    for attack in copies["attacks"].values():
        assert attack["auc"] > 0.97
    for attack in honest["attacks"].values():
        assert attack["auc"] == pytest.approx(0.5, abs=0.12)
    assert copies["memorisation"]["pixels"]["near_copies"] == 1
    assert honest["memorisation"]["pixels"]["near_copies"] < 0.06
    for attack in honest["attacks"].values():
        assert attack["over_real_ci95"][0] < 0.1
        assert attack["members"] == attack["non_members"] == 90
    assert copies["attacks"]["pixels_calibrated"]["over_real_ci95"][0] > 0.3
    real = MEASURES["privacy"](evaluated["real"])["attacks"]
    assert real.keys() == {"pixels", "features"}
    assert real["pixels"]["over_real"] is None


def test_no_image_is_measured_in_features_that_were_learned_from_it(
    data, generators, tmp_path, monkeypatch
):
    learned: set[bytes] = set()
    measured: set[bytes] = set()
    train, read = referees.train_embedder, evaluation.read_and_embed

    def learn(kind, images, *rest, **more):
        learned.update(image.tobytes() for image in images.images)
        return train(kind, images, *rest, **more)

    def embed(model, images):
        measured.update(image.tobytes() for image in images)
        return read(model, images)

    monkeypatch.setattr(referees, "train_embedder", learn)
    monkeypatch.setattr(evaluation, "read_and_embed", embed)
    found = Referee(data, "character", Budget(steps=1, batch_size=24), 0, tmp_path)
    for sampler in (None, generators["honest"]):
        MEASURES["privacy"](Evaluated(sampler, found, 240))
    assert len(learned) == 45
    assert len(measured) == 180 + 90 + 45 + 240
    assert not learned & measured


def test_features_are_left_out_where_there_are_no_images_to_spare_for_them(
    data, generators, tmp_path
):
    few = Referee(data.subset(range(180 + 24)), "character", Budget(steps=2), 0, tmp_path)
    sections = [
        MEASURES["privacy"](Evaluated(sampler, few, 30)) for sampler in (None, generators["honest"])
    ]
    for section in sections:
        assert section["memorisation"].keys() == {"pixels"}
    real, found = ({"privacy": summarize([section])} for section in sections)
    assert "of 2 attacks (pixels" in in_words(found, real)[-1]
    rows = format_measures({"real": real, "bundles": {"honest": {"measures": found}}})
    assert "% | – | – | – |\n" in rows


def test_what_is_the_same_for_every_bundle_is_measured_once(
    evaluated, generators, referee, data, monkeypatch
):
    asked: list[int] = []
    MEASURES["privacy"](evaluated["real"])
    expected = MEASURES["privacy"](evaluated["copies"])
    read, search = evaluation.read_and_embed, evaluation.nearest_distances
    monkeypatch.setattr(
        evaluation, "read_and_embed", lambda model, x: (asked.append(len(x)), read(model, x))[1]
    )
    monkeypatch.setattr(
        evaluation, "nearest_distances", lambda one, x: (asked.append(len(one)), search(one, x))[1]
    )
    again = Referee(data, "character", referee.budget, 0, referee.folder.parent)
    assert MEASURES["privacy"](Evaluated(generators["copies"], again, 240)) == expected
    assert asked == [240, 240, 240], "to the training images in both spaces, embedded in one"


def test_privacy_of_a_bundle_trained_on_other_images_is_not_measured(evaluated, referee, data):
    stranger = Planted(data, data)
    stranger.info.data["digest"] = "0" * 64
    with pytest.raises(RequestError, match="who is a member is not known"):
        MEASURES["privacy"](Evaluated(stranger, referee, 30))


def test_labels_counts_what_was_not_drawn_as_asked(evaluated):
    assert MEASURES["labels"](evaluated["honest"])["top1"] > 0.95
    wrong = MEASURES["labels"](evaluated["mislabelled"])
    assert wrong["top1"] < 0.05
    assert wrong["by_class"].keys() == set(CLASSES)
    assert wrong["read_back"] is None


def test_utility_is_real_accuracy_for_honest_images_and_none_for_mislabelled_ones(evaluated):
    honest, wrong = (MEASURES["utility"](evaluated[name]) for name in ("honest", "mislabelled"))
    assert honest["train_on_generated"] == pytest.approx(honest["train_on_real"], abs=0.08)
    assert wrong["train_on_generated"] < 0.1
    assert wrong["test_on_generated"] < 0.05
    assert MEASURES["utility"](evaluated["real"])["train_on_generated"] == honest["train_on_real"]


def test_the_real_pupil_learns_as_many_images_of_each_class_or_all_there_are(
    generators, referee, data, monkeypatch
):
    taught = []
    train = referees.train_embedder

    def learn(kind, images, *rest, **more):
        taught.append(np.bincount(images.labels).tolist())
        return train(kind, images, *rest, **more)

    monkeypatch.setattr(referees, "train_embedder", learn)
    sections = [
        MEASURES["utility"](Evaluated(sampler, referee, 60))
        for sampler in (None, generators["honest"], generators["copies"])
    ]
    assert [part for part in taught if sum(part) < 180] == [[20, 20, 20]], "once for all bundles"
    real, honest, _ = sections
    assert real["learned"] == honest["learned"] == 60
    assert real["train_on_generated"] == honest["train_on_real"]
    fewer = (data.splits != "train") | (data.labels < 2) | (np.arange(len(data)) < 15)
    few = data.subset(np.flatnonzero(fewer))
    uneven = Referee(few, "character", Budget(steps=1), 0, referee.folder.parent)
    assert uneven.pupil(20)[1] == 20 + 20 + 5
    assert uneven.pupil(60) == (uneven.judge, 60 + 60 + 5)


def test_every_class_weighs_the_same_among_real_images_as_among_generated_ones(
    data, generators, tmp_path: Path
):
    held_out = np.flatnonzero(data.splits != "train")
    rare = held_out[data.labels[held_out] > 0]
    uneven = data.subset(np.setdiff1d(np.arange(len(data)), rare[20:]))
    referee = Referee(uneven, "character", Budget(steps=1), 0, tmp_path)
    real, honest = (Evaluated(sampler, referee, 60) for sampler in (None, generators["honest"]))
    for found in (real, honest):
        always_the_first = np.eye(3, dtype=np.float32)[np.zeros(len(found.pixels), np.int64)]
        found.judged = always_the_first, always_the_first
        assert MEASURES["labels"](found)["top1"] == pytest.approx(1 / 3)
        assert MEASURES["utility"](found)["test_on_generated"] == pytest.approx(1 / 3)
    assert np.mean(real.pixels.labels == 0) > 0.6


def test_utility_asks_the_bundles_own_reader_nothing(referee, generators):
    class Unasked:
        def read(self, *_):
            pytest.fail("only the measure of labels tells what the bundle's reader keeps")

    found = MEASURES["utility"](Evaluated(generators["honest"], referee, 60, Unasked()))
    assert 0 <= found["test_on_generated"] <= 1


def test_diversity_is_that_of_real_images_or_nothing(evaluated):
    assert MEASURES["diversity"](evaluated["honest"])["of_real"] == pytest.approx(1, abs=0.3)
    assert MEASURES["diversity"](evaluated["one image"])["of_real"] == pytest.approx(0, abs=0.01)


def test_fidelity_of_real_images_beats_one_repeated_and_says_that_there_are_too_few(evaluated):
    real, one = (MEASURES["fidelity"](evaluated[name])["domain"] for name in ("real", "one image"))
    assert real["kid"] < one["kid"]
    assert real["coverage"] > 0.6 > one["coverage"]
    assert real["fid"] is None
    assert "read KID" in real["note"]


def test_sets_are_compared_in_inceptions_features_too_where_its_weights_are_at_hand(
    referee, data, monkeypatch
):
    def open_weights(path: Path, device: str):
        assert path == Path("weights.pth")
        return lambda images: images[:, 0, :7, 0].astype(np.float32)

    monkeypatch.setattr(referees, "InceptionFeatures", open_weights)
    folder = referee.folder.parent
    other = Referee(data, "character", referee.budget, 0, folder, inception=Path("weights.pth"))
    section = MEASURES["fidelity"](Evaluated(None, other, 30))
    assert section["domain"]["dimension"] == 128
    assert section["inception"]["dimension"] == 7
    assert section["inception"]["fid"] is not None


def test_recognizers_are_kept_for_the_next_process(referee, data, evaluated):
    MEASURES["labels"](evaluated["honest"])
    again = Referee(data, "character", referee.budget, 0, referee.folder.parent)
    for one, other in zip(again.judge.parameters(), referee.judge.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())
    other_seed = Referee(data, "character", referee.budget, 1, referee.folder.parent)
    assert other_seed.folder != referee.folder


def test_recognizers_of_other_splits_groups_and_forms_are_kept_apart(tmp_path: Path):
    digits = open_data("digits:", image_size=(16, 16))
    pixels, labels, train = digits.images(), digits.labels, digits.splits == "train"

    def folder(data: LabelledImages) -> Path:
        return Referee(data, "character", Budget(), 0, tmp_path).folder

    def of(train: np.ndarray, **more) -> LabelledImages:
        splits = np.where(train, "train", "test")
        return LabelledImages.from_arrays(pixels, labels, digits.classes, splits=splits, **more)

    pairs = [str(number // 2) for number in range(len(labels))]
    larger, colored = (
        open_data("digits:", **{"image_size": (16, 16), **form})
        for form in ({"image_size": (24, 24)}, {"channels": 3})
    )
    turned = {name: name for name in reversed(digits.classes)}
    others = [of(train), of(~train), of(train, groups=pairs), larger, colored]
    kept = [folder(data) for data in (digits, digits.relabel(turned), *others)]
    assert len(set(kept)) == len(kept)
    assert folder(of(train)) == kept[2]


def test_a_class_without_training_images_is_named(data, tmp_path: Path):
    lacking = data.subset(np.flatnonzero((data.splits != "train") | (data.labels != 1)))
    with pytest.raises(DataError, match="got none of b;"):
        Referee(lacking, "character", Budget(), 0, tmp_path)


def test_a_class_without_held_out_images_is_left_out_and_told(data, tmp_path: Path):
    lacking = data.subset(np.flatnonzero((data.splits == "train") | (data.labels != 1)))
    found = Referee(lacking, "character", Budget(), 0, tmp_path)
    assert found.left_out == ("b",)
    assert set(found.members.labels) == set(found.real.labels) == {0, 2}
    assert np.bincount(found.members.labels).tolist() == [30, 0, 30]
    assert np.bincount(found.non_members.labels).tolist() == [30, 0, 30]
    alone = data.subset(np.flatnonzero((data.splits == "train") | (data.labels == 1)))
    with pytest.raises(DataError, match="two classes of memory: with two held-out images"):
        Referee(alone, "character", Budget(), 0, tmp_path)


def test_photographs_of_one_person_are_one_group_of_an_attack(referee, data, tmp_path: Path):
    assert referee.clusters(data).tolist() == list(data.groups)
    faces = Referee(data, "face", Budget(), 0, tmp_path, people=True)
    assert faces.clusters(data).tolist() == data.labels.tolist()
    flowers = Referee(data, "face", Budget(), 0, tmp_path)
    assert flowers.clusters(data).tolist() == list(data.groups), "however large the images"


def test_images_without_labels_are_compared_and_attacked_as_one_set(data, referee, generators):
    planted = generators["honest"]
    anything = Planted(data, LabelledImages.from_arrays(planted.images, planted.labels * 0, ("x",)))
    anything.classes = ("x",)
    anything.shift = 0
    found = Evaluated(anything, referee, 240, labelled=False)
    sections = {name: measure(found) for name, measure in MEASURES.items()}
    assert sections["labels"] == sections["utility"] == {"no_labels": True}
    assert sections["fidelity"]["domain"]["coverage"] > 0.6
    assert sections["diversity"]["intra_class"] is None
    assert sections["diversity"]["of_real"] == pytest.approx(1, abs=0.1)
    labelled = MEASURES["diversity"](Evaluated(planted, referee, 240))
    assert sections["diversity"]["any_two"] == pytest.approx(labelled["any_two"], rel=0.1)
    assert sections["diversity"]["any_two"] > 1.2 * labelled["intra_class"]
    assert sections["privacy"]["attacks"]["pixels"]["auc"] == pytest.approx(0.5, abs=0.12)
    shown = take_bundle_pictures(found)
    assert [row.name for row in shown.by_class] == ["x"]
    assert (list(shown.walks), list(shown.worst)) == ([], [])


def test_what_can_be_told_apart_is_a_class_on_both_sides_or_else_an_attribute():
    labels = np.repeat(np.arange(4), 4)
    attributes = np.stack([np.where(np.arange(16) < 2, 1, -1), np.where(labels % 2, 1, -1)], 1)
    pixels = np.zeros((16, 4, 4, 1), np.uint8)

    def of(splits, **more) -> LabelledImages | None:
        data = LabelledImages.from_arrays(pixels, labels, "abcd", splits=splits, **more)
        found = that_can_be_told(data)
        return found and found.classes

    apart = ["train"] * 8 + ["test"] * 8
    known = {"attributes": attributes.astype(np.int8), "attribute_names": ("rare", "even")}
    assert of(["train", "train", "test", "test"] * 4, **known) == ("a", "b", "c", "d")
    assert of(apart, **known) == ("no even", "even")
    assert of(apart) is None
    people = {"groups": [str(label) for label in labels]}
    assert of(["train", "train", "test", "test"] * 4, **people) is None


def test_pictures_show_the_nearest_and_the_worst_first(evaluated):
    shown = take_bundle_pictures(evaluated["copies"])
    assert [row.name for row in shown.by_class] == list(CLASSES)
    assert shown.neighbours[0].distance == 0 < shown.usual_distance
    honest = take_bundle_pictures(evaluated["honest"])
    assert [one.distance for one in honest.neighbours] == sorted(
        one.distance for one in honest.neighbours
    )
    assert honest.worst[0].probability <= honest.worst[-1].probability <= honest.best[0].probability
    assert take_bundle_pictures(evaluated["honest"], with_judge=False).worst == []
    assert shown.walks == []


def test_a_bundle_that_takes_no_style_has_no_walk(evaluated, monkeypatch):
    monkeypatch.setattr(Planted, "num_styles", 2)
    monkeypatch.setattr(Planted, "takes_styles", False)
    assert take_bundle_pictures(evaluated["honest"], with_judge=False).walks == []


def test_images_are_drawn_evenly():
    labels, indices = draw_evenly(3, 7)
    assert np.bincount(labels).tolist() == [3, 3, 3]
    assert indices.tolist() == [0, 1, 2] * 3
