"""A report's folder is whole or not there, never replaces what is no report, and is the same everywhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from audit.errors import AuditError
from audit.reporting import folder
from audit.reporting.as_json import parse, report_digest
from audit.reporting.errors import FolderRefused, ReportingError
from audit.reporting.folder import SUMS, rendered, write_report
from audit.reporting.model import Report
from tests.sample_report import broken_report, empty_report, restated_report, sample_report

ROOT = Path(__file__).resolve().parents[2]
SMALL = sample_report(9)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_every_format_is_written_and_the_sums_are_right(tmp_path: Path) -> None:
    written = write_report(SMALL, tmp_path / "report")
    files = contents(tmp_path / "report")
    assert files.keys() == {*written.files, SUMS}
    assert {"report.json", "report.html", "report.pdf", "report.xlsx", "csv/findings.csv"} <= files.keys()
    for line in files[SUMS].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(files[name]).hexdigest() == digest == written.files[name]
    assert written.digest == report_digest(SMALL) == written.files["report.json"]
    assert parse(files["report.json"]) == SMALL
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert oct((tmp_path / "report").stat().st_mode & 0o777) == "0o755"


def test_sha256sum_agrees(tmp_path: Path) -> None:
    write_report(SMALL, tmp_path / "report")
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=tmp_path / "report", check=True)


def test_only_the_formats_asked_for_are_written(tmp_path: Path) -> None:
    written = write_report(SMALL, tmp_path / "report", ("csv", "json"))
    assert "report.json" in written.files
    assert not {"report.pdf", "report.html", "report.xlsx"} & written.files.keys()


@pytest.mark.parametrize("formats", [("docx",), ()])
def test_a_format_that_is_not_known_is_refused_before_anything_is_written(
    tmp_path: Path, formats: tuple[str, ...]
) -> None:
    with pytest.raises(ReportingError, match="expected some of json, html, pdf, xlsx, csv"):
        write_report(SMALL, tmp_path / "report", formats)
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    write_report(SMALL, tmp_path / "report", ("json",))
    assert (tmp_path / "report" / "report.json").is_file()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    write_report(SMALL, tmp_path / "report", ("json",))
    before = contents(tmp_path)
    with pytest.raises(FolderRefused, match="is not empty"):
        write_report(sample_report(18), tmp_path / "report", ("json",))
    assert contents(tmp_path) == before


def test_a_report_is_overwritten_as_a_whole_if_asked_for(tmp_path: Path) -> None:
    write_report(SMALL, tmp_path / "report")
    other = sample_report(18)
    write_report(other, tmp_path / "report", ("json",), overwrite=True)
    assert contents(tmp_path / "report").keys() == {"report.json", SUMS}
    assert parse((tmp_path / "report" / "report.json").read_bytes()) == other
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize("strange", ["thesis.docx", "csv/thesis.csv", "deep/er/thesis", ".hidden"])
def test_what_is_no_report_is_not_overwritten_even_if_asked_for(tmp_path: Path, strange: str) -> None:
    target = tmp_path / "report"
    write_report(SMALL, target, ("csv",))
    (target / strange).parent.mkdir(parents=True, exist_ok=True)
    (target / strange).write_text("years of work")
    with pytest.raises(FolderRefused, match="which no report put there"):
        write_report(SMALL, target, overwrite=True)
    assert (target / strange).read_text() == "years of work"


def test_a_folder_without_sums_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(FolderRefused, match="'letter', which no report put there"):
        write_report(SMALL, tmp_path / "home", overwrite=True)


def test_a_file_a_link_or_a_missing_parent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(FolderRefused, match="is no folder"):
        write_report(SMALL, tmp_path / "file", ("json",), overwrite=True)
    with pytest.raises(FolderRefused, match="is no folder"):
        write_report(SMALL, tmp_path / "link", ("json",), overwrite=True)
    with pytest.raises(FolderRefused, match="make it first"):
        write_report(SMALL, tmp_path / "missing" / "report", ("json",))
    assert issubclass(FolderRefused, AuditError)


def _full(*_: object) -> NoReturn:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_write_that_fails_leaves_the_earlier_report_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_report(SMALL, tmp_path / "report", ("json",))
    before = contents(tmp_path)
    if step == "fsync":
        monkeypatch.setattr(os, "fsync", _full)
    else:
        whole = Path.rename

        def rename(self: Path, target: Path) -> Path:
            return whole(self, target) if not self.name.endswith(".part") else _full()

        monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(FolderRefused, match=r"can't be written: No space left on device"):
        write_report(sample_report(18), tmp_path / "report", ("json",), overwrite=True)
    assert contents(tmp_path) == before


def test_a_folder_that_appears_meanwhile_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report"
    write_all = folder._write_all

    def meanwhile(temporary: Path, files: dict[str, bytes]) -> dict[str, str]:
        target.mkdir()
        (target / "other").write_text("theirs")
        return write_all(temporary, files)

    monkeypatch.setattr(folder, "_write_all", meanwhile)
    with pytest.raises(FolderRefused):
        write_report(SMALL, target, ("json",))
    assert contents(tmp_path) == {"report/other": b"theirs"}


def test_a_file_that_comes_in_while_a_report_is_replaced_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report"
    write_report(SMALL, target, ("json",))
    write_all = folder._write_all

    def meanwhile(temporary: Path, files: dict[str, bytes]) -> dict[str, str]:
        (target / "other").write_text("theirs")
        return write_all(temporary, files)

    monkeypatch.setattr(folder, "_write_all", meanwhile)
    with pytest.raises(FolderRefused, match="'other', which no report put there"):
        write_report(sample_report(18), target, ("json",), overwrite=True)
    assert contents(tmp_path).keys() == {"report/other", "report/report.json", f"report/{SUMS}"}


PROGRAM = """
import hashlib, sys
from audit.reporting.folder import rendered
from tests import sample_report
report = getattr(sample_report, sys.argv[1])()
for name, data in rendered(report).items():
    print(hashlib.sha256(data).hexdigest(), name)
"""


@pytest.mark.parametrize("make", [sample_report, empty_report, broken_report, restated_report])
def test_the_bytes_are_the_same_whatever_the_hash_seed_the_zone_and_the_language(
    make: Callable[[], Report],
) -> None:
    outputs = set()
    for seed, zone, language in (("0", "Asia/Kolkata", "C"), ("4711", "America/St_Johns", "C.UTF-8")):
        environment = {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": language, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, make.__name__],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    here = [f"{hashlib.sha256(data).hexdigest()} {name}" for name, data in rendered(make()).items()]
    assert outputs == {"\n".join(here) + "\n"}


def test_five_thousand_findings_are_rendered_in_seconds() -> None:
    report = sample_report(5_000)
    start = time.process_time()
    rendered(report)
    assert time.process_time() - start < 12  # about 3 s; the rest is for machines that others use too
