"""A round of the sealer: seal what is committed, publish it, have it witnessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from audit.errors import ForkRefused, TimestampError
from audit.sealing.log_files import WITNESSED, LogFiles
from audit.sealing.metrics import SealerMetrics
from audit.sealing.sealer import Round, Sealer
from audit.sealing.witnesses import SERIOUS, Answer, Witnesses, with_signatures
from audit.timestamps import request_timestamp
from ledger.checkpoints import Checkpoint
from ledger.notes import Note, SigningKey
from ledger.policies import check_note
from store.seals import SealStore

_TIMESTAMP_S: Final = 2.0
"""How long the authority may take.  Our choice."""
_LOG: Final = structlog.get_logger("sealer")


@dataclass(frozen=True, slots=True)
class Done:
    """What is published after a round: the head's note, and whether a quorum cosigned it."""

    sealed: Round
    note: Note | None
    quorum: bool
    answers: tuple[Answer, ...]

    @property
    def contradiction(self) -> str | None:
        """What a witness says against the log: that it knows more of it, or another history."""
        return next((one.trouble for one in self.answers if one.reason in SERIOUS), None)


class Rounds:
    """Seals, publishes and asks, again and again; never two at a time.

    Raises (every method):
        audit.errors.AuditError, store.errors.StoreError: the round failed; the next one recovers first.
    """

    def __init__(
        self,
        url: str,
        files: LogFiles,
        key: SigningKey,
        witnesses: Witnesses | None = None,
        *,
        timestamp_url: str | None = None,
        metrics: SealerMetrics | None = None,
    ) -> None:
        self._url = url
        self._files = files
        self._key = key
        self._witnesses = witnesses
        self._timestamp_url = timestamp_url
        self.metrics = metrics or SealerMetrics()
        self._store: SealStore | None = None
        self._sealer: Sealer | None = None

    def close(self) -> None:
        """End the database's connection, and with it the lock."""
        if self._store is not None:
            self._store.close()
        self._store = self._sealer = None

    def run(self, stop: Callable[[], bool] = lambda: False) -> Done | None:
        """One round; None while another sealer is at work; ``stop`` is asked between a backlog's batches."""
        try:
            return self._run(stop)
        except ForkRefused:
            self.metrics.forked.set(1)
            self.close()
            raise
        except BaseException:
            self.close()
            raise

    def _run(self, stop: Callable[[], bool]) -> Done | None:
        if self._sealer is None or self._store is None:
            self._store = SealStore(self._url)
            if not self._store.lock():
                self.metrics.active.set(0)
                self.close()
                return None
            self.metrics.active.set(1)
            self._sealer = Sealer(self._store, self._files, self._key)
            self._sealer.recover()
        done = self._sealer.seal()
        self.metrics.sealed(done)
        while done.more and not stop():
            done = self._sealer.seal()
            self.metrics.sealed(done)
        for one in done.left_out:
            _LOG.error("chain_left_out", stream=one.stream, chain=one.chain, reason=one.reason)
        published = self._witnessed(self._store, done)
        self.metrics.forked.set(published.contradiction is not None)
        return published

    def _witnessed(self, store: SealStore, done: Round) -> Done:
        note = done.note
        if note is None or self._witnesses is None:
            self.metrics.quorum.set(0)
            return Done(done, note, quorum=False, answers=())
        policy = self._witnesses.policy
        seen = check_note(note, policy)
        answers: list[Answer] = []
        if len(seen.cosigned) < len(policy.witnesses):
            answers = self._witnesses.ask(note)
            self.metrics.asked(policy, answers)
            note = with_signatures(note, answers)
            seen = check_note(note, policy)
            if any(answer.signatures for answer in answers):
                # A crash after it leaves a head that is not named as witnessed though it is: the next round
                # asks nobody again and names it.
                self._files.put_note(note)
        for answer in answers:
            if answer.trouble is not None:
                level = _LOG.error if answer.reason in SERIOUS else _LOG.warning
                level("witness_gave_none", trouble=answer.trouble)
        quorum = seen.quorum and policy.quorum is not None
        self.metrics.quorum.set(quorum)
        if quorum and done.head is not None:
            self._keep_witnessed(store, done, note, seen.checkpoint)
        return Done(done, note, quorum, tuple(answers))

    def _keep_witnessed(self, store: SealStore, done: Round, note: Note, head: Checkpoint) -> None:
        assert done.head is not None, "there is a checkpoint"
        before = self._files.note(WITNESSED)
        if before is None or before.text != note.text:
            token = self._timestamp(note)
            store.publish(head.size, str(note), witnessed=True, timestamp_token=token)
            self._files.put_note(note, WITNESSED)
            _LOG.info("witnessed", size=head.size, cosignatures=len(note.signatures) - 1)
        self.metrics.witnessed_size.set(head.size)
        self.metrics.witnessed.set(done.head.batch.sealed_at.timestamp())

    def _timestamp(self, note: Note) -> bytes | None:
        if self._timestamp_url is None:
            return None
        try:
            return request_timestamp(str(note).encode(), self._timestamp_url, _TIMESTAMP_S)
        except TimestampError as error:
            self.metrics.timestamps.inc()
            _LOG.warning("no_timestamp", trouble=str(error))
        return None
