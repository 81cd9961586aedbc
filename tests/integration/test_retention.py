"""Old chunks go when they are sealed, witnessed and exported; what remains verifies; a theft is seen."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from rich.console import Console

import audit.retention.exported
import audit.scope
import audit.verify
from audit.against import Against, Verdict, hold_against
from audit.anchors import collect
from audit.breaks import BreakKind
from audit.bundle.build import Contents, bundle
from audit.errors import NothingSelected
from audit.esg.factors import AvoidedFactors, built_in
from audit.reconcile.build import Asker
from audit.reconcile.parameters import Parameters
from audit.reconcile.run import reconcile_ledger
from audit.report import Report
from audit.retention.declared import CHAIN, EVENT, RunsDigest, check_period
from audit.retention.dropping import attributes_of, drop
from audit.retention.errors import BundleUnusable, DropRefused, RowsDropped
from audit.retention.planning import Plan, check_intact, plan, witnessed_head
from audit.sealing.log_files import WITNESSED, LogFiles
from audit.text import report_text
from audit.twin import verify_twin
from audit.verify import verify
from ledger.canonical import canonical_json
from ledger.cosignatures import cosign
from ledger.notes import Note
from ledger.rows import Value
from ledger.streams import STREAMS
from store.errors import StoreError
from store.reader import LedgerReader
from store.retention import ChunkChanged, DroppedRun, RetentionStore, all_runs
from store.seals import SealStore
from tally.cli import main
from tally.testing import Cluster, Database
from tests.conftest import StartCollector
from tests.ledger_attacker import Attacker, found
from tests.ledger_writer import LedgerWriter, sample
from tests.sealing import WITNESSES, policy_text, seal_now

OLD: Final = datetime(2026, 3, 5, tzinfo=UTC)
"""A chunk's first moment: TimescaleDB counts weeks from a Monday in 2000, and so from a Thursday in 2026."""
WEEK: Final = timedelta(days=7)
BEFORE: Final = OLD + 2 * WEEK
LATER: Final = datetime(2026, 6, 1, tzinfo=UTC)


class Ledger:
    """A ledger over some weeks, its log, and what is done to both."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.url = database.owner_url
        self.folder = folder
        self.log = LogFiles(folder / "log")
        self.policy = folder / "policy"
        self.policy.write_text(policy_text(*WITNESSES[:2], quorum=2))
        self.writer = LedgerWriter(database.admin_url)
        self.recorded_at = LATER

    def fill(self, stream: str, chain: str, moments: Iterable[datetime]) -> None:
        rows: list[dict[str, Value]] = []
        for moment in moments:
            first = self.writer.head(stream, chain)[0] + len(rows) + 1
            rows.append(sample(STREAMS[stream], chain, first) | {"event_time": moment})
        self.writer.append(stream, rows)

    def week(self, number: int, stream: str, chain: str, rows: int = 5) -> None:
        self.fill(stream, chain, (OLD + number * WEEK + timedelta(minutes=n) for n in range(rows)))

    def seal(self, *, witnessed: bool = True) -> None:
        done = seal_now(self.database, self.log.folder)
        assert done.note is not None
        if witnessed:
            text = done.note.text
            lines = tuple(cosign(text, key, 1_900_000_000) for key in WITNESSES[:2])
            self.log.put_note(Note(text, done.note.signatures + lines), WITNESSED)

    @property
    def whole(self) -> Path:
        """The bundle of everything."""
        return self.folder / "all.zip"

    def bundle(
        self, name: str = "all.zip", sites: tuple[str, ...] = (), start: datetime = OLD - WEEK
    ) -> Path:
        contents = contents_of(self, sites, start)
        place = self.folder / name
        bundle(self.database.audit_url, self.log.folder, place, contents)
        return place

    def plan(self, *bundles: Path, before: datetime = BEFORE, policy: bool = True) -> Plan:
        return plan(self.url, self.log, before, bundles, self.policy if policy else None)

    def sealed_at(self) -> datetime:
        """A moment after the last batch but one, and not after the last."""
        with SealStore(self.database.audit_url) as store:
            last = store.last()
        assert last is not None
        return last.batch.sealed_at

    def record(self, name: str, attributes: Any) -> None:
        """As the collector keeps such an event."""
        seq = self.writer.head("events", CHAIN)[0] + 1
        values: dict[str, Value] = sample(STREAMS["events"], CHAIN, seq)
        values |= {
            "event_name": name,
            "event_time": self.recorded_at,
            "attributes": canonical_json(attributes).decode(),
        }
        self.writer.append("events", [values])

    def drop(self, *bundles: Path, before: datetime = BEFORE) -> Plan:
        made = self.plan(*bundles, before=before)
        anchor, _ = witnessed_head(self.log, self.policy)
        check_intact(self.url, self.log, anchor)
        drop(self.url, made, "anna", "a year is over", self.record)
        return made

    def verify(self, processes: int = 1, **scope: Any) -> Report:
        return verify(self.database.audit_url, processes=processes, **scope)

    def against(self, log: LogFiles | None = None) -> Against:
        return hold_against(self.database.audit_url, collect([self.policy], self.log), log or self.log)

    def runs(self) -> list[DroppedRun]:
        with LedgerReader(self.database.audit_url) as reader:
            return list(all_runs(reader))

    def count(self, stream: str) -> int:
        with psycopg.connect(self.database.admin_url) as connection:
            row = connection.execute(f"SELECT count(*) FROM {stream}".encode()).fetchone()
        assert row is not None
        return int(row[0])

    def copy(self, cluster: Cluster, folder: Path) -> Ledger:
        """The same in another database and folder."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        made = Ledger(cluster.create(self.database.name), folder)
        made.writer._heads |= self.writer._heads
        return made


def contents_of(ledger: Ledger, sites: tuple[str, ...], start: datetime) -> Contents:
    return Contents(
        start=start,
        end=start + 40 * WEEK,
        sites=sites,
        policy=ledger.policy.read_bytes(),
        texts={"claims": "SELECT 1\n"},
        factors={},
        report={},
    )


@pytest.fixture(scope="module")
def sealed(cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Machines a and b over five weeks; c in the first alone; all of it sealed, witnessed and in all.zip."""
    made = Ledger(cluster.create(template), tmp_path_factory.mktemp("sealed"))
    for number in range(5):
        made.week(number, "telemetry", "a")
        made.week(number, "transactions", "b", 3)
    made.week(0, "transactions", "c", 4)
    made.week(1, "governance", "model", 2)
    made.week(0, "events", "e", 2)
    made.seal()
    made.bundle()
    yield made
    cluster.drop(made.database.name)


@pytest.fixture(scope="module")
def after_drop(
    cluster: Cluster, sealed: Ledger, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ledger, Plan]]:
    """The same, after the first two weeks were dropped; for tests that change nothing."""
    made = sealed.copy(cluster, tmp_path_factory.mktemp("dropped"))
    yield made, made.drop(made.whole)
    cluster.drop(made.database.name)


@pytest.fixture
def ledger(cluster: Cluster, sealed: Ledger, tmp_path: Path) -> Iterator[Ledger]:
    made = sealed.copy(cluster, tmp_path)
    yield made
    cluster.drop(made.database.name)


@pytest.fixture
def dropped(cluster: Cluster, after_drop: tuple[Ledger, Plan], tmp_path: Path) -> Iterator[Ledger]:
    made = after_drop[0].copy(cluster, tmp_path)
    yield made
    cluster.drop(made.database.name)


@pytest.fixture
def whole(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle of everything, which another test saw pass its own verifier."""
    monkeypatch.setattr(audit.retention.exported, "_verify", lambda _path, _policy: None)
    return ledger.whole


def rendered(report: Report) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    with console.capture() as capture:
        console.print(report_text(report))
    return capture.get()


def titles(made: Plan) -> list[str]:
    return [one.chunk.title for one in made.going]


def test_old_chunks_go_and_what_remains_verifies(
    sealed: Ledger, after_drop: tuple[Ledger, Plan], dropped: Ledger
) -> None:
    made = after_drop[1]
    assert titles(made) == [
        "telemetry 2026-03-05T00:00:00Z/2026-03-12T00:00:00Z",
        "telemetry 2026-03-12T00:00:00Z/2026-03-19T00:00:00Z",
        "transactions 2026-03-05T00:00:00Z/2026-03-12T00:00:00Z",
        "transactions 2026-03-12T00:00:00Z/2026-03-19T00:00:00Z",
        "events 2026-03-05T00:00:00Z/2026-03-12T00:00:00Z",
    ]
    assert (made.rows, made.kept) == (10 + 6 + 4 + 2, ())
    counts = [dropped.count(stream) for stream in ("telemetry", "transactions", "events", "governance")]
    assert counts == [15, 9, 1, 2], "the governance of models stays"
    before, report = sealed.verify(), dropped.verify()
    assert report.ok, report.breaks
    assert report.rows == before.rows - made.rows + 1
    assert report.chains == before.chains + 1, "a chain whose rows are all dropped is one all the same"
    (said,) = report.drops
    assert dict(said.rows) == {"events": 2, "telemetry": 10, "transactions": 10}
    assert (said.event_seq, said.actor, said.bundles) == (1, "anna", made.bundles)
    assert any("22 rows were dropped" in sentence for sentence in report.leaves_open)
    assert report.to_json()["dropped"] == 22
    assert dropped.against().ok
    dropped.seal()
    assert dropped.against().ok, "the event is sealed as any row"
    assert verify_twin(dropped.database.audit_url).ok
    assert dropped.verify(machine="c").ok
    assert dropped.verify(streams=["telemetry"], since=OLD + 3 * WEEK).ok


def test_a_second_drop_follows_the_first(dropped: Ledger, whole: Path) -> None:
    dropped.seal()
    made = dropped.plan(whole, before=BEFORE + 2 * WEEK)
    assert (made.number, made.kept) == (2, ())
    drop(dropped.url, made, "anna", "again", dropped.record)
    report = dropped.verify()
    assert report.ok, report.breaks
    assert [one.number for one in report.drops] == [1, 2]
    assert (dropped.count("telemetry"), dropped.count("transactions")) == (5, 3)
    assert dropped.against().ok
    assert verify_twin(dropped.database.audit_url).ok
    dropped.week(9, "telemetry", "a")
    dropped.week(0, "telemetry", "a")
    assert dropped.verify().ok, "chains go on, and rows may come late"


def test_an_event_that_is_dropped_itself_is_covered_by_a_later_one(ledger: Ledger, whole: Path) -> None:
    ledger.recorded_at = OLD + 3 * WEEK
    ledger.drop(whole, before=OLD + WEEK)
    ledger.seal()
    second = ledger.folder / "second.zip"
    start = ledger.sealed_at()
    ledger.bundle(second.name, start=start)
    ledger.recorded_at = LATER
    made = ledger.plan(whole, second, before=OLD + 4 * WEEK)
    assert "events 2026-03-26T00:00:00Z/2026-04-02T00:00:00Z" in titles(made)
    drop(ledger.url, made, "anna", "again", ledger.record)
    report = ledger.verify()
    assert report.ok, report.breaks
    assert [one.event_seq for one in report.drops] == [None, 2]
    assert "covers it" in rendered(report)


# --- what stays ---


def reasons(made: Plan) -> str:
    assert not made.going
    return " ".join(why for one in made.kept for why in one.reasons)


def test_rows_that_are_not_exported_stay(ledger: Ledger) -> None:
    assert "are not all in a bundle" in reasons(ledger.plan())
    some = ledger.plan(ledger.bundle("some.zip", sites=("site_id 1",)))
    assert {one.chunk.stream for one in some.kept} == {"telemetry"}, "a is at no site"
    drop(ledger.url, some, "anna", "why", ledger.record)
    assert ledger.verify().ok


def test_rows_that_are_not_sealed_or_not_witnessed_stay(ledger: Ledger, whole: Path) -> None:
    ledger.fill("telemetry", "a", [OLD + timedelta(hours=5)])
    made = ledger.plan(whole)
    assert [one.chunk.title for one in made.kept] == ["telemetry 2026-03-05T00:00:00Z/2026-03-12T00:00:00Z"]
    assert made.kept[0].reasons == ("rows a 26 to 26 are not all sealed",)
    ledger.seal(witnessed=False)
    (kept,) = ledger.plan(whole).kept
    assert "rows a 26 to 26 are not all under the witnessed checkpoint" in kept.reasons[0]
    ledger.seal()
    (kept,) = ledger.plan(whole).kept
    assert "rows a 26 to 26 are not all in a bundle" in kept.reasons[0]
    drop(ledger.url, ledger.plan(whole), "anna", "why", ledger.record)
    assert ledger.verify().ok


def test_without_a_witnessed_head_nothing_goes(database: Database, tmp_path: Path) -> None:
    ledger = Ledger(database, tmp_path)
    ledger.week(0, "events", "a")
    ledger.seal(witnessed=False)
    with pytest.raises(DropRefused, match="no witnessed checkpoint"):
        ledger.plan()
    note = ledger.log.note()
    assert note is not None
    ledger.log.put_note(note, WITNESSED)
    with pytest.raises(DropRefused, match="not witnessed as the policy asks"):
        ledger.plan()
    assert ledger.plan(policy=False).kept, "the name alone is believed only without a policy"


def test_a_bundle_that_was_damaged_or_is_of_another_ledger_does_not_count(
    ledger: Ledger, make_database: Callable[[], Database], tmp_path: Path
) -> None:
    content = bytearray(ledger.whole.read_bytes())
    content[len(content) // 3] ^= 1
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(content)
    with pytest.raises(BundleUnusable, match="does not verify"):
        ledger.plan(damaged)
    (tmp_path / "other").mkdir()
    other = Ledger(make_database(), tmp_path / "other")
    other.week(0, "telemetry", "a")
    other.seal()
    with pytest.raises(BundleUnusable, match="no bundle of this ledger"):
        ledger.plan(other.bundle())
    for missing in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(BundleUnusable):
            ledger.plan(missing)


def rewritten(ledger: Ledger) -> None:
    with Attacker(ledger.database.admin_url) as attacker:
        attacker.alter("transactions", "b", 2, "mass_mg", "mass_mg * 3")
        attacker.rechain("transactions", "b")


def altered(ledger: Ledger) -> None:
    with Attacker(ledger.database.admin_url) as attacker:
        attacker.alter("transactions", "b", 2, "mass_mg", "mass_mg * 3")


@pytest.mark.parametrize(("attack", "why"), [(rewritten, "not those that were sealed"), (altered, "broken")])
def test_nothing_goes_from_a_ledger_that_was_tampered_with(
    attack: Callable[[Ledger], None], why: str, ledger: Ledger, whole: Path
) -> None:
    attack(ledger)
    with pytest.raises(DropRefused, match=why):
        ledger.drop(whole)
    assert ledger.count("transactions") == 19


def test_services_can_not_drop(ledger: Ledger, whole: Path) -> None:
    made = ledger.plan(whole)
    ledger.record(EVENT, attributes_of(made, "anna", "why"))
    for url in (ledger.database.audit_url, ledger.database.sealer_url, ledger.database.collector_url):
        with pytest.raises(StoreError):
            drop(url, made, "anna", "why", ledger.record)
    assert ledger.count("telemetry") == 25


# --- crashes and races ---


def test_a_crash_after_the_event_is_finished_by_the_same_command(ledger: Ledger, whole: Path) -> None:
    made = ledger.plan(whole)
    ledger.record(EVENT, attributes_of(made, "anna", "why"))
    assert ledger.verify().ok, "declared, and still there"
    assert ledger.count("telemetry") == 25
    ledger.drop(whole)
    assert ledger.count("telemetry") == 15
    report = ledger.verify()
    assert report.ok
    assert [one.event_seq for one in report.drops] == [1], "the event is not recorded twice"


def test_a_drop_that_is_not_in_this_ledger_does_not_happen(ledger: Ledger, whole: Path) -> None:
    made = ledger.plan(whole)
    with pytest.raises(ChunkChanged, match="another database"):
        drop(ledger.url, made, "anna", "why", lambda _name, _attributes: None)
    assert ledger.runs() == []
    assert ledger.count("telemetry") == 25


def test_a_row_that_comes_after_the_plan_stops_the_drop(ledger: Ledger, whole: Path) -> None:
    made = ledger.plan(whole)
    ledger.fill("events", "e", [OLD + timedelta(days=1)])
    with pytest.raises(ChunkChanged, match="other rows"):
        drop(ledger.url, made, "anna", "why", ledger.record)
    assert ledger.runs() == []
    assert (ledger.count("telemetry"), ledger.count("events")) == (25, 4)
    assert ledger.verify().ok


def test_a_drop_that_fails_at_its_last_chunk_drops_none(
    ledger: Ledger, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ledger.plan(whole)
    real = RetentionStore._rows

    def failing(self: RetentionStore, statement: Any, values: Any, **options: Any) -> Any:
        if values.get("stream") == "events" and "range_end" in values:
            raise StoreError("the connection broke")
        return real(self, statement, values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(RetentionStore, "_rows", failing)
        with pytest.raises(StoreError, match="broke"):
            drop(ledger.url, made, "anna", "why", ledger.record)
    assert (ledger.runs(), ledger.count("telemetry")) == ([], 25)
    drop(ledger.url, ledger.plan(whole), "anna", "why", ledger.record)
    assert ledger.verify().ok


# --- clocks, long chains ---


def test_a_row_whose_clock_was_wrong_lies_in_another_chunk(database: Database, tmp_path: Path) -> None:
    ledger = Ledger(database, tmp_path)
    in_week = [OLD + timedelta(minutes=n) for n in range(10)]
    in_week[4] = OLD + 5 * WEEK  # row 5 of the old ones lies in a young chunk
    ledger.fill("telemetry", "a", in_week)
    young = [OLD + 5 * WEEK + timedelta(minutes=n) for n in range(1, 10)]
    young[3] = OLD + timedelta(days=2)  # row 14 of the young ones in the old chunk
    ledger.fill("telemetry", "a", young)
    ledger.seal()
    ledger.drop(ledger.bundle())
    assert [(run.first_seq, run.last_seq) for run in ledger.runs()] == [(1, 4), (6, 10), (14, 14)]
    assert ledger.verify().ok
    assert ledger.against().ok
    assert verify_twin(database.audit_url).ok
    with Attacker(database.admin_url) as attacker:
        attacker.alter("telemetry", "a", 5, "value", "value + 1")
    assert found(ledger.verify()) == [(BreakKind.VALUE_ALTERED, "telemetry", "a", 5, 5)]


@pytest.mark.parametrize("old", [450, 1_000])
def test_stretches_may_begin_and_end_inside_of_what_was_dropped(
    old: int, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SMALLEST", "LARGEST"):
        monkeypatch.setattr(audit.scope, name, 150)
    monkeypatch.setattr(audit.verify, "_ALONE", 0)
    monkeypatch.setattr(audit.retention.exported, "_verify", lambda _path, _policy: None)
    ledger = Ledger(database, tmp_path)
    moments = [OLD + timedelta(seconds=n) for n in range(old)]
    ledger.fill("reviews", "a", moments + [OLD + 4 * WEEK] * (1_000 - old))
    ledger.week(4, "reviews", "b", 20)
    ledger.seal()
    ledger.drop(ledger.bundle())
    assert ledger.count("reviews") == 1_020 - old
    assert ledger.verify(machine="a").ok
    assert ledger.against().ok
    with Attacker(database.admin_url) as attacker:
        for processes in (1, 2):
            report = ledger.verify(processes)
            assert report.ok, report.breaks
            assert report.chains == 3
        if old < 1_000:
            attacker.run(f"DELETE FROM reviews WHERE machine_id = 'a' AND seq BETWEEN {old + 1} AND 700")
            assert found(ledger.verify()) == [(BreakKind.ROW_MISSING, "reviews", "a", old + 1, 700)]
            assert not ledger.against().ok


# --- attackers ---


class Thief(Attacker):
    """Deletes the first rows of b and says that they were dropped."""

    def steal(self) -> DroppedRun:
        ((stored,),) = self.rows("SELECT row_hash FROM transactions WHERE machine_id = 'b' AND seq = 4")
        assert isinstance(stored, bytes)
        self.run("DELETE FROM transactions WHERE machine_id = 'b' AND seq BETWEEN 2 AND 4")
        run = DroppedRun(1, "transactions", "b", 2, 4, stored)
        self.run("INSERT INTO dropped_runs VALUES (%s, %s, %s, %s, %s, %s)", run)
        return run


def declare(ledger: Ledger, run: DroppedRun) -> None:
    digest = RunsDigest()
    digest.add([run])
    ledger.record(EVENT, {"retention.drop": run.drop_number, "retention.runs_digest": digest.hex()})


def test_rows_that_are_only_said_to_be_dropped_are_missing(ledger: Ledger) -> None:
    with Thief(ledger.database.admin_url) as thief:
        run = thief.steal()
    assert set(found(ledger.verify())) == {
        (BreakKind.ROW_MISSING, "transactions", "b", 2, 4),
        (BreakKind.DROP_UNDECLARED, "transactions", "b", None, None),
    }
    assert ledger.against().held[0].verdict is Verdict.CONTRADICTED
    declare(ledger, run)
    report = ledger.verify()
    assert report.ok, "the ledger itself says so now, for everybody to see"
    (said,) = report.drops
    assert (said.rows, said.event_seq, said.bundles) == ((("transactions", 3),), 1, ())
    assert any("3 rows were dropped" in sentence for sentence in report.leaves_open)
    assert ledger.against().ok, "rows that were dropped unexported were sealed all the same"


def test_a_later_theft_does_not_undo_an_earlier_drop(ledger: Ledger, whole: Path) -> None:
    made = ledger.plan(whole, before=OLD + WEEK)
    drop(ledger.url, made, "anna", "why", ledger.record)
    with Attacker(ledger.database.admin_url) as attacker:
        attacker.run("DELETE FROM telemetry WHERE machine_id = 'a' AND seq BETWEEN 8 AND 9")
        attacker.run("INSERT INTO dropped_runs VALUES (2, 'telemetry', 'a', 8, 9, sha256('x'))")
    assert set(found(ledger.verify())) == {
        (BreakKind.ROW_MISSING, "telemetry", "a", 8, 9),
        (BreakKind.DROP_UNDECLARED, "telemetry", "a", None, None),
    }
    with pytest.raises(DropRefused, match="no event of the ledger declares"):
        ledger.plan()


def test_a_wrong_hash_of_what_was_dropped_contradicts_the_log(ledger: Ledger) -> None:
    """All rows are deleted and the rest is chained anew to a hash of the thief's, event included."""
    with Thief(ledger.database.admin_url) as thief:
        thief.run("DELETE FROM transactions WHERE machine_id = 'c'")
        thief.run(
            "UPDATE chain_heads SET row_hash = sha256('x') WHERE stream = 'transactions' AND chain = 'c'"
        )
        ((forged,),) = thief.rows("SELECT sha256('x')")
        assert isinstance(forged, bytes)
        run = DroppedRun(1, "transactions", "c", 1, 4, forged)
        thief.run("INSERT INTO dropped_runs VALUES (%s, %s, %s, %s, %s, %s)", run)
    declare(ledger, run)
    assert ledger.verify().ok, "chains alone see nothing"
    (held,) = ledger.against().held
    assert held.verdict is Verdict.CONTRADICTED
    assert "is not the published one" in held.detail


def test_the_published_log_is_needed_for_dropped_rows_and_is_not_believed_blindly(
    dropped: Ledger, tmp_path: Path
) -> None:
    assert dropped.against().ok
    result = hold_against(dropped.database.audit_url, collect([dropped.policy], dropped.log), None)
    assert "only the published log (--log) has their entries" in result.held[0].detail
    empty = dropped.against(LogFiles(tmp_path / "empty"))
    assert "no published log" in empty.held[0].detail
    (path,) = (dropped.log.folder / "tile" / "entries").rglob("000.p/*")
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    assert not dropped.against().ok


@pytest.mark.parametrize(
    ("statement", "kind", "chain"),
    [
        ("UPDATE dropped_runs SET last_seq = 9 WHERE chain = 'a' AND first_seq = 6", "drop undeclared", "e"),
        ("UPDATE dropped_runs SET last_hash = sha256('x')", "drop undeclared", "e"),
        ("DELETE FROM dropped_runs WHERE chain = 'c'", "drop undeclared", "e"),
        ("DELETE FROM dropped_runs", "row missing", "a"),
        ("UPDATE dropped_runs SET chain = 'd' WHERE chain = 'c'", "drop undeclared", "e"),
        ("DELETE FROM chain_heads WHERE chain = 'c'", "head missing", "c"),
        ("UPDATE chain_heads SET seq = 2 WHERE chain = 'c'", "head altered", "c"),
        ("UPDATE chain_heads SET seq = 9 WHERE chain = 'c'", "head altered", "c"),
        ("UPDATE chain_heads SET row_hash = sha256('x') WHERE chain = 'c'", "head altered", "c"),
        ("UPDATE telemetry SET value = 7 WHERE seq = 11", "value altered", "a"),
        ("DELETE FROM telemetry WHERE seq = 11", "row missing", "a"),
        ("DELETE FROM events", "drop undeclared", "e"),
        ("ALTER TABLE dropped_runs DISABLE TRIGGER append_only", "schema altered", ""),
    ],
)
def test_what_is_done_to_a_ledger_after_a_drop_is_seen(
    statement: str, kind: str, chain: str, after_drop: tuple[Ledger, Plan]
) -> None:
    ledger, _ = after_drop
    table = next(word for word in statement.split() if word in {*Attacker.TABLES, "dropped_runs"})
    with Attacker(ledger.database.admin_url) as attacker:
        attacker.run("CREATE TEMPORARY TABLE kept_dropped_runs AS SELECT * FROM dropped_runs")
        attacker.run(statement)
        try:
            report = ledger.verify()
        finally:
            attacker.run("ALTER TABLE dropped_runs ENABLE TRIGGER append_only")
            attacker.restore(table)
    assert (kind, chain) in {(str(one.kind), one.chain) for one in report.breaks}
    assert ledger.verify().ok, "put back"


def test_rows_that_are_declared_and_still_there_are_verified(ledger: Ledger, whole: Path) -> None:
    made = ledger.plan(whole)
    ledger.record(EVENT, attributes_of(made, "anna", "why"))
    with Attacker(ledger.database.admin_url) as attacker:
        for run in made.runs:
            attacker.run("INSERT INTO dropped_runs VALUES (%s, %s, %s, %s, %s, %s)", run)
        assert ledger.verify().ok
        attacker.alter("telemetry", "a", 3, "value", "value + 1")
    assert found(ledger.verify()) == [(BreakKind.VALUE_ALTERED, "telemetry", "a", 3, 3)]


# --- asking for what is gone ---


def test_a_period_whose_rows_were_dropped_is_named_with_its_bundle(
    after_drop: tuple[Ledger, Plan], tmp_path: Path
) -> None:
    ledger, made = after_drop
    url = ledger.database.audit_url
    with LedgerReader(url) as reader:
        with pytest.raises(RowsDropped, match=rf"from 2026-03-05 to 2026-03-12 .* {made.bundles[0]}"):
            check_period(reader, ["telemetry"], OLD, OLD + timedelta(days=1))
        check_period(reader, ["telemetry"], BEFORE, BEFORE + WEEK)
        check_period(reader, ["reviews"], OLD, OLD + WEEK)
    with pytest.raises(RowsDropped, match="were dropped on 2026-06-01"):
        ledger.verify(since=OLD, until=OLD + WEEK)
    with pytest.raises(NothingSelected):
        ledger.verify(since=OLD - 9 * WEEK, until=OLD - 8 * WEEK)
    asker = Asker("operator", "boundary", AvoidedFactors(built_in().for_period("epa-warm", OLD, OLD + WEEK)))
    with pytest.raises(RowsDropped, match="were dropped on 2026-06-01"):
        reconcile_ledger(url, Parameters(start=OLD, end=OLD + WEEK), asker)
    contents = contents_of(ledger, (), OLD)
    with pytest.raises(RowsDropped, match=r"rows 1 to 2 of events e were dropped on 2026-06-01; .* bundle"):
        bundle(url, ledger.log.folder, tmp_path / "again.zip", contents)
    assert list(tmp_path.iterdir()) == []


# --- as typed ---


def test_plan_and_drop_as_commands(
    ledger: Ledger,
    collector: StartCollector,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TALLY_COLLECTOR_HTTP_PORT", str(collector(ledger.database).http_port))
    common = ["--before", "2026-03-19", "--log", str(ledger.log.folder), "--policy", str(ledger.policy)]
    common += ["--url", ledger.database.owner_url]
    assert main(["retention", "plan", *common]) == 1
    assert "are not all in a bundle that was given" in capsys.readouterr().out
    common += ["--bundle", str(ledger.bundle())]
    assert main(["retention", "plan", *common]) == 0
    assert "10 rows" in capsys.readouterr().out or ledger.count("telemetry") == 25
    assert main(["retention", "drop", *common, "--reason", "old", "--actor", "anna", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 22
    assert ledger.count("telemetry") == 15
    assert main(["verify", "--url", ledger.database.audit_url]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Drop 1: 22 rows" in said
    assert "dropped by anna" in said
    assert main(["retention", "drop", *common, "--reason", "old"]) == 0
    assert "No chunk lies wholly before" in capsys.readouterr().out
