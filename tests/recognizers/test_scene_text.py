from typing import Any

import pytest
import torch
from torch import Tensor

from augment.errors import ConfigError, LabelError
from recognizers.charset import Charset
from recognizers.scene_text import SIZES, TextConfig, TextRecognizer

CHARSET = Charset("abc")
HEADS = ("lstm", "conv")


def tiny(head: Any = "lstm", **settings: Any) -> TextRecognizer:
    config = TextConfig(width=4, hidden=8, head=head, dropout=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TextRecognizer(CHARSET, height=16, channels=1, config=config, **settings)
        for module in model.modules():  # statistics as of a trained network: not 0 and 1
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.running_mean, std=0.3)
                torch.nn.init.normal_(module.bias, std=0.3)
    return model.eval()


def lines(count: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 16, width, generator=generator) * 2 - 1


@pytest.mark.parametrize("size", sorted(SIZES))
def test_each_column_has_a_distribution_over_blank_and_characters(size: str) -> None:
    model = TextRecognizer(CHARSET, config=SIZES[size]).eval()
    log_probs = model(torch.zeros(2, 3, 32, 96))
    assert log_probs.shape == (2, 24, 4)
    torch.testing.assert_close(log_probs.exp().sum(dim=2), torch.ones(2, 24))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("width", [16, 24, 37])
def test_a_line_is_read_alike_alone_and_beside_wider_ones(head: str, width: int) -> None:
    model = tiny(head)
    line = lines(1, width)
    batch = lines(3, 64, seed=1)  # what pads the line is no zero
    batch[1, :, :, :width] = line
    alone = model(line)
    columns = alone.shape[1]
    beside = model(batch, torch.tensor([64, width, 40]))
    torch.testing.assert_close(beside[1:2, :columns], alone, rtol=1e-5, atol=1e-5)
    told = model(line, torch.tensor([width]))
    torch.testing.assert_close(told, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_of_a_line_is_the_same_alone_and_in_a_batch(head: str) -> None:
    model = tiny(head)
    batch, widths = lines(3, 48), torch.tensor([32, 48, 40])
    targets = torch.tensor([[1, 2], [3, 0], [1, 1]])
    together = model.loss(batch, targets, widths)
    assert together.shape == (3,)
    for row, width in enumerate(widths.tolist()):
        alone = model.loss(batch[row : row + 1, :, :, :width], targets[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_a_line_is_seen_whole_from_both_sides(head: str) -> None:
    model, line = tiny(head), lines(1, 32)
    line.requires_grad_()
    for column in (0, 7):
        (gradient,) = torch.autograd.grad(model(line)[0, column].square().sum(), line)
        reach = gradient[0, 0].abs().sum(dim=0)
        assert (reach[[0, 1, -2, -1]] > 0).all()


def test_it_memorizes_a_handful_of_lines() -> None:
    texts = ["a", "ab", "cab", "cc", "ba", "abc"]
    targets = torch.from_numpy(CHARSET.encode(texts)[0])
    images, widths = lines(6, 48, seed=3), torch.tensor([24, 32, 48, 32, 40, 48])
    model = tiny().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        model.loss(images, targets, widths).mean().backward()
        optimizer.step()
    for beam in (0, 4):
        readings = model.train().read(images, widths, beam=beam)
        assert readings.texts == texts
        assert (readings.confidences > 0.5).all()
        assert (readings.confidences <= 1).all()


def test_a_text_longer_than_its_line_is_refused() -> None:
    targets = torch.from_numpy(CHARSET.encode(["abcab"])[0])
    with pytest.raises(LabelError, match="fits into 4 columns"):
        tiny().loss(lines(1, 32), targets, torch.tensor([16]))


@pytest.mark.parametrize(
    "settings",
    [{"width": 1}, {"hidden": 0}, {"blocks": 0}, {"head": "transformer"}, {"dropout": 1.0}],
)
def test_sizes_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        TextConfig(**settings)


@pytest.mark.parametrize("height", [4, 30])
def test_a_height_that_cannot_be_halved_thrice_is_refused(height: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 8"):
        TextRecognizer(CHARSET, height=height)
