"""Which log records become rows of which stream, and which attributes become which columns.

An attribute that its column holds without loss moves there; otherwise it also stays among the attributes, as
it was sent.  A record whose event name is not in the table is a row of the events stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from typing import Final

from collector.limits import Limits, checked_text
from collector.records import Refused
from ledger.canonical import Json
from ledger.rows import Value

_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
MAX_MASS_MG: Final = 10**14
"""100,000 t: no scale weighs more, and sums of a billion such rows still fit in 128 bits."""


@dataclass(frozen=True, slots=True)
class Read:
    """A column's value, and whether the attribute is wholly in it."""

    value: Value
    lossless: bool = True


Reader = Callable[[str, Json, Limits], Read]


def _text(name: str, sent: Json, limits: Limits) -> Read:
    if not isinstance(sent, str):
        raise Refused("bad_field", f"{name} must be a string, not {_shown(sent)}")
    return Read(checked_text(sent, name, limits))


def _integer(name: str, sent: Json, _limits: Limits) -> Read:
    if isinstance(sent, bool) or not isinstance(sent, int):
        raise Refused("bad_field", f"{name} must be an integer, not {_shown(sent)}")
    return Read(sent)


def _count(name: str, sent: Json, limits: Limits) -> Read:
    read = _integer(name, sent, limits)
    if not isinstance(read.value, int) or read.value < 1:
        raise Refused("bad_field", f"{name} must be at least 1, not {_shown(sent)}")
    return read


def _probability(name: str, sent: Json, _limits: Limits) -> Read:
    if isinstance(sent, bool) or not isinstance(sent, int | float) or not 0 <= sent <= 1:
        raise Refused("bad_field", f"{name} must be between 0 and 1, not {_shown(sent)}")
    return Read(float(sent))


def _milligrams(name: str, sent: Json, _limits: Limits) -> Read:
    """Grams to whole milligrams, by the decimal digits that were sent, ties to even."""
    if isinstance(sent, bool) or not isinstance(sent, int | float | str):
        raise Refused("bad_field", f"{name} must be a number of grams, not {_shown(sent)}")
    if isinstance(sent, str) and _DECIMAL.fullmatch(sent) is None:
        raise Refused("bad_field", f"{name} must be a number of grams, not {_shown(sent)}")
    try:
        exact = Decimal(str(sent)).scaleb(3)
    except DecimalException as error:
        raise Refused("bad_field", f"{name} must be a number of grams, not {_shown(sent)}") from error
    if not exact.is_finite():
        raise Refused("not_finite", f"{name} is {sent}")
    if exact < 0:
        raise Refused("negative_mass", f"{name} is {sent} g; a mass is 0 or more")
    if exact > MAX_MASS_MG:
        raise Refused("mass_out_of_range", f"{name} is {sent} g; at most {MAX_MASS_MG // 1000} g is believed")
    rounded = int(exact.to_integral_value())
    return Read(rounded, lossless=rounded == exact and not isinstance(sent, str))


def _moment(name: str, sent: Json, _limits: Limits) -> Read:
    """RFC 3339 text to a moment; Alertmanager's year 1 means "not yet" and is null."""
    if not isinstance(sent, str):
        raise Refused("bad_field", f"{name} must be an RFC 3339 time, not {_shown(sent)}")
    try:
        moment = datetime.fromisoformat(sent)
    except ValueError as error:
        raise Refused("bad_field", f"{name} must be an RFC 3339 time, not {_shown(sent)}") from error
    if moment.tzinfo is None:
        raise Refused("bad_field", f"{name} must name its time zone, not {_shown(sent)}")
    if moment.year < 1900 or moment.year > 9998:
        return Read(None, lossless=False)
    return Read(moment.astimezone(UTC), lossless=False)


def _shown(value: Json) -> str:
    return repr(value)[:60]


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute and the column that it fills."""

    attribute: str
    column: str
    read: Reader = _text
    required: bool = False
    default: Value = None


@dataclass(frozen=True, slots=True)
class EventMapping:
    """The stream of an event name, and its fields."""

    stream: str
    fields: tuple[Field, ...]
    has_site: bool = True


_TRANSACTION: Final = "deposit.transaction_id"

EVENTS: Final[Mapping[str, EventMapping]] = {
    "machine.deposit": EventMapping(
        "transactions",
        (
            Field(_TRANSACTION, "transaction_id", required=True),
            Field("deposit.device_seq", "device_seq", _integer),
            Field("deposit.material", "material"),
            Field("deposit.item_count", "item_count", _count, default=1),
            Field("deposit.mass_g", "mass_mg", _milligrams, required=True),
            Field("deposit.gross_g", "gross_mg", _milligrams),
            Field("deposit.tare_g", "tare_mg", _milligrams),
            Field("deposit.method", "mass_method"),
            Field("lot.id", "lot_id"),
        ),
    ),
    "inference.prediction": EventMapping(
        "predictions",
        (
            Field("prediction.id", "prediction_id", required=True),
            Field(_TRANSACTION, "transaction_id"),
            Field("model.id", "model_id", required=True),
            Field("model.version", "model_version", required=True),
            Field("model.digest", "model_digest"),
            Field("prediction.input_digest", "input_digest"),
            Field("prediction.material", "material", required=True),
            Field("prediction.confidence", "confidence", _probability, required=True),
            Field("prediction.threshold", "threshold", _probability),
        ),
    ),
    "plant.scale_ticket": EventMapping(
        "scale_tickets",
        (
            Field("ticket.id", "ticket_id", required=True),
            Field("lot.id", "lot_id", required=True),
            Field("ticket.plant", "plant"),
            Field("ticket.material", "material"),
            Field("ticket.mass_g", "mass_mg", _milligrams, required=True),
            Field("ticket.gross_g", "gross_mg", _milligrams),
            Field("ticket.tare_g", "tare_mg", _milligrams),
        ),
    ),
    "review.decision": EventMapping(
        "reviews",
        (
            Field("review.id", "review_id", required=True),
            Field(_TRANSACTION, "transaction_id"),
            Field("prediction.id", "prediction_id"),
            Field("review.decision", "decision", required=True),
            Field("review.material", "material"),
            Field("review.reviewer", "reviewer", required=True),
        ),
        has_site=False,
    ),
    "alert.incident": EventMapping(
        "incidents",
        (
            Field("incident.fingerprint", "fingerprint", required=True),
            Field("incident.alert", "alert", required=True),
            Field("incident.status", "status", required=True),
            Field("incident.severity", "severity"),
            Field("incident.starts_at", "starts_at", _moment),
            Field("incident.ends_at", "ends_at", _moment),
        ),
    ),
    "model.lifecycle": EventMapping(
        "governance",
        (
            Field("model.id", "model_id", required=True),
            Field("model.action", "action", required=True),
            Field("model.version", "model_version", required=True),
            Field("model.actor", "actor", required=True),
            Field("model.digest", "model_digest"),
        ),
        has_site=False,
    ),
}


def take_columns(
    event_name: str, mapping: EventMapping, attributes: dict[str, Json], limits: Limits
) -> dict[str, Value]:
    """The mapped columns' values; attributes that are wholly in a column leave ``attributes``.

    Raises:
        Refused: a required attribute is missing or one has a value that its column can't take.
    """
    values: dict[str, Value] = {}
    for field in mapping.fields:
        sent = attributes.get(field.attribute)
        if sent is None or (sent == "" and field.required):
            if field.required:
                raise Refused("missing_field", f"a {event_name} has no {field.attribute}")
            values[field.column] = field.default
            continue
        read = field.read(field.attribute, sent, limits)
        values[field.column] = read.value
        if read.lossless:
            del attributes[field.attribute]
    return values
