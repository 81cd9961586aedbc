"""Selection against a plain implementation, written from the documentation alone."""

from __future__ import annotations

import hashlib
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from audit.sampling.items import Item
from audit.sampling.selection import attribute_selection, monetary_selection

SEEDS = st.binary(min_size=32, max_size=32)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
ITEMS = st.lists(
    st.builds(
        Item,
        stream=st.sampled_from(["transactions", "scale_tickets"]),
        chain=NAMES,
        seq=st.integers(1, 12),
        transaction_id=st.just("tx"),
        material=st.just("pet"),
        book_mg=st.integers(-50, 400),
    ),
    max_size=40,
    unique_by=lambda item: (item.stream, item.chain, item.seq),
)


def in_order(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (item.stream.encode(), item.chain.encode(), item.seq))


def plain_attribute(items: list[Item], seed: bytes, size: int) -> list[Item]:
    ranked = []
    for item in items:
        message = seed + f"{item.stream}\0{item.chain}\0{item.seq}".encode()
        ranked.append((hashlib.sha256(message).hexdigest(), item))
    ranked.sort(key=lambda pair: pair[0])
    return in_order([item for _, item in ranked[:size]])


def plain_monetary(items: list[Item], seed: bytes, interval: int) -> list[Item]:
    """Every unit is written out with its owner, and the points are read off."""
    owners = [item for item in in_order(items) for _ in range(item.book_mg)]
    digest = hashlib.sha256(seed + b"monetary-unit start").hexdigest()
    taken: list[Item] = []
    unit = int(digest, 16) % interval + 1
    while unit <= len(owners):
        owner = owners[unit - 1]
        if owner not in taken:
            taken.append(owner)
        unit += interval
    return taken


@given(ITEMS, SEEDS, st.integers(1, 50))
def test_attribute_selection_is_the_documented_one(items: list[Item], seed: bytes, size: int) -> None:
    assert attribute_selection(items, seed, size) == plain_attribute(items, seed, size)


@given(ITEMS, SEEDS, st.integers(1, 50), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_no_attribute_selection(
    items: list[Item], seed: bytes, size: int, random: Random
) -> None:
    shuffled = items.copy()
    random.shuffle(shuffled)
    assert attribute_selection(shuffled, seed, size) == attribute_selection(items, seed, size)


@given(ITEMS, SEEDS, st.integers(1, 40))
def test_a_larger_sample_contains_the_smaller(items: list[Item], seed: bytes, size: int) -> None:
    smaller = attribute_selection(items, seed, size)
    larger = attribute_selection(items, seed, size + 1)
    assert [item for item in larger if item in smaller] == smaller


@given(ITEMS, SEEDS, st.integers(1, 600))
def test_monetary_selection_is_the_documented_one(items: list[Item], seed: bytes, interval: int) -> None:
    taken = list(monetary_selection(in_order(items), seed, interval))
    assert taken == plain_monetary(items, seed, interval)
    assert {item for item in items if item.book_mg >= interval} <= set(taken)
