"""The files of a transparency log: C2SP tlog-tiles v0.1.0.

A tree of any size is kept in files of 256 hashes (``tile/<level>/<number>``) and of 256 entries
(``tile/entries/<number>``), which never change once they are full.  A tile at level L has the hashes of
complete subtrees of 256^L leaves.  The last of a level may be partial, and then has its width in its name, so
that a partial tile and a full one never share a path.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

from ledger.errors import BadProof
from ledger.merkle import Subtree, parents

TILE_WIDTH: Final = 256
HASH_LENGTH: Final = 32
_LEVELS_A_TILE: Final = 8
_LEVELS: Final = 8
"""Tile levels that a tree of less than 2**63 leaves needs: each takes eight bits of an index."""
MOST_ENTRY_BYTES: Final = 65_535


def tile_path(level: int, number: int, width: int = TILE_WIDTH) -> str:
    """Where a tile of hashes lies: ``tile/<L>/<N>``, with ``.p/<W>`` if it is partial."""
    return f"tile/{level}/{_numbered(number, width)}"


def entries_path(number: int, width: int = TILE_WIDTH) -> str:
    """Where the entries lie whose hashes are those of the tile of that number at level 0."""
    return f"tile/entries/{_numbered(number, width)}"


def _numbered(number: int, width: int) -> str:
    """A number in groups of three digits, all but the last led by ``x``: 1234067 is ``x001/x234/067``."""
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.append(f"x{number % 1000:03d}")
    return "/".join(reversed(groups)) + ("" if width == TILE_WIDTH else f".p/{width}")


def hashes_at(level: int, size: int) -> int:
    """How many hashes the tiles of that level have together, in a tree of ``size`` leaves."""
    return size >> (_LEVELS_A_TILE * level)


def tile_width(level: int, number: int, size: int) -> int:
    """How many hashes a tile has in a tree of ``size`` leaves; 0: there is none."""
    return max(0, min(TILE_WIDTH, hashes_at(level, size) - number * TILE_WIDTH))


def tiles_of_growth(old: int, size: int) -> list[tuple[int, int, int]]:
    """The tiles (level, number, width) that a tree of ``size`` leaves has and one of ``old`` had not."""
    found = []
    for level in range(_LEVELS):
        before, now = hashes_at(level, old), hashes_at(level, size)
        if before == now:
            break
        numbers = range(before // TILE_WIDTH, (now + TILE_WIDTH - 1) // TILE_WIDTH)
        found += [(level, number, tile_width(level, number, size)) for number in numbers]
    return found


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """Entries as one bundle: each led by its length, two bytes.

    Raises:
        ValueError: an entry is longer than 65,535 bytes.
    """
    given = list(entries)
    lengths = set(map(len, given))
    if max(lengths, default=0) > MOST_ENTRY_BYTES:
        raise ValueError(f"an entry of {max(lengths)} bytes: expected at most {MOST_ENTRY_BYTES}")
    if len(lengths) == 1:  # as in nearly every bundle of a log of row hashes: and many times as fast
        length = struct.pack(">H", *lengths)
        return length + length.join(given)
    return b"".join(piece for entry in given for piece in (struct.pack(">H", len(entry)), entry))


def decode_entries(bundle: bytes, width: int) -> list[bytes]:
    """The ``width`` entries of a bundle.

    Raises:
        BadProof: it has fewer or more.
    """
    entries = []
    at = 0
    while at < len(bundle):
        begin = at + 2
        if begin > len(bundle):
            raise BadProof("a bundle of entries ends within a length")
        at = begin + int.from_bytes(bundle[begin - 2 : begin])
        if at > len(bundle):
            raise BadProof("a bundle of entries ends within an entry")
        entries.append(bundle[begin:at])
    if len(entries) != width:
        raise BadProof(f"a bundle has {len(entries)} entries: expected {width}")
    return entries


def subtrees_in_tiles(size: int, read: Callable[[str], bytes]) -> Subtree:
    """The complete subtrees of the tree of ``size`` leaves, from its tiles.

    Args:
        size: of the tree whose tiles are read; subtrees beyond it are not asked for.
        read: gives the content of a path.

    Raises:
        BadProof (the function that is returned): a tile is not as long as it should be.
    """

    def subtree(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, _LEVELS_A_TILE)
        number, place = divmod(index << height, TILE_WIDTH)
        width = tile_width(tile_level, number, size)
        path = tile_path(tile_level, number, width)
        tile = read(path)
        if len(tile) != width * HASH_LENGTH:
            raise BadProof(f"{path}: {len(tile)} bytes, expected {width * HASH_LENGTH}")
        if place + (1 << height) > width:
            raise BadProof(f"{path}: has no {1 << height} hashes from {place} on")
        hashes = [
            tile[at : at + HASH_LENGTH]
            for at in range(place * HASH_LENGTH, (place + (1 << height)) * HASH_LENGTH, HASH_LENGTH)
        ]
        while len(hashes) > 1:
            hashes = parents(hashes)
        return hashes[0]

    return subtree
