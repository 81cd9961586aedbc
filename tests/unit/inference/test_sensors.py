"""Which sensors are known: from the ledger, from memory, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from inference.errors import BadInput, Unavailable
from inference.sensors import Sensors
from store.errors import StoreUnavailable


class FakeLedger:
    """Knows some machines, counts questions, may be away."""

    def __init__(self, *known: str) -> None:
        self.known = set(known)
        self.asked: list[str] = []
        self.away = False

    async def fetch(self, name: str, *values: object) -> Sequence[Mapping[str, object]]:
        assert name == "known_machine"
        self.asked.append(str(values[0]))
        if self.away:
            raise StoreUnavailable("away")
        return [{"known": values[0] in self.known}]


class Clock:
    """Time that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_sensor_is_asked_about_once() -> None:
    ledger = FakeLedger("rvm-1")
    sensors = Sensors(ledger)

    async def work() -> None:
        await sensors.check("rvm-1")
        ledger.away = True
        await sensors.check("rvm-1")

    asyncio.run(work())
    assert ledger.asked == ["rvm-1"]


def test_an_unknown_sensor_is_asked_about_again_after_a_while() -> None:
    ledger, clock = FakeLedger(), Clock()
    sensors = Sensors(ledger, clock=clock)

    async def work() -> None:
        for _ in range(3):
            with pytest.raises(BadInput, match="let it send a heartbeat first") as refused:
                await sensors.check("rvm-1")
            assert refused.value.reason == "unknown_sensor"
        ledger.known.add("rvm-1")
        clock.now += 3
        await sensors.check("rvm-1")

    asyncio.run(work())
    assert ledger.asked == ["rvm-1", "rvm-1"]


def test_a_named_sensor_needs_no_ledger_and_a_pattern_is_no_expression() -> None:
    ledger = FakeLedger()
    ledger.away = True
    sensors = Sensors(ledger, ["demo-*", "rvm-[12]"])

    async def work() -> None:
        for name in ("demo-", "demo-rvm-7", "rvm-1"):
            await sensors.check(name)
        for name in ("Demo-1", "xdemo-1", "rvm-3", "rvm-12"):
            with pytest.raises(Unavailable) as refused:
                await sensors.check(name)
            assert refused.value.reason == "sensors_unavailable"

    asyncio.run(work())


def test_no_pattern_makes_a_blank_name_known() -> None:
    sensors = Sensors(FakeLedger(), ["*"])

    async def work() -> None:
        await sensors.check(" rvm")
        for blank in (" ", "\u3000\x85"):
            with pytest.raises(BadInput) as refused:
                await sensors.check(blank)
            assert refused.value.reason == "unknown_sensor"

    asyncio.run(work())


def test_a_database_that_was_away_denies_nobody_afterwards() -> None:
    ledger = FakeLedger("rvm-1")
    ledger.away = True
    sensors = Sensors(ledger)

    async def work() -> None:
        with pytest.raises(Unavailable):
            await sensors.check("rvm-1")
        ledger.away = False
        await sensors.check("rvm-1")

    asyncio.run(work())
