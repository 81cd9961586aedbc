"""The registry of models: follows the governance stream, and takes steps through the collector.

Nothing is done that is not in the ledger: a step is an event, and it has taken effect when its row, read
back, folds into the state (``inference.governance.lifecycle``).  So any number of services agree, and a
crash at any point leaves either no row or a row that all of them follow.

The rows that were followed are kept in a file beside (``inference.governance.kept``), for a start without the
database.  The ledger overrules that file; what this process has itself read there, nothing overrules.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import structlog

from inference.errors import BadInput, NotFound, Unavailable
from inference.governance.chain import Chain
from inference.governance.errors import HistoryRewritten, StepRefused
from inference.governance.events import registration
from inference.governance.folders import differences
from inference.governance.intended import ignored_as, step_to_be, version_to_act_on
from inference.governance.kept import keep_rows, kept_rows
from inference.governance.lifecycle import new_state, objection
from inference.governance.rules import compliance
from inference.governance.state import STREAM, Action, Ignored, ModelState, Step
from inference.manifest import IDENTIFIER, read_manifest
from inference.otlp import SERVICE, Plain, log_request
from ledger.errors import DecodingError
from outbox.sender import Answer, Later, Signal
from store.errors import StoreError, StoreUnavailable
from store.governance import GovernanceHead, GovernanceStore

STEP_ID: Final = "model.step_id"
"""The attribute that finds a step of ours again in the chain."""
_ANSWER_S: Final = 5.0
_VOUCHING: Final = frozenset({"approved", "promoted", "shadowed"})
"""The steps that speak for a version."""
_NAME: Final = re.compile(IDENTIFIER)

log = structlog.get_logger("inference.governance")


class Sender(Protocol):
    """What the registry needs of ``outbox.sender.RawSender``."""

    async def attempt(self, signal: Signal, payload: bytes, number: int = 0) -> Answer | Later:
        """Send once."""
        ...


@dataclass(frozen=True, slots=True)
class Position:
    """Where a step stands in the ledger; ``row_hash`` in hexadecimal."""

    stream: str
    chain: str
    seq: int
    row_hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A step of a model's history; ``ignored`` says why it changed nothing."""

    position: Position
    step: Step
    ignored: Ignored | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A step that was taken: where it stands, and the model's state after it."""

    position: Position
    state: ModelState


class Registry:
    """The models of the ledger.

    Args:
        store: reads the governance stream.
        sender: sends to the collector; an acknowledged event is committed.
        kept: the file for a start without the database; its folder is made.
        clock: nanoseconds since 1970.
        answer_s: seconds that a step may wait for the collector.
        shelves: the folders of models, which rows are compared with before anybody vouches for them.
    """

    def __init__(
        self,
        store: GovernanceStore,
        sender: Sender,
        kept: Path,
        *,
        clock: Callable[[], int] = time.time_ns,
        answer_s: float = _ANSWER_S,
        shelves: Sequence[Path] = (),
    ) -> None:
        self._store = store
        self._sender = sender
        self._kept = kept
        self._clock = clock
        self._answer_s = answer_s
        self._shelves = tuple(shelves)
        self._models: dict[str, Chain] = {}
        self._refreshing = asyncio.Lock()
        self._acting: dict[str, asyncio.Lock] = {}
        self._fresh_at: datetime | None = None
        for model_id, rows in kept_rows(kept).items():
            chain = Chain(model_id)
            chain.take(rows)
            if chain.rows and _NAME.fullmatch(model_id):
                self._models[model_id] = chain
        self._only_kept = set(self._models)
        self._overruled: set[str] = set()
        self._unkept = False

    @property
    def models(self) -> Mapping[str, ModelState]:
        """Every model, as last known."""
        return {model_id: chain.state for model_id, chain in sorted(self._models.items())}

    @property
    def fresh_at(self) -> datetime | None:
        """When the ledger was last asked with success; None: only the file beside is known."""
        return self._fresh_at

    def overruled(self) -> set[str]:
        """The models whose kept rows turned out not to be the ledger's since this was last asked."""
        found, self._overruled = self._overruled, set()
        return found

    async def state(self, model_id: str) -> ModelState:
        """The state of a model, as last known.

        Raises:
            NotFound: the ledger has no row of it.
        """
        return self._chain(model_id).state

    async def history(self, model_id: str) -> list[Entry]:
        """The steps of a model in the order of its chain.

        Raises:
            NotFound: the ledger has no row of it.
        """
        chain = self._chain(model_id)
        ignored = {entry.seq: entry for entry in chain.state.ignored}
        return [Entry(_position(model_id, step), step, ignored.get(step.seq)) for step in chain.steps]

    async def refresh(self) -> set[str]:
        """Read what is new in the ledger; returns the models whose state changed.

        A chain that can't be followed is in trouble by itself: the others are followed.  One whose name is
        none of a model is never read.

        Raises:
            StoreUnavailable: the database can't be reached; what was known stays.
            StoreError: it does not say where the chains end; what was known stays.
        """
        async with self._refreshing:
            heads = await self._store.heads()
            changed = set()
            for model_id in sorted(heads.keys() | self._models.keys()):
                if _NAME.fullmatch(model_id) and await self._follow(model_id, heads.get(model_id)):
                    changed.add(model_id)
                    self._unkept = True
            self._fresh_at = datetime.fromtimestamp(self._clock() / 1e9, UTC)
            if self._unkept:
                rows = {name: list(chain.rows) for name, chain in self._models.items()}
                await asyncio.to_thread(keep_rows, self._kept, rows)
                self._unkept = False
            return changed

    async def act(
        self,
        model_id: str,
        version: str | None,
        action: Action,
        actor: str,
        note: str = "",
        *,
        share: float | None = None,
        expected_champion: str | None = None,
    ) -> Receipt:
        """Take a step; when this returns, it is committed and has taken effect.

        ``version`` None: of ``rolled_back``, the champion before.  ``share`` is for ``shadowed``.
        ``expected_champion`` is whom the caller saw serving; None: it does not matter.

        Raises:
            NotFound: there is no such model or version.
            StepRefused: the rules do not admit it, or somebody else's step came in between.
            HistoryRewritten: the ledger contradicts itself or what was seen of it; nothing was done.
            Unavailable: the collector or the database does not answer; nothing is known to be done.
        """
        async with self._acting.setdefault(model_id, asyncio.Lock()):
            await self._refresh_or_fail()
            state = await self.state(model_id)
            if state.trouble is not None:
                raise HistoryRewritten(state.trouble)
            chosen = version if version is not None else version_to_act_on(state, action)
            if chosen not in state.versions:
                raise NotFound(f"{model_id} has no version {chosen}", reason="no_such_version")
            attributes = self._attributes(state, chosen, action, note, share)
            digest = state.versions[chosen].digest
            now = self._clock()
            step = step_to_be(state, action, chosen, actor, digest=digest, attributes=attributes, now=now)
            if expected_champion not in {None, state.champion_version}:
                serves = state.champion_version or "no version"
                sentence = f"{expected_champion} is expected to serve, but {serves} does"
                raise StepRefused(model_id, ignored_as(step, "champion_unchanged", sentence))
            if (ignored := objection(state, step)) is not None:
                raise StepRefused(model_id, ignored)
            if action in _VOUCHING:
                trained = self._chain(model_id).steps[state.versions[chosen].trained_seq - 1]
                if differ := await asyncio.to_thread(differences, self._shelves, model_id, trained):
                    sentence = f"its folder has another {', '.join(differ)} than the ledger"
                    raise StepRefused(model_id, ignored_as(step, "manifest_differs", sentence))
            columns: dict[str, Plain] = {
                "model.id": model_id,
                "model.action": action,
                "model.version": chosen,
                "model.actor": actor,
                "model.digest": digest,
            }
            await self._send(now, {**columns, **attributes})
            return await self._receipt(model_id, str(attributes[STEP_ID]))

    async def register(self, folder: Path) -> Receipt | None:
        """Publish ``trained`` and ``evaluated`` of a model folder, unless the ledger has that version.

        Raises:
            ModelUnusable: the folder is none of a model.
            StepRefused: a version of that name with another digest is there.
            Unavailable: the collector or the database does not answer; nothing is known to be done.
        """
        manifest, digest = await asyncio.to_thread(read_manifest, folder)
        async with self._acting.setdefault(manifest.model_id, asyncio.Lock()):
            await self._refresh_or_fail()
            known = self._models.get(manifest.model_id)
            state = new_state(manifest.model_id) if known is None else known.state
            present = state.versions.get(manifest.version)
            if present is not None and present.digest == digest:
                return None
            if present is not None:
                sentence = f"the ledger has it with digest {present.digest}, the folder has {digest}"
                seq, who = state.seq + 1, manifest.trained_by
                ignored = Ignored(seq, "trained", manifest.version, who, "version_new", sentence)
                raise StepRefused(manifest.model_id, ignored)
            step_id = str(uuid.uuid4())
            trained, evaluated = registration(manifest, digest)
            await self._send(self._clock(), trained, {**evaluated, STEP_ID: step_id})
            return await self._receipt(manifest.model_id, step_id)

    def _chain(self, model_id: str) -> Chain:
        try:
            return self._models[model_id]
        except KeyError:
            raise NotFound(f"the ledger has no model {model_id}", reason="no_such_model") from None

    async def _follow(self, model_id: str, head: GovernanceHead | None) -> bool:
        """Go on along a chain; returns whether its state changed."""
        chain = self._models.setdefault(model_id, Chain(model_id))
        before = chain.state
        try:
            await self._go_on(chain, head)
            if chain.state.trouble is not None and model_id in self._only_kept:
                log.error("the kept rows of a model are not the ledger's", model=model_id)
                self._overruled.add(model_id)
                chain = Chain(model_id)
                if head is not None:
                    await self._go_on(chain, head)
                self._models[model_id] = chain
            self._only_kept.discard(model_id)
        except StoreUnavailable:
            raise
        except (StoreError, DecodingError) as error:
            chain = self._models[model_id]
            chain.trouble(f"the rows of {model_id} can't be read; the log of the service says why")
            if chain.state.trouble != before.trouble:
                log.warning("the rows of a model can't be read", model=model_id, error=str(error))
        if head is None and not chain.rows:
            del self._models[model_id]
        trouble = chain.state.trouble
        if trouble is not None and trouble != before.trouble:
            log.error("a model's chain can't be followed", model=model_id, trouble=trouble)
        return chain.state != before

    async def _go_on(self, chain: Chain, head: GovernanceHead | None) -> None:
        """Read on to the head; what does not continue what was seen is not followed."""
        model_id, before = chain.state.model_id, chain.state
        if head is not None and (head.seq, head.row_hash) == (before.seq, before.row_hash):
            chain.untroubled()
        elif head is None or head.seq <= before.seq:
            found = "is gone" if head is None else f"ends with another row {head.seq}"
            chain.trouble(
                f"the ledger's chain of {model_id} {found}, though rows up to {before.seq} were seen before; "
                "verify it, and to follow the ledger as it is now, start the service again"
            )
        else:
            chain.take(await self._store.rows(model_id, before.seq))
            if chain.state.trouble is None and not chain.reaches(head.seq, head.row_hash):
                chain.trouble(f"the rows of {model_id} do not lead to its head, row {head.seq}")

    async def _refresh_or_fail(self) -> None:
        try:
            await self.refresh()
        except StoreError as error:
            log.warning("a step waits for the ledger", error=str(error))
            raise Unavailable("the ledger can't be read, so nothing was done") from error

    def _attributes(
        self, state: ModelState, version: str, action: Action, note: str, share: float | None
    ) -> dict[str, Plain]:
        attributes: dict[str, Plain] = {"model.note": note or None, STEP_ID: str(uuid.uuid4())}
        if action in {"promoted", "rolled_back"}:
            attributes["model.previous_version"] = state.champion_version or ""
        if action == "promoted":
            known = state.versions[version]
            attributes["model.rules"] = [result.rule for result in compliance(known, known.digest)]
        if action == "shadowed":
            attributes["model.share"] = 0.0 if share is None else float(share)
        return attributes

    async def _send(self, now: int, *events: Mapping[str, Plain]) -> None:
        """Send events as one request, which is committed as a whole; the same bytes until it is answered.

        A crash here leaves all of them in the ledger or none.
        """
        payload = log_request(SERVICE, "model.lifecycle", now, *events)
        answer: Answer | Later | None = None
        attempts = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._answer_s):
                while not isinstance(answer, Answer):
                    if answer is not None:
                        await asyncio.sleep(min(answer.delay_s, 0.5))
                    answer = await self._sender.attempt("logs", payload, attempts)
                    attempts += 1
        if not isinstance(answer, Answer):
            why = "it does not answer" if answer is None else answer.message
            raise Unavailable(
                f"not recorded, so not done: the collector took nothing within {self._answer_s:g} s ({why}); "
                "an answer that was lost would show in the history",
                reason="collector_unavailable",
            )
        if not answer.accepted or answer.refused:
            raise BadInput(f"the collector refuses the step: {answer.message}", reason="step_unrecordable")

    async def _receipt(self, model_id: str, step_id: str) -> Receipt:
        """What came of a step that is committed."""
        try:
            await self.refresh()
        except StoreError as error:
            log.warning("what came of a step is not known", model=model_id, error=str(error))
            raise Unavailable(
                "the step is recorded, but the ledger can't be read to see what came of it"
            ) from error
        for entry in reversed(await self.history(model_id)):
            if entry.step.attributes.get(STEP_ID) == step_id:
                if entry.ignored is not None:
                    raise StepRefused(model_id, entry.ignored, overtaken=True)
                return Receipt(entry.position, self._models[model_id].state)
        trouble = self._models[model_id].state.trouble
        raise HistoryRewritten(trouble or f"the step was committed, but the chain of {model_id} lacks it")


def _position(model_id: str, step: Step) -> Position:
    return Position(STREAM, model_id, step.seq, step.row_hash.hex())
