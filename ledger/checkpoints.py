"""Checkpoints of a transparency log: C2SP tlog-checkpoint v1.0.0.

A checkpoint is the text of a note, signed by the log: which log, how many leaves, and the root over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ledger.encoded import base64_of, decimal, decoded_hash
from ledger.errors import BadNote


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's head: its origin (like a URL without scheme), its size in leaves, and its root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that a log signs: no extension lines."""
        return f"{self.origin}\n{self.size}\n{base64_of(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The head that a note's text states.

        Extension lines, which the specification allows, are left out.  They are part of what is signed, so
        whoever signs or verifies goes by the note's own text, never by :attr:`text`.

        Raises:
            BadNote: it is no checkpoint; the message says why.
        """
        *lines, rest = text.split("\n")
        if rest or len(lines) < 3 or not all(lines):
            raise BadNote("a checkpoint has three lines or more, none empty: first origin, size and root")
        origin, size, root, *extensions = lines
        if any(character.isspace() or character == "+" for character in origin):
            raise BadNote(f"a checkpoint's origin has no space and no plus sign, unlike {origin[:64]!r}")
        if any(character < " " for line in extensions for character in line):
            raise BadNote("a checkpoint's extension lines have no control characters")
        return cls(origin, decimal(size, "a checkpoint's size"), decoded_hash(root, "a checkpoint's root"))
