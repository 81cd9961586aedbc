"""What the engines give once the relations are computed: small tables, the same from either engine.

Everything here is an integer or a text; what is made of it (totals, estimates, CO2e, an opinion) is
arithmetic without a database, in ``audit.reconcile.figures``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from audit.invariants import rules
from audit.invariants.rule import Answer, Counted, Rule
from audit.reconcile.engines import Engine, Row
from audit.reporting.model import StreamEvidence

_WORST: Final = 10
MOST_FINDINGS: Final = 50_000
"""More exceptions than these are counted, not listed."""

_STREAM_OF: Final = {
    "deposits": "transactions",
    "predictions": "predictions",
    "heartbeats": "events",
    "temperatures": "telemetry",
    "tickets": "scale_tickets",
    "reviews": "reviews",
}


@dataclass(frozen=True, slots=True)
class Results:
    """Rows by column name; see the SQL that gives them."""

    counted: Counted
    claims: Sequence[Row]
    exception_sums: Sequence[Row]
    gap_sums: Sequence[Row]
    presence: Sequence[Row]
    lots: Sequence[Row]
    calibrations: Mapping[str, str]
    corrections: Sequence[Row]
    exceptions: Sequence[Row]
    exception_count: int
    gaps: Sequence[Row]
    answers: Mapping[str, Answer]
    evidence: tuple[StreamEvidence, ...]


CLAIMS: Final = """
SELECT site_id, machine_id, material, deposits, mass_mg, squares FROM claims
ORDER BY site_id, machine_id, material
"""

EXCEPTION_SUMS: Final = """
SELECT class, coalesce(declared, '') AS declared, coalesce(accepted, '') AS accepted, claimed, mass_problem,
    count(deposit_seq) AS deposits, count(prediction_seq) AS predictions, count(*) AS records,
    CAST(sum(mass_mg) AS decimal(38, 0)) AS mass_mg
FROM exceptions
GROUP BY class, coalesce(declared, ''), coalesce(accepted, ''), claimed, mass_problem
ORDER BY class, declared, accepted, claimed, mass_problem
"""

GAP_SUMS: Final = """
SELECT machine_id, count(*) AS gaps,
    CAST(sum(CAST(lost AS decimal(38, 0))) AS decimal(38, 0)) AS lost
FROM gaps GROUP BY machine_id ORDER BY machine_id
"""

EXCEPTIONS: Final = (
    "SELECT * FROM exceptions\n"  # noqa: S608 - a number of ours
    "ORDER BY class, machine_id, event_us, coalesce(deposit_seq, 0), coalesce(prediction_seq, 0)\n"
    f"LIMIT {MOST_FINDINGS}"
)

GAPS: Final = f"SELECT * FROM gaps ORDER BY machine_id, previous_seq LIMIT {MOST_FINDINGS}"  # noqa: S608

CORRECTIONS: Final = """
SELECT c.machine_id, c.seq, c.event_us, c.corrects_machine_id, c.corrects_seq, c.mass_delta_mg, c.material,
    c.reason, c.actor, d.seq AS deposit_seq, coalesce(d.material, '') AS declared, d.mass_mg, d.item_count,
    CASE WHEN d.row_hash = c.corrects_row_hash THEN 1 ELSE 0 END AS same_row,
    CASE WHEN d.event_time >= q.from_time AND d.event_time < q.to_time THEN 1 ELSE 0 END AS claimed,
    coalesce(e.class, 'matched') AS class, coalesce(e.accepted, d.material, '') AS accepted,
    coalesce(e.mass_problem, '') AS mass_problem
FROM corrections AS c
CROSS JOIN parameters AS q
LEFT JOIN deposits AS d ON d.machine_id = c.corrects_machine_id AND d.seq = c.corrects_seq
LEFT JOIN exceptions AS e ON e.machine_id = d.machine_id AND e.deposit_seq = d.seq
ORDER BY c.machine_id, c.seq
"""

COUNTED: Final = """
SELECT
    (SELECT coalesce(sum(deposits), 0) FROM claims) AS deposits,
    (SELECT coalesce(sum(predictions), 0) FROM answering) AS predictions,
    (SELECT count(*) FROM presence) AS machines,
    (SELECT count(*) FROM lots WHERE ticket_seq IS NOT NULL OR closed = 1) AS lots,
    (SELECT count(*) FROM answering) AS versions,
    (SELECT coalesce(sum(heartbeats), 0) FROM presence) AS heartbeats,
    (SELECT count(*) FROM temperatures) AS temperatures,
    (SELECT coalesce(sum(CASE WHEN class IN ('duplicate', 'conflict') THEN 1 ELSE 0 END), 0)
        FROM exceptions WHERE deposit_seq IS NOT NULL AND claimed = 1) AS repeats
"""


_COUNTED: Final = {
    "deposits": "deposit_blocks",
    "predictions": "predicted",
    "heartbeats": "heartbeat_blocks",
}
"""Relations of many rows, and where they are counted already, with the ends of their chains."""


def evidence_query(relation: str, counted: str | None = None) -> str:
    """The ends of a relation's chains: what a digest of the evidence is made of.

    ``counted``: another relation that has records, first_row and last_row of that one by machine.
    """
    if counted is None:
        ends = f"SELECT machine_id, 1 AS records, seq AS first_row, seq AS last_row FROM {relation}"  # noqa: S608
    else:
        ends = f"SELECT machine_id, records, first_row, last_row FROM {counted} WHERE records > 0"  # noqa: S608
    return (
        "SELECT e.machine_id, e.records, e.first_seq, e.last_seq, min(r.row_hash) AS row_hash\n"  # noqa: S608
        "FROM (SELECT machine_id, CAST(sum(records) AS bigint) AS records, min(first_row) AS first_seq, "
        "max(last_row) AS last_seq\n"
        f"    FROM ({ends}) AS ends GROUP BY machine_id) AS e\n"
        f"JOIN {relation} AS r ON r.machine_id = e.machine_id AND r.seq = e.last_seq\n"
        "GROUP BY e.machine_id, e.records, e.first_seq, e.last_seq\nORDER BY e.machine_id"
    )


def results(engine: Engine, machines_calibrated: str = "calibrations") -> Results:
    """Everything that a report is made of, from an engine on which the relations are computed."""
    counts = engine.rows(COUNTED)[0]
    deposits, repeats = int(counts["deposits"]), int(counts["repeats"])
    counted = Counted(
        deposits=deposits,
        predictions=int(counts["predictions"]),
        transactions=deposits - repeats,
        machines=int(counts["machines"]),
        lots=int(counts["lots"]),
        versions=int(counts["versions"]),
        heartbeats=int(counts["heartbeats"]),
        temperatures=int(counts["temperatures"]),
    )
    sums = engine.rows(EXCEPTION_SUMS)
    return Results(
        counted=counted,
        claims=engine.rows(CLAIMS),
        exception_sums=sums,
        gap_sums=engine.rows(GAP_SUMS),
        presence=engine.rows("SELECT * FROM presence ORDER BY machine_id"),
        lots=engine.rows("SELECT * FROM lots ORDER BY machine_id, lot_id"),
        calibrations=_calibrations(engine, machines_calibrated),
        corrections=engine.rows(CORRECTIONS),
        exceptions=engine.rows(EXCEPTIONS),
        exception_count=sum(int(row["records"]) for row in sums),
        gaps=engine.rows(GAPS),
        answers={rule.name: answer(engine, rule) for rule in rules() if rule.sql},
        evidence=tuple(_evidence(engine)),
    )


def answer(engine: Engine, rule: Rule) -> Answer:
    """What a rule's SQL gives: counts and sums over all of it, and its worst rows."""
    text = "\n".join(line for line in rule.sql.splitlines() if not line.startswith("--"))
    sums = "".join(
        f", CAST(coalesce(sum(CAST({column} AS decimal(38, 0))), 0) AS decimal(38, 0)) AS {column}"
        for column in rule.summed
    )
    engine.keep(f"rule_{rule.name}", text)
    total = engine.rows(f"SELECT count(*) AS exceptions{sums} FROM rule_{rule.name}")[0]  # noqa: S608
    effects: dict[str, int] = {}
    for material, effect in (("material", "effect_mg"), ("counter_material", "counter_mg")):
        for row in engine.rows(
            f"SELECT {material} AS material, CAST(sum({effect}) AS decimal(38, 0)) AS effect_mg "  # noqa: S608
            f"FROM rule_{rule.name} WHERE {effect} <> 0 GROUP BY {material} ORDER BY {material}"
        ):
            name = row["material"] or ""
            effects[name] = effects.get(name, 0) + int(row["effect_mg"])
    order = ", ".join(
        (
            "weight DESC",
            "subject",
            "chain NULLS FIRST",
            "seq NULLS FIRST",
            *(f"{s} DESC" for s in rule.summed),
        )
    )
    worst = engine.rows(f"SELECT * FROM rule_{rule.name} ORDER BY {order} LIMIT {_WORST}")  # noqa: S608
    return Answer(
        exceptions=int(total["exceptions"]),
        effects=effects,
        worst=tuple(worst),
        sums={column: int(total[column]) for column in rule.summed},
    )


def _calibrations(engine: Engine, relation: str) -> Mapping[str, str]:
    rows = engine.rows(
        "SELECT c.machine_id, max(c.valid_until_us) AS until_us, max(c.certificate) AS certificate "  # noqa: S608
        f"FROM {relation} AS c GROUP BY c.machine_id ORDER BY c.machine_id"
    )
    return {str(row["machine_id"]): str(row["certificate"] or "") for row in rows}


def _evidence(engine: Engine) -> Iterator[StreamEvidence]:
    for relation, stream in _STREAM_OF.items():
        digest = hashlib.sha256(f"tally-evidence/1 {relation}\n".encode())
        records = chains = 0
        for row in engine.rows(evidence_query(relation, _COUNTED.get(relation))):
            digest.update(
                "\t".join(
                    (
                        str(row["machine_id"]).encode("unicode_escape").decode(),
                        str(row["records"]),
                        str(row["first_seq"]),
                        str(row["last_seq"]),
                        str(row["row_hash"]),
                    )
                ).encode()
                + b"\n"
            )
            records += int(row["records"])
            chains += 1
        yield StreamEvidence(f"{stream} ({relation})", records, chains, digest.hexdigest())
