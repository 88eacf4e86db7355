from pathlib import Path

import numpy as np
import pytest
import torch

from augment.data.datasets import open_data
from augment.errors import DataError
from augment.images import encode_png
from recognizers.face import FaceConfig, FaceRecognizer
from recognizers.scenarios import data_root
from recognizers.verification import (
    VerificationScore,
    View2,
    best_threshold,
    embed,
    pairs_among,
    parse_pairs,
    parse_people,
    read_list,
    score_pairs,
    similarities,
    tar_at_far,
    verification_accuracy,
    view2_fold,
)

PEOPLE = ("Ann_A", "Bob_B", "Cy_C", "Di_D", "Ed_E", "Flo_F")
VIEW_2 = "3\t1\n" + "\n".join(
    f"{a}\t1\t2\n{a}\t1\t{b}\t2" for a, b in zip(PEOPLE[::2], PEOPLE[1::2], strict=True)
)


@pytest.fixture(scope="module")
def lfw(tmp_path_factory: pytest.TempPathFactory):
    """Six people with three photographs of noise each."""
    root = tmp_path_factory.mktemp("lfw")
    rng = np.random.default_rng(0)
    for person in PEOPLE:
        (root / person).mkdir()
        for number in (1, 2, 3):
            picture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            (root / person / f"{person}_{number:04d}.png").write_bytes(encode_png(picture))
    (root / "pairs.txt").write_text(VIEW_2)
    return open_data(f"lfw:{root}", image_size=(16, 16), channels=3)


@pytest.fixture
def model() -> FaceRecognizer:
    torch.manual_seed(0)
    return FaceRecognizer(4, (16, 16), 3, FaceConfig(width=4, embedding_dim=6)).eval()


def test_pairs_of_view_1_are_matches_and_then_as_many_mismatches():
    pairs = parse_pairs("1\nAnn_A\t1\t4\nAnn_A\t2\tBob_B\t13\n", "pairsDevTest.txt")
    assert pairs.first == ("Ann_A/Ann_A_0001", "Ann_A/Ann_A_0002")
    assert pairs.second == ("Ann_A/Ann_A_0004", "Bob_B/Bob_B_0013")
    assert pairs.same.tolist() == [True, False]
    assert pairs.sets.tolist() == [0, 0]
    assert pairs.people.tolist() == ["Ann_A", "Ann_A"]


def test_pairs_of_view_2_know_their_set():
    pairs = parse_pairs(VIEW_2, "pairs.txt")
    assert pairs.same.tolist() == [True, False] * 3
    assert pairs.sets.tolist() == [0, 0, 1, 1, 2, 2]
    assert pairs.subset(pairs.sets == 1).first == ("Cy_C/Cy_C_0001",) * 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "one or two counts in line 1"),
        ("many\n", "one or two counts"),
        ("2\nAnn_A\t1\t2\n", "got 1; copy it again"),
        ("1\nAnn_A\t1\tBob_B\t2\nAnn_A\t1\tBob_B\t2", "name, number, number in line 2"),
        ("1\nAnn_A\t1\t2\nAnn_A\t1\t2", "name, number, name, number in line 3"),
        ("1\nAnn_A\t1\tx\nAnn_A\t1\tBob_B\t2", "in line 2"),
    ],
)
def test_lists_of_pairs_that_are_none_are_refused(text, told):
    with pytest.raises(DataError, match=told):
        parse_pairs(text, "pairs.txt")


def test_people_come_in_one_set_or_in_several():
    assert parse_people("2\nAnn_A\t1\nBob_B\t3\n", "p") == [("Ann_A", "Bob_B")]
    assert parse_people("2\n1\nAnn_A\t1\n1\nBob_B\t3\n", "p") == [("Ann_A",), ("Bob_B",)]


@pytest.mark.parametrize(
    "text", ["", "3\nAnn_A\t1\n", "1\nAnn_A\t1\nBob_B\t1\n", "2\n1\nAnn_A\t1\n"]
)
def test_lists_of_people_with_other_counts_are_refused(text):
    with pytest.raises(DataError, match=r"in people\.txt"):
        parse_people(text, "people.txt")


def test_a_list_is_found_beside_the_images_or_its_absence_is_told(lfw):
    assert read_list(lfw, "pairs.txt") == VIEW_2
    with pytest.raises(DataError, match=r"expected people\.txt"):
        read_list(lfw, "people.txt")


def test_made_up_pairs_hold_as_many_matches_as_mismatches(lfw):
    pairs = pairs_among(lfw, np.random.default_rng(0))
    assert pairs.same.sum() == (~pairs.same).sum() == 3 * len(PEOPLE)
    owners = [[name.split("/")[0] for name in side] for side in (pairs.first, pairs.second)]
    np.testing.assert_array_equal(np.equal(*map(np.array, owners)), pairs.same)
    assert all(a != b for a, b in zip(pairs.first, pairs.second, strict=True))


def test_pairs_cannot_be_made_of_one_photograph_a_person(lfw):
    with pytest.raises(DataError, match="hold more people back"):
        pairs_among(lfw.subset([0, 3, 6]), np.random.default_rng(0))


def test_the_threshold_takes_most_pairs_for_what_they_are():
    cosines = np.float32([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    same = np.array([True, True, True, False, False, False])
    threshold = best_threshold(cosines, same)
    assert 0.2 < threshold < 0.3 or 0.5 < threshold < 0.8
    assert verification_accuracy(cosines, same, threshold) == pytest.approx(5 / 6)


def test_a_threshold_can_refuse_or_accept_everything():
    cosines = np.float32([0.5, 0.5])
    assert best_threshold(cosines, np.array([True, True])) < 0.5
    assert best_threshold(cosines, np.array([False, False])) > 0.5


def test_true_accepts_are_counted_where_false_ones_are_rare_enough():
    cosines = np.concatenate([[0.9, 0.7, 0.5, 0.3], np.linspace(0, 0.6, 200)]).astype(np.float32)
    same = np.arange(204) < 4
    assert tar_at_far(cosines, same) == 0.5  # two of 200 mismatches reach 0.597; 0.5 would take 34
    assert tar_at_far(cosines, same, far=1.0) == 1.0


def test_a_score_holds_the_area_under_the_roc_curve():
    cosines = np.float32([0.9, 0.4, 0.6, 0.1])
    score = score_pairs(cosines, np.array([True, True, False, False]), 0.5)
    assert score.auc == pytest.approx(0.75)  # of four pairs of match and mismatch, three in order
    assert (score.accuracy, score.threshold) == (0.5, 0.5)


def test_a_photograph_and_its_mirror_image_have_one_embedding(lfw, model):
    images = lfw.images()
    vectors = embed(model, images, batch_size=5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embed(model, images[:, :, ::-1].copy()), vectors, atol=0.02)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.05


def test_similarity_is_the_cosine_of_both_photographs(lfw, model):
    pairs = parse_pairs("1\nAnn_A\t1\t1\nAnn_A\t1\tBob_B\t3", "pairs")
    vectors = embed(model, lfw.images([0, 5]))
    found = similarities(model, lfw, pairs)
    np.testing.assert_allclose(found, [1.0, vectors[0] @ vectors[1]], atol=0.02)
    with pytest.raises(DataError, match="got none of Ann_A/Ann_A_0009"):
        similarities(model, lfw, parse_pairs("1\nAnn_A\t1\t9\nAnn_A\t1\tBob_B\t3", "pairs"))


def test_view_2_trains_without_the_people_it_measures_and_chooses_by():
    sets = [PEOPLE[:2], PEOPLE[2:4], PEOPLE[4:]]
    pairs = parse_pairs(VIEW_2, "pairs.txt")
    folds = [view2_fold(pairs, sets, measured) for measured in range(3)]
    assert [fold.people for fold in folds] == [sets[2], sets[0], sets[1]]
    assert [set(fold.testing.sets) for fold in folds] == [{0}, {1}, {2}]
    assert [set(fold.choosing.sets) for fold in folds] == [{1}, {2}, {0}]


def test_view_2_is_told_as_a_mean_and_its_standard_error():
    scores = [VerificationScore(a, 0.5, 0.5, 0.0) for a in (0.8, 0.9, 0.85)]
    found = View2.of(scores)
    assert found.mean == pytest.approx(0.85)
    assert found.standard_error == pytest.approx(0.05 / np.sqrt(3))
    assert found.sets == scores


def test_view_2_refuses_pairs_and_people_of_other_sets():
    pairs = parse_pairs(VIEW_2, "pairs.txt")
    with pytest.raises(DataError, match="belong together"):
        view2_fold(pairs, [PEOPLE[:2], PEOPLE[2:]], 0)


def test_lfws_own_lists_are_read_and_every_photograph_is_there():
    path = Path(data_root()) / "faces" / "lfw_all_64.zip"
    if not path.exists():
        pytest.skip(f"needs the benchmark data, and there is no {path}")
    data = open_data(f"lfw:{path}", image_size=(64, 64), channels=3)
    photographs = {name.removesuffix(".jpg") for name in data.names}
    for name, count, sets in (
        ("pairs.txt", 6000, 10),
        ("pairsDevTrain.txt", 2200, 1),
        ("pairsDevTest.txt", 1000, 1),
    ):
        pairs = parse_pairs(read_list(data, name), name)
        assert (len(pairs.same), int(pairs.same.sum())) == (count, count // 2)
        assert len(set(pairs.sets)) == sets
        assert {*pairs.first, *pairs.second} <= photographs
    people = parse_people(read_list(data, "people.txt"), "people.txt")
    assert sum(map(len, people)) == len(data.classes) == 5749
    assert len(parse_people(read_list(data, "peopleDevTrain.txt"), "people")[0]) == 4038
