"""What an export's folder says of itself: read, and held against its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from audit.reconcile.errors import BadExport, BadRequest
from audit.reconcile.masses import ItemMass, ItemMasses
from audit.reconcile.parameters import Parameters, parameters_from_json
from audit.reporting.model import LedgerBreak
from store.analysis import EVIDENCE

SCHEMA: Final = "tally-export/1"
MANIFEST: Final = "export.json"


def read_export(folder: Path) -> tuple[Parameters, ItemMasses, dict[str, Any]]:
    """Parameters, bounds and the manifest of an export, every file of which is as it was written.

    Raises:
        BadExport: it is none, or was altered.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadExport(f"{path}: can't be read ({why}); is it a folder of `tally export`?") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise BadExport(f"{path}: expected schema {SCHEMA}")
    try:
        if unnamed := {f"{name}.parquet" for name in EVIDENCE} - manifest["files"].keys():
            raise BadExport(f"{path}: has no SHA-256 of {min(unnamed)}; export the period again")
        _check_ledger(manifest["ledger"])
        files = {name: folder / name for name in manifest["files"]}
        for name, file in files.items():
            if not file.resolve().is_relative_to(folder.resolve()):
                raise BadExport(f"{path}: names {name!r}, which is not in the folder")
        with ThreadPoolExecutor() as pool:
            for name, digest in zip(files, pool.map(sha256_of, files.values()), strict=True):
                if digest != manifest["files"][name]["sha256"]:
                    raise BadExport(
                        f"{files[name]}: was altered after the export; "
                        f"its SHA-256 is not the one in {MANIFEST}"
                    )
        bounds = tuple(
            ItemMass(str(m), int(low), int(high)) for m, low, high in manifest["item_masses"]["bounds"]
        )
        masses = ItemMasses(bounds, str(manifest["item_masses"]["digest"]))
        return parameters_from_json(manifest["parameters"]), masses, manifest
    except OSError as error:
        raise BadExport(f"{error.filename}: {error.strerror}; export the period again") from error
    except BadRequest as error:
        raise BadExport(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadExport(f"{path}: not as `tally export` writes it ({error})") from error


def _check_ledger(said: Mapping[str, Any]) -> None:
    """What verification said is a word, a count and the breaks, as it writes them; else a ValueError."""
    if not any(said["intact"] is word for word in (True, False, None)):
        raise ValueError("ledger: intact is neither true, false nor null")
    if type(said.get("break_count", 0)) is not int:
        raise ValueError("ledger: break_count is no number")
    for one in said.get("breaks", ()):
        LedgerBreak(**one)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
