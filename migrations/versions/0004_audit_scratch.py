"""A schema for the intermediate tables of a reconciliation."""

from __future__ import annotations

from migrations.sql_files import run

revision = "0004_audit_scratch"
down_revision = "0003_reviews"


def upgrade() -> None:
    """Nothing that is in it outlives the transaction that made it."""
    run("0004_audit_scratch.sql")
