"""Routes that take images, one for each thing a bundle may be capable of; and their answers."""

import asyncio
import io
import json
import secrets
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from augment.images import Pixels, encode_png
from serving.accept import choose_type, joined
from serving.catalog import Catalog, Entry
from serving.codec import to_base64
from serving.fulfilment import Backend
from serving.image_requests import (
    EditRequest,
    ImageRequest,
    InpaintRequest,
    MorphRequest,
    ReconstructRequest,
    SuperResolveRequest,
    read_request,
    request_body,
)
from serving.schemas import MAX_DRAWN_SEED, ImageResponse, MorphResponse

__all__ = ["CAPABILITIES", "image_routes"]

PNG, JSON, ZIP = "image/png", "application/json", "application/zip"
Answer = Callable[[Pixels, Entry, int], bytes]
"""(n, H, W, C) images, the bundle and the seed to the body of an answer."""


def image_routes(catalog: Catalog, backend: Backend) -> APIRouter:
    """Return the routes under /v1/models/{name}/ and /v1/models/{name}/{version}/."""
    router = APIRouter(prefix="/v1/models", tags=["images"])
    for kind in REQUESTS:
        _add_route(router, kind, catalog, backend)
    return router


def _add_route(
    router: APIRouter, kind: type[ImageRequest], catalog: Catalog, backend: Backend
) -> None:
    capability = kind.task.capability
    answers, schema = (MORPH, MorphResponse) if kind is MorphRequest else (IMAGE, ImageResponse)

    async def work(name: str, request: Request, version: int | None = None) -> Response:
        wanted = await read_request(request, kind)
        entry = await asyncio.to_thread(catalog.entry, name, version)
        entry.require(capability)
        media_type = choose_type(joined(request.headers.getlist("accept")), tuple(answers))
        seed = secrets.randbelow(MAX_DRAWN_SEED) if wanted.seed is None else wanted.seed
        task = await asyncio.to_thread(wanted.decoded, entry, seed)
        images = await backend.work(task)
        body = await asyncio.to_thread(answers[media_type], images, entry, seed)
        headers = {"X-Seed": str(seed), "X-Bundle": entry.info.digest, "Vary": "Accept"}
        return Response(body, media_type=media_type, headers=headers)

    content: dict[str, Any] = {media_type: {} for media_type in answers if media_type != JSON}
    for path in ("/{name}/", "/{name}/{version:int}/"):
        router.add_api_route(
            path + capability,
            work,
            methods=["POST"],
            name=capability,
            description=kind.__doc__,
            openapi_extra=request_body(kind),
            response_class=Response,
            responses={200: {"content": content, "model": schema}},
        )


def _png(images: Pixels, entry: Entry, seed: int) -> bytes:
    """The image; of several, a strip from left to right."""
    return encode_png(np.concatenate(list(images), axis=1))


def _image_json(images: Pixels, entry: Entry, seed: int) -> bytes:
    png = to_base64(encode_png(images[0]))
    return _json(ImageResponse(png=png, **_told(images, entry, seed)))


def _morph_json(images: Pixels, entry: Entry, seed: int) -> bytes:
    frames = [to_base64(encode_png(image)) for image in images]
    return _json(MorphResponse(frames=frames, **_told(images, entry, seed)))


def _zip(images: Pixels, entry: Entry, seed: int) -> bytes:
    """A zip of frames, the same bytes for the same frames."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for index, image in enumerate(images):
            name = zipfile.ZipInfo(f"frame-{index:03d}.png")  # dated 1980
            archive.writestr(name, encode_png(image))
    return file.getvalue()


def _told(images: Pixels, entry: Entry, seed: int) -> dict[str, Any]:
    _, height, width, _ = images.shape
    told = {"model": entry.bundle, "bundle": entry.info.digest, "seed": seed}
    return {**told, "width": width, "height": height}


def _json(answer: BaseModel) -> bytes:
    return json.dumps(answer.model_dump()).encode()


REQUESTS: tuple[type[ImageRequest], ...] = (
    InpaintRequest,
    SuperResolveRequest,
    EditRequest,
    ReconstructRequest,
    MorphRequest,
)
CAPABILITIES = tuple(kind.task.capability for kind in REQUESTS)
IMAGE: dict[str, Answer] = {PNG: _png, JSON: _image_json}
"""Answers with one image by media type, the default first."""
MORPH: dict[str, Answer] = {PNG: _png, JSON: _morph_json, ZIP: _zip}
"""Answers with several."""
