"""Lines of text: orders of texts, and the route that writes texts in the style of an image."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator

from augment.errors import RequestError
from augment.generate import Style
from augment.generators.line_form import LineForm
from augment.generators.line_sampler import LineStyle
from augment.generators.line_styles import StyleSelection
from serving.accept import choose_type, joined
from serving.answers import (
    JSON,
    TAR,
    ZIP,
    answer,
    choose_format,
    require_kept,
    tally_headers,
)
from serving.catalog import Catalog, Entry
from serving.codec import decode_upload
from serving.fulfilment import Backend, Order, draw_order
from serving.generation import StyleSource
from serving.image_requests import FormRequest, ImageFile, read_request, request_body
from serving.reading import ReaderBand, check_reader_band
from serving.schemas import (
    FORMAT_HELP,
    MAX_DRAWN_SEED,
    MAX_IMAGES,
    MAX_TEXT,
    Format,
    GenerateRequest,
    GenerateResponse,
)

__all__ = ["LINE_FORMS", "StylizeRequest", "line_order", "line_routes"]

LINE_FORMS = ("stylize",)
"""Routes that take forms."""
PNG = "image/png"


class StylizeRequest(FormRequest):
    """Write texts in the style of an image."""

    image: ImageFile = Field(description="One line of text that lends its style.")
    image_text: str | None = Field(
        None,
        max_length=MAX_TEXT,
        description="What the image says, if known: then the texts stand as its text stands, "
        "otherwise upright.",
    )
    texts: list[Annotated[str, Field(strict=True, max_length=MAX_TEXT)]] = Field(
        min_length=1,
        max_length=MAX_IMAGES,
        description="What to write, one image each; a text may come several times.",
    )
    format: Format | Literal["png"] | None = Field(
        None, description=f"png: a single text. {FORMAT_HELP}"
    )
    read_back: bool | None = Field(
        None,
        description="Keep only lines that the bundle's reader reads as their text; left out: yes "
        "if it has one.",
    )
    reader_band: ReaderBand = None

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        check_reader_band(self.reader_band, self.read_back)
        return self


async def line_order(
    request: GenerateRequest, entry: Entry, style: Style | LineStyle | None
) -> Order:
    """Check a request for texts against its bundle.

    Raises:
        RequestError: the bundle writes no lines, or cannot write one of the texts.
    """
    entry.require("texts")
    seed = _seed(request.seed)
    selection = None
    if request.select is not None:
        chosen = request.select
        sources = tuple(dict.fromkeys(chosen.sources))
        colours = tuple(dict.fromkeys(chosen.colours))
        selection = StyleSelection(sources, colours, chosen.brightness, chosen.sharpness)
    texts: Sequence[str] = request.texts or ()
    if request.random_texts is not None:
        form = LineForm.of(entry.info)
        texts = await asyncio.to_thread(form.random_texts, request.random_texts, seed)
    return await asyncio.to_thread(_order_of, texts, entry, seed, request, style, selection)


def line_routes(catalog: Catalog, backend: Backend) -> APIRouter:
    """Return the routes under /v1/models/{name}/ and /v1/models/{name}/{version}/."""
    router = APIRouter(prefix="/v1/models", tags=["lines"])

    async def stylize(name: str, request: Request, version: int | None = None) -> Response:
        wanted = await read_request(request, StylizeRequest)
        entry = await asyncio.to_thread(catalog.entry, name, version)
        entry.require("stylize")
        layout = _layout(wanted, joined(request.headers.getlist("accept")))
        order = await _stylize_order(wanted, entry, backend)
        if layout == "png":
            response = await _answer_with_png(order, entry, backend)
        else:
            response = await answer(order, entry, backend, layout)
        response.headers["Vary"] = "Accept"
        return response

    for path in ("/{name}/stylize", "/{name}/{version:int}/stylize"):
        router.add_api_route(
            path,
            stylize,
            methods=["POST"],
            name="stylize",
            description=StylizeRequest.__doc__,
            openapi_extra=request_body(StylizeRequest),
            response_class=Response,
            responses={200: {"content": {ZIP: {}, TAR: {}, PNG: {}}, "model": GenerateResponse}},
        )
    return router


def _layout(wanted: StylizeRequest, accept: str | None) -> str:
    """What to answer with: png, or as for ``answer``.

    Raises:
        RequestError: one image is asked for, and several texts.
        HTTPException: 406, nothing that there is is accepted.
    """
    count = len(wanted.texts)
    if wanted.format is None:
        if count == 1 and choose_type(accept, (ZIP, JSON, TAR, PNG)) == PNG:
            return "png"
        return choose_format(accept)
    if wanted.format == "png" and count > 1:
        raise RequestError(
            f"format png is one image, expected one text for it, got {count}; "
            "ask for zip, webdataset or json."
        )
    return wanted.format


async def _stylize_order(wanted: StylizeRequest, entry: Entry, backend: Backend) -> Order:
    """Check texts and image; the style is encoded before anything is written."""
    seed = _seed(wanted.seed)
    order = await asyncio.to_thread(_order_of, wanted.texts, entry, seed, wanted)
    if wanted.image_text is not None:
        form = LineForm.of(entry.info)
        await asyncio.to_thread(_check_text, wanted.image_text, form, "image_text")
    channels = entry.info.channels
    image = await asyncio.to_thread(decode_upload, wanted.image, channels=channels, name="image")
    source = StyleSource(entry.bundle, images=(image,), texts=(wanted.image_text,))
    order.style = await backend.style(source)
    return order


async def _answer_with_png(order: Order, entry: Entry, backend: Backend) -> Response:
    """The one image of an order.

    Raises:
        RequestError: no candidate read as its text.
    """
    records = [record async for part in draw_order(order, backend) for record in part]
    require_kept(order)
    headers = {"X-Seed": str(order.seed), **tally_headers(order.tally, entry)}
    return Response(records[0].png, media_type=PNG, headers=headers)


def _order_of(
    texts: Sequence[str],
    entry: Entry,
    seed: int,
    request: GenerateRequest | StylizeRequest,
    style: Style | LineStyle | None = None,
    select: StyleSelection | None = None,
) -> Order:
    """An order of texts that the bundle can write, each as often as it comes.

    Unless the request says so, they are read back where the bundle has a reader.
    """
    if request.reader_band is not None:
        entry.require_reader("reader_band")
    form = LineForm.of(entry.info)
    counts: dict[str, int] = {}
    widths: dict[str, int] = {}
    for number, text in enumerate(texts):
        if text not in counts:
            widths[text] = _check_text(text, form, f"texts[{number}]")
        counts[text] = counts.get(text, 0) + 1
    return Order(
        bundle=entry.bundle,
        classes=tuple(counts),
        counts=dict(enumerate(counts.values())),
        seed=seed,
        read_back=entry.has_reader if request.read_back is None else request.read_back,
        reader_band=request.reader_band,
        style=style,
        widths=tuple(widths.values()),
        select=select,
    )


def _check_text(text: str, form: LineForm, name: str) -> int:
    """The width of a line; a text that the bundle cannot write is refused by its name."""
    try:
        return form.width_of(text)
    except RequestError as error:
        raise RequestError(f"{name}: {error}") from error


def _seed(given: int | None) -> int:
    return secrets.randbelow(MAX_DRAWN_SEED) if given is None else given
