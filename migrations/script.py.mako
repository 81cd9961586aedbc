"""${message}."""

from __future__ import annotations

from migrations.sql_files import run

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    run("${up_revision}.sql")
