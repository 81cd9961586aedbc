"""Log events of the fleet with their wire names and attributes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from generator.clock import SECOND_NS, rfc3339
from generator.deposits import CONFIDENCE_THRESHOLD_E4
from generator.materials import MATERIAL_IDS
from generator.otlp import SEVERITY_ERROR, Event
from generator.signals import ERROR_TYPES
from generator.wire import Attribute

MODEL_ID: Final = "simulated-material-classifier"
MODEL_VERSION: Final = "1.0.0"
MODEL_DIGEST: Final = hashlib.sha256(f"{MODEL_ID} {MODEL_VERSION}".encode()).hexdigest()
HEARTBEAT_S: Final = 30

STREAM_OF_EVENT: Final = {
    "machine.deposit": "transactions",
    "inference.prediction": "predictions",
    "plant.scale_ticket": "scale_tickets",
    "review.decision": "reviews",
    "model.lifecycle": "governance",
    "machine.heartbeat": "events",
    "machine.status": "events",
    "machine.calibrated": "events",
    "machine.error": "events",
    "machine.emptied": "events",
}
"""The ledger stream in which an event ends."""

# Ranks order the events that one emitter sends in the same millisecond.
# A machine goes into service calibrated, so that comes before its status.
(
    _CALIBRATED,
    _HEARTBEAT,
    _STATUS,
    _ERROR,
    _EMPTIED,
    _PREDICTION,
    _DEPOSIT,
    _TICKET,
    _REVIEW,
    _LIFECYCLE,
) = range(10)

SCALE_RESOLUTION_G: Final = 0.1
"""Masses are whole tenths of a gram throughout."""
SCALE_UNCERTAINTY_G: Final = 0.2
"""What a certificate states for any load; our choice: twice the resolution."""

_ERROR_CODES: Final = {"jam": "E101", "sensor": "E204", "network": "E310"}


@dataclass(frozen=True, slots=True)
class Deposit:
    """One deposit with what is true of it (``material``, ``mass_dg``) and what the machine says of it.

    Masses are net and in tenths of a gram, the scale's resolution.
    """

    machine: str
    transaction_id: str
    device_seq: int
    true_ns: int
    shift_ns: int
    material: int
    declared: int
    count: int
    mass_dg: int
    reported_dg: int
    tare_dg: int
    lot_id: str
    confidence_e4: int
    lead_ms: int

    @property
    def predicted_ns(self) -> int:
        """When the machine's clock says that its prediction was made."""
        return self.true_ns - self.lead_ms * 1_000_000 + self.shift_ns

    @property
    def prediction_id(self) -> str:
        """Identity of the prediction made for it."""
        return f"pred-{self.transaction_id}"


def heartbeat(true_ns: int, time_ns: int) -> Event:
    """A sign of life."""
    return Event((true_ns, _HEARTBEAT), "machine.heartbeat", time_ns, ())


def status(true_ns: int, state: str, reason: str) -> Event:
    """A machine says how it is."""
    return Event((true_ns, _STATUS), "machine.status", true_ns, (("status", state), ("reason", reason)))


def calibrated(at_ns: int, machine: str, from_ns: int, until_ns: int) -> Event:
    """The machine's scale is calibrated, from and until whole seconds."""
    pairs: tuple[Attribute, ...] = (
        ("calibration.instrument", "scale"),
        ("calibration.certificate", f"cal-{machine}-{rfc3339(from_ns)[:10].replace('-', '')}"),
        ("calibration.valid_from_unix", from_ns // SECOND_NS),
        ("calibration.valid_until_unix", until_ns // SECOND_NS),
        ("calibration.resolution_g", SCALE_RESOLUTION_G),
        ("calibration.uncertainty_g", SCALE_UNCERTAINTY_G),
    )
    return Event((at_ns, _CALIBRATED), "machine.calibrated", at_ns, pairs)


def error(true_ns: int, kind: int) -> Event:
    """An ordinary error."""
    name = ERROR_TYPES[kind]
    pairs: tuple[Attribute, ...] = (("error.type", name), ("error.code", _ERROR_CODES[name]))
    return Event((true_ns, _ERROR, kind), "machine.error", true_ns, pairs, SEVERITY_ERROR)


def emptied(true_ns: int, lot_id: str, fill_before: float) -> Event:
    """The hopper was emptied: the lot is closed."""
    pairs: tuple[Attribute, ...] = (("lot.id", lot_id), ("machine.fill.before", fill_before))
    return Event((true_ns, _EMPTIED), "machine.emptied", true_ns, pairs)


def deposit(item: Deposit, sent_ns: int, copy: int = 0) -> Event:
    """The record of a deposit; ``copy`` counts the times that it was sent before."""
    return Event(
        (sent_ns, _DEPOSIT, item.device_seq, copy),
        "machine.deposit",
        item.true_ns + item.shift_ns,
        (
            ("deposit.transaction_id", item.transaction_id),
            ("deposit.device_seq", item.device_seq),
            ("deposit.material", MATERIAL_IDS[item.declared]),
            ("deposit.item_count", item.count),
            ("deposit.mass_g", item.reported_dg / 10),
            ("deposit.gross_g", (item.reported_dg + item.tare_dg) / 10),
            ("deposit.tare_g", item.tare_dg / 10),
            ("deposit.method", "weighed"),
            ("lot.id", item.lot_id),
        ),
    )


def prediction(item: Deposit, sent_ns: int) -> Event:
    """The classifier's answer: always the true material, made just before the deposit."""
    left = 10_000 - item.confidence_e4
    kinds = len(MATERIAL_IDS)
    top = (
        (MATERIAL_IDS[item.material], item.confidence_e4 / 10_000),
        (MATERIAL_IDS[(item.material + 1) % kinds], left * 7 // 10 / 10_000),
        (MATERIAL_IDS[(item.material + 3) % kinds], left * 2 // 10 / 10_000),
    )
    return Event(
        (sent_ns, _PREDICTION, item.device_seq),
        "inference.prediction",
        item.predicted_ns,
        (
            ("prediction.id", item.prediction_id),
            ("deposit.transaction_id", item.transaction_id),
            ("model.id", MODEL_ID),
            ("model.version", MODEL_VERSION),
            ("model.digest", MODEL_DIGEST),
            ("prediction.input_digest", hashlib.sha256(item.transaction_id.encode()).hexdigest()),
            ("prediction.material", MATERIAL_IDS[item.material]),
            ("prediction.confidence", item.confidence_e4 / 10_000),
            ("prediction.threshold", CONFIDENCE_THRESHOLD_E4 / 10_000),
            ("prediction.top", top),
        ),
    )


def scale_ticket(
    at_ns: int,
    *,
    order: tuple[int, int],
    plant: str,
    site_id: str,
    lot_id: str,
    mass_dg: int,
    tare_dg: int,
    composition_e4: tuple[tuple[str, int], ...],
) -> Event:
    """The plant weighed a lot; ``order`` is machine number and lot number, for lots weighed at one time."""
    pairs: tuple[Attribute, ...] = (
        ("ticket.id", f"ticket-{lot_id}"),
        ("lot.id", lot_id),
        ("site.id", site_id),
        ("ticket.plant", plant),
        ("ticket.mass_g", mass_dg / 10),
        ("ticket.gross_g", (mass_dg + tare_dg) / 10),
        ("ticket.tare_g", tare_dg / 10),
        ("ticket.composition", tuple((name, part / 10_000) for name, part in composition_e4)),
    )
    return Event((at_ns, _TICKET, *order), "plant.scale_ticket", at_ns, pairs)


def review(at_ns: int, machine: int, item: Deposit, reviewer: str) -> Event:
    """A human confirms an unsure prediction."""
    pairs: tuple[Attribute, ...] = (
        ("review.id", f"review-{item.transaction_id}"),
        ("deposit.transaction_id", item.transaction_id),
        ("prediction.id", item.prediction_id),
        ("review.decision", "confirmed"),
        ("review.material", MATERIAL_IDS[item.material]),
        ("review.reviewer", reviewer),
    )
    return Event((at_ns, _REVIEW, machine, item.device_seq), "review.decision", at_ns, pairs)


def model_lifecycle(start_ns: int) -> list[Event]:
    """The simulated model was trained, evaluated, approved by somebody else and promoted before the start."""
    steps = (
        ("trained", "trainer@simulated"),
        ("evaluated", "trainer@simulated"),
        ("approved", "approver@simulated"),
        ("promoted", "operator@simulated"),
    )
    return [
        Event(
            (start_ns, _LIFECYCLE, number),
            "model.lifecycle",
            start_ns - (len(steps) - number) * 3_600 * SECOND_NS,
            (
                ("model.id", MODEL_ID),
                ("model.version", MODEL_VERSION),
                ("model.action", action),
                ("model.actor", actor),
                ("model.digest", MODEL_DIGEST),
            ),
        )
        for number, (action, actor) in enumerate(steps)
    ]
