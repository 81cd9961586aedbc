"""The witness itself: from the body of a request to a cosignature, or to why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import structlog

from ledger.cosignatures import cosign
from ledger.notes import Note, SigningKey, VerifierKey
from witness.errors import Outcome, Refused, StateUnavailable
from witness.evidence import Evidence
from witness.metrics import WitnessMetrics
from witness.protocol import (
    STATUS,
    Answer,
    Head,
    Request,
    Signed,
    check_against,
    contradicts,
    parse_request,
    refusal,
    signed_checkpoint,
)
from witness.state import State

log = structlog.get_logger("witness")


class Cosigner:
    """Cosigns checkpoints of ``logs``, each a continuation of the one before.  For any thread.

    Args:
        key: of the kind that cosigns.
        logs: the keys whose checkpoints are taken; a key's name is its log's origin.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        key: SigningKey,
        logs: Iterable[VerifierKey],
        state: State,
        evidence: Evidence,
        metrics: WitnessMetrics,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._key: Final = key
        self._logs: Final[dict[str, tuple[VerifierKey, ...]]] = {}
        for trusted in logs:
            self._logs[trusted.name] = (*self._logs.get(trusted.name, ()), trusted)
        self._state = state
        self._evidence = evidence
        self._metrics = metrics
        self._clock = clock
        metrics.evidence.set(evidence.count)
        for origin in self._logs:
            metrics.forks.labels(origin)
            head = state.latest(origin)
            metrics.size.labels(origin).set(0 if head is None else head.size)

    def add(self, body: bytes) -> Answer:
        """The answer to ``add-checkpoint``; whatever the body is, there is one."""
        try:
            answer = self._cosigned(parse_request(body))
        except Refused as refused:
            log.info("refused", outcome=refused.outcome.value, reason=str(refused))
            self._metrics.requests.labels(refused.outcome.value).inc()
            return refusal(refused)
        except StateUnavailable as error:
            self._metrics.requests.labels(Outcome.UNAVAILABLE.value).inc()
            return _unavailable(error)
        self._metrics.requests.labels(Outcome.COSIGNED.value).inc()
        return answer

    def latest(self, origin: str) -> Answer:
        """The latest cosigned checkpoint of a log, for monitors; 404 if there is none."""
        try:
            head = self._state.latest(origin) if origin in self._logs else None
        except StateUnavailable as error:
            return _unavailable(error)
        if head is None:
            return Answer(404, "nothing of this log was cosigned here\n")
        return Answer(200, head.note)

    def health(self) -> Answer:
        """200 if the state can be read."""
        try:
            self._state.latest("")
        except StateUnavailable as error:
            return _unavailable(error)
        return Answer(200, "ok\n")

    def _cosigned(self, request: Request) -> Answer:
        signed = signed_checkpoint(request, self._logs)
        origin, size = signed.checkpoint.origin, signed.checkpoint.size
        with self._state.held(origin) as held:
            if held.head is not None and contradicts(signed.checkpoint, held.head):
                self._report_fork(signed, held.head)
            check_against(held.head, request.old, request.proof, signed.checkpoint)
            unix_s = int(self._clock())
            line = cosign(signed.note.text, self._key, unix_s)
            if held.head is None or held.head.size != size:
                cosigned = Note(signed.note.text, (*signed.note.signatures, line))
                held.replace(Head(size, signed.checkpoint.root, str(cosigned)))
        # The head is on disk.  A crash here leaves the log without an answer; it asks again and gets one.
        self._metrics.size.labels(origin).set(size)
        self._metrics.cosigned_at.labels(origin).set(unix_s)
        log.info("cosigned", origin=origin, size=size, old=request.old)
        return Answer(STATUS[Outcome.COSIGNED], str(line))

    def _report_fork(self, signed: Signed, head: Head) -> None:
        origin = signed.checkpoint.origin
        self._metrics.forks.labels(origin).inc()
        try:
            path = self._evidence.keep(str(signed.note), head.note)
            self._metrics.evidence.set(self._evidence.count)
        except OSError as error:
            log.critical("fork", origin=origin, size=head.size, offered=str(signed.note), lost=str(error))
            return
        log.critical(
            "fork",
            origin=origin,
            size=head.size,
            cosigned_root=head.root.hex(),
            offered_root=signed.checkpoint.root.hex(),
            evidence=None if path is None else str(path),
        )


def _unavailable(error: StateUnavailable) -> Answer:
    log.error("state_unavailable", reason=str(error))
    return Answer(STATUS[Outcome.UNAVAILABLE], "the witness can't use its state now: try later\n")
