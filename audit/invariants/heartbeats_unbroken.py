"""Silences are known."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    found = asked.answer.exceptions
    return failing(
        asked,
        asked.counted.heartbeats,
        "No machine fell silent.",
        f"{plural(found, 'silence')}, {asked.answer.sums['silent_us'] // 60_000_000:,} min in all: "
        "what happened in them is unknown, "
        "and each needs an explanation.",
        "REVIEW_REQUIRED",
    )


def _detail(row: Row) -> str:
    return f"silent for {row['silent_us'] // 60_000_000} min"


RULE = Rule(
    name="heartbeats_unbroken",
    title="Machines were heard without a break",
    assertion="completeness",
    says="A machine gives a sign of life every heartbeat interval; where more than two are "
    "missing, nobody knows what it did.",
    judge=_judge,
    detail=_detail,
    summed=("silent_us",),
    order=130,
    sql=sql_beside(__file__),
)
