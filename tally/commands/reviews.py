"""``tally reviews``: the queue of predictions that a human looks at, through the inference service."""

from __future__ import annotations

import os
import shlex
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tally.console import Json, output, print_json
from tally.service_client import As, ServiceClient, Url

app = typer.Typer(help="Reviews: what a human should look at.", no_args_is_help=True)


class Decision(StrEnum):
    """What the reviewer saw."""

    CONFIRMED = "confirmed"
    CORRECTED = "corrected"
    REJECTED = "rejected"


@app.command("list")
def list_items(
    *,
    most: Annotated[int, typer.Option(min=1, max=1000, help="Items to list at most.")] = 20,
    url: Url = None,
    name: As = None,
    json: Json = False,
) -> None:
    """List how much waits, and the oldest items.

    Example: tally reviews list
    """
    found = ServiceClient(url, name, "reviewer").get(f"/reviews?most={most}")
    if json:
        print_json(found)
        return
    console = output()
    if found["counts"]:
        counts = Table("state", "reason", "items", "oldest", box=None, pad_edge=False)
        for count in found["counts"]:
            counts.add_row(count["state"], count["reason"], str(count["items"]), _moment(count["oldest"]))
        console.print(counts)
        console.print()
    if not found["items"]:
        console.print("nothing waits")
        return
    table = _table("state")
    for item in found["items"]:
        table.add_row(*_item(item), escape(item["trouble"] or item["state"]))
    _print(console, table)


@app.command("next")
def next_items(
    *,
    count: Annotated[int, typer.Option(min=1, max=100, help="Items to take.")] = 1,
    url: Url = None,
    name: As = None,
    json: Json = False,
) -> None:
    """Take the oldest items to decide; each comes with the token that its decision needs.

    They are yours for ten minutes, then they are offered again.

    Example: tally reviews next --count 5
    """
    found = ServiceClient(url, name, "reviewer").post("/reviews/lease", {"count": count})
    if json:
        print_json(found)
        return
    console, items = output(), found["items"]
    if not items:
        console.print("nothing waits")
        return
    table = _table("token", "until")
    for item in items:
        table.add_row(*_item(item), item["lease_token"], _moment(item["leased_until"]))
    _print(console, table)
    console.print()
    caller = _caller(url, name)
    for item in items:
        words = ("decide", item["prediction_id"], "confirmed", "--token", item["lease_token"], *caller)
        console.print(f"tally reviews {escape(shlex.join(words))}", soft_wrap=True)


@app.command()
def decide(
    prediction: Annotated[str, typer.Argument(help="Id of the prediction.", show_default=False)],
    decision: Annotated[Decision, typer.Argument(help="What you saw.", show_default=False)],
    *,
    token: Annotated[str, typer.Option(help="The lease's token, from `tally reviews next`.")],
    material: Annotated[str | None, typer.Option(help="The material; needed for corrected.")] = None,
    note: Annotated[str, typer.Option("--note", "-n", help="It goes on record.")] = "",
    url: Url = None,
    name: As = None,
    json: Json = False,
) -> None:
    """Decide an item; on record when this ends.

    Example: tally reviews decide pred-1 corrected --material aluminium --token "$TOKEN"
    """
    body = {"lease_token": token, "decision": decision.value, "material": material, "note": note}
    done = ServiceClient(url, name, "reviewer").post(f"/reviews/{quote(prediction)}/decision", body)
    if json:
        print_json(done)
    else:
        saw = f", {done['material']}" if done["material"] else ""
        output().print(
            f"[green]✓[/] {escape(done['prediction_id'])} {done['decision']}{escape(saw)} by "
            f"{escape(done['reviewer'])}; review {done['review_id']}"
        )


@app.command()
def release(
    prediction: Annotated[str, typer.Argument(help="Id of the prediction.", show_default=False)],
    *,
    token: Annotated[
        str | None,
        typer.Option(
            help="The lease's token; without it, an item that was set aside is offered again.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    name: As = None,
    json: Json = False,
) -> None:
    """Give an item back undecided.

    Example: tally reviews release pred-1 --token "$TOKEN"
    """
    client = ServiceClient(url, name, "reviewer")
    done = client.post(f"/reviews/{quote(prediction)}/release", {"lease_token": token})
    if json:
        print_json(done)
    else:
        output().print(f"[green]✓[/] {escape(done['prediction_id'])} waits again")


def _table(*last: str) -> Table:
    first = ("prediction", "machine", "transaction", "predicted", "sure", "reason")
    return Table(*first, *last, box=None, pad_edge=False)


def _item(item: dict[str, Any]) -> tuple[str, ...]:
    names = (item["prediction_id"], item["machine_id"], item["transaction_id"] or "-", item["predicted"])
    return *map(escape, names), _sure(item["confidence"]), item["reason"]


def _sure(confidence: float) -> str:
    """Two decimals, not rounded up: 0.999 is not certainty."""
    return str(Decimal(str(confidence)).quantize(Decimal("0.01"), ROUND_FLOOR))


def _moment(text: str) -> str:
    """To the second, in UTC, as the service tells it."""
    return text[:19]


def _print(console: Console, table: Table) -> None:
    """As wide as it is: a name or a token that is broken in two can't be copied."""
    console.width = max(
        console.width, console.measure(table, options=console.options.update(width=1_000)).maximum
    )
    console.print(table)


def _caller(url: str | None, name: str | None) -> tuple[str, ...]:
    """The options that make a command ask the same service as the same reviewer."""
    there = () if url is None else ("--url", url)
    by_variable = name is None and os.environ.get("TALLY_TOKEN")
    return there if by_variable else (*there, "--as", name or "reviewer")
