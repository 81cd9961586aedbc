"""The key of a stack's log: made once, closed to others, never exchanged for another by accident."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ledger.errors import BadNote
from ledger.notes import ED25519
from service.errors import KeyUnusable
from service.keys.sources import load_signing_key
from tally.errors import TallyError
from tally.log_keys import ensure_log_key, log_key_source
from tally.settings import Settings
from tally.stack import plan


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("TALLY_SEALER_KEY", raising=False)
    return Settings(var_dir=tmp_path / "var")


def test_the_first_call_makes_the_key_and_the_next_ones_find_it(settings: Settings) -> None:
    path = ensure_log_key(settings)
    key = load_signing_key(str(path))
    assert (key.name, key.kind, path.stat().st_mode & 0o777) == ("localhost/tally", ED25519, 0o600)
    assert ensure_log_key(settings) == path
    assert load_signing_key(str(path)) == key
    assert [one.name for one in path.parent.iterdir()] == ["log.key"]


def test_many_callers_at_once_get_one_key(settings: Settings) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_log_key(settings).read_text())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found))) == (8, 1)


def test_a_log_keeps_its_name(settings: Settings) -> None:
    named = settings.model_copy(update={"log_name": "plant.example/tally"})
    path = ensure_log_key(named)
    assert load_signing_key(str(path)).name == "plant.example/tally"
    assert ensure_log_key(settings) == path, "the variable counts when the key is made"
    with pytest.raises(TallyError, match="a log keeps its name"):
        ensure_log_key(Settings(var_dir=settings.var_dir, log_name="other.example/tally"))


def test_a_name_that_is_none_and_a_key_that_is_open_to_others_are_refused(settings: Settings) -> None:
    with pytest.raises(BadNote, match="no space"):
        ensure_log_key(Settings(var_dir=settings.var_dir, log_name="two words"))
    path = ensure_log_key(settings)
    path.chmod(0o644)
    with pytest.raises(KeyUnusable, match="chmod"):
        ensure_log_key(settings)


def test_a_source_of_ones_own_is_taken_and_no_key_is_made(settings: Settings) -> None:
    own = Settings(var_dir=settings.var_dir, sealer_key="command:vault read log-key")
    assert log_key_source(own) == "command:vault read log-key"
    assert not settings.log_key_path.exists()


def test_the_stacks_sealer_sees_its_key_its_login_and_its_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_LOG_KEY", "the key")
    monkeypatch.chdir(tmp_path)
    settings = Settings(var_dir=tmp_path / "var", sealer_key="env:MY_LOG_KEY", sealer_policy=Path("policy"))
    sealer = plan.services(settings)[-1]
    assert sealer.name == "sealer"
    assert sealer.environment["TALLY_SEALER_KEY"] == "env:MY_LOG_KEY"
    assert sealer.environment["MY_LOG_KEY"] == "the key"
    assert sealer.environment["TALLY_SEALER_POLICY"] == str(tmp_path / "policy")
    assert "tally_sealer:" in sealer.environment["TALLY_SEALER_DATABASE_URL"]
    others = [service.environment for service in plan.services(settings)[:-1]]
    assert all("MY_LOG_KEY" not in environment for environment in others)
