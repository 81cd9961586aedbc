"""A real collector, in a process of its own, that dies by SIGKILL at a named step of its way to the commit.

``collector.server.serve`` is all that runs, with a listener for its steps.  The processes are forked from one
that has imported the collector already (multiprocessing's fork server), which makes a restart quick.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import random
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import uvloop

from tally.testing import Database
from tests.faults.clients import GrpcTransport, HttpTransport

STEPS: Final = (
    "received",
    "transaction to begin",
    "requests claimed",
    "rows copied",
    "heads locked",
    "heads moved",
    "transaction to commit",
    "committed",
    "reply to send",
)
"""Every crash point of the write path; a test holds that a request passes these and no others."""

_PR_SET_PDEATHSIG: Final = 1
_PROCESSES: Final = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["pytest", "collector.server", "service.structured_logs", "uvicorn.protocols.http.httptools_impl"]
)


@dataclass(frozen=True, slots=True)
class DieAt:
    """The step, and how often it is passed before; 1 is its first time."""

    step: str
    occurrence: int


def _killer(die_at: DieAt) -> Callable[[str], None]:
    passed: Counter[str] = Counter()

    def step(name: str) -> None:
        passed[name] += 1
        if name == die_at.step and passed[name] == die_at.occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def _recorder(path: Path) -> Callable[[str], None]:
    def step(name: str) -> None:
        with path.open("a") as file:
            file.write(f"{name}\n")

    return step


def _run(settings: dict[str, Any], log: str, die_at: DieAt | None, steps: Path | None) -> None:
    """The process: as ``collector.__main__``, but for the listener."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from collector.server import serve
    from collector.settings import CollectorSettings
    from service.structured_logs import configure_logging

    configure_logging("INFO")
    options: dict[str, Any] = {}
    if die_at is not None:
        options["step"] = _killer(die_at)
    elif steps is not None:
        options["step"] = _recorder(steps)
    sys.exit(uvloop.run(serve(CollectorSettings(**settings), **options)))


def _lasting_port() -> int:
    """A free port that stays free while its server is dead.

    Below the range that the kernel takes clients' ports from: a client that keeps calling a dead server at a
    port of that range gets it for itself one day, and then talks to itself.
    """
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class SteppedCollector:
    """A collector on fixed ports that is started again and again, as by a supervisor."""

    def __init__(self, database: Database, directory: Path, **settings: Any) -> None:
        """``settings`` are those of ``collector.settings``, by field name."""
        self.grpc_port, self.http_port = _lasting_port(), _lasting_port()
        self.log_path = directory / f"collector-{self.grpc_port}.log"
        self.steps_path = directory / f"steps-{self.grpc_port}"
        self._settings = {
            "TALLY_COLLECTOR_DATABASE_URL": database.collector_url,
            "grpc_port": self.grpc_port,
            "http_port": self.http_port,
            **settings,
        }
        self._process: ForkServerProcess | None = None
        self._clients: list[GrpcTransport] = []

    @property
    def http_url(self) -> str:
        """Without a final slash."""
        return f"http://127.0.0.1:{self.http_port}"

    def grpc(self) -> GrpcTransport:
        """A client of its own by gRPC; closed with this object at the latest."""
        transport = GrpcTransport(f"127.0.0.1:{self.grpc_port}")
        self._clients.append(transport)
        return transport

    def http(self) -> HttpTransport:
        """A client by HTTP."""
        return HttpTransport(self.http_url)

    @property
    def log(self) -> str:
        """All that its processes have written."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    @property
    def pid(self) -> int | None:
        """The process that was started last."""
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return self._process is not None and self._process.is_alive()

    def start(self, die_at: DieAt | None = None, *, record_steps: bool = False) -> None:
        """Start it, wait until it is ready; it dies at ``die_at``, or records its steps in ``steps_path``."""
        steps = self.steps_path if record_steps else None
        self._process = _PROCESSES.Process(
            target=_run, args=(self._settings, str(self.log_path), die_at, steps), daemon=True
        )
        self._process.start()
        deadline = time.monotonic() + 30
        while self.readiness()[0] != 200:
            assert self._process.is_alive(), self.log[-3000:]
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.02)

    def wait_dead(self, within_s: float = 30.0) -> int:
        """Wait for its end; returns the exit code, -9 after SIGKILL."""
        assert self._process is not None
        self._process.join(within_s)
        code = self._process.exitcode
        assert code is not None, f"the collector lives on:\n{self.log[-3000:]}"
        return code

    def terminate(self) -> None:
        """SIGTERM."""
        assert self._process is not None
        self._process.terminate()

    def kill9(self) -> None:
        """SIGKILL, wait."""
        assert self._process is not None
        self._process.kill()
        self.wait_dead()

    def close(self) -> None:
        """End it, whatever it does, by SIGKILL: a fault test has seen what it wanted to see."""
        for client in self._clients:
            client.close()
        if self._process is not None:
            self.kill9()

    def readiness(self) -> tuple[int, str]:
        """What /readyz answers: status and text; 0 if nobody answers."""
        return self._get("/readyz")

    def metric(self, name: str, **labels: str) -> float:
        """A value of /metrics, 0 if it is not there; labels given must be those of the series."""
        for line in self._get("/metrics")[1].splitlines():
            if line.startswith("#"):
                continue
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{k}="{v}"' in series for k, v in labels.items()):
                return float(value)
        return 0.0

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self.http_url}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (urllib.error.URLError, OSError) as error:
            return 0, str(error)
