"""Machines were heard often enough."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    return failing(
        asked,
        asked.counted.machines,
        "Every machine was heard often enough for its figures to be complete.",
        f"{plural(asked.answer.exceptions, 'machine was', 'machines were')} heard too little, "
        "so figures may be incomplete.",
    )


def _detail(row: Row) -> str:
    return f"silent for {row['silent_us'] // 60_000_000} min of the period"


RULE = Rule(
    name="heartbeat_coverage",
    title="Each machine was heard for 97.5 % of the period",
    assertion="completeness",
    says="Heartbeat coverage of each machine is at least 97.5 % (or what was set instead).",
    judge=_judge,
    detail=_detail,
    order=140,
    sql=sql_beside(__file__),
)
