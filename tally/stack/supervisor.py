"""Start units in order, wait for each, watch them, restart what dies, stop them in reverse.

The units' processes end with the supervisor however it ends: each is started with the kernel's parent-death
signal (see ``tally.launch``), and the database's sandbox also with bubblewrap's --die-with-parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from tally.errors import TallyError
from tally.stack.state import ServiceState, StackState, take_lock, write_state
from tally.stack.units import Unit, last_line

_WATCH_EVERY_S: Final = 0.2
_CHECK_HEALTH_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """After an unexpected end: wait ``first_delay_s``, doubled each time up to ``longest_delay_s``.

    A unit that ended more than ``most`` times within ``window_s`` stays down ("failed"); the others go on.
    """

    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    most: int = 5
    window_s: float = 600.0

    def delay_s(self, ends: int) -> float:
        """How long to wait after the ``ends``-th end (1, 2, 3 ...) of the window."""
        return float(min(self.longest_delay_s, self.first_delay_s * 2 ** (ends - 1)))


@dataclass(slots=True)
class _Watched:
    unit: Unit
    state: str = "waiting"
    detail: str = ""
    restarts: int = 0
    ends: list[float] = field(default_factory=list)
    restart_at: float | None = None
    health_due: float = 0.0


class _StopRequested(BaseException):
    """SIGINT or SIGTERM: not an Exception, so that nothing on the way takes it for a failure."""


class Supervisor:
    """Runs ``units`` until SIGINT or SIGTERM.  ``tell`` is given a line for everything worth knowing."""

    def __init__(
        self,
        units: Sequence[Unit],
        run_dir: Path,
        tell: Callable[[str, str], None],
        *,
        only_database: bool = False,
        policy: RestartPolicy | None = None,
    ) -> None:
        """``tell`` gets the unit's name (or "stack") and what happened."""
        self._watched = [_Watched(unit) for unit in units]
        self._run_dir = run_dir
        self._tell = tell
        self._only_database = only_database
        self._policy = policy or RestartPolicy()
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start everything, call ``on_ready``, watch until a signal comes, stop everything.

        Raises:
            AlreadyRunning: another supervisor of this checkout runs.
            TallyError: a unit did not start; those started before it have been stopped.
        """
        lock = take_lock(self._run_dir)
        with (
            _signals_ignored()
        ):  # outside of the inner block: a second Ctrl-C must not interrupt the stopping
            try:
                with contextlib.suppress(_StopRequested), _signals_raise():
                    self._start_all()
                    on_ready()
                    self._watch()
            finally:
                self._stop_all()
                os.close(lock)

    def _start_all(self) -> None:
        self._record()
        for watched in self._watched:
            self._set(watched, "starting")
            began = time.monotonic()
            watched.unit.start()
            took = time.monotonic() - began
            ports = ", ".join(str(port) for port in watched.unit.ports.values())
            where = f" on port {ports}" if ports else ""
            self._started(watched, f"ready{where} after {took:.1f} s")

    def _started(self, watched: _Watched, say: str) -> None:
        """A unit that may be late can run without being ready."""
        if watched.unit.healthy():
            self._set(watched, "healthy", say=say)
        else:
            trouble = watched.unit.trouble
            self._set(watched, "unhealthy", trouble, say=f"runs, and is not ready: {trouble}")

    def _watch(self) -> None:
        while True:
            now = time.monotonic()
            for watched in self._watched:
                if watched.restart_at is not None:
                    if now >= watched.restart_at:
                        self._restart(watched)
                elif watched.state != "failed":
                    self._look_at(watched, now)
            time.sleep(_WATCH_EVERY_S)

    def _look_at(self, watched: _Watched, now: float) -> None:
        status = watched.unit.exit_status()
        if status is not None:
            self._ended(watched, f"ended with status {status}: {last_line(watched.unit.log)}")
        elif now >= watched.health_due:
            watched.health_due = now + _CHECK_HEALTH_EVERY_S
            state, detail = ("healthy", "") if watched.unit.healthy() else ("unhealthy", watched.unit.trouble)
            if state != watched.state:
                say = "healthy again" if state == "healthy" else f"not healthy: {detail}"
                self._set(watched, state, detail, say=say)
            elif detail != watched.detail:
                self._set(watched, state, detail)

    def _ended(self, watched: _Watched, reason: str) -> None:
        now = time.monotonic()
        watched.ends = [end for end in watched.ends if now - end < self._policy.window_s] + [now]
        watched.unit.stop()
        if len(watched.ends) > self._policy.most:
            watched.restart_at = None
            self._set(watched, "failed", reason, say=f"{reason}; given up after {self._policy.most} restarts")
            return
        delay_s = self._policy.delay_s(len(watched.ends))
        watched.restart_at = now + delay_s
        self._set(watched, "down", reason, say=f"{reason}; restarting in {delay_s:g} s")

    def _restart(self, watched: _Watched) -> None:
        watched.restart_at = None
        watched.restarts += 1
        self._set(watched, "starting")
        try:
            watched.unit.start()
        except TallyError as error:
            self._ended(watched, str(error))
        else:
            self._started(watched, "restarted")

    def _stop_all(self) -> None:
        for watched in reversed(self._watched):
            if watched.unit.pid is not None:
                watched.unit.stop()
                self._set(watched, "down", say="stopped")

    def _set(self, watched: _Watched, state: str, detail: str = "", *, say: str = "") -> None:
        watched.state, watched.detail = state, detail
        self._record()
        if say:
            self._tell(watched.unit.name, say)

    def _record(self) -> None:
        services = tuple(
            ServiceState(
                name=watched.unit.name,
                state=watched.state,
                pid=watched.unit.pid,
                ports=dict(watched.unit.ports),
                restarts=watched.restarts,
                log=str(watched.unit.log),
                detail=watched.detail,
            )
            for watched in self._watched
        )
        write_state(self._run_dir, StackState(os.getpid(), self._only_database, self._started_at, services))


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Inside, SIGINT, SIGTERM and SIGHUP raise _StopRequested in this, the main, thread."""

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        raise _StopRequested

    with _handling(request_stop):
        yield


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    with _handling(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
