"""Asking witnesses to cosign a checkpoint: the client's side of C2SP tlog-witness v1.0.0.

Each witness is asked by itself and has a few seconds; one that is slow, away or refuses holds up no other,
and no sealing.  What it answers counts only if it is a cosignature of this checkpoint by its key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import httpx

from ledger.checkpoints import Checkpoint
from ledger.cosignatures import cosignatures
from ledger.encoded import base64_of
from ledger.errors import BadNote, BadProof
from ledger.merkle import consistency_proof
from ledger.notes import Note, Signature, parse_note
from ledger.policies import Policy, Witness
from ledger.tiles import subtrees_in_tiles

ANSWER_S: Final = 5.0
"""How long a witness may take, connecting included: half of the sealer's interval.  Our choice."""
_MOST_BYTES: Final = 100_000
_OLD_SIZE: Final = 409
_CONTRADICTED: Final = 422


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness did with a checkpoint.

    ``signatures``: its cosignatures, none if it gave none; ``trouble``: why not, in a sentence; ``reason``:
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

    def __init__(self, policy: Policy, read: Callable[[str], bytes]) -> None:
        """``read`` gives the content of a file of the log."""
        self.policy = policy
        self._read = read
        self._asked = [witness for witness in policy.witnesses if witness.url]
        self._sizes: dict[Witness, int] = {}
        self._client = httpx.Client(timeout=ANSWER_S, follow_redirects=False)
        self._threads = ThreadPoolExecutor(max_workers=max(1, len(self._asked)), thread_name_prefix="witness")

    def close(self) -> None:
        """Let go of connections and threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def ask(self, note: Note) -> list[Answer]:
        """Ask all that have not cosigned it; their answers in the policy's order."""
        have = {one.key for one in cosignatures(note, [witness.key for witness in self._asked])}
        wanted = [witness for witness in self._asked if witness.key not in have]
        return list(self._threads.map(lambda witness: self._ask(witness, note), wanted))

    def _ask(self, witness: Witness, note: Note) -> Answer:
        checkpoint = Checkpoint.parse(note.text)
        old = self._sizes.get(witness, 0)
        try:
            reply = self._post(witness, note, checkpoint, old)
            if reply.status_code == _OLD_SIZE:
                seen = _size(reply.text)
                self._sizes[witness] = seen
                if seen > checkpoint.size:
                    return Answer(witness, (), "ahead", _ahead(witness, checkpoint, seen), seen)
                if seen != old:
                    reply = self._post(witness, note, checkpoint, seen)
        except httpx.HTTPError as error:
            return Answer(
                witness, reason="unreachable", trouble=f"{witness.name}: {str(error) or type(error).__name__}"
            )
        except (BadProof, ValueError) as error:
            return Answer(witness, reason="invalid", trouble=f"{witness.name}: {error}")
        if reply.status_code != httpx.codes.OK:
            reason = "contradicted" if reply.status_code == _CONTRADICTED else "refused"
            said = reply.text[:200].strip().splitlines()
            told = f": {said[0]}" if said else ""
            return Answer(
                witness, reason=reason, trouble=f"{witness.name} answered {reply.status_code}{told}"
            )
        try:
            signatures = _counting(f"{note.text}\n{reply.text}".encode(), witness)
        except BadNote as error:
            return Answer(
                witness, reason="invalid", trouble=f"{witness.name}: its answer does not count: {error}"
            )
        self._sizes[witness] = checkpoint.size
        return Answer(witness, signatures, seen=checkpoint.size)

    def _post(self, witness: Witness, note: Note, checkpoint: Checkpoint, old: int) -> httpx.Response:
        """One request; an answer longer than any cosignature is not read to its end.

        Raises:
            httpx.HTTPError: it does not answer in time, or with too much.
        """
        proof = consistency_proof(old, checkpoint.size, subtrees_in_tiles(checkpoint.size, self._read))
        lines = "".join(f"{base64_of(one)}\n" for one in proof)
        signed = Note(note.text, note.signatures[:1])
        body = f"old {old}\n{lines}\n{signed}".encode()
        url = f"{str(witness.url).rstrip('/')}/add-checkpoint"
        with self._client.stream("POST", url, content=body) as reply:
            content = b""
            for piece in reply.iter_bytes():
                content += piece
                if len(content) > _MOST_BYTES:
                    raise httpx.ReadError(f"its answer is longer than {_MOST_BYTES} bytes")
            return httpx.Response(reply.status_code, headers=reply.headers, content=content)


def with_signatures(note: Note, answers: Sequence[Answer]) -> Note:
    """The note with the cosignatures that were given."""
    return Note(note.text, note.signatures + tuple(one for answer in answers for one in answer.signatures))


def _counting(content: bytes, witness: Witness) -> tuple[Signature, ...]:
    """The cosignatures of the witness, out of a checkpoint with its answer below."""
    note = parse_note(content)
    if not cosignatures(note, [witness.key]):
        raise BadNote("no cosignature by its key in the policy")
    key = witness.key
    return tuple(one for one in note.signatures if (one.name, one.key_id) == (key.name, key.key_id))


def _size(text: str) -> int:
    line = text.removesuffix("\n")
    if not (line.isascii() and line.isdigit() and len(line) < 20):
        raise ValueError("answered 409 without the size that it knows")
    return int(line)


def _ahead(witness: Witness, checkpoint: Checkpoint, seen: int) -> str:
    return (
        f"{witness.name} has cosigned a head of {seen} leaves, this log has {checkpoint.size}: leaves were "
        "lost (an old backup that was restored?), or another log uses this name and key"
    )
