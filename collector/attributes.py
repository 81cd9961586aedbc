"""OTLP attributes as canonical JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collector.limits import Limits
from collector.records import Refused
from ledger.canonical import Json, canonical_json
from ledger.errors import EncodingError

RESERVED: Final = "tally.otlp"
"""The one attribute name that clients may not use: what OTLP keeps outside attributes is kept under it."""


def json_value(value: AnyValue) -> Json:
    """An OTLP value as JSON: bytes and large integers become strings later, in ``ledger.canonical``."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return value.bytes_value
        case "array_value":
            return [json_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return json_object(value.kvlist_value.values)
        case _:
            return None


def json_object(pairs: Iterable[KeyValue]) -> dict[str, Json]:
    """OTLP key-value pairs as a JSON object.

    Raises:
        Refused: a key comes twice; OTLP forbids it, and dropping either value would be silent loss.
    """
    result: dict[str, Json] = {}
    for pair in pairs:
        if pair.key in result:
            raise Refused("duplicate_attribute", f"attribute {pair.key[:80]!r} comes twice")
        result[pair.key] = json_value(pair.value)
    return result


def record_attributes(pairs: Iterable[KeyValue], count: int, limits: Limits) -> dict[str, Json]:
    """A record's own attributes.

    Raises:
        Refused: too many, a duplicate, or the reserved name.
    """
    if count > limits.attribute_count:
        raise Refused(
            "too_many_attributes", f"a record has {count} attributes; {limits.attribute_count} are allowed"
        )
    attributes = json_object(pairs)
    if RESERVED in attributes:
        raise Refused("reserved_attribute", f"attribute {RESERVED!r} is reserved for the collector")
    return attributes


def canonical_attributes(attributes: dict[str, Json], limits: Limits) -> bytes:
    """The canonical text of ``attributes``.

    Raises:
        Refused: it can't be JSON (NaN, infinity, NUL) or is too long.
    """
    try:
        text = canonical_json(attributes)
    except EncodingError as error:
        reason = "nul_character" if "NUL" in str(error) else "not_finite"
        raise Refused(reason, str(error)[:200]) from error
    if len(text) > limits.attributes_bytes:
        raise Refused(
            "attributes_too_large",
            f"a record's attributes take {len(text)} bytes; {limits.attributes_bytes} are allowed",
        )
    return text
