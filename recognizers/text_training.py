"""Training a text recognizer on lines: real ones, and what a recipe mixes with them."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from augment.data.texts import LineShape
from augment.errors import DataError
from recognizers.charset import Charset
from recognizers.ctc import columns_needed
from recognizers.fit import Budget
from recognizers.scene_text import COLUMN, SIZES, TextConfig, TextRecognizer
from recognizers.text_fit import fit_texts
from recognizers.text_mixing import LabelledLines, TextRecipe, mixed_lines

__all__ = ["that_fit", "train_on_lines"]


def train_on_lines(
    recipe: TextRecipe,
    sources: Mapping[str, LabelledLines],
    charset: Charset,
    shape: LineShape,
    budget: Budget,
    *,
    seed: int,
    size: TextConfig = SIZES["small"],
    device: str | torch.device = "cpu",
    checkpoints: int = 0,
    on_checkpoint: Callable[[int, TextRecognizer], None] | None = None,
) -> TextRecognizer:
    """Train a recognizer on those lines that are wide enough for their text.

    Args:
        recipe: composition of the batches.
        sources: "real", and "rendered", "generated" where the recipe has a share for them.
        charset: what the recognizer reads.
        shape: of the lines.
        budget: steps and batch size.
        seed: of the batches and of the weights at the start.
        size: of the recognizer.
        device: where to train.
        checkpoints: see ``recognizers.fit.optimize``.
        on_checkpoint: the same.

    Raises:
        ConfigError, LabelError: see ``mixed_lines``.
        DataError: no line of a source is wide enough.
    """
    fitting = {name: that_fit(lines, charset) for name, lines in sources.items()}
    for name, lines in fitting.items():
        if not len(lines):
            raise DataError(
                f"expected {name} lines that are wide enough for their texts, got none of "
                f"{len(sources[name])}; check images and labels."
            )
    stream = mixed_lines(
        recipe,
        fitting,
        charset,
        steps=budget.steps,
        batch_size=budget.batch_size,
        seed=seed,
    )
    return fit_texts(
        lambda: TextRecognizer(charset, height=shape.height, channels=shape.channels, config=size),
        stream,
        budget,
        seed=seed % 2**31,
        device=device,
        checkpoints=checkpoints,
        on_checkpoint=on_checkpoint,
    )


def that_fit(lines: LabelledLines, charset: Charset) -> LabelledLines:
    """The lines that are wide enough for a recognizer to read their text."""
    needed = columns_needed(torch.from_numpy(charset.encode(lines.texts)[0])).numpy()
    fit = needed <= lines.lines.widths // COLUMN
    return lines if fit.all() else lines.subset(np.flatnonzero(fit))
