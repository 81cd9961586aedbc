"""How a revision runs its SQL file: as it stands, in the revision's transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import op

_FOLDER = Path(__file__).with_name("sql")


def run(name: str) -> None:
    """Run every statement of ``migrations/sql/<name>``."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None, "store.migrate hands over a live connection"
    connection.execute((_FOLDER / name).read_text())
