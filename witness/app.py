"""The HTTP application: ``POST /add-checkpoint``; ``/latest`` for monitors; ``/health`` and ``/metrics``."""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from witness.cosigner import Cosigner
from witness.errors import Outcome, Refused
from witness.metrics import WitnessMetrics
from witness.protocol import TEXT, Answer, refusal

MOST_BODY_BYTES: Final = 128 << 10
"""Our choice: a proof takes 3 KiB at most, and a checkpoint with a hundred signatures some 15."""
_MOST_DISCARDED_BYTES: Final = 4 << 20
"""So much of a body that is too long is taken in, and thrown away: most clients read no answer before they
have sent everything."""
_BODY_S: Final = 15.0
"""Our choice; what comes slower only holds a connection."""


def create_app(cosigner: Cosigner, metrics: WitnessMetrics, body_s: float = _BODY_S) -> Starlette:
    """The application; a body may take ``body_s`` seconds to come."""

    async def add_checkpoint(request: Request) -> Response:
        try:
            body = await _body(request, body_s)
        except Refused as refused:
            metrics.requests.labels(refused.outcome.value).inc()
            return _response(refusal(refused))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        with metrics.seconds.time():
            return _response(await asyncio.to_thread(cosigner.add, body))

    async def latest(request: Request) -> Response:
        origin = request.query_params.get("origin")
        if not origin:
            return _response(Answer(400, "expected /latest?origin=ORIGIN\n"))
        return _response(await asyncio.to_thread(cosigner.latest, origin))

    async def health(_request: Request) -> Response:
        return _response(await asyncio.to_thread(cosigner.health))

    async def metrics_text(_request: Request) -> Response:
        return Response(generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/latest", latest, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/metrics", metrics_text, methods=["GET"]),
        ]
    )


def _response(answer: Answer) -> Response:
    # As a header: a media type of text would get a charset, which text/x.tlog.size must not have.
    return Response(answer.body, answer.status, headers={"content-type": answer.content_type or TEXT})


async def _body(request: Request, within_s: float) -> bytes:
    """The whole body.

    Raises:
        Refused: it is too long, or takes too long.
        ClientDisconnect: the client left.
    """
    body = bytearray()
    length = 0
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                length += len(chunk)
                if length > _MOST_DISCARDED_BYTES:
                    break
                if length <= MOST_BODY_BYTES:
                    body += chunk
    except TimeoutError:
        message = f"the body did not come within {within_s:g} seconds"
        raise Refused(Outcome.TOO_SLOW, message) from None
    if length > MOST_BODY_BYTES:
        raise Refused(Outcome.TOO_LARGE, f"the body has more than {MOST_BODY_BYTES} bytes, the limit")
    return bytes(body)
