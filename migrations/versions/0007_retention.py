"""Which rows were dropped with their chunks."""

from __future__ import annotations

from migrations.sql_files import run

revision = "0007_retention"
down_revision = "0006_seals"


def upgrade() -> None:
    """One append-only table."""
    run("0007_retention.sql")
