"""Bundles of lines with their first weights, a reader of known answers, and request forms."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from augment.bundle import Registry
from augment.config import with_overrides
from augment.data.layouts import load_layout
from augment.data.line_pairs import LineData
from augment.data.lines import draw_contents, line_width
from augment.data.texts import TextImages
from augment.generators.base import write_bundle
from augment.generators.line_reading import Judged
from augment.generators.line_saae import CONFIGS, shape_for
from augment.images import Pixels, decode_image, encode_png
from recognizers.charset import PLATES_CN, WORDS
from recognizers.scene_text import TextConfig, TextRecognizer
from recognizers.text_reader import CrossFittedTextReader, save_text_reader
from serving.models import LoadedModel, load_model
from serving.schemas import ServeArguments

LITTLE = TextConfig(width=4, hidden=4)
TEXTS = {"plates-cn": ("京A12345", "浙F8GH07"), "words": ("Open", "Hotel", "Street")}


class KnownReader:
    """Misreads images of an odd sum; is as sure of the others as they are dark."""

    band = (0.0, 1.0)

    def judge(
        self,
        images: Sequence[Pixels],
        texts: Sequence[str],
        folds: np.ndarray | None = None,
        bands: np.ndarray | None = None,
    ) -> Judged:
        sums = np.array([int(image.sum()) for image in images])
        dark = np.array([1 - image.mean() / 255 for image in images], np.float32)
        low, high = np.float32(self.band) if bands is None else bands.T
        return Judged((sums % 2 == 0) & (dark >= low) & (dark <= high), dark)


def load_line_model(folder: Path, arguments: ServeArguments, finder: Any = None) -> LoadedModel:
    model = load_model(folder, arguments, finder)
    return replace(model, line_reader=model.line_reader and KnownReader())


def publish_lines(
    root: Path, scratch: Path, layout_name: str, name: str, reads: str | None = None
) -> None:
    layout, images = load_layout(layout_name), []
    for number, text in enumerate(TEXTS[layout_name]):
        width = line_width(text) if layout.is_free else 96
        ink = draw_contents([text], layout, size=(32, width), looks=[0])[0]
        images.append(np.maximum(ink, np.array([20, 60, 200 - 40 * number], np.uint8)))
    lines = TextImages.from_images(images, TEXTS[layout_name], sources=["road"] * len(images))
    data = LineData.select(lines, layout, shape_for(layout))
    config = with_overrides(CONFIGS["labelmint"], ["model.width=4", "model.discriminator_width=4"])
    if reads is not None:
        charset = {"plates": PLATES_CN, "words": WORDS}[reads]
        member = TextRecognizer(charset, config=LITTLE).eval()
        save_text_reader(scratch / name / "reader", CrossFittedTextReader([member], data.shape))
    write_bundle(scratch / name, config.build_model(data).eval(), data, config)
    Registry(root).publish(name, scratch / name)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def form(texts: list[str], image: np.ndarray | None = None, **fields: str) -> dict[str, Any]:
    pixels = np.full((40, 120, 3), 90, np.uint8) if image is None else image
    return {
        "files": {"image": ("style.png", encode_png(pixels), "image/png")},
        "data": {"texts": texts, **fields},
    }


def images_of(answer: httpx.Response) -> dict[tuple[str, int], np.ndarray]:
    """The images of a JSON answer by text and index."""
    assert answer.status_code == 200, answer.text
    return {
        (image["label"], image["index"]): decode_image(base64.b64decode(image["png"]), channels=3)
        for image in answer.json()["images"]
    }
