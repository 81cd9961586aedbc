"""The CSV files of a report: exact, and no spreadsheet takes a text in them for a formula."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import Decimal

import pytest

from audit.reporting.as_csv import guarded, render, unguarded
from audit.reporting.errors import Unrenderable
from tests.sample_report import empty_report, sample_report


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))


def test_there_is_a_file_for_each_table_with_a_row_for_each_line() -> None:
    report = sample_report()
    files = render(report)
    assert {name: len(rows(data)) for name, data in files.items()} == {
        "materials.csv": len(report.by_material),
        "classes.csv": len(report.by_class),
        "invariants.csv": len(report.invariants),
        "findings.csv": len(report.findings),
        "machines.csv": len(report.machine_lines),
        "lots.csv": len(report.lots),
        "disclosures.csv": len(report.disclosures),
    }


def test_lines_end_as_rfc_4180_says_and_there_is_no_byte_order_mark() -> None:
    for data in render(sample_report(9)).values():
        assert data.endswith(b"\r\n")
        assert data.count(b"\n") == data.count(b"\r\n")
        assert not data.startswith(b"\xef\xbb\xbf")


def test_every_figure_is_exact() -> None:
    report = sample_report()
    for line, row in zip(report.by_material, rows(render(report)["materials.csv"]), strict=True):
        for name in ("reported", "overstated", "supported", "lost_estimate"):
            figure = getattr(line, name)
            assert int(row[f"{name}_mass_mg"]) == figure.mass.mg
            assert row[f"{name}_mass_ref"] == figure.mass.ref
            stated = row[f"{name}_co2e_g"]
            assert (Decimal(stated) if stated else None) == figure.co2e.g


def test_what_has_no_evidence_is_an_empty_field_and_not_a_zero() -> None:
    values = [row["value"] for row in rows(render(sample_report())["disclosures.csv"])]
    assert "" in values
    assert "0" in values


def test_an_empty_period_gives_heads_alone() -> None:
    for data in render(empty_report()).values():
        assert data.count(b"\r\n") == 1


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "'quoted", "''", "\x00=1", "\u202e=1"],
)
def test_a_text_that_a_spreadsheet_would_compute_is_guarded_and_comes_back(text: str) -> None:
    assert guarded(text) == "'" + text
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", ["", "pet", "a=b", "1-2", 'say "x"', "a,b\r\nc"])
def test_any_other_text_is_left_alone(text: str) -> None:
    assert guarded(text) == text
    assert unguarded(text) == text


def test_quotes_commas_and_lines_within_a_text_come_back() -> None:
    evil = "a \"b\", c\r\nd;=cmd|' /C calc'!A0"
    report = sample_report(9, names=(evil, "=HYPERLINK(1)"))
    machines = [unguarded(row["machine"]) for row in rows(render(report)["machines.csv"])]
    assert machines == [line.machine for line in report.machine_lines]
    assert b'"\'=HYPERLINK(1)"' in render(report)["machines.csv"]


def test_a_negative_figure_is_a_figure_and_not_guarded() -> None:
    effects = [row["effect_mg"] for row in rows(render(sample_report())["findings.csv"])]
    assert any(effect.startswith("-") for effect in effects)


def test_half_a_surrogate_pair_is_refused_with_the_file() -> None:
    report = sample_report(9)
    broken = replace(report, lots=(replace(report.lots[0], lot="\udc80"),))
    with pytest.raises(Unrenderable, match=r"lots\.csv"):
        render(broken)
