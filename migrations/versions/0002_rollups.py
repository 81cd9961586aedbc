"""Compression and an hourly rollup, where the TimescaleDB licence has them."""

from __future__ import annotations

from migrations.sql_files import run

revision = "0002_rollups"
down_revision = "0001_ledger"


def upgrade() -> None:
    """The Apache edition gets a plain view of the rollup's name instead, and no compression."""
    run("0002_rollups.sql")
