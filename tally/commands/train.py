"""``tally train``: make a model from a specification, and tell the ledger of it."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

import tally
from tally.console import GOOD, Json, note, output, print_json
from tally.errors import TallyError
from tally.settings import read_settings

if TYPE_CHECKING:
    from inference.manifest import Manifest
    from inference.training.run import Trained

_RETRY_S: Final = 15.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def train(
    spec: Annotated[
        str, typer.Argument(help="A specification's file, or the name of one that comes with Tally.")
    ],
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="TALLY_DATA_DIR", help="Folder that the specification's data lie in; else ../shared/data."
        ),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder that the model is written to; else var/models.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, max=1_000, help="Trials of the search; else the specification's."),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(help="Who trains it; somebody else has to approve. Else the login."),
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish/--no-publish", help="Tell the ledger: events trained and evaluated.")
    ] = True,
    collector: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The collector's OTLP/gRPC; else this stack's.")
    ] = None,
    json: Json = False,
) -> int:
    """Train a model from a specification, measure it on held-back data, and put it on record.

    The model is a folder: artefact (ONNX), manifest, card, metrics. It serves nobody before it is approved by
    somebody else and promoted (`tally models --help`). The same data, specification and seed give the same
    artefact.

    Example: tally train iris --actor alice
    """
    from inference.spec import find_spec
    from inference.training import tracking
    from inference.training.run import train as run_training

    settings = read_settings()
    who = actor or getpass.getuser()
    trained = run_training(
        find_spec(spec),
        models_dir=models or settings.models_dir,
        data_dir=data if data is not None else _data_beside(),
        simulations=_simulations(),
        trials=trials,
        actor=who,
        say=lambda line: note("train", line),
    )
    if not trained.new:
        note("train", f"the same model was made before; {trained.folder} is kept")
    if publish:
        _publish(trained, collector or f"{settings.collector_host}:{settings.collector_grpc_port}")
        note("ledger", f"trained and evaluated are on record, by {trained.manifest.trained_by}")
    if trained.new and tracking.installed():
        run = tracking.track(trained, settings.var_dir / "mlruns")
        note("mlflow", f"run {run} in {settings.var_dir / 'mlruns'}")
    if json:
        print_json(_content(trained, published=publish))
    else:
        _show(trained)
    return GOOD


def events(manifest: Manifest, digest: str) -> bytes:
    """The OTLP request that puts a version on record.

    It follows from the manifest alone, so a second try has the same bytes, and the collector adds no row.
    """
    from inference.governance.events import registration
    from inference.otlp import SERVICE, log_request

    nanoseconds = (manifest.trained_at - _EPOCH) // timedelta(microseconds=1) * 1_000
    return log_request(SERVICE, "model.lifecycle", nanoseconds, *registration(manifest, digest))


def _publish(trained: Trained, address: str) -> None:
    from outbox.sender import Answer, RawSender

    async def send() -> Answer:
        async with RawSender(address, retry_for_s=_RETRY_S) as sender:
            return await sender.send("logs", events(trained.manifest, trained.digest))

    answer = asyncio.run(send())
    if not answer.accepted or answer.refused:
        raise TallyError(
            f"the model is in {trained.folder}, but not on record: the collector at {address} says "
            f"{answer.message or 'nothing'}; start it and run the same command again"
        )


def _simulations() -> Mapping[str, Callable[[int, int], Any]]:
    """The generators that a specification may name; inference itself may not import them."""
    from generator.readings import table

    return {"readings": table}


def _data_beside() -> Path | None:
    """``../shared/data`` beside the checkout, if it is there."""
    found = Path(tally.__file__).resolve().parents[2] / "shared" / "data"
    return found if found.is_dir() else None


def _content(trained: Trained, *, published: bool) -> dict[str, Any]:
    manifest = trained.manifest
    return {
        "model": manifest.model_id,
        "version": manifest.version,
        "digest": trained.digest,
        "folder": str(trained.folder),
        "new": trained.new,
        "published": published,
        "estimator": trained.evaluated.estimator,
        "parameters": trained.evaluated.parameters,
        "metrics": manifest.metrics,
        "group_metrics": manifest.group_metrics,
        "promotion": manifest.promotion.model_dump(exclude_none=True),
        "fulfils_bounds": not _missed(manifest),
        "temperature": manifest.temperature,
        "cut": manifest.cut,
        "artefact_digest": manifest.artefact_digest,
        "data_digest": manifest.data_digest,
        "spec_digest": manifest.spec_digest,
        "trained_by": manifest.trained_by,
        "seconds": manifest.seconds,
        "energy_kwh": manifest.energy_kwh,
    }


def _missed(manifest: Manifest) -> set[str]:
    """Metrics that are beyond the bounds that promotion needs."""
    found, bounds = manifest.metrics, manifest.promotion
    small = {name for name, bound in bounds.minimum.items() if found.get(name, float("-inf")) < bound}
    great = {name for name, bound in bounds.maximum.items() if found.get(name, float("inf")) > bound}
    return small | great


def _show(trained: Trained) -> None:
    from inference.training.card import MEANINGS, number

    manifest, bounds = trained.manifest, trained.manifest.promotion
    missed = _missed(manifest)
    table = Table(
        title=f"{manifest.title}: on {trained.evaluated.numbers.held_back:,} rows that it had not seen",
        title_justify="left",
    )
    for head in ("metric", "value", "needed", "", "meaning"):
        table.add_column(head, justify="right" if head == "value" else "left")
    for name, value in manifest.metrics.items():
        needed = ""
        if name in bounds.minimum:
            needed = f"at least {number(bounds.minimum[name])}"
        elif name in bounds.maximum:
            needed = f"at most {number(bounds.maximum[name])}"
        verdict = "" if not needed else ("missed" if name in missed else "ok")
        table.add_row(name, number(value), needed, verdict, MEANINGS.get(name, ""))
    output().print(table)
    folder = trained.folder
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    typer.echo(f"{manifest.model_id} {manifest.version}, by {trained.evaluated.estimator}: {folder}")
    typer.echo(f"Its card: {folder / 'card.md'}")
    if missed:
        typer.echo(f"It can't be promoted: its specification asks for better {', '.join(sorted(missed))}.")
    else:
        which = f"{manifest.model_id} {manifest.version}"
        typer.echo(f"Next, by somebody else: tally models approve {which} --note WHY --as approver")
        typer.echo(f"     then: tally models promote {which} --as operator")
