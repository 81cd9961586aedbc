"""What walking along a chain meets when something is wrong: facts, not yet conclusions.

A walker sees one row after the other and can only say what does not fit.  What happened (was a value
altered, were two rows exchanged, did a row come from another machine?) shows when all pieces lie together:
``audit.diagnosis``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ledger.chain import genesis, link
from store.reader import bytes_of


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A row as it was read: where it stands, the image that is hashed, the hash that it carries."""

    chain: str
    seq: int
    image: bytes
    row_hash: bytes

    def follows(self, previous: bytes) -> bool:
        """Whether the row's hash is the one that belongs after ``previous``."""
        return link(previous, self.image) == self.row_hash

    def renumbered(self, seq: int) -> bytes:
        """The image that this row had if its ``seq`` was another."""
        place = seq_offset(self.chain)
        return self.image[:place] + seq.to_bytes(8, "big", signed=True) + self.image[place + 8 :]

    def moved(self, chain: str, seq: int) -> bytes:
        """The image that this row had if it was row ``seq`` of ``chain``."""
        image = self.renumbered(seq)
        if chain == self.chain:
            return image
        name = bytes_of(chain)
        end = CHAIN_OFFSET + 4 + len(bytes_of(self.chain))
        return image[:CHAIN_OFFSET] + len(name).to_bytes(4, "big") + name + image[end:]


def start_of(stream: str, chain: str) -> bytes:
    """The hash that a chain's first row builds on; nothing honest builds on that of a name without UTF-8."""
    try:
        return genesis(stream, chain)
    except UnicodeEncodeError:
        return b""


CHAIN_OFFSET = 26
"""Where the chain's length word stands in an image: after the field count and two timestamps."""


def seq_offset(chain: str) -> int:
    """Where the eight bytes of ``seq`` stand in an image of a row of ``chain``."""
    return CHAIN_OFFSET + 4 + len(bytes_of(chain)) + 4


@dataclass(slots=True)
class Mismatch:
    """A row in its place whose hash is not that of its values after the hash of the row before.

    ``follower_fits``: whether the next row's hash builds on the hash that this row carries; None if there
    is no next row.  ``head_hash``: the chain's head, where this is the row that it should point at.
    """

    row: SeenRow
    previous: bytes
    follower_fits: bool | None = None
    head_hash: bytes | None = None


@dataclass(slots=True)
class Gap:
    """No row stands at ``first`` to ``last``.

    ``previous``: the hash of the row before the gap, if there is one.  ``after``: the row behind it, whose
    own link can't be checked.  ``head_hash``: the head's, where the gap reaches from the last row to the
    head.
    """

    chain: str
    first: int
    last: int
    previous: bytes | None
    after: SeenRow | None
    head_hash: bytes | None = None


class Odd(StrEnum):
    """Why a row has no place in its chain."""

    DUPLICATE = "another row of the chain has the same seq"
    BELOW = "a chain starts at seq 1"
    BEYOND = "it lies beyond the chain's head and does not follow from the chain"
    HEADLESS = "its chain has no head and it does not follow from that chain's start"


@dataclass(slots=True)
class Extra:
    """A row that has no place in the chain where it stands."""

    row: SeenRow
    why: Odd


@dataclass(slots=True)
class Beyond:
    """Rows that follow from the chain as they should, but lie beyond its head."""

    chain: str
    first: int
    last: int
    image: bytes


@dataclass(slots=True)
class HeadWrong:
    """A head that disagrees with the chain's rows.  ``says``: what it says; ``found``: the last row."""

    chain: str
    seq: int
    row_hash: bytes
    last_seq: int
    renumbered: bool
    """Its hash is that of the chain's last row, only its seq is not."""


@dataclass(slots=True)
class HeadMissing:
    """A chain of rows that follow from each other, without a head."""

    chain: str
    last_seq: int
    row_hash: bytes


@dataclass(slots=True)
class HeadAlone:
    """A head of a chain that has no row at all."""

    chain: str
    seq: int
    row_hash: bytes


@dataclass(slots=True)
class Undescribed:
    """The first row met that refers to a description of its sender that is not kept."""

    chain: str
    seq: int
    image: bytes
    digest: bytes


Evidence = Mismatch | Gap | Extra | Beyond | HeadWrong | HeadMissing | HeadAlone | Undescribed


def weight(piece: Evidence) -> int:
    """Roughly how many bytes of memory a piece holds on to."""
    match piece:
        case Mismatch() | Extra():
            return len(piece.row.image) + 300
        case Gap():
            return 300 + (len(piece.after.image) if piece.after else 0)
        case Beyond() | Undescribed():
            return len(piece.image) + 300
        case _:
            return 400


def where(piece: Evidence) -> tuple[str, int]:
    """Chain and seq at which a piece lies, for sorting."""
    match piece:
        case Mismatch() | Extra():
            return piece.row.chain, piece.row.seq
        case Gap() | Beyond():
            return piece.chain, piece.first
        case HeadMissing() | HeadWrong():
            return piece.chain, piece.last_seq
        case _:
            return piece.chain, piece.seq
