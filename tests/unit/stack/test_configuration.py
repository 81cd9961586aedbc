from __future__ import annotations

from pathlib import Path

import pytest

from tally.embedded.configuration import configuration_text, server_settings
from tally.embedded.databases import parts, with_database, with_login
from tally.errors import TallyError
from tally.settings import read_settings


def test_nothing_trades_durability_for_speed() -> None:
    settings = server_settings(54320, Path("/run"))
    assert [settings[name] for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3
    assert settings["listen_addresses"] == "127.0.0.1"
    assert settings["timescaledb.telemetry_level"] == "off"


def test_a_quote_in_a_value_does_not_end_it() -> None:
    assert "name = 'it''s'" in configuration_text({"name": "it's"})


def test_urls_are_rewritten_whatever_a_password_contains() -> None:
    url = with_login("postgresql://a:b@127.0.0.1:5432/x", "role", "p@ss/w:rd%")
    assert parts(url) == ("postgresql://role@127.0.0.1:5432/x", "p@ss/w:rd%")
    assert with_database(url, "y").endswith("@127.0.0.1:5432/y")
    assert parts("postgresql://127.0.0.1/x") == ("postgresql://127.0.0.1/x", "")


def test_a_setting_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLY_DB_PORT", "99999")
    with pytest.raises(TallyError, match=r"TALLY_DB_PORT='99999'.*65535"):
        read_settings()


def test_the_cache_is_outside_of_the_checkout_and_can_be_moved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TALLY_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert read_settings().cache_dir == tmp_path / "tally"
    monkeypatch.setenv("TALLY_CACHE_DIR", str(tmp_path / "other"))
    assert read_settings().cache_dir == tmp_path / "other"
