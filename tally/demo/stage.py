"""Where the demo plays: a stack of its own, fresh every time, on ports that nobody else uses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tally.embedded.databases import create_database, drop_database, with_database
from tally.errors import TallyError
from tally.ports import free_port
from tally.settings import Settings

_DATABASE: Final = "tally_demo"


@dataclass(frozen=True, slots=True)
class Stage:
    """The demo's stack: its environment for the ``tally`` command and its logins."""

    environment: dict[str, str]
    grpc_port: int
    http_port: int
    admin_url: str
    audit_url: str

    def tally(self, *arguments: str) -> dict[str, Any]:
        """What a ``tally`` command prints with ``--json``; exit codes 0 and 1 are answers.

        Raises:
            TallyError: it could not run; the message is the command's own.
        """
        done = _tally([*arguments, "--json"], self.environment)
        if done.returncode not in {0, 1}:
            raise TallyError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "tally failed")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Bring a fresh stack up in ``folder``, and stop it in the end, whatever happens.

    Its logs stay in ``folder`` until the next time.

    Raises:
        TallyError: the stack did not come up; the message says what to do.
    """
    settings = Settings()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    grpc_port, http_port = free_port(), free_port()
    environment |= {
        "TALLY_VAR_DIR": str(folder),
        "TALLY_CACHE_DIR": str(settings.cache_dir),
        "TALLY_DB_PORT": str(free_port()),
        "TALLY_COLLECTOR_GRPC_PORT": str(grpc_port),
        "TALLY_COLLECTOR_HTTP_PORT": str(http_port),
    }
    if settings.database_url is not None:
        # A server of one's own: the demo attacks a database that it made there, never one that it found.
        environment["TALLY_DATABASE_URL"] = _fresh_database(settings.database_url)
    if folder.exists():
        _tally(["down"], environment)  # of a demo that was killed
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        if _tally(["up", "--detach"], environment, shown=True).returncode != 0:
            raise TallyError(f"the stack did not come up; its logs are in {folder / 'log'}")
        yield Stage(
            environment,
            grpc_port,
            http_port,
            admin_url=_url(environment, "admin"),
            audit_url=_url(environment, "audit"),
        )
    finally:
        _tally(["down"], environment)


def _fresh_database(url: str) -> str:
    maintenance = with_database(url, "postgres")
    drop_database(maintenance, _DATABASE)
    create_database(maintenance, _DATABASE)
    return with_database(url, _DATABASE)


def _url(environment: dict[str, str], role: str) -> str:
    return _tally(["db", "url", "--role", role], environment).stdout.strip()


def _tally(
    arguments: list[str], environment: dict[str, str], *, shown: bool = False
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tally", *arguments]
    output = None if shown else subprocess.PIPE
    return subprocess.run(
        command,
        env=environment,
        stdout=output,
        stderr=output,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
