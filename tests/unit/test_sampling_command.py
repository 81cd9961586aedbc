"""``tally sample``: a sheet drawn and evaluated from the command line, errors in one line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.sampling.items import Item
from tally.cli import main

asked: list[tuple[object, ...]] = []
SEED = "5a" * 32


def population(
    url: str,
    since: datetime | None,
    until: datetime | None,
    *,
    site: str | None,
    machine: str | None,
    material: str | None,
) -> tuple[Iterable[Item], str]:
    asked.append((url, since, until, site, machine, material))
    count = 0 if machine == "none" else 1000
    return [
        Item("transactions", "rvm-1", n, f"tx-{n}", "pet", 20_000 - 40_000 * (n == 7)) for n in range(count)
    ], SEED


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.reconcile.population.population", population)
    asked.clear()


def run(*words: str | Path) -> int:
    return main(["sample", *map(str, words)])


def draw(sheet: Path, *words: str) -> int:
    return run("--from", "2026-03-01", "--to", "2026-04-01", "--url", "postgresql://x", "-o", sheet, *words)


def fill(sheet: Path, finding: str = "correct") -> None:
    head, rows = sheet.read_text().split("note\n")
    rows = rows.replace(",,,\n", f",,{finding},\n")
    sheet.write_text(f"{head}note\n{rows}")


@pytest.mark.parametrize("method", ["attribute", "mus"])
def test_a_sheet_is_drawn_filled_in_and_evaluated(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "march.csv"
    assert draw(sheet, "--method", method, "--json", "--site", "s-1") == 0
    drawn = json.loads(capsys.readouterr().out)
    assert (drawn["seed"], drawn["seed_from"], drawn["method"]) == (SEED, "ledger", method)
    march = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    assert asked == [("postgresql://x", *march, "s-1", None, None)]
    assert [path.name for path in tmp_path.iterdir()] == ["march.csv"]
    fill(sheet)
    assert run("evaluate", sheet, "--digest", drawn["digest"], "--json") == 0
    assert json.loads(capsys.readouterr().out)["supported"] is True
    assert run("evaluate", sheet) == 0
    assert "at 95 % confidence" in capsys.readouterr().out.lower()


def test_what_is_not_supported_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "march.csv"
    assert draw(sheet) == 0
    fill(sheet, "not_found")
    assert run("evaluate", sheet) == 1
    assert "is not supported" in capsys.readouterr().out


def test_a_given_seed_is_recorded_as_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw(tmp_path / "a.xlsx", "--method", "mus", "--seed", "00" * 32) == 0
    shown = capsys.readouterr().out
    assert "(given)" in shown
    assert "1 items below zero" in shown
    assert run("evaluate", tmp_path / "a.xlsx") == 2
    assert "item 1 has no audited mass" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--confidence", "high"], "confidence: expected a percentage from 50"),
        (["--tolerable", "0"], "tolerable: expected a percentage"),
        (["--expected", "-1"], "expected errors"),
        (["--expected", "50"], "even examining all"),
        (["--seed", "xyz"], "64 hexadecimal digits"),
        (["--method", "guess"], "--method"),
        (["--machine", "none"], "nothing to sample"),
        (["--method", "mus", "--expected", "5"], "less than the tolerable"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_sheet(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw(tmp_path / "a.csv", *words) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_is_needed_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--from", "2026-03-01", "--to", "2026-04-01") == 2
    assert "missing option --output" in capsys.readouterr().err
    assert run("-o", tmp_path / "a.csv", "--from", "2026-03-01") == 2
    assert "missing option --to" in capsys.readouterr().err
    assert draw(tmp_path / "a.pdf") == 2
    assert "a sheet is a .csv or an .xlsx file, got a .pdf file" in capsys.readouterr().err
    assert draw(tmp_path / "none" / "a.csv") == 2
    assert "is no folder" in capsys.readouterr().err
    assert not asked


def test_a_sheet_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "a.csv"
    sheet.write_text("filled in by hand")
    assert draw(sheet) == 2
    assert "exists" in capsys.readouterr().err
    assert sheet.read_text() == "filled in by hand"


def test_a_sheet_that_cannot_be_evaluated_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "a.csv"
    assert run("evaluate", sheet) == 2
    assert "can't be read" in capsys.readouterr().err
    assert draw(sheet) == 0
    fill(sheet)
    assert run("evaluate", sheet, "--digest", "00" * 32) == 2
    assert "not the sheet that was drawn" in capsys.readouterr().err
    sheet.write_text(sheet.read_text().replace("tolerable_percent,5", "tolerable_percent,50"))
    assert run("evaluate", sheet) == 2
    shown = capsys.readouterr().err
    assert "altered" in shown
    assert shown.count("\n") == 1
