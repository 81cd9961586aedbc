"""Which address a photo's host stands for, and how many places each host has: real servers, a real client."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from inference.errors import Unavailable
from inference.photos.sources import PhotoRules, PhotoSource, host_rules
from tests.integration.photo_hosts import (
    PHOTO,
    host,
    loopback,
    refused,
    reply,
    rules_for,
    silent,
)


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
