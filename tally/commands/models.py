"""``tally models``: the life of models, through the inference service."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from tally.console import FOUND, Json, fail, output, print_json
from tally.service_client import As, Refused, ServiceClient, Url

Model = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]
Version = Annotated[str, typer.Argument(help="Name of the version.", show_default=False)]
Note = Annotated[str, typer.Option("--note", "-n", help="Why; it goes on record.")]

app = typer.Typer(help="Models: what is served, and the steps of their lives.", no_args_is_help=True)


@app.command("list")
def list_models(*, url: Url = None, name: As = None, json: Json = False) -> None:
    """List the models with their champions and challengers.

    Example: tally models list
    """
    found = ServiceClient(url, name, "operator").get("/models")
    if json:
        print_json(found)
        return
    table = Table("model", "champion", "challenger", "versions", "rows", box=None, pad_edge=False)
    for model in found["models"]:
        table.add_row(
            *map(escape, (model["model"], model["champion"] or "none", _challenger(model))),
            str(len(model["versions"])),
            str(model["seq"]),
        )
    output().print(table)
    if found["asked_at"] is None:
        output().print("[yellow]as last known: the service has not reached the ledger since it started[/]")
    _troubles(found["models"])


@app.command()
def show(model: Model, *, url: Url = None, name: As = None, json: Json = False) -> None:
    """Show a model: versions, metrics, approvals, and which rules each version passes.

    Example: tally models show waste-photos
    """
    found = ServiceClient(url, name, "operator").get(f"/models/{model}")
    if json:
        print_json(found)
        return
    console = output()
    console.print(f"[bold]{escape(found['model'])}[/]  {escape(found['title'])}")
    console.print(f"champion {found['champion'] or 'none'}, challenger {_challenger(found)}")
    for version in found["versions"]:
        metrics = ", ".join(f"{metric} {value:.4g}" for metric, value in sorted(version["metrics"].items()))
        console.print(f"\n[bold]{escape(version['version'])}[/]  {version['status']}")
        console.print(escape(f"  trained by {version['trainer']} at {version['trained_at']}"))
        console.print(escape(f"  {metrics}"))
        for judged, word in ((version["approvals"], "approved"), (version["refusals"], "refused")):
            for one in judged:
                console.print(escape(f"  {word} by {one['actor']} in row {one['seq']}: {one['note']}"))
        _verdicts(version["rules"])
    _troubles([found])


@app.command()
def card(model: Model, version: Version, *, url: Url = None, name: As = None, json: Json = False) -> None:
    """Print the model card of a version.

    Example: tally models card waste-photos 2026.11.21-1a2b3c4d
    """
    text = ServiceClient(url, name, "operator").text(f"/models/{model}/versions/{version}/card")
    if json:
        print_json({"model": model, "version": version, "card": text})
    else:
        typer.echo(text)


@app.command()
def approve(
    model: Model, version: Version, *, note: Note, url: Url = None, name: As = None, json: Json = False
) -> None:
    """Approve a version, with a note; its trainer can't.

    Example: tally models approve waste-photos 2026.11.21-1a2b3c4d --note "card and confusions seen"
    """
    _step(
        ServiceClient(url, name, "approver"),
        f"/models/{model}/versions/{version}/approve",
        {"note": note},
        json,
    )


@app.command()
def refuse(
    model: Model, version: Version, *, note: Note, url: Url = None, name: As = None, json: Json = False
) -> None:
    """Refuse a version, with a note; approvals before it no longer count.

    Example: tally models refuse waste-photos 2026.11.21-1a2b3c4d --note "too many cans taken for glass"
    """
    _step(
        ServiceClient(url, name, "approver"),
        f"/models/{model}/versions/{version}/refuse",
        {"note": note},
        json,
    )


@app.command()
def promote(
    model: Model, version: Version, *, note: Note = "", url: Url = None, name: As = None, json: Json = False
) -> None:
    """Make a version champion. Exit code 1, with each rule's verdict, if a rule does not pass.

    Example: tally models promote waste-photos 2026.11.21-1a2b3c4d
    """
    _step(
        ServiceClient(url, name, "operator"),
        f"/models/{model}/versions/{version}/promote",
        {"note": note},
        json,
    )


@app.command()
def shadow(
    model: Model,
    version: Version,
    *,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the answers; 0: none is returned.")] = 0.0,
    note: Note = "",
    url: Url = None,
    name: As = None,
    json: Json = False,
) -> None:
    """Make a version challenger: in shadow, or with a share of the answers.

    Example: tally models shadow waste-photos 2026.11.21-1a2b3c4d --share 0.1
    """
    body = {"note": note, "share": share}
    _step(ServiceClient(url, name, "operator"), f"/models/{model}/versions/{version}/shadow", body, json)


@app.command()
def rollback(
    model: Model,
    *,
    to: Annotated[str | None, typer.Option(help="A former champion; else the latest that is fit.")] = None,
    note: Note = "",
    url: Url = None,
    name: As = None,
    json: Json = False,
) -> None:
    """Go back to a former champion, at once.

    Example: tally models rollback waste-photos --note "takes cans for glass since Monday"
    """
    body = {"note": note, "to": to}
    _step(ServiceClient(url, name, "operator"), f"/models/{model}/rollback", body, json)


@app.command()
def retire(
    model: Model, version: Version, *, note: Note = "", url: Url = None, name: As = None, json: Json = False
) -> None:
    """Retire a version for good; not the champion.

    Example: tally models retire waste-photos 2026.03.01-5e6f7a8b
    """
    _step(
        ServiceClient(url, name, "operator"),
        f"/models/{model}/versions/{version}/retire",
        {"note": note},
        json,
    )


@app.command()
def register(
    folder: Annotated[Path, typer.Argument(help="A model's folder, with manifest.json.", show_default=False)],
    *,
    collector: Annotated[
        str | None, typer.Option(help="host:port of the collector's OTLP/gRPC; else this stack's.")
    ] = None,
    json: Json = False,
) -> None:
    """Put a trained version on record, unless the ledger has it: its trained and evaluated steps.

    Example: tally models register var/models/waste-sensors/2026.11.21-1a2b3c4d
    """
    import asyncio

    from tally.registration import register_folder

    receipt = asyncio.run(register_folder(folder, collector))
    if json:
        print_json(receipt)
    elif receipt["position"] is None:
        output().print(escape(f"{receipt['model']} {receipt['version']} is on record already"))
    else:
        _told(f"{receipt['model']} {receipt['version']} is on record", receipt["position"])


@app.command()
def history(model: Model, *, url: Url = None, name: As = None, json: Json = False) -> None:
    """Show every step of a model with its place in the ledger, and how to verify the chain.

    Example: tally models history waste-photos
    """
    found = ServiceClient(url, name, "operator").get(f"/models/{model}/history")
    if json:
        print_json(found)
        return
    table = Table("row", "time", "step", "version", "by", "row hash", "note", box=None, pad_edge=False)
    for step in found["steps"]:
        ignored = step["ignored"]
        remark = step["attributes"].get("model.note", "")
        table.add_row(
            str(step["position"]["seq"]),
            step["at"][:19].replace("T", " "),
            *map(escape, (_action(step), step["version"], step["actor"])),
            step["position"]["row_hash"][:16],
            escape(str(remark)) if ignored is None else f"[red]no effect:[/] {escape(ignored['sentence'])}",
        )
    console = output()
    console.print(table)
    console.print(
        f"stream governance, chain {escape(found['model'])}; check it: [bold]{escape(found['verify'])}[/]"
    )


def _step(client: ServiceClient, path: str, body: dict[str, Any], json: bool) -> None:
    """Take a step; a refusal with verdicts is shown line by line, and exits with 1."""
    try:
        taken = client.post(path, body)
    except Refused as refused:
        details = refused.details if isinstance(refused.details, dict) else {}
        if not details.get("rules"):
            raise
        if json:
            print_json({"error": {"reason": refused.reason, "message": str(refused), "details": details}})
        else:
            fail(str(refused))
            _verdicts(details["rules"])
        raise typer.Exit(FOUND) from refused
    if json:
        print_json(taken)
        return
    state = taken["state"]
    _told(
        f"{state['model']}: champion {state['champion'] or 'none'}, challenger {_challenger(state)}",
        taken["position"],
    )


def _told(what: str, position: dict[str, Any]) -> None:
    output().print(
        f"[green]✓[/] {escape(what)}\n  row {position['seq']} of {escape(position['chain'])}, "
        f"stream {position['stream']}, hash {position['row_hash']}"
    )


def _verdicts(rules: Iterable[dict[str, Any]]) -> None:
    for rule in rules:
        mark = "[green]✓[/]" if rule["passed"] else "[red]✗[/]"
        says = rule["found"] if rule["passed"] else f"{rule['found']}; expected: {rule['expected']}"
        output().print(f"  {mark} {rule['rule']}: {escape(says)}")


def _challenger(model: dict[str, Any]) -> str:
    challenger = model["challenger"]
    if challenger is None:
        return "none"
    part = f"{challenger['share']:.0%}" if challenger["share"] else "in shadow"
    return f"{challenger['version']} ({part})"


def _action(step: dict[str, Any]) -> str:
    """What was done, with what makes the difference."""
    share = step["attributes"].get("model.share")
    if step["action"] == "shadowed" and isinstance(share, int | float) and share:
        return f"shadowed ({100 * share:.3g} %)"
    if step["action"] == "rolled_back":
        return f"rolled back to {step['version']}"
    return str(step["action"])


def _troubles(models: Iterable[dict[str, Any]]) -> None:
    for model in models:
        if model["trouble"]:
            output().print(f"[red]{escape(model['trouble'])}[/]")
