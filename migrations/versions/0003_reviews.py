"""The review queue, and the role of the inference service."""

from __future__ import annotations

from migrations.sql_files import run

revision = "0003_reviews"
down_revision = "0002_rollups"


def upgrade() -> None:
    """Tables beside the ledger: what is in them follows from it."""
    run("0003_reviews.sql")
