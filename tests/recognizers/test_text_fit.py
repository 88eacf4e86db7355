from typing import Any

import numpy as np
import pytest
import torch

from augment.data.texts import Lines, LineShape
from augment.errors import NonFiniteLossError
from recognizers.charset import Charset
from recognizers.fit import Budget
from recognizers.scene_text import TextConfig, TextRecognizer
from recognizers.text_fit import TextBatch, fit_texts, read_lines

CHARSET = Charset("abc")
SHAPE = LineShape(height=16, least_width=16, most_width=48, channels=1)
TEXTS = ["a", "b", "ca", "cab"]


def build() -> TextRecognizer:
    config = TextConfig(width=4, hidden=8, dropout=0.0)
    return TextRecognizer(CHARSET, height=16, channels=1, config=config)


@pytest.fixture(scope="module")
def lines() -> Lines:
    rng = np.random.default_rng(1)
    widths = (24, 16, 32, 48)
    return SHAPE.stack([rng.integers(0, 256, (16, w, 1)).astype(np.uint8) for w in widths])


@pytest.fixture(scope="module")
def batch(lines: Lines) -> TextBatch:
    return TextBatch(lines, CHARSET.encode(TEXTS)[0])


def test_training_memorizes_a_batch_and_reports_on_the_way(batch: TextBatch) -> None:
    seen: list[tuple[int, bool]] = []
    model = fit_texts(
        build,
        lambda step: batch,
        Budget(steps=150, learning_rate=1e-2),
        seed=0,
        checkpoints=3,
        on_checkpoint=lambda step, model: seen.append((step, model.training)),
    )
    assert seen == [(50, False), (100, False), (150, False)]
    assert not model.training
    for beam in (0, 3):
        assert read_lines(model, batch.lines, beam=beam).texts == TEXTS


def test_a_training_starts_with_even_texts_and_ends_with_ctc_alone(batch: TextBatch) -> None:
    shares: list[float] = []

    class Recording(TextRecognizer):
        def loss(self, *arguments: Any, even_share: float = 0.0, **options: Any) -> torch.Tensor:
            shares.append(even_share)
            return super().loss(*arguments, even_share=even_share, **options)

    def build_recording() -> Recording:
        return Recording(CHARSET, height=16, channels=1, config=TextConfig(width=4, hidden=8))

    fit_texts(build_recording, lambda step: batch, Budget(steps=10), seed=0)
    assert shares == pytest.approx([1, 0.75, 0.5, 0.25, *[0] * 6])


def test_weights_come_from_the_seed(batch: TextBatch) -> None:
    def weights(seed: int) -> torch.Tensor:
        model = fit_texts(build, lambda step: batch, Budget(steps=2), seed=seed)
        return torch.cat([values.flatten() for values in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_readings_keep_the_order_whatever_is_read_together(lines: Lines) -> None:
    torch.manual_seed(0)
    model = build().eval()
    whole, single = read_lines(model, lines), read_lines(model, lines, batch_size=1)
    assert whole.texts == single.texts
    np.testing.assert_allclose(whole.confidences, single.confidences, rtol=0.05)
    turned = read_lines(model, Lines(lines.pixels[::-1].copy(), lines.widths[::-1].copy()))
    assert turned.texts == whole.texts[::-1]


def test_a_loss_that_is_not_finite_stops_the_training(batch: TextBatch) -> None:
    def broken() -> TextRecognizer:
        model = build()
        torch.nn.init.constant_(model.classify.bias, float("nan"))
        return model

    with pytest.raises(NonFiniteLossError, match="step 0"):
        fit_texts(broken, lambda step: batch, Budget(steps=2), seed=0)
