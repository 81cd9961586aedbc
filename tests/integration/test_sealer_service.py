"""The sealer as a process: rounds by itself, witnesses that come and go, a second one that stands by."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import psycopg
import pytest

from audit.sealing.log_files import WITNESSED, LogFiles
from ledger.checkpoints import Checkpoint
from ledger.policies import Policy, check_note
from tally.ports import free_port
from tally.testing import Database, ServiceProcess
from tests.ledger_writer import LedgerWriter
from tests.logs import MemoryLog
from tests.sealing import KEY, WITNESSES, policy_text
from tests.witnesses import growth

PLACE = Path(__file__).resolve().parents[2]


class SealerProcess(ServiceProcess):
    """``python -m audit.sealing`` with a round every fifth of a second."""

    def __init__(self, database: Database, folder: Path, environment: Mapping[str, str]) -> None:
        key = folder / "log.key"
        if not key.exists():
            key.write_text(KEY.to_text())
            key.chmod(0o600)
        port = free_port()
        settings = {
            "DATABASE_URL": database.sealer_url,
            "KEY": str(key),
            "LOG_DIR": str(folder / "log"),
            "INTERVAL_S": "0.2",
            "PORT": str(port),
        } | dict(environment)
        super().__init__(
            "audit.sealing",
            port,
            folder / f"sealer-{port}.log",
            {f"TALLY_SEALER_{name}": value for name, value in settings.items()},
        )

    def metric(self, name: str) -> float:
        """A metric's value, by name and labels as they are printed; not a number if it is not there yet."""
        lines = httpx.get(f"{self.http_url}/metrics").text.splitlines()
        found = (float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))
        return next(found, math.nan)


class Witness(ServiceProcess):
    """``python -m witness`` with the key of ``WITNESSES[number]``."""

    _READY = "/health"

    def __init__(self, folder: Path, policy: Path, number: int, port: int) -> None:
        key = folder / f"witness-{number}.key"
        key.write_text(WITNESSES[number].to_text())
        key.chmod(0o600)
        settings = {
            "KEY": str(key),
            "POLICY": str(policy),
            "STATE_DIR": str(folder / f"state-{number}"),
            "PORT": str(port),
        }
        super().__init__(
            "witness",
            port,
            folder / f"witness-{number}.log",
            {f"TALLY_WITNESS_{name}": value for name, value in settings.items()},
        )


Start = Callable[..., SealerProcess]


@pytest.fixture
def start(database: Database, tmp_path: Path) -> Iterator[Start]:
    started: list[SealerProcess] = []

    def begin(*, ready: bool = True, **environment: str) -> SealerProcess:
        started.append(SealerProcess(database, tmp_path, environment))
        started[-1].start(ready=ready)
        return started[-1]

    yield begin
    for process in reversed(started):
        process.stop()


def wait_for(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def size(folder: Path, name: str = "checkpoint") -> int:
    note = LogFiles(folder / "log").note(name)
    return 0 if note is None else Checkpoint.parse(note.text).size


def test_it_seals_what_comes_tells_metrics_and_stops_when_told(
    start: Start, database: Database, tmp_path: Path
) -> None:
    writer = LedgerWriter(database.admin_url)
    sealer = start()
    writer.fill("events", "a", 30)
    wait_for(lambda: size(tmp_path) == 31)
    writer.fill("events", "a", 10, 31)
    wait_for(lambda: sealer.metric("tally_sealer_rows_total") == 40)
    assert sealer.metric("tally_sealer_tree_size") == size(tmp_path) == 42
    assert sealer.metric("tally_sealer_active") == 1
    assert sealer.metric("tally_sealer_quorum") == 0
    assert sealer.stop() == 0


def test_a_second_one_stands_by_and_takes_over_when_the_first_is_killed(
    start: Start, database: Database, tmp_path: Path
) -> None:
    writer = LedgerWriter(database.admin_url)
    first = start()
    second = start()
    assert second.metric("tally_sealer_active") == 0
    first.kill9()
    writer.fill("events", "a", 30)
    wait_for(lambda: size(tmp_path) == 31)
    assert second.metric("tally_sealer_active") == 1


def test_a_published_log_of_another_history_is_refused_until_it_is_put_right(
    start: Start, database: Database, tmp_path: Path
) -> None:
    LedgerWriter(database.admin_url).fill("events", "a", 30)
    start().stop()
    head = (tmp_path / "log/checkpoint").read_bytes()
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        kept = connection.execute("SELECT root FROM seal_batches").fetchone()
        connection.execute("UPDATE seal_batches SET root = sha256('x')")
    sealer = start(ready=False)
    wait_for(lambda: sealer.answers("/healthz") and sealer.metric("tally_sealer_fork_refused") == 1)
    answer = httpx.get(f"{sealer.http_url}/readyz")
    assert (answer.status_code, "two histories" in answer.text) == (503, True)
    assert (tmp_path / "log/checkpoint").read_bytes() == head
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE seal_batches SET root = %s", kept)
    sealer.wait_ready()
    assert sealer.metric("tally_sealer_fork_refused") == 0


def test_witnesses_cosign_when_they_are_there_and_hold_up_nothing_when_they_are_not(
    start: Start, database: Database, tmp_path: Path
) -> None:
    ports = [free_port(), free_port()]
    lines = policy_text(*WITNESSES[:2], quorum=2).splitlines(keepends=True)
    policy = tmp_path / "policy"
    policy.write_text(
        "".join(
            line.replace("\n", f" http://127.0.0.1:{ports[int(line[9]) - 1]}\n")
            if line.startswith("witness")
            else line
            for line in lines
        )
    )
    writer = LedgerWriter(database.admin_url)
    with Witness(tmp_path, policy, 0, ports[0]):
        sealer = start(POLICY=str(policy))
        writer.fill("events", "a", 30)
        wait_for(lambda: size(tmp_path) == 31)
        one = 'tally_sealer_witness_cosigned{witness="w1"}'
        wait_for(lambda: sealer.metric(one) == 1)
        assert sealer.metric("tally_sealer_quorum") == 0
        assert not (tmp_path / "log" / WITNESSED).exists(), "one of two is no quorum"
        with Witness(tmp_path, policy, 1, ports[1]):
            wait_for(lambda: size(tmp_path, WITNESSED) == 31)
            assert sealer.metric("tally_sealer_quorum") == 1
        writer.fill("events", "a", 10, 31)
        wait_for(lambda: size(tmp_path) == 42)
        wait_for(lambda: sealer.metric("tally_sealer_quorum") == 0)
        assert size(tmp_path, WITNESSED) == 31, "the newer head is published as not yet witnessed"
    note = LogFiles(tmp_path / "log").note(WITNESSED)
    assert note is not None
    assert check_note(note, Policy.parse(policy.read_bytes())).quorum


def test_a_witness_that_knows_more_leaves_is_heeded_while_sealing_goes_on(
    start: Start, database: Database, tmp_path: Path
) -> None:
    """As after an old backup was restored, with a folder of its own."""
    port = free_port()
    policy = tmp_path / "policy"
    policy.write_text(policy_text(WITNESSES[0], quorum=1, url=f"http://127.0.0.1:{port}"))
    with Witness(tmp_path, policy, 0, port) as witness:
        other = MemoryLog([bytes(32)] * 100, KEY)
        assert httpx.post(f"{witness.http_url}/add-checkpoint", content=growth(other, 0, 100)).is_success
        writer = LedgerWriter(database.admin_url)
        writer.fill("events", "a", 30)
        sealer = start(ready=False, POLICY=str(policy))
        wait_for(lambda: sealer.answers("/healthz") and sealer.metric("tally_sealer_fork_refused") == 1)
        wait_for(lambda: "leaves were lost" in httpx.get(f"{sealer.http_url}/readyz").text)
        assert size(tmp_path) == 31, "what is committed is sealed all the same"
        writer.fill("events", "a", 80, 31)
        wait_for(lambda: size(tmp_path) == 112)
        wait_for(lambda: "w1 answered 422" in httpx.get(f"{sealer.http_url}/readyz").text)
        assert sealer.metric("tally_sealer_fork_refused") == 1


@pytest.mark.parametrize(
    ("left_out", "complaint"),
    [("KEY", "TALLY_SEALER_KEY"), ("LOG_DIR", "TALLY_SEALER_LOG_DIR"), ("policy", "log"), ("closed key", "chmod 600")],
)
def test_what_it_cannot_start_without_is_named_with_exit_code_2(
    left_out: str, complaint: str, tmp_path: Path
) -> None:
    key = tmp_path / "log.key"
    key.write_text(KEY.to_text())
    key.chmod(0o644 if left_out == "closed key" else 0o600)
    policy = tmp_path / "policy"
    policy.write_text(policy_text(key=WITNESSES[0]).replace("log ", "# log "))
    settings = {
        "TALLY_SEALER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "TALLY_SEALER_KEY": str(key),
        "TALLY_SEALER_LOG_DIR": str(tmp_path / "log"),
        "TALLY_SEALER_PORT": str(free_port()),
        **({"TALLY_SEALER_POLICY": str(policy)} if left_out == "policy" else {}),
    }
    settings.pop(f"TALLY_SEALER_{left_out}", None)
    done = subprocess.run(
        [sys.executable, "-m", "audit.sealing"],
        env={"PATH": "/usr/bin", **settings},
        cwd=PLACE,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
