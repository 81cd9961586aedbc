"""Proofs out of a published log: that a row is in it, and that one of its heads continues another.

Each is checked before it is given away, so that a damaged log or an altered row is a message here and not a
proof that fails later.  Specifications: C2SP tlog-proof@v1, and ``docs/log.md``, "Consistency".
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any, Final, Self

from audit.errors import LogDamaged, NothingSelected, NotSealed
from audit.sealing.batches import missing
from audit.sealing.log_files import CHECKPOINT, WITNESSED
from audit.web_log import Log
from ledger.checkpoints import Checkpoint
from ledger.encoded import base64_of
from ledger.errors import BadNote, BadProof
from ledger.log_proofs import LogProof
from ledger.merkle import (
    Subtree,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_hash,
)
from ledger.notes import Note
from ledger.streams import Stream
from ledger.tiles import HASH_LENGTH, subtrees_in_tiles
from store.seals import Leaves, Range, SealStore

CONSISTENCY_FORMAT: Final = "tally/consistency-proof/v1"


@dataclass(frozen=True, slots=True)
class RowNamed:
    """What a proof says in its ``extra`` line of its row; nobody signed it."""

    stream: str
    chain: str
    seq: int
    row_hash: bytes

    @classmethod
    def read(cls, extra: bytes) -> Self:
        """Out of a proof's extra data.

        Raises:
            ValueError, TypeError, KeyError, RecursionError: it is not ours.
        """
        found = json.loads(extra)
        stream, chain, seq = found["stream"], found["chain"], found["seq"]
        row_hash = bytes.fromhex(found["row_hash"])
        if not (isinstance(stream, str) and isinstance(chain, str) and type(seq) is int):
            raise TypeError("stream and chain are texts, seq is a number")
        if len(row_hash) != HASH_LENGTH:
            raise ValueError("a row's hash has 32 bytes")
        return cls(stream, chain, seq, row_hash)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a proof."""
        return {
            "chain": self.chain,
            "row_hash": self.row_hash.hex(),
            "seq": self.seq,
            "stream": self.stream,
        }


@dataclass(frozen=True, slots=True)
class ProvenRow:
    """A row, its leaf's proof, and whether its checkpoint was published as witnessed.

    Whether it is, only a policy says.
    """

    row: RowNamed
    proof: LogProof
    size: int
    published_as_witnessed: bool

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return self.row.to_json() | {
            "index": self.proof.index,
            "size": self.size,
            "published_as_witnessed": self.published_as_witnessed,
            "proof": str(self.proof),
        }


@dataclass(frozen=True, slots=True)
class Head:
    """A head to be compared: its size, its root, and the checkpoint that states it, if there is one."""

    size: int
    root: bytes
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """A proof that the tree of ``new`` begins with that of ``old``; ``hashes`` have 32 bytes each."""

    old: Head
    new: Head
    hashes: tuple[bytes, ...]

    def __str__(self) -> str:
        notes = "".join(f"\n{head.note}" for head in (self.old, self.new) if head.note is not None)
        return (
            f"{CONSISTENCY_FORMAT}\n"
            f"old {self.old.size} {base64_of(self.old.root)}\n"
            f"new {self.new.size} {base64_of(self.new.root)}\n"
            + "".join(f"{base64_of(one)}\n" for one in self.hashes)
            + notes
        )


class Contradicted(BadProof):
    """A checkpoint states another root than the log has at that size."""

    def __init__(self, size: int, stated: bytes, found: bytes) -> None:
        super().__init__(
            f"two histories: the checkpoint of {size} leaves has the root {base64_of(stated)}, the log has "
            f"{base64_of(found)}"
        )
        self.size, self.stated, self.found = size, stated, found


class Behind(BadProof):
    """A checkpoint has more leaves than the log."""


# --- rows ---


def prove_row(store: SealStore, log: Log, stream: Stream, chain: str, seq: int) -> ProvenRow:
    """The proof of a row in the witnessed checkpoint if that has it, else in the newest one.

    One look-up in the database and some tiles: at most a few of each level.

    Raises:
        NothingSelected: there is no such row.
        NotSealed: it is not in the published log yet.
        LogDamaged: the log's files do not lead from the row to the checkpoint.
        store.errors.StoreError: the database can't be read.
    """
    asked = Range(chain, seq, seq)
    (leaves,) = store.leaves(stream, [asked])
    seal = store.seal_of(stream.name, chain, seq)
    row_hash = _row_hash(asked, leaves, stream, sealed=seal is not None)
    if seal is None:
        raise NotSealed(f"{stream.name} {chain} row {seq} is not sealed yet: `tally seal` seals it now")
    index = seal.first_leaf + seq - seal.first_seq
    note, head, witnessed = _covering(log, index)
    subtree = _subtrees(head.size, log)
    try:
        stored = subtree(0, index)
        if stored != leaf_hash(row_hash):
            raise LogDamaged(
                f"{stream.name} {chain} row {seq} has another hash than leaf {index} of the log: one of them "
                "was altered since; `tally verify --against` says more"
            )
        hashes = tuple(inclusion_proof(index, head.size, subtree))
        check_inclusion(index, head.size, stored, hashes, head.root)
    except BadProof as error:
        raise LogDamaged(f"the log's tiles do not prove leaf {index}: {error}") from error
    row = RowNamed(stream.name, chain, seq, row_hash)
    extra = json.dumps(row.to_json(), ensure_ascii=False, separators=(",", ":")).encode()
    return ProvenRow(row, LogProof(index, hashes, note, extra), head.size, witnessed)


def row_named(proof: LogProof) -> RowNamed | None:
    """The row that a proof of ours names; None if it names none."""
    try:
        return RowNamed.read(proof.extra or b"")
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _row_hash(asked: Range, leaves: Leaves, stream: Stream, *, sealed: bool) -> bytes:
    where = f"{stream.name} {asked.chain} row {asked.first_seq}"
    if leaves.rows == 0:
        gone = " any more, though it was sealed: `tally verify` says what is missing" if sealed else ""
        raise NothingSelected(f"there is no {where}{gone}")
    wrong = missing(asked, leaves)
    if wrong is not None:
        raise NothingSelected(f"{where}: {wrong}; `tally verify` says more")
    return leaves.hashes


def _covering(log: Log, index: int) -> tuple[Note, Checkpoint, bool]:
    """The checkpoint that a leaf is proven in."""
    for name in (WITNESSED, CHECKPOINT):
        note = log.note(name)
        if note is not None:
            head = _head_of(note, name)
            if index < head.size:
                return note, head, name == WITNESSED
    raise NotSealed(f"leaf {index} is sealed, and not in the published log yet: try again in a moment")


# --- heads ---


def prove_consistency(log: Log, old: int | Note, new: int | Note | None = None) -> ConsistencyProof:
    """The proof that the log's head ``new`` (its newest, if left out) begins with ``old``: sizes, or notes.

    A note is only compared with the log: who signed it, a policy decides (``ledger.policies.check_note``).

    Raises:
        Contradicted: a note, given or published, has another root than the log at that size.
        Behind: a note has more leaves than the log.
        NotSealed: a size is larger than the log, or the old one than the new one.
        LogDamaged: the tiles do not lead to the log's own checkpoint.
        BadNote: a note is no checkpoint of this log.
    """
    published = log.note()
    if published is None:
        raise NotSealed("the log has no checkpoint yet: `tally seal` makes the first")
    head = _head_of(published, CHECKPOINT)
    subtree = _subtrees(head.size, log)
    first = _compared(log, old, head, subtree)
    last = _compared(log, published if new is None else new, head, subtree)
    if first.size > last.size:
        raise NotSealed(f"a tree of {first.size} leaves can't be the beginning of one of {last.size}")
    try:
        hashes = tuple(consistency_proof(first.size, last.size, subtree))
        check_consistency(first.size, first.root, last.size, last.root, hashes)
    except BadProof as error:
        raise LogDamaged(f"the log's tiles do not prove it: {error}") from error
    return ConsistencyProof(first, last, hashes)


def _compared(log: Log, asked: int | Note, head: Checkpoint, subtree: Subtree) -> Head:
    """A size or a checkpoint, held against the log."""
    if isinstance(asked, int):
        if asked > head.size:
            raise NotSealed(f"the log has {head.size} leaves: it has no tree of {asked} yet")
        root, note = _root(asked, head, subtree), _published_of(log, asked)
        if note is not None and (stated := Checkpoint.parse(note.text)).root != root:
            raise Contradicted(asked, stated.root, root)
        return Head(asked, root, note)
    stated = Checkpoint.parse(asked.text)
    if stated.origin != head.origin:
        raise BadNote(f"the checkpoint is of {stated.origin[:64]}, the log is {head.origin}")
    if stated.size > head.size:
        raise Behind(
            f"the checkpoint has {stated.size} leaves, the log only {head.size}: leaves were lost (an old "
            "backup that was restored?), or it is not served whole"
        )
    found = _root(stated.size, head, subtree)
    if found != stated.root:
        raise Contradicted(stated.size, stated.root, found)
    return Head(stated.size, stated.root, asked)


def _root(size: int, head: Checkpoint, subtree: Subtree) -> bytes:
    """The root of the log's first ``size`` leaves, shown to belong to its own checkpoint.

    Without that, a damaged tile would pass for another history.
    """
    try:
        root = root_hash(size, subtree)
        proof = consistency_proof(size, head.size, subtree)
        check_consistency(size, root, head.size, head.root, proof)
    except BadProof as error:
        raise LogDamaged(f"the log's tiles do not lead to its own checkpoint: {error}") from error
    return root


def _published_of(log: Log, size: int) -> Note | None:
    """The log's checkpoint of that size, if it still shows one."""
    for name in (WITNESSED, CHECKPOINT):
        note = log.note(name)
        if note is not None and _head_of(note, name).size == size:
            return note
    return None


def _head_of(note: Note, name: str) -> Checkpoint:
    try:
        return Checkpoint.parse(note.text)
    except BadNote as error:
        raise LogDamaged(f"{name}: {error}") from error


def _subtrees(size: int, log: Log) -> Subtree:
    """The subtrees of the log; each tile is read once."""
    return subtrees_in_tiles(size, functools.cache(log.read))
