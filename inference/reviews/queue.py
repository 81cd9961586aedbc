"""The review queue: what is unsure, or sampled, is lent to a reviewer, whose decision becomes evidence.

The queue follows from the ledger.  A prediction comes to it when its row is committed, whoever made it, and
leaves it with a ``review.decision``; a queue that was lost is made again by reading the ledger anew.  The
sample of sure answers makes it possible to say how often those are right.

A decision is claimed in the table, then kept in the outbox, then noted: of several under one lease the first
to claim goes on record and the others are told so.  A crash after the claim leaves a lease that runs out.
"""

from __future__ import annotations

import contextlib
import time
import uuid
import weakref
from asyncio import Lock
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import structlog

from inference.errors import BadInput, Conflict, NotFound
from inference.otlp import log_request
from outbox.errors import OutboxError
from store.errors import StoreError
from store.reviews import Count, Decision, Item, ReviewStore

Verdict = Literal["confirmed", "corrected", "rejected"]
LEASE_S: Final = 600.0
MOST_ATTEMPTS: Final = 5
"""Our choice: an item that five reviewers left undecided needs somebody to look at why."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAMESPACE: Final = uuid.UUID("0c3a2f0e-6f0e-5d3c-9d5a-6f1b9c2f7a10")

log = structlog.get_logger("inference.reviews")


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that is on record, in the ledger or in the durable outbox on its way there."""

    review_id: str
    prediction_id: str
    decision: str
    material: str | None
    reviewer: str


class ReviewQueue:
    """The queue as reviewers meet it.

    Args:
        store: the table.
        put: keeps an OTLP logs request in the durable outbox, as ``outbox.gather.Gather.put`` does.
        threshold: confidence below which a prediction is unsure if it names no threshold of its own.
        audit_rate: share of the sure predictions that come too.
        clock: nanoseconds since 1970.
        vocabulary: the materials that a review of a model's version may name; None: any.

    Raises (every method):
        StoreUnavailable: the database can't be reached.
    """

    def __init__(
        self,
        store: ReviewStore,
        put: Callable[[bytes], Awaitable[None]],
        *,
        threshold: float = 0.75,
        audit_rate: float = 0.02,
        lease_s: float = LEASE_S,
        most_attempts: int = MOST_ATTEMPTS,
        clock: Callable[[], int] = time.time_ns,
        vocabulary: Callable[[str, str], frozenset[str] | None] = lambda _model_id, _version: None,
    ) -> None:
        self._store = store
        self._put = put
        self._threshold = threshold
        self._audit_rate = audit_rate
        self._lease_s = lease_s
        self._most_attempts = most_attempts
        self._clock = clock
        self._vocabulary = vocabulary
        self._deciding: weakref.WeakValueDictionary[str, Lock] = weakref.WeakValueDictionary()

    async def project(self) -> int:
        """Take notice of what is new in the ledger; returns how many rows were read."""
        return await self._store.project(self._threshold, self._audit_rate)

    async def lease(self, reviewer: str, count: int = 1, seconds: float | None = None) -> list[Item]:
        """Lend up to ``count`` items, the oldest first; after that time they are offered again."""
        time_s = timedelta(seconds=self._lease_s if seconds is None else seconds)
        return await self._store.lease(reviewer, count, time_s, self._most_attempts)

    async def decide(
        self,
        prediction_id: str,
        lease_token: uuid.UUID,
        decision: Verdict,
        material: str | None = None,
        *,
        reviewer: str,
        note: str = "",
    ) -> Decided:
        """Put a decision on record; saying the same again changes nothing.

        ``material`` is what the reviewer saw: of ``corrected`` another than predicted, of ``rejected`` (no
        single item can be seen) none.

        Raises:
            NotFound: no such prediction is in the queue.
            Conflict: the lease is over and the item with somebody else, or decided, or being decided
                otherwise.
            BadInput: decision and material do not fit, or no such material is known.
            OutboxFull, OutboxUnusable: nothing is on record.
        """
        # The same request twice at once: the second waits, and finds the item decided.
        async with self._deciding.setdefault(prediction_id, Lock()):
            review_id = str(uuid.uuid5(_NAMESPACE, f"{prediction_id}\n{lease_token}"))
            item = await self._item(prediction_id)
            if item.state == "leased" and (item.lease_token, item.leased_by) == (lease_token, reviewer):
                seen = _seen(item, decision, material)
                self._check_known(item, seen)
                decided = Decided(review_id, prediction_id, decision, seen, reviewer)
                if await self._keep(lease_token, decided, note):
                    return decided
                item = await self._item(prediction_id)
            asked = Decided(review_id, prediction_id, decision, material, reviewer)
            return _decided_before(item, asked, lease_token)

    def _check_known(self, item: Item, seen: str | None) -> None:
        """A word of the model's, or of the item itself: the ledger keeps a misspelt one for good."""
        known = self._vocabulary(item.model_id, item.model_version)
        if seen is not None and known is not None and seen not in {*known, item.predicted, *item.covers}:
            raise BadInput(
                f"{seen!r} is no material that {item.model_id} {item.model_version} knows; "
                f"it knows {', '.join(sorted(known))}",
                reason="unknown_material",
            )

    async def _keep(self, lease_token: uuid.UUID, decided: Decided, note: str) -> bool:
        """Claim, put and note a decision; False: the claim was refused, nothing is done."""
        now = datetime.fromtimestamp(self._clock() / 1e9, UTC)
        intention = Decision(now, decided.decision, decided.material, decided.reviewer, decided.review_id)
        item = await self._store.claim(decided.prediction_id, lease_token, intention)
        if item is None:
            return False
        # A crash before this leaves a lease that runs out; after it, an item that the ledger's row closes.
        try:
            await self._put(_event(item, decided, note, item.decided_at or now))
        except OutboxError:
            with contextlib.suppress(StoreError):
                await self._store.unclaim(decided.prediction_id, lease_token)
            raise
        try:
            await self._store.decide(decided.prediction_id, lease_token)
        except StoreError as error:
            log.warning("a decision is on record, the queue learns of it from the ledger", error=str(error))
        return True

    async def release(self, prediction_id: str, lease_token: uuid.UUID | None = None) -> None:
        """Give an item back undecided, or, without a token, offer one again that was set aside.

        Raises:
            NotFound: no such prediction is in the queue.
            Conflict: that lease does not hold it, or it was not set aside.
        """
        if lease_token is None:
            done = await self._store.retry(prediction_id)
        else:
            done = await self._store.release(prediction_id, lease_token)
        if not done:
            raise _conflict(await self._item(prediction_id), lease_token)

    async def depth(self) -> list[Count]:
        """How many items are in which state, by reason."""
        return await self._store.counts()

    async def open_items(self, most: int = 100) -> list[Item]:
        """What is to be decided, the oldest first, then what was set aside."""
        return await self._store.open_items(most)

    async def _item(self, prediction_id: str) -> Item:
        item = await self._store.item(prediction_id)
        if item is None:
            raise NotFound(f"no prediction {prediction_id} is in the queue", reason="no_such_review")
        return item


def _decided_before(item: Item, asked: Decided, lease_token: uuid.UUID) -> Decided:
    """The reply to a decision that its reviewer sends again, since the first reply was lost."""
    if (item.state, item.review_id, item.reviewer) == ("decided", asked.review_id, asked.reviewer):
        same = item.decision == asked.decision and asked.material in {None, item.material}
        if same:
            return replace(asked, material=item.material)
    raise _conflict(item, lease_token)


def _conflict(item: Item, lease_token: uuid.UUID | None) -> Conflict:
    """Why that token does not hold the item."""
    words = f"{item.prediction_id} is {_state_in_words(item)}"
    if item.state == "leased" and lease_token not in {None, item.lease_token}:
        words += "; that is not the token of its present lease"
    return Conflict(words, reason="not_your_lease")


def _seen(item: Item, decision: Verdict, material: str | None) -> str | None:
    """The material that goes on record, or an error if it does not fit the decision."""
    right = {item.predicted, *item.covers}
    match decision:
        case "confirmed" if material is None or material in right:
            return material or item.predicted
        case "confirmed":
            raise BadInput(
                f"confirmed means {item.predicted}, not {material}; correct it instead",
                reason="material_differs",
            )
        case "corrected" if material and material not in right:
            return material
        case "corrected":
            raise BadInput(
                f"corrected needs the material that was seen, another than {item.predicted}",
                reason="material_missing",
            )
        case "rejected" if material is None:
            return None
        case _:
            raise BadInput(
                "rejected means that no material can be told; leave it out", reason="material_given"
            )


def _state_in_words(item: Item) -> str:
    match item.state:
        case "decided":
            return f"decided: {item.decision} by {item.reviewer}"
        case "leased" if item.decision is not None:
            return f"being decided by {item.reviewer}: {item.decision}"
        case "leased":
            return f"leased by {item.leased_by}"
        case "expired":
            return f"set aside: {item.trouble}"
        case _:
            return "waiting; the lease is over"


def _event(item: Item, decided: Decided, note: str, decided_at: datetime) -> bytes:
    """``review.decision``, in the chain of the machine whose deposit it is about."""
    return log_request(
        item.machine_id,
        "review.decision",
        (decided_at - _EPOCH) // timedelta(microseconds=1) * 1000,
        {
            "review.id": decided.review_id,
            "prediction.id": item.prediction_id,
            "deposit.transaction_id": item.transaction_id,
            "review.decision": decided.decision,
            "review.material": decided.material,
            "review.reviewer": decided.reviewer,
            "review.reason": item.reason,
            "review.sample_rate": item.sample_rate,
            "review.note": note or None,
            "model.id": item.model_id,
            "model.version": item.model_version,
        },
    )
