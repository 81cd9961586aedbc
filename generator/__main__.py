"""The command line: ``python -m generator COMMAND``.

Exit codes: 0 everything was sent and taken, 1 something was not taken, 2 it could not run, 130 interrupted.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.exceptions import Abort, TyperException

from generator import api
from generator.delivery import Delivery
from generator.options import duration_s, fault_rates, plan_file, start_time
from generator.settings import Protocol

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A simulated fleet of recycling machines that speaks OTLP. Same seed, same bytes.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Host = Annotated[str | None, typer.Option(help="Collector's host (environment: TALLY_COLLECTOR_HOST).")]
GrpcPort = Annotated[
    int | None, typer.Option(help="OTLP/gRPC port (environment: TALLY_COLLECTOR_GRPC_PORT).")
]
HttpPort = Annotated[
    int | None, typer.Option(help="OTLP/HTTP port (environment: TALLY_COLLECTOR_HTTP_PORT).")
]
ProtocolName = Annotated[str, typer.Option(help="grpc, http, or both (machines are split half and half).")]
Manifest = Annotated[Path | None, typer.Option("--manifest", "-o", help="Write the manifest of faults here.")]
Seed = Annotated[int, typer.Option(help="Same seed, same bytes.")]
FleetName = Annotated[str, typer.Option(help="Name of the fleet; machine ids start with it.")]
Sites = Annotated[int, typer.Option(help="Number of sites.")]
Machines = Annotated[int, typer.Option(help="Number of machines.")]
Step = Annotated[str, typer.Option(help="Time between two readings of a machine's sensors.")]
Deposits = Annotated[float, typer.Option(help="Mean deposits of a machine per day.")]
Fill = Annotated[float, typer.Option(help="Part of a bin that a day's deposits fill on average.")]
Faults = Annotated[list[str] | None, typer.Option("--fault", help="KIND=RATE, may be repeated; 0 is off.")]
NoFaults = Annotated[bool, typer.Option("--no-faults", help="Only the faults of --fault and --fault-plan.")]
AtLeast = Annotated[int, typer.Option(help="At least so many faults of each kind that is on.")]
PlanFile = Annotated[Path | None, typer.Option("--fault-plan", help="JSON list of faults at given places.")]
Start = Annotated[str, typer.Option(help="now, or a time like 2026-01-05T08:00:00Z.")]
Duration = Annotated[str, typer.Option(help="Length of the run in machine time, like 10m, 6h, 30d.")]
Window = Annotated[str, typer.Option(help="Machine time that goes into one request.")]


def _fleet_spec(
    *,
    seed: Seed = 1,
    fleet: FleetName = "fleet",
    sites: Sites = 5,
    machines: Machines = 20,
    start: Start = "2026-01-05T00:00:00Z",
    duration: Duration = "1d",
    step: Step = "30s",
    window: Window = "60s",
    deposits: Deposits = 250.0,
    fill: Fill = 0.4,
    fault: Faults = None,
    no_faults: NoFaults = False,
    at_least: AtLeast = 0,
    fault_plan: PlanFile = None,
) -> api.FleetSpec:
    """The options that say what a fleet does."""
    return api.FleetSpec(
        seed=seed,
        fleet=fleet,
        sites=sites,
        machines=machines,
        start=start_time(start),
        duration_s=duration_s(duration),
        step_s=duration_s(step),
        window_s=duration_s(window),
        deposits_per_day=deposits,
        fill_per_day=fill,
        faults=fault_rates(fault or [], off=no_faults),
        at_least=at_least,
        plan=plan_file(fault_plan),
    )


def _target(
    host: Host = None, grpc_port: GrpcPort = None, http_port: HttpPort = None, protocol: ProtocolName = "both"
) -> api.Target:
    """The options that say where the collector is."""
    found = api.target_from_environment()
    for name, port in (("grpc-port", grpc_port), ("http-port", http_port)):
        if port is not None and not 0 < port < 65_536:
            raise api.SpecError(f"{name}: expected 1 to 65535, got {port}")
    return api.Target(
        host=host or found.host,
        grpc_port=grpc_port or found.grpc_port,
        http_port=http_port or found.http_port,
        protocol=cast("Protocol", protocol),
    )


def _predict(
    *,
    predict: Annotated[
        str | None, typer.Option(help="Ask this service, like http://127.0.0.1:8080, for each prediction.")
    ] = None,
    predict_token_file: Annotated[
        Path | None, typer.Option(help="File with the service's token (environment: TALLY_TOKEN).")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folders of photos by class; half of the machines then have a camera.")
    ] = None,
    photos_as: Annotated[
        str, typer.Option(help="How photos are named: file, or a URL to put before.")
    ] = "file",
    answers: Annotated[Path | None, typer.Option(help="Write a JSON line for each answer here.")] = None,
) -> api.PredictSpec | None:
    """The options that say who is asked for predictions; without --predict they are made up."""
    if predict is None:
        if photos is not None or answers is not None:
            raise api.SpecError("photos, answers: they are of use with --predict only")
        return None
    return api.PredictSpec(
        url=predict, token_file=predict_token_file, photos=photos, photos_as=photos_as, answers=answers
    )


def _command(name: str, **defaults: object) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register one.  A parameter ``spec``, ``target`` or ``asked`` stands for the options that make it.

    ``defaults`` replaces the defaults of those options.
    """
    makers: dict[str, Callable[..., object]] = {"spec": _fleet_spec, "target": _target, "asked": _predict}

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True).parameters
        parts = {g: inspect.signature(makers[g], eval_str=True).parameters for g in own if g in makers}
        options = [
            option.replace(default=defaults.get(option.name, option.default))
            for part in parts.values()
            for option in part.values()
        ]
        options += [p for p in own.values() if p.name not in makers]

        def run(**given: Any) -> None:
            made = {
                group: makers[group](**{option: given.pop(option) for option in part})
                for group, part in parts.items()
            }
            function(**made, **given)

        run.__doc__ = function.__doc__
        keyword = inspect.Parameter.KEYWORD_ONLY
        run.__signature__ = inspect.Signature([p.replace(kind=keyword) for p in options])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in options}
        app.command(name)(run)
        return function

    return register


@_command("plan")
def plan(
    spec: api.FleetSpec,
    asked: api.PredictSpec | None,
    manifest: Manifest = None,
    json_output: Json = False,
) -> None:
    """Simulate without sending: manifest and digest of a run.

    Example: tally generate plan --seed 7 --duration 2d -o manifest.jsonl
    """
    _finish(api.plan(spec, manifest, progress=_progress(json_output), predict=asked), _tell_run, json_output)


@_command("realtime", start="now", duration="10m", window="10s", step="10s")
def realtime(
    spec: api.FleetSpec,
    target: api.Target,
    asked: api.PredictSpec | None,
    manifest: Manifest = None,
    json_output: Json = False,
) -> None:
    """Send a fleet through the stock OpenTelemetry exporters in real time.

    Example: tally generate realtime --duration 10m --machines 5
    """
    report = api.stream(spec, target, manifest, speed=1.0, progress=_progress(json_output), predict=asked)
    _finish(report, _tell_run, json_output)


@_command("faster", duration="1h")
def faster(
    *,
    spec: api.FleetSpec,
    target: api.Target,
    asked: api.PredictSpec | None,
    speed: Annotated[
        float | None, typer.Option(help="Machine seconds per second; without it as fast as it goes.")
    ] = None,
    manifest: Manifest = None,
    json_output: Json = False,
) -> None:
    """Send a fleet through the stock OpenTelemetry exporters faster than real time.

    Example: tally generate faster --duration 1h --speed 60 --at-least 1 -o manifest.jsonl
    """
    report = api.stream(spec, target, manifest, speed=speed, progress=_progress(json_output), predict=asked)
    _finish(report, _tell_run, json_output)


@_command("backfill", duration="7d", window="1h", protocol="grpc")
def backfill(
    *,
    spec: api.FleetSpec,
    target: api.Target,
    asked: api.PredictSpec | None,
    in_flight: Annotated[int, typer.Option(help="Requests under way at once.")] = 64,
    manifest: Manifest = None,
    json_output: Json = False,
) -> None:
    """Send days or months at full speed: encoded requests over gRPC, each machine's in order.

    Example: tally generate backfill --duration 30d --start 2026-01-01 -o manifest.jsonl
    """
    if target.protocol != "grpc":
        raise api.SpecError(f"protocol: backfill speaks grpc only, got {target.protocol!r}")
    report = api.backfill(
        spec, target, manifest, in_flight=in_flight, progress=_progress(json_output), predict=asked
    )
    _finish(report, _tell_run, json_output)


@_command("replay", protocol="grpc")
def replay(
    *,
    target: api.Target,
    csv: Annotated[Path, typer.Option(help="CSV file with a header.")],
    metric: Annotated[str, typer.Option(help="Name of the gauge.")] = "hw.temperature",
    unit: Annotated[str, typer.Option(help="UCUM unit.")] = "Cel",
    machine: Annotated[str, typer.Option(help="Machine identity.")] = "replay-0001",
    time_column: Annotated[
        str, typer.Option(help="Column of ISO 8601 times; UTC without an offset.")
    ] = "timestamp",
    value_column: Annotated[str, typer.Option(help="Column of numbers.")] = "value",
    json_output: Json = False,
) -> None:
    """Replay a CSV column as a gauge: every row, repeated times and backward jumps included.

    Example: tally generate replay --csv readings.csv --value-column value --machine press-7
    """
    spec = api.ReplaySpec(
        csv=csv, metric=metric, unit=unit, machine=machine, time_column=time_column, value_column=value_column
    )
    _finish(api.replay(spec, target, progress=_progress(json_output)), _tell_replay, json_output)


@_command("load", protocol="grpc")
def load(
    *,
    target: api.Target,
    machines: Annotated[int, typer.Option(help="Machines in a request.")] = 10,
    points: Annotated[int, typer.Option(help="Points of each machine in a request.")] = 100,
    fleet_machines: Annotated[int, typer.Option(help="Machines in all, taken in turn.")] = 100,
    in_flight: Annotated[int, typer.Option(help="Requests under way at once.")] = 8,
    rate: Annotated[
        float | None, typer.Option(help="Requests per second; without it as fast as it goes.")
    ] = None,
    duration: Annotated[str, typer.Option(help="How long, like 30s.")] = "10s",
    requests: Annotated[int | None, typer.Option(help="End after so many requests.")] = None,
    fleet: FleetName = "load",
    json_output: Json = False,
) -> None:
    """Measure: raw OTLP/gRPC metric requests of a given shape; requests/s, points/s and latencies.

    Example: tally generate load --machines 1 --points 8 --in-flight 64 --duration 30s
    """
    if target.protocol != "grpc":
        raise api.SpecError(f"protocol: load speaks grpc only, got {target.protocol!r}")
    spec = api.LoadSpec(
        machines=machines,
        points=points,
        fleet_machines=fleet_machines,
        in_flight=in_flight,
        rate=rate,
        duration_s=float(duration_s(duration)),
        requests=requests,
        fleet=fleet,
    )
    _finish(api.load(spec, target, progress=_progress(json_output)), _tell_load, json_output)


def _progress(json_output: bool) -> api.ProgressCallback | None:
    return None if json_output else api.on_terminal()


def _tell_run(report: api.RunReport) -> None:
    content = report.to_json()
    typer.echo(f"{content['rows']:,} rows in {content['requests']:,} requests, {content['elapsed_s']:.1f} s")
    typer.echo("faults    " + (", ".join(f"{k} {n}" for k, n in content["faults"].items() if n) or "none"))
    if content["unplaced"]:
        typer.echo("unplaced  " + ", ".join(f"{kind} {count}" for kind, count in content["unplaced"].items()))
    _tell_delivery(report.delivery, report.problem)
    if report.predictions is not None:
        _tell_predictions(report.predictions)
    typer.echo(f"digest    {content['digest']}")
    if report.manifest is not None:
        typer.echo(f"manifest  {report.manifest}")


def _tell_replay(report: api.ReplayReport) -> None:
    order = report.order
    typer.echo(
        f"{order.rows:,} rows, {order.repeated_timestamps} repeated timestamps, "
        f"{order.backward_jumps} backward jumps"
    )
    _tell_delivery(report.delivery, report.problem)


def _tell_load(report: api.LoadReport) -> None:
    content = report.to_json()
    latency = ", ".join(f"{name} {value:.1f}" for name, value in content["latency_ms"].items())
    typer.echo(f"{content['requests_per_s']:,} requests/s, {content['points_per_s']:,} points/s")
    typer.echo(f"latency   {latency} ms")
    _tell_delivery(report.delivery, "")


def _tell_predictions(predictions: dict[str, Any]) -> None:
    for model in predictions["models"]:
        typer.echo(
            f"answers   {model['model']} {model['version']}: {model['answered']:,} from {model['input']}, "
            f"{model['accuracy']:.1%} right, {model['low_confidence']:,} for a human"
        )
    for reason, problem in predictions["problems"].items():
        typer.echo(
            f"          {problem['count']:,} without an answer, {reason}: {problem['message']}", err=True
        )


def _tell_delivery(delivery: Delivery | None, problem: str) -> None:
    if delivery is None:
        typer.echo("delivery  nothing was sent: this was a plan")
        return
    content = delivery.to_json()
    typer.echo(
        f"delivery  {delivery.acknowledged_rows:,} rows acknowledged, "
        f"{sum(delivery.failed.values()):,} not taken, {sum(delivery.refused.values()):,} refused, "
        f"{delivery.retries} retries"
    )
    for message in filter(None, [problem, *content["messages"]]):
        typer.echo(f"          {message}", err=True)


def _finish(report: Any, tell: Callable[[Any], None], json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(report.to_json(), separators=(",", ":")))
    else:
        tell(report)
    raise typer.Exit(0 if report.good else 1)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; errors are one line on stderr."""
    try:
        return int(app(arguments, standalone_mode=False) or 0)  # the code of typer.Exit comes back
    except (api.GeneratorError, TyperException) as error:
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        if message:  # without arguments the help was shown already
            sys.stderr.write(f"generator: {message}\n")
        return 2
    except (Abort, KeyboardInterrupt):
        sys.stderr.write("generator: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
