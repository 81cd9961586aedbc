"""Machines were up when they recorded."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    found = asked.answer.exceptions
    return failing(
        asked,
        asked.counted.deposits,
        "Every deposit was recorded while its machine was heard.",
        f"{plural(found, 'deposit was', 'deposits were')} recorded while the machine gave no sign of life.",
    )


def _detail(row: Row) -> str:
    return f"recorded within a silence of {(row['end_us'] - row['begin_us']) // 60_000_000} min"


RULE = Rule(
    name="machine_up",
    title="Machines were up when they recorded deposits",
    assertion="occurrence",
    says="No deposit is recorded in a silence: a time without a sign of life, its first and last "
    "heartbeat interval left out.",
    judge=_judge,
    detail=_detail,
    summed=("unwitnessed_mg",),
    order=120,
    sql=sql_beside(__file__),
)
