"""Every failure as HTTP: which status it gets, and ``{"error": {"type", "message"}}`` as body."""

import json
import logging
from collections.abc import Collection, Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from augment.errors import AugmentError, BundleError, BundleNotFoundError

__all__ = ["AdmissionGate", "BodyGuard", "error_response", "install_error_handlers"]

logger = logging.getLogger("labelmint.serving")

MAX_BODY_BYTES = 24 * 2**20
"""Largest request: room for two image files in base64."""
MAX_PATH = 1000
"""Most characters of a path: a version of thousands of digits is no number to Python."""

STATUS: dict[type[AugmentError], int] = {
    BundleNotFoundError: 404,
    BundleError: 409,  # the bundle in the registry is at fault, not the request
    AugmentError: 422,
}
"""HTTP status of our own errors: that of the nearest class."""
TYPES = {
    400: "MalformedRequestError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    406: "NotAcceptableError",
    411: "LengthRequiredError",
    413: "RequestTooLargeError",
    414: "PathTooLongError",
    415: "UnsupportedMediaTypeError",
    422: "RequestError",
    500: "InternalError",
    503: "BusyError",
}
"""Error type by HTTP status, where no class of augment.errors stands for it."""


def error_response(
    status: int,
    message: str,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as JSON in ASCII, since a message may quote text that is no valid UTF-8.

    Args:
        status: HTTP status.
        message: what was expected, what came, what to do.
        kind: the error's type; left out, that of the status.
        headers: what else to send; a 503 says when to try again.
    """
    detail = {"type": kind or TYPES.get(status, "HttpError"), "message": message}
    headers = {**(headers or {}), **({"Retry-After": "1"} if status == 503 else {})}
    return Response(json.dumps({"error": detail}), status, headers, "application/json")


def install_error_handlers(app: FastAPI) -> None:
    """Answer every exception of the routes with a JSON error."""

    @app.exception_handler(AugmentError)
    async def on_own_error(_: Request, error: AugmentError) -> Response:
        return _own_error(error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid_request(_: Request, error: RequestValidationError) -> Response:
        return _invalid_request(error)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400 and error.__cause__ is not None:  # FastAPI's, of a body
            return _unreadable(error.__cause__)
        message = f"{error.detail} ({request.method} {request.url.path}); see /docs."
        return error_response(error.status_code, message, headers=error.headers)

    @app.exception_handler(Exception)
    async def on_anything_else(_: Request, error: Exception) -> Response:
        logger.error("request failed", exc_info=error)
        return error_response(500, "the service failed on this request; its log has the cause.")


def _own_error(error: AugmentError) -> Response:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return error_response(status, str(error), type(error).__name__)


def _invalid_request(error: RequestValidationError) -> Response:
    """Say what is wrong with a body, in our own words where a validator of ours refused it."""
    problems = error.errors()
    for problem in problems:
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, AugmentError):
            return _own_error(cause)
        if problem["type"] == "json_invalid":
            return _unreadable(problem.get("ctx", {}).get("error", "unreadable"))
    message = "; ".join(
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems[:5]
    )
    return error_response(422, f"{message}; see /docs for what may be sent.")


def _unreadable(reason: object) -> Response:
    return error_response(
        400, f"expected a JSON body, got text that does not parse ({reason}); correct it."
    )


class AdmissionGate:
    """Lets so many requests in at a time, each until its answer is sent, and turns others away."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        """Let ``limit`` of ``app``'s POST requests in at a time: all work is asked for by these."""
        self.app, self.limit, self.inside = app, limit, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 503 before its body is read."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
        elif self.inside >= self.limit:
            told = f"{self.limit} requests are under way already; try again."
            await error_response(503, told)(scope, receive, send)
        else:
            self.inside += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.inside -= 1


class BodyGuard:
    """Refuses long paths, and bodies of another kind, too large, or of unknown length."""

    def __init__(self, app: ASGIApp, *, forms: Collection[str]) -> None:
        """Guard ``app``; paths that end in one of ``forms`` take forms beside JSON."""
        self.app, self.forms = app, forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 411, 413, 414 or 415 before its body is read."""
        refusal = None
        if scope["type"] == "http" and len(scope["path"]) > MAX_PATH:
            refusal = error_response(
                414, f"a path may have up to {MAX_PATH:,} characters, got {len(scope['path']):,}."
            )
        elif scope["type"] == "http" and scope["method"] == "POST":
            kinds = ["application/json"]
            if scope["path"].rpartition("/")[2] in self.forms:
                kinds.append("multipart/form-data")
            refusal = _refusal(scope, kinds)
        await (refusal or self.app)(scope, receive, send)


def _refusal(scope: Scope, kinds: list[str]) -> Response | None:
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    kind = headers.get("content-type", "none").partition(";")[0].strip().lower()
    if kind not in kinds:
        return error_response(
            415, f"expected Content-Type {' or '.join(kinds)}, got {kind!r}; set the header."
        )
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return error_response(411, "expected a Content-Length header; send the body in one piece.")
    if int(length) > MAX_BODY_BYTES:
        return error_response(
            413,
            f"a request may have up to {MAX_BODY_BYTES:,} bytes, got {length}; "
            "use fewer or smaller images.",
        )
    return None
