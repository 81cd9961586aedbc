"""Bring a database's schema to a revision.

Two migrations of one database at once wait for each other (an advisory lock), so that any number of
starting services may call ``upgrade``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import exc

import migrations
from store.errors import MigrationError, StoreUnavailable

_LOCK: Final = 0x74616C6C79  # "tally"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    return config


def _engine(url: str) -> sqlalchemy.Engine:
    """An engine that opens ``url`` as psycopg understands it, service files and sockets included."""
    return sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=sqlalchemy.NullPool
    )


def head() -> str:
    """The newest revision that this release knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None, "the migrations folder has revisions"
    return revision


def current(url: str) -> str | None:
    """The database's revision, or None if it has never been migrated.

    Raises:
        StoreUnavailable: the database can't be reached.
    """
    try:
        with _engine(url).connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except exc.OperationalError as error:
        raise StoreUnavailable(_first_line(error)) from error


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at ``url`` to ``revision``; nothing happens if it is there already.

    Raises:
        StoreUnavailable: the database can't be reached.
        MigrationError: a step failed; the database is at the last revision that succeeded.
    """
    try:
        # Each revision commits by itself.  A crash here leaves the last committed revision; the next
        # call goes on from it.
        with _engine(url).connect() as connection, psycopg.connect(url, autocommit=True) as guard:
            guard.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()
    except (exc.OperationalError, psycopg.OperationalError) as error:
        raise StoreUnavailable(_first_line(error)) from error
    except (exc.SQLAlchemyError, psycopg.Error, CommandError) as error:
        raise MigrationError(f"migration to {revision} failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().splitlines()[0]
