"""Reading the governance stream: where its chains end, and their rows as the hashed bytes."""

from __future__ import annotations

from typing import NamedTuple

from ledger.rows import split_copy
from store.sessions import Sessions


class GovernanceHead(NamedTuple):
    """The last row of a model's chain."""

    seq: int
    row_hash: bytes


class GovernanceStore:
    """Reads with the rights of ``tally_inference``.

    Raises (every method):
        StoreUnavailable: the database can't be reached.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def heads(self) -> dict[str, GovernanceHead]:
        """The head of every model's chain; one query of one index, so it may be asked often."""
        rows = await self._sessions.fetch("governance_heads")
        return {row["chain"]: GovernanceHead(row["seq"], row["row_hash"]) for row in rows}

    async def rows(self, model_id: str, after: int) -> list[bytes]:
        """The binary COPY tuples of a chain after row ``after``, in order."""
        return list(split_copy(await self._sessions.copy("governance_rows", model_id, after)))
