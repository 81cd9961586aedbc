"""OTLP log records to rows, by event name; see ``event_mapping`` for which goes where."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.attributes import RESERVED, canonical_attributes, json_value, record_attributes
from collector.envelope import open_request
from collector.event_mapping import EVENTS, EventMapping, take_columns
from collector.limits import Arrival, Limits, checked_text
from collector.records import Records, Refused
from collector.resources import Sender, Senders
from ledger.canonical import Json
from ledger.rows import EPOCH, encode_row
from ledger.streams import STREAMS

_PLAIN: Final = EventMapping("events", ())


class LogsDecoder:
    """Turns log requests into rows of every stream but telemetry."""

    def __init__(self, senders: Senders, limits: Limits) -> None:
        self._senders = senders
        self._limits = limits

    def decode(self, body: bytes, arrival: Arrival) -> Records:
        """The rows of a request.

        Raises:
            Undecodable: the request as a whole can't be read.
            TooLarge: its rows would take too much memory.
        """
        records = Records(most_bytes=self._limits.decoded_bytes)
        for resource in open_request("logs", body).resource_logs:
            for scope in resource.scope_logs:
                if not scope.log_records:
                    continue
                try:
                    sender = self._senders.sender(
                        resource.resource, resource.schema_url, scope.scope, scope.schema_url
                    )
                except Refused as refusal:
                    records.refuse(refusal, len(scope.log_records))
                    continue
                for data in scope.log_records:
                    try:
                        self._record(data, sender, arrival, records)
                    except Refused as refusal:
                        records.refuse(refusal)
        return records

    def _record(self, data: bytes, sender: Sender, arrival: Arrival, records: Records) -> None:
        try:
            record = LogRecord.FromString(data)
        except DecodeError as error:
            raise Refused("malformed_record", f"a log record is malformed: {error}") from error
        name = checked_text(record.event_name, "an event name", self._limits)
        mapping = EVENTS.get(name, _PLAIN)
        stream = STREAMS[mapping.stream]
        attributes = record_attributes(record.attributes, len(record.attributes), self._limits)
        values = take_columns(name, mapping, attributes, self._limits)
        if mapping is _PLAIN:
            values["event_name"] = name
            values["severity_number"] = record.severity_number if _severe(record) else None
            body = record.body.string_value
            if body and len(body.encode()) <= self._limits.text_bytes:
                values["body"] = checked_text(body, "a log body", self._limits)
        values.setdefault(stream.chain_column, sender.machine_id)
        if mapping.has_site:
            values["site_id"] = _site(attributes, self._limits) or sender.site_id
        if extras := _extras(record, body_in_column="body" in values):
            attributes[RESERVED] = extras
        event_us = _event_us(record, name, arrival)
        values |= {
            "event_time": _moment(event_us),
            "received_at": _moment(arrival.received_us),
            "resource_digest": sender.digest,
            "attributes": canonical_attributes(attributes, self._limits).decode(),
        }
        row = encode_row(stream, values)
        # What the record brings itself is in the request's size already.
        records.weigh(max(0, len(row.before) + len(row.after) - len(data)))
        records.chain(stream.name, row.chain).append((row.before, row.after))
        records.on_day(stream.name, event_us)
        records.resources[sender.digest] = sender.content
        records.sites[sender.machine_id] = sender.site_id


def _site(attributes: dict[str, Json], limits: Limits) -> str | None:
    """The site that a record is about, if it says so itself: a plant's ticket is about the lot's site."""
    site = attributes.get("site.id")
    if not isinstance(site, str) or not site:
        return None
    del attributes["site.id"]
    return checked_text(site, "site.id", limits)


def _event_us(record: LogRecord, name: str, arrival: Arrival) -> int:
    """An event must have its own time; a plain log record may have been timed by who observed it."""
    what = f"a {name}" if name else "a log record"
    time = record.time_unix_nano
    if time == 0 and not name:
        time = record.observed_time_unix_nano
    return arrival.event_us(time, what)


def _severe(record: LogRecord) -> bool:
    """Whether the severity is one that OTLP has; another number is kept among the attributes."""
    return 1 <= record.severity_number <= 24


def _extras(record: LogRecord, *, body_in_column: bool) -> dict[str, Json]:
    """What OTLP keeps of a record outside its attributes and has no column here."""
    extras: dict[str, Json] = {}
    if record.observed_time_unix_nano not in {0, record.time_unix_nano}:
        extras["observed_time_unix_nano"] = str(record.observed_time_unix_nano)
    if record.severity_number and not _severe(record):
        extras["severity_number"] = int(record.severity_number)
    if record.severity_text:
        extras["severity_text"] = record.severity_text
    if not body_in_column and record.body.WhichOneof("value") is not None:
        extras["body"] = json_value(record.body)
    if record.trace_id:
        extras["trace_id"] = record.trace_id.hex()
    if record.span_id:
        extras["span_id"] = record.span_id.hex()
    if record.flags:
        extras["flags"] = record.flags
    if record.dropped_attributes_count:
        extras["dropped_attributes_count"] = record.dropped_attributes_count
    return extras


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
