"""The statement of heads: how far each chain was sealed, said within the tree itself.

The leaves of a tree are hashes of rows and say nothing of what was left out.  So each batch of leaves ends
with one that commits to a text: every chain that there is, its last sealed row, and the sites that it has
named. Who holds two such statements and a checkpoint over both knows which rows a chain got in between, and
how many. Format: ``docs/log.md``, section 3; lines of RFC 8785 canonical JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final, NamedTuple, Self

from ledger.errors import BadProof

FORMAT: Final = "tally/heads/v1"
COLUMNS: Final = ("stream", "chain", "seq", "row_hash", "sites")
MOST_SITES: Final = 100
"""Sites that a head names; a chain with more of them is said to be of any.  Our choice: a machine has one."""
ANY_SITE: Final = "*"
_ENTRY: Final = f"{FORMAT}\n".encode()


def merged_sites(*named: tuple[str, ...]) -> tuple[str, ...]:
    """All these sites in order, each once; if they are too many, ``ANY_SITE`` alone."""
    sites = {site for one in named for site in one}
    return tuple(sorted(sites)) if len(sites) <= MOST_SITES and ANY_SITE not in sites else (ANY_SITE,)


class ChainHead(NamedTuple):
    """The last sealed row of a chain, its hash (32 bytes), and the sites that the chain has named."""

    stream: str
    chain: str
    seq: int
    row_hash: bytes
    sites: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """As it stands in a statement."""
        return _canonical([self.stream, self.chain, self.seq, self.row_hash.hex(), list(self.sites)]) + "\n"

    def at_site(self, site: str) -> bool:
        """Whether the chain may have rows of that site."""
        return site in self.sites or ANY_SITE in self.sites

    @property
    def place(self) -> tuple[bytes, bytes]:
        """What statements are sorted by: the UTF-8 bytes of stream and chain."""
        return self.stream.encode(), self.chain.encode()


@dataclass(frozen=True, slots=True)
class Batch:
    """Leaves that were sealed together, as the batch ``number`` (1 and up) of the log ``origin``.

    ``leaves`` counts the statement's own, which is the last; ``sealed_at`` is the sealer's clock.
    """

    origin: str
    number: int
    first_leaf: int
    leaves: int
    sealed_at: datetime

    @property
    def size(self) -> int:
        """Of the tree with this batch."""
        return self.first_leaf + self.leaves

    @property
    def line(self) -> str:
        """The first line of the batch's statement."""
        return (
            _canonical(
                {
                    "batch": self.number,
                    "columns": list(COLUMNS),
                    "first_leaf": self.first_leaf,
                    "format": FORMAT,
                    "leaves": self.leaves,
                    "origin": self.origin,
                    "sealed_at": f"{self.sealed_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
                }
            )
            + "\n"
        )


def statement_text(batch: Batch, lines: Iterable[str]) -> str:
    """The statement of a batch, from the lines of all heads in their order."""
    return batch.line + "".join(lines)


def statement_digest(text: str) -> bytes:
    """SHA-256 of a statement."""
    return sha256(text.encode()).digest()


def statement_entry(digest: bytes) -> bytes:
    """The leaf that commits to a statement: longer than a row's, so that neither passes for the other."""
    return _ENTRY + digest


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of heads, read: its batch, and every chain's head by stream and chain."""

    batch: Batch
    heads: dict[tuple[str, str], ChainHead]
    digest: bytes

    @property
    def index(self) -> int:
        """Of its leaf: the last of its batch."""
        return self.batch.size - 1

    @property
    def entry(self) -> bytes:
        """Its leaf."""
        return statement_entry(self.digest)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read a statement.

        Raises:
            BadProof: it is none, or not in its one canonical form; the message says where.
        """
        try:
            first, *lines = content.decode().split("\n")[:-1]
            batch = _batch(json.loads(first))
            heads = [_head(json.loads(line)) for line in lines]
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
            raise BadProof(f"this is no statement of heads: {str(error)[:200]}") from error
        if statement_text(batch, (head.line for head in heads)).encode() != content:
            raise BadProof("a statement of heads that is not in canonical form")
        places = [head.place for head in heads]
        if any(left >= right for left, right in pairwise(places)):
            raise BadProof("a statement of heads whose chains are not in order, each once")
        return cls(batch, {(head.stream, head.chain): head for head in heads}, sha256(content).digest())


def _batch(value: Any) -> Batch:
    if value["format"] != FORMAT or value["columns"] != list(COLUMNS):
        raise ValueError(f"its format is not {FORMAT}")
    batch = Batch(
        str(value["origin"]),
        _count(value["batch"]),
        _count(value["first_leaf"], 0),
        _count(value["leaves"]),
        datetime.fromisoformat(value["sealed_at"]),
    )
    if batch.sealed_at.tzinfo is None:
        raise ValueError("sealed_at has no time zone")
    return batch


def _head(value: Any) -> ChainHead:
    stream, chain, seq, row_hash, sites = value
    if not (isinstance(stream, str) and isinstance(chain, str) and isinstance(sites, list)):
        raise TypeError("stream and chain are texts, sites a list")
    if not all(isinstance(site, str) for site in sites) or sites != sorted(set(sites)):
        raise ValueError("sites are texts in order, each once")
    decoded = bytes.fromhex(row_hash)
    if len(decoded) != 32:
        raise ValueError("a row's hash has 32 bytes")
    return ChainHead(stream, chain, _count(seq), decoded, tuple(sites))


def _count(value: object, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise ValueError(f"{value!r:.40} is no count")
    return value


def _canonical(value: object) -> str:
    """RFC 8785, for texts and integers: what ``json`` writes sorted and without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
