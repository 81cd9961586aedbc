"""Rotations and revocations are rows of the ledger, with statements that anybody can check."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from ledger.keys import check_revocation, check_rotation
from service.keys.sources import load_signing_key
from tally.cli import main
from tally.testing import Database
from tests.conftest import StartCollector


def test_what_is_stated_about_keys_is_in_the_ledger(
    database: Database, collector: StartCollector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TALLY_COLLECTOR_HTTP_PORT", str(collector(database).http_port))
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert main(["keys", "generate", "--name", "plant.example/tally", "-o", one]) == 0
    assert main(["keys", "rotate", one, "-o", two, "--reason", "yearly", "--actor", "anna"]) == 0
    assert main(["keys", "revoke", one, "--reason", "copied"]) == 0
    with psycopg.connect(database.audit_url) as connection:
        rows = connection.execute(
            "SELECT event_name, machine_id, attributes ->> 'key.statement', attributes ->> 'key.actor' "
            "FROM events ORDER BY seq"
        ).fetchall()
    (rotated, *_, statement, actor), (revoked, machine, revocation, _) = rows
    assert (rotated, revoked) == ("audit.key_rotation", "audit.key_revocation")
    assert (machine, actor) == ("tally-audit", "anna")
    old, new = (load_signing_key(spec).verifier for spec in (one, two))
    assert check_rotation(statement.encode(), old).new == new
    assert check_revocation(revocation.encode()).key == old
