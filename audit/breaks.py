"""What verification can find: the kinds of break and the places where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BreakKind(StrEnum):
    """A kind of break, by what it says about the ledger."""

    VALUE_ALTERED = "value altered"
    HASH_ALTERED = "row hash altered"
    ROW_MISSING = "row missing"
    ROW_INSERTED = "row inserted"
    ORDER_CHANGED = "order changed"
    TAIL_CUT = "tail cut"
    HEAD_ALTERED = "head altered"
    HEAD_MISSING = "head missing"
    RESOURCE_ALTERED = "resource altered"
    RESOURCE_MISSING = "resource missing"
    SCHEMA_ALTERED = "schema altered"
    DROP_UNDECLARED = "drop undeclared"


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the ledger contradicts itself.

    ``chain`` is the machine (the model in ``governance``).  ``seq`` to ``last_seq`` are the rows concerned,
    one or a run of them; None where the break is not about a row.  ``event_time`` is the first row's, as it
    stands now; None if there is no such row any more.  ``detail`` says what was seen and what follows from
    it.
    """

    kind: BreakKind
    stream: str
    chain: str
    seq: int | None
    last_seq: int | None
    event_time: datetime | None
    detail: str

    @property
    def rows(self) -> int:
        """How many rows the break is about; 1 for a head or a resource."""
        return 1 if self.seq is None or self.last_seq is None else self.last_seq - self.seq + 1

    @property
    def place(self) -> str:
        """Where it lies, as people say it: ``telemetry rvm-0003 row 17``."""
        if not self.chain:
            return self.stream
        if self.seq is None:
            return f"{self.stream} {self.chain}"
        rows = f"row {self.seq}" if self.rows == 1 else f"rows {self.seq} to {self.last_seq}"
        return f"{self.stream} {self.chain} {rows}"
