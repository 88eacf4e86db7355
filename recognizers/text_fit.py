"""Training a text recognizer on a stream of batches, and reading lines with it."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augment.data.texts import Lines
from augment.images import to_tensor
from augment.training import is_faster_in_bf16
from recognizers.ctc import Readings
from recognizers.fit import Budget, optimize
from recognizers.scene_text import TextRecognizer

__all__ = [
    "TextBatch",
    "TextStream",
    "embed_lines",
    "fit_texts",
    "probabilities_of",
    "read_lines",
]


class TextBatch(NamedTuple):
    """Lines to train on."""

    lines: Lines
    targets: NDArray[np.int64]  # (N, S) classes, padded by blanks


TextStream = Callable[[int], TextBatch]
"""Step to a batch: a pure function."""

FLAT_START = 0.4
"""Share of the steps over which ``recognizers.ctc.even_loss`` fades out; by CTC alone the first
thousand teach next to nothing (EXPERIMENTS.md)."""


def fit_texts(
    build: Callable[[], TextRecognizer],
    stream: TextStream,
    budget: Budget,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    checkpoints: int = 0,
    on_checkpoint: Callable[[int, TextRecognizer], None] | None = None,
) -> TextRecognizer:
    """Train a text recognizer on ``stream``: batches by step.

    The other arguments, the result and the errors are those of ``recognizers.fit.optimize``.
    """
    device = torch.device(device)

    def loss_at(model: TextRecognizer, step: int) -> Tensor:
        batch = stream(step)
        images, widths = _on_device(batch.lines, device)
        even_share = max(0.0, 1 - step / (FLAT_START * budget.steps))
        targets = torch.from_numpy(batch.targets).to(device)
        return model.loss(images, targets, widths, even_share=even_share)

    return optimize(
        build,
        loss_at,
        budget,
        seed=seed,
        device=device,
        checkpoints=checkpoints,
        on_checkpoint=on_checkpoint,
    )


def read_lines(
    model: TextRecognizer, lines: Lines, *, beam: int = 0, batch_size: int = 256
) -> Readings:
    """Read lines, those of like width together.

    Args:
        model: in eval mode.
        lines: N.
        beam: see ``TextRecognizer.read``.
        batch_size: lines at a time.
    """
    texts = [""] * len(lines.widths)
    confidences = np.empty(len(texts), np.float32)
    for rows, images, widths in _batches(model, lines, batch_size):
        with _fastest(images):
            readings = model.read(images, widths, beam=beam)
        for row, text in zip(rows, readings.texts, strict=True):
            texts[row] = text
        confidences[rows] = readings.confidences
    return Readings(texts, confidences)


def probabilities_of(
    model: TextRecognizer, lines: Lines, texts: Sequence[str], *, batch_size: int = 256
) -> NDArray[np.float32]:
    """Probability of each text given its line, (N,) in [0, 1]; 0 where it does not fit.

    Raises:
        LabelError: a text is empty or has a character that the model does not read.
    """
    targets = torch.from_numpy(model.charset.encode(texts)[0])
    values = np.empty(len(texts), np.float32)
    for rows, images, widths in _batches(model, lines, batch_size):
        with _fastest(images):
            probabilities = model.probabilities(images, targets[rows].to(images.device), widths)
        values[rows] = probabilities.cpu()
    return values


def embed_lines(
    model: TextRecognizer, lines: Lines, *, batch_size: int = 256
) -> NDArray[np.float32]:
    """How lines look to a recognizer, (N, D); see ``TextRecognizer.embed``."""
    embedded = np.empty((len(lines.widths), 2 * model.config.hidden), np.float32)
    for rows, images, widths in _batches(model, lines, batch_size):
        with _fastest(images):
            embedded[rows] = model.embed(images, widths).cpu()
    return embedded


def _fastest(images: Tensor) -> torch.autocast:
    """The precision that is fastest where the images are."""
    device = images.device
    return torch.autocast(device.type, torch.bfloat16, enabled=is_faster_in_bf16(device))


def _batches(
    model: TextRecognizer, lines: Lines, batch_size: int
) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor | None]]:
    """Rows, images and widths of lines of like width."""
    device = next(model.parameters()).device
    order = np.argsort(lines.widths, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield rows, *_on_device(Lines(lines.pixels[rows], lines.widths[rows]), device)


def _on_device(lines: Lines, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Images cut to the widest line, and the lines' widths; None where all are alike."""
    width = int(lines.widths.max())
    images = to_tensor(lines.pixels[:, :, :width]).to(device)
    if (lines.widths == width).all():
        return images, None
    return images, torch.from_numpy(lines.widths).to(device)
