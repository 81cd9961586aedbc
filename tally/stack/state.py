"""What is known of a running stack from outside: a lock that its supervisor holds, and a file it writes.

The lock is the truth (the kernel releases it however the supervisor ends); the file is only read while it is
held.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tally.errors import AlreadyRunning, TallyError
from tally.files import try_lock, write_atomically

_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service as the supervisor sees it; waiting, starting, healthy, unhealthy, down, failed."""

    name: str
    state: str
    pid: int | None
    ports: dict[str, int]
    restarts: int
    log: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StackState:
    """The supervisor and its services, in the order of starting."""

    supervisor: int
    only_database: bool
    started_at: str
    services: tuple[ServiceState, ...]

    @property
    def all_healthy(self) -> bool:
        """True if every service does its work."""
        return all(service.state == "healthy" for service in self.services)


def _lock_path(run_dir: Path) -> Path:
    return run_dir / "stack.lock"


def _state_path(run_dir: Path) -> Path:
    return run_dir / "stack.json"


def take_lock(run_dir: Path) -> int:
    """The descriptor that marks this process as the stack's supervisor until it ends.

    Raises:
        AlreadyRunning: another process is; the message has its process id.
    """
    lock = try_lock(_lock_path(run_dir))
    if lock is None:
        known = read_state(run_dir)
        pid = "" if known is None else f" (supervisor: pid {known.supervisor})"
        raise AlreadyRunning(f"the stack of this checkout is running{pid}; see `tally status`, `tally down`")
    _state_path(run_dir).unlink(missing_ok=True)
    return lock


def write_state(run_dir: Path, state: StackState) -> None:
    """Replace the file.  A crash leaves an old file, which nobody reads once the lock is free."""
    write_atomically(_state_path(run_dir), json.dumps(asdict(state), indent=1), mode=0o600)


def is_locked(run_dir: Path) -> bool:
    """True while a supervisor runs."""
    if not _lock_path(run_dir).exists():
        return False
    lock = try_lock(_lock_path(run_dir))
    if lock is None:
        return True
    os.close(lock)
    return False


def read_state(run_dir: Path) -> StackState | None:
    """The running stack, or None if none runs, or one that has only begun to start."""
    if not is_locked(run_dir):
        return None
    try:
        raw = json.loads(_state_path(run_dir).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    services = tuple(ServiceState(**service) for service in raw.pop("services"))
    return StackState(**raw, services=services)


def stop_running(run_dir: Path, timeout_s: float = 120.0) -> StackState | None:
    """Ask the running supervisor to stop everything and wait for it; what ran, or None if nothing did.

    Raises:
        TallyError: it has not stopped in time.
    """
    state = read_state(run_dir)
    deadline = time.monotonic() + timeout_s
    asked = None
    while is_locked(run_dir):
        state = state or read_state(run_dir)
        if state is not None and asked != state.supervisor:
            asked = state.supervisor
            os.kill(asked, signal.SIGTERM)
        if time.monotonic() > deadline:
            pid = "" if state is None else f" (pid {state.supervisor})"
            raise TallyError(
                f"the stack has not stopped within {timeout_s:g} s{pid}; see var/log/supervisor.log"
            )
        time.sleep(_POLL_S)
    return state
