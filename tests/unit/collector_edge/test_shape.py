from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import TooLarge, Undecodable
from collector.ingest import Signal
from collector.shape import MAX_PARTS, check_shape
from tests.integration.otlp_servers import REQUESTS
from tests.otlp_requests import deposit, gauge, logs, metrics, number


def nested(*numbers: int, inside: bytes) -> bytes:
    """``inside``, in length-delimited fields of these numbers, the outermost first."""
    for field in reversed(numbers):
        length, prefix = len(inside), b""
        while length > 0x7F:
            prefix += bytes([length & 0x7F | 0x80])
            length >>= 7
        inside = bytes([field << 3 | 2]) + prefix + bytes([length]) + inside
    return inside


def test_parts_are_counted_down_to_points() -> None:
    # Resource group, resource, scope group, scope, metric, name, unit, gauge, and the points.
    body = metrics(gauge(*[number(1.5, attributes={"kind": "a"})] * 100)).SerializeToString()
    check_shape("metrics", body, 108)
    with pytest.raises(TooLarge):
        check_shape("metrics", body, 107)


def test_parts_are_counted_down_to_log_records() -> None:
    body = logs(*[deposit()] * 100).SerializeToString()
    check_shape("logs", body, 103)
    with pytest.raises(TooLarge):
        check_shape("logs", body, 102)


def test_a_short_request_is_left_to_the_parser() -> None:
    check_shape("metrics", b"\xff" * (2 * MAX_PARTS))
    with pytest.raises(Undecodable):
        check_shape("metrics", b"\xff" * (2 * MAX_PARTS + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * (8 << 20),
        b"\x08\x00" * (8 << 20),
        b"\x92\x01\x00" * (5 << 20),
        nested(1, inside=b"\x12\x00" * (8 << 20)),
        nested(1, 2, inside=b"\x12\x00" * (8 << 20)),
        nested(1, 2, 2, inside=b"\x08\x00" * (8 << 20)),
        nested(1, 2, 2, 5, inside=b"\x0a\x00" * (8 << 20)),
        nested(1, 2, 2, 9, inside=b"\x15\0\0\0\0" * (4 << 20)),
        nested(1, 1, inside=b"\x0a\x00" * (8 << 20)),
        nested(1, 2, 2, 5, 1, inside=b"\x3a\x00" * (8 << 20)),
        nested(1, 2, 2, 5, 1, 7, 2, 5, inside=b"\x0a\x00" * (8 << 20)),
        nested(1, 2, 2, 9, 1, 9, 2, 6, 1, 2, 5, inside=b"\x0a\x00" * (8 << 20)),
        nested(1, 2, 2, 10, 1, 11, 7, 2, 6, inside=b"\x0a\x00" * (8 << 20)),
    ],
)
def test_millions_of_parts_are_refused_at_once(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(TooLarge):
        check_shape("metrics", body)
    assert time.process_time() - started < 2


def test_attributes_of_a_large_record_are_counted() -> None:
    body = nested(1, 2, 2, 6, 2, 5, inside=b"\x0a\x00" * (8 << 20))
    with pytest.raises(TooLarge):
        check_shape("logs", body)


def test_attributes_of_small_records_are_not_counted() -> None:
    body = nested(1, 2, 2, inside=b"\x32\x00" * 30_000)
    check_shape("logs", body, 4)


def test_endless_nesting_is_undecodable() -> None:
    value = b""
    for _ in range(60):
        value = nested(5, 1, inside=value)
    value += b"\x0a" + b"\xff\xff\x03" + bytes(65_535)
    for _ in range(60):
        value = nested(5, 1, inside=value)
    with pytest.raises(Undecodable, match="within each other"):
        check_shape("logs", nested(1, 2, 2, 6, 2, inside=value), 1000)


@pytest.mark.parametrize(
    "end",
    [
        b"\x0a",
        b"\x0a\x05",
        b"\x0a\x80",
        b"\x09\0",
        b"\x0b\x0c",
        b"\x0f",
        b"\x08" + b"\xff" * 11,
        b"\x0a\x02\x12\x01",
    ],
)
def test_what_is_not_protobuf_is_undecodable(end: bytes) -> None:
    body = metrics(gauge(number(1.5))).SerializeToString()
    check_shape("metrics", body, 30)
    with pytest.raises(Undecodable):
        check_shape("metrics", body + end, 30)


@given(st.binary(max_size=60), st.sampled_from(sorted(REQUESTS)), st.integers(0, 12))
def test_any_bytes_pass_or_are_refused(body: bytes, signal: Signal, max_parts: int) -> None:
    try:
        check_shape(signal, body, max_parts)
    except (TooLarge, Undecodable) as error:
        assert str(error)  # noqa: PT017  (any of the two will do)
