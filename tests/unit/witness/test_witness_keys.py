"""What a witness is started with: a key that is its own alone, and the logs that it cosigns."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from ledger.notes import ED25519, SigningKey
from tally.commands.witness import app
from tally.errors import TallyError
from tests.logs import LOG, WITNESSES, policy_text
from tests.witnesses import WITNESS
from witness.errors import BadConfiguration
from witness.keys import key_in_file, signing_key, trusted_logs
from witness.settings import WitnessSettings

SECRET = WITNESS.to_text()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "witness.key"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def settings(**given: object) -> WitnessSettings:
    return WitnessSettings(**given)  # type: ignore[arg-type]


def test_a_key_comes_from_a_file_or_from_a_setting(key_file: Path) -> None:
    assert signing_key(settings(key_file=key_file)) == WITNESS
    given = settings(key=SecretStr(SECRET))
    assert signing_key(given) == WITNESS
    assert SECRET not in repr(given)
    for wrong in (settings(), settings(key=SecretStr(SECRET), key_file=key_file)):
        with pytest.raises(BadConfiguration, match="either TALLY_WITNESS_KEY_FILE or TALLY_WITNESS_KEY"):
            signing_key(wrong)


def test_a_key_that_others_may_read_is_refused(key_file: Path) -> None:
    for mode in (0o640, 0o604):
        key_file.chmod(mode)
        with pytest.raises(BadConfiguration, match="chmod 600"):
            key_in_file(key_file)
    key_file.chmod(0o400)
    assert key_in_file(key_file) == WITNESS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with"),
        (b"\xff", "no text"),
        (SECRET[:-4].encode(), "33 bytes|base64"),
        (SECRET.replace("+", "++").encode(), "starts with"),
        (SigningKey("log.example", ED25519, WITNESS.seed).to_text().encode(), "of type 1; a witness needs"),
    ],
)
def test_a_file_without_a_witness_s_key_is_refused_and_never_shown(
    key_file: Path, content: bytes, message: str
) -> None:
    key_file.write_bytes(content)
    with pytest.raises(BadConfiguration, match=message) as refused:
        key_in_file(key_file)
    assert SECRET[-30:-5] not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_key_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="No such file"):
        key_in_file(tmp_path / "missing")
    with pytest.raises(BadConfiguration, match="no regular file"):
        key_in_file(tmp_path)


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


def test_the_command_serves_with_its_options_over_the_environment(
    key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[WitnessSettings] = []

    async def serve(settings: WitnessSettings) -> int:
        given.append(settings)
        return 0

    monkeypatch.setattr("witness.server.serve", serve)
    monkeypatch.setattr("service.structured_logs.configure_logging", lambda _level: None)
    monkeypatch.setenv("TALLY_WITNESS_KEY", SECRET)
    monkeypatch.setenv("TALLY_WITNESS_PORT", "1234")
    options = ["--key-file", str(key_file), "--state", str(tmp_path), "--log", str(LOG.verifier)]
    assert app(["serve", *options], standalone_mode=False) == 0
    (settings,) = given
    assert signing_key(settings) == WITNESS
    assert trusted_logs(settings) == (LOG.verifier,)
    assert (settings.state_dir, settings.host, settings.port) == (tmp_path, "127.0.0.1", 1234)
    monkeypatch.setenv("TALLY_WITNESS_PORT", "none")
    with pytest.raises(TallyError, match="TALLY_WITNESS_PORT: "):
        app(["serve", *options], standalone_mode=False)
    monkeypatch.setenv("TALLY_WITNESS_LOGS", "none")
    with pytest.raises(TallyError, match="must be a JSON list"):
        app(["serve", "--key-file", str(key_file)], standalone_mode=False)
