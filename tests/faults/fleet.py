"""A fleet of OTLP clients, the clients' side of the books, and its comparison with the ledger."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, TypeVar

import psycopg

from ledger.streams import STREAMS
from tests.faults.clients import PATIENCE_S, SIGNALS, Answer, Sendable, Signal, Transport, request

_RUNS: Final = itertools.count()
_T = TypeVar("_T")


@dataclass
class Sent:
    """What became of the keys of all requests: the clients' side of the books."""

    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    in_doubt: set[str] = field(default_factory=set)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    delays: set[float | None] = field(default_factory=set)

    def __or__(self, other: Sent) -> Sent:
        """The books of both."""
        return Sent(
            self.acknowledged | other.acknowledged,
            self.refused | other.refused,
            self.in_doubt | other.in_doubt,
            self.answers + other.answers,
            self.delays | other.delays,
        )

    def note(self, request: Sendable, answer: Answer) -> None:
        """An answer came, or failed to come."""
        self.answers[answer.kind, answer.code] += 1
        if answer.kind == "later":
            self.delays.add(answer.retry_after_s)
        if answer.kind == "ok":
            self.acknowledged.update(request.keys)
            self.in_doubt.difference_update(request.keys)
        elif answer.kind == "refused":
            self.refused.update(request.keys)
            self.in_doubt.difference_update(request.keys)
        elif not self.acknowledged.issuperset(request.keys):
            self.in_doubt.update(request.keys)


class Fleet:
    """Clients in threads, each sending one request after the other until it is acknowledged.

    ``transports`` makes each client's ways to the collectors; a client with more than one sends the same
    bytes by all of them at once, as one does that has lost patience with a collector.
    """

    def __init__(
        self,
        transports: Iterable[Sequence[Callable[[], Transport]]],
        *,
        machines: Sequence[str] = ("rvm-1", "rvm-2", "rvm-3"),
        records: int = 12,
        signals: Sequence[Signal] = SIGNALS,
        requests_each: int | None = None,
        within_s: float = 60.0,
    ) -> None:
        """``requests_each`` ends each client by itself; without it, they go on until ``finish``."""
        self.sent = Sent()
        self._machines = machines
        self._records = records
        self._signals = signals
        self._within_s = within_s
        self._requests_each = requests_each
        self._run = next(_RUNS)
        self._changed = threading.Condition()
        self._acknowledged_requests = 0
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._client, args=(index, ways), name=f"client-{index}")
            for index, ways in enumerate(transports)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if kind is not None:
            self._within_s = 0.0  # a failed test does not wait for what will not come
        for thread in self._threads:
            thread.join(60)
        if kind is None and self._errors:
            raise self._errors[0]

    @property
    def acknowledged_requests(self) -> int:
        """How many requests were acknowledged so far."""
        return self._acknowledged_requests

    def wait_for(self, more: int, within_s: float = 30.0) -> None:
        """Wait until so many more requests were acknowledged."""
        with self._changed:
            wanted = self._acknowledged_requests + more
            done = self._changed.wait_for(
                lambda: self._errors or self._acknowledged_requests >= wanted, within_s
            )
        if self._errors:
            raise self._errors[0]
        missing = wanted - self._acknowledged_requests
        assert done, f"{missing} of {more} not acknowledged in {within_s} s: {self.sent.answers}"

    def wait_for_answer(self, kind: str, within_s: float = 30.0, code: str | None = None) -> None:
        """Wait until some client has got an answer of that kind."""

        def seen() -> bool:
            return any(k == kind and code in {None, c} for k, c in self.sent.answers)

        with self._changed:
            self._changed.wait_for(lambda: self._errors or seen(), within_s)
        assert seen(), f"no answer {kind} in {within_s} s: {self.sent.answers}"

    def finish(self) -> Sent:
        """No new requests; every one under way is sent until it is acknowledged."""
        self._stop.set()
        return self.join()

    def join(self) -> Sent:
        """Wait for clients that end by themselves."""
        for thread in self._threads:
            thread.join(self._within_s + 30)
            assert not thread.is_alive(), f"{thread.name} does not end: {self.sent.answers}"
        if self._errors:
            raise self._errors[0]
        return self.sent

    def _client(self, index: int, ways: Sequence[Callable[[], Transport]]) -> None:
        transports = [make() for make in ways]
        try:
            numbers = itertools.count() if self._requests_each is None else range(self._requests_each)
            for turn in numbers:
                if self._stop.is_set() and self._requests_each is None:
                    return
                signal = self._signals[(index + turn) % len(self._signals)]
                machine = self._machines[(index + turn) % len(self._machines)]
                name = f"run{self._run}/c{index}/r{turn}"
                self._deliver(transports, request(signal, machine, name, self._records))
        except BaseException as error:  # noqa: BLE001  (the test's own thread raises it)
            with self._changed:
                self._errors.append(error)
                self._changed.notify_all()
        finally:
            for transport in transports:
                transport.close()

    def _deliver(self, transports: Sequence[Transport], sendable: Sendable) -> None:
        started = time.monotonic()
        while not self._try(transports, sendable):
            if time.monotonic() > started + self._within_s:
                raise AssertionError(f"{sendable.keys[0]} not acknowledged: {self.sent.answers}")
            time.sleep(PATIENCE_S)

    def _try(self, transports: Sequence[Transport], sendable: Sendable) -> bool:
        """True if the request is settled: acknowledged by all ways, or refused."""
        answers: list[Answer] = []
        if len(transports) == 1:
            answers.append(transports[0].send(sendable))
        else:
            others = [
                threading.Thread(target=lambda way=way: answers.append(way.send(sendable)))
                for way in transports
            ]
            for other in others:
                other.start()
            for other in others:
                other.join()
        with self._changed:
            for answer in answers:
                self.sent.note(sendable, answer)
            settled = all(answer.kind in {"ok", "refused"} for answer in answers)
            self._acknowledged_requests += settled and all(answer.kind == "ok" for answer in answers)
            self._changed.notify_all()
        return settled


def wait_until(condition: Callable[[], _T | None], within_s: float, what: str) -> _T:
    """Poll ``condition`` until it is true; returns what it gave."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return value


def keys_in_ledger(url: str) -> Counter[str]:
    """How many rows the ledger at ``url`` has for each key."""
    union = " UNION ALL ".join(f"SELECT attributes ->> 'key' AS key FROM {stream}" for stream in STREAMS)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            f"SELECT key, count(*) FROM ({union}) AS r GROUP BY key".encode()
        ).fetchall()
    return Counter({key: count for key, count in rows if key is not None})


def assert_exactly_once(url: str, sent: Sent) -> None:
    """Every acknowledged record is there once; one in doubt at most once; nothing else is there."""
    found = keys_in_ledger(url)
    lost = sent.acknowledged - found.keys()
    twice = {key: count for key, count in found.items() if count != 1}
    unexpected = found.keys() - sent.acknowledged - sent.in_doubt
    assert not lost, f"{len(lost)} acknowledged records are lost: {sorted(lost)[:5]}"
    assert not twice, f"{len(twice)} records are there more than once: {sorted(twice.items())[:5]}"
    assert not unexpected, f"{len(unexpected)} records are there that nobody sent: {sorted(unexpected)[:5]}"
