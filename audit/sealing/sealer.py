"""From committed rows to a signed head, in four steps, and what a crash after each of them leaves.

1. The next tree is allocated in the database: its size, root and seals in one transaction.  A crash before it
   leaves nothing.  From here on there is one tree of that size, for every sealer, for ever.
2. Its tiles are written as files.  A crash leaves some of them; ``recover`` makes them all again from the
   rows, and refuses if they do not lead to the root that was allocated.
3. The checkpoint is signed and published.  Ed25519 gives the same signature again, so that a crash before or
   after it is the same.
4. The database notes that it was published.  A crash before it loses a line of a list.

Nothing is signed that step 1 has not allocated, and nothing at all while what is published and what is
allocated contradict each other: that is what an old backup of the database looks like, or a history that was
rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from audit.errors import ForkRefused
from audit.sealing.batches import MOST_ROWS, LeftOut, next_ranges, sealed_as
from audit.sealing.log_files import CHECKPOINT, WITNESSED, LogFiles
from audit.sealing.reading import batch_entries, found_rows
from ledger.checkpoints import Checkpoint
from ledger.growth import Edge, grow
from ledger.heads import Batch, statement_digest, statement_entry, statement_text
from ledger.notes import Note, SigningKey, sign_note
from ledger.streams import stream_named
from store.seals import Leaves, Moved, Range, Sealed, SealStore

_REFUSED: Final = "Nothing is signed; `tally verify --against` says where they part"
_BATCHES_A_ROUND: Final = 64
"""After so many, whoever runs the sealer gets to look at the clock again: 16 million rows."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round of sealing did.

    ``head``, ``note``: what is published now, None for a log without leaves.  ``rows``: how many were sealed.
    ``left_out``: chains that could not be.  ``more``: there may be more to seal at once.
    """

    head: Sealed | None
    note: Note | None
    rows: int
    left_out: tuple[LeftOut, ...]
    more: bool


class Sealer:
    """One log: a database, a folder, a key.

    Raises (every method):
        ForkRefused: the database and the published log contradict each other; nothing is signed. LogDamaged:
        a file of the log is not what it should be, or can't be written. store.errors.StoreError: the database
        can't be reached or refuses; ``NotNext``: another sealer is at work.
    """

    def __init__(
        self,
        store: SealStore,
        files: LogFiles,
        key: SigningKey,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        most_rows: int = MOST_ROWS,
    ) -> None:
        self._store = store
        self._files = files
        self._key = key
        self._clock = clock
        self._most_rows = most_rows
        self._edge = Edge.empty()
        self._head: Sealed | None = None
        self._lines: dict[tuple[bytes, bytes], str] = {}

    def recover(self) -> Round:
        """Bring files and head to where the database is.  To be called first, and after any error."""
        self._head = self._store.last()
        self._check_origin()
        self._edge = Edge.read(self._published_size(), self._files.read)
        self._check_published()
        while self._head is not None and self._edge.size < self._head.batch.size:
            edge, files = self._next_allocated()
            self._files.put_tiles(files)
            self._edge = edge
        self._lines = self._stated(self._head)
        return self._publish(0, ())

    def seal(self) -> Round:
        """Seal what is committed, batch by batch; the next one is read while the files of one are written."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiles") as writer:
            return self._seal(writer)

    def _seal(self, writer: ThreadPoolExecutor) -> Round:
        rows = 0
        left_out: dict[tuple[str, str], LeftOut] = {}
        writing: Future[None] | None = None
        more = False
        for _ in range(_BATCHES_A_ROUND):
            planned = next_ranges(
                (one for one in self._store.moved() if (one.stream, one.chain) not in left_out),
                self._most_rows,
            )
            if not planned:
                break
            number = 1 if self._head is None else self._head.batch.number + 1
            seals, entries, broken = sealed_as(number, self._edge.size, self._found(planned))
            left_out |= {(one.stream, one.chain): one for one in broken}
            if not seals:
                continue
            batch = Batch(self._key.name, number, self._edge.size, len(entries) + 1, self._now())
            lines = self._lines | {seal.head.place: seal.head.line for seal in seals}
            digest = statement_digest(statement_text(batch, (lines[place] for place in sorted(lines))))
            edge, files = grow(self._edge, [*entries, statement_entry(digest)])
            sealed = Sealed(batch, edge.root, digest)
            if writing is not None:
                writing.result()
                self._publish(rows, ())
            self._store.allocate(sealed, seals)
            writing = writer.submit(self._files.put_tiles, files)
            self._head, self._lines, self._edge = sealed, lines, edge
            rows += len(entries)
        else:
            more = True
        if writing is not None:
            writing.result()
        return self._publish(rows, left_out.values(), more=more)

    def _found(
        self, planned: dict[str, list[tuple[Moved, Range]]]
    ) -> dict[str, list[tuple[Moved, Range, Leaves]]]:
        found = {}
        for stream, chains in planned.items():
            leaves = self._store.leaves(stream_named(stream), [asked for _, asked in chains])
            found[stream] = [(*one, leaf) for one, leaf in zip(chains, leaves, strict=True)]
        return found

    # --- the steps after the allocation ---

    def _publish(self, rows: int, left_out: Iterable[LeftOut], *, more: bool = False) -> Round:
        left = tuple(left_out)
        if self._head is None:
            return Round(None, None, rows, left, more)
        head = Checkpoint(self._key.name, self._head.batch.size, self._head.root)
        published = self._files.note()
        note = self._signed(head.text, published)
        if note != published:
            self._files.put_note(note)
            self._store.publish(head.size, str(note), witnessed=False)
            self._files.drop_partial(self._edge.size)
        return Round(self._head, note, rows, left, more)

    def _signed(self, text: str, published: Note | None) -> Note:
        """The head with this key's signature; what others have signed of it already stays beside it."""
        signed = sign_note(text, self._key)
        if published is None or published.text != text:
            return signed
        (mine,) = signed.signatures
        others = [one for one in published.signatures if (one.name, one.key_id) != (mine.name, mine.key_id)]
        whole = published.signatures.count(mine) == 1 and len(others) == len(published.signatures) - 1
        return published if whole else Note(text, (mine, *others))

    def _now(self) -> datetime:
        """The clock, but never before the last batch's time."""
        now = self._clock()
        return now if self._head is None else max(now, self._head.batch.sealed_at)

    # --- recovery ---

    def _published_size(self) -> int:
        note = self._files.note()
        return 0 if note is None else Checkpoint.parse(note.text).size

    def _check_origin(self) -> None:
        if self._head is not None and self._head.batch.origin != self._key.name:
            raise ForkRefused(
                f"the database's log is {self._head.batch.origin}, the key is of {self._key.name}: "
                "a log keeps its name"
            )

    def _check_published(self) -> None:
        """Refuse if a published head is none that this database allocated."""
        for name in (CHECKPOINT, WITNESSED):
            note = self._files.note(name)
            if note is not None:
                self._check_head(name, Checkpoint.parse(note.text))
        if self._head is None and self._files.has_tiles:
            raise ForkRefused(
                f"{self._files.folder} has the tiles of a log, and the database has none: restore the "
                f"database, or give a new log a folder and a name of its own. {_REFUSED}"
            )

    def _check_head(self, name: str, published: Checkpoint) -> None:
        if published.origin != self._key.name:
            raise ForkRefused(
                f"{self._files.folder / name} is of the log {published.origin}, "
                f"the key is of {self._key.name}"
            )
        known = self._store.of_size(published.size)
        if known is None:
            has = "no leaves" if self._head is None else f"{self._head.batch.size} leaves"
            raise ForkRefused(
                f"a head of {published.size} leaves was published ({name}), and the database's log has {has} "
                "and never had that size: it is an older state (a backup that was restored?) or another "
                f"history. {_REFUSED}"
            )
        tiles = self._edge.root if name == CHECKPOINT else known.root
        if known.root != published.root or tiles != published.root:
            raise ForkRefused(
                f"the published head of {published.size} leaves ({name}) has another root than the "
                f"database's: two histories. {_REFUSED}"
            )

    def _stated(self, head: Sealed | None) -> dict[tuple[bytes, bytes], str]:
        """The lines of the last statement, on which the next one goes on, if they are what was sealed."""
        if head is None:
            return {}
        lines = {one.place: one.line for one in self._store.heads(head.batch.number)}
        text = statement_text(head.batch, (lines[place] for place in sorted(lines)))
        if statement_digest(text) != head.heads_digest:
            raise ForkRefused(
                f"the seals do not give the statement of heads that ends batch {head.batch.number}: seals or "
                f"seal_batches were altered since. {_REFUSED}"
            )
        return lines

    def _next_allocated(self) -> tuple[Edge, dict[str, bytes]]:
        """The first batch whose tiles are not published, made again from the rows."""
        seals = []
        number = None
        for seal in self._store.seals(self._edge.size, self._edge.size + 2 * MOST_ROWS + 2):
            number = seal.batch if number is None else number
            if seal.batch != number:
                break
            seals.append(seal)
        sealed = None if number is None else self._store.of_batch(number)
        if sealed is None or sealed.batch.first_leaf != self._edge.size:
            raise ForkRefused(
                f"no batch begins at leaf {self._edge.size}: seals or seal_batches were altered"
            )
        entries, lost = batch_entries(sealed, seals, found_rows(self._store, seals))
        if lost is not None:
            raise ForkRefused(
                f"{lost.seal.stream} {lost.seal.chain}: {lost.reason}; "
                f"batch {number} has them, and they must not change"
            )
        edge, files = grow(self._edge, entries)
        if edge.root != sealed.root or edge.size != sealed.batch.size:
            raise ForkRefused(f"the rows of batch {number} do not lead to its root: they were altered since")
        return edge, files
