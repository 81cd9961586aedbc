"""Start a process that can't outlive this one, and end it.

Call ``spawn`` from a thread that lives as long as the child should: the kernel's parent-death signal belongs
to the thread, not to the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_LAUNCHER = Path(__file__).with_name("launch.py")


def bound_to_parent(arguments: Sequence[str], death_signal: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command line that runs ``arguments`` and gets ``death_signal`` when the caller's thread ends."""
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(death_signal))]
    return [*launcher, *arguments]


def spawn(
    arguments: Sequence[str],
    *,
    log: IO[bytes] | int,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start ``arguments`` in a process group of its own, without standard input, both outputs to ``log``.

    The group keeps a terminal's Ctrl-C away from the child: whoever started it decides on the order of
    stopping.
    """
    return subprocess.Popen(
        bound_to_parent(arguments),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=None if environment is None else dict(environment),
        cwd=directory,
        pass_fds=tuple(pass_fds),
        process_group=0,
    )


def end(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    """SIGTERM, then after ``timeout_s`` SIGKILL to the whole group; returns the exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            kill_group(process)
    return process.wait()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and to whatever it started in its group."""
    with contextlib.suppress(ProcessLookupError):  # it may have ended by itself meanwhile
        os.killpg(process.pid, signal.SIGKILL)
