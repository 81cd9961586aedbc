"""The sections of the figures: a broken ledger, by material, what moves the figure, classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from audit.reporting import charts
from audit.reporting.blocks import (
    SHOWN_ROWS,
    Block,
    Cell,
    Column,
    Heading,
    Section,
    Table,
    Text,
    foreign,
    left_out,
    material_name,
    shade,
)
from audit.reporting.figures import NONE, class_words, co2e_kg, count, grouped, kg, shown, signed
from audit.reporting.model import CLASSES, ClassMaterial, Co2e, LedgerBreak, Mass, MaterialLine, Report, Total

SHOWN_BREAKS: Final = 20


def broken(report: Report) -> Iterator[Section]:
    """Where the ledger contradicts itself; no section if it does not."""
    ledger = report.ledger
    if ledger.intact is not False:
        return
    blocks: list[Block] = [
        Text(
            "Verification found rows that contradict the chains they stand in. Whatever the following "
            "sections say was computed from this ledger as it is, and proves nothing. Run tally verify, "
            "find the cause, and restore the ledger before a report of this period is used."
        )
    ]
    breaks = ledger.breaks[:SHOWN_BREAKS]
    if breaks:
        columns = (
            Column("Break", 16),
            Column("Stream", 14),
            Column("Chain", 18),
            Column("Rows", 14, "number"),
            Column("Detail", 38),
        )
        blocks.append(Table(columns, tuple(_break(one) for one in breaks)))
    if ledger.break_count > len(breaks):
        more = ledger.break_count - len(breaks)
        blocks.append(Text(f"{count(more, 'more break')}: tally verify --json names them.", note=True))
    yield Section("ledger", "Where the ledger is broken", tuple(blocks))


def _break(one: LedgerBreak) -> tuple[Cell, ...]:
    rows = NONE if one.first_seq is None else f"{one.first_seq:,}"
    if one.first_seq is not None and one.last_seq not in {None, one.first_seq}:
        rows += f"\N{EN DASH}{one.last_seq:,}"
    return (
        Cell(shown(one.kind), tone="bad"),
        foreign(one.stream),
        foreign(one.chain),
        Cell(rows),
        foreign(one.detail, 240),
    )


_MASS_COLUMNS: Final = (
    ("Reported", "reported"),
    ("Correc\N{SOFT HYPHEN}tions", "corrections"),
    ("Over\N{SOFT HYPHEN}stated", "overstated"),
    ("Under\N{SOFT HYPHEN}stated", "understated"),
    ("In doubt", "in_doubt"),
    ("Supported", "supported"),
    ("Lost (est.)", "lost_estimate"),
)


def materials(report: Report) -> Section:
    """The central table, in mass and in CO2e."""
    if not report.by_material:
        return Section("materials", "By material", (Text("No material was recorded in the period."),))
    totals = {total.name: total for total in report.totals}
    heads = [(head.replace("\N{SOFT HYPHEN}", ""), name) for head, name in _MASS_COLUMNS]
    lines = report.by_material[:SHOWN_ROWS]
    mass = Table(
        (
            Column("Material", 16),
            Column("Deposits", 9, "number"),
            *(Column(head, 10.7, "number", "kg") for head, _ in heads),
        ),
        tuple(_mass_row(line) for line in lines),
        foot=(
            Cell("All"),
            Cell(f"{sum(line.deposits for line in report.by_material):,}"),
            *(_total_cell(totals.get(name), in_mass=True) for _, name in heads),
        ),
    )
    factors = {factor.material: factor.avoided_kg_per_t for factor in report.factor_set.factors}
    co2e = Table(
        (
            Column("Material", 16),
            Column("Factor", 9, "number", "kg/t"),
            *(Column(head, 10.7, "number", "kg CO2e") for head, _ in heads),
        ),
        tuple(
            (
                Cell(material_name(line.material)),
                Cell(grouped(factors[line.material], 1) if line.material in factors else NONE),
                *(_co2e_cell(getattr(line, name).co2e) for _, name in heads),
            )
            for line in lines
        ),
        foot=(Cell("All"), Cell(""), *(_total_cell(totals.get(name), in_mass=False) for _, name in heads)),
    )
    blocks: list[Block] = [
        Text(
            "Reported + corrections \N{MINUS SIGN} overstated + understated \N{MINUS SIGN} in doubt = "
            "supported."
        ),
        Heading("Mass, net of tare"),
        mass,
        Heading("Emissions avoided"),
        co2e,
        Text(
            "Lost deposits are estimated, with the 95 % interval below the estimate, and are in no sum. A "
            "dash: no verified factor, so no CO2e is stated. Avoided emissions are apart from scopes 1 to "
            "3. Figures are rounded to the gram here; the workbook and the JSON have them exactly.",
            note=True,
        ),
        *left_out(report.by_material, SHOWN_ROWS, "material"),
    ]
    return Section("materials", "By material", tuple(blocks))


def _mass_row(line: MaterialLine) -> tuple[Cell, ...]:
    cells = [Cell(material_name(line.material), full=line.material), Cell(f"{line.deposits:,}")]
    for _, name in _MASS_COLUMNS:
        mass: Mass = getattr(line, name).mass
        interval = ""
        if name == "lost_estimate" and (line.lost_low_mg or line.lost_high_mg):
            interval = f"{kg(line.lost_low_mg)}\N{EN DASH}{kg(line.lost_high_mg)}"
        cells.append(Cell(kg(mass.mg), sub=interval, ref=mass.ref))
    return tuple(cells)


def _co2e_cell(co2e: Co2e) -> Cell:
    return Cell(co2e_kg(co2e.g), ref=co2e.ref)


def _total_cell(total: Total | None, *, in_mass: bool) -> Cell:
    if total is None:
        return Cell(NONE)
    figure = total.figure
    return Cell(kg(figure.mass.mg), ref=figure.mass.ref) if in_mass else _co2e_cell(figure.co2e)


def movement(report: Report) -> Section:
    """The waterfall from reported to supported mass."""
    chart = charts.waterfall(report.totals)
    if chart is None or not report.by_material:
        blocks: tuple[Block, ...] = (Text("Nothing was reported, so nothing moves the figure."),)
    else:
        blocks = (
            chart,
            Text(
                "Full bars are levels; outlined ones add, hatched ones take off. Lost deposits are not "
                "drawn: they are an estimate, and nothing is scaled up by it.",
                note=True,
            ),
        )
    return Section("movement", "What moves the figure", blocks)


def classes(report: Report) -> Section:
    """The classes, and how they fall on the materials."""
    if not report.by_class:
        return Section(
            "classes", "Classes", (Text("There is no deposit and no prediction to put into a class."),)
        )
    table = Table(
        (
            Column("Class", 19),
            Column("Meaning", 35),
            Column("Count", 10, "number"),
            Column("Mass", 12, "number", "kg"),
            Column("Effect", 12, "number", "kg"),
            Column("Effect", 12, "number", "kg CO2e"),
        ),
        tuple(
            (
                Cell(class_words(line.name), ref=line.ref),
                foreign(line.meaning, 200),
                Cell(f"{line.count:,}"),
                Cell(kg(line.mass_mg)),
                Cell(signed(kg(line.effect.mass.mg)), ref=line.effect.mass.ref),
                Cell(signed(co2e_kg(line.effect.co2e.g)), ref=line.effect.co2e.ref),
            )
            for line in report.by_class
        ),
    )
    effect = Text("Effect: reported minus supported. Positive overstates, negative understates.", note=True)
    return Section(
        "classes",
        "Classes",
        (
            Text("Every deposit and every prediction is in exactly one class."),
            table,
            effect,
            *_heat(report.class_by_material),
        ),
    )


def _heat(cells: tuple[ClassMaterial, ...]) -> Iterator[Block]:
    if not cells:
        return
    materials = sorted({one.material for one in cells})[:10]
    names = sorted({one.name for one in cells}, key=class_order)
    counts = {(one.name, one.material): one.count for one in cells}
    most = max((one.count for one in cells if one.name != "matched"), default=0)
    rows = tuple(
        (
            Cell(class_words(name)),
            *(
                Cell(
                    f"{counts.get((name, material), 0):,}",
                    heat=0 if name == "matched" else shade(counts.get((name, material), 0), most),
                )
                for material in materials
            ),
        )
        for name in names
    )
    width = 85 / len(materials)
    yield Heading("Class by material, number of deposits or predictions")
    yield Table(
        (Column("Class", 15), *(Column(material_name(one), width, "number") for one in materials)),
        rows,
        small=True,
    )
    words = "Darker cells have more; matched ones are not shaded."
    if len({one.material for one in cells}) > len(materials):
        words += f" The first {len(materials)} materials are shown; the JSON has all."
    yield Text(words, note=True)


def class_order(name: str) -> tuple[int, str]:
    """Sorts classes as the model has them, unknown ones last."""
    return (CLASSES.index(name), "") if name in CLASSES else (len(CLASSES), name)
