"""The only way in: a batch of requests becomes committed rows, exactly once, on unforked chains.

One transaction a batch, in this order, which is the same for every writer, so that none can wait in a circle:

1. claim the requests' digests (those committed before are duplicates: a retry adds no row);
2. add descriptions of senders that are new;
3. COPY each stream's rows, chained on the heads that the caller guessed;
4. lock the heads, compare them with the guess, move them, commit.

The heads are locked last, so that the next batch can be copied on another connection while this one commits.
If the guess was wrong, or some requests are duplicates, all is rolled back and done again the slow way: lock
first, then chain on the heads found.

A crash before the commit leaves nothing.  A crash after it, or a lost reply, leaves the digests: the retry
finds them and is acknowledged.  So nothing needs repair, and recovery is the normal path.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from ledger.batch import Chained, ChainKey, Head, Request, chain_batch, chain_keys, new_head
from ledger.streams import STREAMS
from store.errors import StoreUnavailable
from store.queries import query
from store.translation import translated

Step = Callable[[str], None]
"""Told the name of each step of a write as it is passed; fault tests stop the process there."""

_KNOWN_RESOURCES: Final = 100_000
_TURN_S: Final = 5.0
_PIECE_BYTES: Final = 4 << 20


def no_step(_name: str) -> None:
    """The step listener of a service: it listens to nothing."""


@dataclass(frozen=True, slots=True)
class Appended:
    """What a write did: the batch as it was chained, and the requests that were there before."""

    chained: Chained | None
    duplicates: frozenset[bytes]


class Turn:
    """The order in which batches written at the same time lock their heads.

    Without it a small batch could lock before the larger one that it is chained on.
    """

    def __init__(self, after: Turn | None = None) -> None:
        self._locked = asyncio.Event()
        self._after = after

    async def to_lock(self) -> None:
        """Wait until the batch before has locked its heads, or has failed."""
        if self._after is not None:
            await self._after._locked.wait()  # noqa: SLF001  (its own kind)
            self._after = None  # or every turn ever taken would stay in memory

    def pass_on(self) -> None:
        """Let the next batch lock; it will wait in the database for this one's commit."""
        self._locked.set()


class _WrongGuess(Exception):
    """The heads are not where the caller thought, or some requests were committed before."""


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    """A COPY file, mostly in one piece; that of a huge request in several, since asyncpg copies each."""
    if len(data) <= _PIECE_BYTES:
        yield data
        return
    view = memoryview(data)
    for start in range(0, len(data), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])


class LedgerWriter:
    """A connection that appends batches; opened when first needed and again after it broke.

    Not for two tasks at once: a batch follows the one before it.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0, step: Step = no_step) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._step = step
        self._connection: asyncpg.Connection | None = None
        self._session: tuple[int, datetime] | None = None
        self._known_resources: set[bytes] = set()

    async def append(
        self, requests: Sequence[Request], guess: Chained | None = None, turn: Turn | None = None
    ) -> Appended:
        """Commit the rows of ``requests``; ``guess`` is the batch chained on the heads expected.

        Whatever happens, ``turn`` is passed on before this returns.

        Raises:
            StoreUnavailable: nothing is known of the batch's fate; append the same requests again.
            StoreRejected: the database refuses some row of the batch, which was not committed.
        """
        turn = turn or Turn()
        try:
            async with translated(_WrongGuess), self._ready() as connection:
                appended = None
                if guess is not None:
                    with contextlib.suppress(_WrongGuess):
                        appended = await self._transaction(connection, requests, guess, turn)
                if appended is None:
                    appended = await self._transaction(connection, requests, None, turn)
        finally:
            turn.pass_on()
        # Known only once committed: a rolled-back description must be sent again.
        if len(self._known_resources) > _KNOWN_RESOURCES:
            self._known_resources.clear()
        self._known_resources.update(digest for request in requests for digest in request.resources)
        return appended

    async def _transaction(
        self, connection: asyncpg.Connection, requests: Sequence[Request], guess: Chained | None, turn: Turn
    ) -> Appended:
        self._step("transaction to begin")
        transaction = connection.transaction()
        await transaction.start()
        try:
            appended = await self._claim_and_write(connection, requests, guess, turn)
        except _WrongGuess:
            await transaction.rollback()
            raise
        # After any other error no ROLLBACK, which might hang as long: the session ends, and that rolls back.
        self._step("transaction to commit")
        await transaction.commit()
        self._step("committed")
        return appended

    async def _claim_and_write(
        self, connection: asyncpg.Connection, requests: Sequence[Request], guess: Chained | None, turn: Turn
    ) -> Appended:
        claimed = await connection.fetch(query("claim_requests"), [request.digest for request in requests])
        self._step("requests claimed")
        new = {row["digest"] for row in claimed}
        duplicates = frozenset(request.digest for request in requests) - new
        if duplicates and guess is not None:
            raise _WrongGuess
        fresh = [request for request in requests if request.digest in new]
        chained = await self._write(connection, fresh, guess, turn) if fresh else None
        return Appended(chained, duplicates)

    async def _write(
        self, connection: asyncpg.Connection, requests: Sequence[Request], guess: Chained | None, turn: Turn
    ) -> Chained:
        await self._describe(connection, requests)
        keys = chain_keys(requests)
        if guess is None:
            chained = chain_batch(requests, await self._lock_heads(connection, keys))
            self._step("heads locked")
            await self._copy(connection, chained)
        else:
            chained = guess
            await self._copy(connection, chained)
            await self._wait(turn.to_lock())
            if await self._lock_heads(connection, keys) != chained.before:
                raise _WrongGuess
            turn.pass_on()
            self._step("heads locked")
        await self._move_heads(connection, chained)
        self._step("heads moved")
        return chained

    async def _wait(self, turn: Coroutine[None, None, None]) -> None:
        """Wait for the turn; but if the batch before waits for us in the database, yield to it."""
        try:
            async with asyncio.timeout(_TURN_S):
                await turn
        except TimeoutError:
            raise _WrongGuess from None

    async def _copy(self, connection: asyncpg.Connection, chained: Chained) -> None:
        for stream, data in chained.copies.items():
            await connection.copy_to_table(
                stream, source=_pieces(data), columns=STREAMS[stream].column_names, format="binary"
            )
            self._step("rows copied")

    async def _describe(self, connection: asyncpg.Connection, requests: Sequence[Request]) -> None:
        described = {
            digest: content.decode()
            for request in requests
            for digest, content in request.resources.items()
            if digest not in self._known_resources
        }
        if described:
            await connection.execute(query("add_resources"), list(described.keys()), list(described.values()))

    async def _lock_heads(
        self, connection: asyncpg.Connection, keys: Sequence[ChainKey]
    ) -> dict[ChainKey, Head]:
        heads = _heads(await connection.fetch(query("lock_heads"), *_columns(keys)))
        if len(heads) < len(keys):
            # Another writer may open the same chains: the loser waits, and finds them when it locks again.
            missing = [key for key in keys if key not in heads]
            genesis = [new_head(key).row_hash for key in missing]
            await connection.execute(query("open_heads"), *_columns(missing), genesis)
            heads = _heads(await connection.fetch(query("lock_heads"), *_columns(keys)))
        return heads

    async def _move_heads(self, connection: asyncpg.Connection, chained: Chained) -> None:
        keys = list(chained.after)
        before = [chained.before[key] for key in keys]
        after = [chained.after[key] for key in keys]
        moved = await connection.fetch(
            query("move_heads"),
            *_columns(keys),
            [head.seq for head in before],
            [head.row_hash for head in before],
            [head.seq for head in after],
            [head.row_hash for head in after],
        )
        if len(moved) != len(keys):
            raise StoreUnavailable(f"{len(keys) - len(moved)} of {len(keys)} locked heads did not move")

    async def heads(self, keys: Sequence[ChainKey]) -> dict[ChainKey, Head]:
        """The heads of these chains as committed now, a new head for a chain without one.

        Raises:
            StoreUnavailable: the database can't be reached.
        """
        async with translated(_WrongGuess), self._ready() as connection:
            found = _heads(await connection.fetch(query("read_heads"), *_columns(keys)))
        return {key: found.get(key) or new_head(key) for key in keys}

    async def forget_requests(self, age: timedelta) -> None:
        """Forget the digests of requests older than ``age``.

        Raises:
            StoreUnavailable: the database can't be reached.
        """
        async with translated(_WrongGuess), self._ready() as connection:
            await connection.execute(query("forget_requests"), age)

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    @contextlib.asynccontextmanager
    async def _ready(self) -> AsyncIterator[asyncpg.Connection]:
        """The open connection; whatever goes wrong on it, the next use gets a new one."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        try:
            yield self._connection
        except BaseException:
            # Where the transaction stands is unknown.  Ending the session rolls it back, if it was not
            # committed; the digests tell which.
            await self.close()
            raise

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self._url, timeout=self._timeout_s, command_timeout=self._timeout_s
        )
        try:
            if self._session is not None:
                # The server may not know yet that its client is gone; what it holds would be in our way.
                await connection.execute(query("end_session"), *self._session)
                self._session = None
            silence = f"{self._timeout_s * 1000:.0f}ms"
            session = await connection.fetchrow(query("open_session"), silence)
        except BaseException:
            connection.terminate()
            raise
        self._session = session["pid"], session["backend_start"]
        return connection


async def last_seen(url: str) -> list[tuple[str, str | None, datetime]]:
    """Each machine, its site and when its newest row arrived.

    Raises:
        StoreUnavailable: the database can't be reached.
    """
    async with translated():
        connection = await asyncpg.connect(url, timeout=10, command_timeout=60)
        try:
            rows = await connection.fetch(query("last_seen"))
        finally:
            connection.terminate()
    return [(row["machine_id"], row["site_id"], row["received_at"]) for row in rows]


def _columns(keys: Iterable[ChainKey]) -> tuple[list[str], list[str]]:
    pairs = list(keys)
    return [stream for stream, _ in pairs], [chain for _, chain in pairs]


def _heads(rows: Iterable[Mapping[str, object]]) -> dict[ChainKey, Head]:
    heads: dict[ChainKey, Head] = {}
    for row in rows:
        seq, row_hash = row["seq"], row["row_hash"]
        assert isinstance(seq, int), "the column is bigint"
        assert isinstance(row_hash, bytes), "the column is bytea"
        heads[str(row["stream"]), str(row["chain"])] = Head(seq, row_hash)
    return heads
