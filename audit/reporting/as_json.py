"""A report as JSON: the canonical form, whose SHA-256 is the report's digest, and the way back.

Canonical means: UTF-8 without escapes that JSON does not need; members in the order of the model's
dataclasses, ``schema`` first; a line for each member of the report and for each row of its tables, no other
white space; Decimals as strings, plain and without trailing zeros; times RFC 3339 in UTC with ``Z``, with a
fraction only if there is one; a newline at the end.  Equal reports give equal bytes, and
``parse(render(report)) == report``.

There are no JSON numbers with a fraction; integers may be larger than what a float64 holds exactly, so that a
reader in another language must read them as integers.
"""

from __future__ import annotations

import hashlib
import json
import re
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from audit.reporting.errors import NotAReport, Unrenderable
from audit.reporting.model import SCHEMA, Report

_DECIMAL: Final = re.compile(r"(?!-0$)-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z")
_SHOWN: Final = 60
"""Characters of a wrong value that an error message repeats."""

_Decode = Callable[[object, str], object]


def render(report: Report) -> bytes:
    """The report's canonical bytes.

    Raises:
        Unrenderable: a time is naive, a Decimal is not finite, or a text is not Unicode.
    """
    lines = [f'"schema":{json.dumps(SCHEMA)}']
    for field in fields(report):
        value = getattr(report, field.name)
        if isinstance(value, tuple) and value:
            rows = ",\n".join(_text(_plain(row, f"{field.name}[{index}]")) for index, row in enumerate(value))
            lines.append(f'"{field.name}":[\n{rows}\n]')
        else:
            lines.append(f'"{field.name}":{_text(_plain(value, field.name))}')
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Unrenderable(
            f"a text of the report is not Unicode (half of a surrogate pair: {text[error.start]!a})"
        ) from error


def report_digest(report: Report) -> str:
    """SHA-256 of the canonical bytes, 64 hexadecimal digits.

    Raises:
        Unrenderable: as ``render``.
    """
    return hashlib.sha256(render(report)).hexdigest()


def decimal_text(value: Decimal, path: str = "value") -> str:
    """A Decimal without exponent and without trailing zeros, exact; zero has no sign.

    Raises:
        Unrenderable: it is infinite or not a number.
    """
    if not value.is_finite():
        raise Unrenderable(f"{path} is {value}: a report has finite numbers only")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def time_text(moment: datetime, path: str = "value") -> str:
    """RFC 3339 in UTC with ``Z``; six digits of fraction, or none.

    Raises:
        Unrenderable: the time has no zone.
    """
    if moment.tzinfo is None:
        raise Unrenderable(
            f"{path} is {moment.isoformat()}, without a time zone: a report has aware times only"
        )
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plain(value: Any, path: str) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Decimal):
        return decimal_text(value, path)
    if isinstance(value, datetime):
        return time_text(value, path)
    if isinstance(value, tuple):
        return [_plain(one, f"{path}[{index}]") for index, one in enumerate(value)]
    if is_dataclass(value):
        return {name: _plain(getattr(value, name), f"{path}.{name}") for name in value.__dataclass_fields__}
    raise Unrenderable(f"{path} is a {type(value).__name__}, which the report's JSON has no form for")


def parse(data: bytes) -> Report:
    """The report that ``data`` states; its white space and the order of its members are free.

    Raises:
        NotAReport: not JSON, another schema, a member is missing, unknown, doubled or of another type.
    """
    try:
        document = json.loads(
            data.decode("utf-8"),
            parse_float=_no_fractions,
            parse_constant=_no_fractions,
            object_pairs_hook=_object,
        )
    except NotAReport:
        raise
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise NotAReport(f"expected a report as JSON in UTF-8; it can't be read: {error}") from error
    if not isinstance(document, dict):
        raise NotAReport(f"expected a report as a JSON object, not {_kind(document)}")
    schema = document.pop("schema", None)
    if schema != SCHEMA:
        raise NotAReport(
            f"schema: expected {SCHEMA!r}, not {_repeat(schema)}; another version of tally may read it"
        )
    report = _decoder(Report)(document, "")
    assert isinstance(report, Report)
    return report


def _no_fractions(text: str) -> object:
    raise NotAReport(f"the number {text[:_SHOWN]}: a report has integers, and Decimals as strings")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise NotAReport(f"the member {_repeat(doubled)} is given twice in one object")
    return members


@cache
def _decoder(kind: Any) -> _Decode:
    """What decodes JSON into a type of the model; the model's annotations are the schema."""
    if is_dataclass(kind):
        return _dataclass_decoder(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _tuple_decoder(_decoder(arguments[0]))
    if origin is Literal:
        return _literal_decoder(arguments)
    if origin in {Union, types.UnionType}:
        (inner,) = (_decoder(argument) for argument in arguments if argument is not type(None))
        return lambda value, path: None if value is None else inner(value, path)
    return _SCALARS[kind]


def _dataclass_decoder(kind: Any) -> _Decode:
    hints = get_type_hints(kind)
    members = {field.name: _decoder(hints[field.name]) for field in fields(kind)}

    def decode(value: object, path: str) -> object:
        if not isinstance(value, dict):
            raise _unexpected(path, "an object", value)
        if value.keys() != members.keys():
            missing = [name for name in members if name not in value]
            if missing:
                raise NotAReport(f"{path or 'the report'}: the member {missing[0]!r} is missing")
            unknown = next(name for name in value if name not in members)
            raise NotAReport(f"{path or 'the report'}: the member {_repeat(unknown)} is unknown")
        start = f"{path}." if path else ""
        return kind(**{name: one(value[name], start + name) for name, one in members.items()})

    return decode


def _tuple_decoder(inner: _Decode) -> _Decode:
    def decode(value: object, path: str) -> object:
        if not isinstance(value, list):
            raise _unexpected(path, "an array", value)
        return tuple(inner(one, f"{path}[{index}]") for index, one in enumerate(value))

    return decode


def _literal_decoder(allowed: tuple[object, ...]) -> _Decode:
    def decode(value: object, path: str) -> object:
        if not isinstance(value, str) or value not in allowed:
            raise _unexpected(path, "one of " + ", ".join(map(str, allowed)), value)
        return value

    return decode


def _string(value: object, path: str) -> object:
    if not isinstance(value, str):
        raise _unexpected(path, "a string", value)
    return value


def _integer(value: object, path: str) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _unexpected(path, "an integer", value)
    return value


def _boolean(value: object, path: str) -> object:
    if not isinstance(value, bool):
        raise _unexpected(path, "true or false", value)
    return value


def _decimal(value: object, path: str) -> object:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise _unexpected(path, 'a Decimal as a string ("12.5", no exponent, no trailing zeros)', value)
    return Decimal(value)


def _time(value: object, path: str) -> object:
    expected = 'a time in UTC ("2026-01-31T00:00:00Z")'
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise _unexpected(path, expected, value)
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise _unexpected(path, expected, value) from error


_SCALARS: Final[dict[type, _Decode]] = {
    str: _string,
    int: _integer,
    bool: _boolean,
    Decimal: _decimal,
    datetime: _time,
}


def _unexpected(path: str, expected: str, value: object) -> NotAReport:
    return NotAReport(f"{path or 'the report'}: expected {expected}, not {_kind(value)}")


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else _repeat(value)


def _repeat(value: object) -> str:
    text = ascii(value)  # the terminal that shows the message is not to be steered by a file
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
