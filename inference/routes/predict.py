"""``/predict``, one item or many."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from inference.access import Principal, require
from inference.errors import InferenceError
from inference.predictor import Predictor
from inference.routes.bodies import (
    ITEMS,
    MANY_ITEMS,
    Answered,
    AnsweredMany,
    Asked,
    AskedMany,
    answered,
    failed,
    failure,
)
from inference.settings import InferenceSettings

_PROBLEMS: dict[int | str, dict[str, object]] = {
    401: failure("no token, or one that nobody holds", "not_authenticated"),
    403: failure("the token's holder has not the role predict", "role_missing"),
    404: failure("the ledger has no model of that name", "no_such_model"),
    408: failure("the body came too slowly", "body_too_slow"),
    413: failure("the body is too large", "body_too_large"),
    422: failure("the item can't be classified, now or ever; nothing is recorded", "not_a_photo"),
    503: failure("not now: try again; nothing is recorded", "busy"),
}

Caller = Annotated[Principal, Depends(require("predict"))]


def predict_routes(settings: InferenceSettings, predictor: Predictor) -> APIRouter:
    """The routes of predictions."""
    router = APIRouter(tags=["predictions"], responses=_PROBLEMS)

    @router.post("/predict", response_model=Answered, summary="Classify one item")
    async def predict(asked: Annotated[Asked, Body(openapi_examples=ITEMS)], caller: Caller) -> Response:
        """The answer is on record, in the durable outbox of the ledger, before it leaves."""
        made = await predictor.predict(asked.item(settings.photo_model, settings.readings_model, caller.name))
        return _json(answered(made))

    @router.post("/predict/batch", response_model=AnsweredMany, summary="Classify many items")
    async def predict_many(
        asked: Annotated[AskedMany, Body(openapi_examples=MANY_ITEMS)], caller: Caller
    ) -> Response:
        """An answer or a problem for each item; a bad item costs no other."""
        items = [one.item(settings.photo_model, settings.readings_model, caller.name) for one in asked.items]
        results = await predictor.predict_all(items)
        return _json(
            AnsweredMany(
                results=[
                    failed(made) if isinstance(made, InferenceError) else answered(made) for made in results
                ]
            )
        )

    return router


def _json(body: Answered | AnsweredMany) -> Response:
    return Response(body.model_dump_json(exclude_none=False), media_type="application/json")
