"""The README's commands, run as they are written, on a stack of their own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tally.ports import free_port
from tally.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
COMMANDS: Final = [
    line.removeprefix("$ ").split("  #")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """This machine's environment, with a var/ and ports of our own; the stack is down afterwards."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    own |= {
        "TALLY_CACHE_DIR": str(Settings().cache_dir),
        "TALLY_VAR_DIR": str(tmp_path_factory.mktemp("var")),
        "TALLY_DB_PORT": str(free_port()),
        "TALLY_COLLECTOR_GRPC_PORT": str(free_port()),
        "TALLY_COLLECTOR_HTTP_PORT": str(free_port()),
        "TALLY_INFERENCE_PORT": str(free_port()),
        "TALLY_SEALER_PORT": str(free_port()),
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
    }
    yield own
    subprocess.run(["tally", "down"], env=own, cwd=ROOT, check=False, capture_output=True)


def run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A command line as a person types it."""
    return subprocess.run(
        command,
        shell=True,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_the_readme_starts_with_its_two_commands() -> None:
    assert COMMANDS[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_every_make_target_of_the_readme_exists(command: str, environment: dict[str, str]) -> None:
    done = run(f"{command} --dry-run", environment)
    assert done.returncode == 0, done.stderr


def test_the_tally_commands_of_the_readme_work_in_their_order(environment: dict[str, str]) -> None:
    commands = [line for line in COMMANDS if ".venv/bin/tally" in line]
    assert len(commands) >= 6
    for command in commands:
        done = run(command.replace(" var/", f" {environment['TALLY_VAR_DIR']}/"), environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if "db psql" in command:
            assert "glass" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        *("up", "down", "status", "logs", "migrate", "verify", "bench", "db start", "db url", "db psql"),
        *("train", "models list", "models promote", "models history", "reviews next", "reviews decide"),
        *("reconcile", "report", "explain", "correct", "export", "sample", "sample evaluate"),
        *("seal", "prove", "prove-consistency"),
    ],
)
def test_every_command_has_help_with_an_example_and_json(arguments: str, environment: dict[str, str]) -> None:
    done = run(f"tally {arguments} --help", environment)
    assert done.returncode == 0
    assert re.search(r"Example: .*tally", done.stdout)
    assert "--json" in done.stdout


@pytest.mark.timeout(300)  # a minute with nothing else on the machine
def test_the_demo_tells_its_story_and_leaves_its_figures(environment: dict[str, str]) -> None:
    done = run(f"{shlex.quote(str(ROOT / '.venv' / 'bin' / 'python'))} -m tally.demo", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it held" in done.stdout
    summary = json.loads((Path(environment["TALLY_VAR_DIR"]) / "demo" / "summary.json").read_text())
    attacked, attack = summary["verification_attacked"], summary["attack"]
    assert summary["ok"]
    assert [(found["stream"], found["chain"], found["seq"]) for found in attacked["breaks"]] == [
        (attack["stream"], attack["machine"], attack["seq"])
    ]
    assert all(summary["fleet"]["faults"].values())
    predictions = summary["fleet"]["predictions"]
    assert predictions["answered"] == summary["fleet"]["rows_by_stream"]["predictions"] > 200
    assert predictions["problems"] == {}
    rules = summary["first_model"]["refusal"]["details"]["rules"]
    assert [rule["rule"] for rule in rules if not rule["passed"]] == ["approval_present"]
    assert summary["review"]["row"]["hash"]
    assert [step["action"] for step in summary["history"]["steps"]][-1] == "rolled_back"
    assert summary["history"]["verification"]["ok"]
    assert summary["second_model"]["rollback_seconds"] < 2
    report = json.loads((Path(environment["TALLY_VAR_DIR"]) / "demo" / "report" / "report.json").read_text())
    assert report["conclusion"]["sentences"] == summary["report"]["conclusion"]["sentences"]
    assert summary["report_from_export"]["files"] == summary["report"]["files"]
    rewriting, forged = summary["rewriting"], {"stream": "transactions", "chain": attack["machine"]}
    assert rewriting["reason"] == "contradicted"
    assert not rewriting["against"]["ok"]
    assert [head["row"] for head in rewriting["against"]["heads"]] == [forged | {"seq": attack["seq"]}] * 2
    assert summary["witnessed"]["checked"]["ok"]
    assert summary["bundle"]["witnessed"]
    if summary["replay"] is not None:
        assert summary["replay"]["in_ledger"] == {
            "rows": 22_695,
            "repeated_timestamps": 12,
            "backward_jumps": 1,
        }
