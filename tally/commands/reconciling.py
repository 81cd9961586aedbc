"""What ``tally reconcile``, ``report``, ``export`` and ``explain`` have in common: their options."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tally.errors import NotRunning, TallyError
from tally.settings import Settings, read_settings
from tally.stack.state import is_locked

if TYPE_CHECKING:
    from audit.reconcile.build import Asker
    from audit.reconcile.parameters import Parameters

From = Annotated[
    datetime | None, typer.Option("--from", help="First moment of the period (UTC).", show_default=False)
]
To = Annotated[
    datetime | None, typer.Option("--to", help="First moment after the period (UTC).", show_default=False)
]
Site = Annotated[list[str] | None, typer.Option("--site", help="Only this site; may be repeated.")]
Machine = Annotated[list[str] | None, typer.Option("--machine", help="Only this machine; may be repeated.")]
Material = Annotated[
    list[str] | None, typer.Option("--material", help="Only this material; may be repeated.")
]
Export = Annotated[
    Path | None,
    typer.Option("--export", help="From this export, instead of the ledger.", metavar="DIR"),
]
Materiality = Annotated[
    str, typer.Option(help="In percent of the reported figure.", metavar="PERCENT", show_default="5")
]
Performance = Annotated[
    str,
    typer.Option(
        "--performance-materiality",
        help="In percent; above it a review is called for.",
        metavar="PERCENT",
        show_default="3.75",
    ),
]
Factors = Annotated[
    str,
    typer.Option(help="Emission factors: NAME:VERSION of a built-in set, or a file.", metavar="SET"),
]
Unverified = Annotated[
    bool, typer.Option("--allow-transcribed", help="Also use factors that nobody verified; they are marked.")
]
Operator = Annotated[str, typer.Option(help="Whose figures these are.")]
Boundary = Annotated[str, typer.Option(help="Whose waste it is: the boundary of the disclosures.")]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not verify the ledger; the report says so.")]
Url = Annotated[str | None, typer.Option(help="Another database than this stack's.")]

OPERATOR = "Operator not stated"
BOUNDARY = "deposits of consumers, taken in for recycling; not the operator's own waste"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a command's options ask for, as they were typed."""

    start: datetime | None
    end: datetime | None
    site: list[str] | None
    machine: list[str] | None
    material: list[str] | None
    export: Path | None
    materiality: str
    performance: str
    factors: str
    operator: str
    boundary: str
    transcribed: bool
    unverified: bool
    url: str | None


def utc(moment: datetime | None) -> datetime | None:
    """A time of the command line: UTC unless it says otherwise."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def audit_url(settings: Settings) -> str:
    """The login of the audit role.

    Raises:
        NotRunning: the embedded database does not run.
    """
    from tally.stack import plan

    if settings.database_url is None and not is_locked(settings.run_dir):
        raise NotRunning("the embedded database does not run; start it with `tally up` or `tally db start`")
    return plan.database_urls(settings)["TALLY_AUDIT_DATABASE_URL"]


def address(url: str | None) -> str:
    """The database that was named, or this stack's."""
    return url or audit_url(read_settings())


def parameters(
    start: datetime | None,
    end: datetime | None,
    site: list[str] | None,
    machine: list[str] | None,
    material: list[str] | None,
    **thresholds: Any,
) -> Parameters:
    """What is asked.

    Raises:
        TallyError: no period was named.
        audit.reconcile.errors.BadRequest: a value is out of range.
    """
    from audit.reconcile.parameters import Parameters

    first, last = utc(start), utc(end)
    if first is None or last is None:
        raise TallyError(f"--{'from' if first is None else 'to'} is missing; name the period")
    return Parameters(
        start=first,
        end=last,
        sites=tuple(site or ()),
        machines=tuple(machine or ()),
        materials=tuple(material or ()),
        **thresholds,
    )


def thresholds(materiality: str, performance: str | None) -> dict[str, int]:
    """Materialities in parts per million; performance materiality is 75 % of materiality unless it is named.

    Raises:
        TallyError: a percentage is none.
    """
    of = _ppm("--materiality", materiality)
    return {
        "materiality_ppm": of,
        "performance_materiality_ppm": of * 3 // 4
        if not performance
        else _ppm("--performance-materiality", performance),
    }


def _ppm(option: str, text: str) -> int:
    try:
        value = Decimal(text.removesuffix("%").strip()) * 10_000
        if value != int(value):
            raise TallyError(f"{option}: expected at most four decimals, got {text!r}")
        return int(value)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise TallyError(f"{option}: expected a percentage like 5 or 3.75, got {text!r}") from error


def asker(ask: Ask, start: datetime, end: datetime) -> Asker:
    """Who reports, and by which factors; a set without a version is the one that is valid in the period.

    Raises:
        audit.esg.errors.EsgError: there is no such set, or the file can't be read as one.
        TallyError: the file can't be opened.
    """
    from audit.esg.factors import built_in

    named = ask.factors
    if ":" not in named and Path(named).suffix != ".csv":
        table = built_in().for_period(named, start, end)
        named = f"{table.name}:{table.version}"
    return asker_of(named, ask.operator, ask.boundary, transcribed=ask.transcribed)


def asker_of(factors: str, operator: str, boundary: str, *, transcribed: bool) -> Asker:
    """The same, for a set NAME:VERSION or a file."""
    from audit.esg.factor_file import read_factor_file
    from audit.esg.factors import AvoidedFactors, built_in
    from audit.reconcile.build import Asker

    path = Path(factors)
    if path.suffix == ".csv":
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TallyError(f"{factors}: {error.strerror}; name a file of factors") from error
        table = read_factor_file(content, path.name)
        built_in().add(content, path.name)  # refuses a file that takes a built-in set's name
    else:
        name, _, version = factors.partition(":")
        table = built_in().named(name, version)
    return Asker(operator, boundary, AvoidedFactors(table, allow_transcribed=transcribed))
