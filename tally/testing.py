"""What a test borrows: a real database server, fresh migrated databases on it, collectors as real processes.

``tests/conftest.py`` makes pytest fixtures of these; benchmarks use them directly.  Everything here ends with
the process that made it.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg

import store.migrate
from ledger.notes import SigningKey
from tally.embedded.databases import (
    create_database,
    drop_database,
    grant_logins,
    protect_template,
    with_database,
    with_login,
)
from tally.embedded.programs import Programs, find_programs
from tally.embedded.server import SERVICE_ROLES, Server
from tally.errors import ServiceFailed
from tally.ports import free_port
from tally.principals import ensure_principals, token
from tally.processes import end, kill_group, spawn
from tally.settings import Settings

ROLES: Final = ("tally_owner", *SERVICE_ROLES)
_CHECKOUT: Final = Path(__file__).resolve().parents[1]
_POLL_S: Final = 0.02
_LOCK: Final = 0x74657374  # "test"

QUICK_SETTINGS: Final[Mapping[str, str]] = {
    # A test's server dies with the test, so nothing needs to reach a disk.  Killing processes, unlike cutting
    # the power, loses nothing that was written without fsync.
    "fsync": "off",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    # The Apache edition has no jobs to run, and a scheduler a database makes copying a template slower.
    "timescaledb.max_background_workers": "0",
}


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database of one test."""

    name: str
    admin_url: str
    owner_url: str
    collector_url: str
    audit_url: str
    grafana_url: str
    inference_url: str
    sealer_url: str


class Cluster:
    """A server with the roles' logins: an embedded one, or the one at ``admin_url``."""

    def __init__(self, admin_url: str, password: Callable[[str], str], server: Server | None) -> None:
        """``admin_url`` names a maintenance database; ``password`` gives a role's."""
        self.admin_url = admin_url
        self.server = server
        self._password = password

    def database(self, name: str) -> Database:
        """The URLs of the database ``name``, whether it is there or not."""
        admin = with_database(self.admin_url, name)
        return Database(name, admin, *(with_login(admin, role, self._password(role)) for role in ROLES))

    def make_template(self) -> str:
        """A migrated database to copy from; the roles can log in afterwards."""
        name = f"tally_template_{secrets.token_hex(4)}"
        create_database(self.admin_url, name)
        # Roles belong to the server: whoever makes a template there at the same time waits.
        with psycopg.connect(self.admin_url, autocommit=True) as guard:
            guard.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            store.migrate.upgrade(with_database(self.admin_url, name))
            grant_logins(self.admin_url, ROLES, self._password)
        protect_template(self.admin_url, name)
        return name

    def create(self, template: str) -> Database:
        """A fresh copy of ``template``, in about 0.1 s."""
        name = f"tally_test_{secrets.token_hex(6)}"
        create_database(self.admin_url, name, template)
        return self.database(name)

    def drop(self, name: str) -> None:
        """Drop a database, ending the sessions that use it."""
        drop_database(self.admin_url, name)


class OwnCluster:
    """A private server with one migrated database, for a test that kills it.  Durable as production."""

    def __init__(self, server: Server) -> None:
        """Start ``server`` and migrate its database ``tally``."""
        self.server = server
        server.start()
        cluster = Cluster(server.url(dbname="postgres"), server.password, server)
        create_database(cluster.admin_url, "tally")
        self.database = cluster.database("tally")
        store.migrate.upgrade(self.database.admin_url)
        grant_logins(cluster.admin_url, ROLES, server.password)

    def kill9(self) -> None:
        """Every process of the server at once."""
        self.server.kill9()

    def start(self) -> None:
        """Start it again on the same port, and wait for its recovery."""
        self.server.start()

    def stop(self) -> None:
        """A clean stop."""
        self.server.stop()

    def restart(self) -> None:
        """Stop and start."""
        self.server.restart()


def quick_server(directory: Path, settings: Settings, overrides: Mapping[str, str] | None = None) -> Server:
    """A server, not started yet, on a free port, with all its files in ``directory``."""

    def programs_of_this_machine() -> Programs:
        return find_programs(settings.cache_dir, lambda line: print(f"tally: {line}", file=sys.stderr))  # noqa: T201

    return Server(directory, free_port(), programs_of_this_machine, overrides=overrides)


class ServiceProcess:
    """A program of ours, as ``python -m MODULE``; a context manager that stops it.

    ``start`` may be called again after ``stop`` or ``kill9`` and keeps the ports, as clients expect of a
    restart.
    """

    _READY = "/readyz"

    def __init__(self, module: str, http_port: int, log_path: Path, environment: Mapping[str, str]) -> None:
        """``environment`` is added to that of this process, whose own TALLY_ variables it does not see."""
        self._module = module
        self.http_port = http_port
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("TALLY_")}
        self._environment |= environment

    @property
    def http_url(self) -> str:
        """Without a final slash."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def start(self, *, ready: bool = True, timeout_s: float = 30.0) -> Self:
        """Start it; with ``ready``, wait until it says that it is ready."""
        with self.log_path.open("ab") as log:
            self.process = spawn(
                [sys.executable, "-m", self._module],
                log=log,
                environment=self._environment,
                directory=_CHECKOUT,
            )
        if ready:
            self.wait_ready(timeout_s)
        return self

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until it says that it is ready.

        Raises:
            ServiceFailed: it ended, or is not ready in time; the message has the end of its log.
        """
        self.wait_for(self._READY, timeout_s)

    def wait_for(self, path: str, timeout_s: float = 30.0) -> None:
        """Wait until a GET of ``path`` answers 200.

        Raises:
            ServiceFailed: it ended, or does not in time; the message has the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self.answers(path):
            process = self.process
            if process is None or process.poll() is not None or time.monotonic() > deadline:
                status = None if process is None else process.poll()
                raise ServiceFailed(
                    f"{self._module} has no answer to {path} (exit status {status}):\n{self.log[-3000:]}"
                )
            time.sleep(_POLL_S)

    def is_ready(self) -> bool:
        """True if it says now that it is ready."""
        return self.answers(self._READY)

    def answers(self, path: str) -> bool:
        """True if a GET of ``path`` gives 200 now."""
        try:
            with urllib.request.urlopen(self.http_url + path, timeout=2) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, wait; returns the exit status (0 after a drain, -9 if it did not end in time)."""
        process, self.process = self.process, None
        return 0 if process is None else end(process, timeout_s)

    def kill9(self) -> None:
        """SIGKILL, wait."""
        process, self.process = self.process, None
        if process is not None:
            kill_group(process)
            process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """For tests that stop or continue it."""
        assert self.process is not None
        self.process.send_signal(number)

    def __enter__(self) -> Self:
        """Start it unless it runs."""
        return self if self.process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


class CollectorProcess(ServiceProcess):
    """``python -m collector`` on a database; add /v1/metrics, /v1/logs, /metrics to its ``http_url``."""

    def __init__(
        self,
        database: Database,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        *,
        module: str = "collector",
    ) -> None:
        """``module`` is run instead of ``collector``: a collector with something else in its place."""
        self.grpc_port = free_port()
        http_port = free_port()
        settings = {
            "TALLY_COLLECTOR_DATABASE_URL": database.collector_url,
            "TALLY_COLLECTOR_HOST": "127.0.0.1",
            "TALLY_COLLECTOR_GRPC_PORT": str(self.grpc_port),
            "TALLY_COLLECTOR_HTTP_PORT": str(http_port),
        }
        super().__init__(
            module,
            http_port,
            directory / f"collector-{self.grpc_port}.log",
            settings | dict(environment or {}),
        )

    @property
    def grpc_endpoint(self) -> str:
        """For gRPC channels, and for the SDK's exporter with ``insecure=True``."""
        return f"127.0.0.1:{self.grpc_port}"


class InferenceProcess(ServiceProcess):
    """``python -m inference`` on a database and a collector (``host:port``); its files lie in ``directory``.

    It finds models in ``models_dir``, photos in ``photos_dir``, and keeps its outbox in ``state_dir``.
    """

    _READY = "/ready"

    def __init__(
        self,
        database: Database,
        collector: str,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        *,
        module: str = "inference",
    ) -> None:
        """``module`` is run instead of ``inference``: a service with something else in its place."""
        self.models_dir = directory / "models"
        self.photos_dir = directory / "photos"
        self.state_dir = directory / "state"
        for folder in (self.models_dir, self.photos_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self._secrets = directory / "secrets"
        http_port = free_port()
        settings = {
            "TALLY_INFERENCE_DATABASE_URL": database.inference_url,
            "TALLY_INFERENCE_COLLECTOR": collector,
            "TALLY_INFERENCE_PRINCIPALS": str(ensure_principals(self._secrets)),
            "TALLY_INFERENCE_PORT": str(http_port),
            "TALLY_INFERENCE_STATE_DIR": str(self.state_dir),
            "TALLY_INFERENCE_MODELS_DIRS": json.dumps([str(self.models_dir)]),
            "TALLY_INFERENCE_PHOTO_ROOTS": json.dumps([str(self.photos_dir)]),
        }
        super().__init__(module, http_port, directory / "inference.log", settings | dict(environment or {}))

    def token(self, principal: str = "operator") -> str:
        """The token of one of ``tally.principals``."""
        return token(self._secrets, principal)

    def headers(self, principal: str = "operator") -> dict[str, str]:
        """What makes a request that principal's."""
        return {"Authorization": f"Bearer {self.token(principal)}"}


class SealerProcess(ServiceProcess):
    """``python -m audit.sealing`` on a database, with its log in ``directory/log``."""

    def __init__(
        self,
        database: Database,
        directory: Path,
        key: SigningKey,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log_dir = directory / "log"
        http_port = free_port()
        settings = {
            "TALLY_SEALER_DATABASE_URL": database.sealer_url,
            "TALLY_SEALER_KEY": "env:LOG_KEY",
            "LOG_KEY": key.to_text(),
            "TALLY_SEALER_LOG_DIR": str(self.log_dir),
            "TALLY_SEALER_PORT": str(http_port),
        }
        super().__init__(
            "audit.sealing", http_port, directory / "sealer.log", settings | dict(environment or {})
        )


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """For a server's files; removed with the object."""
    return tempfile.TemporaryDirectory(prefix="tally-test-", ignore_cleanup_errors=True)
