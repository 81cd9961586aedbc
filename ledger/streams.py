"""The one definition of every stream: its columns, their types and their order.

Encoder, decoder, SQL twin, migration check and documentation follow from these tables.  The hashed
columns of a released stream are frozen: an extension goes into ``attributes``, a change of columns is a
new stream.  The order of the columns is the order of the hashed bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from ledger.errors import UnknownStream

ColumnType = Literal["timestamptz", "text", "int8", "float8", "bytea", "json"]


@dataclass(frozen=True, slots=True)
class Column:
    """A hashed column: its PostgreSQL type, and what it holds (with its unit)."""

    name: str
    type: ColumnType
    meaning: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Stream:
    """An append-only, hash-chained table with one chain for each value of ``chain_column``."""

    name: str
    chain_column: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def hashed_columns(self) -> tuple[Column, ...]:
        """The columns that ``row_hash`` covers, in the order of their bytes: all but ``row_hash``."""
        return self.columns[:-1]

    @property
    def column_names(self) -> tuple[str, ...]:
        """All columns, in table order."""
        return tuple(column.name for column in self.columns)


def _column(name: str, column_type: ColumnType, meaning: str) -> Column:
    return Column(name, column_type, meaning)


def _required(name: str, column_type: ColumnType, meaning: str) -> Column:
    return Column(name, column_type, meaning, nullable=False)


def _stream(name: str, meaning: str, *own: Column, chain_column: str = "machine_id") -> Stream:
    """A stream is the common head, its own columns, and the common tail."""
    whose = "model" if chain_column == "model_id" else "machine"
    head = (
        _required("event_time", "timestamptz", "device clock, microseconds; the hypertable's dimension"),
        _required("received_at", "timestamptz", "collector clock when the request arrived, microseconds"),
        _required(chain_column, "text", f"the chain: the {whose} that the row is about"),
        _required("seq", "int8", "position in the chain: 1, 2, 3 ... without a gap"),
        _required("resource_digest", "bytea", "SHA-256 of the sender's description, kept in resources"),
    )
    tail = (
        _required("attributes", "json", "everything else that was sent, as RFC 8785 canonical JSON text"),
        _required("row_hash", "bytea", "SHA-256 of the previous row's hash and this row's tuple image"),
    )
    return Stream(name, chain_column, meaning, head + own + tail)


_ALL: Final = (
    _stream(
        "telemetry",
        "a row for each OTLP metric data point",
        _required("metric", "text", "metric name"),
        _required("unit", "text", "UCUM unit, empty if none was sent"),
        _required("kind", "text", "gauge, sum, histogram, exponential_histogram or summary"),
        _column("start_time", "timestamptz", "start of the interval that a sum or histogram covers"),
        _column("value", "float8", "the reading; the sum of a histogram or summary; null if not recorded"),
        _column("count", "int8", "number of measurements in a histogram or summary, else null"),
    ),
    _stream(
        "transactions",
        "a row for each deposited item or batch of items",
        _required("transaction_id", "text", "the deposit's identity, given by the machine"),
        _column("device_seq", "int8", "the machine's own count of its deposits"),
        _column("site_id", "text", "where the machine stands"),
        _column("material", "text", "material that the machine declared"),
        _required("item_count", "int8", "number of items"),
        _required("mass_mg", "int8", "net mass, milligrams"),
        _column("gross_mg", "int8", "mass with container, milligrams"),
        _column("tare_mg", "int8", "mass of the container, milligrams"),
        _column("mass_method", "text", "weighed, nominal, count_mean or estimated"),
        _column("lot_id", "text", "the bin's filling, between two emptyings"),
    ),
    _stream(
        "predictions",
        "a row for each classification of a deposited item",
        _required("prediction_id", "text", "the prediction's identity"),
        _column("transaction_id", "text", "the deposit that it classifies"),
        _column("site_id", "text", "where the machine stands"),
        _required("model_id", "text", "the model that answered"),
        _required("model_version", "text", "its version"),
        _column("model_digest", "text", "digest of the model's artefact"),
        _column("input_digest", "text", "digest of the photo or readings"),
        _required("material", "text", "predicted material"),
        _required("confidence", "float8", "calibrated probability of that material, 0 to 1"),
        _column("threshold", "float8", "confidence below which a human decides, 0 to 1"),
    ),
    _stream(
        "events",
        "a row for each log record without a stream of its own: heartbeat, status, error, emptying",
        _required("event_name", "text", "OTLP event name, empty if none was sent"),
        _column("site_id", "text", "where the machine stands"),
        _column("severity_number", "int8", "OTLP severity, 1 to 24"),
        _column("body", "text", "the record's body if it is a string"),
    ),
    _stream(
        "scale_tickets",
        "a row for each lot weighed at the recycling plant",
        _required("ticket_id", "text", "the ticket's identity, given by the plant"),
        _required("lot_id", "text", "the lot that was weighed"),
        _column("site_id", "text", "where the lot came from"),
        _column("plant", "text", "the recycling plant"),
        _column("material", "text", "material of the lot if it is of one kind"),
        _required("mass_mg", "int8", "net mass, milligrams"),
        _column("gross_mg", "int8", "mass with container, milligrams"),
        _column("tare_mg", "int8", "mass of the container, milligrams"),
    ),
    _stream(
        "reviews",
        "a row for each decision of a human about a prediction",
        _required("review_id", "text", "the decision's identity"),
        _column("transaction_id", "text", "the deposit that was reviewed"),
        _column("prediction_id", "text", "the prediction that was reviewed"),
        _required("decision", "text", "confirmed, corrected or rejected"),
        _column("material", "text", "the material that the reviewer saw"),
        _required("reviewer", "text", "who decided"),
    ),
    _stream(
        "incidents",
        "a row for each state that an alert went through",
        _required("fingerprint", "text", "Alertmanager's identity of the alert"),
        _required("alert", "text", "name of the alert"),
        _required("status", "text", "opened, updated, acknowledged, annotated or resolved"),
        _column("severity", "text", "critical, warning or info"),
        _column("site_id", "text", "the site that the alert is about"),
        _column("starts_at", "timestamptz", "when the alert started"),
        _column("ends_at", "timestamptz", "when it ended"),
    ),
    _stream(
        "governance",
        "a row for each step in a model's life",
        _required("action", "text", "trained, evaluated, approved, promoted or rolled_back"),
        _required("model_version", "text", "the version that the step is about"),
        _required("actor", "text", "who took the step"),
        _column("model_digest", "text", "digest of the model's artefact"),
        chain_column="model_id",
    ),
)

STREAMS: Final[Mapping[str, Stream]] = MappingProxyType({stream.name: stream for stream in _ALL})


def stream_named(name: str) -> Stream:
    """The stream of that name.

    Raises:
        UnknownStream: there is none; the message lists the streams that exist.
    """
    try:
        return STREAMS[name]
    except KeyError:
        raise UnknownStream(f"no stream is called {name!r}; there are {', '.join(STREAMS)}") from None
