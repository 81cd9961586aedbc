"""Checkpoints of a transparency log: C2SP tlog-checkpoint v1.0.0.

A checkpoint is the text of a note, signed by the log: which log, how many leaves, and the root over them.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final, Self

from ledger.errors import BadNote
from ledger.merkle import MOST_LEAVES

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's head: its origin (like a URL without scheme), its size in leaves, and its root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of :attr:`text`.  Extension lines are refused: nothing that we verify has any.

        Raises:
            BadNote: it is no checkpoint; the message says why.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:
            raise BadNote(f"a checkpoint has three lines: origin, size and root; this has {len(lines) - 1}")
        origin, size, root = lines[:3]
        if not origin or any(character.isspace() or character == "+" for character in origin):
            raise BadNote(f"a checkpoint's origin has no space and no plus sign, unlike {origin[:64]!r}")
        if _SIZE.fullmatch(size) is None or int(size) > MOST_LEAVES:
            raise BadNote(f"a checkpoint's size is a number without leading zeros, unlike {size[:32]!r}")
        try:
            decoded = base64.b64decode(root.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise BadNote("a checkpoint's root is no base64") from error
        if len(decoded) != 32 or base64.b64encode(decoded).decode() != root:
            raise BadNote("a checkpoint's root is 32 bytes in canonical base64")
        return cls(origin, int(size), decoded)
