"""The most memory that a program and the database's processes have at one time.

Of a process of the server counts what is its own (``RssAnon``).  Shared buffers don't: they are the cache,
whose size is configured and which is there without a query too.  What a query's processes share with each
other does: the tables of parallel hash joins, which lie in ``/dev/shm/PostgreSQL.*``, each counted once.  Of
the program everything counts that is resident, its libraries included.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tally.errors import ServiceFailed

_PERIOD_S: Final = 0.1
_SHARED: Final = "/dev/shm/PostgreSQL."  # noqa: S108 - PostgreSQL's own name


@dataclass(frozen=True, slots=True)
class Measured:
    """What a program wrote to its standard output, how long it took, and how much memory was used at most."""

    output: str
    elapsed_s: float
    peak_bytes: int


def run_measured(
    command: Sequence[str], server: int | None = None, accepted: Sequence[int] = (0,)
) -> Measured:
    """Run a program to its end, beside the server that is ``server`` and its children.

    Raises:
        ServiceFailed: it ended with a status that is not accepted; the message has its last words.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    peak, ended = 0, threading.Event()

    def sample(pid: int) -> None:
        nonlocal peak
        while True:
            if server is None:
                peak = max(peak, _status_bytes(pid, "VmHWM"))
            else:
                peak = max(peak, _server_bytes(server) + _status_bytes(pid, "VmRSS"))
            if ended.wait(_PERIOD_S):
                return

    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=output, stderr=errors, env=environment) as process:
            sampling = threading.Thread(target=sample, args=(process.pid,))
            sampling.start()
            process.wait()
            elapsed_s = time.perf_counter() - started
            ended.set()
            sampling.join()
        output.seek(0)
        errors.seek(0)
        if process.returncode not in accepted:
            said = errors.read().decode(errors="replace") or output.read().decode(errors="replace")
            raise ServiceFailed(f"{command[3]} ended with {process.returncode}: {said[-500:]}")
        return Measured(output.read().decode(), elapsed_s, peak)


def _server_bytes(server: int) -> int:
    total, shared = 0, set[str]()
    try:
        processes = psutil.Process(server).children(recursive=True)
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        total += _status_bytes(process.pid, "RssAnon")
        for name in _shared_files(process.pid):
            if name not in shared:
                shared.add(name)
                total += _allocated(process.pid, name)
    return total


def _allocated(pid: int, name: str) -> int:
    """Of a file as that process sees it, which may be in a sandbox."""
    try:
        return Path(f"/proc/{pid}/root{name}").stat().st_blocks * 512
    except OSError:  # it was removed since
        return 0


def _status_bytes(pid: int, field: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it ended since
        return 0
    for line in text.splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _shared_files(pid: int) -> Iterator[str]:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        at = line.find(_SHARED)
        if at >= 0:
            yield line[at:].removesuffix(" (deleted)")
