"""Holding a ledger against signed heads that were kept elsewhere.

Chains prove that rows belong together; somebody who owns the database can chain everything anew.  A head that
was signed before does not change with it.  So the log's tree is made again, from the rows as they are now and
in the order in which they were sealed, and each head has to be the root of as many leaves.

Where it is not, the published tiles say which leaf was another: a leaf of theirs counts only if it is proven
to be in the tree of the very head that is contradicted, so that tiles which were altered too prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from audit.anchors import Anchor, Anchors
from audit.errors import LogDamaged
from audit.report import Json
from audit.retention.declared import read_retention
from audit.retention.entries import DroppedEntries
from audit.sealing.log_files import LogFiles
from audit.sealing.reading import Lost, batch_entries, found_rows
from ledger.checkpoints import Checkpoint
from ledger.errors import BadNote, BadProof
from ledger.growth import Edge, grow
from ledger.heads import statement_digest, statement_text
from ledger.merkle import (
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    root_hash,
)
from ledger.tiles import HASH_LENGTH, TILE_WIDTH, subtrees_in_tiles, tile_path, tile_width
from store.seals import AUDITING, Seal, Sealed, SealStore

_LEAVES_AT_ONCE: Final = 1 << 18


_NO_TILES: Final = "the log's tiles as they were published (--log) would tell from which row on"


class Verdict(Enum):
    """What a head says of the ledger."""

    HOLDS = "holds"
    OLDER = "older state"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class Held:
    """An anchor and what it says; ``leaf``: the first one that is another or missing, ``row``: its row."""

    anchor: Anchor
    verdict: Verdict
    detail: str
    leaf: int | None = None
    row: tuple[str, str, int] | None = None


@dataclass(frozen=True, slots=True)
class Against:
    """The ledger held against all heads.

    ``size``: leaves that the database's log has; ``covered``: those under the largest head that holds and has
    all that the policy asks for; ``uncovered_rows``: rows that came after it.  ``fresh``: the witnesses that
    were asked for their own last head are enough, and those heads hold.
    """

    held: tuple[Held, ...]
    unasked: tuple[str, ...]
    size: int
    covered: int
    uncovered_rows: int
    fresh: bool

    @property
    def ok(self) -> bool:
        """Whether every head holds, one of them has all that the policy asks for, and none is kept from us.

        It says nothing of what came after the largest such head: see ``covered``.
        """
        return self.holds and self.covered > 0 and self.fresh

    @property
    def holds(self) -> bool:
        """Whether every head holds."""
        return all(one.verdict is Verdict.HOLDS for one in self.held)

    def to_json(self) -> dict[str, Json]:
        """As JSON values."""
        return {
            "ok": self.ok,
            "size": self.size,
            "covered": self.covered,
            "uncovered_rows": self.uncovered_rows,
            "fresh": self.fresh,
            "unasked": list(self.unasked),
            "heads": [
                {
                    "source": one.anchor.source,
                    "origin": one.anchor.checkpoint.origin,
                    "size": one.anchor.checkpoint.size,
                    "root": one.anchor.checkpoint.root.hex(),
                    "vouched": one.anchor.vouched,
                    "wanting": one.anchor.wanting,
                    "verdict": one.verdict.value,
                    "detail": one.detail,
                    "leaf": one.leaf,
                    "row": None
                    if one.row is None
                    else dict(zip(("stream", "chain", "seq"), one.row, strict=True)),
                }
                for one in self.held
            ],
        }


def hold_against(url: str, given: Anchors, log: LogFiles | None) -> Against:
    """Hold the ledger at ``url`` against these heads, with the published log if there is one.

    Raises:
        store.errors.StoreError: the database can't be read.
    """
    with SealStore(url, AUDITING) as store:
        store.hold_still()
        return held_by(store, given, log)


def held_by(
    store: SealStore,
    given: Anchors,
    log: LogFiles | None,
    progress: Callable[[int, int], None] | None = None,
) -> Against:
    """The same; ``store`` sees one instant of the database, that which is verified too.

    Raises:
        store.errors.StoreError: the database can't be read.
    """
    walk = _Walk(store, log, given.anchors)
    last = store.last()
    total = 0 if last is None else last.batch.size
    for done in walk.run():
        if progress is not None:
            progress(done, total)
    held = tuple(walk.held(anchor) for anchor in given.anchors)
    holding = [one.anchor for one in held if one.verdict is Verdict.HOLDS]
    covered = max((one.checkpoint.size for one in holding if one.wanting is None), default=0)
    return Against(
        held,
        given.unasked,
        walk.edge.size,
        covered,
        store.rows() - walk.rows_at.get(covered, 0),
        given.fresh({one.witness for one in holding if one.witness is not None}),
    )


class _Walk:
    """The tree made again, leaf by leaf."""

    def __init__(self, store: SealStore, log: LogFiles | None, anchors: Sequence[Anchor]) -> None:
        self._store = store
        self._log = log
        retention = read_retention(store)
        self._dropped = DroppedEntries(store, log, retention.counted) if retention.counted else None
        self._heads = {(anchor.checkpoint.size, anchor.checkpoint.root) for anchor in anchors}
        self._sizes = sorted({size for size, _ in self._heads})
        self._published = self._sizes[-1] if log is None else _published_size(log, self._sizes[-1])
        self.edge = Edge.empty()
        self._roots = {0: self.edge.root}
        self._lost: Lost | None = None
        self._different: int | None = None
        self._last: Sealed | None = None
        self._rows = 0
        self.rows_at = {0: 0}
        """Rows under the heads that end with a batch."""

    def run(self) -> Iterator[int]:
        """Make it; yields the leaves done."""
        for page in self._pages():
            seals: dict[int, list[Seal]] = {}
            for seal in self._store.seals(page[0].batch.first_leaf, page[-1].batch.size):
                seals.setdefault(seal.batch, []).append(seal)
            found = found_rows(self._store, [seal for some in seals.values() for seal in some])
            if self._dropped is not None:
                found |= self._dropped.completed(found)
            for sealed in page:
                if sealed.batch.first_leaf != self.edge.size:
                    return
                mine = seals.get(sealed.batch.number, ())
                entries, self._lost = batch_entries(sealed, mine, found)
                if self._lost is not None and self._dropped is not None:
                    self._lost = self._dropped.explained(self._lost)
                self._grow(entries)
                if self._lost is not None or self.edge.size != sealed.batch.size:
                    return
                self._last = sealed
                self._rows += sum(seal.range.rows for seal in mine)
                if self.edge.size in self._sizes:
                    self.rows_at[self.edge.size] = self._rows
            yield self.edge.size

    def _pages(self) -> Iterator[list[Sealed]]:
        page: list[Sealed] = []
        leaves = 0
        for sealed in self._store.batches():
            page.append(sealed)
            leaves += sealed.batch.leaves
            if leaves >= _LEAVES_AT_ONCE:
                yield page
                page, leaves = [], 0
        if page:
            yield page

    def _grow(self, entries: list[bytes]) -> None:
        begin = self.edge.size
        cuts = [size - begin for size in self._sizes if begin < size <= begin + len(entries)]
        at = 0
        for cut in sorted({*cuts, len(entries)} - {0}):
            before = self.edge.size
            self.edge, files = grow(self.edge, entries[at:cut])
            at = cut
            self._roots[self.edge.size] = self.edge.root
            if self._different is None:
                self._compare(before, files)
        kept = {*self._sizes, 0, self.edge.size}
        self._roots = {size: root for size, root in self._roots.items() if size in kept}

    def _compare(self, before: int, files: dict[str, bytes]) -> None:
        """Find the first leaf that the published tiles have otherwise."""
        if self._log is None:
            return
        for number in range(before // TILE_WIDTH, (self.edge.size + TILE_WIDTH - 1) // TILE_WIDTH):
            mine = files[tile_path(0, number, tile_width(0, number, self.edge.size))]
            width = tile_width(0, number, self._published)
            if width == 0:
                return
            try:
                theirs = self._log.read(tile_path(0, number, width))
            except (LogDamaged, BadProof):
                return
            common = min(len(mine), len(theirs))
            if mine[:common] != theirs[:common]:
                self._different = number * TILE_WIDTH + _first_difference(mine, theirs)
                return

    # --- what a head says ---

    def held(self, anchor: Anchor) -> Held:
        """What this head says of the tree."""
        head = anchor.checkpoint
        if self._last is not None and head.origin != self._last.batch.origin:
            detail = f"it is a head of {head.origin}, and the database's log is {self._last.batch.origin}"
            return Held(anchor, Verdict.CONTRADICTED, detail)
        root = self._roots.get(head.size)
        if root == head.root:
            return self._holds(anchor)
        if self._lost is not None and self._lost.seal.first_leaf < head.size:
            seal = self._lost.seal
            detail = f"{seal.stream} {seal.chain}: {self._lost.reason}"
            row = (seal.stream, seal.chain, seal.first_seq)
            return Held(anchor, Verdict.CONTRADICTED, detail, seal.first_leaf, row)
        if root is None and head.size > self.edge.size:
            return self._shorter(anchor)
        return self._contradicted(anchor)

    def _holds(self, anchor: Anchor) -> Held:
        """The root is the same; the last batch's statement has to be what the seals say, too."""
        size = anchor.checkpoint.size
        sealed = self._store.of_size(size)
        if sealed is None and size:
            detail = (
                "the rows lead to its root, and the database has no batch that ends there: it was altered"
            )
            return Held(anchor, Verdict.CONTRADICTED, detail)
        if sealed is not None:
            heads = self._store.heads(sealed.batch.number)
            text = statement_text(sealed.batch, (head.line for head in heads))
            if statement_digest(text) != sealed.heads_digest:
                detail = (
                    "the rows lead to its root, and seals or heads do not say what batch "
                    f"{sealed.batch.number} said of the chains: they were altered"
                )
                return Held(anchor, Verdict.CONTRADICTED, detail)
        return Held(anchor, Verdict.HOLDS, "the rows lead to its root")

    def _shorter(self, anchor: Anchor) -> Held:
        head = anchor.checkpoint
        size = self.edge.size
        has = f"the head has {head.size:,} leaves, the database's log {size:,}"
        if self._last is not None:
            has += f", the last of them sealed at {self._last.batch.sealed_at:%Y-%m-%d %H:%M:%S} UTC"
        if self._begins(head):
            detail = (
                f"{has}, and all of those are the head's: an older state of this ledger. A backup was "
                f"restored, or the tail was taken away; {head.size - size:,} leaves are missing"
            )
            return Held(anchor, Verdict.OLDER, detail, size)
        if self._different is None:
            detail = f"{has}: leaves were taken away, or a backup was restored; {_NO_TILES}"
            return Held(anchor, Verdict.OLDER, detail)
        return self._contradicted(anchor)

    def _begins(self, head: Checkpoint) -> bool:
        """Whether the published tiles prove that the head's tree begins with this one."""
        if self._log is None:
            return False
        try:
            subtree = subtrees_in_tiles(head.size, self._log.read)
            proof = consistency_proof(self.edge.size, head.size, subtree)
            check_consistency(self.edge.size, self.edge.root, head.size, head.root, proof)
            return self.edge.size > 0 or root_hash(head.size, subtree) == head.root
        except (BadProof, LogDamaged):
            return False

    def _contradicted(self, anchor: Anchor) -> Held:
        head = anchor.checkpoint
        leaf = self._different
        said = f"the rows do not lead to its root of {head.size:,} leaves: another history"
        if leaf is None or leaf >= head.size or self._proven(head.size, head.root, leaf) is None:
            held = [size for size, root in self._heads if size < head.size and self._roots.get(size) == root]
            since = f"; it began after leaf {max(held):,}" if held else ""
            return Held(
                anchor,
                Verdict.CONTRADICTED,
                f"{said}{since}; {_NO_TILES}",
            )
        seal = self._store.seal_of_leaf(leaf)
        if seal is None:
            return Held(anchor, Verdict.CONTRADICTED, f"{said}, from leaf {leaf:,} on", leaf)
        row = (seal.stream, seal.chain, seal.first_seq + leaf - seal.first_leaf)
        where = f"row {row[2]:,} of {row[0]} {row[1]} (leaf {leaf:,})"
        return Held(anchor, Verdict.CONTRADICTED, f"{said}, from {where} on", leaf, row)

    def _proven(self, size: int, root: bytes, leaf: int) -> bytes | None:
        """The leaf hash that the published tiles have there, proven to be in the tree of that root."""
        if self._log is None:
            return None
        try:
            subtree = subtrees_in_tiles(size, self._log.read)
            published = subtree(0, leaf)
            check_inclusion(leaf, size, published, inclusion_proof(leaf, size, subtree), root)
        except (BadProof, LogDamaged):
            return None
        return published


def _published_size(log: LogFiles, otherwise: int) -> int:
    """The size whose tiles the log has."""
    try:
        note = log.note()
        return otherwise if note is None else Checkpoint.parse(note.text).size
    except (LogDamaged, BadNote):
        return otherwise


def _first_difference(mine: bytes, theirs: bytes) -> int:
    """The first hash that differs, of those that both have."""
    places = range(0, min(len(mine), len(theirs)), HASH_LENGTH)
    return (
        next(at for at in places if mine[at : at + HASH_LENGTH] != theirs[at : at + HASH_LENGTH])
        // HASH_LENGTH
    )
