"""A small fleet's evidence in memory: clean unless a test breaks it; as Parquet, or as rows of a ledger.

A row is a dict with the columns that ``store/sql/evidence_*.sql`` return, less those that follow from the
others or from its place: ``seq``, ``row_hash``, ``event_us``.  A correction has ``corrects`` instead of the
place that it names.  Rows are chained here as a collector chains them, so that both forms have the same
positions and hashes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb

from audit.esg.factors import AvoidedFactors, built_in
from audit.reconcile.build import Asker
from audit.reconcile.duckdb_engine import DuckDbEngine
from audit.reconcile.engines import compute
from audit.reconcile.masses import item_masses
from audit.reconcile.parameters import Parameters, micros
from audit.reconcile.results import Results, results
from audit.reconcile.run import report_on
from audit.reporting.model import InvariantResult, Report
from ledger.canonical import Json, canonical_json
from ledger.chain import genesis, link
from ledger.rows import Value, encode_row
from ledger.streams import STREAMS
from tests.ledger_writer import SENDER_DIGEST, LedgerWriter

Values = dict[str, Any]

START: Final = datetime(2026, 3, 1, 10, tzinfo=UTC)
END: Final = START + timedelta(hours=1)
PERIOD: Final = Parameters(start=START, end=END)
ITEM_MG: Final = {"pet": 25_000, "aluminium_cans": 14_000, "glass": 300_000}
"""What one item of a clean fleet weighs."""
DEPOSITS: Final = 10
"""Of each machine of a clean fleet, five in each of two lots."""
INTACT: Final = {"intact": True, "break_count": 0, "breaks": []}
DIGEST: Final = "sha256:" + "5" * 64

_TEXT: Final = "VARCHAR"
_PLACED: Final = {"machine_id": _TEXT, "seq": "BIGINT", "row_hash": _TEXT}
_TIMED: Final = {"event_time": "TIMESTAMP WITH TIME ZONE", "event_us": "BIGINT"}
_SCALED: Final = {"mass_mg": "BIGINT", "gross_mg": "BIGINT", "tare_mg": "BIGINT"}

COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "deposits": {
        **_PLACED,
        "site_id": _TEXT,
        **_TIMED,
        "received_at": "TIMESTAMP WITH TIME ZONE",
        "delay_us": "BIGINT",
        "transaction_id": _TEXT,
        "device_seq": "BIGINT",
        "material": _TEXT,
        "item_count": "BIGINT",
        **_SCALED,
        "mass_method": _TEXT,
        "lot_id": _TEXT,
    },
    "predictions": {
        **_PLACED,
        "site_id": _TEXT,
        **_TIMED,
        "received_at": "TIMESTAMP WITH TIME ZONE",
        "delay_us": "BIGINT",
        "prediction_id": _TEXT,
        "transaction_id": _TEXT,
        "model_id": _TEXT,
        "model_version": _TEXT,
        "model_digest": _TEXT,
        "input_digest": _TEXT,
        "material": _TEXT,
        "confidence": "DOUBLE",
        "threshold": "DOUBLE",
        "covers": _TEXT,
    },
    "heartbeats": {**_PLACED, "site_id": _TEXT, **_TIMED, "delay_us": "BIGINT"},
    "temperatures": {**_PLACED, **_TIMED, "sensor": _TEXT, "value": "DOUBLE"},
    "tickets": {
        **_PLACED,
        "site_id": _TEXT,
        **_TIMED,
        "ticket_id": _TEXT,
        "lot_id": _TEXT,
        "plant": _TEXT,
        "material": _TEXT,
        **_SCALED,
    },
    "reviews": {
        **_PLACED,
        **_TIMED,
        "review_id": _TEXT,
        "transaction_id": _TEXT,
        "prediction_id": _TEXT,
        "decision": _TEXT,
        "material": _TEXT,
        "reviewer": _TEXT,
    },
    "governance": {
        "model_id": _TEXT,
        "seq": "BIGINT",
        "row_hash": _TEXT,
        "event_time": "TIMESTAMP WITH TIME ZONE",
        "received_at": "TIMESTAMP WITH TIME ZONE",
        "event_us": "BIGINT",
        "action": _TEXT,
        "model_version": _TEXT,
        "actor": _TEXT,
        "model_digest": _TEXT,
    },
    "calibrations": {
        **_PLACED,
        **_TIMED,
        "instrument": _TEXT,
        "certificate": _TEXT,
        "valid_from_us": "BIGINT",
        "valid_until_us": "BIGINT",
    },
    "corrections": {
        **_PLACED,
        **_TIMED,
        "corrects_machine_id": _TEXT,
        "corrects_seq": "BIGINT",
        "corrects_row_hash": _TEXT,
        "mass_delta_mg": "BIGINT",
        "material": _TEXT,
        "reason": _TEXT,
        "actor": _TEXT,
    },
}
"""As an export has them; a test of the two engines compares them with a real one."""

_STREAM: Final = {
    "deposits": "transactions",
    "predictions": "predictions",
    "temperatures": "telemetry",
    "tickets": "scale_tickets",
    "reviews": "reviews",
    "governance": "governance",
    "calibrations": "events",
    "heartbeats": "events",
    "corrections": "events",
}
"""In the order in which rows are chained: what is corrected before the correction."""

_EVENT: Final = {
    "calibrations": "machine.calibrated",
    "heartbeats": "machine.heartbeat",
    "corrections": "audit.correction",
}


@dataclass
class Fleet:
    """What machines, plant, model, reviewers and auditors sent: lists to append to, rows to change."""

    deposits: list[Values] = field(default_factory=list)
    predictions: list[Values] = field(default_factory=list)
    heartbeats: list[Values] = field(default_factory=list)
    temperatures: list[Values] = field(default_factory=list)
    tickets: list[Values] = field(default_factory=list)
    reviews: list[Values] = field(default_factory=list)
    governance: list[Values] = field(default_factory=list)
    calibrations: list[Values] = field(default_factory=list)
    corrections: list[Values] = field(default_factory=list)

    def deposit(self, machine: str, number: int) -> Values:
        """The deposit that a clean fleet's machine counted as its ``number``-th."""
        return next(d for d in self.deposits if (d["machine_id"], d["device_seq"]) == (machine, number))

    def prediction(self, deposit: Values) -> Values:
        """The first prediction of a deposit."""
        return next(p for p in self.predictions if p["transaction_id"] == deposit["transaction_id"])

    def predict(self, deposit: Values, **values: Any) -> Values:
        """One more prediction of a deposit: sure, by the approved version, of the declared material."""
        return self._append(self.predictions, prediction_of(deposit, len(self.predictions)), values)

    def review(self, deposit: Values, decision: str, material: str | None = None, **values: Any) -> Values:
        """A human decides on the prediction of a deposit."""
        row = {
            "machine_id": deposit["machine_id"],
            "event_time": deposit["event_time"] + timedelta(minutes=5),
            "review_id": f"review-{len(self.reviews)}",
            "transaction_id": deposit["transaction_id"],
            "prediction_id": None,
            "decision": decision,
            "material": material,
            "reviewer": "rita",
        }
        return self._append(self.reviews, row, values)

    def correct(self, deposit: Values | tuple[Any, Any, Any], delta_mg: int | None, **values: Any) -> Values:
        """A compensating row for a deposit of this fleet, or for a place (machine, seq, hash)."""
        row = {
            "machine_id": "audit-desk",
            "event_time": END + timedelta(hours=2),
            "corrects": deposit,
            "mass_delta_mg": delta_mg,
            "material": "",
            "reason": "sent twice",
            "actor": "ann",
        }
        return self._append(self.corrections, row, values)

    def repeat(self, deposit: Values, **values: Any) -> Values:
        """The same transaction on record again."""
        return self._append(self.deposits, dict(deposit), values)

    def _append(self, rows: list[Values], row: Values, values: Mapping[str, Any]) -> Values:
        assert row.keys() >= values.keys(), f"no such column: {values.keys() - row.keys()}"
        row.update(values)
        rows.append(row)
        return row

    # --- the two forms ---

    def evidence(self, parameters: Parameters = PERIOD) -> dict[str, list[Values]]:
        """The evidence relations of that period, as an export has them."""
        found: dict[str, list[Values]] = {name: [] for name in COLUMNS}
        for relation, row, values, seq, row_hash in self._chained():
            if _in_sight(relation, row, parameters):
                placed = {
                    **row,
                    "seq": seq,
                    "row_hash": row_hash.hex(),
                    "event_us": micros(row["event_time"]),
                    "received_at": values["received_at"],
                }
                if relation == "predictions":
                    placed["covers"] = "" if row["covers"] is None else canonical_json(row["covers"]).decode()
                if relation == "corrections":
                    attributes = json.loads(str(values["attributes"]))
                    number = attributes.get("correction.seq")
                    placed["corrects_machine_id"] = attributes["correction.machine_id"]
                    placed["corrects_seq"] = None if number is None else int(number)
                    placed["corrects_row_hash"] = attributes["correction.row_hash"]
                found[relation].append({name: placed[name] for name in COLUMNS[relation]})
        for relation, rows in found.items():
            chain = "model_id" if relation == "governance" else "machine_id"
            rows.sort(key=lambda row: (row[chain].encode(), row["seq"]))
        return found

    def write_parquet(
        self,
        folder: Path,
        parameters: Parameters = PERIOD,
        arrange: Callable[[list[Values]], list[Values]] = lambda rows: rows,
    ) -> Path:
        """A file for each evidence relation, its rows as ``arrange`` puts them; returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for relation, rows in self.evidence(parameters).items():
                _write_relation(connection, folder, relation, arrange(rows))
        return folder

    def write_ledger(self, writer: LedgerWriter) -> None:
        """Everything as chained rows."""
        rows: dict[str, list[Mapping[str, Value]]] = {}
        for relation, _, values, _, _ in self._chained():
            rows.setdefault(_STREAM[relation], []).append(values)
        for stream, values_of in rows.items():
            writer.append(stream, values_of)

    def _chained(self) -> Iterator[tuple[str, Values, dict[str, Value], int, bytes]]:
        heads: dict[tuple[str, str], tuple[int, bytes]] = {}
        places: dict[int, tuple[str, int, str]] = {}
        for relation, stream in _STREAM.items():
            for row in getattr(self, relation):
                values = _stream_values(relation, row, places)
                encoded = encode_row(STREAMS[stream], values)
                head = (stream, encoded.chain)
                seq, previous = heads.get(head, (0, genesis(*head)))
                row_hash = link(previous, encoded.image(seq + 1))
                heads[head] = seq + 1, row_hash
                places[id(row)] = (encoded.chain, seq + 1, row_hash.hex())
                yield relation, row, values, seq + 1, row_hash


def prediction_of(deposit: Values, number: int) -> Values:
    """A prediction in order, two seconds after its deposit."""
    return {
        "machine_id": deposit["machine_id"],
        "site_id": deposit["site_id"],
        "event_time": deposit["event_time"] + timedelta(seconds=2),
        "delay_us": 0,
        "prediction_id": f"prediction-{number}",
        "transaction_id": deposit["transaction_id"],
        "model_id": "waste",
        "model_version": "1",
        "model_digest": DIGEST,
        "input_digest": f"sha256:{number:064x}",
        "material": deposit["material"],
        "confidence": 0.97,
        "threshold": None,
        "covers": None,
    }


def deposit_at(machine: str, number: int, moment: datetime, **values: Any) -> Values:
    """A deposit in order: three PET bottles."""
    row = {
        "machine_id": machine,
        "site_id": "hall",
        "event_time": moment,
        "delay_us": 0,
        "transaction_id": f"{machine}-{number}",
        "device_seq": number,
        "material": "pet",
        "item_count": 3,
        "mass_mg": 3 * ITEM_MG["pet"],
        "gross_mg": None,
        "tare_mg": None,
        "mass_method": "weighed",
        "lot_id": None,
    }
    assert row.keys() >= values.keys(), f"no such column: {values.keys() - row.keys()}"
    return row | values


def clean_fleet(machines: tuple[str, ...] = ("M1", "M2")) -> Fleet:
    """An hour without a fault: ten deposits a machine, heartbeats each 30 s, temperatures each minute."""
    fleet = Fleet()
    for machine in machines:
        _add_machine(fleet, machine)
    for number, (action, actor) in enumerate((("trained", "tom"), ("approved", "eve"))):
        fleet.governance.append(governance_step(START - timedelta(hours=20 - number), action, actor))
    return fleet


def governance_step(moment: datetime, action: str, actor: str, version: str = "1") -> Values:
    """A step in the life of the model."""
    return {
        "model_id": "waste",
        "event_time": moment,
        "action": action,
        "model_version": version,
        "actor": actor,
        "model_digest": DIGEST,
    }


def _add_machine(fleet: Fleet, machine: str) -> None:
    materials = list(ITEM_MG)
    for number in range(1, DEPOSITS + 1):
        material = materials[number % len(materials)]
        deposit = deposit_at(
            machine,
            number,
            START + timedelta(minutes=5 * number),
            material=material,
            mass_mg=3 * ITEM_MG[material],
            lot_id=f"{machine}-lot-{(number - 1) // 5}",
        )
        fleet.deposits.append(deposit)
        fleet.predict(deposit)
    first_lot = [d for d in fleet.deposits if d["lot_id"] == f"{machine}-lot-0"]
    fleet.tickets.append(
        {
            "machine_id": "plant-scale",
            "site_id": "hall",
            "event_time": END + timedelta(hours=5),
            "ticket_id": f"ticket-{machine}",
            "lot_id": f"{machine}-lot-0",
            "plant": "north",
            "material": None,
            "mass_mg": sum(d["mass_mg"] for d in first_lot),
            "gross_mg": None,
            "tare_mg": None,
        }
    )
    for number in range(120):
        fleet.heartbeats.append(heartbeat(machine, START + timedelta(seconds=30 * number)))
    for number in range(60):
        fleet.temperatures.append(
            {
                "machine_id": machine,
                "event_time": START + timedelta(minutes=number),
                "sensor": "fan-1",
                "value": 20.0 + (number % 5) / 4,
            }
        )
    fleet.calibrations.append(
        {
            "machine_id": machine,
            "event_time": START - timedelta(days=30),
            "instrument": "scale",
            "certificate": f"cert-{machine}",
            "valid_from_us": micros(START - timedelta(days=30)),
            "valid_until_us": micros(START + timedelta(days=300)),
        }
    )


def heartbeat(machine: str, moment: datetime, delay_us: int = 0) -> Values:
    """A sign of life."""
    return {"machine_id": machine, "site_id": "hall", "event_time": moment, "delay_us": delay_us}


# --- computing ---


class Reconciled:
    """A fleet's evidence, computed by DuckDB from Parquet."""

    def __init__(self, folder: Path, parameters: Parameters = PERIOD) -> None:
        self.parameters = parameters
        self.engine = DuckDbEngine(folder, threads=1)
        for _ in compute(self.engine, parameters, item_masses()):
            pass
        self.results: Results = results(self.engine)

    def report(self) -> Report:
        """The report, with the ledger said to be intact."""
        return report_on(self.parameters, self.results, INTACT, item_masses(), asker())

    def rule(self, name: str) -> InvariantResult:
        """What the report says of a rule."""
        return next(rule for rule in self.report().invariants if rule.name == name)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


def reconciled(
    fleet: Fleet,
    folder: Path,
    parameters: Parameters = PERIOD,
    arrange: Callable[[list[Values]], list[Values]] = lambda rows: rows,
) -> Reconciled:
    """The fleet through Parquet and DuckDB."""
    return Reconciled(fleet.write_parquet(folder, parameters, arrange), parameters)


def asker() -> Asker:
    """Who reports in tests."""
    return Asker("Tester", "post-consumer", AvoidedFactors(built_in().named("epa-warm", "15")))


def in_microseconds(engine: DuckDbEngine, relation: str) -> str:
    """A query that every engine takes: all columns of a relation, its times as microseconds since 1970.

    A transaction's key is each engine's own: where a relation has nothing else, it is counted.
    """
    columns = [
        f"CAST(round(date_part('epoch', {name}) * 1000000) AS bigint) AS {name}"
        if str(row["column_type"]) == "TIMESTAMP WITH TIME ZONE"
        else name
        for row in engine.rows(f"DESCRIBE {relation}")
        for name in [str(row["column_name"])]
        if name != "transaction_key"
    ]
    return f"SELECT {', '.join(columns) or 'count(*) AS keys'} FROM {relation}"


def in_order(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as plain dicts, in an order of their own."""
    return sorted((dict(row) for row in rows), key=lambda row: [(n, repr(row[n])) for n in sorted(row)])


# --- from evidence to a stream's row ---


def _in_sight(relation: str, row: Values, parameters: Parameters) -> bool:
    since, until = parameters.since, parameters.until
    if relation in {"governance", "calibrations"}:
        return bool(row["event_time"] < until)
    if relation == "corrections":
        return bool(row["event_time"] >= since)
    return bool(since <= row["event_time"] < until)


def _stream_values(
    relation: str, row: Values, places: Mapping[int, tuple[str, int, str]]
) -> dict[str, Value]:
    """A row of the stream: columns where it has them, the rest among its attributes."""
    stream = STREAMS[_STREAM[relation]]
    delay_us = row.get("delay_us", 0)
    moment = row["event_time"]
    attributes: dict[str, Json] = {}
    if delay_us:
        attributes["tally.otlp"] = {"observed_time_unix_nano": str((micros(moment) + delay_us) * 1000)}
    values: dict[str, Value] = {
        "event_time": moment,
        "received_at": row.get("received_at") or moment + timedelta(milliseconds=250),
        "resource_digest": SENDER_DIGEST,
    }
    if relation in _EVENT:
        values["event_name"] = _EVENT[relation]
    match relation:
        case "predictions" if row["covers"] is not None:
            attributes["prediction.covers"] = list(row["covers"])
        case "temperatures":
            values |= {"metric": "hw.temperature", "unit": "Cel", "kind": "gauge"}
            attributes["hw.id"] = row["sensor"]
        case "calibrations":
            attributes["calibration.instrument"] = row["instrument"]
            attributes["calibration.certificate"] = row["certificate"]
            for name in ("valid_from", "valid_until"):
                us = row[f"{name}_us"]
                attributes[f"calibration.{name}_unix"] = "soon" if us is None else us // 1_000_000
        case "corrections":
            attributes |= _correction(row, places)
    values["attributes"] = canonical_json(attributes).decode()
    names = {column.name for column in stream.hashed_columns}
    kept = row.keys() & names if relation != "corrections" else {"machine_id"}
    return values | {name: row[name] for name in kept if name != "received_at"}


def _correction(row: Values, places: Mapping[int, tuple[str, int, str]]) -> dict[str, Json]:
    corrects = row["corrects"]
    machine, seq, row_hash = places[id(corrects)] if isinstance(corrects, dict) else corrects
    attributes: dict[str, Json] = {
        "correction.machine_id": machine,
        "correction.row_hash": row_hash,
        "correction.material": row["material"],
        "correction.reason": row["reason"],
        "correction.actor": row["actor"],
    }
    if seq is not None:
        attributes["correction.seq"] = seq
    if row["mass_delta_mg"] is not None:
        attributes["correction.mass_delta_mg"] = row["mass_delta_mg"]
    return attributes


def _write_relation(
    connection: duckdb.DuckDBPyConnection, folder: Path, relation: str, rows: list[Values]
) -> None:
    columns = COLUMNS[relation]
    timed = [name for name, kind in columns.items() if kind == "TIMESTAMP WITH TIME ZONE"]
    lines = folder / f"{relation}.ndjson"
    lines.write_text(
        "".join(
            json.dumps({n: micros(v) if isinstance(v, datetime) else v for n, v in row.items()}) + "\n"
            for row in rows
        ),
        encoding="utf-8",
    )
    read = ", ".join(f"{name}: '{'BIGINT' if name in timed else kind}'" for name, kind in columns.items())
    replaced = ", ".join(f"make_timestamptz({name}) AS {name}" for name in timed)
    connection.execute(
        f"COPY (SELECT * REPLACE ({replaced}) FROM read_json('{lines}', format = 'newline_delimited', "
        f"columns = {{{read}}})) TO '{folder / relation}.parquet' (FORMAT parquet)"
    )
    lines.unlink()
