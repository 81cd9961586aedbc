"""Dropping: first the event in the ledger, then the rows.

1. The ledger is verified, and held against the witnessed head.
2. The event is recorded; a crash after it leaves a drop that is declared and not done.  The same command
again finds
   its event there, and goes on.
3. One transaction keeps which rows go and drops their chunks.  A crash within leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from audit.retention.declared import EVENT, is_declared
from audit.retention.planning import Plan
from store.reader import LedgerReader
from store.retention import RetentionStore

Attributes = dict[str, str | int | Sequence[str]]
Record = Callable[[str, Attributes], None]
"""Puts an event of that name on record; it is committed when this returns."""


def attributes_of(plan: Plan, actor: str, reason: str) -> Attributes:
    """What the event of a drop says."""
    return {
        "retention.drop": plan.number,
        "retention.before": plan.before.isoformat().replace("+00:00", "Z"),
        "retention.actor": actor,
        "retention.reason": reason,
        "retention.rows": plan.rows,
        "retention.chunks": [one.chunk.title for one in plan.going],
        "retention.bundles": list(plan.bundles),
        "retention.checkpoint_size": plan.head.size,
        "retention.checkpoint_root": plan.head.root.hex(),
        "retention.runs_digest": plan.runs_digest,
    }


def drop(url: str, plan: Plan, actor: str, reason: str, record: Record) -> None:
    """Put a plan's drop on record and carry it out; a plan without chunks does nothing.

    Raises:
        store.retention.ChunkChanged: the ledger is not what was planned with; nothing was dropped.
        store.errors.StoreError: the database can't be reached, or refuses; nothing was dropped.
        Whatever ``record`` raises; nothing was dropped.
    """
    if not plan.going:
        return

    def declared() -> bool:
        with LedgerReader(url) as reader:
            return is_declared(reader, plan.number, plan.runs_digest)

    if not declared():
        record(EVENT, attributes_of(plan, actor, reason))
    with RetentionStore(url) as store:
        store.drop([(one.stream, one.chunk, one.runs) for one in plan.going], plan.runs, declared)
