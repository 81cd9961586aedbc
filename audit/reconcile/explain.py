"""What stands behind a figure of a report: the rows, where they lie in the ledger, and the arithmetic.

A reference is what the report prints beside a figure:

    mass.reported.pet, co2e.supported     a figure of one material, or of all
    mass.class.duplicate, class.late      what a class of deposits does
    rule.one_prediction                   a rule, its SQL and what it names
    finding:transactions/rvm-1/17         one row, and its counterpart
    lost:rvm-1/12                         a gap in a machine's own count
    correction:tally-audit/3              a compensating row
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from audit.invariants import rules
from audit.invariants.rule import grams
from audit.reconcile.engines import Engine, Row
from audit.reconcile.errors import BadRequest
from audit.reconcile.masses import literal
from audit.reconcile.parameters import moment_of, shown
from audit.reporting.model import CLASSES, Figure, MaterialLine, Report

_PARTS: Final = (
    "reported",
    "corrections",
    "overstated",
    "understated",
    "in_doubt",
    "supported",
    "lost_estimate",
)
_KINDS: Final = {
    "overstated": "class IN ('duplicate', 'conflict', 'material_mismatch') OR (class = "
    "'out_of_period' AND claimed = 1)",
    "understated": "class = 'material_mismatch'",
    "in_doubt": "class IN ('missing_prediction', 'low_confidence') OR mass_problem <> ''",
}

_COLUMNS: Final = {
    "deposits": "row_hash, site_id, event_us, delay_us, transaction_id, device_seq, material, item_count, "
    "mass_mg, gross_mg, tare_mg, mass_method, lot_id",
    "predictions": "row_hash, site_id, event_us, delay_us, prediction_id, transaction_id, model_id, "
    "model_version, model_digest, input_digest, material, confidence, threshold, covers",
}
_RECEIVED_US: Final = "CAST(round(date_part('epoch', received_at) * 1000000) AS bigint) AS received_us"
"""As a number, since not every driver gives a time with a zone."""
_MOMENTS: Final = frozenset({"event_us", "received_us"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """Title, the arithmetic in lines, and a table of which ``total`` rows exist, not all of them shown."""

    ref: str
    title: str
    lines: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    total: int = 0
    texts: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "ref": self.ref,
            "title": self.title,
            "lines": list(self.lines),
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "total": self.total,
            "texts": list(self.texts),
        }


class Explainer:
    """Explains the references of one report, on an engine on which its relations are computed."""

    def __init__(self, engine: Engine, report: Report, limit: int) -> None:
        self._engine = engine
        self._report = report
        self._limit = limit

    def explain(self, ref: str) -> Explanation:
        """What stands behind ``ref``.

        Raises:
            BadRequest: the report has no such figure.
        """
        kind, _, rest = ref.partition(":") if ":" in ref else ref.partition(".")
        if ":" in ref and kind in {"finding", "lost", "correction"}:
            return self._row(ref, kind)
        if kind == "rule" or (kind in {"mass", "co2e"} and rest.startswith("rule.")):
            return self._rule(ref, rest.removeprefix("rule."))
        if kind == "class" or (kind in {"mass", "co2e"} and rest.startswith("class.")):
            return self._class(ref, rest.removeprefix("class."))
        if kind in {"mass", "co2e"}:
            part, _, material = rest.partition(".")
            if part in _PARTS:
                return self._part(ref, part, material)
        raise _unknown(ref)

    def _part(self, ref: str, part: str, material: str) -> Explanation:
        lines = [m for m in self._report.by_material if not material or (m.material or "none") == material]
        if not lines:
            raise _unknown(ref)
        title = f"{part.replace('_', ' ')}, {material or 'all materials'}"
        arithmetic = [self._material_arithmetic(part, line) for line in lines]
        total = (
            next(t for t in self._report.totals if t.name == part).figure
            if not material
            else _figure(lines[0], part)
        )
        if not material:
            arithmetic.append(f"together: {_both(total)}")
        named = None if not material else ("" if material == "none" else material)
        if part == "reported":
            return self._deposits(ref, title, arithmetic, named)
        if part in _KINDS:
            return self._exceptions(
                ref, title, arithmetic, _KINDS[part], named, accepted=part == "understated"
            )
        if part == "lost_estimate":
            return self._gaps(ref, title, arithmetic)
        if part == "corrections":
            return self._corrections(ref, title, arithmetic)
        return Explanation(ref, title, tuple(arithmetic))

    def _material_arithmetic(self, part: str, line: MaterialLine) -> str:
        figure = _figure(line, part)
        name = line.material or "no material"
        factor = next((f for f in self._report.factor_set.factors if f.material == line.material), None)
        of = ""
        if part == "supported":
            of = (
                " = "
                + " ".join(
                    f"{sign} {_figure(line, other).mass.mg} ({other})"
                    for sign, other in (
                        ("", "reported"),
                        ("+", "corrections"),
                        ("-", "overstated"),
                        ("+", "understated"),
                        ("-", "in_doubt"),
                    )
                ).strip()
            )
        said = f"{name}: {figure.mass.mg} mg{of}"
        if factor is not None:
            said += f"; x {factor.avoided_kg_per_t} kg CO2e/t = {figure.co2e.g} g CO2e"
        return said

    def _deposits(self, ref: str, title: str, lines: Sequence[str], material: str | None) -> Explanation:
        where = "" if material is None else f" AND coalesce(d.material, '') = {literal(material)}"
        source = (
            "FROM deposits AS d CROSS JOIN parameters AS q\n"
            f"WHERE d.event_time >= q.from_time AND d.event_time < q.to_time{where}"
        )
        rows = self._engine.rows(
            "SELECT d.machine_id, d.seq, d.transaction_id, d.event_us, d.material, d.item_count, "
            "d.mass_mg, d.row_hash\n"
            f"{source}\nORDER BY d.machine_id, d.seq LIMIT {self._limit:d}"
        )
        total = self._engine.rows(
            f"SELECT count(*) AS n, CAST(coalesce(sum(d.mass_mg), 0) AS decimal(38, 0)) AS mg {source}"
        )[0]
        return Explanation(
            ref,
            title,
            (*lines, f"the sum of {total['n']:,} deposit records: {total['mg']} mg"),
            ("position", "transaction", "event time", "material", "items", "mass", "row hash"),
            tuple(
                (
                    f"transactions/{row['machine_id']}/{row['seq']}",
                    str(row["transaction_id"]),
                    shown(moment_of(row["event_us"])),
                    str(row["material"] or ""),
                    str(row["item_count"]),
                    grams(row["mass_mg"]),
                    str(row["row_hash"])[:16],
                )
                for row in rows
            ),
            int(total["n"]),
        )

    def _exceptions(
        self,
        ref: str,
        title: str,
        lines: Sequence[str],
        where: str,
        material: str | None,
        *,
        accepted: bool = False,
    ) -> Explanation:
        condition = f"({where})"
        if material is not None:
            column = "accepted" if accepted else "declared"
            condition += f" AND coalesce({column}, '') = {literal(material)}"
        rows = self._engine.rows(
            f"SELECT * FROM exceptions WHERE {condition}\n"  # noqa: S608
            "ORDER BY class, machine_id, event_us, coalesce(deposit_seq, 0), "
            f"coalesce(prediction_seq, 0) LIMIT {self._limit:d}"
        )
        total = self._engine.rows(f"SELECT count(*) AS n FROM exceptions WHERE {condition}")[0]["n"]  # noqa: S608
        return Explanation(
            ref,
            title,
            tuple(lines),
            (
                "position",
                "counterpart",
                "class",
                "transaction",
                "declared",
                "accepted",
                "mass",
                "mass problem",
            ),
            tuple(_exception_row(row) for row in rows),
            int(total),
        )

    def _class(self, ref: str, name: str) -> Explanation:
        if name not in CLASSES:
            raise _unknown(ref)
        line = next(one for one in self._report.by_class if one.name == name)
        lines = [
            f"{line.count:,} records, {grams(line.mass_mg)}: {line.meaning}",
            f"effect, reported minus supported: {_both(line.effect)}",
        ]
        if name == "lost":
            return self._gaps(ref, name, lines)
        if name == "matched":
            return self._exceptions(
                ref,
                "matched; only those with an impossible mass are listed",
                [*lines, "all claims of the period without the exceptions of the other classes"],
                "class = 'matched'",
                None,
            )
        return self._exceptions(ref, name.replace("_", " "), lines, f"class = '{name}'", None)

    def _gaps(self, ref: str, title: str, lines: Sequence[str]) -> Explanation:
        rows = self._engine.rows(
            f"SELECT * FROM gaps ORDER BY machine_id, previous_seq LIMIT {self._limit:d}"  # noqa: S608
        )
        total = self._engine.rows("SELECT count(*) AS n FROM gaps")[0]["n"]
        return Explanation(
            ref,
            title,
            (
                *lines,
                "estimate: what each machine lost times the mean of its own; interval: 1.96 deviations",
            ),
            ("machine", "missing numbers", "between", "and", "row after"),
            tuple(
                (
                    str(row["machine_id"]),
                    f"{row['previous_seq'] + 1} to {row['next_seq'] - 1}",
                    shown(moment_of(row["previous_us"])),
                    shown(moment_of(row["next_us"])),
                    f"transactions/{row['machine_id']}/{row['chain_seq']}",
                )
                for row in rows
            ),
            int(total),
        )

    def _corrections(self, ref: str, title: str, lines: Sequence[str]) -> Explanation:
        found = self._report.corrections
        return Explanation(
            ref,
            title,
            tuple(lines),
            ("position", "corrects", "material", "mass", "actor", "reason", "taken"),
            tuple(
                (
                    f"events/{one.position.chain}/{one.position.seq}",
                    f"transactions/{one.corrects.chain}/{one.corrects.seq}",
                    one.material_to,
                    grams(one.mass_delta_mg),
                    one.actor,
                    one.reason,
                    "yes" if one.valid else f"no: {one.problem}",
                )
                for one in found[: self._limit]
            ),
            len(found),
        )

    def _rule(self, ref: str, name: str) -> Explanation:
        rule = next((one for one in rules() if one.name == name), None)
        result = next((one for one in self._report.invariants if one.name == name), None)
        if rule is None or result is None:
            raise _unknown(ref)
        lines = [
            f"{result.status}: {result.sentence}",
            f"rule: {rule.says}",
            f"assertion: {rule.assertion}; checked {result.checked:,}, exceptions {result.exceptions:,}",
            f"effect, reported minus supported: {_both(result.effect)}",
        ]
        rows: Iterable[Row] = ()
        if rule.sql:
            rows = self._engine.rows(
                f"SELECT * FROM rule_{rule.name} ORDER BY weight DESC, subject LIMIT {self._limit:d}"  # noqa: S608
            )
        return Explanation(
            ref,
            rule.title,
            tuple(lines),
            ("subject", "position", "detail"),
            tuple(
                (
                    str(row["subject"]),
                    f"{row['stream']}/{row['chain']}/{row['seq']}" if row["seq"] is not None else "",
                    rule.detail(row),
                )
                for row in rows
            ),
            result.exceptions,
            (rule.sql,) if rule.sql else (),
        )

    def _row(self, ref: str, kind: str) -> Explanation:
        if kind == "correction":
            found = next((one for one in self._report.corrections if one.ref == ref), None)
            if found is None:
                raise _unknown(ref)
            return self._corrections(ref, "a compensating row", [f"{found.reason} (by {found.actor})"])
        finding = next((one for one in self._report.findings if one.ref == ref), None)
        if finding is None:
            raise _unknown(ref)
        effect = f"{grams(finding.effect_mg)}" + (
            f", {finding.effect_co2e_g} g CO2e" if finding.effect_co2e_g is not None else ""
        )
        lines = [
            f"{finding.name.replace('_', ' ')}: {finding.detail}",
            f"effect, reported minus supported: {effect}",
        ]
        columns: tuple[str, ...] = ("position", "column", "value")
        rows: list[tuple[str, ...]] = []
        for position in finding.positions:
            relation = {"transactions": "deposits", "predictions": "predictions"}[position.stream]
            for row in self._engine.rows(
                f"SELECT {_COLUMNS[relation]}, {_RECEIVED_US} FROM {relation} "  # noqa: S608 - names of ours
                f"WHERE machine_id = {literal(position.chain)} AND seq = {position.seq:d}"
            ):
                place = f"{position.stream}/{position.chain}/{position.seq}"
                rows += [
                    (place, name, shown(moment_of(value)) if name in _MOMENTS else str(value))
                    for name, value in row.items()
                    if value is not None
                ]
        if kind == "lost":
            lines.append("the row shown is the one after the gap")
        return Explanation(
            ref, finding.transaction_id or finding.machine, tuple(lines), columns, tuple(rows), len(rows)
        )


def _figure(line: MaterialLine, part: str) -> Figure:
    figure: Figure = getattr(line, part)
    return figure


def _both(figure: Figure) -> str:
    return f"{figure.mass.mg} mg" + (f", {figure.co2e.g} g CO2e" if figure.co2e.g is not None else "")


def _exception_row(row: Row) -> tuple[str, ...]:
    deposit = (
        f"transactions/{row['machine_id']}/{row['deposit_seq']}" if row["deposit_seq"] is not None else ""
    )
    prediction = (
        f"predictions/{row['prediction_machine_id']}/{row['prediction_seq']}"
        if row["prediction_seq"] is not None
        else ""
    )
    return (
        deposit or prediction,
        prediction if deposit else "",
        str(row["class"]),
        str(row["transaction_id"] or ""),
        str(row["declared"] or ""),
        str(row["accepted"] or ""),
        grams(row["mass_mg"]),
        str(row["mass_problem"]),
    )


def _unknown(ref: str) -> BadRequest:
    return BadRequest(
        f"{ref!r}: the report has no such figure; references stand beside its figures, like "
        "mass.reported.pet, "
        "class.duplicate or rule.one_prediction"
    )
