"""Cosignatures: C2SP tlog-cosignature v1.0.1, of the kind timestamped Ed25519 (type 0x04).

A witness states with it that, at that time, this head was the largest that it knew of the log, and that every
head it knew before is a beginning of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger.checkpoints import Checkpoint
from ledger.errors import BadNote, BadSignature
from ledger.notes import COSIGNATURE, Note, Signature, SigningKey, VerifierKey

LATEST_UNIX_S: Final = 2**63 - 1
"""The specification's bound on the time."""
_TIME: Final = struct.Struct(">Q")
_VALUE_LENGTH: Final = _TIME.size + 64


@dataclass(frozen=True, slots=True)
class Cosignature:
    """Who cosigned, and when, in whole seconds since 1970."""

    key: VerifierKey
    unix_s: int


def cosign(text: str, key: SigningKey, unix_s: int) -> Signature:
    """The cosignature of a checkpoint's whole text (extension lines included) at that time.

    Raises:
        BadNote: the key is of another kind, the text is no checkpoint, or there is no such time.
    """
    if key.kind != COSIGNATURE:
        raise BadNote(f"key {key.name} is of type {key.kind}, a witness's is of type {COSIGNATURE}")
    if not 0 <= unix_s <= LATEST_UNIX_S:
        raise BadNote(f"a cosignature's time is from 0 to 2^63 - 1 seconds, not {unix_s}")
    Checkpoint.parse(text)
    value = _TIME.pack(unix_s) + key.sign(_message(text, unix_s))
    return Signature(key.name, key.verifier.key_id, value)


def cosignatures(note: Note, keys: Iterable[VerifierKey]) -> tuple[Cosignature, ...]:
    """Those of the cosigning ``keys`` that cosigned the note, in its order; each once, at its earliest time.

    Keys of another kind, and signatures by keys that are not among them, are left alone.

    Raises:
        BadSignature: a cosignature by one of them is wrong.
    """
    known = {(key.name, key.key_id): key for key in keys if key.kind == COSIGNATURE}
    found: dict[VerifierKey, int] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is not None:
            unix_s = _checked(note.text, signature.value, key)
            found[key] = min(unix_s, found.get(key, unix_s))
    return tuple(Cosignature(key, unix_s) for key, unix_s in found.items())


def _checked(text: str, value: bytes, key: VerifierKey) -> int:
    """The time of a cosignature that is right."""
    wrong = f"the cosignature by {key.name}+{key.key_id.hex()} is wrong"
    if len(value) != _VALUE_LENGTH:
        raise BadSignature(f"{wrong}: it has {len(value)} bytes, expected {_VALUE_LENGTH}")
    (unix_s,) = _TIME.unpack_from(value)
    if unix_s > LATEST_UNIX_S:
        raise BadSignature(f"{wrong}: its time is over 2^63 - 1")
    key.check(_message(text, unix_s), value[_TIME.size :])
    return int(unix_s)


def _message(text: str, unix_s: int) -> bytes:
    return f"cosignature/v1\ntime {unix_s}\n{text}".encode()
