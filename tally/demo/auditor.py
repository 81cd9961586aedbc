"""The auditor beside the demo's stack: a witness of their own, a policy, and a copy of the published log."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from ledger.notes import COSIGNATURE, VerifierKey
from service.keys.files import new_signing_key, store_signing_key
from tally.errors import TallyError
from tally.ports import free_port
from tally.processes import end, spawn

_NAME: Final = "witness.auditor.example"
_STARTED_S: Final = 20.0


class Auditor:
    """Everything that is the auditor's lies in one folder, which the operator never writes to."""

    def __init__(self, folder: Path) -> None:
        """Make the folder anew, with the witness's key."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder
        self.policy = folder / "policy"
        self.log = folder / "log"
        self._key_file = folder / "witness.key"
        self._port = free_port()
        key = new_signing_key(_NAME, COSIGNATURE)
        store_signing_key(self._key_file, key)
        self._key = key.verifier
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process is not None:
            end(self._process, 10.0)

    def agree(self, log: VerifierKey) -> Path:
        """Write the policy: this log, cosigned by the auditor's witness."""
        url = f"http://127.0.0.1:{self._port}"
        self.policy.write_text(
            f"log {log}\nwitness auditor {self._key} {url}\nquorum auditor\n", encoding="utf-8"
        )
        return self.policy

    def start_witness(self) -> None:
        """Start it, as a process that knows nothing of the stack.

        Raises:
            TallyError: it does not answer in time.
        """
        options = {
            "--key": self._key_file,
            "--state": self.folder / "state",
            "--policy": self.policy,
            "--port": self._port,
        }
        words = [str(word) for option in options.items() for word in option]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
        path = self.folder / "witness.log"
        with path.open("ab") as log:
            self._process = spawn(
                [sys.executable, "-m", "tally", "witness", "serve", *words], log=log, environment=environment
            )
        deadline = time.monotonic() + _STARTED_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise TallyError(f"the witness does not answer; its log is {path}")
            time.sleep(0.05)

    def copy_log(self, published: Path) -> None:
        """Keep what is published now."""
        shutil.rmtree(self.log, ignore_errors=True)
        shutil.copytree(published, self.log)

    def _answers(self) -> bool:
        with suppress(OSError, urllib.error.URLError):
            url = f"http://127.0.0.1:{self._port}/health"
            with urllib.request.urlopen(url, timeout=2):
                return True
        return False
