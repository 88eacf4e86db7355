"""Answers to generation requests: a streamed zip or tar, or JSON; the tally in the headers.

With read-back the images are drawn before the first byte is sent, so that the numbers made,
kept and dropped and the shortfall stand in the headers. Without it nothing can fall short,
and the file is sent while it is drawn. No Ray.
"""

import hashlib
import json
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import asdict
from typing import IO, Any

from starlette.responses import Response, StreamingResponse

from augment.export import Card, Record, TarStream, ZipStream
from augment.generate import Tally
from serving.catalog import Entry
from serving.codec import to_base64
from serving.fulfilment import Backend, Order, draw_order
from serving.schemas import GenerateResponse, LabelledImage

__all__ = [
    "FORMATS",
    "JSON",
    "STREAMS",
    "TAR",
    "ZIP",
    "answer_with_export",
    "answer_with_json",
    "export_bytes",
    "tally_headers",
]

ZIP, TAR, JSON = "application/zip", "application/x-tar", "application/json"
FORMATS = {"zip": ZIP, "webdataset": TAR, "json": JSON}
"""Media type of each format that a request may name."""

PIECE_BYTES = 256 * 1024
"""Size of the pieces in which a finished file is sent."""
MEMORY_BYTES = 32 * 2**20
"""A finished file up to this size waits in memory, a larger one in a temporary file."""


STREAMS: dict[str, type[ZipStream] | type[TarStream]] = {ZIP: ZipStream, TAR: TarStream}
"""What makes the files that are streamed, by media type."""
_SUFFIXES = {ZIP: "zip", TAR: "tar"}


async def export_bytes(
    order: Order,
    digest: str,
    backend: Backend,
    media_type: str = ZIP,
    *,
    licence: str | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield an order's file, one of STREAMS, chunk by chunk, while it is drawn.

    Its card tells the licence of the bundle's images; its manifest ends with a row
    {"summary": ...}: bundle, seed, and the tally with shortfall.
    """
    card = Card(
        title=f"Labelled images by {order.bundle}",
        made_by=f"Drawn by Labelmint's service from the generator bundle {order.bundle} with seed "
        f"{order.seed}.",
        licence=licence,
    )
    classes = None if order.are_texts else order.classes
    stream = STREAMS[media_type](classes=classes or None, card=card)
    try:
        async with aclosing(draw_order(order, backend)) as drawn:
            async for records in drawn:
                yield stream.add(records)
        summary = {"bundle": digest, **_told(order), **asdict(order.tally)}
        for piece in stream.close(summary):
            yield piece
    finally:
        stream.abort()


async def answer_with_export(
    order: Order, entry: Entry, backend: Backend, media_type: str
) -> Response:
    """Return one of STREAMS as a streaming response; errors of the first chunk are raised here."""
    digest, licence = entry.info.digest, entry.info.licence
    pieces = export_bytes(order, digest, backend, media_type, licence=licence)
    file = f"{entry.name}-{order.seed}.{_SUFFIXES[media_type]}"
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


async def answer_with_json(order: Order, entry: Entry, backend: Backend) -> Response:
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
