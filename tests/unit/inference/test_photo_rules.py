from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from inference.errors import InferenceError
from inference.photos.rules import HostRule, PhotoRules, PhotoRulesUnusable, Scheme, host_rules


@pytest.mark.parametrize(
    ("rule", "scheme", "host", "port"),
    [
        ("photos.example.org", "http", "photos.example.org", 80),
        ("photos.example.org", "https", "photos.example.org", 443),
        ("Photos.Example.ORG", "https", "photos.example.org", 443),
        ("photos.example.org:8443", "https", "photos.example.org", 8443),
        ("https://photos.example.org", "https", "photos.example.org", 443),
        ("*.example.org", "https", "a.example.org", 443),
        ("*.example.org", "https", "a.b.example.org", 443),
        ("internal:127.0.0.1:9000", "http", "127.0.0.1", 9000),
        ("internal:[0::1]:9000", "http", "::1", 9000),
        ("internal:http://camera_1:8080", "http", "camera_1", 8080),
        ("internal:*.lan", "http", "camera.lan", 80),
    ],
)
def test_a_rule_admits_the_host_that_it_names(rule: str, scheme: Scheme, host: str, port: int) -> None:
    assert HostRule.parse(rule).admits(scheme, host, port)


@pytest.mark.parametrize(
    ("rule", "scheme", "host", "port"),
    [
        ("photos.example.org", "http", "photos.example.org", 443),
        ("photos.example.org", "http", "photos.example.org", 8080),
        ("photos.example.org", "http", "other.example.org", 80),
        ("photos.example.org", "http", "photos.example.org.", 80),
        ("photos.example.org", "http", "photos.example.org.evil.org", 80),
        ("photos.example.org", "http", "a.photos.example.org", 80),
        ("photos.example.org:8443", "https", "photos.example.org", 443),
        ("https://photos.example.org", "http", "photos.example.org", 80),
        ("*.example.org", "http", "example.org", 80),
        ("*.example.org", "http", "evilexample.org", 80),
        ("internal:127.0.0.1:9000", "http", "127.0.0.1", 80),
    ],
)
def test_a_rule_admits_nothing_else(rule: str, scheme: Scheme, host: str, port: int) -> None:
    assert not HostRule.parse(rule).admits(scheme, host, port)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no rule"),
        ("ftp://photos.example.org", "no rule"),
        ("photos.example.org/path", "no rule"),
        ("user@photos.example.org", "no rule"),
        ("photos.example.org:", "no rule"),
        ("photos.example.org:99999", "65535"),
        ("photos.example.org:0", "65535"),
        ("*", "no rule"),
        ("*.org", "too much"),
        ("a.*.org", "no rule"),
        ("bücher.example", "neither"),
        ("-a-.example.org", "neither"),
        ("2130706433", "neither"),
        ("0x7f.0.0.1", "neither"),
        ("0x7f", "neither"),
        ("127.1", "neither"),
        ("internal:9000", "neither"),
        ("[::1", "no rule"),
        ("[1:2]", "no IPv6"),
        ("127.0.0.1", "internal:"),
        ("[fd00::1]", "internal:"),
        ("internal:169.254.169.254", "not connected"),
        ("*.1.1.1.1", "too much"),
    ],
)
def test_a_rule_that_is_none_stops_the_start_with_its_reason(text: str, word: str) -> None:
    with pytest.raises(PhotoRulesUnusable, match=word):
        HostRule.parse(text)


def test_rules_are_read_from_texts_and_empty_ones_are_skipped() -> None:
    assert host_rules(["a.example.org", " ", "internal:b"]) == (
        HostRule("a.example.org"),
        HostRule("b", internal=True),
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"roots": (Path("photos"),)},
        {"roots": (Path("/"),)},
        {"roots": (Path("/srv/../etc"),)},
        {"s3_buckets": frozenset({"photos"})},
        {"s3_buckets": frozenset({"../x"}), "s3_endpoint": "http://minio:9000"},
        {"s3_endpoint": "minio:9000"},
        {"s3_endpoint": "http://user@minio:9000"},
        {"s3_endpoint": "http://minio:9000/path"},
        {"s3_endpoint": "http://minio:99999"},
        {"s3_endpoint": "http://[::1"},
        {"s3_endpoint": "http://"},
        {"s3_access_key": "key"},
        {"max_bytes": 0},
        {"total_s": 0.0},
    ],
)
def test_settings_that_can_not_be_meant_stop_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(PhotoRulesUnusable) as refused:
        PhotoRules(**settings)
    assert isinstance(refused.value, InferenceError)


def test_settings_do_not_show_the_secret_key() -> None:
    rules = PhotoRules(
        s3_endpoint="http://minio:9000", s3_access_key="key", s3_secret_key=SecretStr("do not tell")
    )
    assert "do not tell" not in repr(rules)
