"""A small client: ask a running service for labelled images, and unpack them.

images = ask("http://127.0.0.1:8000", "digits", {"3": 20, "7": 20}, out="digits.zip")
unpack(images.path, "digits")
"""

import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from augment.errors import DataError, RequestError
from augment.export import MANIFEST

__all__ = ["Download", "ask", "unpack", "wait_until_ready"]

TIMEOUT = httpx.Timeout(10.0, read=600.0)
"""Seconds; with read-back, drawing is done before the first byte comes."""


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
    labels: Mapping[str, int],
    *,
    out: str | Path,
    seed: int | None = None,
    read_back: bool = True,
    style: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Download:
    """Ask for labelled images and save the zip, with a progress bar.

    Args:
        url: of the service.
        model: NAME or NAME/VERSION.
        labels: label to number of images.
        out: path of the zip; it appears there once complete.
        seed: left out, the service draws one.
        read_back: keep only images that read as their label.
        style: see the service's /docs.
        progress: show the bar.

    Raises:
        RequestError: the service refused; its message.
        httpx.TransportError: the service cannot be reached, or broke off.
    """
    body: dict[str, Any] = {"labels": dict(labels), "read_back": read_back}
    body |= {} if seed is None else {"seed": seed}
    body |= {} if style is None else {"style": dict(style)}
    out = Path(out)
    partial = out.with_name(f"{out.name}.partial")
    address = f"{url.rstrip('/')}/v1/models/{model}/generate"
    with httpx.stream("POST", address, json=body, timeout=TIMEOUT) as response:
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


def _message(response: httpx.Response) -> str:
    """Return the message of a refusal, whoever sent it."""
    text = response.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered {response.status_code}: {text[:200]}"
