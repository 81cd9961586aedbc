"""No deposit was lost on the way."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    lost = asked.answer.sums["lost"]
    return failing(
        asked,
        asked.counted.deposits,
        "Every number between a machine's first and last deposit is there.",
        f"{plural(lost, 'deposit is', 'deposits are')} missing in the machines' own counts; what was "
        "lost is estimated from the same machine's deposits and stays apart from what was measured.",
    )


def _detail(row: Row) -> str:
    first, last = row["previous_seq"] + 1, row["next_seq"] - 1
    return f"number {first} is missing" if first == last else f"numbers {first} to {last} are missing"


RULE = Rule(
    name="device_seq_gapless",
    title="The machines' own counts have no gaps",
    assertion="completeness",
    says="Each machine numbers its deposits; a number that is on record nowhere between two others "
    "is a lost deposit.",
    judge=_judge,
    detail=_detail,
    summed=("lost",),
    order=70,
    sql=sql_beside(__file__),
)
