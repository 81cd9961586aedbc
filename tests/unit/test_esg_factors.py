"""A report's factors are named, valid, verified and locked; all else is refused, with its reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from audit.esg.errors import (
    EsgError,
    FactorFileError,
    FactorSetConflict,
    NoFactor,
    NotAQuantity,
    NotAvoided,
    UnknownFactorSet,
)
from audit.esg.factor_file import FactorTable, read_factor_file
from audit.esg.factors import AvoidedFactors, FactorLibrary, built_in, covers
from audit.esg.units import exact_sum

LOCKED = {
    "desnz 2024": "dec0d181cd7909032e2a5a6862016b36c543caaeadabf1f01b1b5b172bb9792c",
    "desnz 2025": "39937c2651ba8fb55dc719c755f0002e1d6f33e97629acc58634378ab5a5de57",
    "epa-warm 15": "adbff132d12ac809ef05e27bcd9b8c39498cf0e75f1b273bcbb132ebe7c9f9d8",
}
"""A built-in set never changes: another value is another version, and a report restates."""

OWN = """\
# format: tally-factors/1
# name: acme
# version: 1
# title: Factors of Acme
# source: Acme's own study
# unit: kgCO2e/tonne
# gwp: AR6
# valid_from: 2026-01-01
# valid_to: 2026-12-31
# validity: the year of the study
# licence: Acme's own
# notes: for tests
material,treatment,value,verified,source
pet,recycling,-1000,yes,"a study, page 7"
pet,landfill,10.5,transcribed,a book
glass,recycling,-300.25,derived,a study
glass,landfill,10,yes,a study
hdpe,landfill,10,yes,a study
"""


def at(year: int, month: int, day: int = 1) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def own(old: str = "", new: str = "") -> bytes:
    assert not old or OWN.count(old) == 1
    return (OWN.replace(old, new) if old else OWN).encode()


def table(old: str = "", new: str = "") -> FactorTable:
    return read_factor_file(own(old, new), "acme.csv")


@pytest.fixture
def warm() -> AvoidedFactors:
    return AvoidedFactors(built_in().named("epa-warm", "15"))


def test_built_in_sets_are_locked() -> None:
    assert {table.label: table.digest for table in built_in().tables} == LOCKED
    assert all(table.built_in for table in built_in().tables)


@pytest.mark.parametrize(
    ("material", "rounded", "shown"),
    [  # by hand, `bc -l`: 1000 * (landfill - recycling) / .90718474
        ("pet", 1164, "1164.040744336"),  # 1056 / .90718474
        ("aluminium_cans", 10083, "10082.841561025"),  # 9147 / .90718474
        ("hdpe", 858, "857.598199899"),  # 778 / .90718474
        ("glass", 326, "326.284148034"),  # 296 / .90718474
        ("corrugated", 3656, "3656.366618336"),  # 3317 / .90718474
        ("mixed_paper", 3991, "3991.469256857"),  # 3621 / .90718474
    ],
)
def test_recycled_instead_of_landfilled(
    warm: AvoidedFactors, material: str, rounded: int, shown: str
) -> None:
    factor = warm.factor(material)
    assert str(factor.avoided_kg_per_t) == shown
    assert round(factor.avoided_kg_per_t) == rounded
    assert (factor.baseline, factor.treatment, factor.verified) == ("landfill", "recycling", "yes")


def test_a_factor_is_shown_with_the_values_that_its_source_printed(warm: AvoidedFactors) -> None:
    factor = warm.factor("pet")
    assert (factor.baseline_value, factor.treatment_value) == ("0.020", "-1.036")
    assert factor.source_unit == "MTCO2e/short_ton"
    assert factor.source == (
        "recycling: USEPA WARMer, WARM v15 openLCA matrices, solved; "
        "landfill: USEPA WARMer, WARM v15 openLCA matrices, solved (national average)"
    )


def test_a_kilogram_of_pet_avoids_a_thousandth_of_the_factor(warm: AvoidedFactors) -> None:
    assert warm.co2e_g(1_000_000, "pet") == Decimal("1164.040744336")
    assert warm.co2e_g(-1_000_000, "pet") == Decimal("-1164.040744336")


def test_the_masses_of_single_bottles_sum_to_what_their_sum_avoids(warm: AvoidedFactors) -> None:
    bottles = [22_001, 19_997, 31_333, 7, 1]
    assert exact_sum(warm.co2e_g(mg, "pet") for mg in bottles) == warm.co2e_g(sum(bottles), "pet")


def test_a_mass_in_kilograms_is_no_mass_in_milligrams(warm: AvoidedFactors) -> None:
    with pytest.raises(NotAQuantity):
        warm.co2e_g(0.022, "pet")  # type: ignore[arg-type]


def test_the_baseline_is_a_choice_and_recorded() -> None:
    warm = built_in().named("epa-warm", "15")
    factor = AvoidedFactors(warm, baseline="combustion").factor("pet")
    assert factor.baseline == "combustion"
    assert str(factor.avoided_kg_per_t) == "2509.962854975"  # 2277 / .90718474
    food = AvoidedFactors(warm, treatment="composting").factor("food_waste")
    assert str(food.avoided_kg_per_t) == "675.716833597"  # 613 / .90718474


def test_a_report_names_its_set_whole(warm: AvoidedFactors) -> None:
    reported = warm.report_set(["pet", "glass", "pet"])
    assert (reported.name, reported.version, reported.gwp) == ("epa-warm", "15", "AR4")
    assert reported.digest == LOCKED["epa-warm 15"]
    assert (reported.valid_from, reported.valid_to) == ("2019-01-01", "open")
    assert [factor.material for factor in reported.factors] == ["glass", "pet"]


def test_a_derived_factor_is_used_and_marked(warm: AvoidedFactors) -> None:
    assert warm.factor("mixed_metals").verified == "derived"
    notes = warm.notes(at(2026, 1), at(2026, 2), ["mixed_metals", "pet"])
    assert [note for note in notes if "derived" in note] == [
        "The factor of mixed_metals is derived, not compared with its source."
    ]


def test_a_material_without_a_factor_is_named_with_those_that_have_one(warm: AvoidedFactors) -> None:
    with pytest.raises(
        NoFactor, match=r"^material 'paper' has no recycling factor in set epa-warm 15; it has"
    ):
        warm.co2e_g(1, "paper")
    why_not = warm.why_not("food_waste")
    assert why_not is not None
    assert why_not.startswith("material 'food_waste' has no recycling factor")
    assert warm.why_not("pet") is None
    with pytest.raises(NoFactor, match="material '' has no"):
        warm.report_set(["pet", ""])


def test_what_was_only_transcribed_is_used_only_if_allowed_and_marked() -> None:
    mine = table()
    with pytest.raises(NoFactor, match=r"landfill factor of 'pet' .* was only transcribed \(a book\)"):
        AvoidedFactors(mine).co2e_g(1, "pet")
    allowed = AvoidedFactors(mine, allow_transcribed=True).factor("pet")
    assert (allowed.verified, str(allowed.avoided_kg_per_t)) == ("transcribed", "1010.500000000")


@pytest.mark.parametrize("version", ["2024", "2025"])
def test_transport_to_a_uk_facility_is_never_an_avoided_emission(version: str) -> None:
    desnz = built_in().named("desnz", version)
    for methods in ({"treatment": "closed_loop_recycling"}, {"baseline": "closed_loop_recycling"}):
        with pytest.raises(NotAvoided, match="counts transport to the facility alone, so it is no avoided"):
            AvoidedFactors(desnz, allow_transcribed=True, **methods)
    with pytest.raises(NoFactor, match="what it has instead counts transport to the facility alone"):
        AvoidedFactors(desnz, allow_transcribed=True).factor("pet")


def test_nothing_is_avoided_against_itself() -> None:
    with pytest.raises(NotAvoided, match="nothing is avoided"):
        AvoidedFactors(table(), baseline="recycling")


def test_a_set_is_found_by_its_period() -> None:
    library = built_in()
    assert library.for_period("desnz", at(2024, 1), at(2025, 1)).label == "desnz 2024"
    assert library.for_period("desnz", at(2025, 12), at(2026, 1)).label == "desnz 2025"
    assert library.for_period("epa-warm", at(2026, 5), at(2026, 6)).label == "epa-warm 15"


def test_days_are_those_of_utc() -> None:
    east = timezone(timedelta(hours=2))
    year = datetime(2024, 1, 1, 2, tzinfo=east), datetime(2025, 1, 1, 2, tzinfo=east)
    assert covers(built_in().named("desnz", "2024"), *year)
    an_hour_early = datetime(2024, 1, 1, 1, tzinfo=east), year[1]
    assert not covers(built_in().named("desnz", "2024"), *an_hour_early)


@pytest.mark.parametrize(
    ("name", "start", "end", "said"),
    [
        (
            "desnz",
            at(2024, 12),
            at(2025, 2),
            "no version of desnz is valid throughout .* desnz 2024 .* desnz 2025",
        ),
        ("epa-warm", at(2018, 12), at(2019, 2), "no version of epa-warm"),
        (
            "warm",
            at(2024, 1),
            at(2025, 1),
            "no factor set warm; there are: desnz 2024, desnz 2025, epa-warm 15",
        ),
    ],
)
def test_a_period_without_a_set_is_refused(name: str, start: datetime, end: datetime, said: str) -> None:
    with pytest.raises(UnknownFactorSet, match=said):
        built_in().for_period(name, start, end)


def test_a_period_in_no_time_zone_is_refused() -> None:
    naive = datetime(2024, 1, 1)  # noqa: DTZ001 - what is refused
    for start, end in (naive, at(2025, 1)), (at(2024, 1), naive), (at(2024, 2), at(2024, 2)):
        with pytest.raises(EsgError, match="expected a period of aware times"):
            built_in().for_period("desnz", start, end)


def test_a_version_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownFactorSet, match=r"no factor set epa-warm 16; there are: .*epa-warm 15"):
        built_in().named("epa-warm", "16")


def test_a_set_that_is_used_outside_its_validity_says_so() -> None:
    factors = AvoidedFactors(table())
    assert any("not valid throughout" in note for note in factors.notes(at(2027, 1), at(2027, 2), []))
    assert not any("not valid throughout" in note for note in factors.notes(at(2026, 1), at(2026, 2), []))


def test_a_users_own_set_is_recorded_as_his() -> None:
    library = built_in().add(own(), "acme.csv")
    mine = library.for_period("acme", at(2026, 1), at(2027, 1))
    assert not mine.built_in
    assert AvoidedFactors(mine).factor("glass").source.startswith("brought by the operator, not built in: ")
    notes = AvoidedFactors(mine).notes(at(2026, 1), at(2027, 1), ["glass"])
    assert any(
        f"(sha256 {mine.digest}) was brought by the operator: Acme's own study" in note for note in notes
    )
    assert built_in().tables == tuple(table for table in library.tables if table.built_in)


def test_a_user_can_not_take_the_name_of_a_built_in_set() -> None:
    taken = own("# name: acme", "# name: epa-warm").replace(b"# version: 1", b"# version: 15")
    with pytest.raises(
        FactorSetConflict, match="epa-warm 15 is the name of a set that is built in with other"
    ):
        built_in().add(taken, "acme.csv")


def test_a_user_can_not_take_days_of_a_built_in_set() -> None:
    with pytest.raises(FactorSetConflict, match="are both valid on 2026-01-01"):
        built_in().add(own("# name: acme", "# name: epa-warm"), "acme.csv")


def test_two_versions_of_one_name_follow_each_other() -> None:
    library = FactorLibrary((table(),))
    later = own("# version: 1", "# version: 2").replace(b"from: 2026-01-01", b"from: 2027-01-01")
    later = later.replace(b"to: 2026-12-31", b"to: open")
    both = library.add(later, "acme.csv")
    assert both.for_period("acme", at(2030, 1), at(2031, 1)).version == "2"
    with pytest.raises(FactorSetConflict, match="both valid on 2026-12-31"):
        library.add(later.replace(b"from: 2027-01-01", b"from: 2026-12-31"), "acme.csv")


def test_the_same_set_twice_is_one() -> None:
    library = built_in().add(own(), "acme.csv")
    assert library.add(own(), "copy.csv") == library
    with pytest.raises(FactorSetConflict, match="there are two sets acme 1"):
        FactorLibrary((table(), table("-1000", "-1001")))


def test_line_ends_and_the_order_of_lines_do_not_change_the_digest() -> None:
    lines = OWN.splitlines()
    shuffled = [*reversed(lines[:12]), lines[12], *reversed(lines[13:])]
    for content in ("\r\n".join(shuffled), "\n\n".join(shuffled), "\ufeff" + OWN):
        assert read_factor_file(content.encode(), "other.csv") == table()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("10.5", "10.50"),
        ("a book", "the book"),
        ("AR6", "AR5"),
        ("2026-12-31", "open"),
        (",derived,", ",yes,"),
    ],
)
def test_any_other_content_has_another_digest(old: str, new: str) -> None:
    assert table(old, new).digest != table().digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("10.5", "ten", "line 15, value: expected a plain number .*, got 'ten'"),
        ("10.5", "1e1", "line 15, value: expected a plain number"),
        ("10.5", "NaN", "line 15, value"),
        ("10.5", "-0.0", "line 15, value"),
        ("10.5", "\uff11\uff10", "line 15, value"),
        ("10.5", "10,5", "line 15, row: expected 5 cells: .*, got '6 cells'"),
        (
            "10.5",
            "100001",
            "line 15, value: .* at most 100000 kg CO2e per tonne either way, got 100001 kgCO2e/tonne",
        ),
        ("kgCO2e/tonne", "MTCO2e/short_ton", "line 14, value: .* is the unit the one that the source prints"),
        (
            "kgCO2e/tonne",
            "kgCO2e/ton",
            "line 6, unit: expected one of MTCO2e/short_ton, kgCO2e/tonne, got 'kgCO2e",
        ),
        ("a book", "", "line 15, source: expected 1 to 500 printable characters"),
        ("a book", "a\tbook", "line 15, source"),
        ("transcribed", "no", "line 15, verified: expected one of yes, derived, transcribed, got 'no'"),
        ("hdpe,landfill", "Glass,landfill", "line 18, material: expected .*, got 'Glass'"),
        ("hdpe,landfill", "glass,landfill", "line 18, material, treatment: expected another than on line 17"),
        ('page 7"', "page 7", "line 14, row: expected comma-separated text"),
        ("# gwp: AR6\n", "", "line 12, head: expected a line '# gwp: ...' above the rows"),
        ("# gwp: AR6", "# gwp: AR6\n# gwp: AR5", "line 8, gwp: expected it once, got 'AR5'"),
        ("# gwp: AR6", "# gpw: AR6", "line 7, head: expected '# key: value' with a key of"),
        ("# gwp: AR6", "# gwp:", "line 7, gwp: expected 1 to 500"),
        ("factors/1", "factors/2", "line 1, format: expected tally-factors/1, got 'tally-factors/2'"),
        ("name: acme", "name: ../acme", "line 2, name: expected 1 to 64 of"),
        (
            "2026-12-31",
            "2026-02-30",
            "line 9, valid_to: expected a day like 2025-01-31 or 'open', got '2026-02-30'",
        ),
        ("2026-12-31", "2025-12-31", "valid_to: expected no day before valid_from, 2026-01-01"),
        ("2026-01-01", "open", "line 8, valid_from: expected a day like 2025-01-31, got 'open'"),
        (
            "value,verified",
            "verified,value",
            "line 13, columns: expected material,treatment,value,verified,source",
        ),
        (OWN[OWN.index("pet,rec") :], "", "rows: expected the line .* and at least one row, got 'none'"),
        (OWN, "", "acme.csv, line 1, head: expected a line '# format"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused_in_one_line(old: str, new: str, said: str) -> None:
    with pytest.raises(FactorFileError, match=said) as refused:
        table(old, new)
    assert str(refused.value).startswith("acme.csv, line ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# format: \xff", "acme.csv, line 1, text: expected UTF-8, got 'byte 0xff'"),
        (b"\n" * (1 + (1 << 20)), "size: expected at most 1048576 bytes"),
        (OWN.encode() + b"pet,a,1,yes,\x00\n", "line 19, "),
        (
            OWN.encode() + b"".join(b"m%d,a,1,yes,s\n" % n for n in range(10_000)),
            "rows: expected at most 10000",
        ),
    ],
)
def test_bytes_that_are_no_factor_file_are_refused(content: bytes, said: str) -> None:
    with pytest.raises(FactorFileError, match=said):
        read_factor_file(content, "acme.csv")


@pytest.mark.parametrize(
    "attempt", [lambda: built_in().named("x", "1"), lambda: AvoidedFactors(table(), "a", "a")]
)
def test_every_refusal_is_an_error_of_the_package(attempt: Callable[[], object]) -> None:
    with pytest.raises(EsgError):
        attempt()
