r"""Hash chains: how a row is bound to all rows before it.

    row_hash(0) = SHA-256("tally/v1\n" + stream + "\n" + chain id)            the genesis of a chain
    row_hash(n) = SHA-256(row_hash(n-1) || tuple image of row n)

Specification: ``docs/ledger.md``, section 3.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
FORMAT: Final = "tally/v1"


def genesis(stream: str, chain: str) -> bytes:
    """The hash before the first row of a chain: 32 bytes, different for every stream and chain."""
    return sha256(f"{FORMAT}\n{stream}\n{chain}".encode()).digest()


def link(previous: bytes, image: bytes) -> bytes:
    """The hash of a row: 32 bytes, from the hash before it and the row's own tuple image."""
    return sha256(previous + image).digest()
