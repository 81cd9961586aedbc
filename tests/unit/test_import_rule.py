"""Who may import whom: ``ledger`` is pure, services never import each other, ``tally`` knows them all."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = {
    "ledger",
    "store",
    "migrations",
    "collector",
    "generator",
    "inference",
    "audit",
    "tally",
    "outbox",
    "service",
    "witness",
}

MAY_IMPORT: Final[dict[str, set[str]]] = {
    "ledger": set(),
    "migrations": {"ledger"},
    "store": {"ledger", "migrations"},
    "collector": {"ledger", "service", "store"},
    "outbox": set(),
    "service": {"ledger"},
    "generator": {"ledger", "outbox"},
    "inference": {"ledger", "outbox", "service", "store"},
    "audit": {"ledger", "outbox", "service", "store"},
    "witness": {"ledger", "service"},
    "tally": OURS,
}
"""Of our own packages."""

LEDGER_MAY_USE: Final = {"cryptography", "rfc8785"}
"""Beside the standard library: what computes and does nothing else (ADR 19)."""
IMPURE: Final = {
    *("asyncio", "concurrent", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random"),
    *("secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl"),
    *("subprocess", "tempfile", "threading", "time", "urllib", "uuid"),
}
"""What of the standard library would bring a clock, a socket, a file or chance into ``ledger``."""
CLOCKS: Final = {"now", "utcnow", "today"}
"""Methods of ``datetime``, which ``ledger`` needs for its values, that read the clock."""
DATABASE: Final = {"asyncpg", "psycopg", "sqlalchemy"}
"""Drivers, for the packages that may talk to PostgreSQL themselves."""
MAY_TALK_TO_POSTGRESQL: Final = {"store", "migrations", "tally"}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """The line and the full name of every module that ``source`` imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "__import__",
            "importlib.import_module",
        }:
            literal = node.args and isinstance(node.args[0], ast.Constant)
            yield node.lineno, str(node.args[0].value) if literal else "?"  # type: ignore[attr-defined]


def breaches(package: str, source: str) -> list[str]:
    """What in ``source``, a module of ``package``, breaks the rule."""
    found = []
    for line, name in imports(source):
        top = name.partition(".")[0]
        if not top:
            continue  # relative, so within the package
        if top in OURS:
            if top != package and top not in MAY_IMPORT[package]:
                found.append(f"line {line}: {package} must not import {name}")
        elif top in DATABASE and package not in MAY_TALK_TO_POSTGRESQL:
            found.append(f"line {line}: {package} must not talk to PostgreSQL itself ({name})")
        elif package == "ledger" and (
            top in IMPURE or (top not in sys.stdlib_module_names and top not in LEDGER_MAY_USE)
        ):
            found.append(f"line {line}: ledger must stay pure, without {name}")
    if package == "ledger":
        found += [
            f"line {node.lineno}: ledger must not read the clock (.{node.attr})"
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Attribute) and node.attr in CLOCKS
        ]
    return found


def modules() -> list[tuple[str, Path]]:
    return [
        (package, path)
        for package in sorted(OURS)
        for path in sorted((ROOT / package).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]


@pytest.mark.parametrize("package", sorted(OURS))
def test_every_module_keeps_the_import_rule(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}, {breach}"
        for owner, path in modules()
        if owner == package
        for breach in breaches(package, path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_the_packages_that_the_rule_names_are_there() -> None:
    assert {package for package, _ in modules()} >= {
        *("ledger", "store", "migrations", "collector", "generator", "inference", "audit", "tally", "witness")
    }


def test_a_package_that_the_rule_does_not_know_is_noticed() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests"} <= OURS


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("ledger", "import socket"),
        ("ledger", "from time import time"),
        ("ledger", "import asyncpg"),
        ("ledger", "import numpy"),
        ("ledger", "from store.writer import LedgerWriter"),
        ("ledger", "from datetime import datetime\nmoment = datetime.now()"),
        ("store", "from collector.pipeline import Pipeline"),
        ("collector", "from audit.verify import verify"),
        ("collector", "def late() -> None:\n    import generator.fleet"),
        ("collector", "import psycopg"),
        ("collector", "import importlib\nimportlib.import_module('tally.cli')"),
        ("generator", "from store.migrate import upgrade"),
        ("audit", "import tally"),
        (
            "audit",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from collector.records import Records",
        ),
        ("migrations", "from store.migrate import upgrade"),
        ("service", "from audit.verify import verify"),
        ("witness", "from store.reader import LedgerReader"),
        ("witness", "from audit.errors import AuditError"),
    ],
)
def test_a_module_that_breaks_the_rule_is_found(package: str, source: str, tmp_path: Path) -> None:
    module = tmp_path / package / "tampered.py"
    module.parent.mkdir()
    module.write_text(f'"""Looks harmless."""\n\nfrom __future__ import annotations\n\n{source}\n')
    assert breaches(package, module.read_text())


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("ledger", "import struct\nfrom datetime import datetime\nfrom ledger.rows import encode_row"),
        ("collector", "from store.writer import LedgerWriter\nimport time"),
        ("audit", "from ledger.streams import STREAMS\nfrom store.reader import LedgerReader"),
        ("witness", "from service.keys.sources import load_signing_key\nfrom ledger.notes import SigningKey"),
        ("tally", "from collector.server import serve\nfrom audit.verify import verify\nimport psycopg"),
    ],
)
def test_a_module_that_keeps_the_rule_is_left_alone(package: str, source: str) -> None:
    assert not breaches(package, source)
