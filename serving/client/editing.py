"""Ask for work on images: each answer is a PNG file, or several."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Literal

import httpx

from augment.errors import RequestError
from serving.client.calls import TIMEOUT, Picture, address_of, form_of, message_of

__all__ = ["Box", "edit", "inpaint", "morph", "reconstruct", "super_resolve"]

Box = tuple[int, int, int, int] | Literal["whole"]
"""Left, top, right and bottom of a face, in pixels; or that the whole image is an aligned one."""


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
    address, headers = address_of(url, model, what), {"Accept": accept}
    response = httpx.post(address, files=form_of(files, fields), headers=headers, timeout=TIMEOUT)
    if response.is_error:
        raise RequestError(message_of(response))
    return response.content
