"""What was sealed: batches of leaves, the rows behind them, the checkpoints that were signed."""

from __future__ import annotations

from migrations.sql_files import run

revision = "0006_seals"
down_revision = "0005_audit_indexes"


def upgrade() -> None:
    """Three append-only tables, and the sealer's role."""
    run("0006_seals.sql")
