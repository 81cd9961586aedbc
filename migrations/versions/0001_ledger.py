"""The ledger: streams, heads, request digests, roles, append-only triggers."""

from __future__ import annotations

from migrations.sql_files import run

revision = "0001_ledger"
down_revision = None


def upgrade() -> None:
    """Everything that the first release needs."""
    run("0001_ledger.sql")
