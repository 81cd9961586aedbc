"""Which chunks may go, and why the others may not.

A chunk may go if it lies wholly before a moment and each of its rows is sealed, by a leaf under the newest
witnessed checkpoint, and in a bundle.  Whether the rows still are what was sealed is asked of the ledger as a
whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from audit.against import Verdict, hold_against
from audit.anchors import Anchor, Anchors
from audit.errors import AuditError
from audit.report import Json
from audit.retention.declared import RunsDigest, read_retention
from audit.retention.errors import DropRefused
from audit.retention.exported import Exported, read_bundles
from audit.sealing.log_files import WITNESSED, LogFiles
from audit.sealing.parts import read_policy
from audit.verify import Progress, verify
from ledger.checkpoints import Checkpoint
from ledger.errors import BadNote
from ledger.policies import check_note
from ledger.streams import STREAMS, Stream
from store.reader import LedgerReader, nameable
from store.retention import Chunk, ChunkRun, DroppedRun, RetentionStore, all_runs
from store.seals import SealStore

MOST_CHUNKS: Final = 400
"""Of one drop: its event names them, and an event holds 64 KiB of attributes."""
NEVER: Final = frozenset({"governance"})
"""Streams whose rows stay: the service that adopts models reads their whole life, from the first row on."""
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """A chunk that has to stay, and why: the first rows that are in the way, and how many there are."""

    chunk: Chunk
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """As JSON values."""
        return {"chunk": self.chunk.title, "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class Going:
    """A chunk that may go, with its rows."""

    stream: Stream
    chunk: Chunk
    runs: tuple[ChunkRun, ...]

    @property
    def rows(self) -> int:
        """How many."""
        return sum(run.rows for run in self.runs)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be dropped as drop ``number``, what has to stay, and by which head all of it is witnessed.

    ``runs_digest``: of all runs that would have been dropped then, earlier drops' included.
    """

    before: datetime
    number: int
    going: tuple[Going, ...]
    kept: tuple[Kept, ...]
    head: Checkpoint
    bundles: tuple[str, ...]
    runs: tuple[DroppedRun, ...]
    runs_digest: str

    @property
    def rows(self) -> int:
        """Rows that would go."""
        return sum(one.rows for one in self.going)

    def to_json(self) -> dict[str, Json]:
        """As JSON values."""
        return {
            "before": self.before.isoformat(),
            "drop": self.number,
            "rows": self.rows,
            "chunks": [{"chunk": one.chunk.title, "rows": one.rows} for one in self.going],
            "kept": [one.to_json() for one in self.kept],
            "checkpoint_size": self.head.size,
            "checkpoint_root": self.head.root.hex(),
            "bundles": list(self.bundles),
            "runs_digest": self.runs_digest,
        }


def witnessed_head(log: LogFiles, policy: Path | None) -> tuple[Anchor, Checkpoint]:
    """The newest head that the log names as witnessed; with a policy, one that meets it.

    Raises:
        DropRefused: there is none.
        audit.errors.LogDamaged: what lies there is no signed note.
        AuditError: the policy can't be read.
    """
    note = log.note(WITNESSED)
    if note is None:
        raise DropRefused(
            f"{log.folder} has no witnessed checkpoint ({WITNESSED}): only what witnesses have cosigned may "
            "be dropped"
        )
    try:
        head = Checkpoint.parse(note.text)
        if policy is None:
            return Anchor(str(log.folder / WITNESSED), head, note, "as the sealer named it"), head
        believed = read_policy(policy)
        seen = check_note(note, believed)
    except BadNote as error:
        raise DropRefused(f"{log.folder / WITNESSED}: {error}") from error
    if believed.quorum is None or not seen.quorum:
        raise DropRefused(
            f"{log.folder / WITNESSED} is not witnessed as the policy asks "
            f"({believed.quorum_text or 'nobody'}): "
            "only what witnesses have cosigned may be dropped"
        )
    return Anchor(str(log.folder / WITNESSED), head, note, f"signed by {seen.log.name}"), head


def check_intact(url: str, log: LogFiles, anchor: Anchor, progress: Progress | None = None) -> None:
    """Raise unless the whole ledger verifies and leads to the witnessed head.

    Dropping rows of a ledger that was tampered with would drop the traces too.

    Raises:
        DropRefused: it does not.
        store.errors.StoreError: the database can't be read.
    """
    report = verify(url, progress=progress)
    if not report.ok:
        first = report.breaks[0]
        raise DropRefused(
            f"the ledger is broken ({first.place}: {first.kind.value}): nothing is dropped before `tally "
            "verify` is clean"
        )
    (held,) = hold_against(url, Anchors((anchor,), ()), log).held
    if held.verdict is not Verdict.HOLDS:
        raise DropRefused(f"the rows are not those that were sealed, so nothing is dropped: {held.detail}")


def plan(
    url: str, log: LogFiles, before: datetime, bundles: Sequence[Path] = (), policy: Path | None = None
) -> Plan:
    """What may be dropped of the rows whose event time lies before a moment (aware), with these bundles.

    Raises:
        DropRefused: nothing is witnessed.
        audit.retention.errors.BundleUnusable: a bundle does not count.
        store.errors.StoreError: the database can't be read.
    """
    if before.tzinfo is None:
        raise AuditError(f"{before} has no time zone; write it like 2026-01-31T00:00:00Z")
    _, head = witnessed_head(log, policy)
    with SealStore(url) as seals:
        exported = read_bundles(seals, bundles, policy)
    going: list[Going] = []
    kept: list[Kept] = []
    with RetentionStore(url) as store:
        for stream in (one for one in STREAMS.values() if one.name not in NEVER):
            for chunk in store.chunks(stream.name):
                if chunk.end > before:
                    continue
                runs = store.runs(stream, chunk)
                reasons = tuple(_reasons(store, stream, runs, head, exported))
                if len(going) >= MOST_CHUNKS and not reasons:
                    reasons = (f"one drop takes at most {MOST_CHUNKS} chunks: drop again",)
                if reasons:
                    kept.append(Kept(chunk, reasons))
                else:
                    going.append(Going(stream, chunk, tuple(runs)))
    with LedgerReader(url) as reader:
        number = read_retention(reader).counted + 1
        digest = RunsDigest()
        for run in all_runs(reader):
            if run.drop_number >= number:
                raise DropRefused(
                    "dropped_runs names rows that no event of the ledger declares: `tally verify` says which"
                )
            digest.add([run])
    dropped = _runs(number, going)
    digest.add(dropped)
    return Plan(
        before.astimezone(UTC),
        number,
        tuple(going),
        tuple(kept),
        head,
        exported.digests,
        dropped,
        digest.hex(),
    )


def _reasons(
    store: RetentionStore, stream: Stream, runs: Sequence[ChunkRun], head: Checkpoint, exported: Exported
) -> Iterator[str]:
    """What is in the way of dropping a chunk's rows."""
    unsound, unsealed, unwitnessed, unexported = [], [], [], []
    for run in runs:
        if not run.sound or not nameable(run.chain):
            unsound.append(run)
            continue
        part = store.sealed_part(stream.name, run)
        if part.rows != run.rows:
            unsealed.append(run)
        elif part.end_leaf > head.size:
            unwitnessed.append(run)
        elif not exported.has(stream.name, run.chain, run.first_seq, run.last_seq):
            unexported.append(run)
    for what, found in (
        ("are not each there once, with a hash", unsound),
        ("are not all sealed", unsealed),
        (f"are not all under the witnessed checkpoint of {head.size:,} leaves", unwitnessed),
        ("are not all in a bundle that was given", unexported),
    ):
        if found:
            named = ", ".join(f"{run.chain} {run.first_seq} to {run.last_seq}" for run in found[:_SHOWN])
            more = f" and {len(found) - _SHOWN:,} more such parts" if len(found) > _SHOWN else ""
            yield f"rows {named}{more} {what}"


def _runs(number: int, going: Sequence[Going]) -> tuple[DroppedRun, ...]:
    """The runs of a drop, in the order of their digest; two that meet in two chunks stay two."""
    found = [
        DroppedRun(number, one.stream.name, run.chain, run.first_seq, run.last_seq, run.last_hash)
        for one in going
        for run in one.runs
    ]
    return tuple(sorted(found, key=lambda run: (run.stream.encode(), run.chain.encode(), run.first_seq)))
