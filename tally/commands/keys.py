"""``tally keys``: make signing keys, show them, and write the policy that names whom to believe."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from ledger.notes import COSIGNATURE, ED25519, VerifierKey
from tally.commands import key_statements
from tally.commands.key_statements import NewFile, Source
from tally.console import Json, print_json
from tally.errors import TallyError

_KINDS: Final = {ED25519: "log (Ed25519)", COSIGNATURE: "witness (Ed25519, cosignatures)"}
_WITNESS: Final = re.compile(
    r"(?P<name>[^\s=]+)=(?P<key>[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44})(=(?P<url>https?://[^\s#]+))?"
)
_GROUP: Final = "witnesses"

app = typer.Typer(help="Signing keys of logs and witnesses.", no_args_is_help=True)


@app.command()
def generate(
    *,
    name: Annotated[
        str, typer.Option(help="The log's origin, or the witness's name, like a URL.", show_default=False)
    ],
    path: NewFile,
    witness: Annotated[bool, typer.Option("--witness", help="A key that cosigns.")] = False,
    json: Json = False,
) -> None:
    """Make a key in a new file, and print its public half.

    Example: tally keys generate --name plant.example/tally -o log.key
    """
    from service.keys.files import new_signing_key, store_signing_key

    key = new_signing_key(name, COSIGNATURE if witness else ED25519)
    store_signing_key(path, key)
    if json:
        print_json(_shown(key.verifier) | {"file": str(path)})
    else:
        typer.echo(str(key.verifier))


@app.command()
def show(spec: Source, *, json: Json = False) -> None:
    """Show the public half of a key: verifier key, name, identifier, kind.

    Example: tally keys show log.key
    """
    from service.keys.sources import load_signing_key

    found = _shown(load_signing_key(spec).verifier)
    if json:
        print_json(found)
        return
    for label, value in found.items():
        typer.echo(f"{label:12} {value}")


@app.command()
def policy(
    *,
    log: Annotated[
        list[str], typer.Option(help="A log's verifier key; repeatable.", metavar="VKEY", show_default=False)
    ],
    witness: Annotated[
        list[str] | None, typer.Option(help="A witness; repeatable.", metavar="NAME=VKEY[=URL]")
    ] = None,
    quorum: Annotated[
        int, typer.Option(min=0, help="How many witnesses must have cosigned.", show_default=False)
    ],
    json: Json = False,
) -> None:
    """Print a policy (C2SP tlog-policy): which logs and witnesses are believed, and how many are enough.

    Example: tally keys policy --log "$LOG" --witness north="$NORTH" --quorum 1 > policy
    """
    from ledger.policies import Policy

    names, lines = [], [f"log {VerifierKey.parse(key)}" for key in log]
    for one in witness or []:
        match = _WITNESS.fullmatch(one)
        if match is None:
            raise TallyError(f"--witness {one[:200]!r}: expected NAME=VKEY or NAME=VKEY=URL (http or https)")
        names.append(match["name"])
        lines.append(" ".join(filter(None, ("witness", match["name"], match["key"], match["url"]))))
    if _GROUP in names:
        raise TallyError(f"a witness can't be named {_GROUP}, as all of them together are: choose another")
    if quorum > len(names):
        raise TallyError(f"--quorum {quorum}: expected at most {len(names)}, the number of witnesses")
    if quorum:
        lines.append(f"group {_GROUP} {quorum} {' '.join(names)}")
    lines.append(f"quorum {_GROUP if quorum else 'none'}")
    text = "\n".join(lines) + "\n"
    Policy.parse(text.encode())  # what is printed can be read
    if json:
        print_json({"policy": text})
    else:
        typer.echo(text, nl=False)


app.command()(key_statements.rotate)
app.command()(key_statements.revoke)
app.command("record")(key_statements.record_statement)
app.command("check-rotation")(key_statements.check_statement)


def _shown(key: VerifierKey) -> dict[str, str]:
    return {"key": str(key), "name": key.name, "id": key.key_id.hex(), "kind": _KINDS[key.kind]}
