"""Random fleets with every oddity that a collector lets through (docs/otlp.md), for Hypothesis."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st

from audit.reconcile.parameters import micros
from collector.event_mapping import MAX_MASS_MG
from tests.evidence import (
    DIGEST,
    END,
    START,
    Fleet,
    Values,
    clean_fleet,
    deposit_at,
    governance_step,
    heartbeat,
    prediction_of,
)

_MOST_INT8: Final = 2**63 - 1
MOST_OBSERVED_US: Final = 9_223_372_036_854_774
"""The last time of arrival that the evidence reads; one past it stands for a missing one."""
ODD_TEXTS: Final = (
    "a'b",
    'q"u',
    '"',
    ",",
    "back\\slash",
    "back\\",
    "pi|pe",
    "new\nline\ttab",
    "\x7f\x01",
    "стекло",
    "ガラス",
    "🍾",
    "e\u0301",
    "%_",
    "{}$1",
    "-- no comment",
    " pet",
    "PET",
    "",
)
KNOWN: Final = ("pet", "aluminium_cans", "glass", "steel_cans")
CLASSES_OF_PHOTOS: Final = ("metal", "trash")

texts = st.sampled_from(ODD_TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6
)
moments = st.one_of(
    st.integers(0, 3_600_000_000).map(lambda us: START + timedelta(microseconds=us)),
    st.sampled_from(
        [
            border + timedelta(microseconds=us)
            for border in (START, END, START - timedelta(hours=72), END + timedelta(hours=72))
            for us in (-1, 0, 1)
        ]
    ),
    st.sampled_from([START + timedelta(minutes=minute) for minute in (-90, -1, 1, 5, 30, 61, 200)]),
)
_delays = st.sampled_from(
    [0] * 6
    + [1, -1, 60_000_000, 60_000_001, -60_000_001, 3_600_000_000, 3_600_000_001, -4_000_000_000, 10**12]
)
_masses = st.sampled_from([75_000, 75_000, 42_000, 0, 1, 10**9, 10**9 + 1, MAX_MASS_MG])
_machines = st.sampled_from(["M1", "M1", "M2", 'm"\\|\n機'])
_sites = st.sampled_from([None, "hall", "hall", "сайт'"])
_transactions = st.sampled_from(["t1", "t2", "t3", "t4", "t5", "T1", "т\n'\"\\"])
_lots = st.sampled_from([None, None, "lot-1", "lot-2", "лот|"])


@st.composite
def _delay_of(draw: st.DrawFn, moment: datetime) -> int:
    """One of the usual, or so long that the time of arrival is the first or the last that can be said."""
    us = micros(moment)
    return draw(st.one_of(_delays, _delays, st.sampled_from([1 - us, MOST_OBSERVED_US - us])))


@st.composite
def _deposits(draw: st.DrawFn, materials: st.SearchStrategy[str | None]) -> Values:
    moment, mass = draw(moments), draw(_masses)
    tare = draw(st.sampled_from([None, None, 0, 500]))
    return deposit_at(
        draw(_machines),
        0,
        moment,
        delay_us=draw(_delay_of(moment)),
        site_id=draw(_sites),
        transaction_id=draw(_transactions),
        device_seq=draw(
            st.sampled_from([None, 0, 1, 2, 3, 4, 7, -1, -(2**63), 2**62, _MOST_INT8 - 1, _MOST_INT8])
        ),
        material=draw(materials),
        item_count=draw(st.sampled_from([1, 3, 3, 5, 2**53 + 1, _MOST_INT8])),
        mass_mg=mass,
        gross_mg=None if tare is None else draw(st.sampled_from([mass + tare, mass, MAX_MASS_MG, None])),
        tare_mg=tare,
        lot_id=draw(_lots),
    )


@st.composite
def _predictions(draw: st.DrawFn, deposits: list[Values], materials: st.SearchStrategy[str | None]) -> Values:
    of = draw(st.sampled_from(deposits)) if deposits else deposit_at("M1", 0, START)
    moment = of["event_time"] + timedelta(seconds=2) if draw(st.booleans()) else draw(moments)
    threshold = draw(st.sampled_from([None, 0.0, 0.5, 0.75, 1.0]))
    usual = of["material"] if draw(st.booleans()) else draw(materials)
    return prediction_of(of, 0) | {
        "machine_id": draw(st.sampled_from([of["machine_id"], "M2"])),
        "site_id": draw(_sites),
        "event_time": moment,
        "delay_us": draw(_delay_of(moment)),
        "prediction_id": draw(st.sampled_from(["p1", "p2", "p3"])),
        "transaction_id": draw(st.sampled_from([of["transaction_id"]] * 4 + [None, "nowhere"])),
        "model_id": draw(st.sampled_from(["waste", "waste", "модель"])),
        "model_version": draw(st.sampled_from(["1", "1", "2'"])),
        "model_digest": draw(st.sampled_from([DIGEST, DIGEST, None, "sha256:0"])),
        "input_digest": draw(st.sampled_from([None, "x"])),
        "material": usual or "pet",
        "confidence": draw(st.sampled_from([0.97, 0.97, 0.75, 0.7499999999999999, 0.0, -0.0, 1.0, 5e-324])),
        "threshold": threshold,
        "covers": draw(st.none() | st.lists(materials.filter(lambda m: m is not None), max_size=3)),
    }


@st.composite
def _reviews(draw: st.DrawFn, deposits: list[Values], materials: st.SearchStrategy[str | None]) -> Values:
    of = draw(st.sampled_from(deposits)) if deposits else deposit_at("M1", 0, START)
    return {
        "machine_id": draw(_machines),
        "event_time": draw(moments),
        "review_id": draw(texts),
        "transaction_id": draw(st.sampled_from([of["transaction_id"], of["transaction_id"], None])),
        "prediction_id": draw(st.sampled_from([None, "p1", "p2"])),
        "decision": draw(st.sampled_from(["confirmed", "corrected", "rejected", "hm'"])),
        "material": draw(materials),
        "reviewer": draw(texts),
    }


@st.composite
def _tickets(draw: st.DrawFn) -> Values:
    return {
        "machine_id": draw(st.sampled_from(["scale", 'sc"ale'])),
        "site_id": draw(_sites),
        "event_time": draw(moments),
        "ticket_id": draw(texts),
        "lot_id": draw(_lots) or "lot-1",
        "plant": draw(texts),
        "material": None,
        "mass_mg": draw(_masses),
        "gross_mg": None,
        "tare_mg": None,
    }


@st.composite
def _heartbeats(draw: st.DrawFn) -> Values:
    moment = draw(moments)
    return heartbeat(draw(_machines), moment, draw(_delay_of(moment))) | {"site_id": draw(_sites)}


@st.composite
def _temperatures(draw: st.DrawFn) -> list[Values]:
    """A sensor's readings, as a rule a minute apart."""
    machine, sensor, start = draw(_machines), draw(texts), draw(moments)
    values = draw(
        st.lists(
            st.sampled_from([20.0, 20.5, 55.0, 25.0005, -0.0, 5e-324, 1.7e308, -1.7e308, 31.0625, 0.1]),
            min_size=2,
            max_size=6,
        )
    )
    gaps = draw(st.lists(st.sampled_from([60, 60, 60, 0, 120, -60]), min_size=6, max_size=6))
    rows, moment = [], start
    for value, gap in zip(values, gaps, strict=False):
        rows.append({"machine_id": machine, "event_time": moment, "sensor": sensor, "value": value})
        moment += timedelta(seconds=gap)
    return rows


@st.composite
def _steps(draw: st.DrawFn) -> Values:
    return {
        "model_id": draw(st.sampled_from(["waste", "модель"])),
        "event_time": draw(moments),
        "action": draw(st.sampled_from(["trained", "approved", "approved", "refused", "retired", "hm"])),
        "model_version": draw(st.sampled_from(["1", "2'"])),
        "actor": draw(st.sampled_from(["tom", "eve", ""])),
        "model_digest": draw(st.sampled_from([DIGEST, DIGEST, None])),
    }


@st.composite
def _calibrations(draw: st.DrawFn) -> Values:
    seconds = st.sampled_from([None, 0, micros(START) // 10**6, micros(END) // 10**6, 99_999_999_999])
    begin, end = draw(seconds), draw(seconds)
    return {
        "machine_id": draw(_machines),
        "event_time": draw(moments),
        "instrument": draw(texts),
        "certificate": draw(texts),
        "valid_from_us": None if begin is None else begin * 10**6,
        "valid_until_us": None if end is None else end * 10**6,
    }


@st.composite
def _correction(draw: st.DrawFn, fleet: Fleet, materials: st.SearchStrategy[str | None]) -> dict[str, Any]:
    nowhere = st.sampled_from([("M1", None, ""), ("M1", 1, "00"), ("nobody", 10**18 - 1, "x'")])
    return {
        "machine_id": draw(st.sampled_from(["desk", "M1"])),
        "event_time": draw(moments),
        "corrects": draw(st.sampled_from(fleet.deposits) | nowhere) if fleet.deposits else draw(nowhere),
        "mass_delta_mg": draw(st.sampled_from([None, -75_000, -75_000, 1, 10**15 - 1, -(10**15 - 1)])),
        "material": draw(materials) or "",
        "reason": draw(st.sampled_from(["sent 'twice'", "sent twice", ""])),
        "actor": draw(st.sampled_from(["ann", "ann", ""])),
    }


@st.composite
def odd_fleets(draw: st.DrawFn, *, any_material: bool | None = None) -> Fleet:
    """A small fleet of anything.  ``any_material``: also materials that no factor set knows."""
    known = st.sampled_from([None, *KNOWN, "pet", "pet", "pet"])
    odd = st.one_of(known, st.sampled_from([*CLASSES_OF_PHOTOS, "a,b", "a"]), texts)
    unlimited = draw(st.booleans()) if any_material is None else any_material
    fleet = Fleet()
    fleet.deposits = draw(st.lists(_deposits(odd if unlimited else known), min_size=1, max_size=14))
    fleet.predictions = draw(st.lists(_predictions(fleet.deposits, odd), max_size=14))
    fleet.reviews = draw(st.lists(_reviews(fleet.deposits, odd), max_size=4))
    fleet.tickets = draw(st.lists(_tickets(), max_size=4))
    fleet.heartbeats = draw(st.lists(_heartbeats(), max_size=8))
    fleet.temperatures = [row for rows in draw(st.lists(_temperatures(), max_size=3)) for row in rows]
    fleet.governance = draw(st.lists(_steps(), max_size=5))
    fleet.calibrations = draw(st.lists(_calibrations(), max_size=3))
    fleet.corrections = draw(st.lists(_correction(fleet, odd if unlimited else known), max_size=4))
    return fleet


def busy_fleet() -> Fleet:
    """Every class, a breach of every rule, values at the collector's limits; beside what is in order."""
    fleet = clean_fleet(("M1", "M2", "M3"))
    _at_the_limits(fleet)
    two, three = ([fleet.deposit(m, number) for number in range(1, 11)] for m in ("M2", "M3"))
    fleet.repeat(two[0])
    fleet.repeat(two[1], mass_mg=two[1]["mass_mg"] + 1, machine_id="M3", device_seq=None)
    fleet.predictions.remove(fleet.prediction(two[2]))
    fleet.predict(two[3], covers=["pet", 'q"u', "back\\slash", "стекло"], input_digest=None)
    fleet.predict(two[3], transaction_id="nowhere")
    fleet.predict(two[3], transaction_id=None)
    fleet.prediction(two[4]).update(material="glass")
    fleet.prediction(two[5]).update(confidence=0.75, threshold=0.7500000000000001)
    fleet.review(two[6], "corrected", "steel_cans")
    fleet.review(two[7], "rejected", prediction_id=fleet.prediction(two[7])["prediction_id"])
    fleet.review(two[8], "hm", "glass")
    two[9]["delay_us"] = 3_600_000_001
    three[0].update(delay_us=-1_200_000_000, site_id=None)
    three[1].update(material=None, lot_id="стекло|\n'")
    fleet.prediction(three[2]).update(material="plastic", covers=["hdpe", three[2]["material"]])
    fleet.prediction(three[3]).update(model_version="2", model_digest=None, confidence=0.0)
    three[4]["mass_mg"] = 10**9 + 1
    fleet.correct(three[4], -(10**9), reason="typed wrong: 'kg' for \"g\"")
    fleet.governance.append(governance_step(START + timedelta(minutes=30), "retired", "eve"))
    fleet.heartbeats = [h for h in fleet.heartbeats if not _in_the_middle(h["event_time"])]
    for beat in [h for h in fleet.heartbeats if h["machine_id"] == "M3"][70:75]:
        beat["delay_us"] = 60_000_001
    fleet.tickets[1]["mass_mg"] = 0
    fleet.calibrations.pop(2)
    early = deposit_at("M3", 11, START - timedelta(minutes=2), delay_us=600_000_000, transaction_id="📦")
    fleet.deposits.append(early)
    fleet.predict(early, event_time=START + timedelta(seconds=1), delay_us=5)
    return fleet


def _at_the_limits(fleet: Fleet) -> None:
    first, second, third = (fleet.deposit("M1", number) for number in (1, 2, 3))
    for deposit in (first, second, third):
        deposit |= {"item_count": _MOST_INT8, "mass_mg": MAX_MASS_MG, "material": "pet"}
    second["device_seq"], third["device_seq"] = _MOST_INT8, -(2**63)
    first["gross_mg"], first["tare_mg"] = 0, MAX_MASS_MG
    second["delay_us"] = MOST_OBSERVED_US - micros(second["event_time"])
    third["delay_us"] = 1 - micros(third["event_time"])
    fleet.heartbeats[3]["delay_us"] = 1 - micros(fleet.heartbeats[3]["event_time"])
    for reading, value in zip(fleet.temperatures[5:], (1.7e308, -1.7e308, 5e-324, 1.7e308), strict=False):
        reading["value"] = value
    fleet.tickets[0]["mass_mg"] = MAX_MASS_MG
    fleet.calibrations[1] |= {"valid_from_us": 0, "valid_until_us": 99_999_999_999_000_000}
    fleet.correct(first, 10**15 - 1)
    fleet.correct(first, -(10**15 - 1), material="glass")
    fleet.correct(second, None)
    fleet.repeat(first, machine_id="M2", device_seq=_MOST_INT8)


def _in_the_middle(moment: datetime) -> bool:
    return START + timedelta(minutes=18, seconds=40) < moment < START + timedelta(minutes=31)
