"""The review queue over HTTP: what waits, leasing it, deciding it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from inference.access import Principal, require
from inference.errors import Unavailable
from inference.reviews.queue import ReviewQueue
from inference.reviews.queue import Verdict as Decision
from inference.routes.bodies import Failed, Name
from inference.routes.words import Remark
from outbox.errors import OutboxError
from store.errors import StoreError
from store.reviews import Item, Reason, State

_PROBLEMS: Final[dict[int | str, dict[str, object]]] = {
    401: {"model": Failed, "description": "no token, or one that nobody holds"},
    403: {"model": Failed, "description": "the token's holder has not the role review"},
    422: {"model": Failed, "description": "the request is not as it must be; nothing is recorded"},
    503: {"model": Failed, "description": "database or outbox do not answer: try again"},
}
_CONFLICTS: Final[dict[int | str, dict[str, object]]] = {
    404: {"model": Failed, "description": "the queue has no such prediction"},
    409: {"model": Failed, "description": "the lease does not hold it any more, or it is decided"},
}
Reviewer = Annotated[Principal, Depends(require("review"))]
Material = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ItemTold(BaseModel):
    """A prediction that a human should look at."""

    prediction_id: str
    machine_id: str
    seq: int = Field(description="its row in the machine's chain of the stream predictions")
    transaction_id: str | None
    model_id: str
    model_version: str
    predicted: str
    confidence: float
    top: dict[str, float]
    covers: list[str] = Field(description="the materials that the predicted class stands for")
    predicted_at: datetime
    reason: Reason
    sample_rate: float = Field(description="probability that such a prediction comes to the queue")
    state: State
    attempts: int = Field(description="how often it was leased")
    trouble: str | None = Field(description="why it was set aside")
    leased_by: str | None
    leased_until: datetime | None


class LeasedTold(ItemTold):
    """An item on loan."""

    lease_token: uuid.UUID = Field(description="send it with the decision")


class CountTold(BaseModel):
    """How many items are in a state."""

    state: State
    reason: Reason
    items: int
    oldest: datetime


class QueueTold(BaseModel):
    """The queue: how much is in which state, and what is to be decided, the oldest first."""

    counts: list[CountTold]
    items: list[ItemTold]


class LeaseAsked(BaseModel):
    """How many items."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"count": 5}]})

    count: int = Field(1, strict=True, ge=1, le=100)


class LeaseTold(BaseModel):
    """Items on loan, the oldest first; none: nothing waits."""

    items: list[LeasedTold]


class DecisionAsked(BaseModel):
    """What the reviewer saw."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "lease_token": "7e0f6a52-4f4e-4f8e-9f6e-0a5f1f0c2f11",
                    "decision": "corrected",
                    "material": "aluminium",
                    "note": "a can behind glass",
                }
            ]
        },
    )

    lease_token: uuid.UUID
    decision: Decision = Field(description="rejected: no single item can be told")
    material: Material | None = Field(
        None, description="needed for corrected; a class of the model, or a material that a class stands for"
    )
    note: Remark = ""


class DecisionTold(BaseModel):
    """A decision that is on record."""

    review_id: str
    prediction_id: str
    decision: str
    material: str | None
    reviewer: str


class ReleaseAsked(BaseModel):
    """Give an item back; without a token, offer one again that was set aside."""

    model_config = ConfigDict(extra="forbid")

    lease_token: uuid.UUID | None = None


class ReleaseTold(BaseModel):
    """The item waits again."""

    prediction_id: str
    state: Literal["waiting"] = "waiting"


def review_routes(queue: ReviewQueue) -> APIRouter:
    """``/reviews``; every path needs the role review, whose holder is the reviewer on record."""
    router = APIRouter(prefix="/reviews", tags=["reviews"], responses=_PROBLEMS)

    @router.get("", summary="What waits for a human")
    async def waiting(_caller: Reviewer, most: Annotated[int, Query(ge=1, le=1_000)] = 100) -> QueueTold:
        """Counts by state and reason, and the open items."""
        try:
            counts, items = await queue.depth(), await queue.open_items(most)
        except StoreError as error:
            raise _unavailable(error) from error
        return QueueTold(
            counts=[
                CountTold(state=one.state, reason=one.reason, items=one.items, oldest=one.oldest)
                for one in counts
            ],
            items=[_item(item) for item in items],
        )

    @router.post("/lease", summary="Take items to decide")
    async def lease(asked: LeaseAsked, caller: Reviewer) -> LeaseTold:
        """Each is yours until ``leased_until``; then it is offered to others again."""
        try:
            items = await queue.lease(caller.name, asked.count)
        except StoreError as error:
            raise _unavailable(error) from error
        return LeaseTold(
            items=[
                LeasedTold(**_item(item).model_dump(), lease_token=item.lease_token)
                for item in items
                if item.lease_token is not None
            ]
        )

    @router.post("/{prediction_id:path}/decision", summary="Decide an item", responses=_CONFLICTS)
    async def decide(prediction_id: Name, asked: DecisionAsked, caller: Reviewer) -> DecisionTold:
        """On record when this answers; the same decision sent again is recorded once."""
        try:
            decided = await queue.decide(
                prediction_id,
                asked.lease_token,
                asked.decision,
                asked.material,
                reviewer=caller.name,
                note=asked.note,
            )
        except (StoreError, OutboxError) as error:
            raise _unavailable(error) from error
        return DecisionTold(
            review_id=decided.review_id,
            prediction_id=decided.prediction_id,
            decision=decided.decision,
            material=decided.material,
            reviewer=decided.reviewer,
        )

    @router.post("/{prediction_id:path}/release", summary="Give an item back undecided", responses=_CONFLICTS)
    async def release(prediction_id: Name, asked: ReleaseAsked, _caller: Reviewer) -> ReleaseTold:
        """With its lease token; without one, an item that was set aside is offered again."""
        try:
            await queue.release(prediction_id, asked.lease_token)
        except StoreError as error:
            raise _unavailable(error) from error
        return ReleaseTold(prediction_id=prediction_id)

    return router


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"nothing was recorded: {error}")


def _item(item: Item) -> ItemTold:
    values = {name: getattr(item, name) for name in ItemTold.model_fields}
    return ItemTold(**values)
