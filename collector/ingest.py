"""What a transport needs to know of the collector: hand over an OTLP request, get its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Signal = Literal["metrics", "logs"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """An acknowledged request: its good records are committed.

    ``rejected`` counts the data points or log records that were refused; ``message`` says why, and is
    empty if there is nothing to say (then ``partial_success`` stays unset).
    """

    rejected: int = 0
    message: str = ""


class Ingest(Protocol):
    """The way into the ledger, the same for every transport."""

    async def export(self, signal: Signal, body: bytes) -> Outcome:
        """Commit the records of an uncompressed protobuf ``Export*ServiceRequest``.

        Returns after the commit.

        Raises:
            Undecodable: the bytes are not such a request.
            TryLater: nothing was acknowledged; the same bytes may be sent again.
        """
        ...
