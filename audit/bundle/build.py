"""An evidence bundle: one file with which an auditor checks a period's rows alone, years later.

It is made from the database and the published log, and its bytes depend on these and on what is asked alone:
no clock, no random number.  It appears whole or not at all.  Format: ``docs/bundle.md``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any, Final

from audit.bundle.archive import member_names, write_archive
from audit.bundle.errors import BundleRefused, LedgerBroken
from audit.bundle.rows import csv_field, write_stream
from audit.bundle.selection import (
    MARGIN,
    ChainRows,
    Selection,
    chains_in_scope,
    proof,
    select,
    statement,
    with_margin,
)
from audit.invariants.rule import plural
from audit.reconcile.manifest import sha256_of
from audit.relations import digest_of
from audit.retention.declared import check_rows, read_retention
from audit.sealing.log_files import LogFiles
from ledger.canonical import content_digest
from ledger.heads import Statement
from ledger.policies import Policy
from ledger.rows import Value
from ledger.streams import STREAMS
from store.reader import LedgerReader
from store.seals import Sealed, SealStore

FORMAT: Final = "tally/bundle/v1"
_README: Final = "for_auditors.md"
_VERIFIER: Final = "verify.py"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is asked for, and what goes along.

    ``start`` and ``end``: the period, aware, the end excluded.  ``sites``: none for all.  ``policy``: the
    file, C2SP tlog-policy.  ``texts``: the published SQL by name.  ``factors``: the files of factor sets.
    ``report``: the files of the report on the same period and sites, none for no report.
    """

    start: datetime
    end: datetime
    sites: tuple[str, ...]
    policy: bytes
    texts: Mapping[str, str]
    factors: Mapping[str, bytes]
    report: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Bundled:
    """What was made: its file, the SHA-256 of its manifest, rows by stream, and which part of the log."""

    place: Path
    digest: str
    rows: dict[str, int]
    chains: int
    selection: Selection


def check_place(place: Path) -> None:
    """What ``bundle`` would refuse, before the work is done for it.

    Raises:
        BundleRefused: a folder lies there, or the file can't be written.
    """
    folder = place.absolute().parent
    if place.is_dir() or not folder.is_dir():
        raise BundleRefused(f"{place} is a folder, or its folder is none: name a file to make")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BundleRefused(f"{folder} can't be written: choose another place")


def check_period(start: datetime, end: datetime) -> None:
    """Raise unless the period has an end after its beginning, and time for late rows after it.

    Raises:
        BundleRefused: it has not.
    """
    with_margin(end)
    if not start < end:
        raise BundleRefused(
            f"the period from {_moment(start)} to {_moment(end)} is empty: name its end after its beginning"
        )


def bundle(
    url: str, log: Path, place: Path, contents: Contents, progress: Progress = lambda _what: None
) -> Bundled:
    """Make the bundle.

    Args:
        url: the database, with the rights of ``tally_audit``.
        log: the folder of the published log.
        place: the file to make; a file that is there is replaced.
        contents: what is asked for.
        progress: hears what is being done.

    Raises:
        BundleRefused: the period is empty, a site is unknown, nothing is sealed, the place can't be written.
        LedgerBroken: the ledger or the log is not what was sealed; the message names the row.
        audit.retention.errors.RowsDropped: rows of the period were dropped; the message names their bundle.
        audit.errors.LogDamaged: a file of the log is missing.
        ledger.errors.BadNote: the policy is none.
        store.errors.StoreError: the database can't be read.
    """
    with ExitStack() as stack:
        store = stack.enter_context(SealStore(url))
        store.hold_still()
        # Opened after it, so that it sees every row that is sealed there.
        reader = stack.enter_context(LedgerReader(url))
        return make_bundle(
            reader, store, LogFiles(log), place, contents, progress, partial(_check_there, reader)
        )


def make_bundle(  # noqa: PLR0917 - as ``bundle``
    reader: LedgerReader,
    store: SealStore,
    log: LogFiles,
    place: Path,
    contents: Contents,
    progress: Progress = lambda _what: None,
    check: Callable[[Sequence[ChainRows]], None] = lambda _chains: None,
) -> Bundled:
    """The same, from what is open already: ``store`` sees one instant, ``reader`` that or a later one.

    ``check`` is told which rows the bundle will have, before any of them is read.

    Raises:
        As ``bundle``.
    """
    check_period(contents.start, contents.end)
    check_place(place)
    policy = Policy.parse(contents.policy)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.absolute().parent))
    except OSError as error:
        raise BundleRefused(f"{place}: {error.strerror}; choose another place") from error
    try:
        made = _Making(reader, store, log, folder, contents, policy).run(progress, check)
        progress("packing")
        write_archive(folder, place.absolute())
    except OSError as error:
        raise BundleRefused(
            f"{place} can't be written: {error.strerror or error}; choose another place"
        ) from error
    finally:
        # A crash before this line leaves the folder beside the place: it is never read.
        shutil.rmtree(folder, ignore_errors=True)
    selection, rows, chains = made
    digest = hashlib.sha256(_manifest_of(place)).hexdigest()
    return Bundled(place, digest, rows, chains, selection)


def _check_there(reader: LedgerReader, chains: Sequence[ChainRows]) -> None:
    """Raise if rows of the bundle were dropped with their chunks: nobody has tampered with anything then."""
    retention = read_retention(reader)
    for one in chains if retention.counted else ():
        check_rows(reader, retention, one.stream.name, one.chain, one.first_seq, one.last_seq)


def _manifest_of(place: Path) -> bytes:
    import zipfile  # noqa: PLC0415 - here alone

    with zipfile.ZipFile(place) as archive:
        return archive.read("manifest.json")


class _Making:
    """One bundle in the making: every file of it in a folder."""

    def __init__(  # noqa: PLR0917 - its parts
        self,
        reader: LedgerReader,
        store: SealStore,
        log: LogFiles,
        folder: Path,
        contents: Contents,
        policy: Policy,
    ) -> None:
        self._reader = reader
        self._store = store
        self._log = log
        self._folder = folder
        self._contents = contents
        self._policy = policy

    def run(
        self, progress: Progress, check: Callable[[Sequence[ChainRows]], None]
    ) -> tuple[Selection, dict[str, int], int]:
        """Write them all."""
        contents = self._contents
        progress("choosing the checkpoint")
        periods = (
            (stream.name, one)
            for stream in STREAMS.values()
            for one in self._reader.period(stream, contents.start, contents.end)
        )
        selection = select(self._store, self._log, self._policy, contents.start, contents.end, periods)
        opening = self._statement("opening", selection.opening, selection) if selection.opening else None
        closing = self._statement("closing", selection.closing, selection)
        self._put("log/checkpoint", str(selection.note).encode())
        self._put("log/policy", contents.policy)
        self._timestamp(selection)
        chains = chains_in_scope(opening, closing, contents.sites)
        moved = [one for one in chains if one.rows > 0]
        check(moved)
        rows: dict[str, int] = {}
        senders: set[bytes] = set()
        for name, group in groupby(moved, key=lambda one: one.stream.name):
            progress(name)
            written = write_stream(self._reader, list(group), self._folder)
            rows[name] = written.rows
            senders |= written.senders
        progress("seals and senders")
        self._seals(selection, moved)
        self._senders(senders)
        self._alongside()
        manifest = self._manifest(selection, rows)
        self._put("README.md", self._readme(selection, rows, len(chains)).encode())
        manifest["members"] = {
            name: {"bytes": (self._folder / name).stat().st_size, "sha256": sha256_of(self._folder / name)}
            for name in member_names(self._folder)
        }
        manifest["digest"] = hashlib.sha256(
            json.dumps(manifest, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        ).hexdigest()
        text = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        self._put("manifest.json", text.encode())
        return selection, rows, len(chains)

    def _put(self, name: str, content: bytes) -> None:
        place = self._folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def _statement(self, which: str, sealed: Sealed, selection: Selection) -> Statement:
        found, content = statement(self._store, sealed)
        self._put(f"log/{which}.heads", content)
        self._put(f"log/{which}.tlog-proof", str(proof(self._log, found, selection, self._policy)).encode())
        return found

    def _timestamp(self, selection: Selection) -> None:
        """The timestamp of this very note, if one is kept."""
        size = selection.seen.checkpoint.size
        for one in self._store.published(least_size=size, most=100):
            if one.size == size and one.note == str(selection.note) and one.timestamp_token:
                self._put("log/timestamp.tsr", one.timestamp_token)
                return

    def _seals(self, selection: Selection, chains: list[ChainRows]) -> None:
        """Which leaves the bundle's rows are."""
        mine = {(one.stream.name, one.chain) for one in chains}
        first = selection.opening.batch.size if selection.opening else 0
        place = self._folder / "log/seals.csv"
        with place.open("w", encoding="utf-8", newline="") as file:
            file.write("batch,stream,chain,first_seq,last_seq,first_leaf,row_hash\r\n")
            for seal in self._store.seals(first, selection.closing.batch.size):
                if (seal.stream, seal.chain) in mine:
                    cells: tuple[Value, ...] = (*seal[:-1],)
                    file.write(",".join(map(csv_field, cells)) + "\r\n")

    def _senders(self, digests: set[bytes]) -> None:
        """The descriptions of senders that the rows name."""
        left = set(digests)
        with (self._folder / "resources.csv").open("w", encoding="utf-8", newline="") as file:
            file.write("digest,content\r\n")
            for digest, content in self._reader.resources():
                if digest is None or digest not in left:
                    continue
                if content is None or content_digest(content) != digest:
                    raise LedgerBroken(f"the description {digest.hex()} in resources was altered")
                file.write(f"{digest.hex()},{csv_field(content.decode())}\r\n")
                left.remove(digest)
        if left:
            raise LedgerBroken(f"rows name the description {min(left).hex()}, which is not in resources")

    def _alongside(self) -> None:
        """What is no row: the verifier, queries, factors, report."""
        contents = self._contents
        self._put(_VERIFIER, files("audit.bundle").joinpath(_VERIFIER).read_bytes())
        for name, text in contents.texts.items():
            self._put(f"sql/{name}.sql", text.encode())
        for name, content in contents.factors.items():
            self._put(f"factors/{name}", content)
        for name, content in contents.report.items():
            self._put(f"report/{name}", content)

    def _manifest(self, selection: Selection, rows: dict[str, int]) -> dict[str, Any]:
        contents, checkpoint = self._contents, selection.seen.checkpoint
        report = contents.report.get("report.json")
        return {
            "format": FORMAT,
            "origin": checkpoint.origin,
            "period": {"from": _moment(contents.start), "to": _moment(contents.end)},
            "margin_h": int(MARGIN.total_seconds()) // 3600,
            "sites": sorted(contents.sites) or None,
            "opening": _batch(selection.opening) if selection.opening else None,
            "closing": _batch(selection.closing),
            "checkpoint": {"size": checkpoint.size, "witnessed": selection.seen.quorum},
            "rows": rows,
            "report": None if report is None else hashlib.sha256(report).hexdigest(),
            "sql_digest": digest_of(dict(contents.texts)),
        }

    def _readme(self, selection: Selection, rows: dict[str, int], chains: int) -> str:
        contents, checkpoint = self._contents, selection.seen.checkpoint
        opening = selection.opening
        since = f"after {_moment(opening.batch.sealed_at)}" if opening else "from the ledger's beginning"
        names = [f"{one.key.name}" for one in selection.seen.cosigned]
        witnessed = f"cosigned by {', '.join(names)}" if names else "cosigned by nobody"
        if not selection.seen.quorum:
            witnessed = f"NOT YET WITNESSED ({witnessed}; the policy asks for {self._policy.quorum_text})"
        template = Template(files("audit.bundle").joinpath(_README).read_text(encoding="utf-8"))
        return template.substitute(
            start=_moment(contents.start),
            end=_moment(contents.end),
            scope=", ".join(sorted(contents.sites)) or "the whole ledger",
            since=since,
            until=_moment(selection.closing.batch.sealed_at),
            margin_h=int(MARGIN.total_seconds()) // 3600,
            chains=plural(chains, "chain"),
            rows="\n".join(f"| `{name}` | {count:,} |" for name, count in sorted(rows.items()))
            or "| none | 0 |",
            origin=checkpoint.origin,
            size=plural(checkpoint.size, "leaf", "leaves"),
            witnessed=witnessed,
            report=_REPORT if contents.report else "There is no report in this bundle.",
            timestamp=_TIMESTAMP if (self._folder / "log/timestamp.tsr").exists() else "",
        )


_REPORT: Final = (
    "`report/` has the reconciliation report of the same period and sites, `sql/` the queries that made it.\n"
    "`report/report.json` is the report itself; the other files show it."
)
_TIMESTAMP: Final = (
    "\n`log/timestamp.tsr` is a timestamp (RFC 3161) over `log/checkpoint`; verify.py does not check it,\n"
    "and "
    "`openssl ts -verify -in log/timestamp.tsr -data log/checkpoint -CAfile ROOTS.pem` does.\n"
)


def _batch(sealed: Sealed) -> dict[str, int | str]:
    batch = sealed.batch
    return {"batch": batch.number, "size": batch.size, "sealed_at": _moment(batch.sealed_at)}


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
