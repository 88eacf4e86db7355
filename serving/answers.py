"""Answers to generation requests: a file in a trainer's layout, or JSON; the tally in headers.

With read-back the images are drawn before the first byte is sent, so that the numbers made,
kept and dropped and the shortfall stand in the headers. Without it nothing can fall short, and
zip and webdataset are sent while they are drawn; the other layouts are folders, zipped when they
are whole. No Ray.
"""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import asdict
from typing import IO, Any, TypeVar

from starlette.responses import Response, StreamingResponse

from augment.errors import RequestError
from augment.export import WRITERS, Card, FolderZip, Record, TarStream, ZipStream
from augment.generate import Tally
from serving.accept import choose_type
from serving.catalog import Entry
from serving.codec import to_base64
from serving.fulfilment import Backend, Order, draw_order
from serving.schemas import GenerateResponse, LabelledImage

__all__ = [
    "JSON",
    "TAR",
    "ZIP",
    "answer",
    "choose_format",
    "export_bytes",
    "require_kept",
    "tally_headers",
]

T = TypeVar("T")

ZIP, TAR, JSON = "application/zip", "application/x-tar", "application/json"
_ACCEPTED = {ZIP: "zip", JSON: "json", TAR: "webdataset"}
"""The format that each media type in Accept stands for; other layouts are asked for by name."""

PIECE_BYTES = 256 * 1024
"""Size of the pieces in which a finished file is sent."""
MEMORY_BYTES = 32 * 2**20
"""A finished file up to this size waits in memory, a larger one in a temporary file."""


def choose_format(accept: str | None) -> str:
    """The format that a request means by its header Accept.

    Raises:
        HTTPException: 406, nothing that there is is accepted.
    """
    return _ACCEPTED[choose_type(accept, tuple(_ACCEPTED))]


async def answer(order: Order, entry: Entry, backend: Backend, layout: str) -> Response:
    """Draw an order and answer with it.

    Args:
        order: what is asked for.
        entry: the bundle.
        backend: draws.
        layout: json, or the name of one of ``WRITERS``.

    Raises:
        LabelError: the layout cannot hold a label.
        RequestError: a file is asked for, and no image was read as its label; JSON tells that.
    """
    if layout == "json":
        return await _answer_with_json(order, entry, backend)
    if order.new_identities is None:
        labels = [order.classes[number] for number in order.counts]
        await asyncio.to_thread(WRITERS[layout].check_texts, labels)
    return await _answer_with_export(order, entry, backend, layout)


async def export_bytes(
    order: Order,
    digest: str,
    backend: Backend,
    layout: str = "zip",
    *,
    licence: str | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield an order's file, chunk by chunk; zip and webdataset while they are drawn.

    Its card tells the licence of the bundle's images; its manifest ends with a row
    {"summary": ...}: bundle, seed, and the tally with shortfall.

    Raises:
        LabelError: the layout cannot hold a label.
        RequestError: see ``require_kept``.
    """
    card = Card(
        title=f"Labelled images by {order.bundle}",
        made_by=f"Drawn by Labelmint's service from the generator bundle {order.bundle} with seed "
        f"{order.seed}.",
        licence=licence,
    )
    classes = None if order.are_texts else order.classes
    stream = _open_stream(layout, classes or None, card)
    try:
        async with aclosing(draw_order(order, backend)) as drawn:
            async for records in drawn:
                yield await _in_thread(stream.add, records)
        require_kept(order)
        summary = {"bundle": digest, **_told(order), **asdict(order.tally)}
        pieces = stream.close(summary)
        while (piece := await _in_thread(next, pieces, None)) is not None:
            yield piece
    finally:
        await _in_thread(stream.abort)


def require_kept(order: Order) -> None:
    """Refuse to answer with nothing, which would look like a data set.

    Raises:
        RequestError: no candidate was read as its label.
    """
    if order.tally.kept:
        return
    first = order.classes[min(order.counts)]
    raise RequestError(
        f"none of {order.tally.made:,} candidates with seed {order.seed} read as their label, such "
        f"as {first[:40]!r}; try another seed or style, or send read_back: false to take them "
        "unverified."
    )


async def _in_thread(function: Callable[..., T], *values: Any) -> T:
    """Call a function in a thread, and see it end even when the request is abandoned."""
    call = asyncio.ensure_future(asyncio.to_thread(function, *values))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait([call])
        raise


def _open_stream(
    layout: str, classes: tuple[str, ...] | None, card: Card
) -> ZipStream | TarStream | FolderZip:
    if layout == "zip":
        return ZipStream(classes=classes, card=card)
    if layout == "webdataset":
        return TarStream(classes=classes, card=card)
    return FolderZip(WRITERS[layout], classes=classes, card=card)


async def _answer_with_export(
    order: Order, entry: Entry, backend: Backend, layout: str
) -> Response:
    """Return a file as a streaming response; errors of the first chunk are raised here."""
    digest, licence = entry.info.digest, entry.info.licence
    pieces = export_bytes(order, digest, backend, layout, licence=licence)
    media_type = TAR if layout == "webdataset" else ZIP
    suffix = {"zip": ".zip", "webdataset": ".tar"}.get(layout, f"-{layout}.zip")
    file = f"{entry.name}-{order.seed}{suffix}"
    headers = {
        "Content-Disposition": f'attachment; filename="{file}"',
        "X-Seed": str(order.seed),
        "Vary": "Accept",
    }
    if order.read_back:
        with ExitStack() as on_error:
            spool = on_error.enter_context(tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES))
            async for piece in pieces:
                spool.write(piece)
            on_error.pop_all()  # from here on _read closes it
        headers |= tally_headers(order.tally, entry)
        headers["Content-Length"] = str(spool.tell())
        return StreamingResponse(_read(spool), media_type=media_type, headers=headers)
    first = await anext(pieces)
    headers |= tally_headers(Tally(asked := order.tally.asked, asked, asked), entry)
    body = _with_first(first, pieces)
    return StreamingResponse(body, media_type=media_type, headers=headers)


async def _answer_with_json(order: Order, entry: Entry, backend: Backend) -> Response:
    """Return the images in base64 within one JSON object."""
    images = [_image(record) async for records in draw_order(order, backend) for record in records]
    body = GenerateResponse(
        model=entry.bundle,
        bundle=entry.info.digest,
        images=images,
        **_told(order),
        **asdict(order.tally),
    )
    headers = {"X-Seed": str(order.seed), "Vary": "Accept", **tally_headers(order.tally, entry)}
    content = json.dumps(body.model_dump())
    return Response(content, media_type=JSON, headers=headers)


def _told(order: Order) -> dict[str, Any]:
    """What an answer says of its request."""
    return {
        "seed": order.seed,
        "read_back": order.read_back,
        "reader_band": order.reader_band,
        "new_identities": order.new_identities,
    }


def tally_headers(tally: Tally, entry: Entry) -> dict[str, str]:
    """Headers that tell the bundle, and how many images were asked for, made, kept and dropped."""
    return {
        "X-Bundle": entry.info.digest,
        "X-Asked": str(tally.asked),
        "X-Made": str(tally.made),
        "X-Kept": str(tally.kept),
        "X-Dropped": str(tally.dropped),
        "X-Shortfall": str(sum(tally.shortfall.values())),
    }


def _image(record: Record) -> LabelledImage:
    return LabelledImage(
        label=record.label,
        index=record.index,
        content=record.content,
        styles=record.styles,
        mix=record.mix,
        confidence=record.confidence,
        sha256=hashlib.sha256(record.png).hexdigest(),
        png=to_base64(record.png),
    )


def _read(spool: IO[bytes]) -> Iterator[bytes]:
    """Yield a finished file in pieces, then let go of it."""
    with spool:
        spool.seek(0)
        while piece := spool.read(PIECE_BYTES):
            yield piece


async def _with_first(
    first: bytes, rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece
