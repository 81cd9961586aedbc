"""``tally witness``: cosign a log's checkpoints, as an auditor does elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from tally.commands.key_statements import Source
from tally.console import Json, output, print_json
from tally.errors import TallyError

app = typer.Typer(help="A witness: cosigns a log's checkpoints.", no_args_is_help=True)


@app.command()
def serve(
    *,
    key: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="The witness's key: a file, env:NAME or command:..."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder of what was cosigned; else var/witness. Never lose it.")
    ] = None,
    log: Annotated[
        list[str] | None, typer.Option(metavar="VKEY", help="Verifier key of a log; may be repeated.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A policy whose logs are cosigned too.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; else 8090.")] = None,
) -> int:
    """Cosign checkpoints over HTTP, in the foreground, until Ctrl-C.

    What is not given as an option is read from TALLY_WITNESS_ variables. It prints a log, of JSON lines, on
    standard error alone; so there is no --json.

    Example: tally witness serve --key witness.key --log "$LOG_KEY"
    """
    import uvloop
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from service.structured_logs import configure_logging
    from witness.server import serve as serve_witness
    from witness.settings import WitnessSettings

    options: dict[str, Any] = {
        "key": key,
        "state_dir": state,
        "logs": tuple(log) if log else None,
        "policy": policy,
        "host": host,
        "port": port,
    }
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = WitnessSettings(**given)
    except ValidationError as error:
        problem = error.errors()[0]  # its text may quote a key
        name = "_".join(str(part) for part in problem["loc"]).upper()
        raise TallyError(f"TALLY_WITNESS_{name}: {problem['msg']}") from None
    except SettingsError:
        raise TallyError("TALLY_WITNESS_LOGS must be a JSON list of verifier keys") from None
    configure_logging(os.environ.get("TALLY_LOG_LEVEL", "INFO"))
    return uvloop.run(serve_witness(settings))


@app.command()
def key(spec: Source, *, json: Json = False) -> None:
    """Print the verifier key of a witness's key: what a policy names, and logs are given.

    Example: tally witness key witness.key
    """
    from witness.keys import signing_key

    verifier = signing_key(spec).verifier
    if json:
        print_json({"key": str(verifier)})
    else:
        output().print(str(verifier), soft_wrap=True, markup=False)
