"""Why a request is not acknowledged, by what its client should do about it.

Each transport translates these once: gRPC status codes in ``grpc_server``, HTTP status codes in ``http``.
"""

from __future__ import annotations


class RequestError(Exception):
    """Root: the request was not committed; the message may be shown to the client."""


class Undecodable(RequestError):
    """Not an OTLP request. Do not retry: INVALID_ARGUMENT, 400."""


class UnsupportedMedia(RequestError):
    """A content type or encoding that OTLP does not have. Do not retry: 415."""


class TooLarge(RequestError):
    """Over the size limit before or after decompression. Do not retry: RESOURCE_EXHAUSTED, 413."""


class Unsupported(RequestError):
    """A signal that this server does not take. Do not retry: UNIMPLEMENTED, 404."""


class TryLater(RequestError):
    """The queue is full, the database is away or we are stopping. Retry: UNAVAILABLE, 503, with a delay."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
