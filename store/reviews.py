"""The review queue's table: a projection of the ledger that hands out work."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from store.sessions import Sessions

Reason = Literal["low_confidence", "audit_sample"]
State = Literal["waiting", "leased", "decided", "expired"]
_CHAINS: Final = 200
_ROWS: Final = 2_000
"""Of each chain in one transaction."""
_KEPT: Final = timedelta(days=30)
"""Our choice: longer than any window that accuracy is measured over."""


@dataclass(frozen=True, slots=True)
class Item:
    """A prediction that a human should look at, or has."""

    prediction_id: str
    machine_id: str
    seq: int
    transaction_id: str | None
    model_id: str
    model_version: str
    predicted: str
    confidence: float
    top: Mapping[str, float]
    covers: tuple[str, ...]
    predicted_at: datetime
    reason: Reason
    sample_rate: float
    enqueued_at: datetime
    state: State
    attempts: int
    trouble: str | None
    leased_by: str | None
    lease_token: uuid.UUID | None
    leased_until: datetime | None
    decided_at: datetime | None
    decision: str | None
    material: str | None
    reviewer: str | None
    review_id: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """Items of a state and reason; ``oldest``: when the oldest of them was predicted."""

    state: State
    reason: Reason
    items: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reviewer decides; of a leased item, what is about to go on record."""

    decided_at: datetime
    decision: str
    material: str | None
    reviewer: str
    review_id: str


class ReviewStore:
    """Reads the ledger and keeps the queue, with the rights of ``tally_inference``.

    Raises (every method):
        StoreUnavailable: the database can't be reached; nothing is known to be done.
        StoreRejected: it refuses a value.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def project(self, threshold: float, audit_rate: float) -> int:
        """Take notice of what is new in the ledger; returns how many rows were read.

        Each transaction moves the chains' marks with the items: a crash leaves both or neither.  Predictions
        come before the reviews that may close them.  What was decided a month ago is forgotten: the ledger
        has it.
        """
        await self._sessions.fetch("review_open_chains")
        bound = sample_bound(audit_rate)
        # A rate of 0 draws nothing, so that no item has it; the table takes none that is 0.
        rate = audit_rate or 1.0
        read = await self._through("review_project_predictions", threshold, bound, rate)
        read += await self._through("review_project_decisions")
        await self._sessions.fetch("review_forget", _KEPT)
        return read

    async def _through(self, name: str, *values: object) -> int:
        read: int = 0
        while True:
            rows = await self._sessions.fetch(name, _CHAINS, _ROWS, *values)
            read += sum(int(row["rows"]) for row in rows)
            if len(rows) < _CHAINS and not any(row["left"] for row in rows):
                return read

    async def lease(self, reviewer: str, count: int, time: timedelta, most_attempts: int) -> list[Item]:
        """Lend the oldest items; those leased ``most_attempts`` times before are set aside instead."""
        await self._sessions.fetch("review_give_up", most_attempts)
        items = [_item(row) for row in await self._sessions.fetch("review_lease", reviewer, count, time)]
        return sorted(items, key=lambda item: (item.predicted_at, item.prediction_id))

    async def claim(self, prediction_id: str, lease_token: uuid.UUID, decision: Decision) -> Item | None:
        """Write down what is about to be put on record; the item stays with its holder a minute at least.

        None: the reviewer's lease does not hold the item, or another decision was claimed under it.  Of the
        same decision again the first ``decided_at`` stays.
        """
        rows = await self._sessions.fetch(
            "review_claim",
            prediction_id,
            lease_token,
            decision.decided_at,
            decision.decision,
            decision.material,
            decision.reviewer,
            decision.review_id,
        )
        return _item(rows[0]) if rows else None

    async def unclaim(self, prediction_id: str, lease_token: uuid.UUID) -> None:
        """Forget a claim that came to nothing."""
        await self._sessions.fetch("review_unclaim", prediction_id, lease_token)

    async def decide(self, prediction_id: str, lease_token: uuid.UUID) -> bool:
        """Note that what was claimed is decided; False if the lease does not hold the item any more."""
        return bool(await self._sessions.fetch("review_decide", prediction_id, lease_token))

    async def release(self, prediction_id: str, lease_token: uuid.UUID) -> bool:
        """Give an item back; False if that lease does not hold it, or a decision is being kept."""
        return bool(await self._sessions.fetch("review_release", prediction_id, lease_token))

    async def retry(self, prediction_id: str) -> bool:
        """Offer an item again that was set aside; False if it was not."""
        return bool(await self._sessions.fetch("review_retry", prediction_id))

    async def item(self, prediction_id: str) -> Item | None:
        """An item, in whatever state."""
        rows = await self._sessions.fetch("review_item", prediction_id)
        return _item(rows[0]) if rows else None

    async def open_items(self, most: int) -> list[Item]:
        """What is to be decided, the oldest first, then what was set aside."""
        return [_item(row) for row in await self._sessions.fetch("review_open_items", most)]

    async def counts(self) -> list[Count]:
        """How many items are in which state."""
        return [
            Count(row["state"], row["reason"], row["items"], row["oldest"])
            for row in await self._sessions.fetch("review_depth")
        ]


def sample_bound(rate: float) -> bytes:
    """What the first 8 bytes of a digest must lie below to be in a sample of that rate, 0 to 1."""
    whole = round(rate * 2**64)
    # Nine bytes are more than any eight that they begin with.
    return b"\xff" * 9 if whole >= 2**64 else whole.to_bytes(8, "big")


def _item(row: Mapping[str, Any]) -> Item:
    values = dict(row)
    top, covers = json.loads(values["top"] or "{}"), json.loads(values["covers"] or "[]")
    values["top"] = (
        {str(name): float(share) for name, share in top.items() if isinstance(share, int | float)}
        if isinstance(top, dict)
        else {}
    )
    values["covers"] = tuple(map(str, covers)) if isinstance(covers, list) else ()
    return Item(**values)
