"""The tree of RFC 6962, against vectors worked out elsewhere and against proofs that were tampered with."""

from __future__ import annotations

from hashlib import sha256

import pytest

from ledger.errors import BadProof
from ledger.merkle import (
    EMPTY_ROOT,
    MOST_LEAVES,
    Subtree,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    parents,
    root_hash,
)

# The eight entries of Certificate Transparency's reference tests, and the roots of the trees over the first
# one to eight of them, as tests/vectors/merkle.sh works them out with sha256sum.
ENTRIES = (
    *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
    "606162636465666768696a6b6c6d6e6f",
)
LEAVES = [bytes.fromhex(entry) for entry in ENTRIES]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def subtrees_of(leaves: list[bytes]) -> Subtree:
    """Straight from the definition."""

    def subtree(level: int, index: int) -> bytes:
        if level == 0:
            return leaf_hash(leaves[index])
        return node_hash(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1))

    return subtree


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert root_hash(0, subtrees_of([])) == EMPTY_ROOT == sha256(b"").digest()
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_leaf_and_a_node_never_hash_alike() -> None:
    left, right = leaf_hash(b"left"), leaf_hash(b"right")
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_an_odd_last_hash_has_no_parent_yet() -> None:
    hashes = [leaf_hash(bytes([n])) for n in range(5)]
    assert parents(hashes) == [node_hash(*hashes[:2]), node_hash(*hashes[2:4])]


@pytest.mark.parametrize(("size", "root"), list(enumerate(ROOTS, start=1)))
def test_roots_are_those_that_others_compute(size: int, root: str) -> None:
    assert root_hash(size, subtrees_of(LEAVES)).hex() == root


@pytest.mark.parametrize("size", range(1, 18))
def test_every_leaf_is_proven_and_no_other(size: int) -> None:
    leaves = [bytes([n]) for n in range(size)]
    subtree = subtrees_of(leaves)
    root = root_hash(size, subtree)
    for index in range(size):
        proof = inclusion_proof(index, size, subtree)
        check_inclusion(index, size, leaf_hash(leaves[index]), proof, root)
        with pytest.raises(BadProof, match="does not lead to the root"):
            check_inclusion(index, size, leaf_hash(b"forged"), proof, root)
        for at in range(len(proof)):
            with pytest.raises(BadProof, match="does not lead to the root"):
                check_inclusion(
                    index,
                    size,
                    leaf_hash(leaves[index]),
                    [*proof[:at], bytes(32), *proof[at + 1 :]],
                    root,
                )
        with pytest.raises(BadProof, match="too long"):
            check_inclusion(index, size, leaf_hash(leaves[index]), [*proof, bytes(32)], root)
        if proof:
            with pytest.raises(BadProof, match="too short"):
                check_inclusion(index, size, leaf_hash(leaves[index]), proof[:-1], root)


@pytest.mark.parametrize("size", range(18))
def test_every_beginning_is_proven_and_no_other(size: int) -> None:
    leaves = [bytes([n]) for n in range(size)]
    subtree = subtrees_of(leaves)
    root = root_hash(size, subtree)
    for old in range(size + 1):
        old_root = root_hash(old, subtree)
        proof = consistency_proof(old, size, subtree)
        check_consistency(old, old_root, size, root, proof)
        with pytest.raises(BadProof, match="is not shown to begin"):
            check_consistency(old, bytes(32), size, root, proof)
        if old > 0:
            with pytest.raises(BadProof, match="is not shown to begin"):
                check_consistency(old, old_root, size, bytes(32), proof)
        for at in range(len(proof)):
            with pytest.raises(BadProof, match="is not shown to begin"):
                check_consistency(old, old_root, size, root, [*proof[:at], bytes(32), *proof[at + 1 :]])
        with pytest.raises(BadProof, match="too long"):
            check_consistency(old, old_root, size, root, [*proof, bytes(32)])
        if proof:
            with pytest.raises(BadProof, match="too short"):
                check_consistency(old, old_root, size, root, proof[:-1])


def test_places_that_are_not_there_are_refused() -> None:
    subtree = subtrees_of([b"a"])
    for index, size in ((1, 1), (-1, 1), (0, 0), (0, MOST_LEAVES + 1)):
        with pytest.raises(BadProof, match="is not in a tree"):
            inclusion_proof(index, size, subtree)
        with pytest.raises(BadProof, match="is not in a tree"):
            check_inclusion(index, size, bytes(32), [], bytes(32))
    for old, size in ((2, 1), (-1, 1), (1, MOST_LEAVES + 1)):
        with pytest.raises(BadProof, match="is no beginning"):
            consistency_proof(old, size, subtree)
        with pytest.raises(BadProof, match="is no beginning"):
            check_consistency(old, bytes(32), size, bytes(32), [])
