"""What becomes of log records: which stream, which columns, and what is refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_ERROR, LogRecord

from collector.errors import TooLarge
from tests.otlp_requests import NOON_NS, Plain, deposit, event, logs, resource
from tests.unit.collector.decoding import decode_logs, rows


def test_a_deposit_becomes_a_transaction_with_mass_in_milligrams() -> None:
    records = decode_logs(
        logs(deposit(gross_g=30, tare_g=4.7, method="weighed", sku="x")).SerializeToString()
    )
    (row,) = rows(records, "transactions")
    assert (row["transaction_id"], row["device_seq"], row["site_id"]) == ("t-1", 1, "site-1")
    assert (row["mass_mg"], row["gross_mg"], row["tare_mg"]) == (25_300, 30_000, 4_700)
    assert (row["material"], row["item_count"], row["mass_method"], row["lot_id"]) == (
        "pet",
        1,
        "weighed",
        "lot-1",
    )
    assert row["attributes"] == {"deposit.sku": "x"}


def test_a_mass_finer_than_a_milligram_also_stays_as_it_was_sent() -> None:
    (row,) = rows(decode_logs(logs(deposit(mass_g=0.1234567)).SerializeToString()), "transactions")
    assert row["mass_mg"] == 123
    assert row["attributes"] == {"deposit.mass_g": 0.1234567}


BAD_DEPOSITS: dict[str, tuple[dict[str, Plain], str]] = {
    "no id": ({"transaction_id": None}, "missing_field"),
    "empty id": ({"transaction_id": ""}, "missing_field"),
    "id not a string": ({"transaction_id": 7}, "bad_field"),
    "no mass": ({"mass_g": None}, "missing_field"),
    "negative mass": ({"mass_g": -0.1}, "negative_mass"),
    "negative tare": ({"tare_g": -1}, "negative_mass"),
    "nan mass": ({"mass_g": math.nan}, "not_finite"),
    "infinite mass": ({"mass_g": math.inf}, "not_finite"),
    "mass of a planet": ({"mass_g": 1e30}, "mass_out_of_range"),
    "mass as a word": ({"mass_g": "heavy"}, "bad_field"),
    "mass as a huge exponent": ({"mass_g": "1e999999999"}, "bad_field"),
    "mass with an underscore": ({"mass_g": "1_000"}, "bad_field"),
    "mass in other digits": ({"mass_g": "١٢"}, "bad_field"),
    "boolean mass": ({"mass_g": True}, "bad_field"),
    "no item": ({"item_count": 0}, "bad_field"),
    "half an item": ({"item_count": 0.5}, "bad_field"),
    "nul": ({"material": "p\x00"}, "nul_character"),
    "long": ({"material": "p" * 2000}, "text_too_long"),
}


@pytest.mark.parametrize(("attributes", "reason"), BAD_DEPOSITS.values(), ids=BAD_DEPOSITS.keys())
def test_a_bad_deposit_is_refused_and_its_neighbours_are_kept(
    attributes: dict[str, Plain], reason: str
) -> None:
    bad = deposit(**attributes)
    records = decode_logs(logs(deposit("t-0"), bad, deposit("t-2")).SerializeToString())
    assert [row["transaction_id"] for row in rows(records, "transactions")] == ["t-0", "t-2"]
    assert records.refusals == {reason: 1}


MAPPED: dict[str, tuple[str, dict[str, Plain], dict[str, object]]] = {
    "inference.prediction": (
        "predictions",
        {
            "prediction.id": "p-1",
            "deposit.transaction_id": "t-1",
            "model.id": "m",
            "model.version": "3",
            "prediction.material": "glass",
            "prediction.confidence": 0.75,
            "prediction.top": [{"material": "glass", "confidence": 0.75}],
        },
        {"prediction_id": "p-1", "model_id": "m", "material": "glass", "confidence": 0.75, "threshold": None},
    ),
    "plant.scale_ticket": (
        "scale_tickets",
        {
            "ticket.id": "k-1",
            "lot.id": "lot-1",
            "site.id": "site-of-the-lot",
            "ticket.mass_g": 12_000,
            "ticket.composition": {"pet": 0.9},
        },
        {"ticket_id": "k-1", "lot_id": "lot-1", "site_id": "site-of-the-lot", "mass_mg": 12_000_000},
    ),
    "review.decision": (
        "reviews",
        {
            "review.id": "r-1",
            "review.decision": "corrected",
            "review.reviewer": "ana",
            "review.material": "pp",
        },
        {"review_id": "r-1", "decision": "corrected", "reviewer": "ana", "material": "pp"},
    ),
    "alert.incident": (
        "incidents",
        {
            "incident.fingerprint": "f",
            "incident.alert": "MachineDown",
            "incident.status": "opened",
            "incident.starts_at": "2026-09-21T16:13:20.123456+02:00",
            "incident.ends_at": "0001-01-01T00:00:00Z",
        },
        {
            "alert": "MachineDown",
            "starts_at": datetime(2026, 9, 21, 14, 13, 20, 123456, tzinfo=UTC),
            "ends_at": None,
        },
    ),
    "model.lifecycle": (
        "governance",
        {"model.id": "waste", "model.version": "3", "model.action": "promoted", "model.actor": "eve"},
        {"model_id": "waste", "action": "promoted", "actor": "eve"},
    ),
}


@pytest.mark.parametrize("name", MAPPED)
def test_each_event_name_has_its_stream(name: str) -> None:
    stream, attributes, expected = MAPPED[name]
    records = decode_logs(logs(event(name, attributes=attributes)).SerializeToString())
    (row,) = rows(records, stream)
    assert {column: row[column] for column in expected} == expected


@pytest.mark.parametrize("name", MAPPED)
def test_a_mapped_event_without_its_fields_is_refused(name: str) -> None:
    records = decode_logs(logs(event(name), event("machine.heartbeat")).SerializeToString())
    assert records.refusals == {"missing_field": 1}
    assert len(rows(records, "events")) == 1


def test_a_confidence_over_one_is_refused() -> None:
    _, attributes, _ = MAPPED["inference.prediction"]
    record = event("inference.prediction", attributes={**attributes, "prediction.confidence": 1.01})
    assert decode_logs(logs(record).SerializeToString()).refusals == {"bad_field": 1}


def test_any_other_record_is_an_event_with_all_that_was_sent() -> None:
    record = LogRecord(
        time_unix_nano=NOON_NS,
        observed_time_unix_nano=NOON_NS + 7,
        severity_number=SEVERITY_NUMBER_ERROR,
        severity_text="ERROR",
        body=AnyValue(string_value="jam"),
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
    )
    (row,) = rows(decode_logs(logs(record).SerializeToString()), "events")
    assert (row["event_name"], row["severity_number"], row["body"]) == ("", 17, "jam")
    assert row["attributes"]["tally.otlp"] == {
        "observed_time_unix_nano": str(NOON_NS + 7),
        "severity_text": "ERROR",
        "trace_id": "01" * 16,
        "span_id": "02" * 8,
    }


def test_an_event_needs_a_time_and_a_plain_record_may_use_the_observer() -> None:
    named = event("machine.status", time_ns=0)
    named.observed_time_unix_nano = NOON_NS
    plain = LogRecord(observed_time_unix_nano=NOON_NS)
    records = decode_logs(logs(named, plain).SerializeToString())
    assert records.refusals == {"time_missing": 1}
    assert len(rows(records, "events")) == 1


def test_records_without_a_machine_are_refused_and_counted() -> None:
    records = decode_logs(logs(deposit(), deposit("t-2"), sender=resource(None)).SerializeToString())
    assert records.refusals == {"no_machine_identity": 2}


def test_a_long_or_structured_body_is_kept_among_the_attributes() -> None:
    long = LogRecord(time_unix_nano=NOON_NS, body=AnyValue(string_value="x" * 2000))
    structured = LogRecord(time_unix_nano=NOON_NS, body=AnyValue(int_value=2**60))
    first, second = rows(decode_logs(logs(long, structured).SerializeToString()), "events")
    assert (first["body"], first["attributes"]["tally.otlp"]["body"]) == (None, "x" * 2000)
    assert second["attributes"]["tally.otlp"]["body"] == str(2**60)


def test_a_small_request_of_logs_whose_rows_would_fill_the_memory_is_refused() -> None:
    heartbeat = event("machine.heartbeat")
    request = logs(*[heartbeat] * 70_000, sender=resource("m" * 1024, **{"site.id": "s" * 1024}))
    with pytest.raises(TooLarge, match="fewer records at a time"):
        decode_logs(request.SerializeToString())


def test_a_severity_that_otlp_does_not_have_is_kept_among_the_attributes() -> None:
    record = event("machine.error")
    record.MergeFromString(b"\x10\x63")  # severity_number 99
    (row,) = rows(decode_logs(logs(record).SerializeToString()), "events")
    assert row["severity_number"] is None
    assert row["attributes"]["tally.otlp"]["severity_number"] == 99


def test_a_request_spread_over_years_of_days_is_refused() -> None:
    day_ns = 86_400 * 10**9
    records = [event("machine.heartbeat", time_ns=NOON_NS - day * day_ns) for day in range(402)]
    with pytest.raises(TooLarge, match="400 days"):
        decode_logs(logs(*records).SerializeToString())
