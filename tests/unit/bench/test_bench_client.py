"""The benchmark's client and its two paces, against a small server of our own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from tally.bench.http_client import Client
from tally.bench.pace import Asked, busily, steadily


class Server:
    """Answers every request with its path and body, in pieces; ``/close`` cuts the connection instead."""

    def __init__(self) -> None:
        self.connections = 0
        self.under_way = 0
        self.most = 0
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                length = next(
                    (int(x[16:]) for x in head.split(b"\r\n") if x.startswith(b"content-length: ")), 0
                )
                body = await reader.readexactly(length)
                path = head.split()[1].decode()
                if path == "/close":
                    return
                await asyncio.sleep(0.002)
                answer = json.dumps({"path": path, "body": body.decode()}).encode()
                status = b"503 Busy" if path == "/busy" else b"200 OK"
                writer.write(b"HTTP/1.1 " + status)
                await asyncio.sleep(0)
                writer.write(b"\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer[:5])
                await asyncio.sleep(0)
                writer.write(answer[5:])
                self.under_way -= 1
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Server, Client]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening, Client("127.0.0.1", listening.sockets[0].getsockname()[1], "secret") as client:
        yield server, client


def test_a_connection_is_used_again_and_the_answer_put_together() -> None:
    async def run() -> None:
        async with asking() as (server, client):
            for number in range(3):
                status, content = await client.post("/here", {"number": number})
                assert (status, content["path"], content["body"]) == (200, "/here", f'{{"number":{number}}}')
            assert server.connections == 1
            assert all(b"authorization: Bearer secret\r\n" in head for head in server.heads)

    asyncio.run(run())


def test_a_cut_connection_is_an_error_and_the_next_request_has_a_new_one() -> None:
    async def run() -> None:
        async with asking() as (server, client):
            with pytest.raises(ConnectionError):
                await client.get("/close")
            assert (await client.get("/"))[0] == 200
            assert server.connections == 2

    asyncio.run(run())


def test_a_steady_pace_asks_as_often_as_it_says() -> None:
    async def run() -> Asked:
        async with asking() as (_, client):
            return await steadily(client, repeat(client.request("GET", "/")), rate=200, seconds=0.2)

    asked = asyncio.run(run())
    assert asked.statuses == {200: 40}
    assert asked.elapsed_s >= 0.19
    assert asked.milliseconds(0.5) >= 2


def test_a_busy_pace_has_so_many_under_way_and_counts_what_fails() -> None:
    async def run() -> tuple[Server, Asked]:
        async with asking() as (server, client):
            questions = iter([client.request("GET", "/busy"), *[client.request("GET", "/")] * 10_000])
            return server, await busily(client, questions, in_flight=5, seconds=0.2)

    server, asked = asyncio.run(run())
    assert server.most == server.connections == 5
    assert (asked.failed, asked.statuses[503]) == (1, 1)
    assert len(asked.seconds) == asked.statuses[200] > 20


def test_percentiles_are_of_the_answered_requests() -> None:
    asked = Asked(seconds=[number / 1_000 for number in range(100, 0, -1)])
    assert asked.milliseconds(0.5) == 51
    assert asked.milliseconds(0.95) == 96
    assert asked.milliseconds(1.0) == 100
    assert Asked().milliseconds(0.95) == float("inf")
