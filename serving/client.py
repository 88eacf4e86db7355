"""A small client: ask a running service for labelled images, lines of text or work on images.

images = ask("http://127.0.0.1:8000", "digits", {"3": 20, "7": 20}, out="digits.zip")
unpack(images.path, "digits")
lines = write("http://127.0.0.1:8000", "plates", ["京A12345", "浙F8GH07"], out="plates.zip")
older = edit("http://127.0.0.1:8000", "faces", "me.jpg", {"Gray_Hair": 1.0})
"""

import base64
import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
from tqdm import tqdm

from augment.errors import DataError, RequestError
from augment.export import MANIFEST

__all__ = [
    "Box",
    "Download",
    "Picture",
    "ask",
    "edit",
    "inpaint",
    "morph",
    "reconstruct",
    "stylize",
    "super_resolve",
    "unpack",
    "wait_until_ready",
    "write",
]

TIMEOUT = httpx.Timeout(10.0, read=600.0)
"""Seconds; with read-back, drawing is done before the first byte comes."""

SEVERAL = ("labels", "texts")
"""Fields that a form holds once for each of their values."""

Picture = str | Path | bytes
"""An image file: where it is, or its bytes."""
Box = tuple[int, int, int, int] | Literal["whole"]
"""Left, top, right and bottom of a face, in pixels; or that the whole image is an aligned one."""


@dataclass(frozen=True)
class Download:
    """A zip that was received, and what the service said of it."""

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
    style: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Download:
    """Ask for labelled images and save the zip, with a progress bar.

    Args:
        url: of the service.
        model: NAME or NAME/VERSION.
        labels: label to number of images.
        out: path of the zip; it appears there once complete.
        new_identities: instead of labels, how many classes that do not exist.
        per_label: images of each of these.
        seed: left out, the service draws one.
        read_back: keep only images that read as their label; left out: yes, but of
            new identities, which no reader knows.
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
        "style": style,
    }
    return _download(url, model, "generate", out, progress, json=_given(fields))


def write(
    url: str,
    model: str,
    texts: Sequence[str] | int,
    *,
    out: str | Path,
    seed: int | None = None,
    read_back: bool | None = None,
    style: Mapping[str, Any] | None = None,
    select: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Download:
    """Ask for lines of text and save the zip; the rest as ``ask``.

    Args:
        url: of the service.
        model: NAME or NAME/VERSION.
        texts: what to write, one line each; or how many random texts.
        out: path of the zip; it appears there once complete.
        seed: left out, the service draws one.
        read_back: keep only lines that read as their text; left out: yes if it has a reader.
        style: see the service's /docs.
        select: which styles may be taken; see there too.
        progress: show the bar.
    """
    what = {"random_texts": texts} if isinstance(texts, int) else {"texts": list(texts)}
    fields = {**what, "seed": seed, "read_back": read_back, "style": style, "select": select}
    return _download(url, model, "generate", out, progress, json=_given(fields))


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
    progress: bool = True,
) -> Download:
    """Ask for texts in the style of an image and save the zip; the rest as ``write``.

    Args:
        url: of the service.
        model: NAME or NAME/VERSION.
        image: one line of text that lends its style.
        texts: what to write.
        out: path of the zip.
        image_text: what the image says, if known: then the texts stand as its text stands.
        seed: left out, the service draws one.
        read_back: keep only lines that read as their text.
        progress: show the bar.
    """
    fields = {"texts": tuple(texts), "image_text": image_text, "seed": seed, "read_back": read_back}
    parts = _form([("image", image)], fields)
    return _download(url, model, "stylize", out, progress, files=parts)


def _download(
    url: str, model: str, what: str, out: str | Path, progress: bool, **body: Any
) -> Download:
    """Post a request, save the zip that comes back and read what its headers tell."""
    out = Path(out)
    partial = out.with_name(f"{out.name}.partial")
    address, headers = _address(url, model, what), {"Accept": "application/zip"}
    with httpx.stream("POST", address, headers=headers, timeout=TIMEOUT, **body) as response:
        if response.is_error:
            raise RequestError(_message(response))
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


def inpaint(
    url: str,
    model: str,
    image: Picture,
    hole: Picture,
    *,
    label: str | None = None,
    box: Box | None = None,
    blend: str | None = None,
) -> bytes:
    """Ask to fill the hole of an image.

    Args:
        url: of the service.
        model: NAME or NAME/VERSION.
        image: what to repair.
        hole: an image of the same size, white where it is to be filled.
        label: of whom or what the image is; left out, it is estimated.
        box: of the face; left out, it is found or taken to be the whole image.
        blend: "poisson" or "none".

    Returns:
        A PNG file.

    Raises:
        RequestError: the service refused; its message.
        httpx.TransportError: the service cannot be reached.
    """
    files = [("image", image), ("mask", hole)]
    return _work(url, model, "inpaint", files, {"label": label, "box": box, "blend": blend})


def super_resolve(
    url: str,
    model: str,
    image: Picture,
    scale: int,
    *,
    label: str | None = None,
    box: Box | None = None,
) -> bytes:
    """Ask to enlarge an image by 2 or 4; the rest as ``inpaint``."""
    fields = {"scale": scale, "label": label, "box": box}
    return _work(url, model, "super-resolve", [("image", image)], fields)


def edit(
    url: str,
    model: str,
    image: Picture,
    attributes: Mapping[str, float],
    *,
    box: Box | None = None,
) -> bytes:
    """Ask to change attributes, name to strength; the rest as ``inpaint``."""
    fields = {"attributes": dict(attributes), "box": box}
    return _work(url, model, "edit", [("image", image)], fields)


def reconstruct(
    url: str, model: str, image: Picture, *, label: str | None = None, box: Box | None = None
) -> bytes:
    """Ask what the model keeps of an image; the rest as ``inpaint``."""
    return _work(url, model, "reconstruct", [("image", image)], {"label": label, "box": box})


def morph(
    url: str,
    model: str,
    images: tuple[Picture, Picture] | None = None,
    *,
    labels: tuple[str, str] | None = None,
    steps: int = 8,
    seed: int | None = None,
) -> list[bytes]:
    """Ask for the way between two images, or between two labels.

    Args:
        url: of the service.
        model: NAME or NAME/VERSION.
        images: the ends.
        labels: of the two images; without images, the ends.
        steps: images wanted, both ends included.
        seed: of all but the label, without images.

    Returns:
        PNG files, from first to last; the rest as ``inpaint``.
    """
    files = [("images", image) for image in images or ()]
    fields = {"labels": labels, "steps": steps, "seed": seed}
    answer = _work(url, model, "morph", files, fields, accept="application/json")
    return [base64.b64decode(frame) for frame in json.loads(answer)["frames"]]


def _work(
    url: str,
    model: str,
    what: str,
    files: Sequence[tuple[str, Picture]],
    fields: Mapping[str, object],
    *,
    accept: str = "image/png",
) -> bytes:
    """Post a form and return the answer's body."""
    address, headers = _address(url, model, what), {"Accept": accept}
    response = httpx.post(address, files=_form(files, fields), headers=headers, timeout=TIMEOUT)
    if response.is_error:
        raise RequestError(_message(response))
    return response.content


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _form(
    files: Sequence[tuple[str, Picture]], fields: Mapping[str, object]
) -> list[tuple[str, Any]]:
    """The parts of a form; fields that are None are left out."""
    parts: list[tuple[str, Any]] = [
        (name, (name, file if isinstance(file, bytes) else Path(file).read_bytes()))
        for name, file in files
    ]
    for name, value in _given(fields).items():
        values = value if name in SEVERAL and isinstance(value, tuple) else (value,)
        texts = [part if isinstance(part, str) else json.dumps(part) for part in values]
        parts += [(name, (None, text)) for text in texts]
    return parts


def unpack(archive: str | Path, folder: str | Path) -> list[dict[str, Any]]:
    """Unpack a zip of the service into a new folder, checking every image against the manifest.

    Args:
        archive: the zip.
        folder: a path where nothing is yet; it appears once complete.

    Returns:
        The manifest's rows, one per image.

    Raises:
        DataError: the folder exists, the zip is damaged, or an image differs from its SHA-256.
    """
    folder = Path(folder)
    if folder.exists():
        raise DataError(f"expected a new folder, but {folder} exists; choose another or remove it.")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(partial)
        rows = [
            row
            for line in (partial / MANIFEST).read_text(encoding="utf-8").splitlines()
            if "file" in (row := json.loads(line))
        ]
        for row in rows:
            if hashlib.sha256((partial / row["file"]).read_bytes()).hexdigest() != row["sha256"]:
                raise DataError(
                    f"{archive}: {row['file']} differs from its SHA-256 in the manifest; "
                    "ask for the images again."
                )
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{archive}: expected a zip with {MANIFEST} from this service, got: {error}; "
            "ask for the images again."
        ) from error
    partial.rename(folder)
    return rows


def wait_until_ready(url: str, *, timeout_s: float = 120.0) -> None:
    """Wait until the service has loaded its models.

    Raises:
        TimeoutError: it is not ready in time; what it last said.
    """
    deadline = time.monotonic() + timeout_s
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{url.rstrip('/')}/healthz", timeout=5.0)
        except httpx.TransportError as error:
            last = str(error)
        else:
            if answer.status_code == httpx.codes.OK:
                return
            last = answer.text
        time.sleep(0.2)
    raise TimeoutError(f"the service at {url} was not ready after {timeout_s:.0f} s: {last}")


def _address(url: str, model: str, what: str) -> str:
    return f"{url.rstrip('/')}/v1/models/{model}/{what}"


def _message(response: httpx.Response) -> str:
    """Return the message of a refusal, whoever sent it."""
    text = response.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered {response.status_code}: {text[:200]}"
