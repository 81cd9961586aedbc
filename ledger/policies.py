"""Whom a verifier believes: C2SP tlog-policy, a file that names logs, witnesses, and how many must agree.

A checkpoint counts if one of the logs signed it and a quorum of the witnesses cosigned it.  Names of
witnesses and groups have a meaning inside the file alone; what counts of a witness is its key.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from ledger.checkpoints import Checkpoint
from ledger.cosignatures import Cosignature, cosignatures
from ledger.errors import BadNote
from ledger.notes import COSIGNATURE, ED25519, Note, VerifierKey, verified

MOST_BYTES: Final = 100_000
"""Our choice: hundreds of witnesses fit; the specification asks for 32."""
_NONE: Final = "none"
_ALLOWED: Final = frozenset(b"\t\n") | frozenset(range(0x20, 0x7F)) | frozenset(range(0x80, 0x100))


@dataclass(frozen=True, slots=True)
class LogKey:
    """A log: its name is the origin of its checkpoints."""

    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness, by the name that it has in the policy."""

    name: str
    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses and groups, by name: it agrees if ``threshold`` of them do."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    r"""A policy; groups come after their members; ``quorum`` is a name, or None if no witness is asked for.

    A name that is not printable UTF-8 is kept with its other octets, and backslashes, as ``\xNN``.
    """

    logs: tuple[LogKey, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str | None

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """A policy from its file; the last line may lack its line break.

        Raises:
            BadNote: it is none; the message says in which line and why.
        """
        if len(content) > MOST_BYTES:
            raise BadNote(f"a policy of {len(content)} bytes: expected at most {MOST_BYTES}")
        reader = _Reader()
        for number, line in enumerate(content.split(b"\n"), start=1):
            try:
                reader.read(line)
            except BadNote as error:
                raise BadNote(f"policy, line {number}: {error}") from error
        if not reader.quorum:
            raise BadNote("a policy has one line `quorum NAME`, or `quorum none`; this has none")
        (quorum,) = reader.quorum
        return cls(
            tuple(reader.logs),
            tuple(reader.witnesses),
            tuple(reader.groups),
            None if quorum == _NONE else quorum,
        )

    def quorum_met(self, keys: Collection[VerifierKey]) -> bool:
        """Whether cosignatures by these keys are enough."""
        agreeing = {witness.name for witness in self.witnesses if witness.key in keys}
        for group in self.groups:
            if sum(member in agreeing for member in group.members) >= group.threshold:
                agreeing.add(group.name)
        return self.quorum is None or self.quorum in agreeing

    @property
    def quorum_text(self) -> str:
        """For people: "2 of a, b, c", groups within it in brackets; "none" if no witness is asked for."""
        texts = {witness.name: witness.name for witness in self.witnesses}
        for group in self.groups:
            if group.name == self.quorum:
                return _group_text(group, texts)
            # A name is a member of one group at most, so that its text is not needed again.
            texts[group.name] = f"({_group_text(group, texts)})"
        return self.quorum or _NONE


@dataclass(frozen=True, slots=True)
class Seen:
    """What a policy makes of a checkpoint: which log signed it, who cosigned it, and if they are enough."""

    checkpoint: Checkpoint
    log: VerifierKey
    cosigned: tuple[Cosignature, ...]
    quorum: bool


def check_note(note: Note, policy: Policy) -> Seen:
    """A checkpoint that one of the policy's logs signed; whoever asks decides what a missing quorum means.

    Raises:
        BadSignature: a signature by a log or a witness of the policy is wrong.
        BadNote: it is no checkpoint, or none that a log of the policy with that origin signed.
    """
    checkpoint = Checkpoint.parse(note.text)
    logs = [log.key for log in policy.logs]
    signed = [key for key in verified(note, logs) if key.name == checkpoint.origin]
    if not signed:
        if checkpoint.origin not in {key.name for key in logs}:
            known = ", ".join(sorted({key.name for key in logs})) or "none"
            raise BadNote(f"{checkpoint.origin[:64]!r} is no log of the policy, which has: {known}")
        raise BadNote(f"the checkpoint of {checkpoint.origin} has no signature by its key in the policy")
    cosigned = cosignatures(note, [witness.key for witness in policy.witnesses])
    return Seen(checkpoint, signed[0], cosigned, policy.quorum_met({one.key for one in cosigned}))


class _Reader:
    """The lines of a policy, one after the other."""

    def __init__(self) -> None:
        self.logs: list[LogKey] = []
        self.witnesses: list[Witness] = []
        self.groups: list[Group] = []
        self.quorum: list[str] = []
        self._defined = {_NONE}
        self._members: set[str] = set()
        self._public: set[tuple[int, bytes]] = set()

    def read(self, line: bytes) -> None:
        for octet in line:
            if octet not in _ALLOWED:
                raise BadNote(f"control character 0x{octet:02x}; tab and line break alone are allowed")
        # Only spaces and tabs separate; bytes.split() would take other octets too.
        words = [word for word in line.replace(b"\t", b" ").split(b" ") if word]
        if not words or words[0].startswith(b"#"):
            return
        keyword, fields = words[0], words[1:]
        match keyword, len(fields):
            case b"log", 1 | 2:
                self.logs.append(LogKey(self._key(fields[0], ED25519), *_url(fields[1:])))
            case b"witness", 2 | 3:
                name = self._new_name(fields[0])
                self.witnesses.append(Witness(name, self._key(fields[1], COSIGNATURE), *_url(fields[2:])))
            case b"group", count if count >= 3:
                self._group(fields)
            case b"quorum", 1:
                self._quorum(_text(fields[0]))
            case _:
                raise BadNote(
                    "expected `log KEY [URL]`, `witness NAME KEY [URL]`, `group NAME K|all|any NAME...` or "
                    f"`quorum NAME`, not {_text(keyword)[:32]!r} with {len(fields)} more"
                )

    def _group(self, fields: list[bytes]) -> None:
        members = tuple(map(_text, fields[2:]))
        for member in members:
            if member == _NONE or member not in self._defined:
                raise BadNote(f"{member[:64]} is no witness or group of a line before")
            if member in self._members:
                raise BadNote(f"{member[:64]} is a member already, of this group or of another")
            self._members.add(member)
        # Defined after its members are looked up: a group is no member of itself.
        self.groups.append(Group(self._new_name(fields[0]), _threshold(fields[1], len(members)), members))

    def _quorum(self, name: str) -> None:
        if self.quorum:
            raise BadNote("a second quorum; a policy has one")
        if name not in self._defined:
            raise BadNote(f"{name[:64]} is no witness or group of a line before")
        self.quorum.append(name)

    def _new_name(self, field: bytes) -> str:
        name = _text(field)
        if name in self._defined:
            raise BadNote(
                f"the name {name[:64]} is taken: each witness and group has its own, and none is no name"
            )
        self._defined.add(name)
        return name

    def _key(self, field: bytes, kind: int) -> VerifierKey:
        try:
            key = VerifierKey.parse(field.decode())
        except UnicodeDecodeError as error:
            raise BadNote("a key is UTF-8") from error
        if key.kind != kind:
            raise BadNote(f"key {key.name} is of type {key.kind}, expected {kind} (logs 1, witnesses 4)")
        if (kind, key.public) in self._public:
            raise BadNote(f"key {key.name} was listed before, perhaps by another name")
        self._public.add((kind, key.public))
        return key


def _threshold(field: bytes, members: int) -> int:
    if field in {b"all", b"any"}:
        return members if field == b"all" else 1
    text = _text(field)
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) < 10 and int(text) <= members:
        return int(text)
    raise BadNote(f"expected all, any or a number from 1 to {members} (its members), not {text[:32]!r}")


def _url(fields: list[bytes]) -> tuple[str | None]:
    return (_text(fields[0]) if fields else None,)


def _text(octets: bytes) -> str:
    """Opaque octets as text that can be printed; different ones stay different."""
    return "".join(
        character
        if character.isprintable() and character != "\\"
        else "".join(f"\\x{octet:02x}" for octet in character.encode(errors="surrogateescape"))
        for character in octets.decode(errors="surrogateescape")
    )


def _group_text(group: Group, texts: dict[str, str]) -> str:
    return f"{group.threshold} of " + ", ".join(texts.pop(member) for member in group.members)
