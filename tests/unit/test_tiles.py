"""The files of a log: their names, their widths, and trees and proofs that are read back from them."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import BadProof
from ledger.merkle import (
    check_consistency,
    check_inclusion,
    complete_subtrees,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    parents,
    root_hash,
)
from ledger.tiles import (
    HASH_LENGTH,
    TILE_WIDTH,
    decode_entries,
    encode_entries,
    entries_path,
    subtrees_in_tiles,
    tile_path,
    tile_width,
    tiles_of_growth,
)


def entry(index: int) -> bytes:
    return sha256(index.to_bytes(8)).digest()


def hashes_by_level(size: int) -> list[list[bytes]]:
    """The hashes of the tiles of each level."""
    levels = [[leaf_hash(entry(index)) for index in range(size)]]
    while len(levels[-1]) >= TILE_WIDTH:
        hashes = levels[-1]
        for _ in range(8):
            hashes = parents(hashes)
        levels.append(hashes)
    return levels


def written(sizes: list[int]) -> dict[str, bytes]:
    """The tiles of a log that had these sizes one after the other, each written once."""
    levels = hashes_by_level(sizes[-1])
    files: dict[str, bytes] = {}
    old = 0
    for size in sizes:
        for level, number, width in tiles_of_growth(old, size):
            begin = number * TILE_WIDTH
            path = tile_path(level, number, width)
            assert path not in files, "no tile is written twice"
            files[path] = b"".join(levels[level][begin : begin + width])
        old = size
    return files


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [
        (0, 256, "000"),
        (999, 256, "999"),
        (1000, 256, "x001/000"),
        (1234067, 256, "x001/x234/067"),
        (273, 112, "273.p/112"),
        (1000, 1, "x001/000.p/1"),
    ],
)
def test_a_tile_is_named_in_groups_of_three_digits(number: int, width: int, path: str) -> None:
    assert tile_path(2, number, width) == f"tile/2/{path}"
    assert entries_path(number, width) == f"tile/entries/{path}"


def test_the_widths_of_a_tree_of_seventy_thousand() -> None:
    """The example of the specification."""
    assert [tile_width(0, number, 70_000) for number in (272, 273, 274)] == [256, 112, 0]
    assert [tile_width(1, number, 70_000) for number in (0, 1, 2)] == [256, 17, 0]
    assert [tile_width(2, number, 70_000) for number in (0, 1)] == [1, 0]
    assert tile_width(3, 0, 70_000) == 0
    assert len(tiles_of_growth(0, 70_000)) == 274 + 2 + 1


def test_nothing_is_written_for_a_tree_that_did_not_grow() -> None:
    assert tiles_of_growth(70_000, 70_000) == []
    assert tiles_of_growth(0, 0) == []


@given(st.lists(st.integers(1, 700), min_size=1, max_size=6), st.data())
@settings(max_examples=40)
def test_a_log_that_grows_proves_every_leaf_and_every_earlier_size(
    steps: list[int], data: st.DataObject
) -> None:
    sizes = [sum(steps[: end + 1]) for end in range(len(steps))]
    files = written(sizes)
    size = sizes[-1]
    subtree = subtrees_in_tiles(size, files.__getitem__)
    (leaves, *_) = hashes_by_level(size)
    root = root_hash(size, subtree)
    index = data.draw(st.integers(0, size - 1))
    check_inclusion(index, size, leaves[index], inclusion_proof(index, size, subtree), root)
    for old in sizes:
        earlier = root_hash(old, subtrees_in_tiles(old, files.__getitem__))
        check_consistency(old, earlier, size, root, consistency_proof(old, size, subtree))


def test_a_root_over_two_levels_of_tiles_is_that_of_the_definition() -> None:
    size = 66_001
    files = written([size])
    root = root_hash(size, subtrees_in_tiles(size, files.__getitem__))
    (hashes, *_) = hashes_by_level(size)
    whole = []
    for level, index in complete_subtrees(0, size):
        below = hashes[index << level : (index + 1) << level]
        for _ in range(level):
            below = parents(below)
        whole += below
    while len(whole) > 1:
        *whole, left, right = whole
        whole += parents([left, right])
    assert whole == [root]


def test_a_tile_of_another_length_is_named() -> None:
    files = written([300])
    files["tile/0/001.p/44"] = files["tile/0/001.p/44"][:-1]
    with pytest.raises(BadProof, match=rf"tile/0/001\.p/44: {44 * HASH_LENGTH - 1} bytes, expected"):
        root_hash(300, subtrees_in_tiles(300, files.__getitem__))


def test_a_subtree_beyond_the_tree_is_refused() -> None:
    files = written([300])
    subtree = subtrees_in_tiles(300, files.__getitem__)
    with pytest.raises(BadProof, match="has no 64 hashes from 0 on"):
        subtree(6, 4)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entries_come_back_as_they_were(entries: list[bytes]) -> None:
    assert decode_entries(encode_entries(entries), len(entries)) == entries


def test_a_bundle_that_is_cut_or_has_other_entries_is_refused() -> None:
    bundle = encode_entries([b"one", b"two"])
    for cut, message in ((1, "within an entry"), (4, "within a length"), (5, "has 1 entries")):
        with pytest.raises(BadProof, match=message):
            decode_entries(bundle[:-cut], 2)
    with pytest.raises(BadProof, match="has 2 entries: expected 3"):
        decode_entries(bundle, 3)
    with pytest.raises(ValueError, match="at most 65535"):
        encode_entries([bytes(65_536)])
