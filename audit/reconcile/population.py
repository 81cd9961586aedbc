"""What an audit sample is drawn from: the deposits of a period, and a seed that nobody chose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from audit.reconcile.engines import PostgresEngine
from audit.reconcile.masses import literal
from audit.reconcile.parameters import Parameters
from audit.reconcile.results import evidence_query
from audit.relations import digest_of
from audit.sampling.items import Item
from store.closing import Closing


@dataclass(frozen=True, slots=True)
class Deposits(Closing):
    """The deposits of a period in the order of chain and seq, of one snapshot, as long as it is open."""

    engine: PostgresEngine
    material: str | None

    def close(self) -> None:
        """End the snapshot."""
        self.engine.close()

    def __iter__(self) -> Iterator[Item]:
        wanted = "" if self.material is None else f" AND d.material = {literal(self.material)}"
        rows = self.engine.stream(
            "SELECT d.machine_id, d.seq, d.transaction_id, coalesce(d.material, '') AS material, d.mass_mg\n"
            "FROM deposits AS d CROSS JOIN parameters AS q\n"
            f"WHERE d.event_time >= q.from_time AND d.event_time < q.to_time{wanted}\n"
            "ORDER BY d.machine_id, d.seq"
        )
        for row in rows:
            yield Item(
                "transactions",
                row["machine_id"],
                row["seq"],
                row["transaction_id"],
                row["material"],
                row["mass_mg"],
            )


def population(
    url: str,
    since: datetime,
    until: datetime,
    *,
    site: str | None,
    machine: str | None,
    material: str | None,
) -> tuple[Deposits, str]:
    """The deposits, and the seed: a digest of the ends of their chains.

    Whoever could choose the seed could choose the sample.  Neither side can: the operator's machines wrote
    the rows before the auditor named the period, and one more row anywhere in it gives another seed.

    Raises:
        BadRequest: the period is reversed or empty.
        store.errors.StoreError: the database can't be read.
    """
    parameters = Parameters(
        start=since,
        end=until,
        sites=() if site is None else (site,),
        machines=() if machine is None else (machine,),
        margin_h=1,
    )
    engine = PostgresEngine(url, parameters)
    engine.define("parameters", parameters.sql)
    ends = "\n".join(
        f"{row['machine_id']}\t{row['records']}\t{row['last_seq']}\t{row['row_hash']}"
        for row in engine.rows(evidence_query("deposits"))
    )
    return Deposits(engine, material), digest_of({"deposits": ends, "period": parameters.sql})
