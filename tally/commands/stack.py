"""``tally up``, ``down``, ``status``, ``logs``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer
from rich.table import Table

from tally.console import FOUND, Json, note, output, print_json, print_json_line
from tally.errors import TallyError
from tally.settings import Settings, read_settings
from tally.stack.state import StackState, is_locked, read_state, stop_running

_FOLLOW_EVERY_S: Final = 0.2
_COLOURS: Final = {"healthy": "green", "starting": "yellow", "unhealthy": "yellow"}


def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all is healthy.")] = False,
    json: Json = False,
) -> None:
    """Start database and services, wait until they are healthy, stay until Ctrl-C.

    With --json each event is a JSON object on a line of its own.

    Example: tally up --detach
    """
    from tally.stack import runner  # slow, and `status` does without

    settings = read_settings()

    def tell(service: str, what: str) -> None:
        if json:
            print_json_line({"service": service, "what": what})
        else:
            note(service, what)

    if detach:
        state = runner.run_detached(settings, tell, only_database=False)
        _show_ready(state, json=json)
        return

    def ready() -> None:
        state = read_state(settings.run_dir)
        assert state is not None, "this process holds the lock and has written the state"
        _show_ready(state, json=json)
        if not json:
            note("stack", "Ctrl-C stops it")

    runner.run_here(settings, tell, ready, only_database=False)


def down(*, json: Json = False) -> None:
    """Stop everything that `tally up` or `tally db start` started in this checkout.

    Example: tally down
    """
    stopped = stop_running(read_settings().run_dir)
    names = [] if stopped is None else [service.name for service in stopped.services]
    if json:
        print_json({"stopped": names})
    else:
        note("stack", f"stopped {', '.join(reversed(names))}" if names else "nothing was running")


def status(*, json: Json = False) -> None:
    """Show what runs. Exit code 1 if something is not healthy, or nothing runs.

    Example: tally status --json
    """
    settings = read_settings()
    state = read_state(settings.run_dir)
    if json:
        print_json({"running": is_locked(settings.run_dir), **({} if state is None else asdict(state))})
    elif state is None:
        starting = is_locked(settings.run_dir)
        note("stack", "starting" if starting else "nothing runs; start it with `tally up --detach`")
    else:
        output().print(_table(state))
    if state is None or not state.all_healthy:
        raise typer.Exit(FOUND)


def logs(
    service: Annotated[str | None, typer.Argument(help="collector, database ...; all if left out.")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many last lines of each.")] = 20,
    json: Json = False,
) -> None:
    """Print the last lines of the logs in var/log, and what is added to them.

    With --json each line is a JSON object on a line of its own.

    Example: tally logs collector --follow
    """
    paths = _log_files(read_settings(), service)

    def show(name: str, line: str) -> None:
        if json:
            print_json_line({"service": name, "line": line})
        else:
            typer.echo(line if service is not None else f"{name:<10} {line}")

    files = [(path.stem, path.open("rb")) for path in paths]
    for name, file in files:
        for line in file.read().decode("utf-8", "replace").splitlines()[-lines:] if lines else file.read(0):
            show(name, str(line))
    while follow:
        for name, file in files:
            for line in _added(file):
                show(name, line)
        time.sleep(_FOLLOW_EVERY_S)


def _added(file: BinaryIO) -> Iterator[str]:
    """The whole lines that came since; a half one is left for the next time."""
    while True:
        position = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(position)
            return
        yield line.decode("utf-8", "replace").rstrip("\n")


def _log_files(settings: Settings, service: str | None) -> list[Path]:
    found = sorted(settings.log_dir.glob("*.log"))
    if service is None:
        return found
    chosen = [path for path in found if path.stem == service]
    if not chosen:
        known = ", ".join(path.stem for path in found) or "none yet"
        raise TallyError(f"there is no log of {service!r}; logs: {known}")
    return chosen


def _show_ready(state: StackState, *, json: bool) -> None:
    if json:
        print_json_line({"ready": True, **asdict(state)})
    else:
        output().print(_table(state))


def _table(state: StackState) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("service", "state", "pid", "ports", "restarts", "detail"):
        table.add_column(heading)
    for service in state.services:
        colour = _COLOURS.get(service.state, "red")
        table.add_row(
            service.name,
            f"[{colour}]{service.state}[/{colour}]",
            str(service.pid or ""),
            " ".join(str(port) for port in service.ports.values()),
            str(service.restarts),
            service.detail,
        )
    return table
