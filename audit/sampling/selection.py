"""Which items are taken: a rule that anybody can repeat with a SHA-256 and long division.

The seed is 32 bytes: a digest of the ledger.  Texts are UTF-8, ``00`` is one byte zero, which no text holds.

Attribute sampling.  An item's rank is SHA-256(seed, stream, 00, chain, 00, seq in decimal digits).  The n
items of the smallest rank are taken, ranks compared as bytes.  In which order items arrive does not matter.

Monetary-unit sampling.  Items above zero stand one after another in order of (stream, chain, seq), texts
compared as bytes; the first covers the units 1 to its book value, the next as many after it, and so on.
Points lie at start, start + interval, start + 2 x interval...  An item is taken if a point lies in it, so one
as large as the interval always is.  start = 1 + SHA-256(seed, "monetary-unit start") mod interval, the digest
being one big-endian number.  Items of zero or less cover no unit and are never taken: they are counted
apart, and those below zero belong into a sample of their own, as is customary with credit balances.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from heapq import nsmallest
from itertools import pairwise
from typing import Final

from audit.sampling.errors import BadPlan, BadPopulation
from audit.sampling.items import Item, Place, place_of

_SEED: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_START: Final = b"monetary-unit start"


def seed_bytes(text: str) -> bytes:
    """A seed from its 64 hexadecimal digits.

    Raises:
        BadPlan: it is something else.
    """
    if not _SEED.fullmatch(text.lower()):
        raise BadPlan(f"seed: expected 64 hexadecimal digits, a digest of the ledger, got {text!r}")
    return bytes.fromhex(text)


def rank(seed: bytes, place: Place) -> bytes:
    """The rank of the item at a place: the smallest are taken first."""
    stream, chain, seq = place
    return sha256(seed + stream + b"\0" + chain + b"\0" + b"%d" % seq).digest()


def attribute_selection(items: Iterable[Item], seed: bytes, size: int) -> list[Item]:
    """The ``size`` items of the smallest rank, or all if there are fewer, in order of place.

    One pass; keeps ``size`` items.

    Raises:
        BadPopulation: an item comes twice.
    """
    taken = nsmallest(size, items, key=lambda item: rank(seed, place_of(item)))
    taken.sort(key=place_of)
    for one, other in pairwise(taken):
        if place_of(one) == place_of(other):
            raise BadPopulation(f"{_named(one)} comes twice; run `tally verify` first")
    return taken


def monetary_start(seed: bytes, interval: int) -> int:
    """Where the first point lies: 1 to ``interval``.

    The remainder prefers small numbers by less than one in 2 ** 190, as intervals are below 2 ** 63.
    """
    return 1 + int.from_bytes(sha256(seed + _START).digest(), "big") % interval


def monetary_selection(items: Iterable[Item], seed: bytes, interval: int) -> Iterator[Item]:
    """The items in which a point lies, in order of place, which is how ``items`` must come.

    One pass; keeps nothing.

    Raises:
        BadPopulation: an item comes twice or out of order.
    """
    point = monetary_start(seed, interval)
    covered = 0
    last: Place | None = None
    for item in items:
        place = place_of(item)
        if last is not None and place <= last:
            raise BadPopulation(
                f"{_named(item)} comes twice or out of order: expected items by stream, chain (as bytes), seq"
            )
        last = place
        if item.book_mg <= 0:
            continue
        covered += item.book_mg
        if point <= covered:
            yield item
            point += ((covered - point) // interval + 1) * interval


def _named(item: Item) -> str:
    return f"{item.stream} {item.chain!r} seq {item.seq}"
