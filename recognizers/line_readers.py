"""Recognizers trained on a generator's own lines: its bundle's reader, and one to listen to.

Letters of free text are read in either case alike: a line fills the height of its image, so
that an o by itself cannot be told from an O.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from augment.data.line_pairs import LineData
from augment.errors import ConfigError
from augment.generators.line_saae import line_folds
from augment.training import derive_seed
from recognizers.charset import Charset, fold
from recognizers.listening import Listener, listener_size, numbers_of
from recognizers.scene_text import TextConfig, TextRecognizer
from recognizers.text_arms import TextPlan
from recognizers.text_mixing import LabelledLines
from recognizers.text_reader import CrossFittedTextReader, train_text_reader
from recognizers.text_sources import (
    HEIGHT_STEP,
    check_columns,
    line_shape,
    render_lines,
    sample_texts,
)
from recognizers.text_training import train_on_lines

__all__ = ["charset_of", "fit_line_reader", "fit_listener"]

_TEXTS, _RENDERED, _LISTENER, _MEMBERS = 1, 2, 3, 100  # what seeds are derived for

_Fit = Callable[[NDArray[np.int64], int, TextConfig], TextRecognizer]
"""Rows to train on, a key of the seed and a size to a trained recognizer."""


def charset_of(data: LineData) -> Charset:
    """What a reader of a bundle's lines reads: its characters, those of free text in one case."""
    characters = "".join(data.classes)
    if data.layout.is_free:
        characters = fold(characters)
    return Charset("".join(sorted(set("".join(characters.split())))))


def fit_line_reader(
    data: LineData, plan: TextPlan, seed: int, *, device: str | torch.device = "cpu"
) -> CrossFittedTextReader:
    """Train a recognizer without each fold of the lines, on the other lines and on rendered ones.

    Args:
        data: what the generator is trained on; its folds are those of ``line_folds``.
        plan: recognizer, budget, and the reader's recipe, steps and band.
        seed: of everything random.
        device: where to train.

    Raises:
        DataError: free text of which no line can be rendered, or no line is wide enough for its
            text.
    """
    fit = _fitting(data, plan, seed, device)
    return train_text_reader(
        line_folds(data),
        lambda rows, fold: fit(rows, _MEMBERS + fold, plan.recognizer),
        line_shape(data),
        plan.reader_band,
    )


def fit_listener(
    data: LineData, plan: TextPlan, seed: int, *, device: str | torch.device = "cpu"
) -> Listener:
    """Train the recognizer that the generator of these lines listens to; see ``listening``.

    Arguments are those of ``fit_line_reader``; all lines are trained on.

    Raises:
        ConfigError: lines of a height that no recognizer takes.
        DataError: as of ``fit_line_reader``.
    """
    height = data.shape.height
    if height % HEIGHT_STEP:
        raise ConfigError(
            f"recognizer_weight needs lines of a height that is a multiple of {HEIGHT_STEP} "
            f"pixels, got {height}; choose another --image-size, or recognizer_weight 0."
        )
    fit = _fitting(data, plan, seed, device)
    recognizer = fit(np.arange(len(data)), _LISTENER, listener_size(plan.recognizer))
    return Listener(recognizer.cpu(), numbers_of(data.classes, charset_of(data)))


def _fitting(data: LineData, plan: TextPlan, seed: int, device: str | torch.device) -> _Fit:
    """How a recognizer is trained on some rows of the lines and on rendered ones."""
    charset, shape = charset_of(data), line_shape(data)
    check_columns(data.layout, shape)
    recipe, budget = plan.recipes["reader"], replace(plan.budget, steps=plan.reader_steps)
    lines = replace(data.texts, texts=tuple("".join(text.split()) for text in data.texts.texts))
    real = LabelledLines.of(lines, shape)
    seeds = {name: derive_seed(seed, name) % 2**31 for name in (_TEXTS, _RENDERED)}
    texts = sample_texts(lines, data.layout, charset, plan.rendered_lines, seeds[_TEXTS])
    rendered = render_lines(lines, data.layout, shape, texts, seeds[_RENDERED])

    def fit(rows: NDArray[np.int64], key: int, size: TextConfig) -> TextRecognizer:
        sources = {"real": real.subset(rows), "rendered": rendered}
        own_seed = derive_seed(seed, key)
        return train_on_lines(
            recipe, sources, charset, shape, budget, seed=own_seed, size=size, device=device
        )

    return fit
