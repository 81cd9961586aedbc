"""Walking and diagnosing without a database: how the work is divided never changes what is found."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.breaks import BreakKind
from audit.findings import NAMED_PER_CHAIN, Collector, Verdict
from audit.walk import Stretch, Walk, seen_row
from ledger.chain import genesis
from ledger.rows import encode_row
from store.reader import START, Place, StoredHead
from tests.ledger_writer import sample
from tests.memory_ledger import STREAM, MemoryLedger, OneSender, places, tuple_of

Tamper = Callable[[MemoryLedger, Random], None]


def _flip(ledger: MemoryLedger, random: Random) -> None:
    index = random.randrange(len(ledger.rows))
    row = bytearray(ledger.rows[index])
    row[-40 - random.randrange(20)] ^= 1  # in the attributes
    ledger.rows[index] = bytes(row)


def _flip_hash(ledger: MemoryLedger, random: Random) -> None:
    index = random.randrange(len(ledger.rows))
    row = bytearray(ledger.rows[index])
    row[-random.randrange(1, 33)] ^= 1
    ledger.rows[index] = bytes(row)


def _delete(ledger: MemoryLedger, random: Random) -> None:
    del ledger.rows[random.randrange(len(ledger.rows))]


def _copy(ledger: MemoryLedger, random: Random) -> None:
    seen = seen_row(random.choice(ledger.rows))
    chain = random.choice(["a", "b", "c", "ghost"])
    ledger.rows.append(tuple_of(seen.moved(chain, random.randrange(-1, 25)), seen.row_hash))


def _swap(ledger: MemoryLedger, random: Random) -> None:
    seen = seen_row(random.choice(ledger.rows))
    same = [index for index, row in enumerate(ledger.rows) if seen_row(row).chain == seen.chain]
    one, two = random.choice(same), random.choice(same)
    first, second = seen_row(ledger.rows[one]), seen_row(ledger.rows[two])
    ledger.rows[one] = tuple_of(first.renumbered(second.seq), first.row_hash)
    ledger.rows[two] = tuple_of(second.renumbered(first.seq), second.row_hash)


def _head(ledger: MemoryLedger, random: Random) -> None:
    chain = random.choice(sorted(ledger.heads))
    seq, row_hash = ledger.heads[chain]
    ledger.heads[chain] = (max(seq + random.choice([-1, 0, 1]), 0), random.choice([row_hash, bytes(32)]))


def _no_head(ledger: MemoryLedger, random: Random) -> None:
    del ledger.heads[random.choice(sorted(ledger.heads))]


TAMPERINGS: list[Tamper] = [_flip, _flip_hash, _delete, _copy, _swap, _head, _no_head]


def _ledger() -> MemoryLedger:
    ledger = MemoryLedger()
    ledger.fill("a", 20)
    ledger.fill("b", 7)
    ledger.fill("c", 1)
    return ledger


@pytest.mark.parametrize("target", [1, 2, 3, 7, 100])
def test_an_intact_ledger_has_no_breaks_however_it_is_divided(target: int) -> None:
    ledger = _ledger()
    assert places(ledger.verify(ledger.cuts(target))) == set()


@given(
    seed=st.integers(0, 2**32),
    tamperings=st.lists(st.sampled_from(TAMPERINGS), min_size=1, max_size=3),
    target=st.integers(1, 12),
)
@settings(max_examples=400, deadline=None)
def test_how_the_work_is_divided_does_not_change_what_is_found(
    seed: int, tamperings: list[Tamper], target: int
) -> None:
    random = Random(seed)
    ledger = _ledger()
    for tamper in tamperings:
        if ledger.heads:
            tamper(ledger, random)
    whole = ledger.verify(ledger.whole())
    stretches = ledger.cuts(target)
    random.shuffle(stretches)
    divided = ledger.verify(stretches)
    assert places(divided) == places(whole)
    assert divided.counts == whole.counts


@given(seed=st.integers(0, 2**32), tamper=st.sampled_from([_flip, _flip_hash, _delete, _copy]))
@settings(max_examples=200, deadline=None)
def test_any_single_tampering_is_found(seed: int, tamper: Tamper) -> None:
    ledger = _ledger()
    before = sorted(ledger.rows)
    tamper(ledger, Random(seed))
    assert sorted(ledger.rows) != before
    assert len(places(ledger.verify(ledger.whole()))) == 1


def test_a_walk_from_inside_a_chain_reports_a_missing_predecessor_if_nobody_else_does() -> None:
    ledger = _ledger()
    del ledger.rows[ledger.place("a", 9)]
    part = Stretch(STREAM.name, Place("a", 10), Place("a", 15), 5, rim=True)
    assert places(ledger.verify([part])) == {(BreakKind.ROW_MISSING, "a", 9, 9)}


def _bad_rows(chain: str, count: int) -> Iterator[bytes]:
    """Rows none of which fits."""
    before = encode_row(STREAM, sample(STREAM, chain, 1))
    for seq in range(1, count + 1):
        yield tuple_of(before.image(seq), bytes(24) + seq.to_bytes(8, "big"))


def _duplicates(chain: str, count: int) -> Iterator[bytes]:
    image = encode_row(STREAM, sample(STREAM, chain, 1)).image(1)
    for number in range(count):
        yield tuple_of(image, bytes(24) + number.to_bytes(8, "big"))


def _gaps(chain: str, count: int) -> Iterator[bytes]:
    before = encode_row(STREAM, sample(STREAM, chain, 1))
    for seq in range(2, 2 * count + 1, 2):
        yield tuple_of(before.image(seq), bytes(24) + seq.to_bytes(8, "big"))


def _chains(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield from _bad_rows(f"rvm-{number:06}", 1)


@pytest.mark.parametrize(
    ("rows", "kind", "headless"),
    [
        (lambda count: _bad_rows("a", count), BreakKind.VALUE_ALTERED, False),
        (lambda count: _duplicates("a", count + 1), BreakKind.ROW_INSERTED, False),
        (lambda count: _gaps("a", count), BreakKind.ROW_MISSING, False),
        (lambda count: _bad_rows("a", count), BreakKind.ROW_INSERTED, True),
        (_chains, BreakKind.ROW_INSERTED, True),
    ],
    ids=["altered", "duplicates", "gaps", "headless", "chains"],
)
def test_any_number_of_breaks_is_counted_in_bounded_memory(
    rows: Callable[[int], Iterator[bytes]], kind: BreakKind, headless: bool
) -> None:
    count = 6_000
    heads = iter(() if headless else [StoredHead("a", 2 * count, genesis(STREAM.name, "a"))])
    tracemalloc.start()
    try:
        collector = Collector(STREAM)
        stretch = Stretch(STREAM.name, START, None, count)
        walk = Walk(STREAM, stretch, heads, OneSender(), collector.note, lambda _rows: None)
        walk.run(rows(count))
        verdict = Verdict([STREAM])
        verdict.add(collector.findings())
        named = verdict.conclude()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert named.counts[STREAM.name, kind] in {count, count - 1}
    assert peak < 8 << 20
    assert len([one for one in named.breaks if one.chain == "a" and one.kind is kind]) <= NAMED_PER_CHAIN
