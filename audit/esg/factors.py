"""Which factors a report may use: named, valid in its period, verified, and locked by a digest.

Sets are looked up by name and version, or by name and period.  A set that a user brings is recorded as his;
it can't take the name and version of another one, nor a part of the validity of one of its name.

Avoided CO2e is ``baseline - treatment`` of the same material and the same set, both named.  A factor that was
only transcribed is refused unless it is asked for, and is marked then; a derived one is used, and marked.
The UK's "closed-loop recycling" is transport to the facility alone and never part of an avoided emission.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Final

from audit.esg.errors import (
    EsgError,
    FactorSetConflict,
    NoFactor,
    NotAvoided,
    UnknownFactorSet,
)
from audit.esg.factor_file import OPEN, FactorRow, FactorTable, read_factor_file
from audit.esg.units import AvoidedCo2e, AvoidedFactor, Mass
from audit.reporting.model import Factor, FactorSet

BASELINE: Final = "landfill"
"""What would have happened; our choice, the comparison that WARM's users make, and stated in each report."""
TREATMENT: Final = "recycling"
TRANSPORT_ONLY: Final = ("closed_loop_recycling", "open_loop_recycling")
"""UK treatments; they count transport to the facility alone.  The second is reckoned like the first."""
DOUBT: Final = ("yes", "derived", "transcribed")
"""What ``verified`` may say, surest first: an avoided factor is as sure as the less sure of its two."""


@dataclass(frozen=True, slots=True)
class FactorLibrary:
    """The sets that may be used, in order of name and beginning of validity; no two are in each other's way.

    Raises:
        FactorSetConflict: two sets have one name and version, or one name and a day on which both are valid.
    """

    tables: tuple[FactorTable, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.tables, key=lambda t: (t.name, t.valid_from, t.version)))
        object.__setattr__(self, "tables", ordered)
        versions: dict[tuple[str, str], FactorTable] = {}
        for table in ordered:
            if versions.setdefault((table.name, table.version), table) is not table:
                raise FactorSetConflict(f"there are two sets {table.label}; give one another name or version")
        for earlier, later in pairwise(ordered):
            if earlier.name == later.name and later.valid_from <= (earlier.valid_to or date.max):
                raise FactorSetConflict(
                    f"{_with_validity(earlier)} and {_with_validity(later)} are both valid on "
                    f"{later.valid_from}; end one before the other begins, or give one another name"
                )

    def add(self, content: bytes, file: str) -> FactorLibrary:
        """This library and the set of a user's file; the same set again changes nothing.

        Raises:
            FactorFileError: the file is not as it must be.
            FactorSetConflict: it would take the place of a set that is here, wholly or for some days.
        """
        new = read_factor_file(content, file)
        for table in self.tables:
            if (table.name, table.version) != (new.name, new.version):
                continue
            if table.digest == new.digest:
                return self
            whose = "built in" if table.built_in else "already loaded"
            raise FactorSetConflict(
                f"{file}: {new.label} is the name of a set that is {whose} with other content "
                f"(sha256 {table.digest[:12]}, this file {new.digest[:12]}); give your set a name of its own"
            )
        return FactorLibrary((*self.tables, new))

    def named(self, name: str, version: str) -> FactorTable:
        """The set of this name and version, whatever its validity.

        Raises:
            UnknownFactorSet: there is none.
        """
        for table in self.tables:
            if (table.name, table.version) == (name, version):
                return table
        raise UnknownFactorSet(f"no factor set {name} {version}; there are: {_list(self.tables)}")

    def for_period(self, name: str, start: datetime, end: datetime) -> FactorTable:
        """The set of this name that is valid from ``start`` up to, not including, ``end`` (aware datetimes).

        Raises:
            UnknownFactorSet: none is valid throughout; the message lists those of the name.
            EsgError: the period is empty, or its ends are in no time zone.
        """
        of_name = [table for table in self.tables if table.name == name]
        if not of_name:
            raise UnknownFactorSet(f"no factor set {name}; there are: {_list(self.tables)}")
        for table in of_name:
            if covers(table, start, end):
                return table
        raise UnknownFactorSet(
            f"no version of {name} is valid throughout {start.isoformat()} to {end.isoformat()}: "
            f"{', '.join(map(_with_validity, of_name))}; choose another period, or name the version"
        )


@cache
def built_in() -> FactorLibrary:
    """The sets that come with Tally, ``factor_sets/*.csv``.

    Raises:
        FactorFileError, FactorSetConflict: a file was altered after it was installed.
    """
    folder = files("audit.esg") / "factor_sets"
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".csv")), key=lambda f: f.name)
    return FactorLibrary(tuple(read_factor_file(f.read_bytes(), f.name, built_in=True) for f in found))


def covers(table: FactorTable, start: datetime, end: datetime) -> bool:
    """Whether the set is valid from ``start`` up to, not including, ``end``.

    Raises:
        EsgError: the period is empty, or its ends are in no time zone.
    """
    if start.utcoffset() is None or end.utcoffset() is None or not start < end:
        raise EsgError(
            f"expected a period of aware times that ends after it begins, got {start.isoformat()} "
            f"to {end.isoformat()}"
        )
    first = start.astimezone(UTC).date()
    last = (end.astimezone(UTC) - timedelta(microseconds=1)).date()
    return table.valid_from <= first and last <= (table.valid_to or date.max)


@dataclass(frozen=True, slots=True)
class _Used:
    """The two rows of a material and what they make."""

    baseline: FactorRow
    treatment: FactorRow
    factor: AvoidedFactor


@dataclass(frozen=True, slots=True)
class AvoidedFactors:
    """A set, and what is compared with what: everything that turns a mass into avoided CO2e.

    ``allow_transcribed``: factors that nobody compared with their source are used, and marked.

    Raises:
        NotAvoided: baseline and treatment are the same, or one is transport only.
    """

    table: FactorTable
    baseline: str = BASELINE
    treatment: str = TREATMENT
    allow_transcribed: bool = False
    _known: dict[str, _Used] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for treatment in self.baseline, self.treatment:
            if treatment in TRANSPORT_ONLY:
                raise NotAvoided(
                    f"{treatment} counts transport to the facility alone, so it is no avoided emission; "
                    "use a set that has factors for landfill and recycling of the same material"
                )
        if self.baseline == self.treatment:
            raise NotAvoided(f"baseline and treatment are both {self.baseline}: nothing is avoided")

    def factor(self, material: str) -> Factor:
        """The factor as a report shows it.

        Raises:
            NoFactor: one of the two is missing, or is transcribed and not allowed.
        """
        used = self._use(material)
        baseline, treatment = used.baseline, used.treatment
        verified = max(baseline.verified, treatment.verified, key=DOUBT.index)
        own = "" if self.table.built_in else "brought by the operator, not built in: "
        return Factor(
            material=material,
            treatment=self.treatment,
            treatment_value=treatment.factor.text,
            baseline=self.baseline,
            baseline_value=baseline.factor.text,
            source_unit=self.table.unit,
            avoided_kg_per_t=used.factor.kg_per_tonne,
            verified=verified,
            source=f"{own}{self.treatment}: {treatment.source}; {self.baseline}: {baseline.source}",
        )

    def why_not(self, material: str) -> str | None:
        """Why the material has no factor that may be used, as a sentence; None if it has one."""
        try:
            self._use(material)
        except NoFactor as error:
            return str(error)
        return None

    def report_set(self, materials: Iterable[str]) -> FactorSet:
        """The set as a report records it, with the factors of these materials in order of their names.

        Raises:
            NoFactor: for the first material that has none; ``why_not`` tells beforehand.
        """
        return FactorSet(
            name=self.table.name,
            version=self.table.version,
            gwp=self.table.gwp,
            digest=self.table.digest,
            valid_from=self.table.valid_from.isoformat(),
            valid_to=OPEN if self.table.valid_to is None else self.table.valid_to.isoformat(),
            factors=tuple(self.factor(material) for material in sorted(set(materials))),
        )

    def co2e(self, mass: Mass, material: str) -> AvoidedCo2e:
        """What this mass of the material avoids, exact.

        Raises:
            NoFactor: see ``factor``.
        """
        return self._use(material).factor.co2e(mass)

    def co2e_g(self, mass_mg: int, material: str) -> Decimal:
        """The same in grams: the mass times the factor as the report shows both, to the last digit.

        Raises:
            NoFactor: see ``factor``.
            NotAQuantity: the mass is no int.
        """
        return self.co2e(Mass(mg=mass_mg), material).g

    def notes(self, start: datetime, end: datetime, materials: Collection[str]) -> tuple[str, ...]:
        """What a reader of a report on this period must know of its factors, a sentence each."""
        table = self.table
        until = "without end" if table.valid_to is None else f"to {table.valid_to}"
        said = [
            f"Avoided CO2e is {self.baseline} minus {self.treatment}, by {table.label} ({table.title}).",
            "Avoided CO2e is reported apart from the inventory of scopes 1 to 3 and never netted with it.",
            f"{table.label} is used as valid from {table.valid_from} {until} ({table.validity}).",
            f"About {table.label}: {table.notes}.",
        ]
        if not table.built_in:
            said.append(f"{table.label} (sha256 {table.digest}) was brought by the operator: {table.source}.")
        if not covers(table, start, end):
            said.append(f"{table.label} was named for this period although it is not valid throughout.")
        for material in sorted(set(materials)):
            why_not = self.why_not(material)
            if why_not is not None:
                said.append(f"No CO2e is stated for {material or 'deposits without a material'}: {why_not}.")
            elif (verified := self.factor(material).verified) != "yes":
                said.append(f"The factor of {material} is {verified}, not compared with its source.")
        return tuple(said)

    def _use(self, material: str) -> _Used:
        used = self._known.get(material)
        if used is None:
            treatment, baseline = self._row(material, self.treatment), self._row(material, self.baseline)
            factor = AvoidedFactor(baseline.factor, treatment.factor)
            used = self._known[material] = _Used(baseline, treatment, factor)
        return used

    def _row(self, material: str, treatment: str) -> FactorRow:
        row = self.table.find(material, treatment)
        label = self.table.label
        if row is None:
            having = sorted({r.material for r in self.table.rows if r.treatment == treatment})
            others = f"it has one for {', '.join(having)}" if having else "no material has one there"
            if not having and any(r.treatment in TRANSPORT_ONLY for r in self.table.rows):
                others += ", and what it has instead counts transport to the facility alone"
            raise NoFactor(f"material {material!r:.80} has no {treatment} factor in set {label}; {others}")
        if row.verified == "transcribed" and not self.allow_transcribed:
            raise NoFactor(
                f"the {treatment} factor of {material!r:.80} in set {label} was only transcribed "
                f"({row.source}); compare it with that, or allow transcribed ones, which are marked then"
            )
        return row


def _with_validity(table: FactorTable) -> str:
    end = f"to {table.valid_to}" if table.valid_to else "without end"
    return f"{table.label} (from {table.valid_from} {end})"


def _list(tables: Iterable[FactorTable]) -> str:
    return ", ".join(table.label for table in tables) or "none"
