from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tally import cli
from tally.progress import LongWork


def leaves(group: object, name: str = "tally") -> Iterator[tuple[str, typer.core.TyperCommand]]:
    """Every command that does something, by the words that call it."""
    for word, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from leaves(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


COMMANDS = dict(leaves(typer.main.get_command(cli.app)))


@pytest.fixture(autouse=True)
def _own_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TALLY_VAR_DIR", str(tmp_path / "var"))
    for variable in ("TALLY_DATABASE_URL", "TALLY_DEBUG"):
        monkeypatch.delenv(variable, raising=False)


def test_the_commands_are_those_that_the_manual_promises() -> None:
    promised = ["up", "down", "status", "logs", "migrate", "generate", "verify", "bench"] + [
        f"db {w}" for w in ["start", "stop", "url", "psql"]
    ]
    assert {f"tally {words}" for words in promised} <= set(COMMANDS)


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_has_json_and_an_example(words: str) -> None:
    command = COMMANDS[words]
    text = command.help or ""
    assert "Example: " in text
    assert "tally " in text.split("Example: ")[1]
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options or "--json" in text, "of its own, or of what it forwards to"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["frob"], "No such command 'frob'"),
        (["up", "--frob"], "--frob"),
        (["logs", "nobody"], "no log of 'nobody'; logs: none yet"),
        (["db", "url", "--role", "king"], "--role"),
        (["db", "psql", "--json"], "--command"),
        (["migrate"], "tally db start"),
        (["verify"], "tally db start"),
    ],
)
def test_what_cannot_run_says_why_in_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert complaint in output.err
    assert output.err.count("\n") == 1


def test_an_unforeseen_error_is_one_line_and_a_traceback_only_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(_run_dir: Path) -> None:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr("tally.commands.stack.stop_running", break_down)
    assert cli.main(["down"]) == 2
    assert capsys.readouterr().err.startswith("tally: ZeroDivisionError: first")
    monkeypatch.setenv("TALLY_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["down"])


def test_nothing_running_is_a_finding_of_status_and_no_error_of_down(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"running": False}
    assert cli.main(["down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": []}
    assert cli.main(["db", "stop", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": False}


def test_a_database_of_ones_own_is_not_started_or_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TALLY_DATABASE_URL", "postgresql://me@127.0.0.1:1/mine")
    assert cli.main(["db", "start"]) == 2
    assert cli.main(["db", "stop"]) == 2
    assert "TALLY_DATABASE_URL is set" in capsys.readouterr().err
    assert cli.main(["db", "url", "--role", "audit"]) == 0
    assert capsys.readouterr().out == "postgresql://me@127.0.0.1:1/mine\n"


def test_a_database_that_cannot_be_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TALLY_DATABASE_URL", "postgresql://me@127.0.0.1:1/mine")
    for arguments in (["migrate"], ["up"], ["db", "psql", "--json", "-c", "SELECT 1"]):
        assert cli.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("tally: ")
        assert "127.0.0.1" in error
        assert error.count("\n") == 1


def test_the_generators_options_are_reached_through_generate(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["generate", "--help"]) == 0
    assert "Usage: tally generate" in capsys.readouterr().out
    assert cli.main(["generate", "frob"]) == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_rate_and_time_left_on_a_terminal_and_nothing_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        with LongWork("verifying", "rows", total=1000) as work:
            work.advance(100)
            work.update(500)
        shown = stream.getvalue()
        if stream.isatty():
            assert "500 rows" in shown
            assert "rows/s" in shown
        else:
            assert shown == ""
