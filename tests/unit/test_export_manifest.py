"""A manifest that no export writes is refused in one line, whatever is wrong with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.reconcile.errors import BadExport
from audit.reconcile.manifest import MANIFEST, SCHEMA, read_export
from audit.reconcile.masses import item_masses
from store.analysis import EVIDENCE
from tests.evidence import INTACT, PERIOD, clean_fleet

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_fleet().write_parquet(tmp_path_factory.mktemp("manifest") / "export")


def manifest_of(folder: Path) -> Manifest:
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.parquet")}
    masses = item_masses()
    return {
        "schema": SCHEMA,
        "parameters": PERIOD.to_json(),
        "item_masses": {
            "digest": masses.digest,
            "bounds": [[b.material, b.least_mg, b.most_mg] for b in masses.bounds],
        },
        "ledger": dict(INTACT),
        "rows": {},
        "files": {name: {"sha256": digest} for name, digest in files.items()},
    }


def test_a_manifest_as_it_is_written_is_read(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest_of(folder)))
    parameters, masses, manifest = read_export(folder)
    assert (parameters, masses, manifest["ledger"]) == (PERIOD, item_masses(), INTACT)


@pytest.mark.parametrize(
    ("tamper", "why"),
    [
        (lambda m: m["files"].pop("tickets.parquet"), "has no SHA-256 of tickets.parquet"),
        (lambda m: m.update(files={}), f"has no SHA-256 of {min(EVIDENCE)}.parquet"),
        (lambda m: m.pop("ledger"), "not as `tally export` writes it"),
        (lambda m: m.update(ledger=[]), "not as `tally export` writes it"),
        (lambda m: m["ledger"].update(intact="yes"), "intact is neither true, false nor null"),
        (lambda m: m["ledger"].update(intact=1), "intact is neither true, false nor null"),
        (lambda m: m["ledger"].update(break_count="0"), "break_count is no number"),
        (lambda m: m["ledger"].update(breaks=[{"name": 1}]), "not as `tally export` writes it"),
        (lambda m: m["item_masses"]["bounds"][0].__setitem__(1, float("inf")), "can't|not as"),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    folder: Path, tamper: Callable[[Manifest], object], why: str
) -> None:
    manifest = manifest_of(folder)
    tamper(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadExport, match=why):
        read_export(folder)


def test_a_manifest_nested_too_deep_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text("[" * 200_000)
    with pytest.raises(BadExport, match="can't be read"):
        read_export(folder)
