"""One PostgreSQL server with TimescaleDB that belongs to the process that started it.

The server ends when the thread that called ``start`` ends, even by SIGKILL; the files are then as after a
crash, and the next start recovers.  Two processes can't run one folder: the server itself holds an inherited
lock on it. It listens on 127.0.0.1 and on a socket in a private folder; every login needs a password,
generated at first use.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg

from tally.embedded.configuration import ACCESS_RULES, configuration_text, server_settings
from tally.embedded.programs import Programs
from tally.errors import AlreadyRunning, NotRunning, ServiceFailed, TallyError
from tally.files import remove_tree, secret, try_lock, write_atomically
from tally.ports import check_free
from tally.processes import kill_group, spawn

ADMIN: Final = "postgres"
DATABASE: Final = "tally"
SERVICE_ROLES: Final = ("tally_collector", "tally_audit", "tally_grafana", "tally_inference", "tally_sealer")
_POLL_S: Final = 0.02
_ENDING_S: Final = 1.5


class Server:
    """A server over ``directory``; ``start`` makes its files if there are none."""

    def __init__(
        self,
        directory: Path,
        port: int,
        programs: Callable[[], Programs],
        *,
        secrets_dir: Path | None = None,
        log: Path | None = None,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        """``programs`` is called once, at the first start; ``overrides`` are server settings that win."""
        self.directory = directory.resolve()
        self.port = port
        self.log = log or self.directory / "postgres.log"
        self._secrets_dir = secrets_dir or self.directory / "secrets"
        self._find_programs = programs
        self._programs: Programs | None = None
        self._overrides = dict(overrides or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._postmaster: int | None = None

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's own folder."""
        return self.directory / "data"

    @property
    def socket_dir(self) -> Path:
        """Short, because a socket's path has at most 107 bytes."""
        digest = hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"tally-{os.geteuid()}-{digest}"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The child that is the server, or holds it; None if it was not started here."""
        return self._process

    @property
    def running(self) -> bool:
        """True while the server that this object started has not ended."""
        return self._process is not None and self._process.poll() is None

    def password(self, role: str) -> str:
        """The role's password on this server; made at first use, kept mode 0600."""
        return secret(self._secrets_dir / f"{role}.password")

    def url(self, role: str = ADMIN, dbname: str = DATABASE) -> str:
        """A connection URL over TCP."""
        return f"postgresql://{role}:{quote(self.password(role))}@127.0.0.1:{self.port}/{quote(dbname)}"

    def start(self, timeout_s: float = 60.0) -> None:
        """Start the server and wait until it answers queries.  After a crash this includes its recovery.

        Raises:
            AlreadyRunning: this folder's server runs, started here or by another process.
            PortTaken: another process listens on the port.
            ServiceFailed: it ended, or did not answer in time; the message has its last complaint.
        """
        if self.running:
            raise AlreadyRunning(f"the database in {self.directory} is running")
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = self._take_lock()
        try:
            if self._programs is None:
                self._programs = self._find_programs()
            self._initialise(self._programs)
            check_free(self.port, "TALLY_DB_PORT")
            self._launch(self._programs, lock)
        finally:
            os.close(lock)  # the server has its own copy, which ends with its last process
        self._wait_ready(timeout_s)

    def stop(self, timeout_s: float = 60.0) -> None:
        """Fast shutdown: sessions are ended, everything is written.  Does nothing if it does not run."""
        process = self._process
        if process is None:
            return
        if process.poll() is None and self._postmaster is not None:
            try:
                os.kill(self._postmaster, signal.SIGINT)
                process.wait(timeout_s)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                kill_group(process)
        self._forget(process)

    def kill9(self) -> None:
        """End every process of the server at once, with no chance to write anything."""
        process = self._process
        if process is None or self._postmaster is None:
            raise NotRunning(f"the database in {self.directory} was not started here")
        if self._programs is not None and self._programs.sandboxed:
            os.kill(self._postmaster, signal.SIGKILL)  # process 1 of its namespace takes the others along
        else:
            _kill_session_tree(self._postmaster)
        self._forget(process)

    def restart(self, timeout_s: float = 60.0) -> None:
        """Stop and start."""
        self.stop(timeout_s)
        self.start(timeout_s)

    def _take_lock(self) -> int:
        """The folder's lock; a server whose owner was killed this moment is given time to end."""
        deadline = time.monotonic() + _ENDING_S
        while (lock := try_lock(self.directory / "server.lock")) is None:
            if time.monotonic() > deadline:
                raise AlreadyRunning(
                    f"the database in {self.directory} is running, started by another process"
                )
            time.sleep(_POLL_S)
        return lock

    def _initialise(self, programs: Programs) -> None:
        """Make the files.  A crash here leaves data.new, which the next start removes."""
        if self.data_dir.is_dir():
            return
        fresh = self.directory / "data.new"
        remove_tree(fresh)
        fresh.mkdir(mode=0o700)
        self.password(ADMIN)
        # initdb reads the password as the sandbox's user, who owns what the caller owns.
        password_file = self._secrets_dir.resolve() / f"{ADMIN}.password"
        arguments = [
            str(programs.bin_dir / "initdb"), "-D", str(fresh), "-U", ADMIN, "--encoding=UTF8",
            "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password_file}", "--no-instructions",
        ]  # fmt: skip
        result = subprocess.run(
            programs.command(arguments, writable=[self.directory, password_file.parent]),
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise TallyError(f"initdb could not make {self.data_dir}: {reason}")
        (fresh / "pg_hba.conf").write_text(ACCESS_RULES, encoding="utf-8")
        fresh.rename(self.data_dir)

    def _launch(self, programs: Programs, lock: int) -> None:
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        if self.socket_dir.stat().st_uid != os.geteuid():
            raise TallyError(f"{self.socket_dir} belongs to someone else; remove it or set TMPDIR")
        settings = server_settings(self.port, self.socket_dir) | self._overrides
        write_atomically(self.data_dir / "postgresql.conf", configuration_text(settings), mode=0o600)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        arguments = programs.command(
            [str(programs.bin_dir / "postgres"), "-D", str(self.data_dir)],
            writable=[self.directory, self.socket_dir],
        )
        reader, writer = os.pipe()
        try:
            if programs.sandboxed:
                arguments[1:1] = ["--info-fd", str(writer)]
            with self.log.open("ab") as log:
                self._process = spawn(arguments, log=log, directory=Path("/"), pass_fds=(lock, writer))
        finally:
            os.close(writer)
        with os.fdopen(reader, "rb") as information:
            # bubblewrap tells its child's process id; without it the child is the server.
            text = information.read() if programs.sandboxed else b""
        self._postmaster = int(json.loads(text)["child-pid"]) if text else self._process.pid

    def _wait_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            if not self.running:
                self.stop()
                raise ServiceFailed(f"the database did not start: {self._last_complaint()} (log: {self.log})")
            try:
                psycopg.connect(self.url(dbname="postgres"), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    self.stop()
                    reason = str(error).strip().splitlines()[0]
                    message = (
                        f"the database did not answer within {timeout_s:g} s: {reason} (log: {self.log})"
                    )
                    raise ServiceFailed(message) from error
                time.sleep(_POLL_S)
            else:
                return

    def _last_complaint(self) -> str:
        lines = (
            self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        )
        complaints = [line for line in lines[-50:] if "FATAL:" in line or "bwrap:" in line]
        return (complaints or lines or ["no output"])[-1].split("FATAL:")[-1].strip()

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end and tidy up what a server that ended cleanly has removed itself."""
        process.wait()
        self._process = self._postmaster = None
        remove_tree(self.socket_dir)


def _kill_session_tree(postmaster: int) -> None:
    """SIGKILL to a server outside a sandbox and to its children, which would else take a moment to notice."""
    import psutil  # noqa: PLC0415 - only fault tests come here

    processes = [psutil.Process(postmaster)]
    processes += processes[0].children(recursive=True)
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
