from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGES = {"audit", "collector", "generator", "inference", "ledger", "migrations", "store", "tally"}
SERVICES = {"audit", "collector", "generator", "inference"}

# Who may import whom; every package may import itself.
ALLOWED = {
    "ledger": set[str](),
    "migrations": {"ledger"},
    "store": {"ledger", "migrations"},
    "generator": {"ledger"},
    "inference": {"ledger"},
    "collector": {"ledger", "store"},
    "audit": {"ledger", "store"},
    "tally": PACKAGES,
}
# The ledger is bytes and hashes: nothing that reaches a database, a socket, a clock or chance.
IMPURE = {
    "asyncio", "asyncpg", "datetime", "grpc", "httpx", "os", "psycopg", "random", "requests", "secrets",
    "select", "socket", "sqlalchemy", "ssl", "subprocess", "threading", "time", "urllib",
}  # fmt: skip


def imports(package: str) -> set[tuple[str, str]]:
    """(file, imported top-level package) of every import, those inside functions included."""
    found: set[tuple[str, str]] = set()
    for path in (CHECKOUT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {(path.name, alias.name.split(".")[0]) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add((path.name, node.module.split(".")[0]))
    return found


@pytest.mark.parametrize("package", sorted(name for name in PACKAGES if (CHECKOUT / name).is_dir()))
def test_a_package_imports_only_those_it_may(package: str) -> None:
    forbidden = {name for _, name in imports(package)} & PACKAGES - ALLOWED[package] - {package}
    assert forbidden == set()


def test_the_ledger_reaches_no_database_socket_or_clock() -> None:
    allowed = {("rows.py", "datetime")}  # a type of its arguments; it calls no clock
    assert {(file, name) for file, name in imports("ledger") if name in IMPURE} <= allowed


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_with_hashes_and_names_no_index(name: str) -> None:
    text = (CHECKOUT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("    --hash", ""), re.MULTILINE), "no option but hashes"
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert len(requirements) > 40
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_what_runs_is_a_part_of_what_is_developed_with() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9._-]+==[^\s;]+", (CHECKOUT / name).read_text(), re.MULTILINE))

    assert pins("requirements.txt") < pins("requirements-dev.txt")
