"""Masses, emission factors and CO2e that can't be mistaken for each other, exact on every machine.

A mass is whole milligrams; an emission factor is a value with the unit that its source declares; avoided CO2e
is whole femtograms.  No float gets in, and nothing is added to another kind: mypy refuses it, and so does the
running program.

Arithmetic is on integers and fractions, so no precision, context or processor has a say.  One thing is
rounded, once: an avoided factor, to a microgram of CO2e per tonne (nine decimals of kg per tonne, half to
even).  From there on everything is exact: a figure is the mass times the factor, both as they are shown, to
the last digit, and the figures of parts sum to the figure of the whole.  Rounding the results instead would
break both.  A source prints three decimals of a tonne; the rounding moves half a gram in a million tonnes.

A short ton is 2,000 pounds of 0.45359237 kg (international yard and pound agreement, 1959): 907.18474 kg.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from fractions import Fraction
from typing import Final, Literal, TypeVar

from audit.esg.errors import NotAQuantity, OutOfRange

FactorUnit = Literal["MTCO2e/short_ton", "kgCO2e/tonne"]
"""How sources print factors; one metric ton of CO2e (MTCO2e) is 1,000 kg."""
MassUnit = Literal["mg", "g", "kg", "tonne", "short_ton"]

_KG_PER_TONNE: Final[dict[str, Fraction]] = {
    "MTCO2e/short_ton": 1000 / Fraction("0.90718474"),
    "kgCO2e/tonne": Fraction(1),
}
_MG: Final[dict[str, int]] = {
    "mg": 1,
    "g": 1_000,
    "kg": 1_000_000,
    "tonne": 1_000_000_000,
    "short_ton": 907_184_740,
}
MAX_MASS_MG: Final = 10**21
"""Either way; our choice: a billion tonnes, more than all machines of the world take in a year."""
MAX_FACTOR_KG_PER_TONNE: Final = 100_000
"""Either way; our choice: ten times aluminium's, less than any factor that is wrong by a thousand."""
MAX_DECIMALS: Final = 9
"""Of a factor as it is printed, and of an avoided factor as it is used."""
_MAX_FACTOR_DIGITS: Final = 20

EXACT: Final = Context(
    prec=200, Emin=-999, Emax=999, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero]
)
"""Adds, subtracts and multiplies Decimals, or raises; Python's own context rounds to 28 digits in silence."""

T = TypeVar("T")


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """The sum, to the last digit."""
    total = Decimal(0)
    for value in values:
        total = EXACT.add(total, value)
    return total


def _same(kind: type[T], other: object) -> T:
    if type(other) is not kind:
        raise NotAQuantity(
            f"expected {kind.__name__}, got {type(other).__name__}; only like is added or compared"
        )
    return other


def _whole(value: object, what: str, unit: str, bound: int) -> None:
    if type(value) is not int:
        raise NotAQuantity(f"{what}: expected whole {unit} (int), got {type(value).__name__} {value!r:.40}")
    if abs(value) > bound:
        got = str(value) if value.bit_length() < 256 else f"a number of {value.bit_length()} bits"
        raise OutOfRange(f"{what}: expected at most {bound} {unit} either way, got {got}")


def finite(value: object, what: str) -> Decimal:
    """``value``, if it is a Decimal and a number; ``what`` it is, for the message.

    Raises:
        NotAQuantity: no Decimal.
        OutOfRange: not a number, or infinite.
    """
    if type(value) is not Decimal:
        raise NotAQuantity(f"{what}: expected a Decimal, got {type(value).__name__} {value!r:.40}")
    if not value.is_finite():
        raise OutOfRange(f"{what}: expected a number, got {value}")
    return value


def _known(unit: object, units: Iterable[str], what: str) -> None:
    if unit not in (known := list(units)):
        raise NotAQuantity(f"{what}: expected one of the units {', '.join(known)}, got {unit!r:.40}")


def scaled(whole: int, decimals: int) -> Decimal:
    """``whole`` / 10**``decimals``, exact, with that many decimals."""
    return Decimal(f"{whole}E-{decimals}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """A mass in whole milligrams, or a difference of two: ``Mass(mg=22_000)``.

    Raises:
        NotAQuantity: ``mg`` is no int; or a mass meets what is no mass.
        OutOfRange: more than ``MAX_MASS_MG``.
    """

    mg: int

    def __post_init__(self) -> None:
        _whole(self.mg, "mass", "milligrams", MAX_MASS_MG)

    @classmethod
    def of(cls, value: Decimal, unit: MassUnit) -> Mass:
        """A mass as it was stated.

        Raises:
            NotAQuantity: no Decimal, or not a unit of mass.
            OutOfRange: not a whole number of milligrams, or too many.
        """
        finite(value, "mass")
        _known(unit, _MG, "mass")
        if abs(value.adjusted()) > 30:
            raise OutOfRange(
                f"mass: expected a number that is not this large or small, got {value:.3e} {unit}"
            )
        mg = Fraction(value) * _MG[unit]
        if mg.denominator != 1:
            raise OutOfRange(f"mass: expected a whole number of milligrams, got {value!s:.40} {unit}")
        return cls(mg=mg.numerator)

    @classmethod
    def total(cls, masses: Iterable[Mass]) -> Mass:
        """The sum; nothing weighs nothing."""
        return cls(mg=sum(_same(Mass, mass).mg for mass in masses))

    @property
    def tonnes(self) -> Decimal:
        """Metric tons, exact."""
        return scaled(self.mg, 9)

    def __add__(self, other: Mass) -> Mass:
        return Mass(mg=self.mg + _same(Mass, other).mg)

    def __sub__(self, other: Mass) -> Mass:
        return Mass(mg=self.mg - _same(Mass, other).mg)

    def __neg__(self) -> Mass:
        return Mass(mg=-self.mg)


@dataclass(frozen=True, slots=True, kw_only=True)
class AvoidedCo2e:
    """CO2e that was avoided against a baseline, in whole femtograms (1e-15 g); negative if it was caused.

    The inventory's emissions have no type here, so that nothing could be netted with them (GHG Protocol,
    Scope 3 standard, 9.5: avoided emissions are reported separately).

    Raises:
        NotAQuantity: ``fg`` is no int; or CO2e meets what is none.
    """

    fg: int

    def __post_init__(self) -> None:
        bound = MAX_MASS_MG * MAX_FACTOR_KG_PER_TONNE * 2 * 10**MAX_DECIMALS
        _whole(self.fg, "avoided CO2e", "femtograms", bound)

    @classmethod
    def total(cls, parts: Iterable[AvoidedCo2e]) -> AvoidedCo2e:
        """The sum; of nothing, nothing."""
        return cls(fg=sum(_same(AvoidedCo2e, part).fg for part in parts))

    @property
    def g(self) -> Decimal:
        """Grams, exact, with fifteen decimals."""
        return scaled(self.fg, 15)

    def __add__(self, other: AvoidedCo2e) -> AvoidedCo2e:
        return AvoidedCo2e(fg=self.fg + _same(AvoidedCo2e, other).fg)

    def __sub__(self, other: AvoidedCo2e) -> AvoidedCo2e:
        return AvoidedCo2e(fg=self.fg - _same(AvoidedCo2e, other).fg)

    def __neg__(self) -> AvoidedCo2e:
        return AvoidedCo2e(fg=-self.fg)


@dataclass(frozen=True, slots=True)
class EmissionFactor:
    """What treating a tonne emits: a value and the unit that its source declares, never one alone.

    Raises:
        NotAQuantity: the value is no Decimal, or the unit is not one of ``FactorUnit``.
        OutOfRange: more than ``MAX_DECIMALS`` decimals, or above ``MAX_FACTOR_KG_PER_TONNE``.
    """

    value: Decimal
    unit: FactorUnit

    def __post_init__(self) -> None:
        finite(self.value, "emission factor")
        _known(self.unit, _KG_PER_TONNE, "emission factor")
        _, digits, exponent = self.value.as_tuple()
        if (
            not isinstance(exponent, int)
            or not -MAX_DECIMALS <= exponent <= 0
            or len(digits) > _MAX_FACTOR_DIGITS
        ):
            raise OutOfRange(
                f"emission factor: expected at most {MAX_DECIMALS} decimals and no exponent, "
                f"got {self.value!s:.40}"
            )
        if abs(self.kg_per_tonne) > MAX_FACTOR_KG_PER_TONNE:
            raise OutOfRange(
                f"emission factor: expected at most {MAX_FACTOR_KG_PER_TONNE} kg CO2e per tonne either way, "
                f"got {self.value} {self.unit}; is the unit the one that the source prints?"
            )

    @property
    def kg_per_tonne(self) -> Fraction:
        """Kilograms of CO2e per metric ton, exact."""
        return Fraction(self.value) * _KG_PER_TONNE[self.unit]

    @property
    def text(self) -> str:
        """The value as it is printed."""
        return f"{self.value:f}"


@dataclass(frozen=True, slots=True)
class AvoidedFactor:
    """What treating a tonne one way avoids against another way: ``baseline - treatment``.

    ``ug_per_tonne`` is what is used: micrograms of CO2e per tonne, half to even.
    """

    baseline: EmissionFactor
    treatment: EmissionFactor
    ug_per_tonne: int = field(init=False)

    def __post_init__(self) -> None:
        _same(EmissionFactor, self.baseline)
        _same(EmissionFactor, self.treatment)
        object.__setattr__(self, "ug_per_tonne", round(self.exact_kg_per_tonne * 10**MAX_DECIMALS))

    @property
    def exact_kg_per_tonne(self) -> Fraction:
        """Before the one rounding."""
        return self.baseline.kg_per_tonne - self.treatment.kg_per_tonne

    @property
    def kg_per_tonne(self) -> Decimal:
        """What is used, as it is shown: nine decimals."""
        return scaled(self.ug_per_tonne, MAX_DECIMALS)

    def co2e(self, mass: Mass) -> AvoidedCo2e:
        """What treating this mass avoids; exact: a milligram times a microgram per tonne is a femtogram."""
        return AvoidedCo2e(fg=_same(Mass, mass).mg * self.ug_per_tonne)
