"""``tally db start|stop|url|psql`` and ``tally migrate``.

What reaches a database is imported where it is used: it takes half a second that others need not wait.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tally.console import Json, note, print_json
from tally.errors import TallyError
from tally.settings import Settings, read_settings
from tally.stack.state import StackState, read_state, stop_running


class Role(StrEnum):
    """Whose login."""

    ADMIN = "admin"
    COLLECTOR = "collector"
    AUDIT = "audit"
    GRAFANA = "grafana"
    INFERENCE = "inference"
    SEALER = "sealer"


RoleOption = Annotated[Role, typer.Option(help="Whose login.")]


def start(*, json: Json = False) -> None:
    """Start the embedded database alone, in the background.

    Example: tally db start
    """
    from tally.stack import plan, runner

    settings = read_settings()
    _require_embedded(settings)
    state = _state_with_database(settings)
    if state is None:
        state = runner.run_detached(settings, note, only_database=True)
    else:
        note("database", "was running")
    if json:
        print_json({"url": plan.database_urls(settings)["TALLY_DATABASE_URL"], **asdict(state)})


def stop(*, json: Json = False) -> None:
    """Stop the embedded database that `tally db start` started.

    Example: tally db stop
    """
    settings = read_settings()
    _require_embedded(settings)
    state = read_state(settings.run_dir)
    if state is not None and not state.only_database:
        raise TallyError("the database belongs to the running stack; `tally down` stops both")
    stopped = stop_running(settings.run_dir)
    if json:
        print_json({"stopped": stopped is not None})
    else:
        note("database", "was not running" if stopped is None else "stopped")


def url(*, role: RoleOption = Role.ADMIN, json: Json = False) -> None:
    """Print the URL to connect to the database, password included.

    Example: psql "$(tally db url --role audit)"
    """
    found = _url(read_settings(), role)
    if json:
        print_json({"role": role.value, "url": found})
    else:
        typer.echo(found)


def psql(
    *,
    command: Annotated[str | None, typer.Option("--command", "-c", help="Run this SQL and end.")] = None,
    role: RoleOption = Role.ADMIN,
    json: Json = False,
) -> None:
    """Open psql on the database, or run one command; with --json its rows come as a list of objects.

    Example: tally db psql -c "SELECT stream, count(*) FROM chain_heads GROUP BY stream"
    """
    from tally.embedded.databases import parts
    from tally.embedded.programs import find_programs

    settings = read_settings()
    address = _url(settings, role)
    if json:
        if command is None:
            raise TallyError("--json needs --command with the SQL to run")
        print_json(_rows(address, command))
        return
    login, password = parts(address)
    arguments = ["-X", "-d", login, *(["-c", command] if command is not None else [])]
    own = shutil.which("psql")
    if settings.database_url is not None and own is not None:
        line = [own, *arguments]
    else:  # the server's own psql: an older one of this machine doesn't know the server's catalogues
        programs = find_programs(settings.cache_dir, lambda what: note("database", what))
        line = programs.command([str(programs.bin_dir / "psql"), *arguments], writable=[Path.cwd()])
    # The password is in the environment, because other users see command lines; a sandbox has no `less`.
    os.execvpe(line[0], line, {"PSQL_PAGER": "more"} | os.environ | {"PGPASSWORD": password})


def migrate(*, json: Json = False) -> None:
    """Bring the running database's schema up to date. Two at once wait for each other.

    Example: tally migrate
    """
    import store.migrate
    from tally.stack import plan

    settings = read_settings()
    if settings.database_url is None and _state_with_database(settings) is None:
        raise TallyError("the embedded database does not run; start it with `tally db start`")
    address = plan.database_urls(settings)["TALLY_DATABASE_URL"]
    before = None if settings.database_url is None else store.migrate.current(address)
    if settings.database_url is None:
        plan.ensure_embedded_database(settings)
        before = store.migrate.current(address)
    plan.migrate(settings)
    after = store.migrate.current(address)
    if json:
        print_json({"before": before, "after": after})
    else:
        note(
            "database",
            f"is at {after}" + (" already" if before == after else f", was at {before or 'nothing'}"),
        )


def _require_embedded(settings: Settings) -> None:
    if settings.database_url is not None:
        raise TallyError("TALLY_DATABASE_URL is set: that database is not this command's to start or stop")


def _state_with_database(settings: Settings) -> StackState | None:
    state = read_state(settings.run_dir)
    if state is None or not any(service.name == "database" for service in state.services):
        return None
    return state


def _url(settings: Settings, role: Role) -> str:
    from tally.embedded.databases import with_login
    from tally.stack import plan

    urls = plan.database_urls(settings)
    if role is Role.ADMIN:
        return urls["TALLY_DATABASE_URL"]
    if role is not Role.GRAFANA:
        return urls[f"TALLY_{role.value.upper()}_DATABASE_URL"]
    if settings.database_url is not None:
        raise TallyError(
            "the embedded database's logins are known; those of TALLY_DATABASE_URL's server are not"
        )
    server = plan.embedded_server(settings, lambda _line: None)
    return with_login(urls["TALLY_DATABASE_URL"], "tally_grafana", server.password("tally_grafana"))


def _rows(address: str, command: str) -> list[dict[str, Any]]:
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(address, row_factory=dict_row) as connection:
        # The caller's own words, run with the caller's own rights.
        cursor = connection.execute(command.encode())
        return cursor.fetchall() if cursor.description is not None else []
