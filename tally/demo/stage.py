"""Where the demo plays: a stack of its own, fresh every time, on ports that nobody else uses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.notes import VerifierKey
from service.keys.sources import load_signing_key
from tally.embedded.databases import create_database, drop_database, with_database
from tally.errors import TallyError
from tally.log_keys import ensure_log_key
from tally.ports import free_port
from tally.settings import Settings

_DATABASE: Final = "tally_demo"
_LOG: Final = "demo.example/tally"


@dataclass(frozen=True, slots=True)
class Stage:
    """The demo's stack: its environment for the ``tally`` command and its logins."""

    environment: dict[str, str]
    admin_url: str
    audit_url: str
    inference_url: str
    secrets_dir: Path
    log_dir: Path

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

    def predict_options(self) -> tuple[str, ...]:
        """What makes the generator ask this stage's service."""
        token_file = self.secrets_dir / "principals" / "machines.token"
        return "--predict", self.inference_url, "--predict-token-file", str(token_file)

    def seated(self) -> list[dict[str, Any]]:
        """What the service serves now."""
        with urllib.request.urlopen(f"{self.inference_url}/model/info", timeout=10) as answer:  # noqa: S310 - loopback
            found: list[dict[str, Any]] = json.load(answer)["seated"]
        return found

    def champion(self, model: str) -> str | None:
        """The version of a model that answers."""
        return next(
            (one["version"] for one in self.seated() if (one["model"], one["role"]) == (model, "champion")),
            None,
        )

    def wait_seated(self, model: str, version: str, role: str, within_s: float) -> float:
        """Wait until a version is served in a role; returns when that was seen, on the monotonic clock.

        Raises:
            TallyError: not in time.
        """
        deadline = time.monotonic() + within_s
        wanted = (model, version, role)
        while wanted not in {(one["model"], one["version"], one["role"]) for one in self.seated()}:
            if time.monotonic() > deadline:
                raise TallyError(f"{model} {version} is not served as {role} after {within_s:.0f} s")
            time.sleep(0.02)
        return time.monotonic()


@contextmanager
def stage(folder: Path, photo_roots: Sequence[Path], agree: Callable[[VerifierKey], Path]) -> Iterator[Stage]:
    """Bring a fresh stack up in ``folder``, and stop it in the end, whatever happens.

    ``photo_roots`` are folders of photos that its inference service may read.  ``agree`` is given the key of
    its log, and makes the policy that says who has to cosign.

    Its logs stay in ``folder`` until the next time.

    Raises:
        TallyError: the stack did not come up; the message says what to do.
    """
    settings = Settings()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    inference_port = free_port()
    environment |= {
        "TALLY_VAR_DIR": str(folder),
        "TALLY_CACHE_DIR": str(settings.cache_dir),
        "TALLY_DB_PORT": str(free_port()),
        "TALLY_COLLECTOR_GRPC_PORT": str(free_port()),
        "TALLY_COLLECTOR_HTTP_PORT": str(free_port()),
        "TALLY_INFERENCE_PORT": str(inference_port),
        "TALLY_SEALER_PORT": str(free_port()),
        "TALLY_SEALER_INTERVAL_S": "2",
        "TALLY_INFERENCE_PHOTO_ROOTS": json.dumps([str(root) for root in photo_roots]),
    }
    if settings.database_url is not None:
        # A server of one's own: the demo attacks a database that it made there, never one that it found.
        environment["TALLY_DATABASE_URL"] = _fresh_database(settings.database_url)
    if folder.exists():
        _tally(["down"], environment)  # of a demo that was killed
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    log_key = load_signing_key(str(ensure_log_key(Settings(var_dir=folder, log_name=_LOG))))
    environment["TALLY_SEALER_POLICY"] = str(agree(log_key.verifier))
    try:
        if _tally(["up", "--detach"], environment, shown=True).returncode != 0:
            raise TallyError(f"the stack did not come up; its logs are in {folder / 'log'}")
        yield Stage(
            environment,
            admin_url=_url(environment, "admin"),
            audit_url=_url(environment, "audit"),
            inference_url=f"http://127.0.0.1:{inference_port}",
            secrets_dir=folder / "secrets",
            log_dir=folder / "tlog",
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
