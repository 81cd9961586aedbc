"""The SQL twin: the same row hash, computed by PostgreSQL alone.

Generated from the stream definitions, so that two implementations that share no code (this package's
``struct`` and PostgreSQL's send functions) must agree on every byte.
"""

from __future__ import annotations

from typing import Final

from ledger.chain import FORMAT
from ledger.streams import Column, ColumnType, Stream

_SEND: Final[dict[ColumnType, str]] = {
    "timestamptz": "timestamptz_send({0})",
    "text": "textsend({0})",
    "int8": "int8send({0})",
    "float8": "float8send({0})",
    "bytea": "{0}",
    "json": "textsend({0}::text)",
}


def field_sql(column: Column, row: str) -> str:
    """An expression for the column's bytes on the wire: its length word and its data."""
    name = f'{row}."{column.name}"'
    data = _SEND[column.type].format(name)
    field = f"int4send(octet_length({data})) || {data}"
    return f"coalesce({field}, int4send(-1))" if column.nullable else field


def image_sql(stream: Stream, row: str) -> str:
    """An expression for the tuple image of ``row``, an alias of the stream's table."""
    fields = [f"int2send({len(stream.columns)}::int2)"]
    fields += [field_sql(column, row) for column in stream.hashed_columns]
    return "\n        || ".join(fields)


def genesis_sql(stream: Stream, chain: str) -> str:
    """An expression for the genesis hash of the chain that the expression ``chain`` names."""
    return f"sha256(convert_to(E'{FORMAT}\\n{stream.name}\\n' || {chain}, 'UTF8'))"


def recomputed_sql(stream: Stream, where: str = "true") -> str:
    """A query for ``chain, seq, row_hash, recomputed``, ordered by chain and seq.

    ``where`` selects whole chains: a row's predecessor is found among the selected rows.
    """
    chain = f'r."{stream.chain_column}"'
    # Every name in it comes from the stream definitions.
    return f"""\
SELECT {chain} AS chain, r.seq, r.row_hash,
    sha256(coalesce(lag(r.row_hash) OVER chain_order, {genesis_sql(stream, chain)})
        || {image_sql(stream, "r")}) AS recomputed
FROM {stream.name} AS r
WHERE {where}
WINDOW chain_order AS (PARTITION BY {chain} ORDER BY r.seq)
ORDER BY 1, 2"""  # noqa: S608


def disagreements_sql(stream: Stream) -> str:
    """A query for the number of rows, and of those whose hash PostgreSQL computes otherwise."""
    # Every name in it comes from the stream definitions.
    return f"""\
SELECT count(*) AS rows, count(*) FILTER (WHERE row_hash IS DISTINCT FROM recomputed) AS disagreeing
FROM ({recomputed_sql(stream)}) AS twin"""  # noqa: S608
