"""Ask for labelled images and lines of text; a file is saved, with a progress bar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from augment.errors import RequestError
from serving.client.calls import TIMEOUT, Picture, address_of, form_of, given, message_of

__all__ = ["Download", "ask", "stylize", "write"]


@dataclass(frozen=True)
class Download:
    """A file that was received, and what the service said of it."""

    path: Path
    seed: int
    asked: int
    made: int
    kept: int
    dropped: int
    shortfall: int


def ask(
    url: str,
    model: str,
    labels: Mapping[str, int] | None = None,
    *,
    out: str | Path,
    new_identities: int | None = None,
    per_label: int | None = None,
    seed: int | None = None,
    read_back: bool | None = None,
    reader_band: tuple[float, float] | None = None,
    format: str = "zip",
    style: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Download:
    """Ask for labelled images and save the file, with a progress bar.

    Args:
        url: of the service.
        model: NAME or NAME/VERSION.
        labels: label to number of images.
        out: path of the file; it appears there once complete.
        new_identities: instead of labels, how many classes that do not exist.
        per_label: images of each of these.
        seed: left out, the service draws one.
        read_back: keep only images that read as their label; left out: yes, but of
            new identities, which no reader knows.
        reader_band: the least and the greatest confidence of the reader that are kept, both in
            [0, 1]; left out: the reader's own.
        format: zip, webdataset, or another layout that ``jobs.generate --format`` writes, in a zip.
        style: see the service's /docs.
        progress: show the bar.

    Raises:
        RequestError: the service refused; its message.
        httpx.TransportError: the service cannot be reached, or broke off.
    """
    fields = {
        "labels": labels,
        "new_identities": new_identities,
        "per_label": per_label,
        "seed": seed,
        "read_back": read_back,
        "reader_band": reader_band,
        "format": format,
        "style": style,
    }
    return _download(url, model, "generate", out, progress, json=given(fields))


def write(
    url: str,
    model: str,
    texts: Sequence[str] | Mapping[str, int] | int,
    *,
    out: str | Path,
    seed: int | None = None,
    read_back: bool | None = None,
    reader_band: tuple[float, float] | None = None,
    format: str = "zip",
    style: Mapping[str, Any] | None = None,
    select: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Download:
    """Ask for lines of text and save the file; the rest as ``ask``.

    Args:
        url: of the service.
        model: NAME or NAME/VERSION.
        texts: what to write, one line each; how many lines of each text; or how many random
            texts.
        out: path of the file; it appears there once complete.
        seed: left out, the service draws one.
        read_back: keep only lines that read as their text; left out: yes if it has a reader.
        reader_band: which confidences of the reader are kept; as ``ask``.
        format: layout of the file; as ``ask``.
        style: see the service's /docs.
        select: which styles may be taken; see there too.
        progress: show the bar.
    """
    listed = texts if isinstance(texts, int | Mapping) else list(texts)
    fields = {
        "random_texts" if isinstance(texts, int) else "texts": listed,
        "seed": seed,
        "read_back": read_back,
        "reader_band": reader_band,
        "format": format,
        "style": style,
        "select": select,
    }
    return _download(url, model, "generate", out, progress, json=given(fields))


def stylize(
    url: str,
    model: str,
    image: Picture,
    texts: Sequence[str],
    *,
    out: str | Path,
    image_text: str | None = None,
    seed: int | None = None,
    read_back: bool | None = None,
    reader_band: tuple[float, float] | None = None,
    format: str = "zip",
    progress: bool = True,
) -> Download:
    """Ask for texts in the style of an image and save the file; the rest as ``write``.

    Args:
        url: of the service.
        model: NAME or NAME/VERSION.
        image: one line of text that lends its style.
        texts: what to write.
        out: path of the file.
        image_text: what the image says, if known: then the texts stand as its text stands.
        seed: left out, the service draws one.
        read_back: keep only lines that read as their text.
        reader_band: which confidences of the reader are kept; as ``ask``.
        format: layout of the file; as ``ask``.
        progress: show the bar.
    """
    fields = {
        "texts": tuple(texts),
        "image_text": image_text,
        "seed": seed,
        "read_back": read_back,
        "reader_band": reader_band,
        "format": format,
    }
    parts = form_of([("image", image)], fields)
    return _download(url, model, "stylize", out, progress, files=parts)


def _download(
    url: str, model: str, what: str, out: str | Path, progress: bool, **body: Any
) -> Download:
    """Post a request, save the file that comes back and read what its headers tell."""
    out = Path(out)
    partial = out.with_name(f"{out.name}.partial")
    address = address_of(url, model, what)
    with httpx.stream("POST", address, timeout=TIMEOUT, **body) as response:
        if response.is_error:
            raise RequestError(message_of(response))
        size = int(response.headers.get("Content-Length", 0)) or None
        bar = tqdm(total=size, unit="B", unit_scale=True, desc=model, disable=not progress)
        with bar, partial.open("wb") as file:
            for piece in response.iter_bytes():
                file.write(piece)
                bar.update(len(piece))
    partial.replace(out)
    told = {
        name: int(response.headers[f"X-{name}"])
        for name in ("seed", "asked", "made", "kept", "dropped", "shortfall")
    }
    return Download(path=out, **told)
