"""Images a second of the line renderer on one core, in turn with TextRecognitionDataGenerator's.

That has an environment of its own, whose Python is named in LABELMINT_TRDG:

    python3 -m venv rivals
    rivals/bin/pip install trdg==1.8.0 pillow==9.5.0
    LABELMINT_TRDG=rivals/bin/python python -m benchmarks.run renderer

Pillow 9.5 is the last that it runs with as released: later ones have no ``getsize``, which is given
back here, for they draw faster. SynthTIGER's templates and fonts are in no package, so it is not
run here.
"""

import json
import os
import subprocess
import time
from string import ascii_letters

import cv2
import numpy as np

from augment.data.layouts import load_layout
from augment.data.line_rendering import LineRenderer
from augment.errors import ConfigError
from augment.images import Pixels

__all__ = ["measure"]

IMAGES = 512
ROUNDS = 3
REPEATS = 2
LETTERS = 6
TRDG = f"""
import json, sys, time
import cv2, PIL
from PIL import ImageFont
cv2.setNumThreads(1)
if not hasattr(ImageFont.FreeTypeFont, "getsize"):
    ImageFont.FreeTypeFont.getsize = lambda font, text: font.getbbox(text)[2:]
from trdg.generators import GeneratorFromStrings
words = json.load(sys.stdin)
best = 0.0
for _ in range({REPEATS}):
    drawn = GeneratorFromStrings(words, count=len(words), size=32)
    start = time.process_time()
    for _ in drawn:
        pass
    best = max(best, len(words) / (time.process_time() - start))
print(json.dumps([best, float(PIL.__version__.split(".")[0])]))
"""


def measure() -> dict[str, float]:
    """Images a second of plates and words, and the ratio of the slower to TRDG's words.

    Raises:
        ConfigError: no Python with TRDG is named, or it cannot run it.
    """
    cv2.setNumThreads(1)
    plates = words = theirs = pillow = 0.0
    for _ in range(ROUNDS):
        plates = max(plates, _speed("plates-cn", (32, 96)))
        words = max(words, _speed("words", (32, 100)))
        speed, pillow = _trdg_speed()
        theirs = max(theirs, speed)
    return {
        "ratio": min(plates, words) / theirs,
        "plates_per_s": plates,
        "words_per_s": words,
        "trdg_words_per_s": theirs,
        "trdg_pillow": pillow,
    }


def _speed(name: str, size: tuple[int, int]) -> float:
    """Images per second of processor time, of the better repeat: others use these cores too."""
    layout = load_layout(name)
    rng = np.random.default_rng(0)
    texts = _words() if layout.is_free else [layout.random_text(rng) for _ in range(IMAGES)]
    styles: list[Pixels] = list(LineRenderer(layout)(texts[:64], 0, size))
    renderer = LineRenderer(layout, styles)
    renderer(texts, 0, size)  # draws every glyph once
    seconds = []
    for seed in range(REPEATS):
        start = time.process_time()
        renderer(texts, seed, size)
        seconds.append(time.process_time() - start)
    return IMAGES / min(seconds)


def _trdg_speed() -> tuple[float, float]:
    """Words per second of processor time, in TRDG's defaults, and the release of its Pillow."""
    python = os.environ.get("LABELMINT_TRDG")
    if not python:
        raise ConfigError("LABELMINT_TRDG names no Python with trdg: see benchmarks/renderer.py.")
    try:
        done = subprocess.run(
            [python, "-W", "ignore", "-c", TRDG],
            input=json.dumps(_words()),
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise ConfigError(f"LABELMINT_TRDG: cannot run {python}: {error.strerror}.") from error
    if done.returncode:
        raise ConfigError(f"LABELMINT_TRDG: {python} cannot run trdg:\n{done.stderr}")
    speed, pillow = json.loads(done.stdout.splitlines()[-1])
    return speed, pillow


def _words() -> list[str]:
    letters = np.random.default_rng(0).choice(list(ascii_letters), (IMAGES, LETTERS))
    return ["".join(word) for word in letters]
