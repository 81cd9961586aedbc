"""OTLP/JSON to protobuf.

OTLP specification 1.9, "JSON Protobuf Encoding", where it differs from ProtoJSON: trace and span ids are
hex, names are lowerCamelCase only, enums are integers only, unknown fields are ignored.  The rest is
ProtoJSON: 64-bit integers as numbers or strings, "NaN" and "Infinity", base64, null for unset.  Driven by the
descriptors of opentelemetry-proto, so a field that OTLP gains is read as soon as that package is updated.

Strings are carried as bytes (``bytes_mirror``): a lone surrogate, which JSON can express and UTF-8 can't,
then costs its own record, refused downstream as invalid UTF-8, and not the whole request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.bytes_mirror import with_strings_as_bytes
from collector.errors import Undecodable
from collector.ingest import Signal
from collector.json_values import Convert, Mismatch, converter, shown

MAX_DEPTH: Final = 100
"""Messages within messages; protobuf parsers give up beyond."""
_IGNORED_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Converted:
    """A request in protobuf, and what its sender should be warned of (empty if nothing)."""

    body: bytes
    warning: str


@dataclass(slots=True)
class _Walk:
    """Where the conversion is, and what it has passed over."""

    depth: int
    misspelt: set[str]


_Setter = Callable[[Any, Any, _Walk], None]
_Fields = Mapping[str, _Setter]


@dataclass(frozen=True, slots=True)
class _Repeated:
    """Stands for an object in which a key occurs twice, so that nobody can say which one counts."""

    key: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _Repeated(key)
        seen.add(key)
    raise AssertionError("fewer members than pairs, and no key twice")


def _constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is not JSON; OTLP writes "{name}", a string')


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def to_protobuf(signal: Signal, text: bytes) -> Converted:
    """The request that an OTLP/JSON body stands for.

    Raises:
        Undecodable: it is not JSON, or not of OTLP's shape; the message names the place.
    """
    try:
        document = _DECODER.decode(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"the body is not JSON: {error}") from error
    message, fields = _ROOTS[signal]
    request = message()
    walk = _Walk(0, set())
    try:
        _fill(request, document, fields, walk)
    except Mismatch as error:
        raise Undecodable(f"{error.place or 'the body'}: {error}") from error
    return Converted(request.SerializeToString(), _warning(walk.misspelt))


def _warning(misspelt: set[str]) -> str:
    if not misspelt:
        return ""
    shown = ", ".join(sorted(misspelt)[:_IGNORED_SHOWN])
    return f"ignored, because OTLP/JSON writes names in lowerCamelCase: {shown}"


def _fill(message: Any, value: Any, fields: _Fields, walk: _Walk) -> None:
    if type(value) is not dict:
        if type(value) is _Repeated:
            raise Mismatch("every key once", f'"{value.key:.40}" twice')
        raise Mismatch("an object", shown(value))
    walk.depth += 1
    if walk.depth > MAX_DEPTH:
        raise Mismatch(f"at most {MAX_DEPTH} objects within each other", "one more")
    for key, item in value.items():
        setter = fields.get(key)
        if setter is not None and item is not None:
            try:
                setter(message, item, walk)
            except Mismatch as error:
                error.within(f".{key}")
                raise
    walk.depth -= 1


def _scalar(name: str, convert: Convert) -> _Setter:
    def put(message: Any, value: Any, _: _Walk) -> None:
        setattr(message, name, convert(value))

    return put


def _scalars(name: str, convert: Convert) -> _Setter:
    def put(message: Any, value: Any, _: _Walk) -> None:
        items = getattr(message, name)
        for index, item in _elements(value):
            try:
                items.append(convert(item))
            except Mismatch as error:
                error.within(f"[{index}]")
                raise

    return put


def _message(name: str, fields: _Fields) -> _Setter:
    def put(message: Any, value: Any, walk: _Walk) -> None:
        inner = getattr(message, name)
        inner.SetInParent()  # {} is there, and is not the same as nothing
        _fill(inner, value, fields, walk)

    return put


def _messages(name: str, fields: _Fields) -> _Setter:
    def put(message: Any, value: Any, walk: _Walk) -> None:
        add = getattr(message, name).add
        for index, item in _elements(value):
            try:
                _fill(add(), item, fields, walk)
            except Mismatch as error:
                error.within(f"[{index}]")
                raise

    return put


def _elements(value: Any) -> enumerate[Any]:
    if type(value) is not list:
        raise Mismatch("an array", shown(value))
    return enumerate(value)


def _one_of(oneof: str, setter: _Setter) -> _Setter:
    def put(message: Any, value: Any, walk: _Walk) -> None:
        if (other := message.WhichOneof(oneof)) is not None:
            raise Mismatch(f"one kind of {oneof}", f"another after {other}")
        setter(message, value, walk)

    return put


def _misspelt(name: str) -> _Setter:
    def put(_message: Any, _value: Any, walk: _Walk) -> None:
        walk.misspelt.add(name)

    return put


def _setter(field: FieldDescriptor, known: dict[str, dict[str, _Setter]]) -> _Setter:
    if field.message_type is not None:
        make_message = _messages if field.is_repeated else _message
        setter = make_message(field.name, _fields(field.message_type, known))
    else:
        make_scalar = _scalars if field.is_repeated else _scalar
        setter = make_scalar(field.name, converter(field))
    oneof = field.containing_oneof
    return setter if oneof is None or len(oneof.fields) == 1 else _one_of(oneof.name, setter)


def _fields(message: Descriptor, known: dict[str, dict[str, _Setter]]) -> _Fields:
    """How to read each member of this message; messages may contain themselves."""
    if message.full_name in known:
        return known[message.full_name]
    fields = known[message.full_name] = {}
    for field in message.fields:
        fields[field.json_name] = _setter(field, known)
        if field.name != field.json_name:
            fields[field.name] = _misspelt(field.name)
    return fields


def _root(request: Descriptor) -> tuple[type[Any], _Fields]:
    return with_strings_as_bytes(request), _fields(request, {})


_ROOTS: Final[Mapping[Signal, tuple[type[Any], _Fields]]] = {
    "metrics": _root(ExportMetricsServiceRequest.DESCRIPTOR),
    "logs": _root(ExportLogsServiceRequest.DESCRIPTOR),
}
