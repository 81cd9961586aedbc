"""The commands of reconciliation (report, explain, correct, export, sample) on a real ledger, as typed."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import psycopg
import pytest

from audit.reporting.as_json import parse, report_digest
from generator import api
from tally.cli import main
from tally.testing import Cluster, CollectorProcess, Database

PERIOD: Final = ("--from", "2026-01-05", "--to", "2026-01-06")


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger with a small fleet's day in it, every kind of fault included."""

    database: Database
    collector: CollectorProcess


@pytest.fixture(scope="module")
def ledger(cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Filled once; tests that change it copy the database."""
    folder = tmp_path_factory.mktemp("ledger")
    database = cluster.create(template)
    collector = CollectorProcess(database, folder).start()
    spec = api.FleetSpec(
        seed=11,
        machines=4,
        sites=2,
        duration_s=86_400,
        step_s=300,
        window_s=600,
        deposits_per_day=200,
        at_least=1,
    )
    target = api.Target(grpc_port=collector.grpc_port, http_port=collector.http_port)
    assert api.backfill(spec, target, folder / "manifest.jsonl").good
    yield Ledger(database, collector)
    collector.stop()
    cluster.drop(database.name)


@pytest.fixture
def tally(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tally:
    """Runs a command line on that ledger."""
    monkeypatch.setenv("TALLY_COLLECTOR_HTTP_PORT", str(ledger.collector.http_port))
    return Tally(ledger.database.audit_url, capsys)


class Tally:
    """``tally(...)`` gives exit code, standard output and standard error."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._url = url
        self._capsys = capsys

    def __call__(self, *arguments: str, url: bool = True) -> tuple[int, str, str]:
        self._capsys.readouterr()
        status = main([*arguments, *(("--url", self._url) if url else ())])
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def json(self, *arguments: str, url: bool = True) -> dict[str, Any]:
        """What it prints with --json; it must have run."""
        status, out, err = self(*arguments, "--json", url=url)
        assert status in {0, 1}, err
        answer: dict[str, Any] = json.loads(out)
        return answer


def refused(done: tuple[int, str, str], *words: str) -> None:
    """Exit code 2, nothing on standard output, and one line that names what is wrong."""
    status, out, err = done
    assert (status, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert word in err


def test_a_report_is_written_whole_its_digest_is_a_row_and_a_second_run_gives_the_same_bytes(
    tally: Tally, ledger: Ledger, tmp_path: Path
) -> None:
    done = tally.json("report", *PERIOD, "-o", str(tmp_path / "one"))
    folder = tmp_path / "one"
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    assert {"report.json", "report.html", "report.pdf", "report.xlsx"} <= set(sums)
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert done["digest"] == sums["report.json"]
    with psycopg.connect(ledger.database.audit_url) as connection:
        rows = connection.execute(
            "SELECT attributes ->> 'report.digest' FROM events WHERE event_name = 'audit.report'"
        ).fetchall()
    assert (done["digest"],) in rows
    again = tally.json("report", *PERIOD, "-o", str(tmp_path / "two"), "--no-record")
    assert again["files"] == done["files"]


def test_from_the_export_alone_comes_the_same_report_and_plain_duckdb_counts_the_same(
    tally: Tally, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tally.json("report", *PERIOD, "-o", str(tmp_path / "report"), "--no-record")
    done = tally.json("export", *PERIOD, "-o", str(tmp_path / "export"))
    assert sum(done["rows"].values()) > 1000
    again = tally.json(
        "report", "--export", str(tmp_path / "export"), "-o", str(tmp_path / "again"), url=False
    )
    assert again["files"] == first["files"]
    report = json.loads((tmp_path / "report" / "report.json").read_bytes())
    monkeypatch.chdir(tmp_path / "export")
    with duckdb.connect() as alone:
        for statement in duckdb.extract_statements((tmp_path / "export" / "reconcile.sql").read_text()):
            alone.execute(statement)
        counted = dict(
            alone.execute(
                "SELECT class, count(*) FROM exceptions WHERE class <> 'matched' GROUP BY class"
            ).fetchall()
        )
        matched = alone.execute("SELECT sum(deposits) FROM matched").fetchone()
        lost = alone.execute("SELECT sum(lost) FROM gaps").fetchone()
    said = {one["name"]: one["count"] for one in report["by_class"]}
    problems = next(one["exceptions"] for one in report["invariants"] if one["name"] == "mass_plausible")
    assert matched is not None
    assert lost is not None
    assert counted | {"matched": matched[0] + problems, "lost": lost[0]} == {
        k: v for k, v in said.items() if v
    }


def test_every_reference_of_a_report_can_be_explained(tally: Tally, tmp_path: Path) -> None:
    tally.json("report", *PERIOD, "-o", str(tmp_path / "report"), "--no-record")
    report = json.loads((tmp_path / "report" / "report.json").read_bytes())
    asked = [report["totals"][number]["figure"]["mass"]["ref"] for number in range(7)]
    asked += [report["by_material"][0]["overstated"]["co2e"]["ref"], report["by_class"][1]["ref"]]
    asked += [rule["ref"] for rule in report["invariants"]][:4]
    asked += list({finding["name"]: finding["ref"] for finding in report["findings"]}.values())
    for ref in asked:
        found = tally.json("explain", ref, "--report", str(tmp_path / "report"))
        assert found["ref"] == ref
        assert found["lines"]
        assert not found["evidence_changed"]
    rows = tally.json("explain", "mass.reported.pet", "-r", str(tmp_path / "report"), "--limit", "3")
    line = next(one for one in report["by_material"] if one["material"] == "pet")
    assert rows["total"] == line["deposits"]
    assert f"{line['reported']['mass']['mg']} mg" in rows["lines"][-1]
    refused(tally("explain", "mass.nonsense", "-r", str(tmp_path / "report")), "mass.nonsense")


def test_a_correction_is_a_row_beside_the_one_it_corrects_and_the_restatement_says_so(
    tally: Tally, tmp_path: Path
) -> None:
    tally.json("report", *PERIOD, "-o", str(tmp_path / "before"), "--no-record")
    before = json.loads((tmp_path / "before" / "report.json").read_bytes())
    wrong = next(one for one in before["findings"] if one["name"] == "duplicate")
    place = wrong["positions"][0]
    tally.json(
        "correct", "--machine", place["chain"], "--seq", str(place["seq"]),
        "--mass-g", str(-wrong["mass_mg"] / 1000), "--reason", "sent twice", "--actor", "anna",
    )  # fmt: skip
    tally.json(
        "report",
        *PERIOD,
        "-o",
        str(tmp_path / "after"),
        "--restates",
        str(tmp_path / "before"),
        "--no-record",
    )
    after = json.loads((tmp_path / "after" / "report.json").read_bytes())
    (line,) = after["corrections"]
    assert (line["valid"], line["mass_delta_mg"], line["actor"]) == (True, -wrong["mass_mg"], "anna")
    was, now = ([one["figure"]["mass"]["mg"] for one in of["totals"]] for of in (before, after))
    # reported, corrections, overstated, supported
    mg = wrong["mass_mg"]
    assert [now[0], now[1], now[2], now[5]] == [was[0], -mg, was[2] - mg, was[5]]
    causes = {one["cause"]: one["mass_mg"] for one in after["restatement"]["lines"]}
    assert causes["corrections"] == -wrong["mass_mg"]
    assert sum(causes.values()) == 0
    earlier = parse((tmp_path / "before" / "report.json").read_bytes())
    assert after["restatement"]["earlier_digest"] == report_digest(earlier)
    refused(
        tally(
            "correct",
            "--machine",
            place["chain"],
            "--seq",
            "999999",
            "--mass-g",
            "1",
            "--reason",
            "x",
            "--actor",
            "y",
        ),
        "no such row",
    )
    refused(
        tally(
            "correct",
            "--machine",
            place["chain"],
            "--seq",
            "1",
            "--mass-g",
            "many",
            "--reason",
            "x",
            "--actor",
            "y",
        ),
        "many",
    )


def test_a_sample_is_drawn_from_the_ledgers_own_digest_and_can_be_drawn_again(
    tally: Tally, tmp_path: Path
) -> None:
    one = tally.json("sample", *PERIOD, "--method", "mus", "-o", str(tmp_path / "a.csv"))
    two = tally.json("sample", *PERIOD, "--method", "mus", "-o", str(tmp_path / "b.csv"))
    assert one["seed"] == two["seed"]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    other = tally.json(
        "sample", "--from", "2026-01-05", "--to", "2026-01-05T12:00:00", "-o", str(tmp_path / "c.csv")
    )
    assert other["seed"] != one["seed"]


def test_a_broken_ledger_is_reported_on_the_first_page_and_concludes_nothing(
    tally: Tally, ledger: Ledger, tmp_path: Path
) -> None:
    with psycopg.connect(ledger.database.admin_url, autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("UPDATE transactions SET mass_mg = mass_mg + 1 WHERE seq = 3")
        try:
            status, out, _ = tally("report", *PERIOD, "-o", str(tmp_path / "broken"), "--no-record")
        finally:
            superuser.execute("UPDATE transactions SET mass_mg = mass_mg - 1 WHERE seq = 3")
    assert status == 1
    assert "the ledger is broken" in out
    report = json.loads((tmp_path / "broken" / "report.json").read_bytes())
    assert report["conclusion"]["opinion"] == "no_conclusion"
    assert report["ledger"]["intact"] is False
    assert {one["kind"] for one in report["ledger"]["breaks"]} == {"value altered"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", "2026-01-06", "--to", "2026-01-05"), ("after",)),
        (("--from", "2026-01-05", "--to", "2026-01-05"), ("no time between",)),
        (("--from", "2026-01-05"), ("--to is missing",)),
        (("--from", "2020-01-05", "--to", "2020-01-06"), ("nothing is on record", "2020-01-05")),
        ((*PERIOD, "--site", "atlantis"), ("'atlantis'", "fleet-site-01")),
        ((*PERIOD, "--machine", "fleet-rvm-9999"), ("fleet-rvm-9999",)),
        ((*PERIOD, "--materiality", "lots"), ("--materiality", "lots")),
        ((*PERIOD, "--materiality", "1", "--performance-materiality", "2"), ("materiality",)),
        ((*PERIOD, "--factors", "nobody:1"), ("nobody",)),
        ((*PERIOD, "--factors", "desnz:2025"), ("material",)),
        ((*PERIOD, "--factors", "missing.csv"), ("missing.csv",)),
    ],
)
def test_what_can_not_be_reported_is_told_in_one_line_and_leaves_nothing(
    tally: Tally, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    target = tmp_path / "report"
    refused(tally("report", *options, "-o", str(target)), *words)
    assert list(tmp_path.iterdir()) == []


def test_overlapping_validity_of_two_sets_of_factors_is_refused(tally: Tally, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    packaged = Path(str(api.__file__)).parents[1] / "audit" / "esg" / "factor_sets" / "epa-warm-15.csv"
    own.write_text(packaged.read_text().replace("version: 15", "version: 15b"))
    refused(tally("reconcile", *PERIOD, "--factors", str(own)), "epa-warm", "15b")


def test_a_folder_that_can_not_be_written_or_is_not_empty_is_refused_before_the_work(
    tally: Tally, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    refused(tally("report", *PERIOD, "-o", str(tmp_path / "file" / "report")), "file")
    refused(tally("report", *PERIOD, "-o", "/proc/report"), "/proc")
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    refused(tally("report", *PERIOD, "-o", str(full)), "not empty")
    refused(tally("export", *PERIOD, "-o", str(full)), "already")
    assert (full / "mine.txt").read_text() == "mine"


def test_an_altered_export_is_refused_by_the_name_of_the_file(tally: Tally, tmp_path: Path) -> None:
    tally.json("export", *PERIOD, "-o", str(tmp_path / "export"))
    shutil.copytree(tmp_path / "export", tmp_path / "copy")
    file = tmp_path / "copy" / "sql" / "exceptions.sql"
    file.chmod(file.stat().st_mode | stat.S_IWUSR)
    file.write_text(file.read_text().replace("> q.late_us", "> 0"))
    refused(tally("reconcile", "--export", str(tmp_path / "copy"), url=False), "exceptions.sql", "altered")
