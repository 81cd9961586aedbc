"""Whether the tables and views that readers rely on are still the ones that the migrations made.

Chains prove rows; they say nothing of where rows are read from.  A view under a stream's name shows whoever
asks, the auditor included, what its author likes, and so does a ``<stream>_chained`` view with an expression
in the place of a column.  So the catalogue is read in the verification's own snapshot: kind, columns with
types and collations, rules, row security, hypertable, append-only triggers with their function's text, on
streams and (the row trigger) on their chunks, and the query of the view.

A view's query is compared as text, as PostgreSQL 15 to 17 print it: since 16 without the table's alias
before each column, which is removed, and with white space of its own, which counts inside of literals
only.  There is
one table in it, so that removing the alias makes no two queries the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from audit.breaks import Break, BreakKind
from ledger.streams import Stream
from store.reader import LedgerReader, Relation

_TYPES: Final = {
    "timestamptz": "timestamp with time zone",
    "text": "text C",
    "int8": "bigint",
    "float8": "double precision",
    "bytea": "bytea",
    "json": "json",
}
# tgtype: 1 row, 2 before, 8 delete, 16 update, 32 truncate.  Digests: of the text in 0001_ledger.sql.
_CHANGE: Final = "public refuse_change aee7dd93ec4bfee280ed8c13001569048eb82c9a31fefa82d47291ebfdab0012"
_RETREAT: Final = "public refuse_retreat 771e5847e03d69b704e96257265fa45e15b33261dfb011e31ebeb7da2102d355"
_KEPT: Final = (f"append_only 27 {_CHANGE}", f"no_truncate 34 {_CHANGE}")
_HEADS: Final = (f"append_only 11 {_CHANGE}", f"forward_only 19 {_RETREAT}", f"no_truncate 34 {_CHANGE}")


@dataclass(frozen=True, slots=True)
class _Table:
    columns: tuple[str, ...]
    triggers: tuple[str, ...]
    hypertable: bool


_BESIDE: Final = {
    "resources": _Table(("digest bytea", "content json"), _KEPT, hypertable=False),
    "chain_heads": _Table(
        ("stream text C", "chain text C", "seq bigint", "row_hash bytea"), _HEADS, hypertable=False
    ),
    "dropped_runs": _Table(
        (
            *("drop_number bigint", "stream text C", "chain text C"),
            *("first_seq bigint", "last_seq bigint", "last_hash bytea"),
        ),
        _KEPT,
        hypertable=False,
    ),
}
_LATER: Final = "dropped_runs"
"""A table that a database of an earlier revision does not have."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What was found: breaks, and the streams whose rows can be read all the same."""

    breaks: tuple[Break, ...]
    readable: frozenset[str]


def check_schema(reader: LedgerReader, streams: Sequence[Stream]) -> Schema:
    """Compare the catalogue with what these streams, descriptions and heads should be.

    Raises:
        store.errors.StoreError: the database can't be read.
    """
    expected = {stream.name: _table(stream) for stream in streams} | _BESIDE
    views = {f"{stream.name}_chained": stream for stream in streams}
    relations = reader.relations([*expected, *views])
    breaks: list[Break] = []
    unreadable: set[str] = set()
    for name, table in expected.items():
        if name == _LATER and name not in relations:
            continue  # then no row that is missing is excused
        wrong = list(_shape(relations.get(name), table))
        if wrong:
            unreadable.add(name)
        wrong += _triggers(relations.get(name), table)
        breaks += [_break(name, what) for what in wrong]
    for name, stream in views.items():
        breaks += [_break(stream.name, f"{name} {what}") for what in _view(relations.get(name), stream)]
    chunks: dict[str, list[str]] = {}
    for stream_name, chunk in reader.odd_chunks([stream.name for stream in streams]):
        chunks.setdefault(stream_name, []).append(chunk)
    for stream_name, odd in chunks.items():
        said = f"{len(odd)} of its chunks, {odd[0]} first, are no plain tables or lack append_only"
        breaks.append(_break(stream_name, said))
    readable = {stream.name for stream in streams} - unreadable
    return Schema(tuple(breaks), frozenset() if unreadable & set(_BESIDE) else frozenset(readable))


def _table(stream: Stream) -> _Table:
    columns = tuple(f"{column.name} {_TYPES[column.type]}" for column in stream.columns)
    return _Table(columns, _KEPT, hypertable=True)


def _shape(found: Relation | None, expected: _Table) -> Iterator[str]:
    """What makes reading it meaningless."""
    if found is None:
        yield "there is no table of that name"
        return
    if found.kind != "r":
        yield f"it is no ordinary table (pg_class.relkind {found.kind!r}), so it may show anything"
        return
    if found.hypertable is not expected.hypertable:
        yield "it is no hypertable" if expected.hypertable else "it is a hypertable"
    if found.rules:
        yield f"it has {found.rules} rewrite rules"
    if found.row_security:
        yield "row-level security is on"
    if tuple(found.columns) != expected.columns:
        other = [f"{one!r} is new" for one in found.columns if one not in expected.columns]
        other += [f"{one!r} is gone" for one in expected.columns if one not in found.columns]
        yield f"its columns differ: {', '.join(other) or 'their order'}"


def _triggers(found: Relation | None, expected: _Table) -> list[str]:
    if found is None or found.kind != "r":
        return []
    missing = [one.split()[0] for one in expected.triggers if one not in found.triggers]
    return [f"its trigger {name} is missing, off or does something else" for name in missing]


def _view(found: Relation | None, stream: Stream) -> Iterator[str]:
    if found is None or found.definition is None:
        yield "is no view"
    elif _normal(found.definition) != _normal(chained_view(stream)):
        yield "is not the view that the migration made: what it shows is not what is kept"


def chained_view(stream: Stream) -> str:
    """The query of ``<stream>_chained``, as PostgreSQL prints it."""
    columns = ", ".join(stream.column_names)
    chain = stream.chain_column
    return (
        f"SELECT {columns}, COALESCE(lag(row_hash) OVER (PARTITION BY {chain} ORDER BY seq), "  # noqa: S608
        f"sha256(convert_to(('tally/v1\n{stream.name}\n'::text || {chain}), 'UTF8'::name))) "
        f"AS previous_hash FROM {stream.name} r;"
    )


def _normal(query: str) -> str:
    """Without aliases and with single spaces, but for literals, which stay as they are."""
    parts = re.split(r"('(?:[^']|'')*')", query)
    parts[::2] = [re.sub(r"\br\.", "", re.sub(r"\s+", " ", part)) for part in parts[::2]]
    return "".join(parts).strip()


def _break(stream: str, detail: str) -> Break:
    return Break(BreakKind.SCHEMA_ALTERED, stream, "", None, None, None, detail)
