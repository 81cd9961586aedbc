"""JSON values as the values of protobuf fields: ProtoJSON's rules, and OTLP's for ids and enums.

Source: protobuf.dev, "ProtoJSON Format"; OTLP specification 1.9, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

Convert = Callable[[Any], Any]

_HEX_FIELDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
_NUMBER: Final = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,6})?", re.ASCII)
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_HEX: Final = re.compile(r"([0-9a-fA-F]{2})*", re.ASCII)
_NAMED_DOUBLES: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SHOWN: Final = 40


class Mismatch(Exception):
    """A value is not what its field takes; ``place`` is its path in the document."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self._steps: list[str] = []

    def within(self, step: str) -> None:
        """The value was found at this step of the path; called from the innermost out."""
        self._steps.append(step)

    @property
    def place(self) -> str:
        """As in ``resourceLogs[0].scopeLogs``; empty for the document itself."""
        return "".join(reversed(self._steps)).removeprefix(".")


def shown(value: object) -> str:
    """A JSON value as an error message shows it: short, whatever it is."""
    match value:
        case str():
            return json.dumps(value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
        case None | bool() | float():
            return json.dumps(value)
        case int():
            return str(value) if abs(value) < 10**_SHOWN else "a number of more than 40 digits"
        case list():
            return "an array"
        case _:
            return "an object"


def _string(value: Any) -> bytes:
    """The string's UTF-8; a lone surrogate becomes bytes that are not, and that cost their record only."""
    if type(value) is not str:
        raise Mismatch("a string", shown(value))
    return value.encode(errors="surrogatepass")


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise Mismatch("true or false", shown(value))
    return value


def _double(value: Any) -> float:
    kind = type(value)
    number = math.nan
    if kind is float:
        number = value
    elif kind is int or (kind is str and _NUMBER.fullmatch(value)):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    elif kind is str and value in _NAMED_DOUBLES:
        return _NAMED_DOUBLES[value]
    if not math.isfinite(number):  # also a number too large for a double
        raise Mismatch('a double, or the string "NaN", "Infinity" or "-Infinity"', shown(value))
    return number


def _integer(low: int, high: int, what: str) -> Convert:
    def convert(value: Any) -> int:
        kind = type(value)
        if kind is int:
            number = value
        elif kind is str and _INTEGER.fullmatch(value):
            number = int(value)
        else:
            number = _integral(value)
        if number is None or not low <= number <= high:
            raise Mismatch(what, shown(value))
        return int(number)

    return convert


def _integral(value: Any) -> int | None:
    """ProtoJSON takes 1.0 and 1e3 for integers too, as numbers and as strings."""
    if type(value) is str and _NUMBER.fullmatch(value):
        value = float(value)
    return int(value) if type(value) is float and value.is_integer() else None


def _hex(value: Any) -> bytes:
    if type(value) is not str or not _HEX.fullmatch(value):
        raise Mismatch("hexadecimal digits, two a byte", shown(value))
    return bytes.fromhex(value)


def _base64(value: Any) -> bytes:
    """Standard or URL-safe, with or without padding."""
    try:
        text = value.translate(_STANDARD_BASE64).rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (AttributeError, ValueError):
        raise Mismatch("a string in base64", shown(value)) from None


_STANDARD_BASE64: Final = str.maketrans("-_", "+/")
_INT32: Final = _integer(-(2**31), 2**31 - 1, "an integer of 32 bits")
_INT64: Final = _integer(-(2**63), 2**63 - 1, "an integer of 64 bits, as a number or a string")
_UINT32: Final = _integer(0, 2**32 - 1, "an unsigned integer of 32 bits")
_UINT64: Final = _integer(0, 2**64 - 1, "an unsigned integer of 64 bits, as a number or a string")

_CONVERTERS: Final[dict[int, Convert]] = {
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_BYTES: _base64,
    FieldDescriptor.TYPE_BOOL: _bool,
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_ENUM: _integer(-(2**31), 2**31 - 1, "an enum's integer"),
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
}


def converter(field: FieldDescriptor) -> Convert:
    """The function that reads one JSON value of this field, or raises Mismatch."""
    return _hex if field.name in _HEX_FIELDS else _CONVERTERS[field.type]
