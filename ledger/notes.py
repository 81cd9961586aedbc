"""Signed notes: C2SP signed-note v1.0.0, with Ed25519 keys.

A note is a text and the signatures of it, by keys that have a name each.  Parsing takes any signatures; which
of them count, a verifier says.  Those by keys that it knows are checked, and a wrong one spoils the note.
Those by other keys are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.encoded import base64_of, decoded
from ledger.errors import BadNote, BadSignature

MOST_SIGNATURES: Final = 100
"""The specification asks for 16 at least; more than these are nobody's policy."""
MOST_BYTES: Final = 1_000_000
"""Our choice, far more than any checkpoint with its signatures."""
ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
"""The timestamped Ed25519 signature of a witness."""
_DASH: Final = "\u2014"
_PRIVATE: Final = "PRIVATE+KEY+"


@dataclass(frozen=True, slots=True)
class Signature:
    """A line: whose, by which key (four bytes of its identifier), and what it signed with."""

    name: str
    key_id: bytes
    value: bytes

    def __str__(self) -> str:
        blob = base64_of(self.key_id + self.value)
        return f"{_DASH} {self.name} {blob}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends with a line break, and its signatures in their order."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key: name, kind of the signatures it makes (``ED25519`` or ``COSIGNATURE``), and 32 bytes."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes by which signatures name the key."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        blob = base64_of(bytes([self.kind]) + self.public)
        return f"{self.name}+{self.key_id.hex()}+{blob}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of ``str``.

        Raises:
            BadNote: it is no key; the message says why.
        """
        name, _, rest = text.partition("+")
        key_id, _, blob = rest.partition("+")
        _check_name(name)
        content = decoded(blob, "a verifier key")
        if len(content) != 33 or content[0] not in {ED25519, COSIGNATURE}:
            raise BadNote(f"key {name}: expected an Ed25519 key of type 1 or 4, 33 bytes with its type")
        key = cls(name, content[0], content[1:])
        if key_id != key.key_id.hex():
            raise BadNote(f"key {name}: its identifier is {key.key_id.hex()}, not {key_id[:16]!r}")
        return key

    def check(self, message: bytes, value: bytes) -> None:
        """Raise unless ``value`` (64 bytes) is this key's Ed25519 signature of ``message``.

        Raises:
            BadSignature: it is not.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(value, message)
        except (InvalidSignature, ValueError) as error:
            raise BadSignature(f"the signature by {self.name}+{self.key_id.hex()} is wrong") from error


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private key: its seed is never shown by ``repr``."""

    name: str
    kind: int
    seed: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)

    def __repr__(self) -> str:
        return f"SigningKey({self.verifier})"

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.kind, self._private.public_key().public_bytes_raw())

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature."""
        return self._private.sign(message)

    def to_text(self) -> str:
        """As it is kept in a file: ``PRIVATE+KEY+name+identifier+base64``."""
        blob = base64_of(bytes([self.kind]) + self.seed)
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{blob}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of :meth:`to_text`.

        Raises:
            BadNote: it is no key; the message never has any of it.
        """
        name, _, rest = text.strip().removeprefix(_PRIVATE).partition("+")
        key_id, _, blob = rest.partition("+")
        if not text.startswith(_PRIVATE):
            raise BadNote(f"a signing key starts with {_PRIVATE}")
        content = decoded(blob, "a signing key")
        if len(content) != 33 or content[0] not in {ED25519, COSIGNATURE}:
            raise BadNote("a signing key: expected an Ed25519 key of type 1 or 4, 33 bytes with its type")
        key = cls(name, content[0], content[1:])
        if key_id != key.verifier.key_id.hex():
            raise BadNote(f"signing key {name}: its identifier is not that of its public half")
        return key


def sign_note(text: str, *keys: SigningKey) -> Note:
    """A text with the plain Ed25519 signatures of these keys.

    Raises:
        BadNote: the text can't be a note's.
    """
    _check_text(text)
    return Note(text, tuple(Signature(k.name, k.verifier.key_id, k.sign(text.encode())) for k in keys))


def parse_note(content: bytes) -> Note:
    """A note from its bytes.

    Raises:
        BadNote: they are none; the message says why.
    """
    if len(content) > MOST_BYTES:
        raise BadNote(f"a note of {len(content)} bytes: expected at most {MOST_BYTES}")
    try:
        whole = content.decode()
    except UnicodeDecodeError as error:
        raise BadNote("a note is UTF-8") from error
    text, separator, lines = whole.rpartition("\n\n")
    if not separator:
        raise BadNote("a note has an empty line between its text and its signatures")
    text += "\n"
    _check_text(text)
    if not lines.endswith("\n"):
        raise BadNote("a note has signatures, a line each, and ends with a line break")
    signed = lines[:-1].split("\n")
    if len(signed) > MOST_SIGNATURES:
        raise BadNote(f"a note with {len(signed)} signatures: expected at most {MOST_SIGNATURES}")
    return Note(text, tuple(map(_signature, signed)))


def verified(note: Note, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Those of the plain Ed25519 ``keys`` that signed the note.

    Raises:
        BadSignature: a signature by one of them is wrong.
    """
    known = {(key.name, key.key_id): key for key in keys if key.kind == ED25519}
    found: dict[VerifierKey, None] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is not None:
            key.check(note.text.encode(), signature.value)
            found[key] = None
    return tuple(found)


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, blob = rest.partition(" ")
    if dash != _DASH:
        raise BadNote(f"a signature line starts with an em dash and a space, not {line[:8]!r}")
    _check_name(name)
    content = decoded(blob, f"the signature by {name[:64]}")
    if len(content) < 5:
        raise BadNote(f"the signature by {name[:64]} is too short")
    return Signature(name, content[:4], content[4:])


def _check_name(name: str) -> None:
    if not name or "+" in name or any(character.isspace() for character in name) or not name.isprintable():
        raise BadNote(f"a key's name has no space and no plus sign and is not empty, unlike {name[:64]!r}")


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise BadNote("a note's text ends with a line break")
    if any(character < " " and character != "\n" for character in text):
        raise BadNote("a note has no control characters but line breaks")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadNote("a note is UTF-8") from error
