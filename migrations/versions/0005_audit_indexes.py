"""Indexes for what an audit looks up: a site's machines, and the few events that are evidence themselves."""

from __future__ import annotations

from migrations.sql_files import run

revision = "0005_audit_indexes"
down_revision = "0004_audit_scratch"


def upgrade() -> None:
    """Both are small: one holds few distinct values, the other few rows."""
    run("0005_audit_indexes.sql")
