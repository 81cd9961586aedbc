"""What is asked of a witness and what it answers: C2SP tlog-witness v1.0.0, ``add-checkpoint``.

Pure: bytes in, a request or a refusal out; a request and the latest cosigned head in, a verdict out.  The
checks come in the specification's order: origin, signature, old size against the checkpoint's and against the
state, proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.checkpoints import Checkpoint
from ledger.encoded import decimal, decoded_hash
from ledger.errors import BadNote, BadProof, BadSignature
from ledger.merkle import EMPTY_ROOT, check_consistency
from ledger.notes import Note, Signature, VerifierKey, parse_note, verified
from witness.errors import Outcome, Refused

MOST_HASHES: Final = 63
"""The specification's bound on the lines of a proof."""
TEXT: Final = "text/plain; charset=utf-8"
SIZE: Final = "text/x.tlog.size"
STATUS: Final[Mapping[Outcome, int]] = {
    Outcome.COSIGNED: 200,
    Outcome.MALFORMED: 400,
    Outcome.UNKNOWN_LOG: 404,
    Outcome.UNTRUSTED: 403,
    Outcome.OLD_TOO_LARGE: 400,
    Outcome.CONFLICT: 409,
    Outcome.FORK: 422,
    Outcome.BAD_PROOF: 422,
    Outcome.UNAVAILABLE: 503,
    Outcome.TOO_LARGE: 413,
    Outcome.TOO_SLOW: 408,
}


@dataclass(frozen=True, slots=True)
class Request:
    """A checkpoint, only its origin looked at yet, and the proof that ``old`` leaves begin its tree."""

    old: int
    proof: tuple[bytes, ...]
    origin: str
    note: Note


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint that the log signed; ``note`` has one signature by each key that we trust, no others."""

    checkpoint: Checkpoint
    note: Note


@dataclass(frozen=True, slots=True)
class Head:
    """The latest cosigned checkpoint of a log: size in leaves, root (32 bytes), and the note, cosigned."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str
    content_type: str = TEXT


def parse_request(body: bytes) -> Request:
    """A request from its body.

    Raises:
        Refused: malformed; the message says where and what was expected.
    """
    head, separator, checkpoint = body.partition(b"\n\n")
    if not separator:
        raise Refused(Outcome.MALFORMED, "expected `old SIZE`, the proof, an empty line and a checkpoint")
    try:
        first, *rest = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Refused(Outcome.MALFORMED, "the lines before the checkpoint are ASCII") from error
    if not first.startswith("old "):
        raise Refused(Outcome.MALFORMED, f"the first line is `old SIZE`, not {first[:32]!r}")
    if len(rest) > MOST_HASHES:
        message = f"a proof of {len(rest)} hashes: expected at most {MOST_HASHES}"
        raise Refused(Outcome.MALFORMED, message)
    try:
        old = decimal(first.removeprefix("old "), "the old size")
        proof = tuple(decoded_hash(line, "a hash of the proof") for line in rest)
        note = parse_note(checkpoint)
    except BadNote as error:
        raise Refused(Outcome.MALFORMED, str(error)) from error
    origin, _, _ = note.text.partition("\n")
    if not origin:
        raise Refused(Outcome.MALFORMED, "the checkpoint starts with an empty line: expected its origin")
    return Request(old, proof, origin, note)


def signed_checkpoint(request: Request, logs: Mapping[str, Sequence[VerifierKey]]) -> Signed:
    """The checkpoint of a request, if one of the ``logs`` (keys by origin) signed it.

    Raises:
        Refused: no such log, no or a bad signature, or signed but no checkpoint.
    """
    keys = logs.get(request.origin)
    if keys is None:
        raise Refused(Outcome.UNKNOWN_LOG, f"this witness does not know the log {request.origin[:64]!r}")
    try:
        found = {(key.name, key.key_id) for key in verified(request.note, keys)}
    except BadSignature as error:
        raise Refused(Outcome.UNTRUSTED, str(error)) from error
    if not found:
        raise Refused(Outcome.UNTRUSTED, f"no signature by a key of {request.origin} that is trusted here")
    try:
        checkpoint = Checkpoint.parse(request.note.text)
    except BadNote as error:
        raise Refused(Outcome.MALFORMED, str(error)) from error
    first: dict[tuple[str, bytes], Signature] = {}
    for one in request.note.signatures:
        if (one.name, one.key_id) in found:
            first.setdefault((one.name, one.key_id), one)
    return Signed(checkpoint, Note(request.note.text, tuple(first.values())))


def contradicts(checkpoint: Checkpoint, head: Head | None) -> bool:
    """Whether a log signed two roots for one size; this takes no proof, and there is no excuse for it."""
    return head is not None and checkpoint.size == head.size and checkpoint.root != head.root


def check_against(head: Head | None, old: int, proof: Sequence[bytes], checkpoint: Checkpoint) -> None:
    """Raise unless the checkpoint may be cosigned after ``head`` (None: nothing of this log was yet).

    Raises:
        Refused: it may not; the message says why.
    """
    size, root = (0, EMPTY_ROOT) if head is None else (head.size, head.root)
    if old > checkpoint.size:
        message = f"the old size, {old}, is larger than the checkpoint's, {checkpoint.size}"
        raise Refused(Outcome.OLD_TOO_LARGE, message)
    if old != size:
        raise Refused(Outcome.CONFLICT, f"the latest cosigned size is {size}, not {old}", size=size)
    if contradicts(checkpoint, head):
        raise Refused(Outcome.FORK, f"another root was cosigned for the size {size}")
    try:
        check_consistency(size, root, checkpoint.size, checkpoint.root, proof)
    except BadProof as error:
        raise Refused(Outcome.BAD_PROOF, str(error)) from error


def refusal(refused: Refused) -> Answer:
    """The answer that tells of it."""
    if refused.size is not None:
        return Answer(STATUS[refused.outcome], f"{refused.size}\n", SIZE)
    return Answer(STATUS[refused.outcome], f"{refused}\n")
