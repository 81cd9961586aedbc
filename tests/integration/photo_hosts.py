"""Hosts on loopback that photos are fetched from: they answer, hang, lie and redirect as they are told."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from inference.errors import BadInput
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
