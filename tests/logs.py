"""A small transparency log in memory, with its keys and witnesses, for tests of what verifies one."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from ledger.checkpoints import Checkpoint
from ledger.cosignatures import cosign
from ledger.merkle import consistency_proof, inclusion_proof, leaf_hash, node_hash, root_hash
from ledger.notes import COSIGNATURE, ED25519, Note, SigningKey, sign_note

ORIGIN = "log.example/tally"
LOG = SigningKey(ORIGIN, ED25519, bytes(range(32)))
WITNESSES = tuple(
    SigningKey(f"witness-{letter}.example", COSIGNATURE, sha256(letter.encode()).digest())
    for letter in "abcd"
)
MOMENT = 1_679_315_147


class MemoryLog:
    """A tree of these entries, of which any size up to all of them can be signed and proven."""

    def __init__(self, entries: Sequence[bytes], key: SigningKey = LOG) -> None:
        self.leaves = [leaf_hash(entry) for entry in entries]
        self.key = key

    @classmethod
    def of(cls, size: int, salt: bytes = b"") -> MemoryLog:
        """Entries that differ with the ``salt``."""
        return cls([salt + index.to_bytes(4) for index in range(size)])

    def subtree(self, level: int, index: int) -> bytes:
        if level == 0:
            return self.leaves[index]
        return node_hash(self.subtree(level - 1, 2 * index), self.subtree(level - 1, 2 * index + 1))

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.key.name, size, root_hash(size, self.subtree))

    def note(self, size: int, witnesses: Sequence[SigningKey] = (), extension: str = "") -> Note:
        text = self.checkpoint(size).text + extension
        signed = sign_note(text, self.key)
        lines = tuple(cosign(text, witness, MOMENT) for witness in witnesses)
        return Note(text, signed.signatures + lines)

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        return tuple(inclusion_proof(index, size, self.subtree))

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        return tuple(consistency_proof(old, size, self.subtree))


def policy_text(quorum: str = "group q 2 a b c\nquorum q\n", logs: Sequence[SigningKey] = (LOG,)) -> bytes:
    """A policy of these logs and witnesses a, b, c and d, with these lines after them."""
    lines = [f"log {log.verifier}\n" for log in logs]
    lines += [f"witness {name} {witness.verifier}\n" for name, witness in zip("abcd", WITNESSES, strict=True)]
    return ("".join(lines) + quorum).encode()
