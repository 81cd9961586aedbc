"""The Merkle tree of RFC 6962: hashes, proofs, and their verification.

Sizes and indices count leaves from 0; hashes are 32 bytes.  Nothing here reads a database or a file: who asks
for a proof gives a function that knows the hash of any complete subtree.  Proofs are made and checked by the
recursions that RFC 6962, 2.1.1 and 2.1.2, defines them by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

from ledger.errors import BadProof

EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of a tree without leaves."""
MOST_LEAVES: Final = 2**63 - 1
"""Larger trees are refused: no index of theirs would fit into a bigint."""

Subtree = Callable[[int, int], bytes]
"""The hash of the complete subtree of ``2**level`` leaves whose first is leaf ``index * 2**level``."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return sha256(b"\x01" + left + right).digest()


def parents(hashes: Iterable[bytes]) -> list[bytes]:
    """The nodes over neighbours, first and second, third and fourth; an odd last one has none yet."""
    single = iter(hashes)
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(single, single, strict=False)]


def complete_subtrees(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees (level, index) over the leaves from ``begin`` to ``end``, from left to right.

    The leaves are a node's in a tree: ``begin`` is a multiple of the largest subtree's size.
    """
    while begin < end:
        level = (end - begin).bit_length() - 1
        yield level, begin >> level
        begin += 1 << level


def root_hash(size: int, subtree: Subtree) -> bytes:
    """The root of the tree of the first ``size`` leaves."""
    return EMPTY_ROOT if size == 0 else _hash_over(0, size, subtree)


def _hash_over(begin: int, end: int, subtree: Subtree) -> bytes:
    *larger, root = (subtree(level, index) for level, index in complete_subtrees(begin, end))
    for left in reversed(larger):
        root = node_hash(left, root)
    return root


def _left_leaves(size: int) -> int:
    """How many leaves are under the left child of a tree's root: the largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


# --- making proofs ---


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The hashes that prove that leaf ``index`` is in the tree of ``size`` leaves, from leaf to root.

    Raises:
        BadProof: there is no such leaf.
    """
    _check_place(index, size)
    proof = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _left_leaves(end - begin)
        if index < middle:
            proof.append(_hash_over(middle, end, subtree))
            end = middle
        else:
            proof.append(_hash_over(begin, middle, subtree))
            begin = middle
    return proof[::-1]


def consistency_proof(old: int, size: int, subtree: Subtree) -> list[bytes]:
    """The hashes that prove that the tree of ``size`` leaves begins with that of ``old``.

    There are none if the two are the same, or if the old one is empty.

    Raises:
        BadProof: the old tree is the larger one.
    """
    _check_sizes(old, size)
    if old in {0, size}:
        return []
    proof = []
    begin, end = 0, size
    while old != end:
        middle = begin + _left_leaves(end - begin)
        if old <= middle:
            proof.append(_hash_over(middle, end, subtree))
            end = middle
        else:
            proof.append(_hash_over(begin, middle, subtree))
            begin = middle
    if begin > 0:
        proof.append(_hash_over(begin, end, subtree))
    return proof[::-1]


# --- checking proofs ---


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise unless ``proof`` proves that the leaf hash ``leaf`` is at ``index`` of the tree with that root.

    Raises:
        BadProof: it does not; the message says why.
    """
    _check_place(index, size)
    steps = iter(proof)

    def climbed(place: int, leaves: int) -> bytes:
        if leaves == 1:
            return leaf
        left = _left_leaves(leaves)
        if place < left:
            below = climbed(place, left)
            return node_hash(below, _next(steps))
        below = climbed(place - left, leaves - left)
        return node_hash(_next(steps), below)

    found = climbed(index, size)
    _check_all_used(steps)
    if found != root:
        raise BadProof(f"the proof of leaf {index} does not lead to the root of the tree of {size}")


def check_consistency(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raise unless ``proof`` proves that the tree of ``size`` leaves begins with that of ``old``.

    Raises:
        BadProof: it does not; the message says why.
    """
    _check_sizes(old, size)
    steps = iter(proof)

    def climbed(before: int, leaves: int, *, leftmost: bool) -> tuple[bytes, bytes]:
        """The hashes of the first ``before`` and of all ``leaves`` of a node."""
        if before == leaves:
            known = old_root if leftmost else _next(steps)
            return known, known
        left = _left_leaves(leaves)
        if before <= left:
            first, whole = climbed(before, left, leftmost=leftmost)
            return first, node_hash(whole, _next(steps))
        first, whole = climbed(before - left, leaves - left, leftmost=False)
        sibling = _next(steps)
        return node_hash(sibling, first), node_hash(sibling, whole)

    nothing = EMPTY_ROOT, EMPTY_ROOT if size == 0 else root
    found = nothing if old == 0 else climbed(old, size, leftmost=True)
    _check_all_used(steps)
    if found != (old_root, root):
        raise BadProof(f"the tree of {size} is not shown to begin with the tree of {old}")


def _check_place(index: int, size: int) -> None:
    if not 0 <= index < size <= MOST_LEAVES:
        raise BadProof(f"leaf {index} is not in a tree of {size}")


def _check_sizes(old: int, size: int) -> None:
    if not 0 <= old <= size <= MOST_LEAVES:
        raise BadProof(f"a tree of {old} is no beginning of one of {size}")


def _next(steps: Iterator[bytes]) -> bytes:
    try:
        return next(steps)
    except StopIteration:
        raise BadProof("the proof is too short") from None


def _check_all_used(steps: Iterator[bytes]) -> None:
    if next(steps, None) is not None:
        raise BadProof("the proof is too long")
