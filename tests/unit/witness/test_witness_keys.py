"""What a witness is started with: a key that is its own alone, and the logs that it cosigns."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from ledger.notes import ED25519, SigningKey
from service.errors import KeyUnusable
from tally.cli import main
from tally.commands.witness import app
from tally.errors import TallyError
from tests.logs import LOG, WITNESSES, policy_text
from tests.witnesses import WITNESS
from witness.errors import BadConfiguration
from witness.keys import signing_key, trusted_logs
from witness.settings import WitnessSettings

SECRET = WITNESS.to_text()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "witness.key"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def settings(**given: object) -> WitnessSettings:
    return WitnessSettings(**{"key": "witness.key", **given})  # type: ignore[arg-type]


def test_a_witness_s_key_comes_from_its_source_and_a_log_s_is_refused(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT_ELSEWHERE", SECRET)
    for source in (str(key_file), "env:KEPT_ELSEWHERE", f"command:cat '{key_file}'"):
        assert signing_key(source) == WITNESS
    key_file.write_text(LOG.to_text())
    with pytest.raises(BadConfiguration, match=r"type 1\): a witness cosigns with type 4"):
        signing_key(str(key_file))


def test_a_setting_without_a_source_or_with_the_key_itself_is_refused_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TALLY_WITNESS_KEY", raising=False)
    with pytest.raises(ValidationError, match="key\n"):
        WitnessSettings()  # type: ignore[call-arg]
    given = settings(key=SECRET)
    assert SECRET not in repr(given)
    with pytest.raises(KeyUnusable, match="a key itself was given as its source") as refused:
        signing_key(given.key.get_secret_value())
    assert SECRET[-30:-5] not in str(refused.value)


def test_logs_come_from_settings_and_from_a_policy(tmp_path: Path) -> None:
    other = SigningKey("other.example", ED25519, bytes(32)).verifier
    policy = tmp_path / "policy"
    policy.write_bytes(policy_text())
    assert trusted_logs(settings(logs=(str(other),), policy=policy)) == (other, LOG.verifier)
    assert trusted_logs(settings(logs=(str(LOG.verifier),) * 2, policy=policy)) == (LOG.verifier,)
    with pytest.raises(BadConfiguration, match="expected a log"):
        trusted_logs(settings())
    with pytest.raises(BadConfiguration, match="of type 4"):
        trusted_logs(settings(logs=(str(WITNESSES[1].verifier),)))
    with pytest.raises(BadConfiguration, match="logs: "):
        trusted_logs(settings(logs=("nonsense",)))
    with pytest.raises(BadConfiguration, match="can't be read"):
        trusted_logs(settings(policy=tmp_path / "missing"))
    policy.write_text("nonsense\n")
    with pytest.raises(BadConfiguration, match="policy, line 1"):
        trusted_logs(settings(policy=policy))


def test_the_command_prints_the_verifier_key_and_nothing_else(
    key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app(["key", str(key_file)], standalone_mode=False)
    assert capsys.readouterr().out == f"{WITNESS.verifier}\n"


def test_the_command_refuses_a_key_that_others_may_read_in_one_line(
    key_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.structured_logs.configure_logging", lambda _level: None)
    key_file.chmod(0o640)
    for command in (["key", str(key_file)], ["serve", "--key", str(key_file), "--log", str(LOG.verifier)]):
        assert main(["witness", *command]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"chmod 600 {key_file}" in printed.err
        assert "KeyUnusable" not in printed.err


def test_the_command_serves_with_its_options_over_the_environment(
    key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[WitnessSettings] = []

    async def serve(settings: WitnessSettings) -> int:
        given.append(settings)
        return 0

    monkeypatch.setattr("witness.server.serve", serve)
    monkeypatch.setattr("service.structured_logs.configure_logging", lambda _level: None)
    monkeypatch.setenv("TALLY_WITNESS_KEY", "env:NOT_SET")
    monkeypatch.setenv("TALLY_WITNESS_PORT", "1234")
    options = ["--key", str(key_file), "--state", str(tmp_path), "--log", str(LOG.verifier)]
    assert app(["serve", *options], standalone_mode=False) == 0
    (settings,) = given
    assert signing_key(settings.key.get_secret_value()) == WITNESS
    assert trusted_logs(settings) == (LOG.verifier,)
    assert (settings.state_dir, settings.host, settings.port) == (tmp_path, "127.0.0.1", 1234)
    monkeypatch.setenv("TALLY_WITNESS_PORT", "none")
    with pytest.raises(TallyError, match="TALLY_WITNESS_PORT: "):
        app(["serve", *options], standalone_mode=False)
    monkeypatch.setenv("TALLY_WITNESS_LOGS", "none")
    with pytest.raises(TallyError, match="must be a JSON list"):
        app(["serve", "--key", str(key_file)], standalone_mode=False)
