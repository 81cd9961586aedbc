"""What tests ask of a witness: bodies of requests, and what an answer is worth."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.cosignatures import Cosignature, cosignatures
from ledger.encoded import base64_of
from ledger.notes import Note, SigningKey, parse_note
from tests.logs import WITNESSES, MemoryLog

WITNESS = WITNESSES[0]


def body(old: int | str, proof: Sequence[bytes], note: Note | str) -> bytes:
    """The body of a request."""
    return ("\n".join([f"old {old}", *map(base64_of, proof), "", ""]) + str(note)).encode()


def growth(log: MemoryLog, old: int, size: int) -> bytes:
    """The request that a log makes to have ``size`` leaves cosigned after ``old``."""
    return body(old, log.consistency(old, size), log.note(size))


def cosigned(note: Note, answer: str, witness: SigningKey = WITNESS) -> tuple[Cosignature, ...]:
    """The witness's cosignatures in an answer, checked against what was sent."""
    return cosignatures(parse_note((str(note) + answer).encode()), [witness.verifier])
