from __future__ import annotations

from typing import get_args

import pytest

from inference.errors import BadInput
from inference.photos.reasons import REASONS, Reason
from inference.photos.urls import BucketUrl, FileUrl, WebUrl, parse_url, redirected


def reason_of(url: str) -> str:
    with pytest.raises(BadInput) as refused:
        parse_url(url)
    return refused.value.reason


def test_every_reason_has_a_sentence() -> None:
    assert [name for name, _ in REASONS] == list(get_args(Reason))
    assert all(sentence.endswith(".") for _, sentence in REASONS)


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("file:///srv/photos/a%20b.jpg", FileUrl("/srv/photos/a b.jpg")),
        ("FILE:///srv/%C3%A9.jpg", FileUrl("/srv/é.jpg")),
        ("file:///srv/...jpg", FileUrl("/srv/...jpg")),
        ("file:///srv/%252e%252e/x", FileUrl("/srv/%2e%2e/x")),
        ("http://h.example/a.jpg", WebUrl("http", "h.example", 80, "/a.jpg")),
        ("https://H.Example:8443?id=7", WebUrl("https", "h.example", 8443, "/?id=7")),
        ("https://h.example/a%2Fb.jpg?x=/../y", WebUrl("https", "h.example", 443, "/a%2Fb.jpg?x=/../y")),
        ("http://[::1]:9000/a", WebUrl("http", "::1", 9000, "/a")),
        ("s3://bucket/2026/a%20b.jpg", BucketUrl("bucket", "2026/a b.jpg")),
    ],
)
def test_a_plain_url_is_taken_apart(url: str, parsed: object) -> None:
    assert parse_url(url) == parsed


@pytest.mark.parametrize(
    "url", ["", "photo.jpg", "/srv/a.jpg", "data:image/png;base64,AAAA", "ftp://h/a", "file:/srv/a", "//h/a",
            "gopher://h/", "http:/h/a", " http://h/a", "\x00http://h/a", "javascript:1", "s3:bucket/key"],
)  # fmt: skip
def test_another_scheme_is_refused(url: str) -> None:
    assert reason_of(url) == "url_scheme"


@pytest.mark.parametrize(
    "url",
    [
        "http://h.example/" + "a" * 2048,
        "http://h.example/a b",
        "http://h.example/a\x00b",
        "http://h.example/a\r\nHost: b",
        "http://h.example/a\\b",
        "http://h.example/a%00b",
        "http://h.example/a%5cb",
        "http://h.example/%0d%0ab",
        "http://h.example/a%",
        "http://h.example/a%zz",
        "http://h.example/é",
        "http://h.example/\ud800",
        "http://h.example/a#b",
        "http://h.example/../b",
        "http://h.example/a/%2e%2e/b",
        "http://h.example/a/.%2E",
        "http://h.example/a%2f..%2fb",
        "http://user@h.example/",
        "http://user:password@h.example/",
        "http://allowed.example@evil.example/",
        "http://h.example:/",
        "http://h.example:0/",
        "http://h.example:65536/",
        "http://h.example:8o/",
        "http://h.example./",
        "http:///a",
        "http://?a",
        "http://h_é.example/",
        "http://a..b/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[127.0.0.1]/",
        "http://[::1/",
        "http://[::1%25eth0]/",
        "http://::1/",
        "http://[0:0:0:0:0:0:0:1]/",
        "file://host/a",
        "file://localhost/a",
        "file:///",
        "file:////etc/passwd",
        "file:///srv//a",
        "file:///srv/",
        "file:///srv/../etc/passwd",
        "file:///srv/%2e%2e/etc/passwd",
        "file:///srv/..%2f..%2fetc/passwd",
        "file:///srv/%2e/a",
        "file:///srv/a?b",
        "file:///srv/%ff",
        "s3://bucket",
        "s3:///key",
        "s3://bucket/",
        "s3://bucket/../key",
        "s3://bucket/a//b",
        "s3://bucket/a?versionId=1",
        "s3://bucket:80/a",
        "s3://key@bucket/a",
    ],
)
def test_an_odd_url_is_refused_and_never_mended(url: str) -> None:
    assert reason_of(url) == "url_malformed"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/b.jpg", "http://h.example/b.jpg"),
        (b"b.jpg#top", "http://h.example/a/b.jpg"),
        (b"?x=1", "http://h.example/a/a.jpg?x=1"),
        (b"//o.example/b", "http://o.example/b"),
        (b"https://o.example:8443/b", "https://o.example:8443/b"),
    ],
)
def test_a_redirect_is_resolved_as_a_browser_would(location: bytes, target: str) -> None:
    assert str(redirected(WebUrl("http", "h.example", 80, "/a/a.jpg"), location)) == target


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        (b"file:///etc/passwd", "url_scheme"),
        (b"s3://bucket/key", "url_scheme"),
        (b"gopher://h.example/", "url_scheme"),
        (b"http://h.example/", "redirect_refused"),
        (b"ht\ttp://h.example/", "url_malformed"),
        (b"/\xff", "url_malformed"),
        (b"//[::1", "url_malformed"),
        (b"https://user@h.example/", "url_malformed"),
        (b"https:\\\\h.example", "url_malformed"),
        (b"/" + b"a" * 3000, "url_malformed"),
    ],
)
def test_a_redirect_elsewhere_or_to_less_safety_is_refused(location: bytes, reason: str) -> None:
    with pytest.raises(BadInput) as refused:
        redirected(WebUrl("https", "h.example", 443, "/a.jpg"), location)
    assert refused.value.reason == reason
