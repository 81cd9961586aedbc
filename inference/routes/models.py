"""The life of models over HTTP: what the ledger says of them, and the steps that people take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from inference.access import Principal, require
from inference.governance.registry import Entry, Position, Receipt, Registry
from inference.governance.rules import compliance
from inference.governance.state import Action, Assignment, Ignored, ModelState, RuleResult, Version
from inference.manifest import Identifier, Share
from inference.routes.bodies import Failed
from inference.routes.cards import read_card
from inference.routes.words import NeededRemark, Remark
from store.errors import StoreError

_PROBLEMS: Final[dict[int | str, dict[str, object]]] = {
    401: {"model": Failed, "description": "no token, or one that nobody holds"},
    403: {"model": Failed, "description": "the token's holder has not the role"},
    404: {"model": Failed, "description": "no such model or version"},
    409: {"model": Failed, "description": "the rules do not admit the step; details has each verdict"},
    422: {"model": Failed, "description": "the request is not as it must be"},
    503: {"model": Failed, "description": "collector or database do not answer; not recorded, so not done"},
}
Reader = Annotated[Principal, Depends(require("predict", "review", "govern"))]
Governor = Annotated[Principal, Depends(require("govern"))]


class Verdict(BaseModel):
    """What a compliance rule says."""

    rule: str = Field(examples=["minimum_metrics"])
    sentence: str = Field(description="the rule in words")
    passed: bool
    expected: str = Field(examples=["accuracy >= 0.92"])
    found: str = Field(examples=["accuracy 0.947"])


class Judged(BaseModel):
    """An approval or a refusal."""

    seq: int = Field(description="row of the model's chain")
    actor: str
    note: str
    at: datetime


class VersionTold(BaseModel):
    """A version as the ledger has it."""

    version: str
    status: str = Field(
        description="champion, challenger, shadow, former, retired, refused, approved or trained"
    )
    digest: str = Field(description="SHA-256 of its manifest")
    trainer: str
    trained_at: datetime
    metrics: dict[str, float] = Field(description="of the latest evaluation")
    group_metrics: dict[str, dict[str, float]]
    approvals: list[Judged]
    refusals: list[Judged]
    rules: list[Verdict] = Field(description="whether it could be promoted now")


class ChallengerTold(BaseModel):
    """The version that answers beside the champion."""

    version: str
    digest: str
    share: float = Field(
        description="of requests that it answers; 0: in shadow, its answers are not returned"
    )


class IgnoredTold(BaseModel):
    """A row of the chain that changed nothing."""

    seq: int
    action: str
    version: str
    actor: str
    rule: str = Field(description="the rule that it breaks")
    sentence: str


class ModelTold(BaseModel):
    """A model as the ledger has it."""

    model: str
    title: str
    seq: int = Field(description="rows of its chain that were followed")
    row_hash: str = Field(description="hash of the last of them, hexadecimal")
    champion: str | None = Field(description="the version that is served")
    challenger: ChallengerTold | None
    former: list[str] = Field(description="earlier champions, the latest last")
    back_to: str | None = Field(description="where a rollback would go")
    versions: list[VersionTold]
    ignored: list[IgnoredTold]
    trouble: str | None = Field(description="why the chain is not followed any further")


class ModelsTold(BaseModel):
    """Every model."""

    models: list[ModelTold]
    asked_at: datetime | None = Field(description="when the ledger last answered; null: not since the start")


class PositionTold(BaseModel):
    """Where a row stands in the ledger."""

    stream: str = Field(examples=["governance"])
    chain: str = Field(examples=["waste-photos"])
    seq: int = Field(examples=[7])
    row_hash: str = Field(description="hexadecimal")


class StepTold(BaseModel):
    """A step of a model's life, with its place in the ledger."""

    position: PositionTold
    at: datetime
    action: str
    version: str
    actor: str
    digest: str | None
    attributes: dict[str, Any]
    ignored: IgnoredTold | None = Field(description="why it changed nothing")


class History(BaseModel):
    """The chain of a model; ``verify`` is the command that checks it."""

    model: str
    steps: list[StepTold]
    verify: str = Field(examples=["tally verify --stream governance --machine waste-photos"])


class StepTaken(BaseModel):
    """A step that is committed and in effect."""

    position: PositionTold
    state: ModelTold


class Note(BaseModel):
    """Why."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"note": "confusion matrix and card seen"}]}
    )

    note: Remark = Field(default="", description="goes on record")


class Reason(BaseModel):
    """Why, which an approval or a refusal must say."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"note": "confusion matrix and card seen"}]}
    )

    note: NeededRemark = Field(description="goes on record; not blank")


class PromotionAsked(Note):
    """Over whom."""

    expected_champion: Identifier | None = Field(
        default=None, description="who serves as far as the caller knows; if another does, nothing is done"
    )


class ShadowAsked(Note):
    """How much the challenger answers."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"note": "a week beside", "share": 0}]}
    )

    share: Share = Field(0.0, strict=True, description="of requests; 0: beside the champion, never returned")


class RollbackAsked(Note):
    """Where to."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"note": "takes cans for glass since Monday"}]}
    )

    expected_champion: Identifier | None = Field(
        default=None, description="who serves as far as the caller knows; if another does, nothing is done"
    )
    to: Identifier | None = Field(
        default=None, description="a former champion; left out: the latest that is fit"
    )


def model_routes(registry: Registry, shelves: Sequence[Path]) -> APIRouter:
    """``/models``: states, histories, cards and steps; ``shelves`` are the folders of models."""
    router = APIRouter(prefix="/models", tags=["models"], responses=_PROBLEMS)

    async def look() -> None:
        with contextlib.suppress(StoreError):
            await registry.refresh()

    @router.get("", summary="Every model, its champion and challenger")
    async def models(_caller: Reader) -> ModelsTold:
        """As the ledger has them now; while it can't be read, as last known."""
        await look()
        return ModelsTold(
            models=[_model(state) for state in registry.models.values()], asked_at=registry.fresh_at
        )

    @router.get("/{model_id}", summary="One model with its versions and their rules")
    async def model(model_id: Identifier, _caller: Reader) -> ModelTold:
        await look()
        return _model(await registry.state(model_id))

    @router.get("/{model_id}/history", summary="Every step with its place in the ledger")
    async def history(model_id: Identifier, _caller: Reader) -> History:
        """Rows that changed nothing are in it too, with the rule that they break."""
        await look()
        entries = await registry.history(model_id)
        return History(
            model=model_id,
            steps=[_step(entry) for entry in entries],
            verify=f"tally verify --stream governance --machine {model_id}",
        )

    @router.get(
        "/{model_id}/versions/{version}/card",
        summary="The model card",
        response_class=Response,
        responses={200: {"content": {"text/markdown": {}}, "description": "Markdown"}},
    )
    async def card(model_id: Identifier, version: Identifier, _caller: Reader) -> Response:
        """From the model's folder, if this service has it and it is the one that the ledger means."""
        await look()
        state = registry.models.get(model_id)
        known = None if state is None else state.versions.get(version)
        text = await asyncio.to_thread(read_card, shelves, model_id, version, known)
        return Response(text, media_type="text/markdown; charset=utf-8")

    def judgement(path: str, action: Action, summary: str) -> None:
        @router.post(f"/{{model_id}}/versions/{{version}}/{path}", summary=summary, name=path)
        async def judge(
            model_id: Identifier, version: Identifier, asked: Reason, caller: Governor
        ) -> StepTaken:
            return _taken(await registry.act(model_id, version, action, caller.name, asked.note))

    judgement("approve", "approved", "Approve a version; not by its trainer, with a note")
    judgement("refuse", "refused", "Refuse a version, with a note; approvals before it no longer count")

    @router.post("/{model_id}/versions/{version}/promote", summary="Make a version champion")
    async def promote(
        model_id: Identifier, version: Identifier, caller: Governor, asked: PromotionAsked | None = None
    ) -> StepTaken:
        """If every rule passes."""
        body = asked or PromotionAsked()
        receipt = await registry.act(
            model_id,
            version,
            "promoted",
            caller.name,
            body.note,
            expected_champion=body.expected_champion,
        )
        return _taken(receipt)

    @router.post("/{model_id}/versions/{version}/retire", summary="Retire a version for good")
    async def retire(
        model_id: Identifier, version: Identifier, caller: Governor, asked: Note | None = None
    ) -> StepTaken:
        """Not the champion."""
        return _taken(await registry.act(model_id, version, "retired", caller.name, (asked or Note()).note))

    @router.post("/{model_id}/versions/{version}/shadow", summary="Make a version challenger")
    async def shadow(
        model_id: Identifier, version: Identifier, asked: ShadowAsked, caller: Governor
    ) -> StepTaken:
        """In shadow it needs no approval, since nobody sees its answers; with a share it needs all rules."""
        receipt = await registry.act(
            model_id, version, "shadowed", caller.name, asked.note, share=asked.share
        )
        return _taken(receipt)

    @router.post("/{model_id}/rollback", summary="Go back to a former champion")
    async def rollback(
        model_id: Identifier, caller: Governor, asked: RollbackAsked | None = None
    ) -> StepTaken:
        """Takes effect everywhere with the next look at the ledger."""
        body = asked or RollbackAsked()
        receipt = await registry.act(
            model_id,
            body.to,
            "rolled_back",
            caller.name,
            body.note,
            expected_champion=body.expected_champion,
        )
        return _taken(receipt)

    return router


def _model(state: ModelState) -> ModelTold:
    challenger = state.challenger
    return ModelTold(
        model=state.model_id,
        title=state.title,
        seq=state.seq,
        row_hash=state.row_hash.hex(),
        champion=state.champion_version,
        challenger=None if challenger is None else ChallengerTold(**asdict(challenger)),
        former=list(state.former),
        back_to=state.back_to(),
        versions=[_version(state, version) for version in state.versions.values()],
        ignored=[_ignored(ignored) for ignored in state.ignored],
        trouble=state.trouble,
    )


def _version(state: ModelState, version: Version) -> VersionTold:
    return VersionTold(
        version=version.version,
        status=_status(state, version),
        digest=version.digest,
        trainer=version.trainer,
        trained_at=version.trained_at,
        metrics=dict(version.metrics),
        group_metrics={group: dict(metrics) for group, metrics in version.group_metrics.items()},
        approvals=[Judged(**asdict(approval)) for approval in version.approvals],
        refusals=[Judged(**asdict(refusal)) for refusal in version.refusals],
        rules=[_verdict(result) for result in compliance(version, version.digest)],
    )


def _status(state: ModelState, version: Version) -> str:
    name = version.version
    match state.challenger:
        case Assignment(version=challenger, share=share) if challenger == name:
            return "challenger" if share > 0 else "shadow"
        case _ if state.champion_version == name:
            return "champion"
        case _ if version.retired_seq is not None:
            return "retired"
        case _ if version.refusal is not None:
            return "refused"
        case _ if name in state.former:
            return "former"
        case _:
            passed = next(
                r.passed for r in compliance(version, version.digest) if r.rule == "approval_present"
            )
            return "approved" if passed else "trained"


def _verdict(result: RuleResult) -> Verdict:
    return Verdict(**asdict(result))


def _ignored(ignored: Ignored) -> IgnoredTold:
    return IgnoredTold(**{name: getattr(ignored, name) for name in IgnoredTold.model_fields})


def _position(position: Position) -> PositionTold:
    return PositionTold(**asdict(position))


def _step(entry: Entry) -> StepTold:
    step = entry.step
    return StepTold(
        position=_position(entry.position),
        at=step.event_time,
        action=step.action,
        version=step.version,
        actor=step.actor,
        digest=step.digest,
        attributes=dict(step.attributes),
        ignored=None if entry.ignored is None else _ignored(entry.ignored),
    )


def _taken(receipt: Receipt) -> StepTaken:
    return StepTaken(position=_position(receipt.position), state=_model(receipt.state))
