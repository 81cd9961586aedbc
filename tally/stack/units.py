"""What the supervisor can start, watch and stop: a plain process, or the embedded database."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import psycopg

from store.errors import StoreError
from tally.embedded.server import Server
from tally.errors import ServiceFailed
from tally.ports import check_free
from tally.processes import end, kill_group, spawn

_POLL_S: Final = 0.05
_HEALTH_TIMEOUT_S: Final = 2.0
_LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024


class Unit(Protocol):
    """One thing that runs."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports that it listens on, by the variable that sets them."""

    @property
    def log(self) -> Path:
        """Where its output goes."""

    @property
    def pid(self) -> int | None:
        """Its process, None while it does not run."""

    def start(self) -> None:
        """Start it and wait until it is healthy; raises TallyError if it does not become so."""

    def exit_status(self) -> int | None:
        """None while it runs; after an unexpected end its status (negative: the signal)."""

    def healthy(self) -> bool:
        """True if it does its work now."""

    @property
    def trouble(self) -> str:
        """Why it was not healthy when it was last looked at."""

    def stop(self) -> None:
        """End it in its own way; does nothing if it does not run."""


@dataclass(frozen=True, slots=True)
class Service:
    """How to run a program of the stack.

    ``health_url`` answers 200 once the program works.  ``environment`` is complete: nothing is inherited.
    ``may_be_late``: a program that runs and is not ready, in time or because of a trouble that it names, is
    no reason not to start the stack.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    health_url: str
    ports: Mapping[str, int] = field(default_factory=dict)
    host: str = "127.0.0.1"
    ready_within_s: float = 30.0
    stop_within_s: float = 20.0
    may_be_late: bool = False


class ServiceUnit:
    """A program that runs as a child of the supervisor and can't outlive it."""

    def __init__(self, service: Service, log: Path) -> None:
        """``log`` is appended to."""
        self.service = service
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._complaint = "it was not asked yet"

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    @property
    def ports(self) -> Mapping[str, int]:
        """The service's ports."""
        return self.service.ports

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it and wait for its health URL."""
        for variable, port in self.ports.items():
            check_free(port, variable, self.service.host)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        turn_over(self.log)
        with self.log.open("ab") as log:
            self._process = spawn(
                self.service.command, log=log, environment=self.service.environment, directory=self.log.parent
            )
        deadline = time.monotonic() + self.service.ready_within_s
        while not self.healthy():
            status = self._process.poll()
            if status is not None:
                raise ServiceFailed(f"{self.name} ended with status {status}: {last_line(self.log)}")
            late = time.monotonic() > deadline
            if self.service.may_be_late and (late or self._names_a_trouble()):
                return
            if late:
                self.stop()
                waited = f"{self.service.ready_within_s:g} s"
                raise ServiceFailed(
                    f"{self.name} is not ready after {waited}: {self._complaint} (log: {self.log})"
                )
            time.sleep(_POLL_S)

    def _names_a_trouble(self) -> bool:
        """What ``service.readiness`` answers but at the start."""
        return self._complaint.startswith("not ready: ") and self._complaint != "not ready: starting"

    def exit_status(self) -> int | None:
        """The child's exit status, None while it runs."""
        return None if self._process is None else self._process.poll()

    def healthy(self) -> bool:
        """True if the health URL answers 200 within two seconds."""
        try:
            url = self.service.health_url
            with urllib.request.urlopen(url, timeout=_HEALTH_TIMEOUT_S):  # noqa: S310 - ours
                return True
        except urllib.error.HTTPError as error:
            with error:
                self._complaint = first_line(error.read(500).decode("utf-8", "replace")) or str(error)
        except OSError as error:
            self._complaint = first_line(str(error))
        return False

    @property
    def trouble(self) -> str:
        """What it answered when it was last asked, or why it could not be asked."""
        return self._complaint

    def stop(self) -> None:
        """SIGTERM, SIGKILL if that takes too long, then whatever it left in its group."""
        if self._process is not None:
            end(self._process, self.service.stop_within_s)
            kill_group(self._process)
            self._process = None


class DatabaseUnit:
    """The embedded database."""

    name = "database"

    def __init__(self, server: Server, prepare: Callable[[], None]) -> None:
        """``prepare`` brings the schema and the logins up to date, each time the database was started."""
        self._server = server
        self._prepare = prepare

    @property
    def ports(self) -> Mapping[str, int]:
        """The server's port."""
        return {"TALLY_DB_PORT": self._server.port}

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._server.log

    @property
    def pid(self) -> int | None:
        """The process that holds the server."""
        return None if self._server.process is None else self._server.process.pid

    def start(self) -> None:
        """Start it, wait until it answers, prepare it."""
        turn_over(self.log)
        self._server.start()
        try:
            self._prepare()
        except (StoreError, psycopg.Error) as error:
            raise ServiceFailed(f"the database could not be prepared: {first_line(str(error))}") from error

    def exit_status(self) -> int | None:
        """None while it runs."""
        return None if self._server.process is None else self._server.process.poll()

    def healthy(self) -> bool:
        """True while its process runs; a start has waited for its first answer."""
        return self._server.running

    @property
    def trouble(self) -> str:
        """Nothing is known but that it does not run."""
        return "it does not run"

    def stop(self) -> None:
        """Fast shutdown."""
        self._server.stop()


def turn_over(log: Path) -> None:
    """Keep one old log beside the present one, so that logs don't fill the disk."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))


def first_line(text: str) -> str:
    """The first line of a text that may be empty."""
    return next(iter(text.strip().splitlines()), "")


def last_line(log: Path) -> str:
    """The last line that says something, for a message of one line."""
    if not log.exists():
        return "it wrote nothing"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else "it wrote nothing"
