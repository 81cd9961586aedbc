"""The pocket script of docs/ledger.md, as it stands there, against a real ledger."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.streams import STREAMS
from tally.embedded.programs import find_programs
from tally.settings import Settings
from tally.testing import Database
from tests.ledger_attacker import Attacker
from tests.ledger_writer import LedgerWriter, sample

PAGE = Path(__file__).parents[2] / "docs" / "ledger.md"
CHAIN = "rvm-é 'quoted' \\"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    text = PAGE.read_text().split("```python\n")[1].split("```")[0]
    assert len(text.splitlines()) <= 40
    path = tmp_path / "pocket.py"
    path.write_text(text)
    return path


@pytest.fixture
def environment(tmp_path: Path, stack_settings: Settings) -> dict[str, str]:
    """An environment with a psql on its PATH, the embedded database's if the machine has none."""
    if shutil.which("psql") is None:
        programs = find_programs(stack_settings.cache_dir, lambda _what: None)
        line = shlex.join(programs.command([str(programs.bin_dir / "psql")], writable=[tmp_path]))
        wrapper = tmp_path / "psql"
        wrapper.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        wrapper.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PGCLIENTENCODING": "UTF8"}


def run(script: Path, environment: dict[str, str], *arguments: str) -> list[str]:
    command = [sys.executable, "-I", str(script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_pocket_script_finds_every_stream_whole_and_every_altered_row(
    script: Path, environment: dict[str, str], database: Database
) -> None:
    writer = LedgerWriter(database.admin_url)
    for stream in STREAMS:
        writer.fill(stream, CHAIN, 5)
    extremes = {
        "event_time": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        "start_time": None,
        "value": -0.0,
        "count": -(2**63),
        "unit": "",
    }
    writer.append("telemetry", [sample(STREAMS["telemetry"], CHAIN, 6) | extremes])
    for stream in STREAMS:
        seq, row_hash = writer.head(stream, CHAIN)
        said = run(script, environment, database.audit_url, stream, CHAIN)
        assert said == [f"{seq} rows, 0 broken, the last hash is {row_hash.hex()}"]

    with Attacker(database.admin_url) as attacker:
        attacker.alter("telemetry", CHAIN, 6, "value", "0.0")
        attacker.alter("events", CHAIN, 3, "attributes", "'{ }'")
    assert run(script, environment, database.audit_url, "telemetry", CHAIN)[0] == "row 6 is broken"
    assert run(script, environment, database.audit_url, "events", CHAIN)[0] == "row 3 is broken"
