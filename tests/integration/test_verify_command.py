"""``python -m audit verify``: what it prints and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from audit.__main__ import main
from ledger.streams import STREAMS
from tally.testing import Database
from tests.ledger_attacker import Attacker
from tests.ledger_writer import LedgerWriter


@pytest.fixture
def ledger(database: Database) -> Database:
    writer = LedgerWriter(database.admin_url)
    for stream in STREAMS:
        writer.fill(stream, "rvm-1", 10)
    return database


def test_help_names_every_option_and_the_exit_codes() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "audit", "verify", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for option in ("--stream", "--machine", "--since", "--until", "--processes", "--twin", "--json", "--url"):
        assert option in shown
    assert "Example: python -m audit verify" in shown
    assert "0 nothing is broken" in shown


def test_an_intact_ledger_is_told_in_words(ledger: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--url", ledger.audit_url, "--twin"]) == 0
    said = capsys.readouterr().out
    assert "Verified the whole ledger" in said
    assert "INTACT" in said
    assert "80 rows in 8 chains" in said
    assert "AGREED" in said


def test_a_broken_ledger_is_told_by_stream_machine_and_row(
    ledger: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with Attacker(ledger.admin_url) as attacker:
        attacker.alter("telemetry", "rvm-1", 5, "value", "99")
    assert main(["verify", "--url", ledger.audit_url, "--twin"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN  1 row in telemetry" in said
    assert "telemetry rvm-1 row 5  value altered  (event time 2026-03-01 00:05:00 UTC)" in said
    assert "DISAGREED" in said
    assert main(["verify", "--url", ledger.audit_url, "--stream", "events"]) == 0


def test_json_has_everything(ledger: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with Attacker(ledger.admin_url) as attacker:
        attacker.alter("telemetry", "rvm-1", 5, "value", "99")
    arguments = ["--machine", "rvm-1", "--since", "2026-03-01", "--until", "2026-03-01T00:08:00Z", "--json"]
    assert main(["verify", "--url", ledger.audit_url, *arguments]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert report["scope"]["since"] == "2026-03-01T00:00:00+00:00"
    (only,) = report["breaks"]
    detail = only.pop("detail")
    assert "its values do not give its hash" in detail
    assert only == {
        "kind": "value altered",
        "stream": "telemetry",
        "chain": "rvm-1",
        "seq": 5,
        "last_seq": 5,
        "event_time": "2026-03-01T00:05:00+00:00",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--machine", "rvm-9"], "audit: no rows of 'rvm-9'\n"),
        (["--since", "2026-03-02", "--until", "2026-03-01"], "is empty\n"),
        (["--since", "2030-01-01"], "no rows in that period, so there is nothing to verify\n"),
    ],
)
def test_what_cannot_run_says_so_in_one_line(
    arguments: list[str], message: str, ledger: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--url", ledger.audit_url, *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith(message)
    assert said.err.count("\n") == 1


def test_a_missing_database_url_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TALLY_AUDIT_DATABASE_URL", raising=False)
    monkeypatch.delenv("TALLY_DATABASE_URL", raising=False)
    assert main(["verify"]) == 2
    assert "TALLY_AUDIT_DATABASE_URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--since", "yesterday"], ["--stream", "telemetrie"], ["--processes", "0"]]
)
def test_a_wrong_option_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--url", "postgresql://nowhere", *arguments])
    assert ended.value.code == 2
