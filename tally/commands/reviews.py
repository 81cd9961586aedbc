"""``tally reviews``: the queue of predictions that a human looks at, through the inference service."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer
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
    counts = Table("state", "reason", "items", "oldest", box=None, pad_edge=False)
    for count in found["counts"]:
        counts.add_row(count["state"], count["reason"], str(count["items"]), count["oldest"][:19])
    output().print(counts)
    _items(found["items"])


@app.command("next")
def next_items(
    *,
    count: Annotated[int, typer.Option(min=1, max=100, help="Items to take.")] = 1,
    url: Url = None,
    name: As = None,
    json: Json = False,
) -> None:
    """Take the oldest items to decide; each comes with the token that its decision needs.

    Example: tally reviews next --count 5
    """
    found = ServiceClient(url, name, "reviewer").post("/reviews/lease", {"count": count})
    if json:
        print_json(found)
    elif not found["items"]:
        output().print("nothing waits")
    else:
        _items(found["items"])
        output().print("decide: [bold]tally reviews decide PREDICTION confirmed --token TOKEN[/]")


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


def _items(items: Iterable[dict[str, Any]]) -> None:
    table = Table("prediction", "machine", "predicted", "sure", "reason", "state", box=None, pad_edge=False)
    for item in items:
        state = item["trouble"] or item.get("lease_token") or item["state"]
        table.add_row(
            *map(escape, (item["prediction_id"], item["machine_id"], item["predicted"])),
            f"{item['confidence']:.2f}",
            item["reason"],
            escape(state),
        )
    output().print(table)
