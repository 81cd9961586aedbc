"""Statements about keys, signed and on record: that one follows another, and that one is no longer good."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from ledger.notes import VerifierKey
from tally.console import FOUND, Json, fail, output, print_json
from tally.errors import TallyError
from tally.settings import read_settings

if TYPE_CHECKING:
    from ledger.keys import KeyRevocation, KeyRotation

KEY_ROTATION: Final = "audit.key_rotation"
KEY_REVOCATION: Final = "audit.key_revocation"
_MOST_BYTES: Final = 100_000
_VERIFIER: Final = re.compile(r"[^+]+\+[0-9a-f]{8}\+.*")

Source = Annotated[
    str,
    typer.Argument(help="A key's file, env:NAME or command:PROGRAM ARGUMENTS.", show_default=False),
]
NewFile = Annotated[
    Path, typer.Option("--output", "-o", help="The new key's file, mode 0600.", show_default=False)
]
Actor = Annotated[str | None, typer.Option(help="Who does it; it goes on record. Else the system's user.")]


def rotate(
    old: Source,
    *,
    path: NewFile,
    reason: Annotated[str, typer.Option(help="Why; it goes on record.")] = "scheduled",
    effective: Annotated[
        str, typer.Option(help="From when on the new key signs: now, or a time to come.", metavar="TIME")
    ] = "now",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Make the key that follows another, and a statement by both, in FILE.rotation and on record.

    Example: tally keys rotate log.key -o log-2.key --reason "yearly"
    """
    from ledger.keys import check_rotation, sign_rotation
    from service.keys.files import new_signing_key, store_signing_key, write_new
    from service.keys.sources import load_signing_key

    key = load_signing_key(old)
    now = _now()
    time = _moment(effective, now)
    if time < now:
        raise TallyError(
            f"--effective {effective} is past, and what was signed since would lose its standing: "
            "expected now or later; a key that is lost to others is revoked"
        )
    statement = path.with_name(path.name + ".rotation")
    if statement.exists():
        raise TallyError(f"{statement} exists and is never written over: give another name")
    new = new_signing_key(key.name, key.kind)
    note = str(sign_rotation(key, new, time, reason))
    store_signing_key(path, new)
    # A crash here leaves a key that nothing names: remove it and rotate again.
    write_new(statement, note, 0o644)
    # A crash here leaves a statement that is not on record: `tally keys record` sends it.
    attributes = _rotation(check_rotation(note.encode()), note, actor)
    try:
        _record(KEY_ROTATION, attributes)
    except TallyError as error:
        raise TallyError(
            f"{path} and {statement} are written, but not on record: {error}; then do "
            f"`tally keys record {statement}`"
        ) from error
    _told(attributes, f"{new.verifier} follows {key.verifier}; {path} and {statement} are written", json)


def revoke(
    key: Annotated[
        str,
        typer.Argument(help="A verifier key; or where the key is, to sign with it.", show_default=False),
    ],
    *,
    reason: Annotated[str, typer.Option(help="Why; it goes on record.", show_default=False)],
    since: Annotated[
        str, typer.Option(help="From when on it is not to be trusted: now, or a time.", metavar="TIME")
    ] = "now",
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Put on record that a key is no longer good, signed by it if it is there.

    Example: tally keys revoke log.key --reason "copied by a former colleague" --since 2026-11-20T00:00:00Z
    """
    from ledger.keys import KeyRevocation, sign_revocation
    from service.keys.sources import load_signing_key

    time = _moment(since, _now())
    if _VERIFIER.fullmatch(key) is not None and "PRIVATE+KEY" not in key:
        stated, note = KeyRevocation(VerifierKey.parse(key), time, reason), ""
    else:
        signing = load_signing_key(key)
        stated = KeyRevocation(signing.verifier, time, reason)
        note = str(sign_revocation(signing, time, reason))
    attributes = _revocation(stated, note, actor)
    _record(KEY_REVOCATION, attributes)
    _told(attributes, f"{stated.key} is revoked; take it out of every policy", json)


def record_statement(
    path: Annotated[Path, typer.Argument(help="A statement, FILE.rotation.", show_default=False)],
    *,
    actor: Actor = None,
    json: Json = False,
) -> None:
    """Put a rotation on record that could not be when it was made.

    Example: tally keys record log-2.key.rotation
    """
    from ledger.keys import check_rotation

    content = _read(path)
    attributes = _rotation(check_rotation(content), content.decode(), actor)
    _record(KEY_ROTATION, attributes)
    _told(attributes, f"{attributes['key.new']} follows {attributes['key.old']}", json)


def check_statement(
    path: Annotated[Path, typer.Argument(help="The statement, FILE.rotation.", show_default=False)],
    *,
    trusted: Annotated[
        str,
        typer.Option("--from", help="The key that is trusted so far.", metavar="VKEY", show_default=False),
    ],
    json: Json = False,
) -> None:
    """Check that a key's successor is stated by both. Exit code 1 if it is not.

    Example: tally keys check-rotation log-2.key.rotation --from "$LOG"
    """
    from ledger.errors import BadNote
    from ledger.keys import check_rotation, time_text

    old = VerifierKey.parse(trusted)
    content = _read(path)
    try:
        found = check_rotation(content, old)
    except BadNote as error:
        if json:
            print_json({"good": False, "message": str(error)})
        else:
            fail(f"{path}: {error}")
        raise typer.Exit(FOUND) from error
    told = {
        "key.old": str(found.old),
        "key.new": str(found.new),
        "key.effective": time_text(found.time),
        "key.reason": found.reason,
    }
    _told({"good": True, **told}, f"{found.new} follows {found.old} from {time_text(found.time)} on", json)


def _rotation(stated: KeyRotation, note: str, actor: str | None) -> dict[str, str | int]:
    from ledger.keys import time_text

    return {
        "key.name": stated.old.name,
        "key.old": str(stated.old),
        "key.new": str(stated.new),
        "key.effective": time_text(stated.time),
        "key.reason": stated.reason,
        "key.actor": _actor(actor),
        "key.statement": note,
    }


def _revocation(stated: KeyRevocation, note: str, actor: str | None) -> dict[str, str | int]:
    from ledger.keys import time_text

    attributes: dict[str, str | int] = {
        "key.name": stated.key.name,
        "key.revoked": str(stated.key),
        "key.since": time_text(stated.time),
        "key.reason": stated.reason,
        "key.actor": _actor(actor),
    }
    return attributes | ({"key.statement": note} if note else {})


def _actor(given: str | None) -> str:
    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _record(event_name: str, attributes: dict[str, str | int]) -> None:
    from tally.audit_events import record

    record(read_settings(), event_name, attributes)


def _told(attributes: Mapping[str, object], said: str, json: bool) -> None:
    if json:
        print_json(attributes)
    else:
        output().print(f"[green]✓[/] {escape(said)}", soft_wrap=True)


def _moment(text: str, now: datetime) -> datetime:
    from ledger.keys import parse_time

    return now if text == "now" else parse_time(text)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise TallyError(f"{path} can't be read: {error.strerror}") from error
