"""RFC 3161 timestamps of a local authority, made with openssl: what it stamped is believed, nothing else."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.errors import TimestampError, TimestampUnavailable
from audit.timestamps import MOST_BYTES, check_timestamp, request_timestamp
from ledger.notes import ED25519, SigningKey, sign_note

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the authority")

NOTE: Final = str(
    sign_note("plant.example/tally\n0\nAAAA\n", SigningKey("plant.example/tally", ED25519, bytes(32)))
).encode()
DRIPPING: Final = -1
"""As a status: an answer of which a byte comes now and then."""
_CONFIGURATION: Final = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {title}
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[stamping]
basicConstraints = CA:false
extendedKeyUsage = critical, timeStamping
[serving]
basicConstraints = CA:false
extendedKeyUsage = critical, serverAuth
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class Authority:
    """A root, and a certificate for timestamps under it; ``reply`` is what the server of it does."""

    def __init__(self, folder: Path, usage: str = "stamping") -> None:
        folder.mkdir()
        self._folder = folder
        (folder / "conf").write_text(_CONFIGURATION.format(title=folder.name, folder=folder))
        (folder / "serial").write_text("01")
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "conf")
        self._run("req", "-x509", *new, "-extensions", "root", "-keyout", "root.key", "-out", "root.pem")
        self._run("req", "-new", *new, "-subj", "/CN=stamper", "-keyout", "tsa.key", "-out", "tsa.csr")
        self._run(
            *("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "7"),
            *("-extfile", "conf", "-extensions", usage, "-out", "tsa.pem"),
        )
        self.roots = (folder / "root.pem").read_bytes()

    def stamp(self, query: bytes) -> bytes:
        """The response to a query, granted or not."""
        (self._folder / "query").write_bytes(query)
        self._run(
            *("ts", "-reply", "-config", "conf", "-queryfile", "query", "-signer", "tsa.pem"),
            *("-inkey", "tsa.key", "-chain", "root.pem", "-out", "response"),
        )
        return (self._folder / "response").read_bytes()

    def info_of(self, token: bytes) -> bytes:
        """What a token vouches for: its TSTInfo."""
        (self._folder / "token").write_bytes(token)
        self._run("ts", "-reply", "-config", "conf", "-in", "token", "-token_out", "-out", "cms")
        self._run("cms", "-verify", "-noverify", "-inform", "DER", "-in", "cms", "-out", "info")
        return (self._folder / "info").read_bytes()

    def vouch(self, info: bytes) -> bytes:
        """A granted response with a TSTInfo, signed whatever the certificate is for."""
        (self._folder / "info").write_bytes(info)
        self._run(
            *("cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-in", "info", "-outform", "DER"),
            *("-econtent_type", "1.2.840.113549.1.9.16.1.4", "-signer", "tsa.pem", "-inkey", "tsa.key"),
            *("-md", "sha256", "-out", "cms"),
        )
        cms = (self._folder / "cms").read_bytes()
        body = bytes.fromhex("3003020100") + cms
        return b"\x30\x82" + len(body).to_bytes(2, "big") + body

    def believes(self, token: bytes, content: bytes) -> bool:
        """Whether openssl itself verifies the token."""
        (self._folder / "token").write_bytes(token)
        (self._folder / "content").write_bytes(content)
        words = ("ts", "-verify", "-in", "token", "-data", "content", "-CAfile", "root.pem")
        return self._run(*words, check=False) == 0

    def _run(self, *words: str, check: bool = True) -> int:
        return subprocess.run(
            ["openssl", *words], cwd=self._folder, capture_output=True, check=check
        ).returncode


Reply = Callable[[bytes], tuple[int, str, bytes]]


class Server:
    """An HTTP server on a free port, whose answers a test chooses."""

    def __init__(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.content_types.append(self.headers["Content-Type"])
                status, content_type, content = server.reply(body)
                if status == DRIPPING:
                    self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
                    with contextlib.suppress(ConnectionError):
                        for _ in range(40):
                            self.wfile.write(b"x")
                            time.sleep(0.05)
                    return
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # who asked may have read enough
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.content_types: list[str] = []
        self.reply: Reply = lambda _: (500, "text/plain", b"")
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/tsa"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "authority")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    started = Server()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def token(authority: Authority) -> bytes:
    """A good token of NOTE."""
    from rfc3161_client import TimestampRequestBuilder

    return authority.stamp(TimestampRequestBuilder(NOTE).build().as_bytes())


def granting(authority: Authority) -> Reply:
    return lambda query: (200, "application/timestamp-reply", authority.stamp(query))


def test_a_note_is_stamped_and_openssl_agrees(authority: Authority, server: Server) -> None:
    server.reply = granting(authority)
    got = request_timestamp(NOTE, server.url, 10)
    assert server.content_types == ["application/timestamp-query"]
    moment = check_timestamp(got, NOTE, authority.roots)
    assert moment.tzinfo == UTC
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)
    assert authority.believes(got, NOTE)
    with pytest.raises(TimestampError, match="other bytes"):
        check_timestamp(got, NOTE.replace(b"tally", b"Tally"), authority.roots)
    assert not authority.believes(got, NOTE.replace(b"tally", b"Tally"))


def test_a_token_by_a_foreign_root_is_not_believed(
    authority: Authority, token: bytes, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path / "foreign")
    with pytest.raises(TimestampError, match="self-signed certificate in certificate chain"):
        check_timestamp(token, NOTE, foreign.roots)
    assert check_timestamp(token, NOTE, foreign.roots + authority.roots) == check_timestamp(
        token, NOTE, authority.roots + authority.roots
    )


@pytest.mark.parametrize(
    "roots", [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_roots_that_are_no_certificates_are_refused(token: bytes, roots: bytes) -> None:
    with pytest.raises(TimestampError, match="the roots are no certificates"):
        check_timestamp(token, NOTE, roots)


def test_an_answer_to_another_question_is_refused(authority: Authority, server: Server, token: bytes) -> None:
    server.reply = lambda _: (200, "application/timestamp-reply", token)  # right bytes, another nonce
    with pytest.raises(TimestampError, match="another nonce") as raised:
        request_timestamp(NOTE, server.url, 10)
    assert not isinstance(raised.value, TimestampUnavailable)
    with pytest.raises(TimestampError, match="other bytes"):
        request_timestamp(NOTE + b"x", server.url, 10)
    without = bytearray()

    def leave_out_the_nonce(_: bytes) -> tuple[int, str, bytes]:
        from rfc3161_client import TimestampRequestBuilder

        without[:] = authority.stamp(TimestampRequestBuilder(NOTE, nonce=False).build().as_bytes())
        return 200, "application/timestamp-reply", bytes(without)

    server.reply = leave_out_the_nonce
    with pytest.raises(TimestampError, match="another nonce"):
        request_timestamp(NOTE, server.url, 10)
    check_timestamp(bytes(without), NOTE, authority.roots)


@pytest.mark.parametrize(
    ("status", "content", "word"),
    [
        (200, b"<!DOCTYPE html><html>Welcome</html>", "no timestamp token"),
        (200, b"", "no timestamp token"),
        (200, bytes(MOST_BYTES + 1), "more than"),
        (200, bytes.fromhex("30053003020102"), "refuses a timestamp: status 2"),
        (503, b"busy", "answers 503"),
        (302, b"", "answers 302"),
    ],
)
def test_an_answer_that_is_no_token_is_told_as_such(
    server: Server, status: int, content: bytes, word: str
) -> None:
    server.reply = lambda _: (status, "text/html", content)
    with pytest.raises(TimestampUnavailable, match=word):
        request_timestamp(NOTE, server.url, 10)


def test_an_authority_that_refuses_says_why(authority: Authority, server: Server) -> None:
    server.reply = lambda _: (200, "application/timestamp-reply", authority.stamp(b"no query"))
    with pytest.raises(TimestampUnavailable, match="refuses a timestamp: status 2"):
        request_timestamp(NOTE, server.url, 10)
    with pytest.raises(TimestampError, match="did not grant"):
        check_timestamp(authority.stamp(b"no query"), NOTE, authority.roots)


def test_a_truncated_token_is_refused(token: bytes, authority: Authority, server: Server) -> None:
    for kept in (0, 1, 20, len(token) // 2, len(token) - 1):
        with pytest.raises(TimestampError, match="no timestamp token"):
            check_timestamp(token[:kept], NOTE, authority.roots)
    server.reply = lambda query: (200, "application/timestamp-reply", authority.stamp(query)[:-1])
    with pytest.raises(TimestampUnavailable, match="no timestamp token"):
        request_timestamp(NOTE, server.url, 10)
    with pytest.raises(TimestampError, match="no timestamp token"):
        check_timestamp(token + b"\0", NOTE, authority.roots)


def test_an_authority_that_is_down_or_slow_is_unavailable(server: Server) -> None:
    with pytest.raises(TimestampUnavailable, match="does not answer"):
        request_timestamp(NOTE, "http://127.0.0.1:9/tsa", 5)

    def late(_: bytes) -> tuple[int, str, bytes]:
        time.sleep(0.5)
        return 200, "text/plain", b""

    server.reply = late
    with pytest.raises(TimestampUnavailable, match="does not answer"):
        request_timestamp(NOTE, server.url, 0.1)


def test_an_authority_that_answers_a_byte_at_a_time_holds_nobody_up(server: Server) -> None:
    server.reply = lambda _: (DRIPPING, "", b"")
    started = time.monotonic()
    with pytest.raises(TimestampUnavailable, match=r"within 0\.3 s"):
        request_timestamp(NOTE, server.url, 0.3)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("url", ["", "tsa.example", "ftp://tsa.example", "http://[", "http://a b\n"])
def test_what_is_no_address_is_told_as_such(url: str) -> None:
    with pytest.raises(TimestampError):
        request_timestamp(NOTE, url, 0.5)


def test_nothing_is_not_stamped(server: Server) -> None:
    with pytest.raises(TimestampError, match="nothing to stamp"):
        request_timestamp(b"", server.url, 1)


def test_a_certificate_that_is_not_for_timestamps_is_not_believed(
    authority: Authority, token: bytes, tmp_path: Path
) -> None:
    info = authority.info_of(token)
    assert check_timestamp(authority.vouch(info), NOTE, authority.roots).tzinfo == UTC
    serving = Authority(tmp_path / "serving", usage="serving")
    with pytest.raises(TimestampError, match="unsuitable certificate purpose"):
        check_timestamp(serving.vouch(info), NOTE, serving.roots)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # of a damaged certificate
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_token_raises_anything_else(
    authority: Authority, token: bytes, data: st.DataObject
) -> None:
    """A damaged token is refused, or what is damaged is not what was signed: the moment stays the same."""
    content = bytearray(token)
    place = data.draw(st.integers(0, len(token) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        moment = check_timestamp(bytes(content), NOTE, authority.roots)
    except TimestampError:
        return
    assert moment == check_timestamp(token, NOTE, authority.roots)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_no_token(authority: Authority, content: bytes) -> None:
    with pytest.raises(TimestampError):
        check_timestamp(content, NOTE, authority.roots)
