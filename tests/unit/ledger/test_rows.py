"""Encoding refuses what has no canonical form, and decoding what is no row, each with one kind of error."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import cast

import pytest

from ledger.errors import DecodingError, EncodingError, UnknownStream
from ledger.rows import (
    COPY_HEADER,
    COPY_TRAILER,
    EPOCH,
    HASH_FIELD_LENGTH,
    Value,
    decode_image,
    encode_row,
    microseconds,
    split_copy,
    split_fields,
)
from ledger.streams import STREAMS, stream_named
from tests.ledger_writer import sample

TELEMETRY = STREAMS["telemetry"]
EVENTS = STREAMS["events"]


def with_value(column: str, value: object) -> dict[str, Value]:
    return {**sample(TELEMETRY, "rvm-1", 1), column: cast("Value", value)}  # some are wrong on purpose


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("event_time", None, "event_time must not be null"),
        ("event_time", datetime(2026, 3, 1), "an aware datetime"),  # noqa: DTZ001
        ("event_time", "2026-03-01", "an aware datetime"),
        ("metric", None, "metric must not be null"),
        ("metric", "a\x00b", "a string without NUL"),
        ("metric", "\ud800", "metric takes"),
        ("metric", 7, "a string without NUL"),
        ("value", math.nan, "a finite number"),
        ("value", math.inf, "a finite number"),
        ("value", "1", "a finite number"),
        ("value", 10**400, "value takes"),
        ("count", 2**63, "an integer of 64 bits"),
        ("count", -(2**63) - 1, "an integer of 64 bits"),
        ("count", 1.0, "an integer of 64 bits"),
        ("count", True, "an integer of 64 bits"),
        ("resource_digest", "text", "bytes"),
        ("attributes", None, "attributes must not be null"),
        ("machine_id", None, "machine_id must not be null"),
    ],
)
def test_a_value_that_its_column_cannot_hold_is_refused_by_name(
    column: str, value: object, expected: str
) -> None:
    with pytest.raises(EncodingError, match=expected):
        encode_row(TELEMETRY, with_value(column, value))


def test_an_unknown_column_is_refused_by_name() -> None:
    with pytest.raises(EncodingError, match="telemetry has no column colour"):
        encode_row(TELEMETRY, with_value("colour", "red"))


def test_a_missing_column_is_null_where_it_may_be_and_refused_where_not() -> None:
    values = sample(TELEMETRY, "rvm-1", 1)
    del values["count"]
    assert decode_image(TELEMETRY, encode_row(TELEMETRY, values).image(1))["count"] is None
    del values["metric"]
    with pytest.raises(EncodingError, match="metric"):
        encode_row(TELEMETRY, values)


def test_the_same_moment_has_the_same_bytes_in_every_time_zone() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert encode_row(TELEMETRY, with_value("event_time", moment)) == encode_row(
        TELEMETRY, with_value("event_time", elsewhere)
    )


@pytest.mark.parametrize(("moment", "expected"), [(EPOCH, 0), (EPOCH - timedelta(microseconds=1), -1)])
def test_time_counts_microseconds_from_2000(moment: datetime, expected: int) -> None:
    assert microseconds(moment) == expected


def test_the_seq_is_the_only_difference_between_two_places_of_a_row() -> None:
    row = encode_row(TELEMETRY, sample(TELEMETRY, "rvm-1", 1))
    first, second = row.image(1), row.image(2**62)
    (start,) = (index for index, (a, b) in enumerate(zip(first, second, strict=True)) if a != b and b == 0x40)
    assert (first[:start], first[start + 8 :]) == (second[:start], second[start + 8 :])


def test_every_truncation_of_an_image_is_refused() -> None:
    image = encode_row(TELEMETRY, sample(TELEMETRY, "rvm-1", 1)).image(1)
    for end in range(len(image)):
        with pytest.raises(DecodingError):
            decode_image(TELEMETRY, image[:end])


def test_an_image_of_another_stream_and_one_that_goes_on_are_refused() -> None:
    image = encode_row(EVENTS, sample(EVENTS, "rvm-1", 1)).image(1)
    with pytest.raises(DecodingError, match="has 13 fields, not 11"):
        decode_image(TELEMETRY, image)
    with pytest.raises(DecodingError, match="1 bytes follow"):
        decode_image(EVENTS, image + b"\x00")


def test_a_field_with_an_impossible_length_is_refused() -> None:
    for length in (-2, 1 << 30):
        with pytest.raises(DecodingError, match="claims"):
            split_fields(struct.pack(">hi", 1, length))


def test_bytes_that_are_no_text_or_no_number_are_refused_by_column() -> None:
    image = encode_row(EVENTS, sample(EVENTS, "rvm-1", 1)).image(1)
    with pytest.raises(DecodingError, match="event_name"):
        decode_image(EVENTS, image.replace(b"event_name 1", b"event_name \xff"))
    with pytest.raises(DecodingError, match="event_time: 8 bytes expected"):
        decode_image(EVENTS, image[:2] + struct.pack(">i", 7) + image[6:13] + image[14:])


def test_a_copy_file_is_split_into_its_tuples() -> None:
    tuples = [
        encode_row(EVENTS, sample(EVENTS, "rvm-1", number)).image(number) + HASH_FIELD_LENGTH + bytes(32)
        for number in (1, 2, 3)
    ]
    assert list(split_copy(COPY_HEADER + b"".join(tuples) + COPY_TRAILER)) == tuples
    assert list(split_copy(COPY_HEADER + COPY_TRAILER)) == []


@pytest.mark.parametrize(
    "data",
    [b"", b"PGCOPY\n", COPY_HEADER, COPY_HEADER + b"\x00\x01", COPY_HEADER + COPY_TRAILER + b"\x00"],
)
def test_what_is_no_copy_file_is_refused(data: bytes) -> None:
    with pytest.raises(DecodingError):
        list(split_copy(data))


def test_an_unknown_stream_is_told_with_those_that_exist() -> None:
    with pytest.raises(UnknownStream, match="telemetry, transactions"):
        stream_named("telemetrie")
