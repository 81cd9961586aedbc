"""Photos from hosts that hang, lie and redirect: real servers on loopback, a real client."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from inference.errors import BadInput, Unavailable
from inference.photos.sources import PhotoRules, PhotoSource, host_rules

PHOTO = b"photo " * 50
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def reply(
    body: bytes = PHOTO, head: str = "HTTP/1.1 200 OK", *headers: str, length: int | None = None
) -> Answer:
    lines = [head, f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    return reply(b"", f"HTTP/1.1 {status} Found", f"Location: {location}")


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(200):
        writer.write(bytes(1 << 20))
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n")
    for _ in range(300):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silent(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def raw(content: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        writer.close()

    return answer


class Host:
    """A server on loopback that answers each path as it was told; it keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.heads: list[str] = []
        self.connections = 0
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                self.asked.append(head.split(" ")[1])
                await self.answers.get(self.asked[-1], reply(b"", "HTTP/1.1 404 Not Found"))(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def host(tls: ssl.SSLContext | None = None) -> AsyncIterator[Host]:
    one = Host()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0, ssl=tls)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        for task in one.tasks:
            task.cancel()
        await asyncio.gather(*one.tasks)
        await asyncio.sleep(0)


async def loopback(_name: str) -> list[str]:
    return ["127.0.0.1"]


def rules_for(one: Host, *more: str, **settings: Any) -> PhotoRules:
    settings = {"total_s": 0.6, "connect_s": 0.3, "max_bytes": 100_000} | settings
    return PhotoRules(hosts=host_rules([f"internal:photos.example:{one.port}", *more]), **settings)


async def refused(source: PhotoSource, url: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        await source.fetch(url)
    return caught.value


def outcome(answer: Answer, **settings: Any) -> tuple[str | bytes, float]:
    """What fetching /photo gives, bytes or a reason, and the seconds that it took."""

    async def run() -> tuple[str | bytes, float]:
        async with host() as one, PhotoSource(rules_for(one, **settings), resolver=loopback) as source:
            one.answers["/photo"] = answer
            started = time.perf_counter()
            try:
                found: str | bytes = await source.fetch(f"http://photos.example:{one.port}/photo")
            except BadInput as error:
                found = error.reason
            return found, time.perf_counter() - started

    return asyncio.run(run())


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


def test_a_listed_name_that_stands_for_loopback_is_refused_without_the_internal_mark() -> None:
    async def run() -> None:
        async with host() as one:
            rules = PhotoRules(hosts=host_rules([f"photos.example:{one.port}"]))
            async with PhotoSource(rules, resolver=loopback) as source:
                error = await refused(source, f"http://photos.example:{one.port}/photo")
            assert error.reason == "address_not_allowed"
            assert "127" not in str(error)
            assert one.connections == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "addresses",
    [
        ["93.184.215.14", "127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["64:ff9b::7f00:1"],
        ["not an address"],
    ],
)
def test_one_bad_address_among_a_name_s_addresses_refuses_it(addresses: list[str]) -> None:
    async def resolver(_name: str) -> list[str]:
        return addresses

    async def run() -> str:
        async with PhotoSource(PhotoRules(hosts=host_rules(["photos.example"])), resolver=resolver) as source:
            return (await refused(source, "http://photos.example/photo")).reason

    assert asyncio.run(run()) == "address_not_allowed"


def test_the_name_is_looked_up_once_and_the_connection_goes_to_what_was_checked() -> None:
    """A resolver that changes its mind, as a rebinding attacker's does."""
    asked: list[str] = []

    async def resolver(name: str) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async def run() -> None:
        async with host() as one, PhotoSource(rules_for(one), resolver=resolver) as source:
            one.answers["/photo"] = reply()
            assert await source.fetch(f"http://photos.example:{one.port}/photo") == PHOTO
        assert asked == ["photos.example"]

    asyncio.run(run())


def test_the_machine_s_own_resolver_is_asked_off_the_loop() -> None:
    async def run() -> None:
        async with host() as one:
            rules = PhotoRules(hosts=host_rules([f"internal:localhost:{one.port}", "nothing.invalid"]))
            async with PhotoSource(rules) as source:
                one.answers["/photo"] = reply()
                assert await source.fetch(f"http://localhost:{one.port}/photo") == PHOTO
                assert (await refused(source, "http://nothing.invalid/photo")).reason == "host_failed"

    asyncio.run(run())


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def resolver(_name: str) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async def run() -> bytes:
        async with host() as one, PhotoSource(rules_for(one), resolver=resolver) as source:
            one.answers["/photo"] = reply()
            return await source.fetch(f"http://photos.example:{one.port}/photo")

    assert asyncio.run(run()) == PHOTO


def test_a_host_that_is_not_there_or_has_no_name_is_refused() -> None:
    async def nowhere(_name: str) -> list[str]:
        raise OSError("no such name")

    async def never(_name: str) -> list[str]:
        await asyncio.sleep(60)
        return []

    async def none(_name: str) -> list[str]:
        return []

    async def run() -> None:
        async with host() as one:
            rules = rules_for(one, "internal:photos.example:1")
            for resolver, port, reason in [
                (loopback, 1, "host_failed"),
                (nowhere, one.port, "host_failed"),
                (none, one.port, "host_failed"),
                (never, one.port, "host_timeout"),
            ]:
                async with PhotoSource(rules, resolver=resolver) as source:
                    assert (await refused(source, f"http://photos.example:{port}/a")).reason == reason

    asyncio.run(run())


def test_a_host_that_hangs_takes_nothing_from_others_and_gives_its_places_back() -> None:
    async def run() -> None:
        async with host() as hanging, host() as other:
            rules = rules_for(hanging, f"internal:other.example:{other.port}", places=4, total_s=2)
            hanging.answers |= {"/photo": silent, "/good": reply()}
            other.answers["/photo"] = reply()
            async with PhotoSource(rules, resolver=loopback) as source:
                stuck = [
                    asyncio.ensure_future(refused(source, f"http://photos.example:{hanging.port}/photo"))
                    for _ in range(40)
                ]
                await asyncio.sleep(0.1)
                good = await asyncio.gather(
                    *(source.fetch(f"http://other.example:{other.port}/photo") for _ in range(40))
                )
                assert not any(fetch.done() for fetch in stuck)
                assert hanging.connections == 4
                assert good == [PHOTO] * 40
                assert {error.reason for error in await asyncio.gather(*stuck)} == {"host_timeout"}
                assert await source.fetch(f"http://photos.example:{hanging.port}/good") == PHOTO

    asyncio.run(run())


def test_a_connection_that_ended_while_it_was_kept_open_is_made_again() -> None:
    async def once(writer: asyncio.StreamWriter) -> None:
        await reply()(writer)
        writer.close()

    async def run() -> None:
        async with host() as one, PhotoSource(rules_for(one), resolver=loopback) as source:
            one.answers["/photo"] = once
            for _ in range(20):
                assert await source.fetch(f"http://photos.example:{one.port}/photo") == PHOTO

    asyncio.run(run())


def test_a_name_server_that_hangs_holds_the_places_of_its_own_rule_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, released, started = socket.getaddrinfo, threading.Event(), []

    def getaddrinfo(name: str, *rest: Any, **more: Any) -> Any:
        if name.endswith("slow.example"):
            started.append(name)
            released.wait(30)
            raise socket.gaierror("gave up")
        return real(name, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def run() -> None:
        async with host() as one:
            rules = PhotoRules(
                hosts=host_rules(["*.slow.example", f"internal:localhost:{one.port}"]), places=3, total_s=0.5
            )
            one.answers["/photo"] = reply()
            async with PhotoSource(rules) as source:
                for _ in range(2):
                    reasons = await asyncio.gather(
                        *(refused(source, f"http://{number}.slow.example/a") for number in range(20))
                    )
                    assert {error.reason for error in reasons} == {"host_timeout"}
                assert len(started) == 3
                assert await source.fetch(f"http://localhost:{one.port}/photo") == PHOTO
                released.set()
                await asyncio.sleep(0.1)
                assert (await refused(source, "http://new.slow.example/a")).reason == "host_failed"

    try:
        asyncio.run(run())
    finally:
        released.set()


def test_a_closed_source_fetches_nothing_and_refuses_what_was_under_way() -> None:
    async def run() -> None:
        async with host() as one:
            one.answers["/photo"] = silent
            source = PhotoSource(rules_for(one), resolver=loopback)
            under_way = asyncio.ensure_future(refused(source, f"http://photos.example:{one.port}/photo"))
            await asyncio.sleep(0.1)
            await source.aclose()
            assert (await under_way).reason in {"host_failed", "host_timeout"}
            with pytest.raises(Unavailable):
                await source.fetch(f"http://photos.example:{one.port}/photo")

    asyncio.run(run())


def test_many_cancelled_fetches_leave_every_place_free() -> None:
    async def run() -> None:
        async with host() as one, PhotoSource(rules_for(one, places=2), resolver=loopback) as source:
            one.answers |= {"/photo": silent, "/good": reply()}
            for pause_s in (0, 0.001, 0.01, 0.03):
                fetches = [
                    asyncio.ensure_future(source.fetch(f"http://photos.example:{one.port}/photo"))
                    for _ in range(20)
                ]
                await asyncio.sleep(pause_s)
                for fetch in fetches:
                    fetch.cancel()
                await asyncio.gather(*fetches, return_exceptions=True)
            assert await source.fetch(f"http://photos.example:{one.port}/good") == PHOTO

    asyncio.run(run())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for photos.example, which is its own authority."""
    path = tmp_path_factory.mktemp("tls") / "photos.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2",
         "-subj", "/CN=photos.example", "-addext", "subjectAltName=DNS:photos.example",
         "-keyout", str(path), "-out", str(path.with_suffix(".crt"))],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def test_tls_proves_the_name_though_the_connection_goes_to_an_address(certificate: Path) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate.with_suffix(".crt")))
    named: list[str | None] = []
    serving.sni_callback = lambda _connection, name, _context: named.append(name)

    async def run() -> None:
        async with host(serving) as one:
            port = one.port
            rules = rules_for(one, f"internal:other.example:{port}", f"internal:127.0.0.1:{port}", total_s=5)
            one.answers |= {"/photo": reply(), "/down": redirect(f"http://photos.example:{port}/photo")}
            async with PhotoSource(rules, resolver=loopback, tls=trusting) as source:
                assert await source.fetch(f"https://photos.example:{port}/photo") == PHOTO
                assert named == ["photos.example"]
                down = await refused(source, f"https://photos.example:{port}/down")
                assert down.reason == "redirect_refused"
                for name in ("other.example", "127.0.0.1"):
                    assert (await refused(source, f"https://{name}:{port}/photo")).reason == "host_failed"
                assert (await refused(source, f"http://photos.example:{port}/photo")).reason == "host_failed"
            async with PhotoSource(rules, resolver=loopback) as source:
                unknown = await refused(source, f"https://photos.example:{port}/photo")
                assert unknown.reason == "host_failed"
            assert one.asked == ["/photo", "/down"]

    asyncio.run(run())


def test_objects_are_asked_for_by_path_and_anonymously_without_keys() -> None:
    async def run() -> None:
        async with host() as one:
            rules = PhotoRules(
                s3_endpoint=f"http://127.0.0.1:{one.port}", s3_buckets=frozenset({"photos"}), total_s=0.6
            )
            async with PhotoSource(rules) as source:
                one.answers |= {
                    "/photos/2026/a%20%C3%A9.jpg": reply(),
                    "/photos/moved": redirect("/photos/x", 307),
                }
                assert await source.fetch("s3://photos/2026/a%20%C3%A9.jpg") == PHOTO
                assert "authorization" not in one.heads[0].lower()
                missing = await refused(source, "s3://photos/none")
                assert missing.reason == "photo_not_found"
                assert "127.0.0.1" not in str(missing)
                assert (await refused(source, "s3://photos/moved")).reason == "redirect_refused"
                assert (await refused(source, "s3://others/a.jpg")).reason == "bucket_not_allowed"
                assert (
                    await refused(source, f"http://127.0.0.1:{one.port}/photos/a")
                ).reason == "host_not_allowed"
        async with PhotoSource(PhotoRules()) as source:
            assert (await refused(source, "s3://photos/a")).reason == "bucket_not_allowed"

    asyncio.run(run())


def test_objects_are_asked_for_with_a_signature_that_proves_the_secret_key() -> None:
    """The signature is computed here again, step by step as AWS documents Signature Version 4."""

    async def run(secret: str) -> tuple[dict[str, str], int]:
        async with host() as one:
            rules = PhotoRules(
                s3_endpoint=f"http://127.0.0.1:{one.port}", s3_buckets=frozenset({"photos"}),
                s3_access_key="AKEY", s3_secret_key=SecretStr(secret), s3_region="eu-central-1",
            )  # fmt: skip
            async with PhotoSource(rules) as source:
                one.answers["/photos/a%20b~c.jpg"] = reply()
                assert await source.fetch("s3://photos/a%20b~c.jpg") == PHOTO
            lines = one.heads[0].split("\r\n")[1:-2]
            return {line.split(": ")[0].lower(): line.split(": ")[1] for line in lines}, one.port

    headers, port = asyncio.run(run("sesame"))
    assert headers["host"] == f"127.0.0.1:{port}"
    signed, signature = headers["authorization"].split(", Signature=")
    assert signature == _signature("sesame", headers, signed)
    assert signature != _signature("other", headers, signed)


def _signature(secret: str, headers: dict[str, str], signed: str) -> str:
    import hashlib
    import hmac

    names = signed.partition("SignedHeaders=")[2].split(";")
    payload = headers["x-amz-content-sha256"]
    canonical = "\n".join(
        [
            "GET",
            "/photos/a%20b~c.jpg",
            "",
            *(f"{name}:{headers[name]}" for name in names),
            "",
            ";".join(names),
            payload,
        ]
    )
    scope = f"{headers['x-amz-date'][:8]}/eu-central-1/s3/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = b"AWS4" + secret.encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()
