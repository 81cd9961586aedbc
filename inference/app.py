"""The HTTP application: routes, and what every error looks like.

A body of status 400 or more is ``{"error": {"reason", "message", "details"}}``; nothing that a caller sends
is a 500.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from inference.access import Principals
from inference.errors import BadInput, Conflict, InferenceError, NotAllowed, NotFound, Unavailable
from inference.metrics import InferenceMetrics
from inference.routes.bodies import Failed, Problem, failed

MAX_BODY_BYTES: Final = 4 << 20
"""A thousand items with long URLs or some dozens of readings fit; photos are fetched, never sent."""
_BODY_S: Final = 15.0
"""Our choice; what comes slower only holds a connection."""
_STATUS: Final[tuple[tuple[type[InferenceError], int], ...]] = (
    (BadInput, 422),
    (NotFound, 404),
    (NotAllowed, 403),
    (Conflict, 409),
    (Unavailable, 503),
)
_WORDS: Final = {
    401: ("not_authenticated", "send a token that somebody holds, as Authorization: Bearer TOKEN"),
    400: ("invalid_request", "the body is no JSON that can be read"),
    404: ("no_such_path", "there is nothing at this path; /docs lists what there is"),
    408: ("body_too_slow", f"the body did not come within {_BODY_S:g} seconds: send it at once"),
    405: ("wrong_method", "this path does not take that method; /docs lists what there is"),
}
_ABOUT: Final = """Classifies deposited items from a photo or from sensor readings.

Every answer is on record before it leaves: an event in a durable outbox, which becomes a row of the
hash-chained ledger. Models are governed by the ledger too: what is promoted there is what answers here.

Send a token with every request: **Authorize** takes it for this page."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = structlog.get_logger("inference.app")


class BodyLimit:
    """Refuses a body over ``MAX_BODY_BYTES``, by its declared length or as soon as it has come.

    One that takes longer than ``body_s`` seconds is refused too.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        principals: Principals,
        *,
        body_s: float = _BODY_S,
    ) -> None:
        self._app = app
        self._principals = principals
        self._body_s = body_s

    def _somebody(self, scope: Scope) -> bool:
        """Whether the token is a principal's: a body of somebody unknown is not even read."""
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, token = sent.decode("latin-1").partition(" ")
        return kind.lower() == "bearer" and self._principals.holder(token.strip()) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "POST" and not self._somebody(scope):
            await _nobody()(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
            await _too_large()(scope, receive, send)
            return
        came = 0
        ended = False
        until = asyncio.get_running_loop().time() + self._body_s

        async def counted() -> Message:
            nonlocal came, ended
            try:
                async with asyncio.timeout_at(None if ended else until):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, headers={"Connection": "close"}) from error
            ended = not message.get("more_body", False)
            came += len(message.get("body", b""))
            if came > MAX_BODY_BYTES:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)


def create_app(
    routers: Iterable[APIRouter], principals: Principals, metrics: InferenceMetrics, version: str
) -> FastAPI:
    """The application.  Interactive documentation is at ``/docs``, with its scripts served from here."""
    app = FastAPIOffline(
        title="Tally inference",
        version=version,
        description=_ABOUT,
        redoc_url=None,
        swagger_ui_parameters={"tryItOutEnabled": True, "persistAuthorization": True},
    )
    app.state.principals = principals
    for router in routers:
        app.include_router(router)
    app.add_middleware(BodyLimit, principals=principals)

    async def ours(_request: Request, error: Exception) -> Response:
        assert isinstance(error, InferenceError)
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        metrics.errors.labels(error.reason).inc()
        headers = {"Retry-After": "1"} if status == 503 else None
        if status == 500:
            log.error("a request failed", reason=error.reason, error=str(error))
        return _answer(failed(error), status, headers)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        metrics.errors.labels("invalid_request").inc()
        # What was sent is not repeated: it may be no JSON at all, or a NaN, which JSON can't say.
        details: list[dict[str, Any]] = [
            {"field": ".".join(str(part) for part in one["loc"][1:]), "problem": one["msg"]}
            for one in error.errors()[:20]
        ]
        first = details[0] if details else {"field": "", "problem": "it can't be read"}
        message = f"{first['field'] or 'the body'}: {first['problem']}"
        return _answer(Failed(error=Problem(reason="invalid_request", message=message, details=details)), 422)

    async def http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 413:
            return _too_large()
        reason, message = _WORDS.get(error.status_code, ("http_error", str(error.detail)))
        headers = None if error.headers is None else dict(error.headers)
        # FastAPI's only 400 is a body that is no JSON in a way that its parser has no error for.
        status = 422 if error.status_code == 400 else error.status_code
        metrics.errors.labels(reason).inc()
        return _answer(Failed(error=Problem(reason=reason, message=message)), status, headers)

    async def defect(_request: Request, error: Exception) -> Response:
        log.error("a defect", exc_info=error)
        metrics.errors.labels("defect").inc()
        message = "a defect of this service; its log has the cause"
        return _answer(Failed(error=Problem(reason="defect", message=message)), 500)

    app.add_exception_handler(InferenceError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, defect)
    return app


def _answer(body: Failed, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(
        body.model_dump_json(exclude_none=True), status, headers=headers, media_type="application/json"
    )


def _nobody() -> Response:
    reason, message = _WORDS[401]
    headers = {"WWW-Authenticate": "Bearer"}
    return _answer(Failed(error=Problem(reason=reason, message=message)), 401, headers)


def _too_large() -> Response:
    message = f"the body is larger than {MAX_BODY_BYTES} bytes: send fewer items at a time"
    return _answer(Failed(error=Problem(reason="body_too_large", message=message)), 413)
