"""The report of a verification for people: what was checked, what is broken, what it proves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from audit.breaks import Break
from audit.report import Drop, Report
from audit.twin import TwinReport

_SHOWN = 30


def report_text(report: Report) -> Group:
    """The report as Rich renderables; without colours it is plain text."""
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    yield Text(f"Verified {_scope(report)}, as committed at {_moment(report.as_of)}")
    yield _figures(report)
    yield Text(
        f"{_count(report.rows, 'row')} in {_count(report.chains, 'chain')}, "
        f"{_count(report.resources, 'sender description')}, in {report.seconds:.1f} s "
        f"({report.rows_per_s:,.0f} rows/s, {_count(report.processes, 'process', 'processes')})"
    )
    for drop in report.drops:
        yield _drop(drop)
    yield Text()
    if report.ok:
        yield Text.from_markup("[bold green]INTACT[/]  nothing contradicts anything")
        yield from _list("What this proves", report.proves)
    else:
        broken = sum(rows for _, _, rows in report.counts)
        yield Text.from_markup(f"[bold red]BROKEN[/]  {_count(broken, 'row')} in {_named(report)}")
        for found in report.breaks[:_SHOWN]:
            yield Padding(_break(found), (0, 0, 0, 2))
        rest = broken - sum(found.rows for found in report.breaks[:_SHOWN])
        if rest > 0:
            yield Text(f"  ... and {_count(rest, 'row')} more (--json names the first ones of each chain)")
        yield _counts(report)
    yield from _list("What it leaves open", report.leaves_open)


def _scope(report: Report) -> str:
    scope = report.scope
    if scope.whole:
        return "the whole ledger"
    words = "all streams" if len(scope.streams) > 3 else ", ".join(stream.name for stream in scope.streams)
    if scope.machine is not None:
        words += f" of {scope.machine}"
    if scope.since is not None:
        words += f" from {_moment(scope.since)}"
    if scope.until is not None:
        words += f" to {_moment(scope.until)}"
    return words


def _figures(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stream")
    table.add_column("rows", justify="right")
    table.add_column("chains", justify="right")
    table.add_column("result")
    for one in report.streams:
        result = f"[red]{one.broken:,} broken[/]" if one.broken else "[green]intact[/]"
        table.add_row(
            one.stream, f"{one.rows:,}", f"{one.chains:,}", result if one.chains or one.broken else "-"
        )
    return table


def _break(found: Break) -> Text:
    text = Text.from_markup(f"[bold]{escape(found.place)}[/]  [red]{found.kind.value}[/]")
    if found.event_time is not None:
        text.append(f"  (event time {_moment(found.event_time)})")
    text.append(f"\n  {found.detail}")
    return text


def _drop(drop: Drop) -> Text:
    rows = ", ".join(f"{count:,} of {stream}" for stream, count in drop.rows)
    text = Text(f"Drop {drop.number}: {_count(drop.total, 'row')} ({rows})")
    if drop.event_seq is None or drop.event_time is None:
        text.append("; its event was dropped since, a later one covers it")
        return text
    text.append(
        f" dropped by {drop.actor} at {_moment(drop.event_time)} ({drop.reason}), events tally-audit row "
        f"{drop.event_seq}"
    )
    for digest in drop.bundles:
        text.append(f"\n  in the bundle {digest}")
    return text


def _counts(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("stream", "kind", "rows"):
        table.add_column(name, justify="right" if name == "rows" else "left")
    for stream, kind, rows in report.counts:
        table.add_row(stream, kind.value, f"{rows:,}")
    return table


def _named(report: Report) -> str:
    names = [one.stream for one in report.streams if one.broken]
    names += sorted({stream for stream, _, _ in report.counts} - set(names))
    return ", ".join(names)


def _list(title: str, sentences: tuple[str, ...]) -> Iterator[RenderableType]:
    yield Text(title + ":")
    for sentence in sentences:
        yield Padding(Text(f"- {sentence}"), (0, 0, 0, 2))


def twin_text(report: TwinReport) -> Group:
    """The comparison with the SQL twin for people."""
    rows = sum(count for _, count in report.rows)
    if report.ok:
        return Group(
            Text.from_markup(
                f"[bold green]AGREED[/]  PostgreSQL computes the same hash for all {rows:,} rows"
            )
        )
    lines = [
        Text.from_markup(
            f"[bold red]DISAGREED[/]  on {report.disagreeing:,} of {rows:,} rows (verify tells why)"
        )
    ]
    lines += [
        Text(
            f"  {one.stream} {one.chain} row {one.seq}: stored {one.stored[:16]}, "
            f"COPY {one.by_copy[:16]}, SQL {one.by_sql[:16]}"
        )
        for one in report.disagreements[:_SHOWN]
    ]
    return Group(*lines)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
