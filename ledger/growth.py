"""How a tree grows: from its right edge and new entries to the new files of C2SP tlog-tiles.

The right edge is what is not yet final: the partial tile of each level, and the last entries.  It is all that
is needed to add leaves, and is read back from the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from ledger.errors import BadProof
from ledger.merkle import EMPTY_ROOT, complete_subtrees, node_hash, parents
from ledger.tiles import (
    HASH_LENGTH,
    TILE_WIDTH,
    decode_entries,
    encode_entries,
    entries_path,
    hashes_at,
    tile_path,
)

_LEVELS: Final = 8
"""Of tiles, in a tree of less than 2**63 leaves."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree of ``size`` leaves.

    ``hashes``: for each level of tiles the hashes in its partial tile, 0 to 255.  ``entries``: those of the
    partial bundle, as many as the hashes of level 0.
    """

    size: int
    hashes: tuple[tuple[bytes, ...], ...]
    entries: tuple[bytes, ...]

    @classmethod
    def empty(cls) -> Self:
        """Of the tree without leaves."""
        return cls(0, ((),) * _LEVELS, ())

    @classmethod
    def read(cls, size: int, read: Callable[[str], bytes]) -> Self:
        """The edge of the tree of ``size`` leaves; ``read`` gives the content of a path.

        Raises:
            BadProof: a file is not as long as it should be, or entries are not those of the hashes.
        """
        levels = []
        for level in range(_LEVELS):
            number, width = divmod(hashes_at(level, size), TILE_WIDTH)
            levels.append(_split(read(tile_path(level, number, width)), width) if width else ())
        width = len(levels[0])
        entries = decode_entries(read(entries_path(size // TILE_WIDTH, width)), width) if width else []
        if tuple(sha256(b"\x00" + entry).digest() for entry in entries) != levels[0]:
            raise BadProof(
                f"{entries_path(size // TILE_WIDTH, width)}: its entries are not those of its hashes"
            )
        return cls(size, tuple(levels), tuple(entries))

    @property
    def root(self) -> bytes:
        """Of the tree."""
        root: bytes | None = None
        for hashes in self.hashes:
            for level, index in reversed(list(complete_subtrees(0, len(hashes)))):
                subtree = _root_of(hashes[index << level : (index + 1) << level])
                root = subtree if root is None else node_hash(subtree, root)
        return EMPTY_ROOT if root is None else root


def grow(edge: Edge, entries: Sequence[bytes]) -> tuple[Edge, dict[str, bytes]]:
    """Add entries: the new edge, and the content of every file that is new, by its path.

    Raises:
        ValueError: an entry is longer than 65,535 bytes.
    """
    files: dict[str, bytes] = {}
    bundles = [*edge.entries, *entries]
    number = edge.size // TILE_WIDTH
    for begin in range(0, len(bundles), TILE_WIDTH):
        bundle = bundles[begin : begin + TILE_WIDTH]
        files[entries_path(number + begin // TILE_WIDTH, len(bundle))] = encode_entries(bundle)
    new = [sha256(b"\x00" + entry).digest() for entry in entries]
    levels: list[tuple[bytes, ...]] = []
    for level, known in enumerate(edge.hashes):
        if not new:
            levels.append(known)
            continue
        number = hashes_at(level, edge.size) // TILE_WIDTH
        hashes = [*known, *new]
        new = []
        for begin in range(0, len(hashes), TILE_WIDTH):
            tile = hashes[begin : begin + TILE_WIDTH]
            files[tile_path(level, number + begin // TILE_WIDTH, len(tile))] = b"".join(tile)
            if len(tile) == TILE_WIDTH:
                new.append(_root_of(tile))
        levels.append(tuple(hashes[len(hashes) // TILE_WIDTH * TILE_WIDTH :]))
    kept = tuple(bundles[len(bundles) // TILE_WIDTH * TILE_WIDTH :])
    return Edge(edge.size + len(entries), tuple(levels), kept), files


def _root_of(hashes: Sequence[bytes]) -> bytes:
    """Of a complete subtree, from its hashes at some level."""
    while len(hashes) > 1:
        hashes = parents(hashes)
    return hashes[0]


def _split(tile: bytes, width: int) -> tuple[bytes, ...]:
    if len(tile) != width * HASH_LENGTH:
        raise BadProof(f"a tile of {len(tile)} bytes: expected {width * HASH_LENGTH}")
    return tuple(tile[at : at + HASH_LENGTH] for at in range(0, len(tile), HASH_LENGTH))
