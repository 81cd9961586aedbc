"""Run the stack of a checkout in this process, or in one of its own that stays when the caller ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from tally.embedded.programs import find_programs
from tally.errors import AlreadyRunning, TallyError
from tally.settings import Settings, read_settings
from tally.stack import plan
from tally.stack.state import StackState, read_state, stop_running, take_lock
from tally.stack.supervisor import Supervisor
from tally.stack.units import last_line, turn_over

Tell = Callable[[str, str], None]


def run_here(settings: Settings, tell: Tell, on_ready: Callable[[], None], *, only_database: bool) -> None:
    """Supervise until SIGINT or SIGTERM.

    Raises:
        AlreadyRunning: the stack of this checkout runs.
        TallyError: something did not start; nothing is left running.
    """
    prepare(settings, tell, only_database=only_database)
    if settings.database_url is not None and not only_database:
        plan.migrate(settings)
        tell("database", "schema is up to date")
    units = plan.units(settings, lambda line: tell("database", line), only_database=only_database)
    Supervisor(units, settings.run_dir, tell, only_database=only_database).run(on_ready)


def run_detached(settings: Settings, tell: Tell, *, only_database: bool) -> StackState:
    """Start a supervisor of its own session, wait until everything is healthy; it goes on after this process.

    Raises: as ``run_here``.
    """
    prepare(settings, tell, only_database=only_database)
    log = settings.log_dir / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    turn_over(log)
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "tally.stack.runner", str(writer)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "database"] if only_database else command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as messages:
        for line in messages:
            message = json.loads(line)
            if "error" in message:
                process.wait()
                raise (AlreadyRunning if message["running"] else TallyError)(message["error"])
            if "ready" in message:
                break
            tell(message["service"], message["what"])
        else:
            status = process.wait()
            raise TallyError(f"the supervisor ended with status {status}: {last_line(log)} (log: {log})")
    process.returncode = 0  # it is meant to go on: no warning about a child that was not waited for
    state = read_state(settings.run_dir)
    if state is None:
        raise TallyError(f"the supervisor ended just after the start: {last_line(log)} (log: {log})")
    return state


def prepare(settings: Settings, tell: Tell, *, only_database: bool) -> None:
    """What may take long, or fail for lack of a program, is done before anything is started."""
    running = read_state(settings.run_dir)
    if running is not None and running.only_database and not only_database:
        tell("stack", "the database was running alone: stopping it, to start it with the stack")
        stop_running(settings.run_dir)
    os.close(take_lock(settings.run_dir))
    if settings.database_url is None:
        find_programs(settings.cache_dir, lambda line: tell("database", line))


def main() -> int:
    """The detached supervisor: ``python -m tally.stack.runner PIPE [database]``; reports over the pipe."""
    pipe = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8", buffering=1)
    os.set_inheritable(pipe.fileno(), False)

    def send(**message: object) -> None:
        if not pipe.closed:
            with contextlib.suppress(BrokenPipeError):  # the caller has gone; the stack stays
                pipe.write(json.dumps(message) + "\n")

    def tell(service: str, what: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        print(now, service, what, flush=True)  # noqa: T201 - this is the supervisor's log
        send(service=service, what=what)

    def ready() -> None:
        send(ready=True)
        pipe.close()

    try:
        run_here(read_settings(), tell, ready, only_database="database" in sys.argv[2:])
    except Exception as error:  # noqa: BLE001 - the caller's terminal gets the line, the log has the rest
        message = str(error) if isinstance(error, TallyError) else f"{type(error).__name__}: {error}"
        print(datetime.now(UTC).isoformat(timespec="milliseconds"), "stack", message, flush=True)  # noqa: T201
        send(error=message, running=isinstance(error, AlreadyRunning))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
