"""The canonical JSON of a report, its digest, and the way back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from audit.reporting.as_json import decimal_text, parse, render, report_digest
from audit.reporting.errors import NotAReport, ReportingError, Unrenderable
from audit.reporting.model import Datapoint, Report
from tests.sample_report import END, broken_report, empty_report, restated_report, sample_report

VARIANTS = pytest.mark.parametrize("make", [sample_report, empty_report, broken_report, restated_report])


@VARIANTS
def test_what_was_written_is_read_back_equal_and_written_again_the_same(make: Callable[[], Report]) -> None:
    data = render(make())
    assert parse(data) == make()
    assert render(parse(data)) == data


def test_the_digest_is_that_of_the_bytes() -> None:
    report = sample_report()
    assert report_digest(report) == hashlib.sha256(render(report)).hexdigest()


def test_any_change_of_a_figure_changes_the_digest() -> None:
    report = sample_report()
    line = report.lots[0]
    changed = replace(report, lots=(replace(line, ticket_mg=line.ticket_mg + 1), *report.lots[1:]))
    assert report_digest(changed) != report_digest(report)


def test_the_form_is_one_row_a_line_in_the_order_of_the_model_with_a_final_newline() -> None:
    report = sample_report(9)
    text = render(report).decode()
    assert text.startswith('{\n"schema":"tally-report/1",\n"operator":"Example')
    assert text.endswith("]\n}\n")
    assert '"period_from":"2026-03-01T00:00:00Z",\n' in text
    findings = text.split('"findings":[\n')[1].split("\n],")[0]
    assert len(findings.splitlines()) == 9
    assert list(json.loads(text)) == ["schema", *Report.__dataclass_fields__]
    assert not re.search(r":-?\d+\.\d", text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E+3", "1000"),
        ("-0.00", "0"),
        ("12.500", "12.5"),
        ("0.00000001", "0.00000001"),
        ("-7", "-7"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ],
)
def test_a_decimal_is_plain_and_exact(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


def test_equal_reports_have_equal_bytes_however_their_numbers_were_written() -> None:
    report = sample_report()
    zone = timezone(timedelta(hours=5, minutes=30))
    point = Datapoint("ESRS E5-5", "x", "x", "t", Decimal("2.50"), "")
    same = replace(point, value=Decimal("25E-1"))
    assert render(replace(report, disclosures=(point,))) == render(
        replace(report, disclosures=(same,), period_to=END.astimezone(zone))
    )


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-sNaN"])
def test_a_figure_that_is_no_number_is_refused_with_its_place(value: str) -> None:
    report = replace(
        sample_report(), disclosures=(Datapoint("ESRS E5-5", "x", "x", "t", Decimal(value), ""),)
    )
    with pytest.raises(Unrenderable, match=r"disclosures\[0\]\.value is"):
        render(report)


def test_a_time_without_a_zone_is_refused_with_its_place() -> None:
    naive = replace(sample_report(), period_to=datetime(2026, 4, 1))  # noqa: DTZ001 - the fault
    with pytest.raises(Unrenderable, match="period_to is 2026-04-01T00:00:00, without a time zone"):
        render(naive)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(Unrenderable, match="not Unicode"):
        render(replace(sample_report(), operator="a\ud800"))


def _without(document: dict[str, Any]) -> None:
    del document["lots"]


def _unknown(document: dict[str, Any]) -> None:
    document["lots"][0]["colour"] = "red"


def _other_schema(document: dict[str, Any]) -> None:
    document["schema"] = "tally-report/2"


def _text_as_mass(document: dict[str, Any]) -> None:
    document["lots"][0]["ticket_mg"] = "12"


def _true_as_mass(document: dict[str, Any]) -> None:
    document["lots"][0]["ticket_mg"] = True


def _exponent(document: dict[str, Any]) -> None:
    document["disclosures"][1]["value"] = "1e3"


def _no_such_day(document: dict[str, Any]) -> None:
    document["period_to"] = "2026-02-30T00:00:00Z"


def _offset(document: dict[str, Any]) -> None:
    document["period_to"] = "2026-04-01T00:00:00+00:00"


def _status(document: dict[str, Any]) -> None:
    document["invariants"][0]["status"] = "GREEN"


def _object_for_array(document: dict[str, Any]) -> None:
    document["lots"] = {}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without, "the report: the member 'lots' is missing"),
        (_unknown, r"lots\[0\]: the member 'colour' is unknown"),
        (_other_schema, "schema: expected 'tally-report/1', not 'tally-report/2'"),
        (_text_as_mass, r"lots\[0\]\.ticket_mg: expected an integer, not '12'"),
        (_true_as_mass, r"lots\[0\]\.ticket_mg: expected an integer, not True"),
        (_exponent, r"disclosures\[1\]\.value: expected a Decimal as a string"),
        (_no_such_day, "period_to: expected a time in UTC"),
        (_offset, "period_to: expected a time in UTC"),
        (_status, r"invariants\[0\]\.status: expected one of PASSED, FAILED, REVIEW_REQUIRED, not 'GREEN'"),
        (_object_for_array, "lots: expected an array, not an object"),
    ],
)
def test_what_is_no_report_is_refused_with_the_place(
    spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    document = json.loads(render(sample_report(9)))
    spoil(document)
    with pytest.raises(NotAReport, match=message):
        parse(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"schema":"tally-report/1"',
        b"\xff",
        b"[" * 100_000,
        b'{"schema":1.5}',
        b'{"schema":NaN}',
        b'{"a":1,"a":1}',
        b"9" * 5_000,
    ],
    ids=["empty", "array", "null", "cut", "bytes", "deep", "fraction", "nan", "twice", "long"],
)
def test_bytes_that_are_no_report_raise_one_line(data: bytes) -> None:
    with pytest.raises(NotAReport) as refused:
        parse(data)
    assert len(str(refused.value)) < 300
    assert isinstance(refused.value, ReportingError)


def test_white_space_and_order_are_free_for_a_reader() -> None:
    report = sample_report(9)
    document = json.loads(render(report))
    assert parse(json.dumps(dict(reversed(document.items())), indent=4).encode()) == report
