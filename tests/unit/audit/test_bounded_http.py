"""One request to a server that nobody trusts takes no more time and bytes than were given."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from audit.bounded_http import NoAddress, Unanswered, bounded_exchange

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers one request with these pieces, with a pause after each; gives its address."""
    threads: list[threading.Thread] = []
    listeners: list[socket.socket] = []
    over = threading.Event()

    def start(*pieces: bytes, pause_s: float = 0.0, asked: list[bytes] | None = None) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                request = client.recv(65536)
                if asked is not None:
                    while not request.endswith(b"body"):
                        request += client.recv(65536)
                    asked.append(request)
                for piece in pieces:
                    try:
                        client.sendall(piece)
                    except OSError:
                        return
                    if over.wait(pause_s):
                        return

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    over.set()
    for thread in threads:
        thread.join(5)
    for listener in listeners:
        listener.close()


def test_status_and_bytes_are_passed_on_as_they_came(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    asked: list[bytes] = []
    url = serve(
        b"HTTP/1.1 418 x\r\ncontent-type: text/plain; charset=hex\r\ncontent-encoding: gzip\r\n"
        b"content-length: 4\r\n\r\n\xff\x00zz",
        asked=asked,
    )
    answer = bounded_exchange(
        "POST", f"{url}/a", content=b"body", params={"of": "a b"}, timeout_s=5, most_bytes=4
    )
    assert answer == (418, b"\xff\x00zz")
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith((b"POST /a?of=a+b HTTP/1.1\r\n", b"POST /a?of=a%20b HTTP/1.1\r\n"))
    assert b"accept-encoding: identity" in head.lower()
    assert body == b"body"


def test_more_bytes_than_asked_for_are_no_answer(serve: Serve) -> None:
    with pytest.raises(Unanswered, match="more than 10 bytes"):
        bounded_exchange("GET", serve(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 11), timeout_s=5, most_bytes=10)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: "]
)
def test_a_byte_at_a_time_does_not_outlast_the_deadline(head: bytes, serve: Serve) -> None:
    url = serve(head, *[b"x"] * 100, pause_s=0.1)
    begun = time.monotonic()
    with pytest.raises(Unanswered, match=r"within 0\.5 s"):
        bounded_exchange("GET", url, timeout_s=0.5, most_bytes=10_000)
    assert time.monotonic() - begun < 2


def test_a_server_that_is_not_there_or_speaks_no_http_gives_no_answer(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", serve(b"\x00\x01\x02\r\n\r\n")):
        with pytest.raises(Unanswered) as raised:
            bounded_exchange("GET", url, timeout_s=5, most_bytes=10)
        assert not isinstance(raised.value, NoAddress)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http://a:b",
        "http://127.0.0.1:65536",
        "ftp://a.example",
        "http://a\x00b",
        "http://\ud800",
    ],
)
def test_what_is_no_address_is_told_apart(url: str) -> None:
    with pytest.raises(NoAddress, match="expected http"):
        bounded_exchange("GET", url, timeout_s=5, most_bytes=10)
