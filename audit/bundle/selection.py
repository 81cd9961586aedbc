"""Which part of the log a period is: a checkpoint, and the statements of heads before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from audit.bundle.errors import BundleRefused, LedgerBroken
from audit.sealing.log_files import CHECKPOINT, WITNESSED, LogFiles
from ledger.errors import BadNote, BadProof, UnknownStream
from ledger.heads import ANY_SITE, Statement, statement_text
from ledger.log_proofs import LogProof
from ledger.merkle import inclusion_proof, leaf_hash
from ledger.notes import Note
from ledger.policies import Policy, Seen, check_note
from ledger.streams import Stream, stream_named
from ledger.tiles import subtrees_in_tiles
from store.reader import Period
from store.seals import Sealed, SealStore

MARGIN: Final = timedelta(hours=48)
"""How long after the period its rows may still come in.  Our choice: collectors' and machines' outboxes."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The batch before the period (None: the log begins later), the one after it, and a checkpoint over both.

    ``complete``: the closing batch was sealed when the margin after the period was over, and no row of the
    period is waiting to be sealed.
    """

    opening: Sealed | None
    closing: Sealed
    note: Note
    seen: Seen
    complete: bool


@dataclass(frozen=True, slots=True)
class ChainRows:
    """The rows of a chain from ``first_seq`` to ``last_seq`` (none if that is less).

    ``previous``: the hash before them, None at the chain's beginning.  ``last``: the last one's.
    """

    stream: Stream
    chain: str
    first_seq: int
    last_seq: int
    previous: bytes | None
    last: bytes

    @property
    def rows(self) -> int:
        """How many."""
        return self.last_seq - self.first_seq + 1


def select(  # noqa: PLR0917 - what it reads, and the period
    store: SealStore,
    files: LogFiles,
    policy: Policy,
    start: datetime,
    end: datetime,
    rows: Iterable[tuple[str, Period]] = (),
) -> Selection:
    """The newest checkpoint that is witnessed and covers the period, else the newest; and the two batches.

    ``rows``: where the period's rows lie in their chains, by stream.  Those that were sealed before the
    period (a machine's clock was ahead) or late after it (they were delivered late) lie between the batches
    too.

    Raises:
        BundleRefused: nothing was sealed or published yet, no checkpoint is signed by a log of the policy,
            or the period ends where no calendar goes.
        LedgerBroken: what is published is not what the database sealed.
        audit.errors.LogDamaged: a file of the log is none.
    """
    last = store.last()
    if last is None:
        raise BundleRefused("nothing is sealed yet, so nothing can be proven: run `tally seal`")
    found = [note for note in (files.note(WITNESSED), files.note(CHECKPOINT)) if note is not None]
    if not found:
        raise BundleRefused(
            f"{files.folder} has no checkpoint: name the log's folder (--log), or run `tally seal`"
        )
    earliest, latest, unsealed = _batches_of(store, rows)
    over = with_margin(end)
    closing = _first_batch(store, last.batch.number, lambda sealed: sealed.batch.sealed_at >= over)
    if closing is not None and latest is not None and latest > closing.batch.number:
        closing = store.of_batch(latest)
    opening = _first_batch(store, last.batch.number, lambda sealed: sealed.batch.sealed_at >= start)
    before = last.batch.number if opening is None else opening.batch.number - 1
    if earliest is not None:
        before = min(before, earliest - 1)
    heads = [(note, *_seen(store, note, policy)) for note in found]
    note, seen, head = next(
        (one for one in heads if _covers(one[2], closing, end)), max(heads, key=lambda one: one[2].batch.size)
    )
    covered = closing is not None and closing.batch.size <= head.batch.size
    complete = covered and not unsealed
    chosen = closing if covered and closing is not None else head
    return Selection(
        store.of_batch(min(before, chosen.batch.number)) if before else None, chosen, note, seen, complete
    )


def with_margin(end: datetime) -> datetime:
    """When the rows of a period to ``end`` are all in.

    Raises:
        BundleRefused: no calendar goes so far.
    """
    try:
        return end + MARGIN
    except OverflowError as error:
        raise BundleRefused(
            f"the period's end, {end.isoformat()}, is too late: name one before 9999-12-30"
        ) from error


def _batches_of(store: SealStore, rows: Iterable[tuple[str, Period]]) -> tuple[int | None, int | None, bool]:
    """The first and the last batch that any of these rows is in, and whether one is in none yet."""
    first: list[int] = []
    last: list[int] = []
    unsealed = False
    for stream, (chain, first_seq, last_seq) in rows:
        ends = store.seal_of(stream, chain, first_seq), store.seal_of(stream, chain, last_seq)
        first += [seal.batch for seal in ends[:1] if seal is not None]
        last += [seal.batch for seal in ends if seal is not None]
        unsealed = unsealed or None in ends
    return min(first, default=None), max(last, default=None), unsealed


def _covers(head: Sealed, closing: Sealed | None, end: datetime) -> bool:
    return head.batch.sealed_at >= end if closing is None else head.batch.size >= closing.batch.size


def _seen(store: SealStore, note: Note, policy: Policy) -> tuple[Seen, Sealed]:
    try:
        seen = check_note(note, policy)
    except BadNote as error:
        raise BundleRefused(f"the log's checkpoint and the policy do not fit: {error}") from error
    head = store.of_size(seen.checkpoint.size)
    if head is None or (head.root, head.batch.origin) != (seen.checkpoint.root, seen.checkpoint.origin):
        raise LedgerBroken(
            f"the published checkpoint of {seen.checkpoint.size} leaves is none that this database sealed: "
            "`tally verify --against` says where they part"
        )
    return seen, head


def _first_batch(store: SealStore, last: int, late: Callable[[Sealed], bool]) -> Sealed | None:
    """The first batch that is ``late``; their times never go back."""
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        found = store.of_batch(middle)
        if found is None:
            raise LedgerBroken(f"batch {middle} of {last} is missing in seal_batches")
        if late(found):
            high = middle
        else:
            low = middle + 1
    return store.of_batch(low) if low <= last else None


def statement(store: SealStore, sealed: Sealed) -> tuple[Statement, bytes]:
    """The statement of heads of a batch, and its bytes.

    Raises:
        LedgerBroken: the database's heads do not make the statement that was sealed.
    """
    content = statement_text(sealed.batch, (head.line for head in store.heads(sealed.batch.number))).encode()
    try:
        found = Statement.parse(content)
    except BadProof as error:
        raise LedgerBroken(f"the heads of batch {sealed.batch.number} make no statement: {error}") from error
    if found.digest != sealed.heads_digest:
        raise LedgerBroken(
            f"the heads of batch {sealed.batch.number} are not those that were sealed: chain_heads or "
            "seals were altered"
        )
    return found, content


def proof(files: LogFiles, found: Statement, selection: Selection, policy: Policy) -> LogProof:
    """That the statement's leaf is in the checkpoint's tree.

    Raises:
        LedgerBroken: the tiles of the log do not prove it.
    """
    size = selection.seen.checkpoint.size
    try:
        hashes = inclusion_proof(found.index, size, subtrees_in_tiles(size, files.read))
        made = LogProof(found.index, tuple(hashes), selection.note)
        made.check(leaf_hash(found.entry), policy)
    except BadProof as error:
        raise LedgerBroken(f"the log's tiles do not lead to its checkpoint: {error}") from error
    return made


def chains_in_scope(opening: Statement | None, closing: Statement, sites: Sequence[str]) -> list[ChainRows]:
    """Every chain of the scope, in the order of the statement.

    With sites: every chain of the machines that named one of them in any stream, and all of governance.

    Raises:
        BundleRefused: no machine has named one of the sites.
        LedgerBroken: a chain lost rows, or its stream is none.
    """
    wanted = set(sites)
    named: dict[str, set[str]] = {}
    for head in closing.heads.values():
        if head.stream != "governance":
            named.setdefault(head.chain, set()).update(head.sites)
    for site in sites:
        if not any(site in its or ANY_SITE in its for its in named.values()):
            raise BundleRefused(f"no machine has named the site {site!r} up to the end of what is bundled")
    found = []
    for key, head in closing.heads.items():
        if wanted and head.stream != "governance" and (wanted | {ANY_SITE}).isdisjoint(named[head.chain]):
            continue
        before = opening.heads.get(key) if opening else None
        if before is not None and before.seq > head.seq:
            raise LedgerBroken(
                f"{head.stream} {head.chain} had row {before.seq} sealed, and now ends at {head.seq}"
            )
        try:
            stream = stream_named(head.stream)
        except UnknownStream as error:
            raise LedgerBroken(str(error)) from error
        first = before.seq + 1 if before else 1
        previous = before.row_hash if before else None
        found.append(ChainRows(stream, head.chain, first, head.seq, previous, head.row_hash))
    return found
