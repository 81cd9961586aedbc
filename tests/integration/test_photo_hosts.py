"""Photos from hosts that hang, lie and redirect: real servers on loopback, a real client."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc

import pytest

from inference.photos.sources import PhotoSource
from tests.integration.photo_hosts import (
    PHOTO,
    Answer,
    dripping,
    endless,
    host,
    loopback,
    outcome,
    raw,
    redirect,
    refused,
    reply,
    rules_for,
    silent,
)


def test_a_photo_is_fetched_with_the_host_s_own_name_and_nothing_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")

    async def run() -> None:
        async with host() as one, PhotoSource(rules_for(one), resolver=loopback) as source:
            one.answers["/a%20b?c=d"] = reply()
            for _ in range(3):
                assert await source.fetch(f"http://Photos.Example:{one.port}/a%20b?c=d") == PHOTO
            assert f"Host: photos.example:{one.port}\r\n" in one.heads[0]
            assert "Accept-Encoding: identity\r\n" in one.heads[0]
            assert one.connections == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        raw(b"HTTP/1.1 200 OK\r\n\r\n" + PHOTO),
        raw(b"HTTP/1.0 200 OK\r\n\r\n" + PHOTO),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12c\r\n" + PHOTO + b"\r\n0\r\n\r\n"),
        raw(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\n" + PHOTO),
    ],
)
def test_every_framing_of_http_is_understood(answer: Answer) -> None:
    assert outcome(answer)[0] == PHOTO


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(head="HTTP/1.1 404 Not Found"), "photo_not_found"),
        (reply(head="HTTP/1.1 500 Oops"), "host_failed"),
        (reply(head="HTTP/1.1 206 Partial Content"), "host_failed"),
        (reply(head="HTTP/1.1 302 Found"), "host_failed"),
        (reply(length=len(PHOTO) + 1, head="HTTP/1.1 200 OK\r\nConnection: close"), "host_timeout"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 301\r\n\r\n" + PHOTO), "host_failed"),
        (reply(length=100_001), "photo_too_large"),
        (reply(length=10**18), "photo_too_large"),
        (reply(length=10**30), "host_failed"),
        (reply(bytes(100_001), length=100_001), "photo_too_large"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nphotos"), "host_failed"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nphoto"), "host_failed"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "host_failed"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx"), "host_failed"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), "host_failed"),
        (raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "host_failed"),
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "host_failed"),
        (raw(b"\x00\xff" * 400), "host_failed"),
        (raw(b""), "host_failed"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000), "host_failed"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000), "host_failed"),
        (raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "host_failed"),
        (reply(gzip.compress(bytes(10_000_000)), "HTTP/1.1 200 OK", "Content-Encoding: gzip"), "host_failed"),
        (reply(PHOTO, "HTTP/1.1 200 OK", "Content-Encoding: br, identity"), "host_failed"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_photo_is_refused(answer: Answer, reason: str) -> None:
    found, seconds = outcome(answer)
    assert found == reason
    assert seconds < 1.5


@pytest.mark.parametrize("answer", [silent, dripping])
def test_a_host_that_hangs_or_drips_is_given_up_in_time(answer: Answer) -> None:
    found, seconds = outcome(answer)
    assert found == "host_timeout"
    assert 0.5 < seconds < 1.5


def test_200_megabytes_are_cut_off_at_the_limit() -> None:
    tracemalloc.start()
    try:
        assert outcome(endless, max_bytes=1 << 20)[0] == "photo_too_large"
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_redirects_are_followed_within_the_rules() -> None:
    async def run() -> None:
        async with host() as one, host() as other:
            rules = rules_for(one, f"internal:other.example:{other.port}")
            async with PhotoSource(rules, resolver=loopback) as source:
                base = f"http://photos.example:{one.port}"
                one.answers |= {
                    "/1": redirect("/2", 301),
                    "/2": redirect(f"{base}/3#top", 307),
                    "/3": redirect(f"//other.example:{other.port}/photo", 303),
                }
                other.answers["/photo"] = reply()
                assert await source.fetch(f"{base}/1") == PHOTO
                one.answers["/0"] = redirect("/1", 308)
                assert (await refused(source, f"{base}/0")).reason == "redirect_refused"

    asyncio.run(run())


@pytest.mark.parametrize(
    "location",
    [
        "/loop",
        "file:///etc/passwd",
        "s3://photos/a",
        "http://127.0.0.1:{port}/secret",
        "http://localhost:{port}/secret",
        "http://[::1]:{port}/secret",
        "http://[::ffff:127.0.0.1]:{port}/secret",
        "http://2130706433:{port}/secret",
        "http://169.254.169.254/latest/meta-data",
        "http://rebound.example:{port}/secret",
        "http://photos.example/secret",
        "//photos.example:1/secret",
        "http://a@photos.example:{port}/secret",
        "http:\\\\photos.example:{port}\\secret",
        "gopher://photos.example:{port}/_secret",
        "",
        "\u00ff",
    ],
)
def test_a_redirect_out_of_the_rules_is_refused_and_not_followed(location: str) -> None:
    async def run() -> None:
        async with host() as one:
            rules = rules_for(one, f"rebound.example:{one.port}", s3_endpoint=f"http://127.0.0.1:{one.port}",
                              s3_buckets=frozenset({"photos"}))  # fmt: skip
            async with PhotoSource(rules, resolver=loopback) as source:
                one.answers |= {
                    "/photo": redirect(location.format(port=one.port)),
                    "/loop": redirect("/loop"),
                }
                error = await refused(source, f"http://photos.example:{one.port}/photo")
                assert error.reason == ("redirect_refused")
                assert "/secret" not in one.asked
                assert "secret" not in str(error)

    asyncio.run(run())
