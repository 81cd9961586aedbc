"""Each transaction is on record once."""

from __future__ import annotations

from audit.invariants.rule import Asked, Row, Rule, Verdict, failing, grams, plural, sql_beside


def _judge(asked: Asked) -> Verdict:
    duplicates = asked.answer.sums["duplicate"]
    conflicts = asked.answer.sums["conflict"]
    return failing(
        asked,
        asked.counted.deposits,
        "No transaction id is used twice.",
        f"{plural(duplicates, 'record repeats', 'records repeat')} a transaction and {plural(conflicts, 'contradicts', 'contradict')} "
        "one: their mass was reported more than once.",
    )


def _detail(row: Row) -> str:
    kind = "repeats" if row["duplicate"] else "contradicts"
    return f"{kind} a transaction that is on record already, with {grams(row['effect_mg'])}"


RULE = Rule(
    name="transactions_unique",
    title="Each transaction is recorded once",
    assertion="occurrence",
    says="A transaction id stands for one deposit.  The same content again is a duplicate, other content a conflict; the record with the least mass counts.",
    judge=_judge,
    detail=_detail,
    summed=("duplicate", "conflict"),
    order=20,
    sql=sql_beside(__file__),
)
