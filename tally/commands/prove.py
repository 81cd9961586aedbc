"""``tally prove`` and ``prove-consistency``: proofs in files, checked before they are written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from tally.commands.reconciling import Url, address
from tally.console import FOUND, Json, fail, note, output, print_json
from tally.errors import TallyError
from tally.settings import read_settings

if TYPE_CHECKING:
    from audit.proofs import RowNamed
    from ledger.notes import Note
    from ledger.policies import Policy, Seen

Log = Annotated[
    str | None,
    typer.Option(help="The published log: a folder, or an http(s) address. [default: this stack's]"),
]
PolicyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A C2SP tlog-policy: logs, witnesses, quorum.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write the proof to this file.")]
_MOST_BYTES: Final = 1_000_000


# --- tally prove ---


def prove(
    stream: Annotated[str | None, typer.Argument(help="The row's stream.", show_default=False)] = None,
    chain: Annotated[
        str | None, typer.Argument(help="Its machine (its model, in governance).", show_default=False)
    ] = None,
    seq: Annotated[int | None, typer.Argument(help="Its seq.", min=1, show_default=False)] = None,
    *,
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check this proof instead, with --policy; needs no database."),
    ] = None,
    policy: PolicyFile = None,
    row_hash: Annotated[
        str | None,
        typer.Option(
            metavar="HEX", help="With --check: the row's hash, as you know it. [default: the proof's]"
        ),
    ] = None,
    log: Log = None,
    path: Output = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Prove that a row is in the published log: a C2SP tlog-proof. Or check one: exit code 1 if it fails.

    With --policy a new proof is checked too; without, it says only what the log's file is called.

    Example: tally prove transactions rvm-0003 17 -o row.proof

    Example: tally prove --check row.proof --policy policy
    """
    if check is not None:
        if policy is None or stream is not None:
            raise TallyError("--check FILE needs --policy FILE, and no row: the proof names it")
        _check(check, policy, row_hash, json=json)
        return
    if stream is None or chain is None or seq is None:
        raise TallyError("name the row: its stream, its chain and its seq, as in `transactions rvm-0003 17`")
    if row_hash is not None:
        raise TallyError("--row-hash belongs to --check")
    from audit.proofs import prove_row
    from audit.sealing.parts import read_policy
    from audit.web_log import open_log
    from ledger.merkle import leaf_hash
    from ledger.streams import stream_named
    from store.seals import SealStore

    definition = stream_named(stream)
    believed = None if policy is None else read_policy(policy)
    with SealStore(address(url)) as store, open_log(log or read_settings().tlog_dir) as published:
        proven = prove_row(store, published, definition, chain, seq)
    seen = None if believed is None else proven.proof.check(leaf_hash(proven.row.row_hash), believed)
    text = str(proven.proof)
    _written(path, text)
    if json:
        checked = {} if seen is None else {"witnessed": seen.quorum}
        print_json(proven.to_json() | checked | {"file": None if path is None else str(path)})
    elif path is None:
        typer.echo(text, nl=False)
    else:
        state = f"published as {'' if proven.published_as_witnessed else 'not yet '}witnessed"
        if seen is not None:
            state = "witnessed" if seen.quorum else "NOT WITNESSED as the policy asks"
        what = f"leaf {proven.proof.index:,} of {proven.size:,}, {len(proven.proof.hashes)} hashes, {state}"
        note("proof", f"{stream} {chain} row {seq}: {what}; in {path}")
    if seen is not None and not seen.quorum:
        raise typer.Exit(FOUND)


def _check(path: Path, policy_path: Path, row_hash: str | None, *, json: bool) -> None:
    from audit.proofs import row_named
    from audit.sealing.parts import read_policy
    from ledger.errors import BadNote, BadProof
    from ledger.log_proofs import LogProof
    from ledger.merkle import leaf_hash

    policy = read_policy(policy_path)
    known = None if row_hash is None else _hash(row_hash)
    content = _content(path)
    try:
        proof = LogProof.parse(content)
        row = row_named(proof)
        entry = known or (None if row is None else row.row_hash)
        if entry is None:
            raise TallyError(f"{path} names no row of ours: give its hash with --row-hash")
        seen = proof.check(leaf_hash(entry), policy)
    except (BadProof, BadNote) as error:
        if json:
            print_json({"ok": False, "trouble": str(error)})
        else:
            fail(f"FAILED: {error}")
        raise typer.Exit(FOUND) from error
    _tell_checked(proof.index, entry, row, seen, policy, given=known is not None, json=json)
    if not seen.quorum:
        raise typer.Exit(FOUND)


def _tell_checked(
    index: int, entry: bytes, row: RowNamed | None, seen: Seen, policy: Policy, *, given: bool, json: bool
) -> None:
    names = {witness.key: witness.name for witness in policy.witnesses}
    cosigned = [{"name": names[one.key], "cosigned_at": moment(one.unix_s)} for one in seen.cosigned]
    wanting = None if seen.quorum else f"not witnessed: the policy asks for {policy.quorum_text}"
    if json:
        print_json(
            {
                "ok": seen.quorum,
                "index": index,
                "size": seen.checkpoint.size,
                "origin": seen.checkpoint.origin,
                "row_hash": entry.hex(),
                "row_as_stated": None if row is None else row.to_json(),
                "cosigned": cosigned,
                "trouble": wanting,
            }
        )
        return
    console = output()
    by = "".join(f", cosigned by {one['name']} at {one['cosigned_at']}" for one in cosigned)
    state = "PASSED" if seen.quorum else "FAILED"
    console.print(
        f"{state}  leaf {index:,} of {seen.checkpoint.size:,} in {escape(seen.checkpoint.origin + by)}",
        soft_wrap=True,
    )
    source = "as you gave it" if given else "as the proof says it: compare it with the row that you have"
    console.print(f"  row hash {entry.hex()}, {source}", soft_wrap=True)
    if wanting is not None:
        console.print(f"  {escape(wanting)}", soft_wrap=True)


# --- tally prove-consistency ---


def prove_consistency(
    old: Annotated[
        str, typer.Argument(help="The earlier head: a size, or a checkpoint's file.", show_default=False)
    ],
    new: Annotated[
        str | None, typer.Argument(help="The later one. [default: the log's newest]", show_default=False)
    ] = None,
    *,
    log: Log = None,
    path: Output = None,
    json: Json = False,
) -> None:
    """Prove that one head of the log continues another: nothing was changed or taken away between them.

    Exit code 1 if the log contradicts a checkpoint; both roots are shown.

    Example: tally prove-consistency kept/checkpoint --log https://log.example
    """
    from audit.proofs import Behind, Contradicted
    from audit.proofs import prove_consistency as prove_heads
    from audit.web_log import open_log

    first, last = _head(old), None if new is None else _head(new)
    try:
        with open_log(log or read_settings().tlog_dir) as published:
            proof = prove_heads(published, first, last)
    except (Contradicted, Behind) as error:
        if json:
            found: dict[str, Any] = {"ok": False, "trouble": str(error)}
            if isinstance(error, Contradicted):
                found |= {"size": error.size, "stated": error.stated.hex(), "found": error.found.hex()}
            print_json(found)
        else:
            fail(str(error))
        raise typer.Exit(FOUND) from error
    text = str(proof)
    _written(path, text)
    if json:
        heads = {
            name: {"size": head.size, "root": head.root.hex()}
            for name, head in (("old", proof.old), ("new", proof.new))
        }
        file = None if path is None else str(path)
        print_json({"ok": True, **heads, "hashes": len(proof.hashes), "proof": text, "file": file})
    elif path is None:
        typer.echo(text, nl=False)
    else:
        note("proof", f"the tree of {proof.new.size:,} begins with that of {proof.old.size:,}; in {path}")


# --- what they share ---


def _head(text: str) -> int | Note:
    """A size, or the checkpoint in a file."""
    from ledger.encoded import decimal
    from ledger.notes import parse_note

    if text.isascii() and text.isdigit():
        return decimal(text, "a size")
    return parse_note(_content(Path(text)))


def _hash(text: str) -> bytes:
    try:
        content = bytes.fromhex(text)
    except ValueError:
        content = b""
    if len(content) != 32:
        raise TallyError(f"--row-hash {text[:80]!r}: expected 64 hexadecimal digits")
    return content


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TallyError(f"{path} can't be read: {error.strerror}") from error


def _written(path: Path | None, text: str) -> None:
    if path is not None:
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise TallyError(f"{path} can't be written: {error.strerror}") from error


def moment(unix_s: int) -> str:
    """A cosignature's time; one that no calendar has is shown as it is."""
    try:
        return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"{unix_s} s"
