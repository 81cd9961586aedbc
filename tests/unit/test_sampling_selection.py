"""Which items are taken: worked by hand, repeated by another implementation, bounded in memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator

import pytest

from audit.sampling.errors import BadPlan, BadPopulation
from audit.sampling.items import Item, totals
from audit.sampling.selection import (
    attribute_selection,
    monetary_selection,
    monetary_start,
    rank,
    seed_bytes,
)

SEED = bytes(range(32))


def item(seq: int, mass: int = 1000, chain: str = "rvm-0001", stream: str = "transactions") -> Item:
    return Item(stream, chain, seq, f"tx-{seq}", "pet", mass)


def test_a_rank_is_the_digest_that_a_shell_computes() -> None:
    """By ``(printf %s $SEED | xxd -r -p; printf 'transactions\\0rvm-0001\\0007') | sha256sum``."""
    assert rank(SEED, (b"transactions", b"rvm-0001", 7)).hex() == (
        "78340ab614b6f45a0a6f74a3d3122f33f62fe85a6e335c857d36d483fb3d4463"
    )


def test_chain_and_seq_cannot_be_mistaken_for_one_another() -> None:
    assert rank(SEED, (b"t", b"a", 11)) != rank(SEED, (b"t", b"a1", 1))


def test_points_fall_as_worked_out_by_hand() -> None:
    """Interval 100.  Units: seq 1 has 1-30, 2 has 31-280, 3 and 4 none, 5 has 281-310, 6 has 311-350.

    The points are start, start + 100, ...: whatever the start, seq 2 has two or three of them.
    """
    population = [item(1, 30), item(2, 250), item(3, 0), item(4, -50), item(5, 30), item(6, 40)]
    expected = {
        range(1, 11): [1, 2, 5],  # 101-110 and 201-210 in seq 2, 301-310 in seq 5
        range(11, 31): [1, 2, 6],
        range(31, 51): [2, 6],
        range(51, 81): [2],
        range(81, 101): [2, 5],
    }
    seen = set()
    for number in range(600):
        seed = hashlib.sha256(b"%d" % number).digest()
        start = monetary_start(seed, 100)
        seen.add(start)
        taken = [one.seq for one in monetary_selection(population, seed, 100)]
        assert taken == next(seqs for starts, seqs in expected.items() if start in starts), start
    assert len(seen) > 95  # all ranges were met


def test_an_item_as_large_as_the_interval_is_always_taken() -> None:
    for number in range(200):
        seed = hashlib.sha256(b"%d" % number).digest()
        assert item(2, 100) in list(monetary_selection([item(1, 7), item(2, 100)], seed, 100))


def test_a_population_twice_or_out_of_order_is_refused() -> None:
    with pytest.raises(BadPopulation, match="seq 3 comes twice"):
        attribute_selection([item(3), item(2), item(3)], SEED, 3)
    for rows in ([item(2), item(1)], [item(1), item(1)], [item(1, chain="é"), item(1, chain="z")]):
        with pytest.raises(BadPopulation, match="out of order"):
            list(monetary_selection(rows, SEED, 10**9))


def test_a_chain_that_is_no_text_is_refused() -> None:
    for chain in ("\udc80", "a\0b"):
        with pytest.raises(BadPopulation, match="tally verify"):
            attribute_selection([item(1, chain=chain)], SEED, 1)


@pytest.mark.parametrize("text", ["", "00", "g" * 64, "0" * 63, "0" * 65, " " + "0" * 63, "0" * 64 + "\n"])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(BadPlan, match="64 hexadecimal digits"):
        seed_bytes(text)


def test_a_seed_may_be_in_capitals() -> None:
    assert seed_bytes("AB" * 32) == seed_bytes("ab" * 32) == b"\xab" * 32


def test_totals_tell_zero_and_negative_items_apart() -> None:
    found = totals([item(1, 30), item(2, 0), item(3, -50), item(4, 70)])
    assert (found.items, found.book_mg) == (4, 50)
    assert (found.positive_items, found.positive_mg) == (2, 100)
    assert (found.zero_items, found.negative_items, found.negative_mg) == (1, 1, -50)


def test_a_large_population_is_not_kept_in_memory() -> None:
    def many() -> Iterator[Item]:
        return (item(seq) for seq in range(1, 100_001))

    tracemalloc.start()
    try:
        assert len(attribute_selection(many(), SEED, 59)) == 59
        assert len(list(monetary_selection(many(), SEED, 2_000_000))) == 50
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
