"""Where lines besides the real ones come from: which texts, how they are rendered.

Rendered and generated lines show the same texts. Those of plates are drawn uniformly from the
layout, so that a province with few real plates is written as often as any other. Words follow
the letters of the real training words: half of them are these words, half are new ones, each
character drawn by the two before it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from augment.data.drawable import check_plate
from augment.data.layouts import Layout
from augment.data.line_pairs import LineData
from augment.data.line_rendering import LineRenderer
from augment.data.lines import LONGEST_LINE, line_width
from augment.data.texts import LineShape, TextImages, find_size_fault
from augment.errors import ConfigError, DataError, LabelError
from recognizers.charset import Charset
from recognizers.scene_text import COLUMN
from recognizers.text_mixing import LabelledLines

__all__ = [
    "HEIGHT_STEP",
    "check_columns",
    "check_drawable",
    "is_drawable",
    "line_shape",
    "render_lines",
    "sample_texts",
]

HEIGHT_STEP = 8
"""Heights that a recognizer takes are multiples of it, in pixels."""
MOST_LETTERS = 16
"""Characters of a new word."""
_CONTEXT = 2  # characters that the next one is drawn by


def sample_texts(
    train: TextImages, layout: Layout, charset: Charset, count: int, seed: int
) -> list[str]:
    """Texts to draw lines of; the first of them are the same for any larger count.

    Args:
        train: real lines that a generator is trained on: it has the characters of no others.
        layout: of plates, or free text.
        charset: texts with other characters are left out.
        count: how many.
        seed: of the draws.

    Raises:
        DataError: no training line has a text of the layout and the charset.
    """
    rng = np.random.default_rng(seed)
    if not layout.is_free:
        return [layout.random_text(rng) for _ in range(count)]
    known = [text for text in train.texts if charset.knows(text) and is_drawable(text, layout)]
    if not known:
        raise DataError(
            f"expected training texts that {layout.name} allows and in characters of "
            f"{charset.training!r}, got none of {len(train)}; check layout and data."
        )
    follows = _followers(known)
    texts: list[str] = []
    while len(texts) < count:
        old = rng.random() < 0.5
        text = known[int(rng.integers(len(known)))] if old else _new_word(follows, rng)
        if old or is_drawable(text, layout):
            texts.append(text)
    return texts


def is_drawable(text: str, layout: Layout) -> bool:
    """Whether ``check_drawable`` accepts a text."""
    try:
        check_drawable(text, layout)
    except LabelError:
        return False
    return True


def check_drawable(text: str, layout: Layout, height: int = 32) -> None:
    """Refuse a text that no line can hold.

    Args:
        text: to be drawn.
        layout: of plates, or free text.
        height: of the line, pixels.

    Raises:
        LabelError: the layout does not allow it, or it is free text too wide for a line.
        GlyphError: it cannot be drawn.
    """
    if layout.is_free:
        line_width(text, height)
    else:
        check_plate(text, layout)


def line_shape(data: LineData) -> LineShape:
    """What a recognizer's lines are brought to: with room for the longest that can be asked for."""
    height = data.shape.height - data.shape.height % HEIGHT_STEP
    most = data.shape.most_width
    if data.layout.is_free:
        most = max(most, LONGEST_LINE * height)
    return replace(data.shape, height=height, most_width=most)


def check_columns(layout: Layout, shape: LineShape) -> None:
    """Refuse lines too narrow for a recognizer to read every text of a layout of plates.

    A recognizer says one character a column, and a blank between equal ones.

    Raises:
        ConfigError: says how wide they must be.
    """
    allowed = [set(characters) for characters in layout.allowed] if layout.positions else []
    needed = len(allowed) + sum(not a.isdisjoint(b) for a, b in pairwise(allowed))
    if needed * COLUMN > shape.most_width:
        raise ConfigError(
            f"layout {layout.name}: its {len(allowed)} characters, with room between equal ones, "
            f"are read on images at least {needed * COLUMN} pixels wide, got {shape.most_width}; "
            f"give a larger --image-size, such as {shape.height} {needed * COLUMN}."
        )


def render_lines(
    train: TextImages, layout: Layout, shape: LineShape, texts: Sequence[str], seed: int
) -> LabelledLines:
    """Texts drawn by fonts, in the looks of the real training lines.

    Args:
        train: gives looks, and nothing else; images that are no line give none.
        layout: of plates, or free text.
        shape: what lines are brought to.
        texts: one a line.
        seed: equal seed and texts give equal lines.
    """
    looks = [
        image
        for image in train.images(channels=shape.channels)
        if find_size_fault(*image.shape[:2]) is None
    ]
    renderer = LineRenderer(layout, looks, channels=shape.channels)
    if shape.least_width == shape.most_width:
        size = (shape.height, shape.most_width)
        return LabelledLines.stacked(list(renderer(texts, seed, size)), texts, shape)
    images = [
        renderer.render_line(text, seed, shape.height, index=i) for i, text in enumerate(texts)
    ]
    return LabelledLines.stacked(images, texts, shape)


def _followers(words: Sequence[str]) -> dict[str, list[str]]:
    """Two characters to what came after them, as often as it did; "" ends a word."""
    follows: defaultdict[str, list[str]] = defaultdict(list)
    for word in words:
        for place in range(len(word) + 1):
            follows[word[max(0, place - _CONTEXT) : place]].append(word[place : place + 1])
    return dict(follows)


def _new_word(follows: dict[str, list[str]], rng: np.random.Generator) -> str:
    word = ""
    while len(word) < MOST_LETTERS:
        choices = follows[word[-_CONTEXT:]]
        if not (character := choices[int(rng.integers(len(choices)))]):
            break
        word += character
    return word
