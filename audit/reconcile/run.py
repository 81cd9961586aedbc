"""A reconciliation from end to end: over the ledger itself, or over an export of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audit.errors import NothingSelected
from audit.reconcile.build import Asker, build, check_materials
from audit.reconcile.engines import Engine, PostgresEngine, compute
from audit.reconcile.errors import BadRequest
from audit.reconcile.manifest import read_export
from audit.reconcile.masses import ItemMasses, item_masses
from audit.reconcile.parameters import Parameters, shown
from audit.reconcile.published import published
from audit.reconcile.results import Results, results
from audit.relations import digest_of
from audit.report import Report as Verification
from audit.reporting.model import LedgerBreak, LedgerState, Report, StreamEvidence
from audit.retention.declared import check_period
from audit.verify import verify
from store.reader import LedgerReader

if TYPE_CHECKING:
    from audit.reconcile.export import Exported

Progress = Callable[[str], None]

STREAMS: Final = (
    "transactions",
    "predictions",
    "events",
    "telemetry",
    "scale_tickets",
    "reviews",
    "governance",
)
"""The streams that a reconciliation reads."""
_NAMED_BREAKS: Final = 100


def _silent(_what: str) -> None:
    """Nobody listens."""


def reconcile_ledger(
    url: str,
    parameters: Parameters,
    asker: Asker,
    *,
    verified: bool = True,
    progress: Progress = _silent,
) -> Report:
    """The report on a period, from the ledger.

    Args:
        url: the database, with the rights of ``tally_audit``.
        parameters: what is asked.
        asker: who reports, and by which factors.
        verified: verify the ledger first; without it the report says that nobody did.
        progress: hears what is being done.

    Raises:
        BadRequest: the request can't be answered; the message says why.
        NothingSelected: nothing is on record in that period and scope.
        audit.retention.errors.RowsDropped: rows of the period were dropped; the message names their bundle.
        store.errors.StoreError: the database can't be read.
    """
    with computed_ledger(url, parameters, asker, verified=verified, progress=progress) as computed:
        return computed.report


def reconcile_export(
    folder: Path,
    asker: Asker,
    materialities: tuple[int, int] | None = None,
    progress: Progress = _silent,
) -> Report:
    """The same report, from an export: byte for byte what :func:`reconcile_ledger` gives.

    ``materialities`` (materiality and performance materiality, ppm) are the auditor's own: no evidence
    depends on them.

    Raises:
        BadExport: the folder is no export, or was altered.
        NothingSelected: nothing is on record in that period and scope.
    """
    with computed_export(folder, asker, materialities, progress=progress) as computed:
        return computed.report


def export_ledger(
    url: str, folder: Path, parameters: Parameters, *, verified: bool = True, progress: Progress = _silent
) -> Exported:
    """Write the evidence of a period as Parquet.

    Raises:
        BadRequest: the folder is there already or can't be made, or the scope is unknown.
        store.errors.StoreError: the database can't be read.
    """
    from audit.reconcile.export import export  # noqa: PLC0415 - slow to import

    _check_there(url, parameters)
    breaks = verify_ledger(url, progress) if verified else None
    engine = PostgresEngine(url, parameters)
    try:
        _check_scope(engine, parameters)
    finally:
        engine.close()
    return export(url, folder, parameters, item_masses(), breaks or {"intact": None}, progress=progress)


def verify_ledger(url: str, progress: Progress = _silent) -> dict[str, Any]:
    """What verification says, as plain JSON values: what a report needs of it and an export keeps."""
    progress("verifying the ledger")
    report = verify(url, STREAMS)
    return {
        "intact": report.ok,
        "break_count": sum(count for _, _, count in report.counts),
        "breaks": [asdict(found) for found in _breaks(report)],
    }


def _breaks(report: Verification) -> list[LedgerBreak]:
    return [
        LedgerBreak(
            kind=str(found.kind),
            stream=found.stream,
            chain=found.chain,
            first_seq=found.seq,
            last_seq=found.last_seq,
            detail=found.detail,
        )
        for found in report.breaks[:_NAMED_BREAKS]
    ]


def report_on(
    parameters: Parameters,
    found: Results,
    verification: dict[str, Any] | None,
    masses: ItemMasses,
    asker: Asker,
) -> Report:
    """The report on results, whichever engine gave them."""
    check_materials(found, asker, parameters.materials)
    said = verification or {"intact": None}
    ledger = LedgerState(
        intact=said.get("intact"),
        breaks=tuple(LedgerBreak(**one) for one in said.get("breaks", ())),
        break_count=int(said.get("break_count", 0)),
        streams=found.evidence,
        evidence_digest=_evidence_digest(found.evidence),
    )
    return build(
        parameters, found, ledger, masses, asker, sql_digest=digest_of(published(parameters, masses))
    )


def _evidence_digest(streams: tuple[StreamEvidence, ...]) -> str:
    lines = "".join(f"{one.stream} {one.rows} {one.chains} {one.digest}\n" for one in streams)
    return hashlib.sha256(lines.encode()).hexdigest()


def _computed(engine: Engine, parameters: Parameters, masses: ItemMasses, progress: Progress) -> Results:
    progress("reading the evidence")
    for name in compute(engine, parameters, masses):
        progress(name.replace("_", " "))
    found = results(engine)
    if not found.claims and not found.counted.predictions and not found.counted.heartbeats:
        raise NothingSelected(
            f"nothing is on record from {shown(parameters.start)} to {shown(parameters.end)}"
            + (" in that scope" if parameters.sites or parameters.machines else "")
        )
    return found


def _check_there(url: str, parameters: Parameters) -> None:
    """Raise if evidence on the period was dropped: figures without it would be wrong."""
    with LedgerReader(url) as reader:
        check_period(reader, STREAMS, parameters.since, parameters.until)


def _check_scope(engine: PostgresEngine, parameters: Parameters) -> None:
    missing_sites = [site for site in parameters.sites if site not in engine.analysis.sites_found]
    if missing_sites:
        known = engine.analysis.known_sites()
        there = ", ".join(known[:8]) + (" ..." if len(known) > 8 else "")
        for site in missing_sites:
            if site not in known:
                raise BadRequest(f"site {site!r}: no deposit names it; there are {there or 'none at all'}")
    if parameters.machines:
        missing = [
            m for m in parameters.machines if m not in engine.analysis.known_machines(parameters.machines)
        ]
        if missing:
            raise BadRequest(f"machine {missing[0]!r}: it has no chain in the ledger")


@dataclass(frozen=True, slots=True)
class Computed:
    """A report, and the engine on which its relations still stand."""

    report: Report
    engine: Engine


@contextmanager
def computed_ledger(
    url: str, parameters: Parameters, asker: Asker, *, verified: bool, progress: Progress = _silent
) -> Iterator[Computed]:
    """:func:`reconcile_ledger`, with the engine kept open for questions about the figures."""
    _check_there(url, parameters)
    breaks = verify_ledger(url, progress) if verified else None
    engine = PostgresEngine(url, parameters)
    try:
        _check_scope(engine, parameters)
        found = _computed(engine, parameters, item_masses(), progress)
        yield Computed(report_on(parameters, found, breaks, item_masses(), asker), engine)
    finally:
        engine.close()


@contextmanager
def computed_export(
    folder: Path,
    asker: Asker,
    materialities: tuple[int, int] | None = None,
    *,
    progress: Progress = _silent,
) -> Iterator[Computed]:
    """:func:`reconcile_export`, with the engine kept open for questions about the figures."""
    from audit.reconcile.duckdb_engine import DuckDbEngine  # noqa: PLC0415 - slow to import

    parameters, masses, manifest = read_export(folder)
    if materialities is not None:
        most, performance = materialities
        parameters = replace(parameters, materiality_ppm=most, performance_materiality_ppm=performance)
    with DuckDbEngine(folder) as engine:
        found = _computed(engine, parameters, masses, progress)
        yield Computed(report_on(parameters, found, manifest["ledger"], masses, asker), engine)
