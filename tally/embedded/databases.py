"""Databases and logins on a server: create, copy from a template, drop, let the service roles log in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql


def with_database(url: str, dbname: str) -> str:
    """``url`` with another database name."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(dbname)}"))


def with_login(url: str, role: str, password: str) -> str:
    """``url`` with another role and password."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{quote(password, safe='')}@{address}"))


def parts(url: str) -> tuple[str, str]:
    """``url`` without its password, and the password ("" if it has none)."""
    split = urlsplit(url)
    login, at, address = split.netloc.rpartition("@")
    return urlunsplit(split._replace(netloc=login.partition(":")[0] + at + address)), unquote(
        split.password or ""
    )


def create_database(admin_url: str, name: str, template: str | None = None) -> None:
    """Create ``name``, empty or as a copy of ``template``, which nobody may be connected to.

    TimescaleDB stops its own worker on the template for the copy.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _execute(admin_url, statement.format(sql.Identifier(name), sql.Identifier(template or "template0")))


def ensure_database(admin_url: str, name: str) -> None:
    """Create ``name`` if there is no such database."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
    if found is None:
        create_database(admin_url, name)


def drop_database(admin_url: str, name: str) -> None:
    """Drop ``name``, ending the sessions that use it; does nothing if there is none."""
    _execute(admin_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def protect_template(admin_url: str, name: str) -> None:
    """Let nobody connect to ``name`` any more and end those who are, so that copies never have to wait.

    TimescaleDB's scheduler is among them; its launcher passes over databases that allow no connections.
    """
    _execute(
        admin_url, sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(name))
    )
    with psycopg.connect(admin_url, autocommit=True) as connection:
        # The second argument waits until the session has ended, for so many milliseconds.
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


def grant_logins(admin_url: str, roles: Iterable[str], password: Callable[[str], str]) -> None:
    """Give LOGIN and their password to those of ``roles`` that exist; doing it again changes nothing."""
    with psycopg.connect(admin_url) as connection:
        for role in roles:
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None:
                statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(role), sql.Literal(password(role))))


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
