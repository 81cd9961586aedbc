"""``tally bundle`` on a real ledger, from the command line to the verifier in an empty folder."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.sealing.log_files import WITNESSED, LogFiles
from audit.sealing.sealer import Sealer
from ledger.cosignatures import cosign
from ledger.notes import Note
from ledger.streams import STREAMS
from store.seals import SealStore
from tally.cli import main
from tally.testing import Database
from tests.evidence import END, START, clean_fleet
from tests.ledger_attacker import Attacker
from tests.ledger_writer import LedgerWriter, sample
from tests.sealing import KEY, WITNESSES, policy_text


def seal_at(database: Database, folder: Path, moment: datetime) -> None:
    """Seal everything that is committed, and have two witnesses cosign it."""
    with SealStore(database.sealer_url) as store:
        assert store.lock()
        sealer = Sealer(store, LogFiles(folder), KEY, clock=lambda: moment)
        sealer.recover()
        note = sealer.seal().note
    assert note is not None
    lines = tuple(cosign(note.text, one, int(moment.timestamp())) for one in WITNESSES[:2])
    LogFiles(folder).put_note(Note(note.text, note.signatures + lines), WITNESSED)


class Tally:
    """``tally("bundle", ...)`` gives exit code, standard output and standard error."""

    def __init__(self, database: Database, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.database = database
        self.log = folder / "log"
        self.policy = folder / "policy"
        self.policy.write_text(policy_text(*WITNESSES, quorum=2))
        self._capsys = capsys

    def __call__(self, place: Path, *options: str, start: str = "", end: str = "") -> tuple[int, str, str]:
        period = ["--from", start or f"{START:%Y-%m-%dT%H:%M:%S}", "--to", end or f"{END:%Y-%m-%dT%H:%M:%S}"]
        where = ["--log", str(self.log), "--policy", str(self.policy), "--url", self.database.audit_url]
        self._capsys.readouterr()
        code = main(["bundle", *period, *where, "-o", str(place), *options])
        said = self._capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def tally(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tally:
    """Rows sealed before the period, in it, and after it; one that is not sealed."""
    writer = LedgerWriter(database.collector_url)
    command = Tally(database, tmp_path, capsys)
    writer.fill("governance", "model", 2)
    seal_at(database, command.log, START - timedelta(hours=1))
    fleet = clean_fleet()
    for row in (*fleet.deposits, *fleet.predictions, *fleet.heartbeats):
        row["site_id"] = {"M1": "north"}.get(row["machine_id"], "south")
    fleet.write_ledger(writer)
    seal_at(database, command.log, END)
    writer.fill("incidents", "M1", 3)
    seal_at(database, command.log, END + timedelta(hours=49))
    writer.append("telemetry", [sample(STREAMS["telemetry"], "M1", 9_000)])
    return command


def verified(place: Path, folder: Path, *options: str) -> tuple[int, str]:
    """What the bundle's own verifier says in a folder of its own, with Python alone."""
    with zipfile.ZipFile(place) as archive:
        archive.extractall(folder)
    command = [sys.executable, "-I", "verify.py", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def manifest_of(place: Path) -> dict[str, Any]:
    with zipfile.ZipFile(place) as archive:
        found: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return found


def test_a_bundle_of_a_period_proves_itself_and_is_the_same_twice(tally: Tally, tmp_path: Path) -> None:
    code, out, err = tally(tmp_path / "b.zip", "--no-verify")
    assert code == 0, err
    assert "its digest, to be noted: " in out
    assert "NOT YET WITNESSED" not in out
    code, said = verified(tmp_path / "b.zip", tmp_path / "out", "--policy", str(tally.policy), "--parquet")
    assert code == 0, said
    assert "NOT CHECKED" not in said
    manifest = manifest_of(tmp_path / "b.zip")
    assert manifest["opening"]["batch"] == 1
    assert manifest["closing"]["batch"] == 3
    assert manifest["rows"]["incidents"] == 3
    assert "governance" in manifest["rows"]
    assert manifest["report"]
    assert (tmp_path / "out/report/report.html").exists()
    tally(tmp_path / "again.zip", "--no-verify")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_site_of_a_period_is_complete_and_has_nothing_of_others(tally: Tally, tmp_path: Path) -> None:
    code, out, err = tally(tmp_path / "b.zip", "--site", "north", "--no-verify", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["witnessed"]
    code, said = verified(tmp_path / "b.zip", tmp_path / "out", "--policy", str(tally.policy))
    assert code == 0, said
    content = (tmp_path / "out/csv/transactions.csv").read_text()
    assert ",M1," in content
    assert ",M2," not in content
    wanted = ("--from", f"{START:%Y-%m-%dT%H:%M:%SZ}", "--site", "north")
    assert verified(tmp_path / "b.zip", tmp_path / "out", *wanted)[0] == 0
    assert verified(tmp_path / "b.zip", tmp_path / "out", "--site", "south")[0] == 1


def test_without_a_report_the_rest_is_there(tally: Tally, tmp_path: Path) -> None:
    code, out, err = tally(tmp_path / "b.zip", "--no-report")
    assert code == 0, err + out
    code, said = verified(tmp_path / "b.zip", tmp_path / "out")
    assert code == 0, said
    assert "there is no report in this bundle" in said
    assert not (tmp_path / "out/report").exists()


@pytest.mark.parametrize("attack", ["alter", "delete"])
def test_a_ledger_that_was_altered_gives_no_bundle(attack: str, tally: Tally, tmp_path: Path) -> None:
    with Attacker(tally.database.admin_url) as attacker:
        if attack == "alter":
            attacker.alter("transactions", "M1", 2, "mass_mg", "1")
        else:
            attacker.run("DELETE FROM transactions WHERE machine_id = 'M1' AND seq = 2")
    code, out, err = tally(tmp_path / "b.zip", "--no-report")
    assert (code, out) == (2, "")
    assert "transactions M1 row 2" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "b.zip").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"log", "policy"}


def test_what_cannot_be_bundled_says_so_in_one_line(tally: Tally, tmp_path: Path) -> None:
    cases = [
        (tally(tmp_path / "b.zip", start="2026-03-02", end="2026-03-01"), "period"),
        (tally(tmp_path / "b.zip", "--no-report", end="9999-12-31"), "the years 1 to 9999"),
        (tally(tmp_path / "b.zip", "--site", "nowhere", "--no-report"), "nowhere"),
        (tally(tmp_path / "none" / "b.zip", "--no-report"), "name a file to make"),
        (tally(tmp_path / "b.zip", "--no-report", "--log", str(tmp_path / "no-log")), "no checkpoint"),
        (tally(tmp_path / "b.zip", "--no-report", "--policy", str(tmp_path / "no-policy")), "no-policy"),
    ]
    for (code, out, err), said in cases:
        assert (code, out) == (2, ""), err
        assert said in err
        assert err.count("\n") == 1
    tally.policy.write_text("nothing of the kind\n")
    code, _, err = tally(tmp_path / "b.zip", "--no-report")
    assert code == 2
    assert "policy, line 1" in err
    tally.policy.write_text(policy_text(*WITNESSES, quorum=2))
    quiet = {"start": "2026-03-05", "end": "2026-03-06"}
    code, _, err = tally(tmp_path / "b.zip", "--no-verify", **quiet)
    assert code == 2
    assert "--no-report leaves the report out" in err
    assert not (tmp_path / "b.zip").exists()


def test_a_ledger_that_was_never_sealed_gives_no_bundle(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = Tally(database, tmp_path, capsys)(tmp_path / "b.zip", "--no-report")
    assert code == 2
    assert "nothing is sealed yet" in err
