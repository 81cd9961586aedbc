"""What may be asked, and what is refused with one line that says how to ask better."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import duckdb
import pytest

from audit.reconcile.errors import BadRequest
from audit.reconcile.masses import ItemMass, ItemMasses, item_masses, literal
from audit.reconcile.parameters import Parameters, micros, moment_of, parameters_from_json, percent, shown
from tests.evidence import END, PERIOD, START


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"start": END, "end": START},
            "from 2026-03-01T11:00:00Z is after to 2026-03-01T10:00:00Z; exchange",
        ),
        ({"end": START}, "from and to are both 2026-03-01T10:00:00Z, which leaves no time between"),
        ({"start": START.replace(tzinfo=None)}, "from has no time zone; write it like 2026-01-31T00:00:00Z"),
        ({"end": END.replace(tzinfo=None)}, "to has no time zone"),
        (
            {"materiality_ppm": 10_000, "performance_materiality_ppm": 20_000},
            "performance materiality <= materiality <= 100 %, got 2 % and 1 %",
        ),
        ({"performance_materiality_ppm": 0}, "0 % < performance materiality"),
        ({"materiality_ppm": 1_000_001}, "materiality <= 100 %"),
        ({"margin_h": 0}, "margin_h: expected a whole number from 1 to 8784, got 0"),
        ({"heartbeat_s": -30}, "heartbeat_s: expected a whole number from 1"),
        ({"late_s": True}, "late_s: expected a whole number from 1 to 31622400, got True"),
        ({"coverage_ppm": 1_000_001}, "coverage_ppm: expected a whole number from 0 to 1000000"),
        ({"lot_tolerance_ppm": "(SELECT 1)"}, "lot_tolerance_ppm: expected a whole number"),
        ({"low_confidence": "(SELECT 1)"}, "low_confidence: expected a decimal from 0 to 1"),
        ({"low_confidence": "1.01"}, "low_confidence: expected a decimal from 0 to 1, got '1.01'"),
        ({"sites": ("hall", 3)}, "sites: expected names"),
        ({"machines": "M1"}, "machines: expected names, got 'M1'"),
        (
            {"start": datetime(1, 1, 1, tzinfo=UTC)},
            "72 h around it leave the years 1 to 9999; choose another",
        ),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Parameters(**{"start": START, "end": END, **values})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parameters_survive_json() -> None:
    asked = Parameters(
        start=START + timedelta(microseconds=1), end=END, sites=("hall", 'q"'), materials=("pet",), margin_h=5
    )
    assert parameters_from_json(asked.to_json()) == asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"since": 1}, "'since' is none"),
        ({"start": "yesterday"}, "parameters: Invalid isoformat string: 'yesterday'"),
        ({"start": "2026-03-01T10:00:00"}, "no time zone"),
        ({"start": "2026-03-02T10:00:00Z"}, "is after"),
        ({"late_s": "1; DROP TABLE x"}, "late_s: expected a whole number"),
        ({"late_s": None}, "late_s: expected a whole number"),
        ({"materiality_ppm": "5"}, "parameters: "),
        ({"low_confidence": "0.5) AS x, (SELECT 1"}, "low_confidence: expected a decimal"),
        ({"sites": {"a": 1}}, "sites: expected names"),
    ],
)
def test_parameters_that_were_tampered_with_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parameters_from_json({**PERIOD.to_json(), **change})
    assert message in str(caught.value)


def test_a_missing_period_is_refused() -> None:
    content = PERIOD.to_json()
    del content["end"]
    with pytest.raises(BadRequest, match="'end'"):
        parameters_from_json(content)


def test_the_relation_parameters_says_what_was_asked() -> None:
    names = ("from_us", "to_us", "silent_limit_us", "silence_us", "low_confidence")
    with duckdb.connect() as connection:
        values = connection.execute(f"SELECT {', '.join(names)} FROM ({PERIOD.sql})").fetchall()[0]
    row = dict(zip(names, values, strict=True))
    assert (row["from_us"], row["to_us"]) == (micros(START), micros(END))
    assert row["silent_limit_us"] == 90_000_000
    assert row["silence_us"] == 60_000_000
    assert row["low_confidence"] == 0.75


def test_times_and_parts_are_shown_plainly() -> None:
    assert shown(START.astimezone(timezone(timedelta(hours=2)))) == "2026-03-01T10:00:00Z"
    assert shown(START + timedelta(microseconds=5)) == "2026-03-01T10:00:00.000005Z"
    assert moment_of(micros(START)) == START
    assert [percent(ppm) for ppm in (0, 1, 37_500, 1_000_000)] == ["0 %", "0.0001 %", "3.75 %", "100 %"]


def test_every_parameter_that_decides_is_listed_in_the_report() -> None:
    listed = {parameter.name: parameter.value for parameter in PERIOD.listed()}
    assert listed["materiality"] == "5"
    assert listed["performance materiality"] == "3.75"
    assert listed["lot tolerance"] == "1"
    assert listed["scale resolution"] == "10"
    assert len(listed) == 12


# --- item masses ---


def test_packaged_bounds_are_sensible() -> None:
    found = item_masses()
    assert len(found.digest) == 64
    names = [bound.material for bound in found.bounds]
    assert len(set(names)) == len(names)
    for bound in found.bounds:
        # The comparison in exceptions.sql takes 10^11 items for any larger number: see there.
        assert 1_000 <= bound.least_mg < bound.most_mg < 92_000_000


def test_a_mass_is_plausible_from_its_least_to_its_most() -> None:
    bound = item_masses().of("pet")
    assert bound == ItemMass("pet", 8_000, 60_000)
    assert bound is not None
    said = [bound.plausible(mg, 3) for mg in (23_999, 24_000, 180_000, 180_001)]
    assert said == [False, True, True, False]
    assert item_masses().of("unobtainium") is None
    assert item_masses().of(None) is None


def test_a_material_is_quoted_in_sql() -> None:
    masses = ItemMasses((ItemMass("it's", 1_000, 2_000), ItemMass("a\\b", 1_000, 2_000)), "")
    assert literal("it's") == "'it''s'"
    with duckdb.connect() as connection:
        assert connection.execute(masses.sql).fetchall() == [("it's", 1_000, 2_000), ("a\\b", 1_000, 2_000)]
