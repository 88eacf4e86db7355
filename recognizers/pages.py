"""Pages that are one file without any outside resource: their templates and pictures."""

import base64
from pathlib import Path

import jinja2

from augment.images import Pixels, encode_png, tile
from recognizers.report_parts import percent, words

__all__ = ["page_environment"]


def page_environment() -> jinja2.Environment:
    """The templates beside this file, with filters that put pictures into a page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "words": words,
        "png": _png_uri,
        "strip": _strip_uri,
        "svg": _svg_uri,
    }
    return environment


def _png_uri(image: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()


def _strip_uri(images: Pixels) -> str:
    """(n, H, W, C) images side by side, as one picture."""
    return _png_uri(tile(images, len(images), gap=1))


def _svg_uri(document: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(document.encode()).decode()
