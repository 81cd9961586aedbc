"""The published relations: what reconciliation computes from the evidence, in SQL that every engine takes.

Each ``.sql`` file is one SELECT over relations before it.  It runs unchanged on PostgreSQL, DuckDB and
Spark, so it keeps to what the three read alike: integers and microseconds instead of timestamps and
divisions, no JSON, no placeholder.  What a machine can send, it can send often: sums of masses are
decimal(38, 0), since 92,234 of the largest would leave 64 bits.  The header of a file says what it means,
what it reads and what it returns.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent

RELATIONS: Final = (
    "repeated_deposits",
    "deposit_roles",
    "repeated_predictions",
    "prediction_roles",
    "attention",
    "suspects",
    "candidates",
    "exceptions",
    "claims",
    "matched",
    "deposit_blocks",
    "doubtful_blocks",
    "gaps",
    "heartbeat_blocks",
    "silences",
    "presence",
    "clock_faults",
    "temperature_faults",
    "weighed",
    "lots",
    "approvals",
    "predicted",
    "answered",
    "doubtful_versions",
    "answering",
)
"""In the order in which they are computed."""


@cache
def relation_sql(name: str) -> str:
    """The published text of a relation."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def digest_of(texts: dict[str, str]) -> str:
    """SHA-256 over named texts, in the order of their names, each with its name and length before it."""
    digest = hashlib.sha256()
    for name, text in sorted(texts.items()):
        content = text.encode()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
