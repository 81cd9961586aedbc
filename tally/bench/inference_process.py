"""The inference service as a process, on a collector and a database: what measures and tests of it borrow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tally.errors import ServiceFailed
from tally.ports import free_port
from tally.principals import ensure_principals, token
from tally.processes import end, spawn
from tally.testing import CollectorProcess, Database

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_POLL_S: Final = 0.01


class InferenceProcess:
    """``python -m inference``; a context manager that stops it.  ``start`` may be called again afterwards.

    It takes up the models of the package that pass the rules; its state and its tokens lie in ``directory``.
    """

    def __init__(
        self,
        database: Database,
        collector: CollectorProcess,
        directory: Path,
        *,
        photo_roots: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``environment`` is added to that of this process, whose own TALLY_ variables it does not see."""
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.models_dir = directory / "models"
        self.models_dir.mkdir(exist_ok=True)
        self.log_path = directory / "inference.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._secrets = directory / "secrets"
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("TALLY_")}
        self._environment |= {
            "TALLY_INFERENCE_DATABASE_URL": database.inference_url,
            "TALLY_INFERENCE_COLLECTOR": collector.grpc_endpoint,
            "TALLY_INFERENCE_PRINCIPALS": str(ensure_principals(self._secrets)),
            "TALLY_INFERENCE_PORT": str(self.port),
            "TALLY_INFERENCE_STATE_DIR": str(directory / "state"),
            "TALLY_INFERENCE_MODELS_DIRS": json.dumps([str(self.models_dir)]),
            "TALLY_INFERENCE_PHOTO_ROOTS": json.dumps([str(root) for root in photo_roots]),
            "TALLY_INFERENCE_ADOPT": "true",
            **(environment or {}),
        }

    @property
    def url(self) -> str:
        """Without a final slash."""
        return f"http://127.0.0.1:{self.port}"

    def token(self, principal: str = "operator") -> str:
        """The token of one of ``tally.principals``."""
        return token(self._secrets, principal)

    def start(self, *, ready: bool = True, timeout_s: float = 30.0) -> Self:
        """Start it; with ``ready``, wait until /ready answers 200: some model is seated."""
        with self.log_path.open("ab") as log:
            self.process = spawn(
                [sys.executable, "-m", "inference"],
                log=log,
                environment=self._environment,
                directory=_CHECKOUT,
            )
        if ready:
            self.wait_for("/ready", timeout_s)
        return self

    def wait_for(self, path: str, timeout_s: float = 30.0) -> None:
        """Wait until a GET of ``path`` answers 200.

        Raises:
            ServiceFailed: it ended, or does not in time; the message has the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self.answers(path):
            process = self.process
            if process is None or process.poll() is not None or time.monotonic() > deadline:
                last = self.log_path.read_text(encoding="utf-8", errors="replace")[-3000:]
                raise ServiceFailed(f"the inference service has no answer to {path}:\n{last}")
            time.sleep(_POLL_S)

    def wait_for_models(self, *models: str, timeout_s: float = 30.0) -> None:
        """Wait until each of them has a champion that is seated.

        Raises:
            ServiceFailed: not in time.
        """
        deadline = time.monotonic() + timeout_s
        while missing := set(models) - {seated["model"] for seated in self.get("/model/info")["seated"]}:
            if time.monotonic() > deadline:
                last = self.log_path.read_text(encoding="utf-8", errors="replace")[-3000:]
                raise ServiceFailed(f"no champion of {', '.join(sorted(missing))} was seated:\n{last}")
            time.sleep(_POLL_S)

    def get(self, path: str) -> Any:
        """The JSON that a GET gives."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    def answers(self, path: str) -> bool:
        """True if a GET of ``path`` gives 200 now."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=2) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, wait; returns the exit status."""
        process, self.process = self.process, None
        return 0 if process is None else end(process, timeout_s)

    def __enter__(self) -> Self:
        """Start it unless it runs."""
        return self if self.process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()
