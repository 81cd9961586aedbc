"""Whether a program can do its work now, and why not."""

from __future__ import annotations

from fastapi import Response


class Readiness:
    """The state behind ``/readyz``; a program starts unready."""

    def __init__(self) -> None:
        self.reason: str | None = "starting"

    def ready(self) -> None:
        """Requests are taken."""
        self.reason = None

    def unready(self, reason: str) -> None:
        """Requests would fail; the reason is shown."""
        self.reason = reason

    def answer(self) -> Response:
        """200, or 503 with the reason."""
        if self.reason is None:
            return Response("ready\n", media_type="text/plain")
        return Response(f"not ready: {self.reason}\n", status_code=503, media_type="text/plain")
