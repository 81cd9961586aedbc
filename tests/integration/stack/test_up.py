"""The whole stack through the real command, each time in a var/ of its own and on free ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from ledger.encoded import base64_of
from ledger.notes import sign_note
from service.keys.files import new_signing_key
from service.keys.sources import load_signing_key
from store import migrate
from tally.ports import free_port
from tally.testing import temporary_directory
from tests.ledger_writer import LedgerWriter


class Tally:
    """The `tally` command in an environment of its own."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.environment = {
            name: text for name, text in os.environ.items() if name != "TALLY_DATABASE_URL"
        } | {
            "TALLY_VAR_DIR": str(var),
            "TALLY_DB_PORT": str(free_port()),
            "TALLY_COLLECTOR_GRPC_PORT": str(free_port()),
            "TALLY_COLLECTOR_HTTP_PORT": str(free_port()),
            "TALLY_INFERENCE_PORT": str(free_port()),
            "TALLY_SEALER_PORT": str(free_port()),
            "TALLY_SEALER_INTERVAL_S": "0.5",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tally", *arguments]

    def run(self, *arguments: str, status: int = 0) -> str:
        result = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout if status == 0 else result.stdout + result.stderr

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status))

    def services(self) -> dict[str, dict[str, Any]]:
        result = subprocess.run(
            self.command("status", "--json"),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return {service["name"]: service for service in json.loads(result.stdout).get("services", [])}

    def answers(self, port: str, path: str) -> bool:
        """Whether that path of a service answers 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.environment[port]}{path}", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def processes(self) -> list[psutil.Process]:
        """Whatever runs for this var/, found by environment or command line, zombies left out."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = (
                    process.environ().get("TALLY_VAR_DIR") == str(self.var)
                    or str(self.var) in process.cmdline()
                )
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def postmaster(self) -> psutil.Process:
        """The server inside its sandbox."""
        holder = psutil.Process(self.services()["database"]["pid"])
        return next(process for process in [holder, *holder.children()] if process.name() == "postgres")


def wait_for(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def own_tally() -> Iterator[Tally]:
    with temporary_directory() as directory:
        tally = Tally(Path(directory) / "var")
        try:
            yield tally
        finally:
            tally.run("down")
            wait_for(lambda: not tally.processes())


@pytest.fixture
def tally() -> Iterator[Tally]:
    with own_tally() as made:
        yield made


@pytest.fixture(scope="module")
def running() -> Iterator[Tally]:
    """A stack that was brought up with --detach and that tests leave healthy."""
    with own_tally() as made:
        made.run("up", "--detach")
        yield made


def test_up_brings_a_migrated_database_a_ready_collector_and_a_model_that_answers(running: Tally) -> None:
    status = running.json("status")
    assert [(service["name"], service["state"]) for service in status["services"]] == [
        ("database", "healthy"),
        ("collector", "healthy"),
        ("inference", "healthy"),
        ("sealer", "healthy"),
    ]
    url = running.json("db", "url")["url"]
    assert migrate.current(url) == migrate.head()
    with urllib.request.urlopen(
        f"http://127.0.0.1:{running.environment['TALLY_COLLECTOR_HTTP_PORT']}/readyz", timeout=5
    ) as answer:
        assert answer.status == 200
    assert "collector" in running.run("status")
    wait_for(lambda: running.answers("TALLY_INFERENCE_PORT", "/ready"))


def test_each_role_has_a_login_of_its_own(running: Tally) -> None:
    for role in ("collector", "audit", "grafana", "inference", "sealer"):
        url = running.run("db", "url", "--role", role).strip()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (f"tally_{role}",)


def test_a_second_up_says_so_and_changes_nothing(running: Tally) -> None:
    before = running.services()
    for arguments in (["up"], ["up", "--detach"]):
        assert "running (supervisor: pid" in running.run(*arguments, status=2)
    assert running.services() == before


def test_the_database_of_a_running_stack_is_not_stopped_alone(running: Tally) -> None:
    assert "tally down" in running.run("db", "stop", status=2)
    assert running.json("db", "start")["url"] == running.json("db", "url")["url"]


def test_psql_runs_sql_and_gives_rows_as_json(running: Tally) -> None:
    assert "42" in running.run("db", "psql", "-c", "SELECT 42 AS answer")
    assert running.json("db", "psql", "-c", "SELECT 42 AS answer, 'x' AS name") == [
        {"answer": 42, "name": "x"}
    ]
    assert "ELECT" in running.run("db", "psql", "-c", "ELECT", "--json", status=2)


def test_verify_finds_an_untouched_ledger_intact_and_a_touched_one_broken(running: Tally) -> None:
    report = running.json("verify", "--processes", "1")
    assert report["ok"] is True
    forge = (
        "INSERT INTO chain_heads (stream, chain, seq, row_hash)"
        " VALUES ('events', 'forged', 7, sha256('forged'::bytea))"
    )
    with psycopg.connect(running.json("db", "url")["url"]) as connection:
        connection.execute(forge)
        connection.commit()
        broken = running.json("verify", status=1)
        assert broken["ok"] is False
        assert "BROKEN" in running.run("verify", status=1)
        connection.execute("ALTER TABLE chain_heads DISABLE TRIGGER USER")
        connection.execute("DELETE FROM chain_heads WHERE chain = 'forged'")
        connection.execute("ALTER TABLE chain_heads ENABLE TRIGGER USER")
        connection.commit()
    assert running.json("verify", "--twin")["twin"]["ok"] is True
    assert "no stream" in running.run("verify", "--stream", "weather", status=2).lower()


def test_the_sealer_of_the_stack_has_a_key_of_its_own_and_seals_what_comes(running: Tally) -> None:
    key = running.var / "secrets/log.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert load_signing_key(str(key)).name == "localhost/tally"
    assert "another sealer" in running.run("seal", status=2)
    LedgerWriter(running.json("db", "url")["url"]).fill("events", "sealed", 3)
    prove = running.command("prove", "events", "sealed", "2", "-o", str(running.var / "row.proof"))

    def proven() -> bool:
        return (
            subprocess.run(prove, env=running.environment, capture_output=True, check=False).returncode == 0
        )

    wait_for(proven)
    policy = running.var / "policy"
    policy.write_text(f"log {load_signing_key(str(key)).verifier}\nquorum none\n")
    checked = running.json("prove", "--check", str(running.var / "row.proof"), "--policy", str(policy))
    assert (checked["ok"], checked["row_as_stated"]["seq"]) == (True, 2)


def test_a_log_that_contradicts_the_database_is_told_and_stops_no_machine(tally: Tally) -> None:
    """The database was made anew, the published log is an earlier one's."""
    head = sign_note(f"localhost/tally\n7\n{base64_of(bytes(32))}\n", new_signing_key("localhost/tally", 1))
    (tally.var / "tlog").mkdir(parents=True)
    (tally.var / "tlog/checkpoint").write_text(str(head))
    tally.run("up", "--detach")
    status = tally.json("status", status=1)["services"]
    assert [service["state"] for service in status] == ["healthy", "healthy", "healthy", "unhealthy"]
    assert "tile" in status[3]["detail"]
    assert tally.answers("TALLY_COLLECTOR_HTTP_PORT", "/readyz")


def test_migrating_again_changes_nothing(running: Tally) -> None:
    assert running.json("migrate") == {"before": migrate.head(), "after": migrate.head()}


def test_logs_show_each_process_and_follow_what_is_added(running: Tally) -> None:
    assert "ready on port" in running.run("logs", "supervisor")
    lines = [json.loads(line) for line in running.run("logs", "-n", "5", "--json").splitlines()]
    assert {line["service"] for line in lines} == {
        *("database", "collector", "inference", "sealer", "supervisor")
    }
    (running.var / "log/extra.log").write_text("one\ntwo\n")
    follow = running.command("logs", "extra", "-f", "-n", "1")
    with subprocess.Popen(follow, env=running.environment, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "two\n"
        with (running.var / "log/extra.log").open("a") as log:
            log.write("three\nhalf")
            log.flush()
            assert follower.stdout.readline() == "three\n"
            log.write(" done\n")
        assert follower.stdout.readline() == "half done\n"
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130
    (running.var / "log/extra.log").unlink()


def test_a_killed_collector_and_a_killed_database_come_back(running: Tally) -> None:
    collector = running.services()["collector"]["pid"]
    os.kill(collector, signal.SIGKILL)
    wait_for(lambda: running.services()["collector"]["restarts"] == 1)
    wait_for(lambda: running.services()["collector"]["state"] == "healthy")
    assert running.services()["collector"]["pid"] != collector
    running.postmaster().kill()
    wait_for(lambda: running.services()["database"]["restarts"] == 1)
    wait_for(lambda: all(service["state"] == "healthy" for service in running.services().values()))
    assert running.json("db", "psql", "-c", "SELECT 1 AS one") == [{"one": 1}]
    assert "ended with status -9" in running.run("logs", "supervisor")


def test_nothing_is_left_when_the_supervisor_is_killed(tally: Tally) -> None:
    tally.run("up", "--detach")
    assert len(tally.processes()) >= 4
    os.kill(tally.json("status")["supervisor"], signal.SIGKILL)
    wait_for(lambda: not tally.processes())
    assert tally.json("status", status=1) == {"running": False}
    tally.run("up", "--detach")
    assert tally.json("status")["running"] is True


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_stops_everything_in_order(how: signal.Signals, tally: Tally) -> None:
    with subprocess.Popen(
        tally.command("up", "--json"), env=tally.environment, stdout=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout is not None
        events = [json.loads(up.stdout.readline()) for _ in range(5)]
        assert [event.get("service") for event in events[:4]] == [
            *("database", "collector", "inference", "sealer")
        ]
        assert events[4]["ready"] is True
        up.send_signal(how)
        rest = [json.loads(line) for line in up.stdout]
    assert up.returncode == 0
    assert [(event["service"], event["what"]) for event in rest] == [
        ("sealer", "stopped"),
        ("inference", "stopped"),
        ("collector", "stopped"),
        ("database", "stopped"),
    ]
    assert tally.processes() == []


def test_a_taken_port_is_named_and_nothing_stays_up(tally: Tally) -> None:
    for variable in (
        "TALLY_DB_PORT",
        "TALLY_COLLECTOR_GRPC_PORT",
        "TALLY_COLLECTOR_HTTP_PORT",
        "TALLY_INFERENCE_PORT",
        "TALLY_SEALER_PORT",
    ):
        port = int(tally.environment[variable])
        with socket.create_server(("127.0.0.1", port)):
            complaint = tally.run("up", "--detach", status=2)
        assert f"port {port}" in complaint
        assert variable in complaint
        assert tally.processes() == []


def test_the_database_alone_can_be_started_migrated_and_then_taken_over_by_up(tally: Tally) -> None:
    url = tally.json("db", "start")["url"]
    assert migrate.current(url) is None
    assert tally.json("migrate") == {"before": None, "after": migrate.head()}
    tally.run("db", "start")
    tally.run("up", "--detach")
    assert [service["state"] for service in tally.json("status")["services"]] == ["healthy"] * 4
    assert tally.json("down") == {"stopped": ["database", "collector", "inference", "sealer"]}
    tally.json("db", "start")
    assert tally.json("db", "stop") == {"stopped": True}
