"""OTLP over HTTP: ``POST /v1/metrics`` and ``/v1/logs``, in protobuf and in JSON.

A reply has its request's content type; an error's body is ``google.rpc.Status``.  The only 5xx is 503 with
Retry-After: a 500 would make clients drop their data.  ``/v1/traces`` answers 404, the protocol's "not
supported".  Whatever else is served (health, metrics) comes through ``extra_routes``.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final, Literal

import grpc
from fastapi import APIRouter, FastAPI
from google.protobuf.message import Message
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from collector.budget import Budget, Holding
from collector.errors import RequestError, TooLarge, TryLater, Unsupported, UnsupportedMedia
from collector.http_body import read_body
from collector.inflate import Encoding, inflate_held
from collector.ingest import Ingest, Outcome, Signal
from collector.otlp_json import Converted, to_protobuf
from collector.replies import OnRefusal, as_json, ignore_refusal, refusal, status_of, success
from collector.shape import check_shape

Media = Literal["application/x-protobuf", "application/json"]

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

MAX_JSON_BYTES: Final = 16 << 20
"""Our choice: JSON takes up to 25 times its length as Python objects, and machines send little of it."""
_JSON_INLINE_BYTES: Final = 16_384
"""Longer JSON takes over a millisecond to convert, so it is converted in a thread, one request at a time."""
_JSON_TURN_S: Final = 5.0
"""What a request waits for that; after it, its client is told to try later."""

_ENCODINGS: Final[dict[str, Encoding | None]] = {
    "": None,
    "identity": None,
    "gzip": "gzip",
    "x-gzip": "gzip",
    "deflate": "deflate",
}
_STATUS_CODES: Final = {404: grpc.StatusCode.NOT_FOUND, 405: grpc.StatusCode.UNIMPLEMENTED}


def _media(request: Request) -> Media | None:
    """The content type, if it is one of OTLP's."""
    essence, *parameters = request.headers.get("content-type", "").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in {"utf-8", "utf8", "us-ascii"}:
            return None
    match essence.strip():
        case "application/x-protobuf":
            return PROTOBUF
        case "application/json":
            return JSON
        case _:
            return None


def _encoding(request: Request) -> Encoding | None:
    """The compression of the body, None for none.

    Raises:
        UnsupportedMedia: it is not one that we take.
    """
    name = request.headers.get("content-encoding", "").strip().lower()
    if name not in _ENCODINGS:
        raise UnsupportedMedia(f"Content-Encoding {name:.40}: expected gzip, deflate or identity")
    return _ENCODINGS[name]


def _response(
    request: Request, message: Message, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    media = _media(request) or JSON
    content = message.SerializeToString() if media == PROTOBUF else as_json(message)
    return Response(content, status, headers, media)


def _refused(request: Request, signal: str, error: Exception, *, close: bool = False) -> Response:
    told = refusal(error, transport="http", signal=signal)
    headers = {}
    if told.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(told.retry_after_s)))
    if told.http_status == 415:
        headers["Accept-Encoding"] = "gzip, deflate"  # RFC 9110, section 12.5.3
    if close:
        headers["Connection"] = "close"
    return _response(request, told.status, told.http_status, headers)


@dataclass(frozen=True, slots=True)
class _Exporter:
    """The path of one signal."""

    signal: Signal
    ingest: Ingest
    budget: Budget
    max_bytes: int
    max_json_bytes: int
    body_timeout_s: float
    json_turn: asyncio.Semaphore
    on_refusal: OnRefusal

    async def export(self, request: Request) -> Response:
        """Answer one request, after the commit."""
        refused_here = True
        try:
            with self.budget.hold() as holding:
                converted = await self._converted(request, holding)
                check_shape(self.signal, converted.body)
                refused_here = False
                outcome = await self.ingest.export(self.signal, converted.body)
            if converted.warning:
                message = f"{outcome.message}; {converted.warning}" if outcome.message else converted.warning
                outcome = Outcome(outcome.rejected, message)
            return _response(request, success(self.signal, outcome))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody receives it
        except Exception as error:  # noqa: BLE001  (whatever fails, the client must be told to keep its data)
            if refused_here and isinstance(error, RequestError):
                self.on_refusal(self.signal, error)
            unread = refused_here and isinstance(error, TooLarge | TryLater)
            return _refused(request, self.signal, error, close=unread)

    async def _converted(self, request: Request, holding: Holding) -> Converted:
        """The request in protobuf, inflated."""
        media = _media(request)
        if media is None:
            raise UnsupportedMedia(f"expected Content-Type {PROTOBUF}, or {JSON} in UTF-8")
        encoding = _encoding(request)
        limit_bytes = self.max_bytes if media == PROTOBUF else self.max_json_bytes
        body = await read_body(request, limit_bytes, holding, self.body_timeout_s)
        if encoding is not None:
            compressed_bytes = len(body)
            body = await inflate_held(body, encoding, limit_bytes, holding)
            holding.shrink(compressed_bytes)
        if media == PROTOBUF:
            return Converted(body, "")
        if len(body) <= _JSON_INLINE_BYTES:
            return to_protobuf(self.signal, body)
        try:
            async with asyncio.timeout(_JSON_TURN_S):
                await self.json_turn.acquire()
        except TimeoutError:
            retry_after_s = self.budget.retry_after_s
            raise TryLater("other JSON requests are being read; send it again", retry_after_s) from None
        try:
            return await asyncio.to_thread(to_protobuf, self.signal, body)
        finally:
            self.json_turn.release()


def create_app(
    ingest: Ingest,
    *,
    max_bytes: int,
    budget: Budget,
    max_json_bytes: int = MAX_JSON_BYTES,
    body_timeout_s: float = 30.0,
    on_refusal: OnRefusal = ignore_refusal,
    extra_routes: APIRouter | None = None,
) -> FastAPI:
    """The ASGI application.

    ``max_bytes`` bounds a body before and after decompression, and ``max_json_bytes`` one in JSON further.
    ``budget`` bounds all bodies together; give the gRPC server the same one.  Run it with
    ``http=service.http_head.HeadGuard`` in uvicorn's configuration, which bounds the headers.
    """
    app = FastAPI(title="Tally collector", openapi_url=None, redirect_slashes=False)
    json_turn = asyncio.Semaphore(1)
    signals: tuple[Signal, ...] = ("metrics", "logs")
    for signal in signals:
        exporter = _Exporter(
            signal,
            ingest,
            budget,
            max_bytes=max_bytes,
            max_json_bytes=min(max_bytes, max_json_bytes),
            body_timeout_s=body_timeout_s,
            json_turn=json_turn,
            on_refusal=on_refusal,
        )
        app.add_route(f"/v1/{signal}", exporter.export, methods=["POST"])

    async def traces(request: Request) -> Response:
        error = Unsupported("this collector takes metrics and logs, not traces")
        on_refusal("traces", error)
        return _refused(request, "traces", error)

    app.add_route("/v1/traces", traces, methods=["POST"])
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)
    if extra_routes is not None:
        app.include_router(extra_routes)
    return app


async def _http_exception(request: Request, error: Exception) -> Response:
    """No such path or method, in the words of the protocol."""
    assert isinstance(error, HTTPException)
    code = _STATUS_CODES.get(error.status_code, grpc.StatusCode.UNKNOWN)
    return _response(request, status_of(code, error.detail), error.status_code, dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> Response:
    """The last resort, for paths that are not OTLP's."""
    return _refused(request, request.url.path, error)
