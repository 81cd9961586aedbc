"""The stand-alone verifier: what passes, and what of a rewritten or forged bundle does not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.bundle import build, verify
from audit.bundle.archive import write_archive
from audit.bundle.errors import BundleRefused, LedgerBroken
from audit.bundle.selection import Selection, select
from audit.proofs import ConsistencyProof
from audit.proofs import Head as TreeHead
from audit.relations import digest_of
from ledger.merkle import consistency_proof
from ledger.notes import ED25519, SigningKey
from ledger.rows import COPY_HEADER, COPY_TRAILER, split_copy
from ledger.streams import STREAMS
from ledger.tiles import subtrees_in_tiles
from tests.sealed_memory import END, POLICY, QUERIES, START, SealedMemory, small_ledger
from tests.sealing import KEY, WITNESSES, policy_text

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Verifies in this process: exit code and what was said."""

    def run(place: Path, *options: str) -> tuple[int, str]:
        capsys.readouterr()
        code = verify.main([str(place), *options])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SealedMemory, Path]:
    folder = tmp_path_factory.mktemp("bundle")
    ledger = small_ledger(folder / "log")
    ledger.bundle(folder / "b.zip")
    return ledger, folder / "b.zip"


@pytest.fixture
def bundle(made: tuple[SealedMemory, Path]) -> Path:
    return made[1]


@pytest.fixture
def unpacked(bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    return folder


def restate(folder: Path, **changes: Any) -> None:
    """Make the manifest agree with the files again, as a forger would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes()) | changes
    del manifest["digest"]
    manifest["members"] = {
        file.relative_to(folder).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != path
    }
    manifest["digest"] = hashlib.sha256(verify.canonical(manifest).encode()).hexdigest()
    text = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    path.write_bytes(text.encode())


def rewrite_rows(folder: Path, stream: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Other tuples in a COPY file, with their lengths; the CSV is left to the caller."""
    path = folder / f"rows/{stream}.copy"
    rows = change(list(split_copy(path.read_bytes())))
    path.write_bytes(b"".join([COPY_HEADER, *rows, COPY_TRAILER]))
    (folder / f"rows/{stream}.lengths").write_bytes(struct.pack(f">{len(rows)}I", *map(len, rows)))


def words(said: str) -> dict[int, str]:
    """The result of each step."""
    found: dict[int, str] = {}
    number = 0
    for line in said.splitlines():
        if line[:2].strip().isdigit() and line[2:3] == ".":
            number = int(line[:2])
        elif line.startswith("      ") and line.strip().startswith(("PASSED", "FAILED", "NOT CHECKED")):
            found.setdefault(number, line.strip().split("  ")[0])
    return found


# --- what passes ---


def test_the_streams_of_the_verifier_are_the_ledgers() -> None:
    assert list(verify.STREAMS) == list(STREAMS)
    for name, stream in STREAMS.items():
        ours = [(column.name, column.type, column.nullable) for column in stream.columns]
        assert verify.columns_of(name) == ours


def test_a_whole_bundle_passes_as_archive_and_as_folder(bundle: Path, unpacked: Path, check: Check) -> None:
    for place in (bundle, unpacked):
        code, said = check(place)
        assert code == 0, said
        assert set(words(said).values()) == {"PASSED"}
        assert len(words(said)) == 10
        assert "Compare these keys" in said
        assert said.splitlines()[-1] == (
            "PASSED: all 10 steps, by the keys in the bundle itself. Every row that all chains got from "
            "opening to closing is in it, unaltered: period 2026-03-01T00:00:00.000000Z to "
            "2026-03-02T00:00:00.000000Z, "
            "sites all, opening 2026-02-28T23:00:00.000000Z, closing 2026-03-04T08:00:00.000000Z."
        )


def test_the_same_ledger_gives_the_same_bytes(made: tuple[SealedMemory, Path], tmp_path: Path) -> None:
    ledger, place = made
    ledger.bundle(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == place.read_bytes()


def test_a_bundle_carried_to_an_empty_folder_proves_itself_with_python_alone(
    unpacked: Path, tmp_path: Path
) -> None:
    (tmp_path / "policy").write_text(POLICY)
    command = [sys.executable, "-I", str(unpacked / "verify.py"), "--policy", str(tmp_path / "policy")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "your policy" in done.stdout
    assert "Compare these keys" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("PASSED: all 10 steps. ")
    assert {path.name for path in unpacked.iterdir()} == {
        *(
            "README.md",
            "csv",
            "factors",
            "log",
            "manifest.json",
            "parquet",
            "resources.csv",
            "rows",
            "sql",
            "verify.py",
        )
    }


def test_several_processes_give_what_one_gives(
    made: tuple[SealedMemory, Path], tmp_path: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "ROWS_A_PROCESS", 1)
    code, said = check(made[1], "--processes", "2")
    assert code == 0, said
    assert ", 2 processes, " in said
    with zipfile.ZipFile(made[1]) as archive:
        archive.extractall(tmp_path)
    rewrite_rows(tmp_path, "telemetry", lambda rows: [rows[1], rows[0], *rows[2:]])
    restate(tmp_path)
    said_by = [check(tmp_path, "--processes", processes)[1] for processes in ("1", "2")]
    assert said_by[0] == said_by[1]
    assert "telemetry M1 row 5" in said_by[0]


def test_without_cryptography_nothing_passes(
    bundle: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SIGNATURES", False)
    code, said = check(bundle)
    assert code == 1
    assert words(said)[2] == words(said)[3] == "NOT CHECKED"
    assert "pip install cryptography" in said
    assert "NOT SHOWN: step 2, 3" in said


def test_parquet_is_compared_when_asked_for(unpacked: Path, check: Check) -> None:
    code, said = check(unpacked, "--parquet")
    assert code == 0, said
    assert "the Parquet files have the same rows" in said
    shutil.copy(unpacked / "parquet/telemetry.parquet", unpacked / "parquet/telemetry.parquet.bak")
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        source = unpacked / "parquet/telemetry.parquet.bak"
        connection.sql(f"SELECT * REPLACE (value + 1 AS value) FROM read_parquet('{source}')").write_parquet(
            str(unpacked / "parquet/telemetry.parquet")
        )
    (unpacked / "parquet/telemetry.parquet.bak").unlink()
    restate(unpacked)
    assert check(unpacked)[0] == 0, "for reading: not compared unless asked for"
    code, said = check(unpacked, "--parquet")
    assert code == 1
    assert words(said)[7] == "FAILED"


def test_a_site_brings_all_chains_of_its_machines_and_governance(
    made: tuple[SealedMemory, Path], tmp_path: Path, check: Check
) -> None:
    ledger, _ = made
    contents = replace(ledger.contents(), sites=("south",))
    made_of = ledger.bundle(tmp_path / "south.zip", contents)
    assert made_of.rows == {"events": 6, "transactions": 12}, "M2 alone, also where its rows name no site"
    code, said = check(tmp_path / "south.zip")
    assert code == 0, said
    assert "the chains of its sites" in said
    assert 'sites ["south"], opening' in said.splitlines()[-1]


def test_a_log_that_begins_within_the_period_is_bundled_from_its_beginning(
    tmp_path: Path, check: Check
) -> None:
    ledger = SealedMemory(tmp_path / "log")
    ledger.fill("telemetry", "M1", 3)
    ledger.seal(START + timedelta(hours=1))
    ledger.publish()
    made_of = ledger.bundle(tmp_path / "b.zip")
    assert made_of.selection.opening is None
    assert not made_of.selection.complete
    code, said = check(tmp_path / "b.zip")
    assert code == 3, said
    assert "opening the beginning of the ledger" in said.splitlines()[-1]
    assert "Note: it closes before 2026-03-04T00:00:00.000000Z" in said
    assert said.splitlines()[-1].startswith("PASSED IN PART: all 10 steps")
    assert "THE PERIOD GOES ON to 2026-03-02T00:00:00.000000Z" in said.splitlines()[-1]
    assert "1 process," in said
    assert "1 description\n" in said
    assert "1 range of rows" in said


def test_a_period_without_rows_is_shown_to_have_none(tmp_path: Path, check: Check) -> None:
    ledger = SealedMemory(tmp_path / "log")
    ledger.fill("telemetry", "M1", 3, event_time=START - timedelta(hours=2))
    ledger.seal(START - timedelta(hours=1))
    ledger.publish()
    assert ledger.bundle(tmp_path / "b.zip").rows == {}
    code, said = check(tmp_path / "b.zip")
    assert code == 3, said
    assert "1 chain, 0 rows" in said


def test_a_bundle_made_while_rows_may_come_late_passes_in_part(tmp_path: Path, check: Check) -> None:
    ledger = SealedMemory(tmp_path / "log")
    ledger.fill("telemetry", "M1", 3, event_time=START)
    ledger.seal(END + timedelta(hours=47))
    ledger.publish()
    ledger.bundle(tmp_path / "part.zip")
    code, said = check(tmp_path / "part.zip")
    assert code == 3, said
    assert "rows of the period may come late, until 2026-03-04T00:00:00.000000Z" in said.splitlines()[-1]
    ledger.fill("telemetry", "M1", 1)
    ledger.seal(END + timedelta(hours=48))
    ledger.publish()
    ledger.bundle(tmp_path / "whole.zip")
    assert check(tmp_path / "whole.zip")[0] == 0


@pytest.mark.parametrize(
    "sealed", [START - timedelta(days=9), END + timedelta(days=90)], ids=["before", "late"]
)
def test_a_periods_rows_are_there_whenever_they_were_sealed(
    sealed: datetime, tmp_path: Path, check: Check
) -> None:
    """A clock that was ahead, a delivery that came months late: the two batches lie around them."""
    ledger = SealedMemory(tmp_path / "log")
    times = sorted([START - timedelta(days=20), END + timedelta(days=3), sealed, END + timedelta(days=99)])
    for moment in times:
        ledger.fill("telemetry", "M1", 3, event_time=START if moment == sealed else moment)
        ledger.seal(moment)
    ledger.publish()
    made = ledger.bundle(tmp_path / "b.zip")
    assert made.rows == {"telemetry": 6}, "of two batches: the one with the period's rows, and its neighbour"
    assert made.selection.complete
    first = 0 if made.selection.opening is None else made.selection.opening.batch.number
    assert first < times.index(sealed) + 1 <= made.selection.closing.batch.number
    code, said = check(tmp_path / "b.zip")
    assert code == 0, said


def test_rows_of_the_period_that_are_not_sealed_yet_are_told_of(tmp_path: Path) -> None:
    ledger = SealedMemory(tmp_path / "log")
    ledger.fill("telemetry", "M1", 3, event_time=START)
    ledger.seal(END + timedelta(days=9))
    ledger.publish()
    assert ledger.bundle(tmp_path / "a.zip").selection.complete
    ledger.fill("telemetry", "M1", 1, event_time=START)
    assert not ledger.bundle(tmp_path / "b.zip").selection.complete


def test_a_chain_of_too_many_sites_is_of_every_site(tmp_path: Path, check: Check) -> None:
    ledger = SealedMemory(tmp_path / "log")
    ledger.fill("events", "M1", 3, event_time=START, site_id="north")
    ledger.sites["events", "M1"] = {"*"}
    ledger.seal(START + timedelta(hours=1))
    ledger.publish()
    made = ledger.bundle(tmp_path / "b.zip", replace(ledger.contents(), sites=("south",)))
    assert made.rows == {"events": 3}
    code, said = check(tmp_path / "b.zip")
    assert code == 3, said
    assert 'sites ["south"]: 1 chain,' in said


# --- which period, which sites, and whose clock ---


@pytest.mark.parametrize(("opening", "closing"), [(1, 1), (1, 2), (None, 3)])
def test_a_bundle_that_closes_although_the_tree_goes_on_fails(  # noqa: PLR0917 - fixtures
    opening: int | None,
    closing: int,
    made: tuple[SealedMemory, Path],
    tmp_path: Path,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger, whole = made

    def shorter(*arguments: Any) -> Selection:
        first = None if opening is None else ledger.of_batch(opening)
        last = ledger.of_batch(closing)
        assert last is not None
        return replace(select(*arguments), opening=first, closing=last)

    monkeypatch.setattr(build, "select", shorter)
    ledger.bundle(tmp_path / "b.zip")
    code, said = check(tmp_path / "b.zip")
    assert code == 1, said
    assert words(said)[4] == "FAILED"
    assert "it closes early" in said
    assert check(whole)[0] == 0


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"margin_h": 0}, "a margin of 0 h"),
        ({"margin_h": 47}, "a margin of 47 h"),
        ({"margin_h": 2**62}, "both to end before the year 10000"),
        ({"period": {"from": verify.time_text(START), "to": "9999-12-31T00:00:00.000000Z"}}, "year 10000"),
    ],
)
def test_a_margin_that_is_too_short_or_beyond_all_calendars_fails(
    changes: dict[str, Any], found: str, unpacked: Path, check: Check
) -> None:
    restate(unpacked, **changes)
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[4] == "FAILED"
    assert found in said
    assert "Error" not in said
    assert "It says that it is of: period 2026-03-01T00:00:00.000000Z to" in said


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--from", "2026-03-01", "--to", "2026-03-02T00:00:00Z"), 0),
        (("--to", "2026-03-02T01:00+01:00", "--site", "south", "--site", "north"), 0),
        (("--from", "2026-03-01T00:00:01Z"), 1),
        (("--to", "2026-04-01"), 1),
        (("--site", "north"), 1),
        (("--site", "north, south"), 1),
    ],
)
def test_an_auditor_says_which_period_and_sites_are_expected(
    options: tuple[str, ...], code: int, made: tuple[SealedMemory, Path], tmp_path: Path, check: Check
) -> None:
    ledger, _ = made
    ledger.bundle(tmp_path / "b.zip", ledger.contents(sites=("north", "south")))
    found, said = check(tmp_path / "b.zip", *options)
    assert found == code, said
    assert words(said)[5] == ("FAILED" if code else "PASSED")
    assert words(said)[6] == "PASSED"


def test_an_expectation_that_is_no_moment_is_refused(bundle: Path, check: Check) -> None:
    for text in ("march", "9999-12-31T23:00-02:00", ""):
        with pytest.raises(SystemExit, match="2"):
            check(bundle, "--from", text)
    assert check(bundle, "--site", "north")[0] == 1, "it is of all sites"


def test_each_site_is_named_by_some_machine(
    made: tuple[SealedMemory, Path], tmp_path: Path, check: Check
) -> None:
    ledger, _ = made
    ledger.bundle(tmp_path / "b.zip", ledger.contents(sites=("north",)))
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extractall(tmp_path / "north")
    restate(tmp_path / "north", sites=["north", "south "])
    code, said = check(tmp_path / "north")
    assert code == 1
    assert words(said)[5] == "FAILED"
    assert '["south "]' in said


def test_sites_are_printed_whole_and_can_be_told_apart(tmp_path: Path, check: Check) -> None:
    ledger = SealedMemory(tmp_path / "log")
    names = ["north", "south", "north, south", "x" * 300, 'a "\u202e']
    for number, name in enumerate(names):
        ledger.fill("events", f"M{number}", 1, event_time=START, site_id=name)
    ledger.seal(END + timedelta(hours=48))
    ledger.publish()
    lines = []
    for sites in (("north", "south"), ("north, south",), (names[3], names[4])):
        ledger.bundle(tmp_path / "b.zip", ledger.contents(sites=sites))
        code, said = check(tmp_path / "b.zip")
        assert code == 0, said
        lines.append(said.splitlines()[-1].partition(", sites ")[2].partition(", opening")[0])
        assert json.loads(lines[-1]) == sorted(sites)
        assert lines[-1].isprintable()
    assert lines[0] != lines[1]


@pytest.mark.parametrize(("ahead_s", "code"), [(0, 0), (3600, 0), (3601, 1)])
def test_a_closing_later_than_its_cosignatures_fails(
    ahead_s: int, code: int, tmp_path: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealer whose clock is ahead could close a period that goes on."""
    ledger = SealedMemory(tmp_path / "log")
    ledger.fill("telemetry", "M1", 3, event_time=START)
    moment = END + timedelta(days=400)
    ledger.seal(moment)
    monkeypatch.setattr(ledger, "cosigned_s", lambda: int(moment.timestamp()) - ahead_s)
    ledger.publish()
    ledger.bundle(tmp_path / "b.zip")
    found, said = check(tmp_path / "b.zip")
    assert found == code, said
    assert words(said)[4] == ("FAILED" if code else "PASSED")
    assert "sealer's clock alone" not in said


def test_without_witnesses_the_sealers_clock_alone_says_when(tmp_path: Path, check: Check) -> None:
    ledger = SealedMemory(tmp_path / "log")
    ledger.fill("telemetry", "M1", 3, event_time=START)
    ledger.seal(END + timedelta(days=400))
    ledger.publish(witnesses=())
    ledger.bundle(tmp_path / "b.zip", ledger.contents(policy=policy_text().encode()))
    code, said = check(tmp_path / "b.zip")
    assert code == 0, said
    assert "the sealer's clock alone says" in said


def test_the_time_of_a_quorum_is_that_of_its_witnesses() -> None:
    keys = [one.verifier for one in WITNESSES]
    lines = [f"log {KEY.verifier}", *(f"witness w{n} {key}" for n, key in enumerate(keys))]
    for last, counting in (
        (["group in 1 w0", "group out all in w1", "quorum out"], {keys[0], keys[1]}),
        (["quorum w2"], {keys[2]}),
        (["quorum none"], set()),
    ):
        policy = verify.parse_policy("\n".join([*lines, *last, ""]).encode())
        assert {str(key) for key in policy.counting()} == {str(key) for key in counting}


# --- what is not witnessed, and whose keys ---


def test_a_checkpoint_that_is_not_witnessed_is_no_pass(tmp_path: Path, check: Check) -> None:
    ledger = SealedMemory(tmp_path / "log")
    ledger.fill("telemetry", "M1", 3)
    ledger.seal(END + timedelta(days=3))
    ledger.publish(witnesses=())
    assert not ledger.bundle(tmp_path / "b.zip").selection.seen.quorum
    code, said = check(tmp_path / "b.zip")
    assert code == 1
    assert words(said)[3] == "FAILED"
    assert "NOT YET WITNESSED" in said
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert b"NOT YET WITNESSED" in archive.read("README.md")


def test_another_key_than_the_auditors_is_no_pass(bundle: Path, tmp_path: Path, check: Check) -> None:
    policy = tmp_path / "policy"
    policy.write_text(policy_text(*WITNESSES, quorum=2, key=SigningKey(KEY.name, ED25519, bytes(32))))
    code, said = check(bundle, "--policy", str(policy))
    assert code == 1
    assert words(said)[2] == "FAILED"
    policy.write_text(policy_text(*WITNESSES, quorum=3))
    code, said = check(bundle, "--policy", str(policy))
    assert code == 1
    assert words(said)[3] == "FAILED"
    assert check(bundle, "--policy", str(tmp_path / "none"))[0] == 2


def test_a_policy_that_lists_a_witness_twice_is_refused(bundle: Path, tmp_path: Path, check: Check) -> None:
    policy = tmp_path / "policy"
    one = WITNESSES[0].verifier
    policy.write_text(f"log {KEY.verifier}\nwitness a {one}\nwitness b {one}\ngroup q 2 a b\nquorum q\n")
    code, said = check(bundle, "--policy", str(policy))
    assert code == 1
    assert words(said)[2] == "FAILED"


def test_an_auditors_own_checkpoint_is_compared(
    made: tuple[SealedMemory, Path], tmp_path: Path, check: Check
) -> None:
    ledger, place = made
    own = tmp_path / "checkpoint"
    own.write_text(ledger.notes[0].note)
    code, said = check(place, "--checkpoint", str(own))
    assert code == 0, said
    assert "your checkpoint is of the same tree" in said

    other = small_ledger(tmp_path / "other")
    other.fill("events", "M9", 1)
    other.seal(END + timedelta(days=9))
    own.write_text(str(other.publish()))
    code, said = check(place, "--checkpoint", str(own))
    assert code == 1
    assert words(said)[4] == "NOT CHECKED"
    assert "prove-consistency" in said


def test_a_proof_without_a_checkpoint_or_a_file_that_is_missing_ends_with_2(
    made: tuple[SealedMemory, Path], tmp_path: Path, check: Check
) -> None:
    (tmp_path / "own").write_text(made[0].notes[0].note)
    for options in (
        ("--consistency", str(tmp_path / "own")),
        ("--checkpoint", str(tmp_path / "own"), "--consistency", str(tmp_path / "none")),
        ("--checkpoint", str(tmp_path / "none")),
    ):
        code, said = check(made[1], *options)
        assert code == 2
        assert said.startswith("verify.py: --")
        assert said.count("\n") == 1


@pytest.mark.parametrize("more", [1, 2, 5, 40])
def test_a_larger_checkpoint_of_the_auditor_needs_a_consistency_proof(
    more: int, tmp_path: Path, check: Check
) -> None:
    ledger = small_ledger(tmp_path / "log")
    ledger.bundle(tmp_path / "b.zip")
    size, root = ledger.sealed[-1].batch.size, ledger.sealed[-1].root
    ledger.fill("events", "M9", more)
    ledger.seal(END + timedelta(days=9))
    (tmp_path / "checkpoint").write_text(str(ledger.publish()))
    last = ledger.sealed[-1]
    hashes = consistency_proof(size, last.batch.size, subtrees_in_tiles(last.batch.size, ledger.files.read))
    proof = ConsistencyProof(TreeHead(size, root), TreeHead(last.batch.size, last.root), tuple(hashes))
    (tmp_path / "proof").write_text(str(proof))
    options = ["--checkpoint", str(tmp_path / "checkpoint"), "--consistency", str(tmp_path / "proof")]
    code, said = check(tmp_path / "b.zip", *options)
    assert code == 0, said
    wrong = replace(proof, hashes=(bytes(32), *proof.hashes[1:]))
    (tmp_path / "proof").write_text(str(wrong))
    code, said = check(tmp_path / "b.zip", *options)
    assert code == 1
    assert words(said)[4] == "FAILED"


def test_two_histories_of_one_size_are_exposed(
    made: tuple[SealedMemory, Path], tmp_path: Path, check: Check
) -> None:
    rewritten = SealedMemory(tmp_path / "rewritten")
    rewritten.fill("telemetry", "M1", made[0].sealed[-1].batch.size - 1)
    rewritten.seal(END)
    (tmp_path / "checkpoint").write_text(str(rewritten.publish()))
    assert rewritten.sealed[-1].batch.size == made[0].sealed[-1].batch.size
    code, said = check(made[1], "--checkpoint", str(tmp_path / "checkpoint"))
    assert code == 1
    assert "two histories" in said


# --- rows that were tampered with, by somebody who makes the manifest agree ---


@pytest.mark.parametrize("index", [0, 7, -1])
def test_a_row_that_was_dropped_is_seen(index: int, unpacked: Path, check: Check) -> None:
    def change(rows: list[bytes]) -> list[bytes]:
        kept = list(rows)
        del kept[index]
        return kept

    rewrite_rows(unpacked, "transactions", change)
    restate(unpacked)
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[6] == "FAILED"


def test_a_dropped_row_is_seen_when_the_manifest_counts_without_it(unpacked: Path, check: Check) -> None:
    rewrite_rows(unpacked, "transactions", lambda rows: rows[:-1])
    rows = json.loads((unpacked / "manifest.json").read_bytes())["rows"]
    restate(unpacked, rows=rows | {"transactions": rows["transactions"] - 1})
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[5] == "FAILED"


def test_rows_that_were_swapped_are_seen(unpacked: Path, check: Check) -> None:
    rewrite_rows(unpacked, "telemetry", lambda rows: [rows[1], rows[0], *rows[2:]])
    restate(unpacked)
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[6] == "FAILED"
    assert "telemetry M1 row 5" in said


def test_an_altered_value_is_seen_also_with_its_hash_recomputed(unpacked: Path, check: Check) -> None:
    def change(rows: list[bytes]) -> list[bytes]:
        row = bytearray(rows[-1])
        row[-40] ^= 1
        row[-32:] = hashlib.sha256(rows[-2][-32:] + bytes(row[:-36])).digest()
        return [*rows[:-1], bytes(row)]

    rewrite_rows(unpacked, "telemetry", change)
    restate(unpacked)
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[6] == "FAILED"
    assert "as the closing statement says" in said


def test_a_csv_value_that_differs_from_its_row_is_seen(unpacked: Path, check: Check) -> None:
    path = unpacked / "csv/transactions.csv"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1007", b"9007", 1))
    assert path.read_bytes() != content
    restate(unpacked)
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[6] == "PASSED"
    assert words(said)[7] == "FAILED"
    assert "the CSV file says" in said


def test_rows_of_a_chain_that_is_left_out_are_seen(unpacked: Path, check: Check) -> None:
    closing = unpacked / "log/closing.heads"
    lines = closing.read_bytes().splitlines(keepends=True)
    closing.write_bytes(b"".join(line for line in lines if b'"M3"' not in line))
    restate(unpacked)
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[4] == "FAILED"


def test_a_later_opening_statement_is_not_believed(unpacked: Path, check: Check) -> None:
    for end in ("heads", "tlog-proof"):
        shutil.copy(unpacked / f"log/closing.{end}", unpacked / f"log/opening.{end}")
    closing = json.loads((unpacked / "manifest.json").read_bytes())["closing"]
    restate(unpacked, opening=closing)
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[4] == "FAILED"


@pytest.mark.parametrize(
    ("name", "old", "new", "step"),
    [
        ("log/seals.csv", b"transactions,M1", b"transactions,M3", 8),
        ("log/seals.csv", b"\r\n2,", b"\r\n3,", 8),
        ("resources.csv", b"recycling", b"recyclinG", 9),
        ("resources.csv", b"digest,content", b"digest;content", 9),
        ("sql/claims.sql", b"1", b"3", 10),
        ("rows/telemetry.lengths", b"\x00\x00", b"\x00\x01", 6),
        ("csv/telemetry.blocks", b"rows,bytes", b"rows;bytes", 6),
        ("csv/telemetry.csv", b"event_time", b"event_Time", 6),
        ("log/opening.heads", b'"seq"', b'"Seq"', 4),
        ("log/opening.tlog-proof", b"index ", b"index 1", 4),
        ("log/checkpoint", b"log.example", b"log.exampl3", 2),
        ("log/policy", b"quorum", b"quorom", 2),
    ],
)
def test_what_belongs_to_the_rows_is_checked_with_them(  # noqa: PLR0917 - parametrized
    name: str, old: bytes, new: bytes, step: int, unpacked: Path, check: Check
) -> None:
    path = unpacked / name
    content = path.read_bytes()
    path.write_bytes(content.replace(old, new, 1))
    assert path.read_bytes() != content
    restate(unpacked)
    code, said = check(unpacked)
    assert code == 1, said
    assert words(said)[step] == "FAILED", said
    assert "Error" not in said, "no error that nobody foresaw"


@pytest.mark.parametrize("column", [0, 3, 4, 5])
def test_no_other_leaf_or_batch_is_stated_for_a_row_of_a_whole_ledger(
    column: int, unpacked: Path, check: Check
) -> None:
    path = unpacked / "log/seals.csv"
    lines = path.read_bytes().decode().split("\r\n")
    for number in range(1, len(lines) - 1, 4):
        for change in (-1, 1):
            cells = lines[number].split(",")
            cells[column] = str(max(0, int(cells[column]) + change))
            if cells == lines[number].split(","):
                continue
            path.write_bytes("\r\n".join([*lines[:number], ",".join(cells), *lines[number + 1 :]]).encode())
            restate(unpacked)
            code, said = check(unpacked, "--processes", "1")
            assert code == 1, cells
            assert words(said)[8] == "FAILED"


def test_leaves_of_a_sites_rows_lie_in_their_batches(
    made: tuple[SealedMemory, Path], tmp_path: Path, check: Check
) -> None:
    ledger, _ = made
    ledger.bundle(tmp_path / "b.zip", ledger.contents(sites=("south",)))
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extractall(tmp_path / "south")
    path = tmp_path / "south/log/seals.csv"
    content = path.read_bytes().decode()
    assert check(tmp_path / "south")[0] == 0
    header, *lines = content.split("\r\n")[:-1]
    cells = [line.split(",") for line in lines]
    size = ledger.sealed[-1].batch.size
    first = ledger.sealed[-1].batch.first_leaf
    last = max(int(one[0]) for one in cells)
    for changed in (
        [[*one[:5], str(int(one[5]) - first), one[6]] if int(one[0]) == last else one for one in cells],
        [[*one[:5], str(size - 2), one[6]] if one is cells[-1] else one for one in cells],
        [[str(min(int(one[0]), last - 1)), *one[1:]] for one in cells],
        [[str(last), *one[1:]] for one in cells],
        [*cells[1:2], *cells[:1], *cells[2:]],
    ):
        assert changed != cells
        path.write_bytes("\r\n".join([header, *map(",".join, changed), ""]).encode())
        restate(tmp_path / "south")
        code, said = check(tmp_path / "south")
        assert code == 1, changed
        assert words(said)[8] == "FAILED"


def test_report_json_is_the_report_and_names_nothing_twice(
    made: tuple[SealedMemory, Path], tmp_path: Path, check: Check
) -> None:
    ledger, _ = made
    report = {
        "period_from": "2026-03-01T00:00:00Z",
        "period_to": "2026-03-02T00:00:00Z",
        "sites": [],
        "sql_digest": digest_of(QUERIES),
    }
    text = json.dumps(report)
    ledger.bundle(tmp_path / "b.zip", ledger.contents(report={"report.json": text.encode(), "a.html": b"x"}))
    code, said = check(tmp_path / "b.zip")
    assert code == 0, said
    assert "The other files in report/ show it, and were not compared" in said
    twice = text.replace('"sites"', '"sites": ["x"], "sites"')
    ledger.bundle(tmp_path / "b.zip", ledger.contents(report={"report.json": twice.encode()}))
    code, said = check(tmp_path / "b.zip")
    assert code == 1
    assert words(said)[10] == "FAILED"
    assert "a name that is there twice" in said


# --- files ---


def test_what_is_nested_too_deeply_is_said_in_plain_words(unpacked: Path, check: Check) -> None:
    folder = unpacked
    for _ in range(8):
        folder /= "d"
        folder.mkdir()
    code, said = check(unpacked)
    assert code == 1
    assert "d/d/d/d/d is a link, no plain file, or a folder too deep" in said
    (unpacked / "manifest.json").write_bytes(b"[" * 100_000)
    code, said = check(unpacked)
    assert code == 1
    assert "manifest.json is no manifest: it is nested too deeply" in said


def test_a_missing_an_extra_and_an_altered_file_are_named(unpacked: Path, check: Check) -> None:
    original = (unpacked / "resources.csv").read_bytes()
    (unpacked / "resources.csv").write_bytes(original + b"x")
    assert "resources.csv has" in check(unpacked)[1]
    (unpacked / "resources.csv").write_bytes(original[:-1] + b"x")
    code, said = check(unpacked)
    assert code == 1
    assert "resources.csv was altered" in said
    assert words(said)[9] == "NOT CHECKED"
    (unpacked / "resources.csv").unlink()
    assert "resources.csv is missing" in check(unpacked)[1]
    (unpacked / "resources.csv").write_bytes(original)
    (unpacked / "extra").write_bytes(b"")
    code, said = check(unpacked)
    assert code == 1
    assert "extra is there and is not in the manifest" in said


def test_a_link_is_not_followed(unpacked: Path, tmp_path: Path, check: Check) -> None:
    (unpacked / "README.md").rename(tmp_path / "README.md")
    (unpacked / "README.md").symlink_to(tmp_path / "README.md")
    code, said = check(unpacked)
    assert code == 1
    assert "README.md is a link" in said


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/passwd", "report/../x", "factors/.hidden", "C:/x", "report/\u202e", "REPORT/x"],
)
def test_a_name_that_leads_out_is_refused(name: str, unpacked: Path, check: Check) -> None:
    path = unpacked / "manifest.json"
    manifest = json.loads(path.read_bytes())
    del manifest["digest"]
    manifest["members"][name] = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    manifest["digest"] = hashlib.sha256(verify.canonical(manifest).encode()).hexdigest()
    path.write_bytes((json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode())
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[1] == "FAILED"


def test_a_manifest_with_a_name_twice_is_refused(unpacked: Path, check: Check) -> None:
    path = unpacked / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"margin_h": 48,', b'"margin_h": 48,\n "margin_h": 48,'))
    code, said = check(unpacked)
    assert code == 1
    assert words(said)[1] == "FAILED"


def test_an_archive_that_was_packed_anew_is_sent_back_to_its_folder(
    unpacked: Path, bundle: Path, tmp_path: Path, check: Check
) -> None:
    write_archive(unpacked, tmp_path / "same.zip")
    assert (tmp_path / "same.zip").read_bytes() == bundle.read_bytes()
    with zipfile.ZipFile(tmp_path / "other.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(unpacked.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(unpacked).as_posix())
    code, said = check(tmp_path / "other.zip")
    assert code == 1
    assert "re-packed" in said
    (tmp_path / "tail.zip").write_bytes(bundle.read_bytes() + b"more")
    assert check(tmp_path / "tail.zip")[0] == 1
    (tmp_path / "head.zip").write_bytes(b"more" + bundle.read_bytes())
    assert check(tmp_path / "head.zip")[0] == 1


def test_a_zip_bomb_is_not_inflated(unpacked: Path, tmp_path: Path, check: Check) -> None:
    os.truncate(unpacked / "resources.csv", 200_000_000)
    write_archive(unpacked, tmp_path / "bomb.zip")
    code, said = check(tmp_path / "bomb.zip")
    assert code == 1
    assert "resources.csv has 200,000,000 bytes, expected" in said


def test_what_is_no_bundle_ends_with_2_or_1_in_one_line(tmp_path: Path, check: Check) -> None:
    assert check(tmp_path / "none.zip")[0] == 2
    assert check(tmp_path)[0] == 2
    (tmp_path / "x.zip").write_bytes(b"nothing of the kind")
    assert check(tmp_path / "x.zip")[0] == 1


# --- a builder that is asked for what can't be ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": END, "end": START}, "is empty"),
        ({"start": START, "end": START}, "is empty"),
        ({"end": datetime(9999, 12, 30, 1, tzinfo=UTC)}, "too late: name one before 9999-12-30"),
        ({"sites": ("nowhere",)}, "no machine has named the site 'nowhere'"),
    ],
)
def test_what_cannot_be_bundled_is_refused(
    changes: dict[str, Any], message: str, made: tuple[SealedMemory, Path], tmp_path: Path
) -> None:
    with pytest.raises(BundleRefused, match=message):
        made[0].bundle(tmp_path / "b.zip", made[0].contents(**changes))
    assert list(tmp_path.iterdir()) == []


def test_nothing_sealed_and_nothing_published_are_refused(tmp_path: Path) -> None:
    ledger = SealedMemory(tmp_path / "log")
    with pytest.raises(BundleRefused, match="nothing is sealed yet"):
        ledger.bundle(tmp_path / "b.zip")
    ledger.fill("telemetry", "M1", 1)
    ledger.seal(START)
    with pytest.raises(BundleRefused, match="has no checkpoint"):
        ledger.bundle(tmp_path / "b.zip")
    with pytest.raises(BundleRefused, match="name a file"):
        ledger.bundle(tmp_path / "nowhere" / "b.zip")


@pytest.mark.parametrize("attack", ["value", "missing", "rewritten", "statement"])
def test_a_broken_ledger_makes_no_bundle_and_leaves_nothing(attack: str, tmp_path: Path) -> None:
    ledger = small_ledger(tmp_path / "log")
    rows = ledger.chains["telemetry", "M1"]
    if attack == "value":
        rows[5] = rows[5].replace(b"kind 6", b"kind 7")
    elif attack == "missing":
        del rows[5]
    elif attack == "statement":
        ledger._heads[-1].popitem()
    else:
        old = list(rows)
        rows.clear()
        ledger.fill("telemetry", "M1", len(old))
    place = tmp_path / "out"
    place.mkdir()
    with pytest.raises(
        LedgerBroken, match=r"heads of batch" if attack == "statement" else r"telemetry M1 row \d+"
    ):
        ledger.bundle(place / "b.zip")
    assert list(place.iterdir()) == []


def test_a_checkpoint_of_another_history_makes_no_bundle(tmp_path: Path) -> None:
    ledger = small_ledger(tmp_path / "log")
    last = ledger.sealed[-1]
    ledger.sealed[-1] = replace(last, root=bytes(32))
    with pytest.raises(LedgerBroken, match="none that this database sealed"):
        ledger.bundle(tmp_path / "b.zip")


def test_moments_are_written_in_one_form() -> None:
    assert verify.moment_text(0) == "2000-01-01T00:00:00.000000Z"
    assert verify.moment_text(-1) == "1999-12-31T23:59:59.999999Z"
    assert verify.time_text(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000000Z"
