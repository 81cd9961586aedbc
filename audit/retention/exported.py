"""Which rows bundles hold, as far as they prove it themselves.

A bundle counts if its own verifier passes every step on it, and if the statements of heads that it lies
between are those that this ledger sealed: then its rows are this ledger's, all of each chain's between the
two.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from audit.bundle.selection import chains_in_scope
from audit.errors import AuditError
from audit.reconcile.manifest import sha256_of
from audit.retention.errors import BundleUnusable
from ledger.errors import BadProof
from ledger.heads import Statement
from store.seals import SealStore

_IN_PART: Final = 3
"""The verifier's exit code for a bundle that closes early: its rows are proven all the same."""
_MOST_BYTES: Final = 1 << 30
"""Of a statement of heads.  Our choice."""
Spans = dict[tuple[str, str], list[tuple[int, int]]]
"""Of each stream and chain, first and last seqs in order, apart from each other."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The files' SHA-256, and the rows that they hold together."""

    digests: tuple[str, ...]
    spans: Spans

    def has(self, stream: str, chain: str, first_seq: int, last_seq: int) -> bool:
        """Whether all these rows are in them."""
        return any(
            first <= first_seq and last_seq <= last for first, last in self.spans.get((stream, chain), ())
        )


def read_bundles(store: SealStore, bundles: Sequence[Path], policy: Path | None) -> Exported:
    """What these bundles hold.

    ``policy``: the keys that their checkpoints are checked with; without it, those that each bundle brings.

    Raises:
        BundleUnusable: one of them is damaged, does not verify, or is of another ledger.
        store.errors.StoreError: the database can't be read.
    """
    digests = []
    found: Spans = {}
    for path in bundles:
        digest = _digest(path)
        _verify(path, policy)
        for place, span in _chains(store, path).items():
            found.setdefault(place, []).append(span)
        if _digest(path) != digest:
            raise BundleUnusable(f"{path} changed while it was checked: check it again")
        digests.append(digest)
    return Exported(tuple(digests), {place: _joined(spans) for place, spans in found.items()})


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise BundleUnusable(
            f"{path} can't be read: {error.strerror}; expected a bundle (FILE.zip)"
        ) from error


def _verify(path: Path, policy: Path | None) -> None:
    """Run the verifier that bundles carry: ours, not the one that lies in the file."""
    with as_file(files("audit.bundle") / "verify.py") as verifier:
        command = [sys.executable, "-I", str(verifier), str(path)]
        if policy is not None:
            command += ["--policy", str(policy)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode not in {0, _IN_PART}:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        why = next(
            (line for line in said if "FAILED" in line or "NOT CHECKED" in line), said[-1] if said else ""
        )
        raise BundleUnusable(f"{path} does not verify (exit code {done.returncode}): {why}")


def _chains(store: SealStore, path: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """First and last seq of each chain in a bundle that verified."""
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read("manifest.json"))
            opening = None
            if manifest["opening"] is not None:
                opening = _statement(store, path, _member(archive, "log/opening.heads"))
            closing = _statement(store, path, _member(archive, "log/closing.heads"))
            sites: list[str] = list(manifest["sites"] or ())
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, BadProof) as error:
        raise BundleUnusable(f"{path} can't be read as a bundle: {error}") from error
    try:
        chains = chains_in_scope(opening, closing, sites)
    except AuditError as error:
        raise BundleUnusable(f"{path}: {error}") from error
    return {(one.stream.name, one.chain): (one.first_seq, one.last_seq) for one in chains if one.rows > 0}


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"{name} is larger than any statement")
    return archive.read(name)


def _statement(store: SealStore, path: Path, content: bytes) -> Statement:
    """A statement of heads that is one of ours."""
    found = Statement.parse(content)
    ours: Any = store.of_batch(found.batch.number)
    if ours is None or (ours.batch, ours.heads_digest) != (found.batch, found.digest):
        raise BundleUnusable(
            f"{path} is no bundle of this ledger: its batch {found.batch.number} of {found.batch.origin} is "
            "not the one "
            "that was sealed here"
        )
    return found


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined
