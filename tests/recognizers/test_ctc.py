from collections import defaultdict
from itertools import product

import pytest
import torch
from torch import Tensor

from augment.errors import ConfigError, LabelError
from recognizers.charset import Charset
from recognizers.ctc import columns_needed, ctc_loss, even_loss, read_by_beam, read_greedily

CHARSET = Charset("ab")


def some_log_probs(*shape: int, seed: int = 0) -> Tensor:
    scores = 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return torch.log_softmax(scores, dim=-1)


def text_probabilities(log_probs: Tensor) -> dict[str, float]:
    """Of one image (T, k): the probability of every text, path by path."""
    total: defaultdict[str, float] = defaultdict(float)
    length, classes = log_probs.shape
    for path in product(range(classes), repeat=length):
        score = sum(float(log_probs[t, c]) for t, c in enumerate(path))
        total[CHARSET.collapse(path)] += float(torch.tensor(score).exp())
    return total


def test_the_loss_is_that_of_all_paths_summed_one_by_one() -> None:
    log_probs = some_log_probs(3, 4, 3)
    texts = ["ab", "b", "aa"]
    targets = torch.from_numpy(CHARSET.encode(texts)[0])
    losses = ctc_loss(log_probs, torch.tensor([4, 4, 4]), targets)
    for image, text, loss in zip(log_probs, texts, losses, strict=True):
        assert float((-loss).exp()) == pytest.approx(text_probabilities(image)[text], rel=1e-4)


def test_an_even_loss_gives_each_character_as_many_columns_as_the_next() -> None:
    log_probs = some_log_probs(2, 6, 3)
    losses = even_loss(log_probs, torch.tensor([6, 4]), torch.tensor([[1, 2, 1], [2, 1, 0]]))
    first, second = log_probs
    pairs = [(0, 1), (1, 1), (2, 2), (3, 2), (4, 1), (5, 1)]  # (column, class): "aba" on six
    assert float(losses[0]) == pytest.approx(-sum(float(first[t, c]) for t, c in pairs) / 2)
    pairs = [(0, 2), (1, 2), (2, 1), (3, 1)]  # "ba" on the first four
    assert float(losses[1]) == pytest.approx(-sum(float(second[t, c]) for t, c in pairs) / 2)


def test_columns_beyond_an_images_own_change_nothing() -> None:
    log_probs = some_log_probs(1, 6, 3)
    other = torch.cat([log_probs[:, :4], some_log_probs(1, 2, 3, seed=9)], dim=1)
    columns, targets = torch.tensor([4]), torch.tensor([[1, 2]])
    assert torch.equal(ctc_loss(log_probs, columns, targets), ctc_loss(other, columns, targets))
    for read in (read_greedily, read_by_beam):
        assert read(log_probs, columns, CHARSET).texts == read(other, columns, CHARSET).texts


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_beam_finds_the_most_probable_text_and_tells_its_probability(seed: int) -> None:
    log_probs = some_log_probs(1, 5, 3, seed=seed)
    expected = text_probabilities(log_probs[0])
    readings = read_by_beam(log_probs, torch.tensor([5]), CHARSET, beam=100)
    best = max(expected, key=lambda text: expected[text])
    assert readings.texts == [best]
    assert float(readings.confidences[0]) == pytest.approx(expected[best], rel=1e-4)


def test_the_beam_reads_what_no_single_path_would() -> None:
    # Blank is the most probable in each column, but "a" has three paths: 0.24 + 0.24 + 0.16.
    log_probs = torch.tensor([[[0.6, 0.4, 1e-9], [0.6, 0.4, 1e-9]]]).log()
    columns = torch.tensor([2])
    greedy, beam = (read(log_probs, columns, CHARSET) for read in (read_greedily, read_by_beam))
    assert (greedy.texts, beam.texts) == ([""], ["a"])
    assert float(greedy.confidences[0]) == pytest.approx(0.36, rel=1e-4)
    assert float(beam.confidences[0]) == pytest.approx(0.64, rel=1e-4)


def test_a_repeated_character_needs_a_blank_between() -> None:
    targets = torch.tensor([[1, 1, 2], [1, 2, 0], [0, 0, 0]])
    assert columns_needed(targets).tolist() == [4, 2, 0]


def test_a_text_that_does_not_fit_is_refused() -> None:
    targets = torch.tensor([[1, 2, 0], [2, 2, 1]])
    with pytest.raises(LabelError, match=r"fits into 3 columns.*needs 4 at index 1"):
        ctc_loss(some_log_probs(2, 4, 3), torch.tensor([4, 3]), targets)


def test_confidences_stay_within_zero_and_one() -> None:
    certain = torch.full((1, 4, 3), -100.0)
    certain[0, :, 0] = 0.0
    certain[0, 1] = torch.tensor([-100.0, 0.0, -100.0])
    readings = read_greedily(certain, torch.tensor([4]), CHARSET)
    assert readings.texts == ["a"]
    assert 0.999 < float(readings.confidences[0]) <= 1.0


def test_a_beam_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        read_by_beam(some_log_probs(1, 4, 3), torch.tensor([4]), CHARSET, beam=0)
