"""Asking witnesses to cosign a checkpoint: the client's side of C2SP tlog-witness v1.0.0.

Each witness is asked by itself and has a few seconds; one that is slow, away or refuses holds up no other,
and no sealing.  What it answers counts only if it is lines of signatures, with a cosignature of this
checkpoint by its key among them, and only that one is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from audit.bounded_http import NoAddress, Unanswered, bounded_exchange
from audit.errors import LogDamaged
from ledger.checkpoints import Checkpoint
from ledger.cosignatures import cosignatures
from ledger.encoded import base64_of, decimal
from ledger.errors import BadNote
from ledger.merkle import consistency_proof
from ledger.notes import Note, Signature, parse_note
from ledger.policies import Policy, Witness
from ledger.tiles import subtrees_in_tiles

ANSWER_S: Final = 5.0
"""How long a witness may take in all, connecting included: half of the sealer's interval.  Our choice."""
_MOST_BYTES: Final = 100_000
SERIOUS: Final = frozenset({"ahead", "contradicted"})
"""Reasons that say of the log that it is not what it was; see docs/log.md, section 5."""


class Exchange(Protocol):
    """As ``audit.bounded_http.bounded_exchange``."""

    def __call__(
        self, method: str, url: str, *, content: bytes, timeout_s: float, most_bytes: int
    ) -> tuple[int, bytes]:
        """Status and body of the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness did with a checkpoint.

    ``signatures``: its cosignature, none if it gave none; ``trouble``: why not, in a sentence; ``reason``:
    the same as a word (unreachable, refused, ahead, contradicted, invalid).  ``seen``: the size that it
    knows.
    """

    witness: Witness
    signatures: tuple[Signature, ...] = ()
    reason: str | None = None
    trouble: str | None = None
    seen: int | None = None


class Witnesses:
    """The witnesses of a policy that have a URL; to be closed in the end."""

    def __init__(
        self, policy: Policy, read: Callable[[str], bytes], exchange: Exchange = bounded_exchange
    ) -> None:
        """``read`` gives the content of a file of the log."""
        self.policy = policy
        self._read = read
        self._exchange = exchange
        self._asked = [witness for witness in policy.witnesses if witness.url]
        self._sizes: dict[Witness, int] = {}
        self._threads = ThreadPoolExecutor(max_workers=max(1, len(self._asked)), thread_name_prefix="witness")

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def ask(self, note: Note) -> list[Answer]:
        """Ask all that have not cosigned it; their answers in the policy's order.

        Raises:
            LogDamaged: the log's own tiles can't be read.
        """
        have = {one.key for one in cosignatures(note, [witness.key for witness in self._asked])}
        wanted = [witness for witness in self._asked if witness.key not in have]
        return list(self._threads.map(lambda witness: self._ask(witness, note), wanted))

    def _ask(self, witness: Witness, note: Note) -> Answer:
        try:
            answer = self._answer(witness, note)
        except LogDamaged:
            raise
        except Unanswered as error:
            reason = "invalid" if isinstance(error, NoAddress) else "unreachable"
            answer = Answer(witness, reason=reason, trouble=f"{witness.name}: {error}")
        except Exception as error:  # noqa: BLE001  # whatever a witness sends, it spoils its own answer alone
            said = str(error) or type(error).__name__
            trouble = f"{witness.name}: its answer does not count: {said}"
            answer = Answer(witness, reason="invalid", trouble=trouble)
        if answer.seen is not None and answer.signatures:
            self._sizes[witness] = answer.seen
        else:
            self._sizes.pop(witness, None)  # what it said may be a lie: the next request asks it anew
        return answer

    def _answer(self, witness: Witness, note: Note) -> Answer:
        """What the witness answers, asked twice if it knows another size than we thought.

        Raises:
            Unanswered: it does not answer in time, or with too much.
            BadNote: what it answers does not count.
        """
        until_s = time.monotonic() + ANSWER_S
        checkpoint = Checkpoint.parse(note.text)
        old = self._sizes.get(witness, 0)
        status, content = self._post(witness, note, checkpoint, old, until_s)
        if status == HTTPStatus.CONFLICT:
            seen = _size(content)
            if seen > checkpoint.size:
                return Answer(witness, (), "ahead", _ahead(witness, checkpoint, seen), seen)
            if seen != old:
                status, content = self._post(witness, note, checkpoint, seen, until_s)
        if status != HTTPStatus.OK:
            reason = "contradicted" if status == HTTPStatus.UNPROCESSABLE_ENTITY else "refused"
            trouble = f"{witness.name} answered {status}{_told(content)}"
            return Answer(witness, reason=reason, trouble=trouble)
        return Answer(witness, (_cosignature(note, content, witness),), seen=checkpoint.size)

    def _post(
        self, witness: Witness, note: Note, checkpoint: Checkpoint, old: int, until_s: float
    ) -> tuple[int, bytes]:
        proof = consistency_proof(old, checkpoint.size, subtrees_in_tiles(checkpoint.size, self._read))
        lines = "".join(f"{base64_of(one)}\n" for one in proof)
        # A witness may know only the older or only the newer of the log's keys.
        logs = {(log.key.name, log.key.key_id) for log in self.policy.logs}
        by_the_log = {(one.name, one.key_id): one for one in reversed(note.signatures)}
        signed = Note(note.text, tuple(one for key, one in by_the_log.items() if key in logs))
        return self._exchange(
            "POST",
            f"{str(witness.url).rstrip('/')}/add-checkpoint",
            content=f"old {old}\n{lines}\n{signed}".encode(),
            timeout_s=max(0.0, until_s - time.monotonic()),
            most_bytes=_MOST_BYTES,
        )


def with_signatures(note: Note, answers: Sequence[Answer]) -> Note:
    """The note with the cosignatures that were given."""
    return Note(note.text, note.signatures + tuple(one for answer in answers for one in answer.signatures))


def _cosignature(note: Note, content: bytes, witness: Witness) -> Signature:
    """The witness's first cosignature of the note, out of its answer."""
    answered = parse_note(f"{note.text}\n".encode() + content)
    if answered.text != note.text:
        raise BadNote("expected lines of signatures, and no text")
    key = witness.key
    if not cosignatures(answered, [key]):
        raise BadNote("no cosignature by its key in the policy")
    return next(one for one in answered.signatures if (one.name, one.key_id) == (key.name, key.key_id))


def _size(content: bytes) -> int:
    return decimal(content.decode("ascii", "replace").removesuffix("\n"), "the size in an answer 409")


def _told(content: bytes) -> str:
    """The first line of an answer, of what can be printed."""
    said = content[:200].decode(errors="replace").strip().splitlines()
    return ": " + "".join(c if c.isprintable() else "?" for c in said[0]) if said else ""


def _ahead(witness: Witness, checkpoint: Checkpoint, seen: int) -> str:
    return (
        f"{witness.name} has cosigned a head of {seen} leaves, this log has {checkpoint.size}: leaves were "
        "lost (an old backup that was restored?), or another log uses this name and key"
    )
