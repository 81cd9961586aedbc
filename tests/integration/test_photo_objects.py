"""Photos over TLS and from buckets: real servers on loopback, a real client."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from inference.photos.sources import PhotoRules, PhotoSource
from tests.integration.photo_hosts import (
    PHOTO,
    host,
    loopback,
    redirect,
    refused,
    reply,
    rules_for,
)


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
