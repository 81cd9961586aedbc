"""Every rule: a fleet that keeps it, and the same fleet with one thing broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from audit.esg.factors import AvoidedFactors, built_in
from audit.invariants import rules
from audit.reconcile.errors import BadRequest
from audit.reconcile.masses import item_masses
from audit.reconcile.parameters import micros
from audit.reconcile.run import report_on
from audit.reporting.model import Offender, Position, Status
from tests.evidence import (
    END,
    ITEM_MG,
    PERIOD,
    START,
    Fleet,
    Reconciled,
    asker,
    clean_fleet,
    deposit_at,
    governance_step,
    reconciled,
)

PET, GLASS = 3 * ITEM_MG["pet"], 3 * ITEM_MG["glass"]
"""What a deposit of a clean fleet weighs.  Number 3, 6 and 9 of a machine are PET."""
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Broken:
    """One thing broken, and what its rule must say."""

    rule: str
    by: Callable[[Fleet], object]
    status: Status
    sentence: str
    offender: str
    """Subject and detail of the worst."""
    position: Position | None
    checked: int = 20
    exceptions: int = 1
    effects: Mapping[str, int] = field(default_factory=dict)
    """Milligrams by material."""
    co2e: str = "0"
    """Sign of the effect on avoided CO2e."""


def _silence(fleet: Fleet) -> None:
    """M1 is not heard from 10:18:30 to 10:32:00; it records deposits at 10:20, 10:25 and 10:30."""
    begin, end = START + timedelta(minutes=18, seconds=30), START + timedelta(minutes=32)
    fleet.heartbeats = [
        h for h in fleet.heartbeats if h["machine_id"] != "M1" or not begin < h["event_time"] < end
    ]


def _lose(fleet: Fleet, *numbers: int) -> None:
    for number in numbers:
        lost = fleet.deposit("M1", number)
        fleet.predictions.remove(fleet.prediction(lost))
        fleet.deposits.remove(lost)


def _slow_clock(fleet: Fleet) -> None:
    """Ten minutes of M1's heartbeats arrive two minutes after what they say."""
    for beat in [h for h in fleet.heartbeats if h["machine_id"] == "M1"][20:41]:
        beat["delay_us"] = 120_000_000


def _repeat(fleet: Fleet, **values: object) -> None:
    fleet.repeat(fleet.deposit("M1", 3), **values)


def _before_the_period(fleet: Fleet) -> None:
    deposit = deposit_at("M1", 0, START - timedelta(minutes=2), delay_us=600_000_000)
    fleet.deposits.append(deposit)
    fleet.predict(deposit)


def _warm(fleet: Fleet, first: int, last: int, by: float) -> None:
    for reading in fleet.temperatures[first:last]:
        reading["value"] += by


_TAKEN: Final = "; the mass of a transaction was reported more than once."
_APPROVAL: Final = "20 predictions come from a version without an approval in force."
_NO_APPROVAL: Final = "waste 1: 20 of 20 predictions without an approval in force"
_MISDECLARED: Final = (
    "1 deposit was declared as one material and recognised as another: the total mass stays, but its CO2e "
    "does not."
)
_UNSURE: Final = "1 deposit rests on a prediction that was unsure and that nobody confirmed."
_LOST: Final = (
    "missing in the machines' own counts; what was lost is estimated from the same machine's deposits and "
    "stays apart from what was measured."
)
_CONTRADICTS: Final = (
    "The ledger contradicts itself in 2 places: no figure of this report can be relied on until that is "
    "explained."
)
_SENSORS: Final = "; no mass depends on it, but the sensors need a look."

BROKEN: Final = {
    "the same record again": Broken(
        "transactions_unique",
        _repeat,
        "FAILED",
        f"1 record repeats another{_TAKEN}",
        "M1-3: repeats a transaction that is on record already, with 75.0 g",
        Position("transactions", "M1", 11),
        checked=21,
        effects={"pet": PET},
        co2e="+",
    ),
    "the same transaction with another mass": Broken(
        "transactions_unique",
        lambda fleet: _repeat(fleet, mass_mg=PET + 5_000),
        "FAILED",
        f"1 record contradicts another{_TAKEN}",
        "M1-3: contradicts a transaction that is on record already, with 80.0 g",
        Position("transactions", "M1", 11),
        checked=21,
        effects={"pet": PET + 5_000},
        co2e="+",
    ),
    "no prediction": Broken(
        "one_prediction",
        lambda fleet: fleet.predictions.remove(fleet.prediction(fleet.deposit("M1", 3))),
        "REVIEW_REQUIRED",
        "1 deposit rests on the machine's word alone.",
        "M1-3: no prediction names this transaction",
        Position("transactions", "M1", 3),
        effects={"pet": PET},
        co2e="+",
    ),
    "two predictions": Broken(
        "one_prediction",
        lambda fleet: fleet.predict(fleet.deposit("M1", 3)),
        "REVIEW_REQUIRED",
        "1 prediction comes after a first one.",
        "M1-3: a second prediction of this transaction",
        Position("predictions", "M1", 11),
    ),
    "a prediction of nothing": Broken(
        "no_orphan_prediction",
        lambda fleet: fleet.predict(fleet.deposit("M1", 3), transaction_id="nowhere"),
        "REVIEW_REQUIRED",
        "1 prediction has no deposit, which was probably lost.",
        "nowhere: predicted pet, but no deposit of this transaction is on record",
        Position("predictions", "M1", 11),
        checked=21,
    ),
    "another material is recognised": Broken(
        "material_agrees",
        lambda fleet: fleet.prediction(fleet.deposit("M1", 3)).update(material="glass"),
        "FAILED",
        _MISDECLARED,
        "M1-3: declared pet, recognised as glass",
        Position("transactions", "M1", 3),
        effects={"pet": PET, "glass": -PET},
        co2e="+",
    ),
    "a material that avoids more is recognised": Broken(
        "material_agrees",
        lambda fleet: fleet.prediction(fleet.deposit("M1", 3)).update(material="aluminium_cans"),
        "FAILED",
        _MISDECLARED,
        "M1-3: declared pet, recognised as aluminium_cans",
        Position("transactions", "M1", 3),
        effects={"pet": PET, "aluminium_cans": -PET},
        co2e="-",
    ),
    "something without a factor is recognised": Broken(
        "material_agrees",
        lambda fleet: fleet.prediction(fleet.deposit("M1", 3)).update(material="trash"),
        "FAILED",
        _MISDECLARED,
        "M1-3: declared pet, recognised as trash",
        Position("transactions", "M1", 3),
        effects={"pet": PET},
        co2e="+",
    ),
    "nothing is declared": Broken(
        "material_agrees",
        lambda fleet: fleet.deposit("M1", 3).update(material=None),
        "FAILED",
        _MISDECLARED,
        "M1-3: declared nothing, recognised as pet",
        Position("transactions", "M1", 3),
        effects={"": PET, "pet": -PET},
        co2e="unknown",
    ),
    "a human sees another material": Broken(
        "material_agrees",
        lambda fleet: fleet.review(fleet.deposit("M1", 3), "corrected", "glass"),
        "FAILED",
        _MISDECLARED,
        "M1-3: declared pet, recognised as glass",
        Position("transactions", "M1", 3),
        effects={"pet": PET, "glass": -PET},
        co2e="+",
    ),
    "an unsure prediction": Broken(
        "confidence_sufficient",
        lambda fleet: fleet.prediction(fleet.deposit("M1", 3)).update(confidence=0.5),
        "REVIEW_REQUIRED",
        _UNSURE,
        "M1-3: confidence 0.50 and no review",
        Position("transactions", "M1", 3),
        effects={"pet": PET},
        co2e="+",
    ),
    "a prediction below its own threshold": Broken(
        "confidence_sufficient",
        lambda fleet: fleet.prediction(fleet.deposit("M1", 3)).update(threshold=0.98),
        "REVIEW_REQUIRED",
        _UNSURE,
        "M1-3: confidence 0.97 and no review",
        Position("transactions", "M1", 3),
        effects={"pet": PET},
        co2e="+",
    ),
    "a prediction that a human rejected": Broken(
        "confidence_sufficient",
        lambda fleet: fleet.review(fleet.deposit("M1", 3), "rejected"),
        "REVIEW_REQUIRED",
        _UNSURE,
        "M1-3: a human rejected it",
        Position("transactions", "M1", 3),
        effects={"pet": PET},
        co2e="+",
    ),
    "a lost deposit": Broken(
        "device_seq_gapless",
        lambda fleet: _lose(fleet, 3),
        "FAILED",
        f"1 deposit is {_LOST}",
        "M1: number 3 is missing",
        Position("transactions", "M1", 3),
        checked=19,
    ),
    "two lost deposits": Broken(
        "device_seq_gapless",
        lambda fleet: _lose(fleet, 3, 4),
        "FAILED",
        f"2 deposits are {_LOST}",
        "M1: numbers 3 to 4 are missing",
        Position("transactions", "M1", 3),
        checked=18,
    ),
    "a slow clock": Broken(
        "times_consistent",
        _slow_clock,
        "REVIEW_REQUIRED",
        "A clock was off in 1 stretch of time.",
        "M1: the clock was off by up to 120 s, for 10 min",
        Position("events", "M1", 22),
    ),
    "a late deposit": Broken(
        "times_consistent",
        lambda fleet: fleet.deposit("M1", 3).update(delay_us=2 * HOUR_US),
        "REVIEW_REQUIRED",
        "1 deposit arrived late.",
        "M1-3: arrived 120 min after its event",
        Position("transactions", "M1", 3),
    ),
    "a deposit that arrived before the period that it claims": Broken(
        "cut_off",
        lambda fleet: fleet.deposit("M1", 3).update(delay_us=-1_200_000_000),
        "FAILED",
        "1 deposit claims the period but arrived before it.",
        "M1-3: claims the period, but arrived before it began",
        Position("transactions", "M1", 3),
        effects={"pet": PET},
        co2e="+",
    ),
    "a deposit of the time before that arrived in the period": Broken(
        "cut_off",
        _before_the_period,
        "REVIEW_REQUIRED",
        "1 deposit arrived in the period and belongs to another.",
        "M1-0: arrived in the period, but claims another",
        Position("transactions", "M1", 11),
    ),
    "a deposit that arrived after the period": Broken(
        "cut_off",
        lambda fleet: fleet.deposit("M1", 3).update(delay_us=2 * HOUR_US),
        "REVIEW_REQUIRED",
        "1 deposit of the period arrived after its end.",
        "M1-3: of the period, but arrived after its end",
        Position("transactions", "M1", 3),
    ),
    "a mass that no three bottles have": Broken(
        "mass_plausible",
        lambda fleet: fleet.deposit("M1", 3).update(mass_mg=1_000_000),
        "FAILED",
        "1 mass is none that the items can have.",
        "M1-3: 1,000.0 g for 3 of pet",
        Position("transactions", "M1", 3),
        effects={"pet": 1_000_000},
        co2e="+",
    ),
    "a net mass that is not gross minus tare": Broken(
        "mass_plausible",
        lambda fleet: fleet.deposit("M1", 3).update(gross_mg=80_000, tare_mg=0),
        "FAILED",
        "1 mass is not gross minus tare.",
        "M1-3: net 75.0 g is not gross minus tare",
        Position("transactions", "M1", 3),
        effects={"pet": PET},
        co2e="+",
    ),
    "a lot that weighs less at the plant": Broken(
        "lots_balance",
        lambda fleet: fleet.tickets[0].update(mass_mg=fleet.tickets[0]["mass_mg"] - 100_000),
        "FAILED",
        "1 lot differs from the plant's ticket by too much.",
        "M1-lot-0: recorded 1,959.0 g, weighed 1,859.0 g: 100.0 g apart",
        Position("scale_tickets", "plant-scale", 1),
        checked=2,
    ),
    "a closed lot that nobody weighed": Broken(
        "lots_balance",
        lambda fleet: fleet.tickets.pop(0),
        "REVIEW_REQUIRED",
        "1 closed lot has no ticket.",
        "M1-lot-0: no ticket for 1,959.0 g",
        None,
        checked=2,
    ),
    "deposits in a silence": Broken(
        "machine_up",
        _silence,
        "FAILED",
        "3 deposits were recorded while the machine gave no sign of life.",
        "M1-5: recorded within a silence of 13 min",
        Position("transactions", "M1", 5),
        exceptions=3,
    ),
    "a silence": Broken(
        "heartbeats_unbroken",
        _silence,
        "REVIEW_REQUIRED",
        "1 silence, 13 min in all: what happened in them is unknown, and each needs an explanation.",
        "M1: silent for 13 min",
        None,
        checked=214,
    ),
    "a machine that was hardly heard": Broken(
        "heartbeat_coverage",
        _silence,
        "FAILED",
        "1 machine was heard too little, so figures may be incomplete.",
        "M1: silent for 13 min of the period",
        None,
        checked=2,
    ),
    "a version that nobody approved": Broken(
        "model_approved", lambda fleet: fleet.governance.pop(), "FAILED", _APPROVAL, _NO_APPROVAL, None
    ),
    "a version that its trainer approved": Broken(
        "model_approved",
        lambda fleet: fleet.governance[1].update(actor="tom"),
        "FAILED",
        _APPROVAL,
        _NO_APPROVAL,
        None,
    ),
    "a version that was retired": Broken(
        "model_approved",
        lambda fleet: fleet.governance.append(governance_step(START, "retired", "eve")),
        "FAILED",
        _APPROVAL,
        _NO_APPROVAL,
        None,
    ),
    "an artefact that is not the approved one": Broken(
        "model_approved",
        lambda fleet: fleet.prediction(fleet.deposit("M1", 3)).update(model_digest="sha256:0"),
        "FAILED",
        "1 prediction comes from a version without an approval in force.",
        "waste 1: 1 of 1 predictions without an approval in force",
        None,
    ),
    "no calibration": Broken(
        "calibration_valid",
        lambda fleet: fleet.calibrations.pop(0),
        "REVIEW_REQUIRED",
        "1 machine has no calibration on record.",
        "M1: no calibration on record",
        None,
        checked=2,
    ),
    "a calibration that ends too early": Broken(
        "calibration_valid",
        lambda fleet: fleet.calibrations[0].update(valid_until_us=micros(END) - 1_000_000),
        "FAILED",
        "1 machine weighed without a valid calibration at times.",
        "M1: its calibrations do not cover the whole period",
        None,
        checked=2,
    ),
    "a spike": Broken(
        "temperature_credible",
        lambda fleet: _warm(fleet, 20, 21, 40.0),
        "REVIEW_REQUIRED",
        f"1 spike of temperature{_SENSORS}",
        "M1: spike of +39.0 Cel",
        Position("telemetry", "M1", 21),
        checked=120,
    ),
    "a drift that ends": Broken(
        "temperature_credible",
        lambda fleet: _warm(fleet, 20, 60, -8.0),
        "REVIEW_REQUIRED",
        f"1 drift of temperature{_SENSORS}",
        "M1: drift of -9.0 Cel",
        Position("telemetry", "M1", 21),
        checked=120,
    ),
}

KEPT: Final = {
    "confidence_sufficient": lambda fleet: (
        fleet.prediction(fleet.deposit("M1", 3)).update(confidence=0.5),
        fleet.review(fleet.deposit("M1", 3), "confirmed", "pet"),
    ),
    "material_agrees": lambda fleet: fleet.prediction(fleet.deposit("M1", 3)).update(
        material="plastic", covers=["hdpe", "pet"]
    ),
    "model_approved": lambda fleet: fleet.governance.append(governance_step(END, "retired", "eve")),
    "lots_balance": lambda fleet: fleet.tickets[0].update(mass_mg=fleet.tickets[0]["mass_mg"] - 29_000),
    "times_consistent": lambda fleet: fleet.deposit("M1", 3).update(delay_us=HOUR_US),
    "temperature_credible": lambda fleet: _warm(fleet, 20, 60, 5.0),
    "cut_off": lambda fleet: fleet.deposit("M1", 3).update(delay_us=-900_000_000),
    "mass_plausible": lambda fleet: fleet.deposit("M1", 3).update(gross_mg=PET + 500, tare_mg=500),
}
"""Just within what a rule allows."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reconciled]:
    """The clean fleet, computed once."""
    computed = reconciled(clean_fleet(), tmp_path_factory.mktemp("clean"))
    yield computed
    computed.close()


def shown(offender: Offender) -> str:
    return f"{offender.subject}: {offender.detail}"


def with_factor(effects: Mapping[str, int]) -> dict[str, int]:
    """What a report adds up: nothing is added to what has no factor."""
    return {
        material: mg
        for material, mg in effects.items()
        if mg > 0 or asker().factors.why_not(material) is None
    }


@pytest.mark.parametrize("name", [rule.name for rule in rules()])
def test_a_clean_fleet_keeps_the_rule(clean: Reconciled, name: str) -> None:
    said = clean.rule(name)
    assert (said.status, said.exceptions, said.worst) == ("PASSED", 0, ())
    assert said.checked > 0
    assert said.effect.mass.mg == 0
    assert said.effect.co2e.g == 0
    assert said.sentence.endswith(".")


@pytest.mark.parametrize("name", KEPT)
def test_what_a_rule_just_allows_is_kept(tmp_path: Path, name: str) -> None:
    fleet = clean_fleet()
    KEPT[name](fleet)
    assert reconciled(fleet, tmp_path).rule(name).status == "PASSED"


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_fleet_with_one_thing_broken_breaks_the_rule(tmp_path: Path, broken: Broken) -> None:
    fleet = clean_fleet()
    broken.by(fleet)
    computed = reconciled(fleet, tmp_path)
    said = computed.rule(broken.rule)
    assert (said.status, said.sentence) == (broken.status, broken.sentence)
    assert (said.checked, said.exceptions) == (broken.checked, broken.exceptions)
    effects = with_factor(computed.results.answers[broken.rule].effects)
    assert effects == broken.effects
    assert said.effect.mass.mg == sum(broken.effects.values())
    assert sign(said.effect.co2e.g) == broken.co2e
    worst = said.worst[0]
    assert shown(worst) == broken.offender
    assert worst.positions == (() if broken.position is None else (broken.position,))
    if broken.exceptions == 1:
        assert (worst.effect_mg, worst.effect_co2e_g) == (said.effect.mass.mg, said.effect.co2e.g)
    computed.close()


def sign(value: Decimal | None) -> str:
    if value is None:
        return "unknown"
    return "0" if value == 0 else "+" if value > 0 else "-"


@pytest.mark.parametrize(
    ("intact", "status", "checked", "sentence"),
    [
        (True, "PASSED", 402, "Every chain verifies; no row was altered, added or removed."),
        (None, "REVIEW_REQUIRED", 0, "The ledger was not verified: no figure is better than its rows."),
        (
            False,
            "FAILED",
            402,
            _CONTRADICTS,
        ),
    ],
)
def test_the_ledger_is_intact_only_if_verification_says_so(
    clean: Reconciled, intact: bool | None, status: Status, checked: int, sentence: str
) -> None:
    breaks: dict[str, Any] = {"intact": intact, "break_count": 0 if intact is not False else 2, "breaks": []}
    report = report_on(PERIOD, clean.results, breaks, item_masses(), asker())
    said = next(rule for rule in report.invariants if rule.name == "ledger_intact")
    assert (said.status, said.checked, said.sentence) == (status, checked, sentence)
    assert said.exceptions == breaks["break_count"]


def test_every_rule_has_a_case_that_breaks_it() -> None:
    tested = {broken.rule for broken in BROKEN.values()} | {"ledger_intact"}
    assert tested == {rule.name for rule in rules()}


def test_without_a_whole_lot_nothing_was_weighed(tmp_path: Path) -> None:
    fleet = clean_fleet()
    for deposit in fleet.deposits:
        deposit["lot_id"] = None
    said = reconciled(fleet, tmp_path).rule("lots_balance")
    assert (said.status, said.checked, said.exceptions) == ("REVIEW_REQUIRED", 0, 0)
    assert said.sentence == "No whole lot ended in the period, so nothing was weighed against it."


@pytest.mark.parametrize(("items", "status"), [(999, "FAILED"), (1_000, "PASSED"), (10**9, "PASSED")])
def test_a_thousand_items_are_the_most_that_bear_out_a_mass(
    tmp_path: Path, items: int, status: Status
) -> None:
    fleet = clean_fleet()
    fleet.deposit("M1", 3).update(item_count=items, mass_mg=60_000_000)
    assert reconciled(fleet, tmp_path / "most").rule("mass_plausible").status == status
    fleet.deposit("M1", 3)["mass_mg"] += 1
    assert reconciled(fleet, tmp_path / "more").rule("mass_plausible").status == "FAILED"


def test_every_material_with_a_factor_has_bounds() -> None:
    factors = AvoidedFactors(built_in().named("epa-warm", "15"))
    bounded = {bound.material for bound in item_masses().bounds}
    assert {m for m in ("mixed_metals", "mixed_plastics", *bounded) if factors.why_not(m) is None} == bounded


def test_calibrations_that_leave_days_between_them_are_no_valid_one(tmp_path: Path) -> None:
    day_us = 24 * HOUR_US
    begin, end = micros(PERIOD.start), micros(PERIOD.end)
    cases = {
        "follows": ((begin - day_us, begin + 1), (begin + 1, end)),
        "within a day": ((begin - day_us, begin + 1), (begin + 1 + day_us, end + day_us)),
        "a day between": ((begin - day_us, begin + 1), (begin + 2 + day_us, end + 2 * day_us)),
        "before and after": ((begin - 2 * day_us, begin - day_us), (end, end + day_us)),
        "begins late": ((begin + 1, end),),
    }
    found = {}
    for name, spans in cases.items():
        fleet = clean_fleet()
        known = fleet.calibrations.pop(0)
        fleet.calibrations += [known | {"valid_from_us": a, "valid_until_us": b} for a, b in spans]
        found[name] = reconciled(fleet, tmp_path / name).rule("calibration_valid").status
    assert [name for name, status in found.items() if status == "PASSED"] == ["follows", "within a day"]
    assert set(found.values()) == {"PASSED", "FAILED"}


def test_a_second_ticket_of_more_mass_does_not_balance_a_lot(tmp_path: Path) -> None:
    fleet = clean_fleet()
    true, day = fleet.tickets[0], timedelta(days=1)
    for deposit in fleet.deposits:
        deposit["mass_mg"] = (
            deposit["mass_mg"] * 3 // 2 if deposit["lot_id"] == true["lot_id"] else deposit["mass_mg"]
        )
    for moment in (true["event_time"] - timedelta(hours=1), true["event_time"] + day):
        fleet.tickets.append(true | {"event_time": moment, "mass_mg": true["mass_mg"] * 3 // 2})
    computed = reconciled(fleet, tmp_path)
    assert (computed.rule("lots_balance").status, computed.rule("lots_balance").exceptions) == ("FAILED", 1)
    assert computed.report().conclusion.opinion == "review_required"


def test_a_machine_that_nobody_heard_and_nobody_calibrated_confirms_nothing(tmp_path: Path) -> None:
    fleet = clean_fleet()
    for number in range(1, 21):
        moment = START + timedelta(minutes=2 * number)
        fleet.deposits.append(deposit_at("ghost", number, moment))
        fleet.predict(fleet.deposits[-1])
    said = reconciled(fleet, tmp_path).report().conclusion
    assert (said.opinion, said.known_ppm, said.doubt_ppm) == ("review_required", 0, 0)
    assert (
        "1.500 kg were recorded while machines gave no sign of life and 1.500 kg were weighed"
        in (said.sentences[0])
    )


def test_only_the_materials_asked_for_need_a_factor(tmp_path: Path) -> None:
    fleet = clean_fleet()
    fleet.deposits.append(deposit_at("M1", 11, START + timedelta(minutes=52), material="=unknown"))
    fleet.predict(fleet.deposits[-1])
    with pytest.raises(BadRequest, match="'=unknown' has no recycling factor"):
        reconciled(fleet, tmp_path / "all").report()
    asked = reconciled(fleet, tmp_path / "pet", replace(PERIOD, materials=("pet",))).report()
    assert [line.material for line in asked.by_material] == ["pet"]


@pytest.mark.parametrize(
    ("lot", "status", "checked"), [("one", "REVIEW_REQUIRED", 0), ("M1-lot-0", "FAILED", 1)]
)
def test_a_lot_that_never_ends_is_not_said_to_balance(
    tmp_path: Path, lot: str, status: Status, checked: int
) -> None:
    fleet = clean_fleet(("M1",))
    for deposit in fleet.deposits:
        deposit["lot_id"] = lot
    said = reconciled(fleet, tmp_path).rule("lots_balance")
    assert (said.status, said.checked) == (status, checked)


def test_a_number_below_one_does_not_hide_a_lot(tmp_path: Path) -> None:
    fleet = clean_fleet()
    fleet.deposit("M1", 1)["device_seq"] = -1
    fleet.deposit("M1", 3)["mass_mg"] = 180_000
    said = reconciled(fleet, tmp_path).rule("lots_balance")
    assert (said.status, said.checked, said.exceptions) == ("FAILED", 2, 1)


def test_corrections_that_nothing_bears_out_are_named(tmp_path: Path) -> None:
    fleet = clean_fleet()
    fleet.corrections.append(
        {
            "machine_id": "M1",
            "event_time": END,
            "corrects": fleet.deposit("M1", 3),
            "mass_delta_mg": 5_000_000,
            "material": "pet",
            "reason": "more",
            "actor": "mallory",
        }
    )
    said = reconciled(fleet, tmp_path).report().conclusion
    assert said.opinion == "review_required"
    assert (
        "Found: 1 correction that does not settle a deposit (+5.000 kg, +5.820 kg CO2e)." in said.sentences[2]
    )


def test_the_ten_worst_are_named_the_worst_first(tmp_path: Path) -> None:
    fleet = clean_fleet()
    for prediction in fleet.predictions:
        prediction["confidence"] = 0.1
    said = reconciled(fleet, tmp_path).rule("confidence_sufficient")
    assert (said.exceptions, len(said.worst)) == (20, 10)
    assert all(first.effect_mg >= second.effect_mg for first, second in pairwise(said.worst))
    assert said.effect.mass.mg == sum(deposit["mass_mg"] for deposit in fleet.deposits)
    glass = [one for one in said.worst if one.effect_mg == GLASS]
    assert [one.subject for one in glass] == sorted(one.subject for one in glass)
    assert said.worst[: len(glass)] == tuple(glass)


def test_several_kinds_of_offence_are_told_in_one_sentence(tmp_path: Path) -> None:
    fleet = clean_fleet()
    _repeat(fleet)
    _repeat(fleet, mass_mg=PET + 5_000)
    _repeat(fleet, material="glass", mass_mg=PET + 5_000)
    said = reconciled(fleet, tmp_path).rule("transactions_unique")
    assert said.sentence == f"1 record repeats another; 2 records contradict another{_TAKEN}"
    assert said.effect.mass.mg == 3 * PET + 10_000
