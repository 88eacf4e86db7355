"""Images a second of the line renderer on one core, against what other renderers reach.

The others are not run here. TextRecognitionDataGenerator 1.8.0 drew 354 to 367 words a second in
its defaults (one core, six-letter words, 32 pixels high, in turn with this renderer's 5,040 to
5,140 plates and 3,630 to 3,790 words). SynthTIGER made 4 to 9 in an earlier trial. Figures of
another machine need them run there.
"""

import time

import cv2
import numpy as np

from augment.data.layouts import load_layout
from augment.data.line_rendering import LineRenderer
from augment.images import Pixels

__all__ = ["measure"]

IMAGES = 512
ROUNDS = 6
TRDG = 360.0  # images a second
SYNTHTIGER = 9.0


def measure() -> dict[str, float]:
    """Images a second of plates and words, and the ratios of the slower to the others'."""
    cv2.setNumThreads(1)
    plates = _speed("plates-cn", (32, 96), 7)
    words = _speed("words", (32, 100), 6)
    slower = min(plates, words)
    return {
        "ratio": slower / TRDG,
        "synthtiger_ratio": slower / SYNTHTIGER,
        "plates_per_s": plates,
        "words_per_s": words,
    }


def _speed(name: str, size: tuple[int, int], length: int) -> float:
    """Images per second of processor time, of the best round: others use these cores too."""
    layout = load_layout(name)
    rng = np.random.default_rng(0)
    texts = [layout.random_text(rng)[:length] for _ in range(IMAGES)]
    styles: list[Pixels] = list(LineRenderer(layout)(texts[:64], 0, size))
    renderer = LineRenderer(layout, styles)
    renderer(texts, 0, size)  # draws every glyph once
    seconds = []
    for seed in range(ROUNDS):
        start = time.process_time()
        renderer(texts, seed, size)
        seconds.append(time.process_time() - start)
    return IMAGES / min(seconds)
