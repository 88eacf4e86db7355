"""What all calls of the service share: addresses, forms and refusals."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

__all__ = [
    "TIMEOUT",
    "Picture",
    "address_of",
    "form_of",
    "given",
    "message_of",
    "wait_until_ready",
]

TIMEOUT = httpx.Timeout(10.0, read=600.0)
"""Seconds; with read-back, drawing is done before the first byte comes."""

SEVERAL = ("labels", "texts")
"""Fields that a form holds once for each of their values."""

Picture = str | Path | bytes
"""An image file: where it is, or its bytes."""


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


def address_of(url: str, model: str, what: str) -> str:
    """Return where to ask a model, NAME or NAME/VERSION, for something."""
    return f"{url.rstrip('/')}/v1/models/{model}/{what}"


def message_of(response: httpx.Response) -> str:
    """Return the message of a refusal, whoever sent it."""
    text = response.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered {response.status_code}: {text[:200]}"


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def form_of(
    files: Sequence[tuple[str, Picture]], fields: Mapping[str, object]
) -> list[tuple[str, Any]]:
    """Return the parts of a form; fields that are None are left out."""
    parts: list[tuple[str, Any]] = [
        (name, (name, file if isinstance(file, bytes) else Path(file).read_bytes()))
        for name, file in files
    ]
    for name, value in given(fields).items():
        values = value if name in SEVERAL and isinstance(value, tuple) else (value,)
        texts = [part if isinstance(part, str) else json.dumps(part) for part in values]
        parts += [(name, (None, text)) for text in texts]
    return parts
