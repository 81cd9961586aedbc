"""Statements about keys: that one follows another, and that one is no longer good.

Both are signed notes (C2SP signed-note v1.0.0) of our own making:

    tally/key-rotation/v1          tally/key-revocation/v1
    NAME                           NAME
    OLD VERIFIER KEY               VERIFIER KEY
    NEW VERIFIER KEY               TIME, RFC 3339, UTC, whole seconds
    TIME                           REASON, one line
    REASON

A rotation is signed by both keys: the old one says who follows, and the new one that it is there.  A
revocation is signed by its key.  The signatures are plain Ed25519 ones, a witness's key's too: cosignatures
are of checkpoints.  A checkpoint is no statement and a statement no checkpoint, as its second line is a
key's name and its third no root.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from ledger.errors import BadNote
from ledger.notes import ED25519, Note, SigningKey, VerifierKey, parse_note, sign_note, verified

ROTATION: Final = "tally/key-rotation/v1"
REVOCATION: Final = "tally/key-revocation/v1"
MOST_REASON: Final = 500
"""Characters, our choice: a sentence or two."""
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """From ``time`` on the key ``new`` signs in place of ``old``, of the same name and kind.

    Raises:
        BadNote: this can't be stated; the message says why.
    """

    old: VerifierKey
    new: VerifierKey
    time: datetime
    reason: str

    def __post_init__(self) -> None:
        if self.old.name != self.new.name:
            raise BadNote(f"a key's name stays: expected {self.old.name}, got {self.new.name[:64]!r}")
        if self.old.kind != self.new.kind:
            raise BadNote(f"a key's kind stays: expected {self.old.kind}, got {self.new.kind}")
        if self.old.public == self.new.public:
            raise BadNote(f"the key {self.old} can't follow itself")
        _check(self.time, self.reason)

    @property
    def text(self) -> str:
        """What is signed."""
        lines = (ROTATION, self.old.name, str(self.old), str(self.new), time_text(self.time), self.reason)
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of :attr:`text`.

        Raises:
            BadNote: it is no such statement; the message says why.
        """
        name, old, new, time, reason = _lines(text, ROTATION, 6)
        found = cls(VerifierKey.parse(old), VerifierKey.parse(new), parse_time(time), reason)
        _check_same(name, found.old)
        return found


@dataclass(frozen=True, slots=True)
class KeyRevocation:
    """What ``key`` signed from ``time`` on is not to be trusted.

    Raises:
        BadNote: this can't be stated; the message says why.
    """

    key: VerifierKey
    time: datetime
    reason: str

    def __post_init__(self) -> None:
        _check(self.time, self.reason)

    @property
    def text(self) -> str:
        """What is signed."""
        lines = (REVOCATION, self.key.name, str(self.key), time_text(self.time), self.reason)
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of :attr:`text`.

        Raises:
            BadNote: it is no such statement; the message says why.
        """
        name, key, time, reason = _lines(text, REVOCATION, 5)
        found = cls(VerifierKey.parse(key), parse_time(time), reason)
        _check_same(name, found.key)
        return found


def sign_rotation(old: SigningKey, new: SigningKey, time: datetime, reason: str) -> Note:
    """The statement that ``new`` follows ``old``, by both.

    Raises:
        BadNote: it can't be stated.
    """
    return sign_note(KeyRotation(old.verifier, new.verifier, time, reason).text, _plain(old), _plain(new))


def sign_revocation(key: SigningKey, time: datetime, reason: str) -> Note:
    """The statement that ``key`` is no longer good, by itself.

    Raises:
        BadNote: it can't be stated.
    """
    return sign_note(KeyRevocation(key.verifier, time, reason).text, _plain(key))


def check_rotation(content: bytes, old: VerifierKey | None = None) -> KeyRotation:
    """The rotation that a note states, signed by both of its keys; of the key ``old``, if that is given.

    Raises:
        BadNote: it is none, or is of another key, or a signature is missing; the message says which.
        BadSignature: a signature is wrong.
    """
    note = parse_note(content)
    found = KeyRotation.parse(note.text)
    if old is not None and found.old != old:
        raise BadNote(f"a rotation of another key: expected {old}, got {found.old}")
    _check_signed(note, found.old, found.new)
    return found


def check_revocation(content: bytes) -> KeyRevocation:
    """The revocation that a note states, signed by its key.

    Raises:
        BadNote: it is none, or the signature is missing; the message says which.
        BadSignature: the signature is wrong.
    """
    note = parse_note(content)
    found = KeyRevocation.parse(note.text)
    _check_signed(note, found.key)
    return found


def time_text(time: datetime) -> str:
    """An aware time in UTC as RFC 3339, in whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)


def parse_time(text: str) -> datetime:
    """The inverse of :func:`time_text`.

    Raises:
        BadNote: it is no such time.
    """
    try:
        if _TIME.fullmatch(text) is not None:
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise BadNote(f"expected a time like 2026-11-30T12:00:00Z, got {text[:32]!r}")


def _plain(key: SigningKey) -> SigningKey:
    return SigningKey(key.name, ED25519, key.seed)


def _check_signed(note: Note, *keys: VerifierKey) -> None:
    plain = [VerifierKey(key.name, ED25519, key.public) for key in keys]
    signers = verified(note, plain)
    for key, needed in zip(keys, plain, strict=True):
        if needed not in signers:
            raise BadNote(f"the statement is not signed by {key}")


def _lines(text: str, kind: str, count: int) -> list[str]:
    first, *others = text.removesuffix("\n").split("\n")
    if first != kind:
        raise BadNote(f"expected a statement {kind}, got one that starts with {first[:64]!r}")
    if len(others) != count - 1:
        raise BadNote(f"a statement {kind} has {count} lines, not {len(others) + 1}")
    return others


def _check(time: datetime, reason: str) -> None:
    if time.tzinfo is None or time.microsecond:
        raise BadNote("a statement's time is aware and in whole seconds")
    if not reason.strip() or len(reason) > MOST_REASON or not reason.isprintable():
        raise BadNote(f"a reason is one printable line of 1 to {MOST_REASON} characters")


def _check_same(name: str, key: VerifierKey) -> None:
    if name != key.name:
        raise BadNote(f"the statement is about {name[:64]!r}, but its key is {key}")
